"""What makes the messages of one stream: its row, its pace and the events they follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tickerplant.events import Event
from tickerplant.market.market import Market
from tickerplant.market.timers import MESSAGE_RANK, Timers, next_on_grid
from tickerplant.streams.pattern import Args
from tickerplant.streams.stream import Stream
from tickerplant.venue import Venue

ALL = ""
"""The topic of a stream that follows every symbol."""

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class Publisher:
    """Makes messages from events, at the pace of their stream, until it is stopped.

    Args:
        stream: The row of the catalogue.
        args: The variable parts of the stream's name.
        venue: Where it is subscribed to.
        markets: What it is about: the market of its symbol, or all.
        timers: The market clock.
        send: Takes each message, encoded.
    """

    def __init__(
        self,
        stream: Stream,
        args: Args,
        venue: Venue,
        markets: Sequence[Market],
        timers: Timers,
        send: Callable[[bytes], object],
    ) -> None:
        self.stream = stream
        self.topic = markets[0].symbol if "symbol" in args else ALL
        """The symbol whose events matter."""
        self._args = args
        self._timers = timers
        self._send = send
        self._build = stream.build
        self._pace = stream.pace(stream.period(venue, args), markets)
        self._scheduled = False
        self._stopped = False
        if self._pace.waiting:
            self._schedule()

    def feed(self, market: Market, event: Event) -> None:
        """Take in an event of a kind that the stream follows."""
        pace = self._pace
        subject = pace.feed(market, event)
        if subject is not None:
            message = self._build(market, subject, self._timers.now_ms, self._args)
            if message is not None:
                self._send(_encode(message))
        elif not self._scheduled and pace.waiting:
            self._schedule()

    def stop(self) -> None:
        """Send nothing any more, not even what is due."""
        self._stopped = True

    def _schedule(self) -> None:
        due_ms = next_on_grid(self._timers.now_ms, self._pace.period_ms)
        self._timers.at(due_ms, MESSAGE_RANK, self._due)
        self._scheduled = True

    def _due(self, now_ms: int) -> None:
        self._scheduled = False
        if self._stopped:
            return
        built = (
            self._build(market, subject, now_ms, self._args) for market, subject in self._pace.due()
        )
        messages = [message for message in built if message is not None]
        if not self.stream.array:
            for message in messages:
                self._send(_encode(message))
        elif messages:
            self._send(_encode(messages))
        if self._pace.waiting:
            self._schedule()
