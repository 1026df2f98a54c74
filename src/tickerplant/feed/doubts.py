"""Doubts: streams of which nothing will come, however long one waits.

A server acknowledges whatever it is asked for.  What is wrong with a name alone is said at once; of
a stream that stays silent it is asked whether the server lists its symbol, and serves its venue.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol

from tickerplant.feed.actions import Action, Verify
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.notify import notify
from tickerplant.feed.observer import Observer
from tickerplant.messages.notice import UnknownStream

LOOK_MS = 500
"""How often silent streams are looked for."""
SILENT_MS = 5_000
"""A stream of which nothing came for so long is asked about: whether its symbol is listed."""
AGAIN_MS = 60_000
"""A question that was not answered is asked again after so long."""
MOST_FAILURES = 3
"""Questions in a row that may go unanswered; after that nothing is asked any more."""


class Feed(Protocol):
    """What the doubts see of the feed."""

    now_ms: int
    wall_ms: int
    actions: list[Action]
    observer: Observer

    def is_held_up(self, connection: Hashable) -> bool:
        """Whether a connection is not read, because a consumer has no room."""


class Doubts:
    """Finds out of which streams nothing will come.

    Args:
        feed: Whose streams they are.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._unheard: dict[MergedStream, int | None] = {}
        """Streams of which nothing came yet, and since when something might have."""
        self._asked: dict[MergedStream, None] = {}
        """Streams that are asked about."""
        self._look_ms = 0
        self._failures = 0

    def begin(self, merged: MergedStream) -> None:
        """Take note of a new stream."""
        if merged.doubt:
            self._feed.observer.doubted(merged.name, merged.doubt)
        else:
            self._unheard[merged] = None

    def forget(self, merged: MergedStream) -> None:
        """Take note that nobody wants a stream any more."""
        self._unheard.pop(merged, None)
        self._asked.pop(merged, None)

    def look(self) -> None:
        """Ask about the streams that are silent for long enough."""
        feed = self._feed
        if not self._unheard or feed.now_ms < self._look_ms:
            return
        self._look_ms = feed.now_ms + LOOK_MS
        silent = [merged for merged in tuple(self._unheard) if self._is_silent(merged)]
        for merged in silent:
            del self._unheard[merged]
        if silent and self._failures < MOST_FAILURES:
            self._asked.update(dict.fromkeys(silent))
            feed.actions.append(Verify(tuple(merged.name for merged in silent)))

    def _is_silent(self, merged: MergedStream) -> bool:
        feed = self._feed
        since_ms = self._unheard[merged]
        if merged.messages:
            del self._unheard[merged]
        elif merged.primary is None or feed.is_held_up(merged.primary):
            self._unheard[merged] = None
        elif since_ms is None:
            self._unheard[merged] = feed.now_ms
        else:
            return feed.now_ms - since_ms >= SILENT_MS
        return False

    def verified(self, names: Iterable[str], doubts: Mapping[str, str] | None) -> None:
        """Take the answer about silent streams.

        Args:
            names: The streams that were asked about.
            doubts: Why nothing will come of some of them, by name; None: there was no answer.
        """
        feed = self._feed
        self._failures = self._failures + 1 if doubts is None else 0
        answered = frozenset(names)
        for merged in [each for each in self._asked if each.name in answered]:
            del self._asked[merged]
            if merged.messages:
                continue
            if doubts is None:
                self._unheard[merged] = feed.now_ms + AGAIN_MS - SILENT_MS
            elif reason := doubts.get(merged.name, ""):
                merged.doubt = reason
                feed.observer.doubted(merged.name, reason)
                notify([merged], UnknownStream(streams=(), time_ms=feed.wall_ms, reason=reason))
