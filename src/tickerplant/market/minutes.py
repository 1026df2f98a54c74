"""One-minute bars of a symbol and its 24-hour statistics, and minutes of prices without trades.

The 24-hour window is minute-aligned on the exchange: at time C it opens at
floor((C - 24 h) / 1 min), so it consists of closed minutes and the current one. Tickers and klines
are therefore both derived from minutes.

A price that is not traded (mark price, index price, premium index) is published once a second. Its
bars count these data points: the trade count is their number, and the trade ids are the times of
the first and the last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from tickerplant.market.bar_arrays import ClosedMinutes, rows_of
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    OPEN_TIME,
    TURNOVER,
    VOLUME,
    Bar,
    Bars,
)
from tickerplant.units import DAY_MS, MINUTE_MS

RETAINED_MINUTES = 7 * 1440
"""Closed minutes that a market keeps one by one; older ones are folded into hours."""

_NEVER = -(1 << 62)
"""No price yet; a premium may also be negative."""
_NO_ID = -1


class Statistics(Struct, frozen=True, gc=False):
    """The 24 hours (and up to a minute) before now. Integers in the instrument's units."""

    open_time_ms: int
    open: int
    high: int
    low: int
    last: int
    last_quantity: int
    volume: int
    turnover: int
    count: int
    first_trade_id: int
    last_trade_id: int


