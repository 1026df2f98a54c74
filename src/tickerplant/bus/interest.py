"""Which edges of a plant want which streams, as long as they say so.

An edge numbers its changes.  A change that does not follow the last one is not applied: the edge is
asked for its full list.  The interest of an edge ends with its lease.

Pure: the time is an argument, in ms of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from tickerplant.bus.nodes import LEASE_MS, Interest, Report

Name: TypeAlias = tuple[str, str]
"""A venue's name, and the name of a stream."""

MAX_EDGES = 4_096
"""Edges of one plant; the reports of further ones are refused."""


class EdgeState(Struct, kw_only=True, eq=False):
    """What a plant knows of one edge."""

    identity: str
    host: str = ""
    pid: int = 0
    version: int = 0
    """Of its last change that was applied."""
    wanted: dict[Name, int] = {}
    """The streams that it wants, each with the last number of any stream when it was opened."""
    parts: dict[Name, None] = {}
    """The first parts of a full list, until the last."""
    subscriber_count: int = 0
    is_congested: bool = False
    reached_mark: int = 0
    """The last mark before which it has delivered everything."""
    report: bytes = b""
    """Its own figures, as it sent them."""
    seen_ms: int = 0
    lease_ms: int = LEASE_MS


class Streams(Protocol):
    """What publishes the streams that are wanted."""

    def open_stream(self, name: Name) -> object:
        """Publish the stream from now on: its first edge wants it."""
        ...

    def close_stream(self, name: Name) -> object:
        """Publish the stream no longer: no edge wants it."""
        ...


class InterestTable:
    """The edges of a plant, and the streams that they want.

    Args:
        streams: Opened and closed as edges want them.
    """

    def __init__(self, streams: Streams) -> None:
        self.edges: dict[str, EdgeState] = {}
        """By identity."""
        self.wanted_by: dict[Name, set[str]] = {}
        """The edges that want each stream."""
        self.refused_count = 0
        """Reports of edges beyond the bound."""
        self.unanswered: dict[str, None] = {}
        """Edges that have told or asked something while this plant did not publish."""
        self._streams = streams

    def report(self, report: Report, now_ms: int) -> bool | None:
        """Note that an edge is there.

        Returns:
            Whether its interest is known here as it is there; None if it is one edge too many.
        """
        edge = self._edge(report.edge, now_ms)
        if edge is None:
            return None
        edge.host, edge.pid = report.host, report.pid
        edge.lease_ms = max(report.lease_ms, LEASE_MS)
        edge.subscriber_count = report.subscriber_count
        edge.is_congested = report.is_congested
        edge.report = report.body
        return edge.version == report.version

    def change(self, change: Interest, now_ms: int, number: int) -> bool | None:
        """Apply a change of interest.

        Args:
            change: What an edge has told.
            now_ms: The time.
            number: The last number of any stream.

        Returns:
            Whether it was applied; otherwise the edge's full list is needed.  None if it is one edge
            too many.
        """
        edge = self._edge(change.edge, now_ms)
        if edge is None:
            return None
        if not change.is_full and change.version != edge.version + 1:
            return False
        opened = _names(change.opened)
        if change.is_full:
            edge.parts.update(dict.fromkeys(opened))
            if change.has_more:
                return True
            opened, edge.parts = list(edge.parts), {}
            kept = set(opened)
            closed = sorted(name for name in edge.wanted if name not in kept)
        else:
            closed = [name for name in _names(change.closed) if name in edge.wanted]
        edge.version = change.version
        edge.subscriber_count = change.subscriber_count
        self._close(edge, closed)
        self._open(edge, [name for name in opened if name not in edge.wanted], number)
        return True

    def leave(self, identity: str) -> EdgeState | None:
        """End the interest of an edge; return what was known of it."""
        edge = self.edges.pop(identity, None)
        if edge is not None:
            self._close(edge, sorted(edge.wanted))
        return edge

    def expire(self, now_ms: int) -> list[EdgeState]:
        """End the interest of the edges whose lease is over, and return them."""
        late = [edge for edge in self.edges.values() if now_ms - edge.seen_ms > edge.lease_ms]
        for edge in late:
            self.leave(edge.identity)
        return late

    def leave_unanswered(self, identity: str) -> None:
        """Note that an edge got no answer, because this plant does not publish now."""
        if len(self.unanswered) < MAX_EDGES:
            self.unanswered[identity] = None

    def take_unanswered(self) -> list[str]:
        """Return the edges that wait for an answer, once."""
        edges, self.unanswered = list(self.unanswered), {}
        return edges

    def _edge(self, identity: str, now_ms: int) -> EdgeState | None:
        edge = self.edges.get(identity)
        if edge is None:
            if len(self.edges) >= MAX_EDGES:
                self.refused_count += 1
                return None
            edge = self.edges[identity] = EdgeState(identity=identity)
        edge.seen_ms = now_ms
        return edge

    def _open(self, edge: EdgeState, names: Iterable[Name], number: int) -> None:
        for name in names:
            edge.wanted[name] = number
            edges = self.wanted_by.get(name)
            if edges is None:
                self.wanted_by[name] = {edge.identity}
                self._streams.open_stream(name)
            else:
                edges.add(edge.identity)

    def _close(self, edge: EdgeState, names: Iterable[Name]) -> None:
        for name in names:
            edge.wanted.pop(name, None)
            edges = self.wanted_by[name]
            edges.discard(edge.identity)
            if not edges:
                del self.wanted_by[name]
                self._streams.close_stream(name)


def _names(by_venue: Mapping[str, list[str]]) -> list[Name]:
    return [(venue, name) for venue, names in by_venue.items() for name in names]
