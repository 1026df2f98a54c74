"""By how much a contract was dearer than its index before the start."""

from __future__ import annotations

from math import exp, log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_profile import BASIS_PER_YEAR, YEAR_MS, ContractProfile
from tickerplant.simulation.price_paths import DAY, LENGTHS_MS, Floats, PricePath
from tickerplant.simulation.smooth_noise import smooth_noise
from tickerplant.simulation.valuation import PREMIUM
from tickerplant.units import HOUR_MS, MINUTE_MS

PREMIUM_SPREAD = 0.0004
"""Standard deviation of the premium of a perpetual contract over the months."""
SETTLING_MS = 6 * 3_600_000
"""Towards the start the premium comes to what it usually is, within about this time."""
GAP_MS = 30 * 60_000
"""What the opening price is off the formula arises within about this time."""
MARKED = 0.8
"""Part of the premium's ups and downs that the mark price follows."""


class Premium(Struct, frozen=True):
    """The logarithm of a contract's price over its index, at any time before the start."""

    instrument: Instrument
    seed: int
    start_ms: int
    opening: float
    """The premium of the opening price."""

    def at(self, times_ms: NDArray[np.int64]) -> Floats:
        """Return the premium at many times, which rise."""
        left_ms = np.maximum(self.start_ms - times_ms, 0)
        gap = self.opening - float(self._lasting(np.array([self.start_ms]))[0])
        return self.of_mark(times_ms, 1.0) + gap * np.exp(-left_ms / GAP_MS)

    def of_mark(self, times_ms: NDArray[np.int64], followed: float = MARKED) -> Floats:
        """Return the same for the mark price: it follows only a part of the ups and downs."""
        return self._lasting(times_ms) + followed * self._wobble(times_ms)

    def _lasting(self, times_ms: NDArray[np.int64]) -> Floats:
        if self.instrument.perpetual:
            return np.full(len(times_ms), PREMIUM)
        left_ms = np.maximum(self.instrument.delivery_date_ms - times_ms, 0)
        basis: Floats = BASIS_PER_YEAR * left_ms / YEAR_MS + PREMIUM
        return basis

    def _wobble(self, times_ms: NDArray[np.int64]) -> Floats:
        left_ms = np.maximum(self.start_ms - times_ms, 0)
        settled = 1 - np.exp(-left_ms / SETTLING_MS)
        slow = smooth_noise(f"{self.seed} premium {self.instrument.symbol}").at(times_ms)
        wobble: Floats = PREMIUM_SPREAD * slow * settled
        return wobble


TRADES_PER_ORDER = 3.6
RECENT_MS = HOUR_MS
"""How long before the start single trades are known."""
RECENT_TRADES = 100_000
"""About so many are known at most: the time is shorter where more are traded."""


class HistoryInputs(Struct, frozen=True):
    """Everything that a contract's past is drawn from; equal ones have equal pasts."""

    instrument: Instrument
    contract_profile: ContractProfile
    seed: int
    start_ms: int
    last_price: int
    """Price that the past leads to, in price units."""

    @property
    def name(self) -> str:
        """What the names of its random generators begin with."""
        return f"{self.seed} past {self.instrument.symbol}"

    @property
    def way(self) -> PricePath:
        """The way that its coin's value took."""
        contract_profile, coin = self.contract_profile, self.instrument.base_asset
        return PricePath(self.seed, coin, contract_profile.daily_volatility, self.start_ms)

    @property
    def index_price(self) -> float:
        """Index price at the start, in quote units."""
        return self.contract_profile.price * exp(-PREMIUM)

    @property
    def index_units(self) -> float:
        """Index price at the start, in price units."""
        return self.index_price * float(10**self.instrument.price.decimals)

    @property
    def premium(self) -> Premium:
        """Its premium over the index, which leads to the opening price."""
        dearer = log(self.last_price / self.index_units)
        return Premium(self.instrument, self.seed, self.start_ms, dearer)

    @property
    def trades_per_ms(self) -> float:
        """Trades on an ordinary day."""
        return self.contract_profile.orders_per_s * TRADES_PER_ORDER / 1000

    @property
    def recent_ms(self) -> int:
        """From when on single trades are known: a whole minute, at most the present one."""
        span_ms = min(RECENT_MS, int(RECENT_TRADES / self.trades_per_ms))
        first_ms = max(self.start_ms - span_ms, self.listed_ms(MINUTE_MS))
        return min(first_ms // MINUTE_MS * MINUTE_MS, self.way.present_ms)

    def span(self, tier: str) -> tuple[int, int]:
        """Return from where to where the bars of `tier` go that end before the recent trades."""
        start_ms, end_ms = self.way.span(tier)
        if tier == DAY:
            end_ms = self.recent_ms
        return min(max(start_ms, self.listed_ms(LENGTHS_MS[tier])), end_ms), end_ms

    def place(self, tier: str) -> slice:
        """Return which bars of the coin's `tier` are bars of the contract, in `span`."""
        length_ms = LENGTHS_MS[tier]
        way_ms, _ = self.way.span(tier)
        start_ms, end_ms = self.span(tier)
        return slice((start_ms - way_ms) // length_ms, (end_ms - way_ms) // length_ms)

    def told(self, tier: str) -> slice:
        """Return which bars of the coin's `tier` are since the listing."""
        length_ms = LENGTHS_MS[tier]
        way_ms, end_ms = self.way.span(tier)
        start_ms = min(max(way_ms, self.listed_ms(length_ms)), end_ms)
        return slice((start_ms - way_ms) // length_ms, (end_ms - way_ms) // length_ms)

    def listed_ms(self, length_ms: int) -> int:
        """Return the first multiple of `length_ms` since the listing."""
        return -(-self.instrument.onboard_date_ms // length_ms) * length_ms
