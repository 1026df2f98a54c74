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
