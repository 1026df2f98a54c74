"""Silence: streams that should have told something, and connections on which nothing is heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tickerplant.feed.link import Link
from tickerplant.feed.rhythm import LOOK_MS
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.strand import Strand
from tickerplant.messages.notice import Recovered, Stale

DOUBLINGS = 10
"""As often patience with what is asked for in vain is doubled."""


class Watched(Protocol):
    """What a vigil sees of the feed."""

    settings: FeedSettings
    now_ms: int
    wall_ms: int
    links: dict[int, Link]

    @property
    def all_strands(self) -> list[Strand]:
        """The streams, shared and apart."""


class Vigil:
    """Looks for silence.

    Args:
        feed: What is looked at.
    """

    def __init__(self, feed: Watched) -> None:
        self.told = 0
        """Times a stream was called stale."""
        self._feed = feed
        self._look_ms = 0
        settings = feed.settings
        self._least_ms = min(
            settings.quick_stale_ms,
            settings.busy_stale_ms,
            settings.stale_ms,
            settings.unheard_ms,
        )
        """No stream is stale sooner."""
        self._deaf = 0
        """Connections that were replaced in a row because all their streams were stale."""

    def look(self) -> tuple[list[Link], list[tuple[Link, Strand]]]:
        """Tell which streams fell silent; return what is to be asked for anew.

        Returns:
            Connections to be replaced, and streams to be subscribed to again.
        """
        feed = self._feed
        if feed.now_ms < self._look_ms:
            return [], []
        self._look_ms = feed.now_ms + LOOK_MS
        strands = feed.all_strands
        silent = [found for strand in strands if (found := self._see(strand))]
        silent += [found for each in strands if each.followers for found in self._mute(each)]
        deaf = [link for link in tuple(feed.links.values()) if self._is_deaf(link)]
        self._deaf += len(deaf)
        return deaf, silent

    def end(self, strand: Strand) -> None:
        """Tell that a stale stream is heard again."""
        feed = self._feed
        strand.is_stale = False
        if strand.patience == 1:  # nobody has asked for it again
            strand.rhythm.endure()
        strand.patience = 0
        strand.rhythm.rest()
        self._deaf = 0
        blind_ms = strand.recover()
        strand.tell(Recovered(streams=(strand.name,), time_ms=feed.wall_ms, blind_ms=blind_ms))

    def _see(self, strand: Strand) -> tuple[Link, Strand] | None:
        """Tell that `strand` fell silent; return it if it is to be asked for again."""
        feed, link = self._feed, strand.lead
        if not isinstance(link, Link) or link.is_held_up:
            return None
        silent_ms, rhythm = feed.now_ms - strand.heard_ms, strand.rhythm
        count = strand.messages - strand.counters.duplicates
        rhythm.hear(count, strand.heard_ms, silent_ms)
        if silent_ms < self._least_ms:
            return None
        patience_ms = rhythm.repair_ms if strand.is_stale else rhythm.patience_ms
        if patience_ms is None or silent_ms < patience_ms << strand.patience:
            return None
        strand.patience = min(strand.patience + 1, DOUBLINGS)
        if strand.is_stale:
            return link, strand
        strand.is_stale = True
        strand.miss()
        self.told += 1
        strand.tell(
            Stale(
                streams=(strand.name,),
                time_ms=feed.wall_ms,
                silent_ms=silent_ms,
                expected_ms=strand.rhythm.expected_ms,
            )
        )
        return None

    def _mute(self, strand: Strand) -> Iterator[tuple[Link, Strand]]:
        """Yield the connections that tell other streams but not this one, which the leader tells."""
        settings = self._feed.settings
        for link, follower in strand.followers.items():
            if not isinstance(link, Link) or strand.lead is None or not strand.misses(follower):
                follower.missed_ms, follower.is_mute = 0, False
                continue
            follower.missed_ms = follower.missed_ms or self._feed.now_ms
            told_ms = link.heard_ms - follower.missed_ms
            follower.is_mute = told_ms >= settings.overlap_ms
            patience_ms = settings.stale_ms << min(follower.asked_again, DOUBLINGS)
            if told_ms >= patience_ms and link.session is not None and link.successor is None:
                follower.asked_again += 1
                follower.missed_ms = 0
                follower.carried = False
                yield link, strand

    def _is_deaf(self, link: Link) -> bool:
        """Whether a connection has been open for long, and everything on it is stale."""
        if not link.is_open or link.successor is not None or link.predecessor is not None:
            return False
        age_ms = self._feed.now_ms - link.opened_ms
        if age_ms < self._feed.settings.deaf_ms << min(self._deaf, DOUBLINGS):
            return False
        strands = tuple(link.lanes.values())
        due = [each for each in strands if each.rhythm.repair_ms is not None and _may_come(each)]
        if any(each.messages for each in strands) and not any(each.messages for each in due):
            return False  # what was never heard may be no stream at all: others are heard
        return bool(due) and all(
            each.is_stale and each.lead is link and self._is_overdue(each) for each in due
        )

    def _is_overdue(self, strand: Strand) -> bool:
        """Whether `strand` is silent for so long that something is to be done about it."""
        repair_ms = strand.rhythm.repair_ms
        return repair_ms is not None and self._feed.now_ms - strand.heard_ms >= repair_ms


def _may_come(strand: Strand) -> bool:
    """Whether messages of `strand` can be expected."""
    return strand.messages > 0 or not strand.doubt
