"""The kline intervals and their boundaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

WEEK_MS = 7 * DAY_MS
FIRST_MONDAY_MS = 4 * DAY_MS
"""1970-01-05: weeks start on Monday 00:00 UTC."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LENGTHS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
    "1M": 0,
}
"""Length of every interval; 0 for the month, whose length depends on the calendar."""

INTERVALS = tuple(LENGTHS_MS)


def open_time(interval: str, time_ms: int) -> int:
    """Return the first millisecond of the `interval` that contains `time_ms`."""
    length_ms = LENGTHS_MS[interval]
    if length_ms == 0:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
        month = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return round((month - _EPOCH).total_seconds()) * 1000
    shift_ms = FIRST_MONDAY_MS if interval == "1w" else 0
    return (time_ms - shift_ms) // length_ms * length_ms + shift_ms


def next_open_time(interval: str, opened_ms: int) -> int:
    """Return the first millisecond of the interval after the one that opened at `opened_ms`."""
    length_ms = LENGTHS_MS[interval]
    if length_ms == 0:
        return open_time(interval, opened_ms + 31 * DAY_MS)
    return opened_ms + length_ms


def close_time(interval: str, opened_ms: int) -> int:
    """Return the last millisecond of the candle that opened at `opened_ms`."""
    return next_open_time(interval, opened_ms) - 1
