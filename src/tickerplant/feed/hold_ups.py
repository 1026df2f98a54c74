"""Connections that are not read: whom that leaves blind, through no fault of the server.

A consumer that has no room and may lose nothing holds its connections up.  Others that share them
hear nothing either, and are told.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple, Protocol

from tickerplant.feed.link import Link
from tickerplant.feed.strand import Sink, Strand
from tickerplant.messages.notice import Recovered, Stale

PATIENCE_MS = 1_000
"""Consumers are told when their stream is not read for so long."""
REASON = "not read: another consumer on its connection has no room"


class Watched(Protocol):
    """What is seen of the feed."""

    now_ms: int
    wall_ms: int
    links: dict[int, Link]
    strands: dict[str, Strand]
    full: Container[Sink]


class _Told(NamedTuple):
    """Who was told that a stream is not read, and when something of it was last heard."""

    heard_ms: int
    sinks: list[Sink]


class HoldUps:
    """Tells consumers with room that others have none, and when that is over.

    Args:
        feed: Whose connections they are.
    """

    def __init__(self, feed: Watched) -> None:
        self._feed = feed
        self._told: dict[Strand, _Told] = {}

    def look(self) -> None:
        """Tell who has room which streams are not read, and which are again."""
        for strand in tuple(self._feed.strands.values()):
            self._see(strand)
        self.look_again()

    def _see(self, strand: Strand) -> None:
        feed, link = self._feed, self._unread_link(strand)
        if link is None or strand.is_stale or feed.now_ms - link.held_up_ms < PATIENCE_MS:
            return
        told = self._told.get(strand) or _Told(strand.heard_ms, [])
        notice = Stale(
            streams=(strand.name,),
            time_ms=feed.wall_ms,
            silent_ms=feed.now_ms - told.heard_ms,
            expected_ms=strand.rhythm.expected_ms,
            reason=REASON,
        )
        for sink in dict.fromkeys(strand.sinks):
            if not link.is_held_up:  # who was told has ended it
                return
            if sink in strand.sinks and sink not in feed.full and sink not in told.sinks:
                self._told[strand] = told
                told.sinks.append(sink)
                sink(notice)

    def _unread_link(self, strand: Strand) -> Link | None:
        """Return the connection on which `strand` would be heard if it were read; None: it is."""
        lead = strand.lead
        if isinstance(lead, Link):
            return lead if lead.is_held_up else None
        if strand.blindness is not None:  # consumers know that nothing is heard
            return None
        links = self._feed.links.values()
        return next((it for it in links if it.is_held_up and strand.name in it.names), None)

    def look_again(self) -> None:
        """Tell who was told that a stream is not read that it is."""
        feed = self._feed
        for strand in tuple(self._told):
            if self._unread_link(strand) is not None:
                continue
            if strand.lead is None and strand.blindness is None:  # its subscription is on the way
                continue
            told = self._told.pop(strand, None)
            if told is None or strand.lead is None:  # then consumers were told that it is lost
                continue
            blind_ms = feed.now_ms - told.heard_ms
            notice = Recovered(streams=(strand.name,), time_ms=feed.wall_ms, blind_ms=blind_ms)
            for sink in told.sinks:
                if sink in strand.sinks:
                    sink(notice)

    def forget(self, strand: Strand, sink: Sink) -> None:
        """Take note that `sink` may not be a consumer of `strand` any more."""
        told = self._told.get(strand)
        if told is None or sink in strand.sinks or sink not in told.sinks:
            return
        told.sinks.remove(sink)
        if not told.sinks:
            del self._told[strand]
