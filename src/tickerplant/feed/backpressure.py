"""Consumers with no room, who may lose nothing: what is not read for them, so that the server waits.

A connection is not read if none of its consumers has room.  If another one has, it is read: nobody
is stopped by somebody else.  What comes meanwhile for the one without room waits in its queue, which
holds some more than it should; and after a while that consumer gets connections of its own.  They
open first, its streams are heard on both, and once nothing is lost by it the streams are split.
From then on it may read as slowly as it likes, and keeps those connections until it is closed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.connection_pool import ConnectionPool
from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.feed.settings import FeedSettings

PATIENCE_MS = 500
"""A consumer without room is given connections of its own after so long."""


class Watched(Protocol):
    """What is seen of the feed."""

    settings: FeedSettings
    now_ms: int
    connections: dict[int, FeedConnection]
    merged_streams: dict[str, MergedStream]
    apart: dict[Sink, dict[str, MergedStream]]


class Waiting(Protocol):
    """What a consumer without room may want to know."""

    def look(self) -> None:
        """Make room if there is some again; called with each tick."""

    def crowded(self, has_own: bool) -> None:
        """Take note that others with room share its connections for long; whether it gets its own."""


class Full(NamedTuple):
    """A consumer without room."""

    since_ms: int
    waiting: Waiting | None


class Backpressure:
    """Says what is not read, and gives who is full connections of their own.

    Args:
        feed: Whose consumers they are.
        fleet: Its connections.
    """

    def __init__(self, feed: Watched, pool: ConnectionPool) -> None:
        self.full: dict[Sink, Full] = {}
        self.moved = 0
        """Consumers who were given connections of their own."""
        self._feed = feed
        self._pool = pool
        self._moving: dict[Sink, None] = {}

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of `connection` has room, and it is not needed to get one out of the way."""
        full = self.full
        if not full or connection.group.owner in self._moving:
            return False
        return all(sink in full for merged in connection.streams.values() for sink in merged.sinks)

    def unread(self) -> set[int]:
        """Return the open connections none of whose consumers has room."""
        connections = self._feed.connections.items() if self.full else ()
        return {
            number
            for number, connection in connections
            if connection.is_open and self.is_full(connection)
        }

    def look(self) -> None:
        """Begin what is due, and end what can be ended."""
        for full in tuple(self.full.values()):
            if full.waiting is not None:
                full.waiting.look()
        due_ms = self._feed.now_ms - PATIENCE_MS
        for sink, full in tuple(self.full.items()):
            if full.since_ms <= due_ms and sink not in self._moving and self._is_crowded(sink):
                self._begin(sink, full)
        for sink in tuple(self._moving):
            self._go_on(sink)

    def _is_crowded(self, sink: Sink) -> bool:
        """Whether somebody with room is on the connections that `sink` shares."""
        shared = set(self._shared(sink))
        return bool(shared) and any(
            not self.is_full(connection) and not shared.isdisjoint(connection.streams.values())
            for connection in self._feed.connections.values()
        )

    def _shared(self, sink: Sink) -> list[MergedStream]:
        return [merged for merged in self._feed.merged_streams.values() if sink in merged.sinks]

    def _begin(self, sink: Sink, full: Full) -> None:
        apart = self._feed.apart.keys() | self._moving.keys()
        has_own = sink in apart or len(apart) < self._feed.settings.most_apart
        if has_own:
            self.moved += sink not in apart
            self._moving[sink] = None
        if full.waiting is not None:
            full.waiting.crowded(has_own)

    def _go_on(self, sink: Sink) -> None:
        """Give `sink` what it has not yet of its own, and let it have that alone if nothing is lost."""
        shared = self._shared(sink)
        for merged in shared:
            if not self._pool.own_connections(merged, sink):
                self._pool.place(merged, sink)
            elif (apart := self._pool.split(merged, sink)) is not None:
                if apart is merged:
                    del self._feed.merged_streams[merged.name]
                self._feed.apart.setdefault(sink, {})[merged.name] = apart
        if not self._shared(sink):
            del self._moving[sink]
