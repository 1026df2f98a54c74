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
Bar: TypeAlias = list[int]
"""One bar by itself, in the order of `COLUMNS`."""

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

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


def join(opened_ms: int, bar: Bar | None, later: Bar) -> Bar:
    """Merge two neighbouring bars as `combine` does.

    Args:
        opened_ms: The open time of the longer bar that both are parts of.
        bar: The one before `later`, None if there is none.
        later: The one after it.
    """
    if bar is None or (later[COUNT] and not bar[COUNT]):
        return [opened_ms, *later[OPEN:]]
    if bar[COUNT] and not later[COUNT]:
        return [opened_ms, *bar[OPEN:]]
    return [
        opened_ms,
        bar[OPEN],
        max(bar[HIGH], later[HIGH]),
        min(bar[LOW], later[LOW]),
        later[CLOSE],
        bar[VOLUME] + later[VOLUME],
        bar[TURNOVER] + later[TURNOVER],
        bar[COUNT] + later[COUNT],
        bar[TAKER_BUY_VOLUME] + later[TAKER_BUY_VOLUME],
        bar[TAKER_BUY_TURNOVER] + later[TAKER_BUY_TURNOVER],
        bar[FIRST_TRADE_ID],
        later[LAST_TRADE_ID],
    ]


def empty_bars(first_open_ms: int, count: int, price: int) -> Bars:
    """Return `count` minutes from `first_open_ms` in which nothing was traded, at `price`."""
    bars = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    bars[:, OPEN_TIME] = first_open_ms + MINUTE_MS * np.arange(count)
    bars[:, OPEN : CLOSE + 1] = price
    bars[:, FIRST_TRADE_ID] = bars[:, LAST_TRADE_ID] = -1
    return bars
