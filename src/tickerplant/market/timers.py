"""Market time: what falls due, in order.

One heap holds everything that happens because time passes: minutes that end, aggregates that
close, messages that are due.  Entries with the same due time fire by rank, then in the order they
were set, so the same events at the same times always have the same consequences.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeAlias

Callback: TypeAlias = Callable[[int], None]
"""Called with its own due time in milliseconds."""

MINUTE_RANK = 0
"""Minutes end before anything else at the same millisecond is told."""
AGGREGATE_RANK = 1
MESSAGE_RANK = 2


def next_on_grid(now_ms: int, period_ms: int) -> int:
    """Return the first multiple of `period_ms` after `now_ms`."""
    return (now_ms // period_ms + 1) * period_ms


class Timers:
    """The market clock and the callbacks that wait for it."""

    def __init__(self, start_ms: int) -> None:
        self.now_ms = start_ms
        self._heap: list[tuple[int, int, int, Callback]] = []
        self._set = 0

    def __len__(self) -> int:
        return len(self._heap)

    def restart(self, start_ms: int) -> None:
        """Set the clock to `start_ms`, even back; nothing waits for it any more."""
        self.now_ms = start_ms
        self._heap.clear()

    def at(self, due_ms: int, rank: int, callback: Callback) -> None:
        """Call `callback(due_ms)` once, when the clock reaches `due_ms`."""
        self._set += 1
        heappush(self._heap, (due_ms, rank, self._set, callback))

    def advance(self, now_ms: int) -> None:
        """Set the clock to `now_ms` after firing everything due until then, in order.

        A time before the present one changes nothing: market time never runs backwards.
        """
        self._fire(now_ms + 1, MINUTE_RANK)
        self.now_ms = max(self.now_ms, now_ms)

    def approach(self, now_ms: int) -> None:
        """Set the clock to `now_ms`, whose events are still to come.

        Minutes and aggregates that end then have ended; messages that are due then wait for the
        events, to contain them, until time goes on.  A time that is no later than the present one
        changes nothing, and what fell due when it was set waits until time goes on, too.
        """
        if now_ms <= self.now_ms:
            return
        if self._heap and self._heap[0][0] <= now_ms:
            self._fire(now_ms, MESSAGE_RANK)
        self.now_ms = now_ms

    def _fire(self, until_ms: int, rank: int) -> None:
        """Fire everything due before `until_ms`, and at it what comes before `rank`."""
        heap = self._heap
        while heap:
            due_ms, due_rank, _, callback = heap[0]
            if due_ms > until_ms or (due_ms == until_ms and due_rank >= rank):
                return
            heappop(heap)
            self.now_ms = max(self.now_ms, due_ms)
            callback(due_ms)
