"""Candles of one base length, open and closed: the numbers behind klines and 24-hour statistics.

A bar is twelve integers.  Closed bars are rows of a two-dimensional int64 array with the columns
named below, in this order, oldest first, so that a day of minutes is summed in microseconds.
Prices are in price units, volumes in quantity units, turnovers in turnover units.
A bar without trades repeats the previous close four times, counts nothing, and has the ids -1.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

COLUMNS = (
    "open_time_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "turnover",
    "count",
    "taker_buy_volume",
    "taker_buy_turnover",
    "first_trade_id",
    "last_trade_id",
)
(
    OPEN_TIME,
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    TURNOVER,
    COUNT,
    TAKER_BUY_VOLUME,
    TAKER_BUY_TURNOVER,
    FIRST_TRADE_ID,
    LAST_TRADE_ID,
) = range(len(COLUMNS))

Bars: TypeAlias = NDArray[np.int64]
"""Closed bars, one a row, columns as in `COLUMNS`."""

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

NO_BARS: Bars = np.empty((0, len(COLUMNS)), dtype=np.int64)


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


def empty_bars(first_open_ms: int, count: int, price: int) -> Bars:
    """Return `count` minutes from `first_open_ms` in which nothing was traded, at `price`."""
    bars = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    bars[:, OPEN_TIME] = first_open_ms + MINUTE_MS * np.arange(count)
    bars[:, OPEN : CLOSE + 1] = price
    bars[:, FIRST_TRADE_ID] = bars[:, LAST_TRADE_ID] = -1
    return bars
