"""Candles of every interval, combined from minutes when somebody asks."""

from __future__ import annotations

import numpy as np

from tickerplant.market.bars import DAY_MS, HOUR_MS, NO_BARS, OPEN_TIME, Bars, combine
from tickerplant.market.interval import LENGTHS_MS, next_open_time, open_time, open_times
from tickerplant.market.minutes import Minutes
from tickerplant.market.past import PastBars


class Candles:
    """Rows of any interval over a market's live minutes and its past."""

    def __init__(self, minutes: Minutes) -> None:
        self._minutes = minutes
        self._past: PastBars | None = None
        self._live_from_ms = 0
        self._older: dict[str, Bars] = {}
        self._closed: dict[str, Bars] = {}
        self._closed_until_ms = 0

    def load(self, past: PastBars, live_from_ms: int) -> None:
        """Look back on `past` as far as it lies before `live_from_ms`, where the minutes begin."""
        self._past = past
        self._live_from_ms = live_from_ms
        self._older.clear()
        self._closed.clear()

    def _past_bars(self, interval: str) -> Bars:
        """Candles of `interval` made from what lies before the minutes, computed once."""
        if self._past is None:
            return NO_BARS
        if interval not in self._older:
            minutes = self._past.minutes()
            tiers = [minutes[minutes[:, OPEN_TIME] < self._live_from_ms]]
            if _made_of(interval, HOUR_MS):
                tiers.insert(0, self._past.hours())
            if _made_of(interval, DAY_MS):
                tiers.insert(0, self._past.days())
            self._older[interval] = _candles(interval, *tiers)
        return self._older[interval]

    def _closed_candles(self, interval: str) -> Bars:
        """Candles over everything before the present minute; the last one may be open still.

        Made at most once a minute for each interval.
        """
        minutes = self._minutes
        if self._closed_until_ms != minutes.open_time_ms:
            self._closed_until_ms = minutes.open_time_ms
            self._closed.clear()
        if interval not in self._closed:
            if _made_of(interval, HOUR_MS):
                tiers = [self._past_bars(interval), minutes.hours, minutes.closed]
            elif len(minutes.hours):
                tiers = [minutes.closed]
            else:
                tiers = [self._past_bars(interval), minutes.closed]
            self._closed[interval] = _candles(interval, *tiers)
        return self._closed[interval]

    def rows(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> Bars:
        """Return up to `limit` candles that open in [`start_ms`, `end_ms`], oldest first.

        With a start the first ones from the start on, otherwise the latest ones.  The candle that
        is open now counts.
        """
        closed = self._closed_candles(interval)
        tail = _candles(interval, closed[-1:], self._minutes.running)
        bars = np.concatenate([closed[:-1], tail])
        if start_ms is not None:
            bars = bars[np.searchsorted(bars[:, OPEN_TIME], start_ms) :]
        if end_ms is not None:
            bars = bars[: np.searchsorted(bars[:, OPEN_TIME], end_ms, side="right")]
        return bars[-limit:] if start_ms is None else bars[:limit]

    def _between(self, interval: str, opened_ms: int, end_ms: int) -> Bars:
        """The one candle of `interval` over the closed minutes in [`opened_ms`, `end_ms`)."""
        closed = self._minutes.closed
        if not len(closed) or closed[0, OPEN_TIME] > opened_ms:
            closed = self._closed_candles(interval)
        first, last = np.searchsorted(closed[:, OPEN_TIME], (opened_ms, end_ms))
        return _candles(interval, closed[first:last])

    def running(self, interval: str) -> list[int] | None:
        """Return the candle of `interval` that is open now, None before the first trade."""
        now = self._minutes.running
        if not len(now):
            return None
        minute_ms = self._minutes.open_time_ms
        before = self._between(interval, open_time(interval, minute_ms), minute_ms)
        row: list[int] = _candles(interval, before, now)[0].tolist()
        return row

    def ended(self, interval: str, boundary_ms: int) -> list[int] | None:
        """Return the candle of `interval` that ended exactly at `boundary_ms`, if one did."""
        if open_time(interval, boundary_ms) != boundary_ms:
            return None
        opened_ms = open_time(interval, boundary_ms - 1)
        candle = self._between(interval, opened_ms, boundary_ms)
        if not len(candle):
            return None
        row: list[int] = candle[0].tolist()
        return row


def close_time(interval: str, opened_ms: int) -> int:
    """Return the last millisecond of the candle that opened at `opened_ms`."""
    return next_open_time(interval, opened_ms) - 1


def _made_of(interval: str, length_ms: int) -> bool:
    """Whether candles of `interval` are whole multiples of `length_ms`."""
    return LENGTHS_MS[interval] % length_ms == 0


def _candles(interval: str, *tiers: Bars) -> Bars:
    bars = np.concatenate(tiers)
    return combine(bars, open_times(interval, bars[:, OPEN_TIME]))