class Minutes:
    """Closed minutes, the current minute, and their sums over 24 hours."""

    def __init__(self, turnover: Callable[[int, int], int], now_ms: int) -> None:
        self._turnover = turnover
        self.closed = ClosedMinutes(RETAINED_MINUTES)
        self._last_price = _NEVER
        self._last_quantity = 0
        self._start_minute(now_ms // MINUTE_MS * MINUTE_MS)
        self._sum_window()

    def _start_minute(self, open_time_ms: int) -> None:
        self.open_time_ms = open_time_ms
        self._open = self._high = self._low = self._last_price
        self._volume = self._value = self._trade_count = 0
        self._buy_volume = self._buy_value = 0
        self._first_id = self._last_id = _NO_ID

    def load(self, day: Bars, last_quantity: int = 0) -> None:
        """Start with the closed minutes `day`; a last row of the current minute stays open.

        Args:
            day: Minutes without a gap.
            last_quantity: Quantity of the last trade in them.
        """
        running = day[-1] if len(day) and day[-1, OPEN_TIME] == self.open_time_ms else None
        closed = day if running is None else day[:-1]
        self._last_quantity = last_quantity
        self.closed.clear()
        self.closed.append(closed)
        if len(closed):
            self._last_price = int(closed[-1, CLOSE])
            self.closed.fill(self.open_time_ms, self._last_price)
        self._start_minute(self.open_time_ms)
        if running is not None:
            (
                _,
                self._open,
                self._high,
                self._low,
                self._last_price,
                self._volume,
                self._value,
                self._trade_count,
                self._buy_volume,
                self._buy_value,
                self._first_id,
                self._last_id,
            ) = (int(value) for value in running)
        self._sum_window()

    def add(
        self, price: int, quantity: int, taker_bought: bool, first_id: int, last_id: int
    ) -> None:
        """Add a taker's trades `first_id` to `last_id` to the current minute."""
        value = self._turnover(price, quantity)
        if self._trade_count == 0:
            self._open = self._high = self._low = price
            self._first_id = first_id
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._trade_count += last_id - first_id + 1
        self._volume += quantity
        self._value += value
        if taker_bought:
            self._buy_volume += quantity
            self._buy_value += value
        self._last_id = last_id
        self._last_price = price
        self._last_quantity = quantity

    def close_minutes(self, now_ms: int) -> bool:
        """Close the minutes before that of `now_ms`; return whether trades left the window.

        Minutes without trades repeat the previous close.
        """
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        if minute_ms <= self.open_time_ms:
            return False
        if self._last_price != _NEVER:
            self.closed.append(rows_of(self.running_bar))
            self.closed.fill(minute_ms, self._last_price)
        before = self._window_count + self._trade_count
        self._start_minute(minute_ms)
        self._sum_window()
        return self._window_count < before

    @property
    def running_bar(self) -> Bar | None:
        """The current minute; None before the first trade."""
        if self._last_price == _NEVER:
            return None
        return [
            self.open_time_ms,
            self._open,
            self._high,
            self._low,
            self._last_price,
            self._volume,
            self._value,
            self._trade_count,
            self._buy_volume,
            self._buy_value,
            self._first_id,
            self._last_id,
        ]

    @property
    def window_open_ms(self) -> int:
        """Open time of the 24-hour window, minute-aligned."""
        return self.open_time_ms - DAY_MS

    def _sum_window(self) -> None:
        """Sum the closed minutes of the window, once a minute."""
        closed = self.closed.rows
        window = closed[-(DAY_MS // MINUTE_MS) :]
        if len(window) and window[0, OPEN_TIME] < self.window_open_ms:
            window = window[np.searchsorted(window[:, OPEN_TIME], self.window_open_ms) :]
        feeds_statistics = window[:, COUNT]
        traded = np.flatnonzero(feeds_statistics)
        self._window_count = int(feeds_statistics.sum())
        self._window_volume = int(window[:, VOLUME].sum())
        self._window_value = int(window[:, TURNOVER].sum())
        if len(traded):
            first, last = traded[0], traded[-1]
            self._window_open = int(window[first, OPEN])
            # Minutes without trades have the price of the last trade, which changes no extreme.
            self._window_high = int(window[first:, HIGH].max())
            self._window_low = int(window[first:, LOW].min())
            self._window_first_id = int(window[first, FIRST_TRADE_ID])
            self._window_last_id = int(window[last, LAST_TRADE_ID])

    @property
    def no_statistics(self) -> Statistics:
        """The 24-hour statistics of a contract that has never traded."""
        return Statistics(self.window_open_ms, *(0,) * 8, _NO_ID, _NO_ID)

    def statistics(self) -> Statistics | None:
        """Return the 24-hour statistics; None before the first trade.

        In a window without trades the prices are the last price and the ids are -1.
        """
        if self._last_price == _NEVER:
            return None
        closed, running = self._window_count, self._trade_count
        if closed:
            opened = self._window_open
            high = max(self._window_high, self._high) if running else self._window_high
            low = min(self._window_low, self._low) if running else self._window_low
            first_id = self._window_first_id
            last_id = self._last_id if running else self._window_last_id
        else:
            opened, high, low = self._open, self._high, self._low
            first_id, last_id = self._first_id, self._last_id
        return Statistics(
            self.window_open_ms,
            opened,
            high,
            low,
            self._last_price,
            self._last_quantity,
            self._window_volume + self._volume,
            self._window_value + self._value,
            closed + running,
            first_id,
            last_id,
        )


RETAINED_PRICE_MINUTES = 2 * DAY_MS // MINUTE_MS
"""Closed minutes of a price that are kept one by one; older ones are folded into hours."""


class PriceMinutes:
    """Closed minutes of one price, and the current minute."""

    def __init__(self, now_ms: int) -> None:
        self.open_time_ms = now_ms // MINUTE_MS * MINUTE_MS
        self.closed = ClosedMinutes(RETAINED_PRICE_MINUTES)
        self._last: int | None = None
        self._open = self._high = self._low = 0
        self._count = 0
        self._first_ms = self._last_ms = -1

    @property
    def running_bar(self) -> Bar | None:
        """The current minute; None before the first price."""
        if self._last is None:
            return None
        prices = (self._open, self._high, self._low, self._last)
        count, first_ms, last_ms = self._count, self._first_ms, self._last_ms
        return [self.open_time_ms, *prices, 0, 0, count, 0, 0, first_ms, last_ms]

    def add(self, price: int, time_ms: int) -> None:
        """Add one data point to the current minute."""
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

    def close_minutes(self, now_ms: int) -> None:
        """Close the minutes before that of `now_ms`; those without a price repeat the last one."""
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        if minute_ms <= self.open_time_ms:
            return
        last = self._last
        if last is not None:
            self.closed.append(rows_of(self.running_bar))
            self.closed.fill(minute_ms, last)
            self._open = self._high = self._low = last
        self.open_time_ms = minute_ms
        self._count = 0
        self._first_ms = self._last_ms = -1
