"""Back-pressure for consumers that must not lose messages but have no room.

A connection is paused if none of its consumers has room.  If another one has room, it is read, so
that no consumer stops another.  Messages for the full consumer then fill the spare room of its queue,
and those after them are dropped, which it is told.

A server whose streams end waits for its slowest reader.  Its connections are paused as soon as one of
their consumers has no room: nobody loses anything, and all wait for that consumer.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.context import FeedContext
from tickerplant.feed.merged_stream import Sink

PATIENCE_MS = 500
"""How long a consumer must be full, while others are not, before it is told."""
WAITING_MS = 5_000
"""How long a server must wait for a consumer before that is reported."""


class FullConsumer(Protocol):
    """Callbacks for a consumer that has no room."""

    def check_room(self) -> None:
        """Call `resume_for` if there is room again; called with each tick."""

    def on_crowded(self) -> None:
        """Called while the consumer has been full for long and others share its connections."""

    def on_waited_for(self) -> None:
        """Called while the server, and so everybody else, has been waiting for the consumer for long."""


class Full(NamedTuple):
    """A consumer without room."""

    since_ms: int
    consumer: FullConsumer | None


class Backpressure:
    """Decides which of the connections of a feed are paused."""

    def __init__(self, context: FeedContext, connections: dict[int, FeedConnection]) -> None:
        self.full: dict[Sink, Full] = {}
        self._context = context
        self._connections = connections

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of `connection` has room."""
        full = self.full
        if not full:
            return False
        sinks = (sink for merged in connection.streams.values() for sink in merged.sinks)
        return (any if self._context.has_end else all)(sink in full for sink in sinks)

    def connections_to_pause(self) -> set[int]:
        """Return the open connections without a consumer that has room."""
        connections = self._connections.items() if self.full else ()
        return {
            number
            for number, connection in connections
            if connection.is_open and self.is_full(connection)
        }

    def tick(self) -> None:
        """Tell consumers that have been full for long what that means for them or for others."""
        for full in tuple(self.full.values()):
            if full.consumer is not None:
                full.consumer.check_room()
        has_end = self._context.has_end
        since_ms = self._context.now_ms - (WAITING_MS if has_end else PATIENCE_MS)
        for sink, full in tuple(self.full.items()):
            if full.consumer is None or full.since_ms > since_ms:
                continue
            if has_end:
                full.consumer.on_waited_for()
            elif self._is_crowded(sink):
                full.consumer.on_crowded()

    def _is_crowded(self, sink: Sink) -> bool:
        """Whether a consumer with room shares a connection with `sink`."""
        return any(
            not self.is_full(connection)
            and any(sink in merged.sinks for merged in connection.streams.values())
            for connection in self._connections.values()
        )
