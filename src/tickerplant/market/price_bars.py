"""Candles of a price that is not traded: mark price, index price, premium.

Such a price is told at moments, usually once a second, and a candle counts those: its trade count
is their number, and its first and last trade ids are the times of the first and the last.
"""

from __future__ import annotations

from tickerplant.market.candles import Candles
from tickerplant.market.minutes import Minutes
from tickerplant.market.past import PastBars


def _worth_nothing(price: int, quantity: int) -> int:
    """Return the turnover of a price that is only told."""
    del price, quantity
    return 0


class PriceBars:
    """Minutes of one price, in integers of 10^-8, and the candles over them."""

    def __init__(self, now_ms: int) -> None:
        self._minutes = Minutes(_worth_nothing, now_ms)
        self.candles = Candles(self._minutes)

    def look_back(self, past: PastBars) -> None:
        """Begin with `past`, which ends where the present minute begins or before."""
        self.candles.load(past, self._minutes.open_time_ms)

    def add(self, price: int, time_ms: int) -> None:
        """Count one data point."""
        self._minutes.add(price, 0, False, time_ms, time_ms)

    def roll(self, now_ms: int) -> None:
        """End the minutes before the one of `now_ms`."""
        self._minutes.roll(now_ms)
