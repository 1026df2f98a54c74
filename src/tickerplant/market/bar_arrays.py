"""Arrays of bars: creating and merging them, and a store of closed minutes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickerplant.market.bars import (
    CLOSE,
    COLUMNS,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    OPEN_TIME,
    Bar,
    Bars,
)
from tickerplant.market.interval import FIRST_MONDAY_MS, LENGTHS_MS
from tickerplant.units import HOUR_MS, MINUTE_MS

NO_BARS: Bars = np.empty((0, len(COLUMNS)), dtype=np.int64)


def rows_of(bar: Bar | None) -> Bars:
    """Return `bar` as one row, or no row for None; sums that exceed 64 bits are clipped."""
    if bar is None:
        return NO_BARS
    try:
        return np.array([bar], dtype=np.int64)
    except OverflowError:
        limits = np.iinfo(np.int64)
        return np.array([[min(max(n, limits.min), limits.max) for n in bar]], dtype=np.int64)


def between(bars: Bars, from_ms: int, until_ms: int) -> Bars:
    """Return the rows of `bars` that open in [`from_ms`, `until_ms`)."""
    first, stop = np.searchsorted(bars[:, OPEN_TIME], (from_ms, until_ms))
    return bars[first:stop]


def combine(bars: Bars, opened_ms: NDArray[np.int64]) -> Bars:
    """Merge neighbouring rows of `bars` that share a value in `opened_ms`, one row per value.

    A longer bar opens with its first trade, so rows without trades count only if their neighbours
    have none either.

    Args:
        bars: Rows in order of time.
        opened_ms: For each row, ascending, the open time of the longer bar that contains it.
    """
    if not len(bars):
        return bars
    starts = np.flatnonzero(np.diff(opened_ms, prepend=opened_ms[0] - 1))
    traded = bars[:, COUNT] > 0
    if not traded.all():
        lengths = np.diff(starts, append=len(bars))
        telling = traded | np.repeat(~np.logical_or.reduceat(traded, starts), lengths)
        bars, opened_ms = bars[telling], opened_ms[telling]
        starts = np.flatnonzero(np.diff(opened_ms, prepend=opened_ms[0] - 1))
    ends = np.append(starts[1:], len(bars)) - 1
    merged: Bars = np.add.reduceat(bars, starts, axis=0)
    merged[:, OPEN_TIME] = opened_ms[starts]
    merged[:, OPEN] = bars[starts, OPEN]
    merged[:, HIGH] = np.maximum.reduceat(bars[:, HIGH], starts)
    merged[:, LOW] = np.minimum.reduceat(bars[:, LOW], starts)
    merged[:, CLOSE] = bars[ends, CLOSE]
    merged[:, FIRST_TRADE_ID] = bars[starts, FIRST_TRADE_ID]
    merged[:, LAST_TRADE_ID] = bars[ends, LAST_TRADE_ID]
    return merged


def empty_bars(first_open_ms: int, count: int, price: int, length_ms: int = MINUTE_MS) -> Bars:
    """Return `count` bars without trades at `price`, from `first_open_ms`."""
    bars = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    bars[:, OPEN_TIME] = first_open_ms + length_ms * np.arange(count)
    bars[:, OPEN : CLOSE + 1] = price
    bars[:, FIRST_TRADE_ID] = bars[:, LAST_TRADE_ID] = -1
    return bars


def open_times(interval: str, times_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `open_time` of many times at once."""
    length_ms = LENGTHS_MS[interval]
    if length_ms == 0:
        months = times_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return months.astype("datetime64[ms]").astype(np.int64)
    shift_ms = FIRST_MONDAY_MS if interval == "1w" else 0
    opened: NDArray[np.int64] = (times_ms - shift_ms) // length_ms * length_ms + shift_ms
    return opened


RETAINED_HOURS = 400 * 24
"""Hours kept of the minutes that are no longer kept."""
ROOM = 64
"""Least number of rows allocated at once; later an eighth of the present number."""


class ClosedMinutes:
    """The last closed minutes, without gaps, and the hours before them.

    Args:
        max_rows: Minutes kept one by one; older ones are folded into hours.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows = NO_BARS
        self._first = 0
        self._end = 0
        self.hours = NO_BARS
        """Hours of the minutes that are no longer kept; the first may be partial."""
        self.minutes_dropped = 0
        """How often minutes were removed."""
        self.hours_dropped = 0
        """How often hours were removed."""

    def clear(self) -> None:
        """Remove everything."""
        self._rows = self.hours = NO_BARS
        self._first = self._end = 0
        self.minutes_dropped += 1
        self.hours_dropped += 1

    @property
    def rows(self) -> Bars:
        """The closed minutes, oldest first: a view, not a copy."""
        return self._rows[self._first : self._end]

    def append(self, bars: Bars) -> None:
        """Append minutes that follow the last one."""
        if self._end + len(bars) > len(self._rows):
            rows = self.rows
            needed = len(rows) + len(bars)
            room = np.empty((needed + max(ROOM, needed // 8), len(COLUMNS)), dtype=np.int64)
            room[: len(rows)] = rows
            self._rows, self._first, self._end = room, 0, len(rows)
        self._rows[self._end : self._end + len(bars)] = bars
        self._end += len(bars)
        while self._end - self._first > self._max_rows:
            self._fold_hour()

    def fill(self, until_ms: int, price: int) -> None:
        """Append empty minutes up to `until_ms`, in bounded work."""
        after_ms = int(self._rows[self._end - 1, OPEN_TIME]) + MINUTE_MS
        missing = (until_ms - after_ms) // MINUTE_MS
        if missing > self._max_rows:
            after_ms = self._skip_ahead(after_ms, until_ms, price)
            missing = (until_ms - after_ms) // MINUTE_MS
        if missing > 0:
            self.append(empty_bars(after_ms, missing, price))

    def _skip_ahead(self, after_ms: int, until_ms: int, price: int) -> int:
        """Fold all minutes, and the empty ones that are too old at `until_ms`, into hours.

        Returns:
            The open time of the first minute that is kept.
        """
        whole_ms = -(-after_ms // HOUR_MS) * HOUR_MS
        kept_ms = -(-(until_ms - self._max_rows * MINUTE_MS) // HOUR_MS) * HOUR_MS
        rest = empty_bars(after_ms, (whole_ms - after_ms) // MINUTE_MS, price)
        minutes = np.concatenate([self.rows, rest])
        hours = combine(minutes, minutes[:, OPEN_TIME] // HOUR_MS * HOUR_MS)
        count = min((kept_ms - whole_ms) // HOUR_MS, RETAINED_HOURS + 1)
        empty = empty_bars(kept_ms - count * HOUR_MS, count, price, HOUR_MS)
        self._append_hours(hours, empty)
        self._rows, self._first, self._end = NO_BARS, 0, 0
        return kept_ms

    def _fold_hour(self) -> None:
        """Fold the oldest minutes, up to the next full hour, into one row of `hours`."""
        opened_ms = self._rows[self._first, OPEN_TIME] // HOUR_MS * HOUR_MS
        count = int(np.searchsorted(self.rows[:, OPEN_TIME], opened_ms + HOUR_MS))
        hour = combine(self.rows[:count], np.full(count, opened_ms))
        self._append_hours(hour)
        self._first += count

    def _append_hours(self, *hours: Bars) -> None:
        """Append the hours of minutes that are removed, and drop the oldest if there are too many."""
        every = np.concatenate([self.hours, *hours])
        self.hours = every[-RETAINED_HOURS - 1 :]
        self.minutes_dropped += 1
        self.hours_dropped += len(every) > len(self.hours)
