"""Minutes that have ended, one after the other without a hole."""

from __future__ import annotations

import numpy as np

from tickerplant.market.bar_arrays import NO_BARS, combine, empty_bars
from tickerplant.market.bars import COLUMNS, OPEN_TIME, Bars
from tickerplant.units import HOUR_MS, MINUTE_MS

KEPT_HOURS = 400 * 24
"""Hours that are kept of the minutes that are not; older ones are forgotten."""
ROOM = 64
"""Rows that are taken into use at once at least; later an eighth of what there is."""


class ClosedMinutes:
    """The last closed minutes, and the hours of the ones before.

    Args:
        kept: Minutes that are kept one by one; older ones become parts of hours.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._rows = NO_BARS
        self._first = 0
        self._end = 0
        self.hours = NO_BARS
        """Hours (the first may be a part of one) of the minutes that are no longer kept."""

    def clear(self) -> None:
        """Forget everything."""
        self._rows = self.hours = NO_BARS
        self._first = self._end = 0

    @property
    def rows(self) -> Bars:
        """The closed minutes, oldest first: a view, not a copy."""
        return self._rows[self._first : self._end]

    def append(self, bars: Bars) -> None:
        """Add minutes that follow the last one."""
        if self._end + len(bars) > len(self._rows):
            kept = self.rows
            needed = len(kept) + len(bars)
            room = np.empty((needed + max(ROOM, needed // 8), len(COLUMNS)), dtype=np.int64)
            room[: len(kept)] = kept
            self._rows, self._first, self._end = room, 0, len(kept)
        self._rows[self._end : self._end + len(bars)] = bars
        self._end += len(bars)
        while self._end - self._first > self._kept:
            self._fold_hour()

    def fill(self, until_ms: int, price: int) -> None:
        """Append empty minutes up to `until_ms`; the work is bounded, however many they are."""
        after_ms = int(self._rows[self._end - 1, OPEN_TIME]) + MINUTE_MS
        missing = (until_ms - after_ms) // MINUTE_MS
        if missing > self._kept:
            after_ms = self._leap(after_ms, until_ms, price)
            missing = (until_ms - after_ms) // MINUTE_MS
        if missing > 0:
            self.append(empty_bars(after_ms, missing, price))

    def _leap(self, after_ms: int, until_ms: int, price: int) -> int:
        """Turn all minutes, and the empty ones that are not kept at `until_ms`, into hours.

        Returns:
            When the first minute opens that is kept.
        """
        whole_ms = -(-after_ms // HOUR_MS) * HOUR_MS
        kept_ms = -(-(until_ms - self._kept * MINUTE_MS) // HOUR_MS) * HOUR_MS
        rest = empty_bars(after_ms, (whole_ms - after_ms) // MINUTE_MS, price)
        minutes = np.concatenate([self.rows, rest])
        hours = combine(minutes, minutes[:, OPEN_TIME] // HOUR_MS * HOUR_MS)
        count = min((kept_ms - whole_ms) // HOUR_MS, KEPT_HOURS + 1)
        empty = empty_bars(kept_ms - count * HOUR_MS, count, price, HOUR_MS)
        self.hours = np.concatenate([self.hours, hours, empty])[-KEPT_HOURS - 1 :]
        self._rows, self._first, self._end = NO_BARS, 0, 0
        return kept_ms

    def _fold_hour(self) -> None:
        """Turn the oldest minutes, up to the next full hour, into one row of `hours`."""
        opened_ms = self._rows[self._first, OPEN_TIME] // HOUR_MS * HOUR_MS
        count = int(np.searchsorted(self.rows[:, OPEN_TIME], opened_ms + HOUR_MS))
        hour = combine(self.rows[:count], np.full(count, opened_ms))
        self.hours = np.concatenate([self.hours[-KEPT_HOURS:], hour])
        self._first += count
