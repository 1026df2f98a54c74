"""Arrays of bars: made, merged, and the open times of many at once."""

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
from tickerplant.units import MINUTE_MS

NO_BARS: Bars = np.empty((0, len(COLUMNS)), dtype=np.int64)


def row_of(bar: Bar) -> Bars:
    """Return `bar` as one row; a sum that a row cannot hold is the largest that it can."""
    try:
        return np.array([bar], dtype=np.int64)
    except OverflowError:
        held = np.iinfo(np.int64)
        return np.array([[min(max(n, held.min), held.max) for n in bar]], dtype=np.int64)


def combine(bars: Bars, opened_ms: NDArray[np.int64]) -> Bars:
    """Merge neighbouring rows of `bars` that share a value in `opened_ms`, one row per value.

    A longer bar opens with its first trade, so a row without trades counts only where its
    neighbours have none either.

    Args:
        bars: Rows in the order of time.
        opened_ms: One ascending value a row: the open time of the longer bar that it is a part of.
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
    """Return `count` bars from `first_open_ms` in which nothing was traded, at `price`."""
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
