"""Makes the messages of one stream from its row, its pace and the events it follows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tickerplant.events import Event
from tickerplant.market.timers import MESSAGE_RANK, Timers, next_on_grid
from tickerplant.streams.lookup import ListedMatch

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

ALL = ""
"""The topic of a stream of all symbols."""

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class Publisher:
    """Makes messages from events, at the pace of the stream, until it is stopped."""

    __slots__ = (
        "_args",
        "_build",
        "_pace",
        "_scheduled",
        "_send",
        "_stopped",
        "_subject",
        "_subjects",
        "_timers",
        "stream",
        "topic",
    )

    def __init__(
        self,
        match: ListedMatch,
        markets: Markets,
        timers: Timers,
        send: Callable[[bytes], object],
    ) -> None:
        stream, args, subjects = match
        self.stream = stream
        self._subjects = partial(stream.subjects, markets, args)
        self._subject: Market | None = subjects[0] if stream.follows_one else None
        self.topic = ALL if self._subject is None else self._subject.symbol
        """The symbol whose events matter."""
        self._args = args
        self._timers = timers
        self._send = send
        self._build = stream.build
        self._pace = stream.pace(stream.period(markets.venue, args), self._subjects)
        self._scheduled = False
        self._stopped = False
        if self._pace.waiting:
            self._schedule()

    @property
    def is_current(self) -> bool:
        """Whether the name still refers to the same market: a delivery may change that."""
        return self._followed() is self._subject

    def _followed(self) -> Market | None:
        """Return the market whose events are followed; None if it is not exactly one."""
        return next(iter(self._subjects()), None) if self.stream.follows_one else None

    def on_event(self, market: Market, event: Event) -> None:
        """Send a message about an event that the stream follows, now or when it is due."""
        pace = self._pace
        change = pace.on_event(market, event)
        if change is not None:
            message = self._build(market, change, self._timers.now_ms, self._args)
            if message is not None:
                self._send(_encode(message))
        elif not self._scheduled and pace.waiting:
            self._schedule()

    def _send_array(self, messages: list[Struct]) -> None:
        if messages:
            self._send(_encode(messages))

    def stop(self) -> None:
        """Send nothing any more, not even messages that are due."""
        self._stopped = True

    def _schedule(self) -> None:
        due_ms = next_on_grid(self._timers.now_ms, self._pace.period_ms)
        self._timers.at(due_ms, MESSAGE_RANK, self._due)
        self._scheduled = True

    def _due(self, now_ms: int) -> None:
        self._scheduled = False
        if self._stopped:
            return
        built = [
            (subject, message)
            for subject, change in self._pace.due()
            if (message := self._build(subject, change, now_ms, self._args)) is not None
        ]
        if not self.stream.array:
            for _, message in built:
                self._send(_encode(message))
        elif (separate := self.stream.separate) is None:
            self._send_array([message for _, message in built])
        else:
            self._send_array([message for subject, message in built if not separate(subject)])
            self._send_array([message for subject, message in built if separate(subject)])
        if self._pace.waiting:
            self._schedule()
