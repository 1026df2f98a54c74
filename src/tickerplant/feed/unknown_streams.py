"""Finds the streams that will never send anything.

A server acknowledges any name.  A malformed name is reported at once.  For a stream that stays
silent, the shell is asked to check over REST whether the server lists its symbol and serves its
venue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.feed.actions import Verify
from tickerplant.feed.context import FeedContext
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.notify import notify
from tickerplant.notices import UnknownStream

LOOK_MS = 500
"""How often silent streams are looked for."""
RETRY_MS = 60_000
"""How long after a check without a response it is repeated."""
MAX_FAILURES = 3
"""Consecutive checks without a response; after these, no more checks are made."""


class UnknownStreams:
    """Checks silent streams and notifies consumers of those that are unknown."""

    def __init__(self, context: FeedContext) -> None:
        self.failed_checks = 0
        """Checks that got no response."""
        self._context = context
        self._silent_ms = context.settings.staleness.unknown_after_ms
        self._silent_since_ms: dict[MergedStream, int | None] = {}
        """Since when streams that have sent nothing could have; None: they could not yet."""
        self._checking: dict[MergedStream, None] = {}
        """Streams that are being checked."""
        self._look_ms = 0
        self._failures = 0

    def add(self, merged: MergedStream) -> None:
        """Report a stream with a malformed name, and check others when they stay silent."""
        if merged.unknown_reason:
            self._context.observer.unknown(merged.name, merged.unknown_reason)
        else:
            self._silent_since_ms[merged] = None

    def remove(self, merged: MergedStream) -> None:
        """Forget a stream that has no consumers any more."""
        self._silent_since_ms.pop(merged, None)
        self._checking.pop(merged, None)

    def tick(self) -> None:
        """Ask for a check of the streams that have been silent for too long."""
        context = self._context
        if not self._silent_since_ms or context.now_ms < self._look_ms:
            return
        self._look_ms = context.now_ms + min(LOOK_MS, self._silent_ms)
        silent = [merged for merged in tuple(self._silent_since_ms) if self._is_silent(merged)]
        for merged in silent:
            del self._silent_since_ms[merged]
        if silent and self._failures < MAX_FAILURES:
            self._checking.update(dict.fromkeys(silent))
            context.actions.append(Verify(tuple(merged.name for merged in silent)))

    def _is_silent(self, merged: MergedStream) -> bool:
        context = self._context
        since_ms = self._silent_since_ms[merged]
        if merged.messages:
            del self._silent_since_ms[merged]
        elif merged.primary is None or merged.primary in context.paused:
            self._silent_since_ms[merged] = None
        elif since_ms is None:
            self._silent_since_ms[merged] = context.now_ms
        else:
            return context.now_ms - since_ms >= self._silent_ms
        return False

    def checked(self, names: Iterable[str], reasons: Mapping[str, str] | None) -> None:
        """Take the result of a check.

        Args:
            names: The streams that were checked.
            reasons: Why some of them will never send anything, by name; None: no response.
        """
        context = self._context
        self._failures = self._failures + 1 if reasons is None else 0
        self.failed_checks += reasons is None
        checked = frozenset(names)
        for merged in [each for each in self._checking if each.name in checked]:
            del self._checking[merged]
            if merged.messages:
                continue
            if reasons is None:
                self._silent_since_ms[merged] = context.now_ms + RETRY_MS - self._silent_ms
            elif reason := reasons.get(merged.name, ""):
                merged.unknown_reason = reason
                context.observer.unknown(merged.name, reason)
                notify([merged], UnknownStream(streams=(), time_ms=context.wall_ms, reason=reason))
