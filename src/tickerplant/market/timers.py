"""The market clock, and the callbacks that are due at market times.

One heap holds everything that happens because time passes: minutes that end, aggregates that
close, messages that are due. Entries with the same due time fire by rank, then in the order in
which they were added, so the same events at the same times always have the same consequences.

The clock skips long quiet periods, because a recording may pause for months. Of what falls due
every second or minute in such a period, only that fires which is due soon after its beginning,
when a candle ends that was open then, and in the last minute. So the work is bounded, and candles
and statistics are the same as if every minute had ended by itself. The messages sent are a subset
(and tickers report at these times what left their window before).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from tickerplant.market.interval import INTERVALS, next_open_time, open_time
from tickerplant.units import HOUR_MS, MINUTE_MS

Callback: TypeAlias = Callable[[int], None]
"""Called with its own due time in milliseconds."""

MINUTE_RANK = 0
"""Minutes end before anything else in the same millisecond."""
AGGREGATE_RANK = 1
FAULT_RANK = 2
"""Faults happen after what ends in their millisecond, and before its events."""
MESSAGE_RANK = 3


MAX_CONTINUOUS_MS = HOUR_MS
"""Longest period that passes without skipping."""
SETTLE_MS = 5_000
"""After the beginning of a skipped period and its checkpoints, everything due within this time
fires; no stream has a longer period.
"""


def checkpoints(from_ms: int, until_ms: int) -> list[int]:
    """Return the ends of the candles that are open at `from_ms`, and the last minute, in order."""
    ends = {next_open_time(each, open_time(each, from_ms)) for each in INTERVALS}
    last_ms = until_ms // MINUTE_MS * MINUTE_MS
    return sorted({each for each in ends if each < last_ms} | {last_ms})


def next_on_grid(now_ms: int, period_ms: int) -> int:
    """Return the first multiple of `period_ms` after `now_ms`."""
    return (now_ms // period_ms + 1) * period_ms


class Timers:
    """The market clock and its pending callbacks."""

    def __init__(self, start_ms: int) -> None:
        self.now_ms = start_ms
        self.on_restart: list[Callable[[int], object]] = []
        """Called after a restart, which has dropped all pending callbacks, with the time before it."""
        self._heap: list[tuple[int, int, int, Callback]] = []
        self._set = 0

    def __len__(self) -> int:
        return len(self._heap)

    def restart(self, start_ms: int) -> None:
        """Set the clock to `start_ms`, even back, and drop all pending callbacks."""
        before_ms, self.now_ms = self.now_ms, start_ms
        self._heap.clear()
        for callback in self.on_restart:
            callback(before_ms)

    def at(self, due_ms: int, rank: int, callback: Callback) -> None:
        """Call `callback(due_ms)` once, when the clock reaches `due_ms`."""
        self._set += 1
        heappush(self._heap, (due_ms, rank, self._set, callback))

    def advance(self, now_ms: int) -> None:
        """Set the clock to `now_ms` after firing everything due until then, in order.

        Does nothing for a time before the current one: market time never runs backwards.
        """
        if now_ms - self.now_ms > MAX_CONTINUOUS_MS:
            self._skip_ahead(now_ms)
        self._fire(now_ms + 1, MINUTE_RANK)
        self.now_ms = max(self.now_ms, now_ms)

    def advance_before(self, now_ms: int) -> None:
        """Set the clock to `now_ms`, before the events of that time.

        Minutes and aggregates that end at `now_ms` end now. Messages due at `now_ms` wait until
        time advances further, so that they include its events. Does nothing for a time that is
        not later than the current one.
        """
        if now_ms <= self.now_ms:
            return
        if now_ms - self.now_ms > MAX_CONTINUOUS_MS:
            self._skip_ahead(now_ms)
        if self._heap and self._heap[0][0] <= now_ms:
            self._fire(now_ms, MESSAGE_RANK)
        self.now_ms = now_ms

    def _skip_ahead(self, until_ms: int) -> None:
        """Set the clock to the last minute before `until_ms`; what is due then stays pending."""
        for checkpoint_ms in checkpoints(self.now_ms, until_ms):
            self._fire(min(self.now_ms + SETTLE_MS, checkpoint_ms), MINUTE_RANK)
            self._heap[:] = [(max(each[0], checkpoint_ms), *each[1:]) for each in self._heap]
            heapify(self._heap)
            self.now_ms = max(self.now_ms, checkpoint_ms)

    def _fire(self, until_ms: int, rank: int) -> None:
        """Fire everything due before `until_ms`, and at `until_ms` what ranks before `rank`."""
        heap = self._heap
        while heap:
            due_ms, due_rank, _, callback = heap[0]
            if due_ms > until_ms or (due_ms == until_ms and due_rank >= rank):
                return
            heappop(heap)
            self.now_ms = max(self.now_ms, due_ms)
            callback(due_ms)
