"""A feed in an event loop: its connections, its clock, and the questions that fill its gaps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

from tickerplant.client.backfill import Backfill
from tickerplant.client.connection import Connection
from tickerplant.client.server_info import Listing
from tickerplant.feed.actions import Action, Drop, Fetch, Open, Ping, Send, Verify
from tickerplant.feed.backpressure import FullConsumer
from tickerplant.feed.feed import STALLED_MS, Feed
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import Keep, Sink
from tickerplant.feed.settings import FeedSettings
from tickerplant.messages.readers import Reader

_log = logging.getLogger(__name__)

WARNING_MS = 60_000
"""That the event loop stood still is logged at most this often."""
TICK_S = 0.05
"""How often the feed is told what time it is."""
CLOSE_S = 2.0
"""How long a server has to say goodbye, and to take what was sent before."""


class FeedRunner:
    """Carries out what a feed asks for, from `start` to `stop`.

    Args:
        hosts: Where the venue is served.
        settings: How the feed behaves.
        reader: Returns what turns the payloads of a stream into messages.
        backfill: Asks for what is missing.
        rng: Decides pauses and times of renewal.
        listing: Says what the server lists; None: nobody asks about streams that are silent.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: FeedSettings,
        reader: Callable[[str], Reader],
        backfill: Backfill,
        rng: Random,
        listing: Listing | None = None,
    ) -> None:
        self.feed = Feed(hosts, settings, reader, rng)
        self._listing = listing
        self._backfill = backfill
        self._connections: dict[int, Connection] = {}
        self._ending: set[Connection] = set()
        self._fetches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._ticked_ms = 0
        self._warned_ms = -WARNING_MS

    def start(self) -> None:
        """Begin; an event loop must be running."""
        self._loop = asyncio.get_running_loop()
        self._tick()

    async def stop(self) -> None:
        """End all connections; nothing is delivered any more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._fetches:
            task.cancel()
        ending = [*self._ending, *self._connections.values()]
        for connection in self._connections.values():
            connection.drop()
        self._connections.clear()
        closing = {asyncio.create_task(each.wait_closed()): each for each in ending}
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                closing[task].cut()
            await asyncio.gather(*closing, return_exceptions=True)
        await asyncio.gather(*self._fetches, return_exceptions=True)

    def attach(
        self,
        names: Iterable[str],
        sink: Sink,
        *,
        backfills: bool = False,
        keeper: Callable[[str], Keep] | None = None,
    ) -> None:
        """Give the messages of `names` to `sink` from now on; see `Feed.attach`."""
        self.feed.attach(names, sink, backfills=backfills, keeper=keeper)
        self.perform()

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Give nothing of `names` to `sink` any more."""
        if self._is_stopped:
            return
        self.feed.detach(names, sink)
        self.resume_for(sink)
        self.perform()

    def is_delivered(self, name: str) -> bool:
        """Whether a connection carries the stream `name` now."""
        return self.feed.is_delivered(name)

    def forget(self, names: tuple[str, ...], sink: Sink) -> None:
        """Detach as soon as the event loop turns; may be called from anywhere."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.detach, names, sink)

    def pause_for(self, sink: Sink, consumer: FullConsumer | None = None) -> None:
        """Read nothing for `sink` alone until `resume_for` is called; see `Feed.pause_for`."""
        self.feed.pause_for(sink, consumer)
        self._update_reading()

    def resume_for(self, sink: Sink) -> None:
        """Read again what was held up for `sink`."""
        if self.feed.resume_for(sink):
            self._update_reading()

    def _update_reading(self) -> None:
        unread = self.feed.connections_to_pause()
        for number, connection in self._connections.items():
            connection.read(number not in unread)

    def _tick(self) -> None:
        now_ms = time.monotonic_ns() // 1_000_000
        self._note_stall(now_ms)
        try:
            self.feed.tick(now_ms, time.time_ns() // 1_000_000)
            self.perform()
        finally:  # whatever a consumer raised, the clock goes on for the others
            if not self._is_stopped:
                self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _note_stall(self, now_ms: int) -> None:
        """Warn, once a minute at most, that nothing ran in this event loop for long."""
        stall_ms, self._ticked_ms = now_ms - (self._ticked_ms or now_ms), now_ms
        if stall_ms >= STALLED_MS and now_ms >= self._warned_ms + WARNING_MS:
            self._warned_ms = now_ms
            _log.warning(
                "The event loop stood still for %.1f s: a callback or other code of this program "
                "took that long, and no message was read meanwhile.",
                stall_ms / 1_000,
            )

    def perform(self) -> None:
        """Carry out what the feed asks for."""
        if self.feed.has_full:
            self._update_reading()  # connections may have come, or carry other streams
        while actions := self.feed.take_actions():
            for action in actions:
                if not self._is_stopped:
                    self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Open(number=number, url=url):
                connection = Connection(self.feed, number, self.perform)
                self._connections[number] = connection
                connection.open(url)
            case Send(number=number, text=text):
                self._connections[number].send(text)
            case Ping(number=number):
                self._connections[number].ping()
            case Drop(number=number):
                if number in self._connections:  # not if it waits for its first attempt
                    self._end(self._connections.pop(number))
            case Fetch():
                self._ask(self._fetch(action))
            case Verify(streams=streams):
                if self._listing is not None:
                    self._ask(self._verify(self._listing, streams))

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(question)
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    def _end(self, connection: Connection) -> None:
        connection.drop()
        self._ending.add(connection)
        cutting = asyncio.get_running_loop().call_later(CLOSE_S, connection.cut)
        closing = asyncio.ensure_future(connection.wait_closed())
        closing.add_done_callback(lambda _: cutting.cancel())
        closing.add_done_callback(lambda _: self._ending.discard(connection))

    async def _fetch(self, fetch: Fetch) -> None:
        messages, reason = await self._backfill.ask(fetch)
        if messages:
            self.feed.filled(fetch.stream, messages, fetch.after_id)
        else:
            self.feed.unfilled(fetch.stream, reason, fetch.after_id)
        self.perform()

    async def _verify(self, listing: Listing, streams: tuple[str, ...]) -> None:
        self.feed.verified(streams, await listing.unavailable(streams))
        self.perform()
