"""Runs a feed in an event loop: its connections, its clock, and its REST requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakMethod

from tickerplant.client.connection import Connection, SteppedConnection
from tickerplant.client.event_loop import check_loop, running_loop
from tickerplant.client.fetching import missing_messages
from tickerplant.client.lockstep import Lockstep
from tickerplant.client.request import wall_clock_ms
from tickerplant.client.rest import RestClient
from tickerplant.client.server_info import Listing
from tickerplant.feed.connection_pool import FullConsumer
from tickerplant.feed.context import Action, Drop, Fetch, Observer, Open, Ping, Send, Verify
from tickerplant.feed.feed import STALLED_MS, Feed
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import Keep, Sink
from tickerplant.feed.settings import ClientSettings
from tickerplant.formatting import count_text, printable
from tickerplant.messages.readers import Reader
from tickerplant.notices import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)

_log = logging.getLogger(__name__)

MAX_LOGGED_NAMES = 1_000
"""Unknown streams that are logged one by one; of further ones only that there are more."""
MAX_PER_MINUTE = 10
"""Lines about outages, gaps and silence in a minute; further ones are counted."""
MINUTE_MS = 60_000


class FeedLog(Observer):
    """Logs what consumers may miss, once per occurrence, whether or not they receive notices."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._minute_ms = 0
        """When the minute began in which lines are counted."""
        self._logged = 0
        self._left_out = 0

    def unknown(self, stream: str, reason: str) -> None:
        """Log a warning, unless one was logged for this name."""
        if stream in self._names or len(self._names) > MAX_LOGGED_NAMES:
            return
        self._names.add(stream)
        if len(self._names) > MAX_LOGGED_NAMES:
            _log.warning("More than %d streams are unknown; no more are logged", MAX_LOGGED_NAMES)
        else:
            _log.warning("Unknown stream %s: %s", printable(stream), printable(reason))

    def noticed(self, notice: Notice) -> None:
        """Log a notice: a recovery as INFO, anything else as WARNING."""
        if not self._has_room(notice.time_ms):
            self._left_out += 1
            return
        if isinstance(notice, Recovered):
            _log.info("%s", notice.text)
        elif isinstance(notice, Disconnected | Stale | Gap | SubscriptionRejected):
            _log.warning("%s", notice.text)

    def flush(self) -> None:
        """Log how many notices were not logged, if there are any."""
        if self._left_out:
            more = count_text(
                self._left_out,
                "more outage, gap or silence was",
                "more outages, gaps and silences were",
            )
            _log.warning("%s not logged: at most %d are in a minute", more, MAX_PER_MINUTE)
            self._left_out = 0

    def _has_room(self, time_ms: int) -> bool:
        """Count a line; return whether it may be logged in this minute."""
        if not 0 <= time_ms - self._minute_ms < MINUTE_MS:
            self.flush()
            self._minute_ms, self._logged = time_ms, 0
        self._logged += 1
        return self._logged <= MAX_PER_MINUTE


End: TypeAlias = Callable[[Exception | None], object]
"""Ends a consumer, early if there is a failure: nothing more will come."""

WARNING_MS = 60_000
"""Minimum interval between warnings of a blocked event loop."""
TICK_S = 0.05
"""Interval between the ticks of the feed."""
CLOSE_S = 2.0
"""How long a server may take to close a connection before it is aborted."""


class Follower(NamedTuple):
    """Books that follow recorded snapshots."""

    take_recorded: Callable[[str, bytes], object]
    """Takes the next recorded snapshot of the book that follows a stream."""
    jumped: Callable[[], object]
    """Is called when the market continues from another position."""


