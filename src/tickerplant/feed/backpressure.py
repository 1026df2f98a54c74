"""Back-pressure for consumers that must not lose messages but have no room.

A connection is paused if none of its consumers has room.  If another one has room, it is read, so
that no consumer stops another.  Messages for the full consumer then fill the spare room of its
queue; after a while that consumer gets connections of its own.  These open first, both deliver its
streams, and once nothing can be lost the streams are split.  From then on the consumer may read as
slowly as it likes; it keeps its connections until it is closed.

A server whose streams end waits for its slowest reader.  Its connections are paused as soon as one of
their consumers has no room: nobody loses anything, and all wait for that consumer.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.connection_pool import ConnectionPool
from tickerplant.feed.context import FeedContext
from tickerplant.feed.merged_stream import MergedStream, Sink

PATIENCE_MS = 500
"""How long a consumer must be full before it gets connections of its own."""
WAITING_MS = 5_000
"""How long a server must wait for a consumer before that is reported."""


class FullConsumer(Protocol):
    """Callbacks for a consumer that has no room."""

    def check_room(self) -> None:
        """Call `resume_for` if there is room again; called with each tick."""

    def on_crowded(self, has_own: bool) -> None:
        """Called once the consumer has been full for long while others share its connections.

        Args:
            has_own: Whether it gets connections of its own.
        """

    def on_waited_for(self) -> None:
        """Called while the server, and so everybody else, has been waiting for the consumer for long."""


class Full(NamedTuple):
    """A consumer without room."""

    since_ms: int
    consumer: FullConsumer | None


class Backpressure:
    """Decides which connections are paused, and which consumers get connections of their own.

    Args:
        context: The shared state of the feed.
        pool: Its connections.
        merged_streams: The streams that consumers share, by name.
        apart: The streams of consumers with connections of their own, by consumer and name.
    """

    def __init__(
        self,
        context: FeedContext,
        pool: ConnectionPool,
        merged_streams: dict[str, MergedStream],
        apart: dict[Sink, dict[str, MergedStream]],
    ) -> None:
        self.full: dict[Sink, Full] = {}
        self.moved = 0
        """Consumers that got connections of their own."""
        self._context = context
        self._merged_streams = merged_streams
        self._apart = apart
        self._pool = pool
        self._moving: dict[Sink, None] = {}

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of `connection` has room.

        A connection to which a consumer is being moved is never full.
        """
        full = self.full
        if not full or connection.group.owner in self._moving:
            return False
        sinks = (sink for merged in connection.streams.values() for sink in merged.sinks)
        return (any if self._context.has_end else all)(sink in full for sink in sinks)

    def connections_to_pause(self) -> set[int]:
        """Return the open connections without a consumer that has room."""
        connections = self._pool.connections.items() if self.full else ()
        return {
            number
            for number, connection in connections
            if connection.is_open and self.is_full(connection)
        }

    def tick(self) -> None:
        """Begin to move consumers that have been full for long, and finish moves."""
        for full in tuple(self.full.values()):
            if full.consumer is not None:
                full.consumer.check_room()
        if self._context.has_end:
            self._report_waiting()
            return
        due_ms = self._context.now_ms - PATIENCE_MS
        for sink, full in tuple(self.full.items()):
            if full.since_ms <= due_ms and sink not in self._moving and self._is_crowded(sink):
                self._begin_move(sink, full)
        for sink in tuple(self._moving):
            self._continue_move(sink)

    def _report_waiting(self) -> None:
        since_ms = self._context.now_ms - WAITING_MS
        for full in self.full.values():
            if full.since_ms <= since_ms and full.consumer is not None:
                full.consumer.on_waited_for()

    def _is_crowded(self, sink: Sink) -> bool:
        """Whether a consumer with room shares a connection with `sink`."""
        shared = set(self._shared(sink))
        return bool(shared) and any(
            not self.is_full(connection) and not shared.isdisjoint(connection.streams.values())
            for connection in self._pool.connections.values()
        )

    def _shared(self, sink: Sink) -> list[MergedStream]:
        return [merged for merged in self._merged_streams.values() if sink in merged.sinks]

    def _begin_move(self, sink: Sink, full: Full) -> None:
        apart = self._apart.keys() | self._moving.keys()
        has_own = sink in apart or len(apart) < self._context.settings.connections.most_apart
        if has_own:
            self.moved += sink not in apart
            self._moving[sink] = None
        if full.consumer is not None:
            full.consumer.on_crowded(has_own)

    def _continue_move(self, sink: Sink) -> None:
        """Place the streams of `sink` on its own connections, and split those that have caught up."""
        shared = self._shared(sink)
        for merged in shared:
            if not self._pool.own_connections(merged, sink):
                self._pool.place(merged, sink)
            elif (apart := self._pool.split(merged, sink)) is not None:
                if apart is merged:
                    del self._merged_streams[merged.name]
                self._apart.setdefault(sink, {})[merged.name] = apart
        if not self._shared(sink):
            del self._moving[sink]
