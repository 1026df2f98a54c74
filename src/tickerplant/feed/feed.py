"""A feed: streams of one venue, heard over as many connections as they need, without a hole.

This is a state machine.  The shell around it (`client/`) tells it what happens, `opened`,
`refused`, `lost`, `received`, `heard`, and what time it is, `tick`; whatever is to be done then
stands in `actions`, which the shell takes out and carries out.

Messages go from `received` by plain calls to the consumers' sinks.  How several connections become
one stream is in `merged_stream.py`, what becomes of the connections in `connection_pool.py`, what silence means in
`staleness.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping
from random import Random
from typing import TypeAlias

from msgspec import UNSET, Struct, structs

from tickerplant.envelope import NECK, head_of
from tickerplant.feed.actions import Action
from tickerplant.feed.backpressure import Backpressure, Full, FullConsumer
from tickerplant.feed.candles import CandleStream
from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.connection_pool import ConnectionPool
from tickerplant.feed.context import FeedContext
from tickerplant.feed.cursor import id_cursor_of
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.identified import IdentifiedStream
from tickerplant.feed.matched import MatchedStream
from tickerplant.feed.merged_stream import Item, Keep, MergedStream, Sink, StreamCounters
from tickerplant.feed.notify import notify
from tickerplant.feed.observer import Observer
from tickerplant.feed.session import any_message
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.staleness import StalenessMonitor
from tickerplant.feed.unknown_streams import UnknownStreams
from tickerplant.messages.message import Message
from tickerplant.messages.notice import DecodeFailed, Stale, UnknownStream
from tickerplant.messages.readers import UNREADABLE, Reader
from tickerplant.stream_name import parse_stream_name
from tickerplant.streams.spelling import why_doubtful

_END = ord("}")
"""How a message in the usual envelope ends."""

STALLED_MS = 2_000
"""Without a tick for so long, nothing was read either: what was not heard says nothing."""
SHOWN_BYTES = 200
"""As much of an unreadable message is shown."""
GARBAGE_MS = 1_000
"""Consumers are told of unreadable messages of a stream, or connection, at most this often."""
SHUTDOWN = "serverShutdown"
"""Event of a server that will soon close its connections."""


Receive: TypeAlias = Callable[[bytes, int], bool]
"""Takes a text message and when it was received, ns; returns whether that was all there is to do."""


class FeedCounters(Struct):
    """What happened so far, over all connections and streams."""

    messages: int = 0
    opened: int = 0
    """Connections that were opened."""
    refused: int = 0
    """Attempts that failed."""
    lost: int = 0
    """Connections that ended although they were wanted."""
    renewed: int = 0
    """Connections that were replaced in time."""
    unreadable: int = 0
    late: int = 0
    """Messages of streams that nobody wants any more."""
    failed_checks: int = 0
    """Checks over REST of silent streams that got no response; after three in a row none is made."""
    stale: int = 0
    """Times a stream was called stale."""
    apart: int = 0
    """Subscriptions that were given connections of their own, because they were full."""
    duplicates: int = 0
    gaps: int = 0
    missing: int = 0
    backfilled: int = 0


class Feed:
    """The streams of one venue.

    Args:
        hosts: Where the venue is served.
        settings: How the feed behaves.
        reader: Returns what turns the payloads of a stream into messages.
        rng: Decides pauses and times of renewal.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: FeedSettings,
        reader: Callable[[str], Reader],
        rng: Random,
    ) -> None:
        self._context = FeedContext(settings)
        self.merged_streams: dict[str, MergedStream] = {}
        """The streams that consumers share, by name."""
        self.apart: dict[Sink, dict[str, MergedStream]] = {}
        """The streams of consumers who have connections of their own, because they are slow."""
        self._venue = hosts.venue
        self._reader = reader
        self._unreadable = 0
        self._late = 0
        self._ended = FeedCounters()
        """Counts of strands that are no more."""
        self._pool = ConnectionPool(self._context, hosts, rng, self.is_full)
        self.connections: dict[int, FeedConnection] = self._pool.connections
        self._staleness = StalenessMonitor(self._context, self.connections)
        self._backpressure = Backpressure(
            self._context, self._pool, self.merged_streams, self.apart
        )
        self._unknown_streams = UnknownStreams(self._context)

    @property
    def settings(self) -> FeedSettings:
        """How it behaves."""
        return self._context.settings

    @property
    def now_ms(self) -> int:
        """Its clock, which only goes forward."""
        return self._context.now_ms

    @property
    def paused(self) -> Collection[Hashable]:
        """The connections that are not read, because no consumer has room."""
        return self._context.paused

    @property
    def observer(self) -> Observer:
        """Keeps a record of the connections."""
        return self._context.observer

    @observer.setter
    def observer(self, observer: Observer) -> None:
        self._context.observer = observer

    def take_actions(self) -> list[Action]:
        """Return what the caller is to do, oldest first; each action is returned once."""
        actions, self._context.actions = self._context.actions, []
        return actions

    # What the consumer wants

    def attach(
        self,
        names: Iterable[str],
        sink: Sink,
        *,
        backfills: bool = False,
        keeper: Callable[[str], Keep] | None = None,
    ) -> None:
        """Give the messages of `names`, and what is to be told of them, to `sink` from now on.

        Args:
            names: The streams.
            sink: Takes messages and notices.
            backfills: Whether it wants gaps to be filled over REST.
            keeper: Returns what takes messages of a stream in the place of `sink` whenever they are
                to be delivered at once, came in the usual envelope, and nobody else wants them.
        """
        joined = []
        for name in names:
            merged = self._merged_for(name, sink) or self._open_merged(name, sink)
            keep = keeper and keeper(name)
            merged.attach(sink, backfills=backfills and _can_backfill(name), keep=keep)
            joined.append(merged)
        self._tell_newcomer(joined, sink)
        self._pool.add_actions()

    def _tell_newcomer(self, merged_streams: Iterable[MergedStream], sink: Sink) -> None:
        """Tell a new consumer what is to be doubted, and what others were told is not heard."""
        for merged in dict.fromkeys(merged_streams):
            if merged.doubt and not merged.messages:
                names = (merged.name,)
                sink(
                    UnknownStream(streams=names, time_ms=self._context.wall_ms, reason=merged.doubt)
                )
            if merged.rejection is not None:
                sink(structs.replace(merged.rejection, streams=(merged.name,)))
            outage = merged.outage
            if outage is not None and outage.notice is not None:
                sink(structs.replace(outage.notice, streams=(merged.name,)))
            elif merged.is_stale:
                silent_ms = self._context.now_ms - (
                    outage.since_ms if outage else merged.silent_since_ms
                )
                expected_ms = merged.expected_interval.expected_ms
                sink(
                    Stale(
                        streams=(merged.name,),
                        time_ms=self._context.wall_ms,
                        silent_ms=silent_ms,
                        expected_ms=expected_ms,
                    )
                )

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Give nothing of `names` to `sink` any more."""
        for name in names:
            merged = self._merged_for(name, sink)
            if merged is None or sink not in merged.sinks:
                continue
            merged.detach(sink)
            if not merged.sinks:
                self._close_merged(merged, sink)
            elif sink not in merged.sinks:
                self._pool.remove_own(merged, sink)
        self._pool.add_actions()

    @property
    def all_merged_streams(self) -> list[MergedStream]:
        """The streams, shared and apart."""
        apart = (
            merged for merged_streams in self.apart.values() for merged in merged_streams.values()
        )
        return [*self.merged_streams.values(), *apart]

    @property
    def counters(self) -> FeedCounters:
        """What happened so far."""
        pool = self._pool
        counted = structs.replace(
            self._ended,
            opened=pool.opened_connections,
            refused=pool.refused_connections,
            lost=pool.lost_connections,
            renewed=pool.renewed_connections,
            unreadable=self._unreadable,
            late=self._late,
            failed_checks=self._unknown_streams.failed_checks,
            stale=self._staleness.notices,
            apart=self._backpressure.moved,
        )
        for merged in self.all_merged_streams:
            counted.messages += merged.messages
            _add(counted, merged.counters)
        return counted

    @property
    def is_heard(self) -> bool:
        """Whether every stream is carried by a connection, and none is stale."""
        return all(
            merged.primary is not None and not merged.is_stale for merged in self.all_merged_streams
        )

    def is_carried(self, name: str) -> bool:
        """Whether connections carry the stream `name` for all who want it."""
        merged_streams = self._named(name)
        return bool(merged_streams) and all(merged.primary is not None for merged in merged_streams)

    def _merged_for(self, name: str, sink: Sink) -> MergedStream | None:
        return self.apart.get(sink, {}).get(name) or self.merged_streams.get(name)

    def _open_merged(self, name: str, sink: Sink) -> MergedStream:
        reader = self._reader(name)
        expected_interval = ExpectedInterval(self._venue, name, self._context.settings)
        cursor = id_cursor_of(name, reader.message)
        if cursor is not None:
            merged: MergedStream = IdentifiedStream(
                name, reader.decode, expected_interval, self._context, cursor()
            )
        elif "candle" in reader.message.__struct_fields__:
            merged = CandleStream(name, reader.decode, expected_interval, self._context)
        else:
            merged = MatchedStream(name, reader.decode, expected_interval, self._context)
        merged.is_array = reader.array
        merged.doubt = why_doubtful(self._venue, name)
        self._unknown_streams.add(merged)
        if sink in self.apart:
            self.apart[sink][name] = merged
            self._pool.place(merged, sink)
        else:
            self.merged_streams[name] = merged
            self._pool.place(merged)
        return merged

    def _close_merged(self, merged: MergedStream, sink: Sink) -> None:
        if self.merged_streams.get(merged.name) is merged:
            del self.merged_streams[merged.name]
        else:
            del self.apart[sink][merged.name]
            if not self.apart[sink]:
                del self.apart[sink]
        self._context.due.pop(merged, None)
        self._unknown_streams.remove(merged)
        self._ended.messages += merged.messages
        _add(self._ended, merged.counters)
        merged.close()
        self._pool.remove(merged)

    # What happens to connections

    def opened(self, number: int) -> None:
        """Take note that a connection is open."""
        connection = self.connections.get(number)
        if connection is not None:
            self._pool.opened(connection)
            self._pool.add_actions()

    def refused(
        self, number: int, reason: str, status: int | None = None, retry_after_ms: int = 0
    ) -> None:
        """Take note that an attempt failed.

        Args:
            number: The connection.
            reason: Why, for people.
            status: The HTTP status of the answer, None if there was none.
            retry_after_ms: What the server asked for.
        """
        connection = self.connections.get(number)
        if connection is not None:
            self._pool.refused(connection, reason, status, retry_after_ms)
            self._pool.add_actions()

    def lost(self, number: int, reason: str, close_code: int | None = None) -> None:
        """Take note that an open connection ended."""
        connection = self.connections.get(number)
        if connection is not None:
            self._pool.lost(connection, reason, close_code)
            self._pool.add_actions()

    def heard(self, number: int) -> None:
        """Take note that a pong, or anything else but a message, came."""
        connection = self.connections.get(number)
        if connection is not None:
            connection.received(self._context.now_ms)

    def pause_for(self, sink: Sink, consumer: FullConsumer | None = None) -> None:
        """Note that a consumer has no room; see `connections_to_pause`.

        Args:
            sink: The consumer.
            consumer: Receives callbacks while it has no room.
        """
        self._backpressure.full[sink] = Full(self._context.now_ms, consumer)

    def resume_for(self, sink: Sink) -> bool:
        """Note that a consumer has room; return whether it had none before."""
        return self._backpressure.full.pop(sink, None) is not None

    @property
    def has_full(self) -> bool:
        """Whether any consumer has no room."""
        return bool(self._backpressure.full)

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of a connection has room."""
        return self._backpressure.is_full(connection)

    def connections_to_pause(self) -> set[int]:
        """Pause the open connections without a consumer that has room; return their numbers."""
        numbers = self._backpressure.connections_to_pause()
        self.pause(numbers)
        return numbers

    def pause(self, numbers: Container[int]) -> None:
        """Note that exactly these connections are not read; their silence means nothing."""
        self._pool.pause(numbers)

    # Messages

    def received(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message as it came."""
        if number in self.connections and not self.receiver(number)(raw, received_ns):
            self.receive_slow(number, raw, received_ns)

    def receiver(self, number: int) -> Receive:
        """Return what takes the text messages of an open connection: the hot path.

        It returns whether the message was one of a stream in the usual form; if not, nothing was
        done, and `receive_slow` is to be told.
        """
        connection, context = self.connections[number], self._context
        streams, unreadable = connection.streams, UNREADABLE

        def receive(raw: bytes, received_ns: int) -> bool:
            head, _, rest = raw.partition(NECK)
            merged = streams.get(head)
            if merged is None:
                return False
            payload = rest[:-1]
            try:
                item = merged.decode(payload)
            except unreadable:
                return False
            if merged.primary is not connection or not merged.accept(item):
                self._take_slow(connection, merged, item, payload, received_ns)
                return True
            merged.messages += 1
            merged.received_ms = context.now_ms
            connection.has_received = True
            if merged.keep is not None and raw[-1] == _END:
                merged.keep(received_ns, raw, item)
                return True
            item.stream = merged.name
            item.payload = payload
            item.received_ns = received_ns
            merged.deliver(item)
            return True

        return receive

    def _take_slow(
        self,
        connection: FeedConnection,
        merged: MergedStream,
        item: Item,
        payload: bytes,
        received_ns: int,
    ) -> None:
        """Take a message, or the list of those of an array, that came on any connection."""
        connection.has_received = True
        if type(item) is not list:
            _stamp(item, merged.name, payload, received_ns)
        elif item:
            for message in item:
                _stamp(message, merged.name, payload, received_ns)
        else:
            merged.received_ms = self._context.now_ms
            return
        merged.messages += 1
        self._take_from(connection, merged, item)

    def _take_from(self, connection: FeedConnection, merged: MergedStream, item: Item) -> None:
        """Take what was counted."""
        if merged.primary is connection:
            if merged.is_stale:
                merged.end_staleness()
            merged.received_ms = self._context.now_ms
            merged.take(item)
            return
        merged.add(connection)
        if merged.primary is not None:
            merged.take_secondary(connection, item)
            return
        self._pool.mark_delivering(connection, [merged])  # heard before it was acknowledged
        merged.take(item)

    def receive_slow(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message that is not one of a known stream in the usual form."""
        connection = self.connections.get(number)
        if connection is None:
            return
        connection.has_received = True
        try:
            message = any_message(raw)
        except UNREADABLE as unreadable:
            self._tell_unreadable(connection, None, raw, str(unreadable))
            return
        error = message.error
        if message.stream:
            self._received_otherwise(connection, message.stream, bytes(message.data), received_ns)
        elif SHUTDOWN in {message.kind, message.event.kind if message.event else ""}:
            self._pool.on_shutdown(connection)
        elif error is not None:
            self._pool.on_response(connection, message.id, error.code, error.msg)
        elif message.id is not UNSET:
            self._pool.on_response(connection, message.id, None, "")
        else:
            self._tell_unreadable(connection, None, raw, "neither a stream nor an answer")
        self._pool.add_actions()

    def _received_otherwise(
        self, connection: FeedConnection, name: str, payload: bytes, received_ns: int
    ) -> None:
        """Take a message of a stream whose envelope is written in another way, or that fails."""
        merged = connection.streams.get(head_of(name))
        if merged is None:
            self._late += 1
            return
        try:
            item = merged.decode(payload)
        except UNREADABLE as error:
            if merged.primary in {None, connection}:
                self._context.observer.unread(name, payload, received_ns)
            self._tell_unreadable(connection, merged, payload, str(error))
            return
        self._take_slow(connection, merged, item, payload, received_ns)

    def _tell_unreadable(
        self, connection: FeedConnection, merged: MergedStream | None, raw: bytes, reason: str
    ) -> None:
        """Tell of what cannot be read, of a stream or of who knows which one on a connection."""
        self._unreadable += 1
        told = merged or connection
        if told.unreadable_ms and self._context.now_ms - told.unreadable_ms < GARBAGE_MS:
            return
        told.unreadable_ms = self._context.now_ms
        merged_streams = [merged] if merged else connection.merged_streams
        notice = DecodeFailed(
            streams=(), time_ms=self._context.wall_ms, payload=raw[:SHOWN_BYTES], reason=reason
        )
        notify(merged_streams, notice)

    # Time

    def tick(self, now_ms: int, wall_ms: int) -> None:
        """Let the clocks reach `now_ms` and `wall_ms`, and do what is due."""
        context = self._context
        has_stalled = now_ms - context.now_ms >= STALLED_MS
        context.now_ms, context.wall_ms = now_ms, wall_ms
        if has_stalled:
            self._pool.restart_timeouts()
        for merged, tick in tuple(context.due.items()):
            if not tick():
                context.due.pop(merged, None)
        self._backpressure.tick()
        all_stale, silent = self._staleness.tick(self.all_merged_streams)
        for connection in all_stale:
            self._pool.renew(connection)
        for connection, merged in silent:
            if connection.session is not None and connection.successor is None:
                connection.session.resubscribe(merged.name)
        self._pool.tick()
        self._unknown_streams.tick()
        self._pool.add_actions()

    # Backfills and checks

    def filled(self, stream: str, messages: Iterable[Message], after_id: int | None = None) -> None:
        """Give a stream what it missed.

        Args:
            stream: The stream.
            messages: What could be had.
            after_id: Of what was asked for; an answer that came too late is known by it.
        """
        for merged in self._named(stream):
            merged.filled(messages, after_id)

    def verified(self, streams: Iterable[str], reasons: Mapping[str, str] | None) -> None:
        """Take the answer about silent streams: why nothing will come, by name; None: no answer."""
        self._unknown_streams.checked(streams, reasons)

    def unfilled(self, stream: str, reason: str, after_id: int | None = None) -> None:
        """Tell a stream that what it missed cannot be had."""
        for merged in self._named(stream):
            merged.unfilled(reason, after_id)

    def _named(self, name: str) -> list[MergedStream]:
        found = (
            self.merged_streams.get(name),
            *(merged_streams.get(name) for merged_streams in self.apart.values()),
        )
        return [merged for merged in found if merged is not None]


def _stamp(message: Message, stream: str, payload: bytes, received_ns: int) -> None:
    """Say of `message` where and when it came from."""
    message.stream = stream
    message.payload = payload
    message.received_ns = received_ns


def _add(total: FeedCounters, counted: StreamCounters) -> None:
    """Add what was counted of messages to `total`."""
    total.duplicates += counted.duplicates
    total.gaps += counted.gaps
    total.missing += counted.missing
    total.backfilled += counted.backfilled


def _can_backfill(name: str) -> bool:
    return parse_stream_name(name).family in {"trade", "aggTrade", "kline"}