class FeedRunner:
    """Carries out the actions of a feed, from `start` to `stop`."""

    def __init__(
        self,
        hosts: Hosts,
        settings: ClientSettings,
        reader: Callable[[str], Reader],
        rest: RestClient,
        rng: Random,
        listing: Listing | None = None,
        *,
        has_key: bool = False,
    ) -> None:
        self.feed = Feed(hosts, settings, reader, rng)
        self.listing = listing
        self._rest = rest
        self._has_key = has_key
        self._connections: dict[int, Connection] = {}
        self._ending: set[Connection] = set()
        self._requests: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False
        self._ticked_ms = 0
        self._warned_ms = -WARNING_MS
        self._ends: list[WeakMethod[End]] = []
        self.lockstep: Lockstep | None = None
        """Keeps a market that can wait in step with its readers; None if it cannot."""
        self.shown_to: set[Follower] | None = None
        """The books that follow recorded snapshots; None if the market does not send them."""
        self.is_shared = False
        """Whether there are several consumers."""
        self.preparing: set[object] = set()
        """The books whose first snapshot, and the histories that, were not answered yet."""
        self.is_awaited = False
        """Whether a consumer waits, or has waited, for a message."""
        self.is_over = False
        """Whether the streams have ended."""
        self.failure: Exception | None = None
        """Why the streams ended early; None if they did not."""

    @property
    def is_prepared(self) -> bool:
        """Whether every stream is delivered or rejected, and every book had its first snapshot."""
        return self.feed.is_settled and not self.preparing

    def keep_in_step(self, *, shows_snapshots: bool = False) -> None:
        """Treat the market as one that ends, and waits for its readers."""
        self.feed.expect_end()
        self.lockstep = Lockstep(self._update_reading)
        if shows_snapshots:
            self.shown_to = set()
            self.feed.take_snapshot = self._show

    def _show(self, stream: str, snapshot: bytes) -> None:
        for follower in tuple(self.shown_to or ()):
            follower.take_recorded(stream, snapshot)

    def jumped(self) -> None:
        """Note that the market continues from another position."""
        for follower in tuple(self.shown_to or ()):
            follower.jumped()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within this, the reader waits for something of the market that is no message."""
        self.check_loop()
        if self.lockstep is None:
            yield
        else:
            with self.lockstep.waiting():
                yield

    def on_end(self, end: End) -> None:
        """Call the method `end` when the streams end, unless its object is gone; at once if they have."""
        self._ends = [*(each for each in self._ends if each() is not None), WeakMethod(end)]
        if self.is_over:
            end(self.failure)

    def end(self, failure: Exception | None = None) -> None:
        """End all consumers: nothing more will come, because of `failure`, or as all was delivered."""
        if self.is_over:
            return
        self.is_over, self.failure = True, failure
        for each in self._ends:
            if (end := each()) is not None:
                end(failure)

    async def catch_up(self, timeout_s: float, *others: asyncio.Future[None]) -> None:
        """Return when everything that the server has sent by now was delivered, or after a time."""
        pongs = [connection.caught_up() for connection in self._connections.values()]
        if pongs:
            ends: list[asyncio.Future[Any]] = [asyncio.gather(*pongs), *others]
            await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    def start(self) -> None:
        """Start the clock of the feed in the running event loop."""
        self._loop = running_loop()
        self._tick()

    def check_loop(self) -> None:
        """Raise `RuntimeError` in another event loop than the one in which it was started."""
        if self._loop is not None:
            check_loop(self._loop)

    async def stop(self) -> None:
        """Close all connections; nothing is delivered any more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._requests:
            task.cancel()
        ending = [*self._ending, *self._connections.values()]
        for connection in self._connections.values():
            connection.drop()
        self._connections.clear()
        if self.lockstep is not None:
            self.lockstep.clear()
        closing = {asyncio.create_task(each.wait_closed()): each for each in ending}
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                closing[task].abort()
            await asyncio.gather(*closing, return_exceptions=True)
        await asyncio.gather(*self._requests, return_exceptions=True)

    def attach(
        self,
        names: Iterable[str],
        sink: Sink,
        *,
        backfills: bool = False,
        keeper: Callable[[str], Keep] | None = None,
    ) -> None:
        """Deliver the messages of `names` to `sink`; see `Feed.attach`."""
        self.feed.attach(names, sink, backfills=backfills, keeper=keeper)
        self._count_consumers()
        self.perform()

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Stop delivering `names` to `sink`."""
        if self._is_stopped:
            return
        self.feed.detach(names, sink)
        self._count_consumers()
        self.resume_for(sink)
        self.perform()
        if self.lockstep is not None:
            self.lockstep.forget(sink)

    def _count_consumers(self) -> None:
        if self.lockstep is not None:
            sinks = {sink for merged in self.feed.merged_streams.values() for sink in merged.sinks}
            self.is_shared = len(sinks) > 1

    def is_delivered(self, name: str) -> bool:
        """Whether a connection is subscribed to the stream `name`."""
        return self.feed.is_delivered(name)

    def forget(self, names: tuple[str, ...], sink: Sink) -> None:
        """Detach in the next iteration of the event loop; may be called from any thread."""
        self._call_soon(self.detach, names, sink)

    def forget_reader(self, consumer: Hashable) -> None:
        """Note that nobody reads `consumer` any more; may be called from any thread."""
        if self.lockstep is not None:
            self._call_soon(self.lockstep.forget, consumer)

    def _call_soon(self, function: Callable[..., object], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def pause_for(self, sink: Sink, consumer: FullConsumer | None = None) -> None:
        """Pause connections that only full consumers use; see `ConnectionPool.pause_for`."""
        self.feed.pool.pause_for(sink, consumer)
        self._update_reading()

    def resume_for(self, sink: Sink) -> None:
        """Resume connections that were paused for `sink`."""
        if self.feed.pool.resume_for(sink):
            self._update_reading()
            if self.lockstep is not None:
                self.lockstep.release()

    def _update_reading(self) -> None:
        paused = self.feed.pool.connections_to_pause()
        if self.lockstep is not None:
            self.lockstep.is_full = bool(self.feed.pool.full)
            if self.lockstep.stops_reading:
                paused = set(self._connections)
                self.feed.pool.pause(paused)
        for number, connection in self._connections.items():
            connection.read(number not in paused)

    def _tick(self) -> None:
        now_ms = int(asyncio.get_running_loop().time() * 1_000)
        self._note_stall(now_ms)
        try:
            self.feed.tick(now_ms, wall_clock_ms())
            self.perform()
            if self.lockstep is not None:
                self.lockstep.tick()
        finally:  # the clock must not stop because a consumer raised
            if not self._is_stopped:
                self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _note_stall(self, now_ms: int) -> None:
        """Warn, at most once a minute, if the event loop was blocked for long."""
        stall_ms, self._ticked_ms = now_ms - (self._ticked_ms or now_ms), now_ms
        if stall_ms >= STALLED_MS and now_ms >= self._warned_ms + WARNING_MS:
            self._warned_ms = now_ms
            _log.warning(
                "The event loop was blocked for %.1f s by a callback or other code of this program; "
                "no message was read during that time.",
                stall_ms / 1_000,
            )

    def perform(self) -> None:
        """Carry out the actions of the feed."""
        if self.feed.pool.full:
            self._update_reading()  # connections may be new, or have other streams
        while actions := self.feed.take_actions():
            for action in actions:
                if not self._is_stopped:
                    self._perform(action)
        if self.feed.has_ended:
            self.end()

    def _perform(self, action: Action) -> None:
        match action:
            case Open(number=number, url=url):
                connection = self._connections[number] = self._new_connection(number)
                connection.open(url)
            case Send(number=number, text=text):
                self._connections[number].send(text)
            case Ping(number=number):
                self._connections[number].ping()
            case Drop(number=number):
                if number in self._connections:  # not before its first attempt
                    self._end(self._connections.pop(number))
            case Fetch():
                self.start_request(self._held(self._fetch(action)))
            case Verify(streams=streams):
                if self.listing is not None:
                    self.start_request(self._verify(self.listing, streams))

    def _new_connection(self, number: int) -> Connection:
        if self.lockstep is None:
            return Connection(self.feed, number, self.perform)
        return SteppedConnection(self.feed, number, self.perform, self.lockstep)

    def _held(self, request: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Return a request during which a market that can wait does."""
        return request if self.lockstep is None else self.lockstep.during(request)

    def start_request(self, request: Coroutine[Any, Any, None]) -> None:
        """Run `request` in a task, which is cancelled when the feed is stopped."""
        task = asyncio.create_task(request)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    def _end(self, connection: Connection) -> None:
        connection.drop()
        self._ending.add(connection)
        cutting = asyncio.get_running_loop().call_later(CLOSE_S, connection.abort)
        closing = asyncio.ensure_future(connection.wait_closed())
        closing.add_done_callback(lambda _: cutting.cancel())
        closing.add_done_callback(lambda _: self._ending.discard(connection))

    async def _fetch(self, fetch: Fetch) -> None:
        messages, reason = await missing_messages(self._rest, fetch, has_key=self._has_key)
        if messages:
            self.feed.filled(fetch.stream, messages, fetch.after_id)
        else:
            self.feed.unfilled(fetch.stream, reason, fetch.after_id)
        self.perform()

    async def _verify(self, listing: Listing, streams: tuple[str, ...]) -> None:
        self.feed.verified(streams, await listing.unavailable(streams))
        self.perform()
