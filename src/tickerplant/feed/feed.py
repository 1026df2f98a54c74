"""A feed: streams of one venue, without gaps, over as many connections as they need.

This is a state machine.  Its caller (`client/runner.py`) reports what happens by `opened`,
`refused`, `lost`, `received`, `pong_received`, and the time by `tick`; then it carries out what
`take_actions` returns.

`received` hands messages to the sinks of consumers by plain calls.  `merged_stream.py` merges
several connections to one stream, `connection_pool.py` manages connections, and `staleness.py`
detects silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TypeAlias

from msgspec import UNSET, Struct, structs

from tickerplant.envelope import NECK, head_of
from tickerplant.feed.connection import FeedConnection, any_message
from tickerplant.feed.connection_pool import ConnectionPool
from tickerplant.feed.context import Action, FeedContext
from tickerplant.feed.cursor import id_cursor_of
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.history import has_history
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.identified import IdentifiedStream
from tickerplant.feed.matched import CandleStream, MatchedStream
from tickerplant.feed.merged_stream import Item, Keep, MergedStream, Sink, StreamCounters
from tickerplant.feed.settings import ClientSettings
from tickerplant.feed.staleness import StalenessMonitor, UnknownStreams, notify
from tickerplant.formatting import LONGEST_MESSAGE, one_line
from tickerplant.messages.message import Message
from tickerplant.messages.readers import UNREADABLE, Reader
from tickerplant.notices import DecodeFailed, Stale, UnknownStream
from tickerplant.stream_name import SNAPSHOT_SUFFIX
from tickerplant.streams.spelling import unknown_reason

_END = ord("}")
"""The last byte of a message in the usual envelope."""

STALLED_MS = 2_000
"""After so long without a tick, nothing was read either, so silence means nothing."""
SHOWN_BYTES = 200
"""How much of an unreadable message is shown."""
UNREADABLE_NOTICE_MS = 1_000
"""Shortest time between two notices of unreadable messages of a stream or connection."""
SHUTDOWN = "serverShutdown"
"""The event of a server that is about to close its connections."""


Receive: TypeAlias = Callable[[bytes, int], bool]
"""Takes a text message and its receive time (ns); returns whether it is dealt with."""


class FeedCounters(Struct):
    """Counts over all connections and streams."""

    messages: int = 0
    """Messages that were read, notices not counted."""
    opened: int = 0
    """Connections that were opened."""
    refused: int = 0
    """Attempts that failed."""
    lost: int = 0
    """Connections that ended although they were wanted."""
    renewed: int = 0
    """Connections that were replaced in time."""
    unreadable: int = 0
    """Messages that could not be decoded (`DecodeFailed`)."""
    late: int = 0
    """Messages of streams that have no consumer any more."""
    failed_checks: int = 0
    """Checks over REST of silent streams that got no response; after three in a row none is made."""
    stale: int = 0
    """How often a stream became stale."""
    duplicates: int = 0
    """Messages that were discarded because they were delivered before, by this or another connection."""
    out_of_order: int = 0
    """Messages with ids that were discarded because they came after later ones."""
    gaps: int = 0
    """How often ids were missing (`Gap`)."""
    missing: int = 0
    """Messages that are proved missing and could not be backfilled."""
    backfilled: int = 0
    """Missing messages that were fetched over REST and delivered."""


class Feed:
    """The streams of one venue."""

    def __init__(
        self,
        hosts: Hosts,
        settings: ClientSettings,
        reader: Callable[[str], Reader],
        rng: Random,
    ) -> None:
        self.context = FeedContext(settings)
        self.merged_streams: dict[str, MergedStream] = {}
        """The streams, by name."""
        self._venue = hosts.venue
        self._reader = reader
        self._unreadable = 0
        self._late = 0
        self.take_snapshot: Callable[[str, bytes], object] | None = None
        """Takes the recorded snapshots that a hosted replay shows to a depth stream."""
        self._ended = FeedCounters()
        """Counts of streams that were closed."""
        self.pool = ConnectionPool(self.context, hosts, rng)
        self.connections: dict[int, FeedConnection] = self.pool.connections
        self._staleness = StalenessMonitor(self.context, self.connections)
        self._unknown_streams = UnknownStreams(self.context)

    def take_actions(self) -> list[Action]:
        """Return what the caller is to do, oldest first; each action is returned once."""
        actions, self.context.actions = self.context.actions, []
        return actions

    # Consumers

    def attach(
        self,
        names: Iterable[str],
        sink: Sink,
        *,
        backfills: bool = False,
        keeper: Callable[[str], Keep] | None = None,
    ) -> None:
        """Hand the messages of `names`, and notices about them, to `sink` from now on.

        Args:
            names: The streams.
            sink: Takes messages and notices.
            backfills: Whether to backfill gaps over REST.
            keeper: Returns a function that takes the messages of a stream in place of `sink`, if
                they are delivered at once, in the usual envelope, and to no other consumer.
        """
        joined = []
        for name in map(str, names):  # a `StreamName` cannot be encoded
            merged = self.merged_streams.get(name) or self._open_merged(name)
            keep = keeper and keeper(name)
            merged.attach(sink, backfills=backfills and has_history(name), keep=keep)
            joined.append(merged)
        self._notify_newcomer(joined, sink)
        self.pool.add_actions()

    def _notify_newcomer(self, merged_streams: Iterable[MergedStream], sink: Sink) -> None:
        """Hand a new consumer the notices that describe the present state of its streams."""
        for merged in dict.fromkeys(merged_streams):
            if merged.unknown_reason and not merged.messages:
                names = (merged.name,)
                sink(
                    UnknownStream(
                        streams=names, time_ms=self.context.wall_ms, reason=merged.unknown_reason
                    )
                )
            if merged.rejection is not None:
                sink(structs.replace(merged.rejection, streams=(merged.name,)))
            outage = merged.outage
            if outage is not None and outage.notice is not None:
                sink(structs.replace(outage.notice, streams=(merged.name,)))
            elif merged.is_stale:
                silent_ms = self.context.now_ms - (
                    outage.since_ms if outage else merged.silent_since_ms
                )
                expected_ms = merged.expected_interval.expected_ms
                sink(
                    Stale(
                        streams=(merged.name,),
                        time_ms=self.context.wall_ms,
                        silent_ms=silent_ms,
                        expected_ms=expected_ms,
                    )
                )

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Hand nothing of `names` to `sink` any more."""
        for name in names:
            merged = self.merged_streams.get(name)
            if merged is None or sink not in merged.sinks:
                continue
            merged.detach(sink)
            if not merged.sinks:
                self._close_merged(merged)
        self.pool.add_actions()

    @property
    def counters(self) -> FeedCounters:
        """The counts so far."""
        pool = self.pool
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
        )
        for merged in self.merged_streams.values():
            counted.messages += merged.messages
            _add(counted, merged.counters)
        return counted

    @property
    def has_ended(self) -> bool:
        """Whether the server has ended its streams, and everything has been delivered."""
        return (
            self.pool.has_finished
            and not self.connections
            and not any(merged.held_count for merged in self.merged_streams.values())
        )

    def expect_end(self) -> None:
        """Take close code 1000 as the end of the streams, and no silence as a fault.

        All streams share one connection then, as far as they fit, so that they keep their order.
        """
        self.context.has_end = True

    @property
    def is_settled(self) -> bool:
        """Whether each stream is delivered or rejected."""
        return all(
            merged.primary is not None or merged.is_rejected
            for merged in self.merged_streams.values()
        )

    @property
    def is_delivering(self) -> bool:
        """Whether a connection delivers every stream, and none is stale."""
        return all(
            merged.primary is not None and not merged.is_stale
            for merged in self.merged_streams.values()
        )

    def is_delivered(self, name: str) -> bool:
        """Whether a connection delivers the stream `name`."""
        merged = self.merged_streams.get(name)
        return merged is not None and merged.primary is not None

    def _open_merged(self, name: str) -> MergedStream:
        reader = self._reader(name)
        expected_interval = ExpectedInterval(self._venue, name, self.context.settings)
        cursor = id_cursor_of(name, reader.message)
        if cursor is not None:
            merged: MergedStream = IdentifiedStream(
                name, reader.decode, expected_interval, self.context, cursor()
            )
        elif "candle" in reader.message.__struct_fields__:
            merged = CandleStream(name, reader.decode, expected_interval, self.context)
        else:
            merged = MatchedStream(name, reader.decode, expected_interval, self.context)
        merged.is_array = reader.array
        merged.unknown_reason = unknown_reason(self._venue, name)
        self._unknown_streams.add(merged)
        self.merged_streams[name] = merged
        self.pool.place(merged)
        return merged

    def _close_merged(self, merged: MergedStream) -> None:
        del self.merged_streams[merged.name]
        self.context.due.pop(merged, None)
        self._unknown_streams.remove(merged)
        self._ended.messages += merged.messages
        _add(self._ended, merged.counters)
        merged.close()
        self.pool.remove(merged)

    # Connections

    def opened(self, number: int) -> None:
        """Note that a connection is open."""
        connection = self.connections.get(number)
        if connection is not None:
            self.pool.opened(connection)
            self.pool.add_actions()

    def refused(
        self, number: int, reason: str, status: int | None = None, retry_after_ms: int = 0
    ) -> None:
        """Note that an attempt failed."""
        connection = self.connections.get(number)
        if connection is not None:
            self.pool.refused(connection, reason, status, retry_after_ms)
            self.pool.add_actions()

    def lost(self, number: int, reason: str, close_code: int | None = None) -> None:
        """Note that an open connection ended."""
        connection = self.connections.get(number)
        if connection is not None:
            self.pool.lost(connection, reason, close_code)
            self.pool.add_actions()

    def pong_received(self, number: int) -> None:
        """Note that a pong, or anything else but a message, came."""
        connection = self.connections.get(number)
        if connection is not None:
            connection.received(self.context.now_ms)

    # Messages

    def received(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message."""
        if number in self.connections and not self.receiver(number)(raw, received_ns):
            self.receive_slow(number, raw, received_ns)

    def receiver(self, number: int) -> Receive:
        """Return the function that takes the text messages of an open connection: the hot path.

        If it returns False, the message is not one of a stream in the usual envelope; nothing was
        done, and `receive_slow` is to be called.
        """
        connection, context = self.connections[number], self.context
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
            merged.received_ms = self.context.now_ms
            return
        merged.messages += 1
        self._take_from(connection, merged, item)

    def _take_from(self, connection: FeedConnection, merged: MergedStream, item: Item) -> None:
        """Take a message that has been counted."""
        if merged.primary is connection:
            if merged.is_stale:
                merged.end_staleness()
            merged.received_ms = self.context.now_ms
            merged.take(item)
            return
        merged.add(connection)
        if merged.primary is not None:
            merged.take_secondary(connection, item)
            return
        self.pool.mark_delivering(connection, [merged])  # a message before the acknowledgement
        merged.take(item)

    def receive_slow(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message that is not one of a known stream in the usual envelope."""
        connection = self.connections.get(number)
        if connection is None:
            return
        connection.has_received = True
        try:
            message = any_message(raw)
        except UNREADABLE as unreadable:
            self._notify_unreadable(connection, None, raw, str(unreadable))
            return
        error = message.error
        if message.stream:
            self._receive_unusual(connection, message.stream, bytes(message.data), received_ns)
        elif SHUTDOWN in {message.kind, message.event.kind if message.event else ""}:
            self.pool.on_shutdown(connection)
        elif error is not None:
            said = one_line(error.msg, LONGEST_MESSAGE)
            self.pool.on_response(connection, message.id, error.code, said)
        elif message.id is not UNSET:
            self.pool.on_response(connection, message.id, None, "")
        else:
            self._notify_unreadable(
                connection, None, raw, "neither a message of a stream nor a response"
            )
        self.pool.add_actions()

    def _receive_unusual(
        self, connection: FeedConnection, name: str, payload: bytes, received_ns: int
    ) -> None:
        """Take a message of a stream in an unusual envelope, or one that could not be decoded."""
        merged = connection.streams.get(head_of(name))
        if merged is None:
            if self.take_snapshot is not None and name.endswith(SNAPSHOT_SUFFIX):
                self.take_snapshot(name.removesuffix(SNAPSHOT_SUFFIX), payload)
            else:
                self._late += 1
            return
        try:
            item = merged.decode(payload)
        except UNREADABLE as error:
            if merged.primary in {None, connection}:
                self.context.observer.unreadable(name, payload, received_ns)
            self._notify_unreadable(connection, merged, payload, str(error))
            return
        self._take_slow(connection, merged, item, payload, received_ns)

    def _notify_unreadable(
        self, connection: FeedConnection, merged: MergedStream | None, raw: bytes, reason: str
    ) -> None:
        """Notify consumers of an unreadable message, of a stream or any one of a connection."""
        self._unreadable += 1
        source = merged or connection
        if (
            source.unreadable_ms
            and self.context.now_ms - source.unreadable_ms < UNREADABLE_NOTICE_MS
        ):
            return
        source.unreadable_ms = self.context.now_ms
        merged_streams = [merged] if merged else connection.merged_streams
        notice = DecodeFailed(
            streams=(), time_ms=self.context.wall_ms, payload=raw[:SHOWN_BYTES], reason=reason
        )
        notify(merged_streams, notice)

    # Time

    def tick(self, now_ms: int, wall_ms: int) -> None:
        """Advance the clocks to `now_ms` and `wall_ms`, and do what is due."""
        context = self.context
        has_stalled = now_ms - context.now_ms >= STALLED_MS
        context.now_ms, context.wall_ms = now_ms, wall_ms
        if has_stalled:
            self.pool.restart_timeouts()
        for merged, tick in tuple(context.due.items()):
            if not tick():
                context.due.pop(merged, None)
        self.pool.tell_full()
        if not context.has_end:
            self._repair_silent()
        self.pool.tick()
        self._unknown_streams.tick()
        self.pool.add_actions()

    def _repair_silent(self) -> None:
        """Notify consumers of silent streams, and subscribe to them again."""
        all_stale, silent = self._staleness.tick(tuple(self.merged_streams.values()))
        for connection in all_stale:
            self.pool.renew(connection)
        for connection, merged in silent:
            if connection.session is not None and connection.successor is None:
                connection.session.resubscribe(merged.name)

    # Backfills and checks

    def filled(self, stream: str, messages: Iterable[Message], after_id: int | None = None) -> None:
        """Take missing messages that were fetched over REST."""
        if (merged := self.merged_streams.get(stream)) is not None:
            merged.filled(messages, after_id)

    def verified(self, streams: Iterable[str], reasons: Mapping[str, str] | None) -> None:
        """Take the result of `Verify`: by name, why no message will come; None: no response."""
        self._unknown_streams.checked(streams, reasons)

    def unfilled(self, stream: str, reason: str, after_id: int | None = None) -> None:
        """Note that missing messages could not be fetched, and why."""
        if (merged := self.merged_streams.get(stream)) is not None:
            merged.unfilled(reason, after_id)


def _stamp(message: Message, stream: str, payload: bytes, received_ns: int) -> None:
    message.stream = stream
    message.payload = payload
    message.received_ns = received_ns


def _add(total: FeedCounters, counted: StreamCounters) -> None:
    total.duplicates += counted.duplicates
    total.out_of_order += counted.out_of_order
    total.gaps += counted.gaps
    total.missing += counted.missing
    total.backfilled += counted.backfilled
