"""Candles of a price that is not traded: mark price, index price, premium.

Such a price is told at moments, usually once a second, and a candle counts those: its trade count
is their number, and its first and last trade ids are the times of the first and the last.
"""

from __future__ import annotations

from tickerplant.market.bar_arrays import NO_BARS, row_of
from tickerplant.market.bars import Bar, Bars
from tickerplant.market.candles import Candles
from tickerplant.market.closed_minutes import ClosedMinutes
from tickerplant.market.past import PastBars
from tickerplant.units import DAY_MS, MINUTE_MS

KEPT_MINUTES = 2 * DAY_MS // MINUTE_MS
"""Closed minutes of a price that are kept one by one; older ones become parts of hours."""


class PriceMinutes:
    """Closed minutes of one price, and the minute that runs now."""

    def __init__(self, now_ms: int) -> None:
        self.open_time_ms = now_ms // MINUTE_MS * MINUTE_MS
        self._closed = ClosedMinutes(KEPT_MINUTES)
        self._last: int | None = None
        self._open = self._high = self._low = 0
        self._count = 0
        self._first_ms = self._last_ms = -1

    @property
    def closed(self) -> Bars:
        """The closed minutes, oldest first: a view, not a copy."""
        return self._closed.rows

    @property
    def hours(self) -> Bars:
        """Hours (the first may be a part of one) of the minutes that are no longer kept."""
        return self._closed.hours

    @property
    def running(self) -> Bars:
        """The present minute as one row; no row before the first price of all."""
        bar = self.running_bar
        return NO_BARS if bar is None else row_of(bar)

    @property
    def running_bar(self) -> Bar | None:
        """The present minute; None before the first price of all."""
        if self._last is None:
            return None
        prices = (self._open, self._high, self._low, self._last)
        count, first_ms, last_ms = self._count, self._first_ms, self._last_ms
        return [self.open_time_ms, *prices, 0, 0, count, 0, 0, first_ms, last_ms]

    def add(self, price: int, time_ms: int) -> None:
        """Count one data point of the present minute."""
        if not self._count:
            self._open = self._high = self._low = price
            self._first_ms = time_ms
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._count += 1
        self._last = price
        self._last_ms = time_ms

    def roll(self, now_ms: int) -> None:
        """End the minutes before the one of `now_ms`; those without a price repeat the last."""
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        if minute_ms <= self.open_time_ms:
            return
        last = self._last
        if last is not None:
            self._closed.append(self.running)
            self._closed.fill(minute_ms, last)
            self._open = self._high = self._low = last
        self.open_time_ms = minute_ms
        self._count = 0
        self._first_ms = self._last_ms = -1


class PriceBars:
    """Minutes of one price, in integers of 10^-8, and the candles over them."""

    def __init__(self, now_ms: int) -> None:
        self._minutes = PriceMinutes(now_ms)
        self.candles = Candles(self._minutes)

    def look_back(self, past: PastBars) -> None:
        """Begin with `past`, which ends where the present minute begins or before."""
        self.candles.load(past)

    def add(self, price: int, time_ms: int) -> None:
        """Count one data point."""
        self._minutes.add(price, time_ms)

    def roll(self, now_ms: int) -> None:
        """End the minutes before the one of `now_ms`."""
        self._minutes.roll(now_ms)
