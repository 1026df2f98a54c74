"""Mark price and funding of one contract, by the exchange's formulas.

Perpetual: the median of price 1 (index with the funding still to come), price 2 (index plus the
average basis of the last 30 seconds) and the contract's last price. Dated: price 2.
Funding: average premium since the last funding time, plus the interest rate moved towards it by at
most 0.05 %, per 8 hours. Settlement: the average index of the last hour before a delivery.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

from tickerplant.events import FundingPaid, MarkPrice
from tickerplant.instrument import RATE_ONE, Instrument, round_div
from tickerplant.units import HOUR_MS

BASIS_SAMPLES = 30
INTEREST_RATE = 0.0001
"""Per eight hours."""
CLAMP = 0.0005
FIRST_FUNDING_RATE = 0.0001
LATEST_MS = 20
"""Longest time from a funding time to the payment."""
SETTLEMENT_MS = HOUR_MS
"""Dated contracts are settled at the average index of this time before their delivery."""


def funding_rate(average_premium: float, interval_hours: int, cap: float = 0.02) -> float:
    """Return the rate per interval for an average premium; its absolute value is at most `cap`."""
    step = min(max(INTEREST_RATE - average_premium, -CLAMP), CLAMP)
    rate = (average_premium + step) / (8 / interval_hours)
    return min(max(rate, -cap), cap)


def paid_ms(symbol: str, due_ms: int) -> int:
    """Return when the funding of a funding time is paid: at most `LATEST_MS` later."""
    return due_ms + crc32(f"{symbol} {due_ms}".encode()) % (LATEST_MS + 1)


class MarkPriceCalculator:
    """Calculates the mark price of one contract; prices are floats in quote units."""

    def __init__(self, instrument: Instrument, now_ms: int) -> None:
        self._instrument = instrument
        self._unit = 10**instrument.price.decimals
        self._basis: deque[float] = deque(maxlen=BASIS_SAMPLES)
        self._interval_ms = instrument.funding_interval_hours * HOUR_MS
        self._next_funding_ms = (now_ms // self._interval_ms + 1) * self._interval_ms
        self.delivery_date_ms = instrument.delivery_date_ms
        self.pinned_premium: float | None = None
        """If given, the average premium that the predicted funding rate follows from."""
        self._cap = instrument.funding_cap / RATE_ONE
        self._last_rate = FIRST_FUNDING_RATE
        # The current funding interval began before the simulation; its premium was zero so far.
        self._premium_count = (now_ms - (self._next_funding_ms - self._interval_ms)) // 1000
        self._premium_sum = 0.0
        self._settle_sum, self._settle_count = 0, 0
        self._index = 0
        self.paid: FundingPaid | None = None
        """The funding that is paid in the latest second, if that was a funding time."""

    @property
    def settlement(self) -> int:
        """Average index of the last hour so far, in integers of 10^-8; the latest index if none."""
        if not self._settle_count:
            return self._index
        return round_div(self._settle_sum, self._settle_count)

    def at(self, now_ms: int, index: float, bid: int, ask: int, last: int) -> MarkPrice:
        """Return the mark price at the second `now_ms`, and add the second to the averages."""
        bid_price, ask_price = bid / self._unit, ask / self._unit
        self._basis.append((bid_price + ask_price) / 2 - index)
        price_2 = index + sum(self._basis) / len(self._basis)
        if not self._instrument.perpetual:
            return self._dated(now_ms, price_2, index)
        funded = now_ms >= self._next_funding_ms
        if funded:
            self._last_rate = self._rate()
            self._next_funding_ms += self._interval_ms
            self._premium_sum, self._premium_count = 0.0, 0
        premium = max(bid_price - index, 0.0) - max(index - ask_price, 0.0)
        self._premium_sum += premium / index
        self._premium_count += 1
        left = (self._next_funding_ms - now_ms) / self._interval_ms
        price_1 = index * (1 + self._last_rate * left)
        mark = round(sorted((price_1, price_2, last / self._unit))[1] * RATE_ONE)
        self.paid = None
        if funded:
            rate = round(self._last_rate * RATE_ONE)
            symbol = self._instrument.symbol
            self.paid = FundingPaid(symbol, rate, mark, paid_ms(symbol, now_ms))
        return MarkPrice(
            symbol=self._instrument.symbol,
            mark_price=mark,
            index_price=round(index * RATE_ONE),
            estimated_settle_price=round(index * RATE_ONE),
            funding_rate=round(self._rate() * RATE_ONE),
            next_funding_time_ms=self._next_funding_ms,
            time_ms=now_ms,
        )

    def _rate(self) -> float:
        average = self.pinned_premium
        if average is None:
            average = self._premium_sum / max(self._premium_count, 1)
        return funding_rate(average, self._instrument.funding_interval_hours, self._cap)

    def _dated(self, now_ms: int, mark: float, index: float) -> MarkPrice:
        """Return the mark price of a dated contract.

        In the last hour the estimated settlement price assumes that the index stays as it is.
        """
        index_price = estimate = self._index = round(index * RATE_ONE)
        left_ms = self.delivery_date_ms - now_ms
        if left_ms <= SETTLEMENT_MS:
            self._settle_sum += index_price
            self._settle_count += 1
            to_come = max(left_ms // 1000 - 1, 0)
            total = self._settle_sum + to_come * index_price
            estimate = round_div(total, self._settle_count + to_come)
        return MarkPrice(
            symbol=self._instrument.symbol,
            mark_price=round(mark * RATE_ONE),
            index_price=index_price,
            estimated_settle_price=estimate,
            funding_rate=None,
            next_funding_time_ms=0,
            time_ms=now_ms,
        )
