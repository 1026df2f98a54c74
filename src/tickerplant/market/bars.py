"""Bars of one length: the numbers behind klines and 24-hour statistics.

A bar is twelve integers. Closed bars are rows of a two-dimensional int64 array with the columns
named below, oldest first, so that a day of minutes is summed in microseconds. Prices are in price
units, volumes in quantity units, turnovers in turnover units. A bar without trades repeats the
previous close four times, has zero counts and the ids -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # importing the rows of streams and queries must not import numpy
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

Bars: TypeAlias = "NDArray[np.int64]"
"""Closed bars, one per row, columns as in `COLUMNS`."""
Bar: TypeAlias = list[int]
"""One bar, in the order of `COLUMNS`."""


def join(opened_ms: int, bar: Bar | None, later: Bar) -> Bar:
    """Merge two neighbouring bars as `combine` does.

    Args:
        opened_ms: The open time of the longer bar that contains both.
        bar: The earlier bar, or None.
        later: The later bar.
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
