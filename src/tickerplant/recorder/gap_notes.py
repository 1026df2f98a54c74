"""Gaps on their way to the journal: each a line, unless there are so many that they would fill it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from tickerplant.protocol.token_bucket import TokenBucket
from tickerplant.recording.manifest_entries import Missing
from tickerplant.units import NS_PER_MS

LINES_PER_S, LINES_AT_ONCE = 1, 60
"""Lines about the gaps of one stream; the gaps between two of them become one.  A manifest is read
whole, and a stream whose ids do not count as they should must not make it larger than itself."""
SEVERAL = "several gaps, and messages between them"


class GapNotes:
    """Notes gaps, stream by stream.

    Args:
        note: Takes lines of the journal.
        clock_ns: The time, ns since the epoch.
    """

    def __init__(self, note: Callable[[Missing], object], clock_ns: Callable[[], int]) -> None:
        self._note = note
        self._clock_ns = clock_ns
        self._buckets: dict[str, TokenBucket] = {}
        self._waiting: dict[str, Missing] = {}
        """By stream, what was not written yet, as one gap."""

    def add(self, gap: Missing) -> None:
        """Note a gap, now or together with the next ones."""
        waiting = self._waiting.get(gap.stream)
        if waiting is not None:
            self._waiting[gap.stream] = _together(waiting, gap)
        elif self._may_write(gap.stream):
            self._note(gap)
        else:
            self._waiting[gap.stream] = gap

    def turn(self) -> None:
        """Write what waited for long enough."""
        for stream in tuple(self._waiting):
            if self._may_write(stream):
                self._note(self._waiting.pop(stream))

    def end(self) -> None:
        """Write all that waits."""
        for gap in self._waiting.values():
            self._note(gap)
        self._waiting.clear()

    def _may_write(self, stream: str) -> bool:
        now_ms = self._clock_ns() // NS_PER_MS
        bucket = self._buckets.get(stream)
        if bucket is None:
            bucket = self._buckets[stream] = TokenBucket(LINES_PER_S, LINES_AT_ONCE, now_ms)
        return bucket.take(now_ms)


def _together(first: Missing, last: Missing) -> Missing:
    """Return two gaps of a stream, and what is between them, as one."""
    known = first.missing is not None and last.missing is not None
    return structs.replace(
        first,
        before_id=last.before_id,
        missing=(first.missing or 0) + (last.missing or 0) if known else None,
        reason=SEVERAL,
    )
