"""The inputs that a contract's generated history follows from, and its premium over the index."""

from __future__ import annotations

from math import exp, log

import numpy as np
from msgspec import Struct

from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_profile import BASIS_PER_YEAR, YEAR_MS, ContractProfile
from tickerplant.simulation.history_pieces import Floats, Ints
from tickerplant.simulation.price_paths import PricePath
from tickerplant.simulation.smooth_noise import smooth_noise
from tickerplant.simulation.valuation import PREMIUM
from tickerplant.units import HOUR_MS, MINUTE_MS

PREMIUM_SPREAD = 0.0004
"""Standard deviation of the premium of a perpetual contract over the months."""
SETTLING_MS = 6 * HOUR_MS
"""Time within which the premium settles at its usual value before the start."""
GAP_MS = 30 * MINUTE_MS
"""Time within which the opening price leaves the formula before the start."""
MARKED = 0.8
"""Share of the premium's fluctuation that the mark price follows."""


class Premium(Struct, frozen=True):
    """The logarithm of a contract's price over its index, at any time before the start."""

    instrument: Instrument
    seed: int
    start_ms: int
    opening: float
    """The premium of the opening price."""

    def at(self, times_ms: Ints) -> Floats:
        """Return the premium at many ascending times."""
        gap = self.opening - float(self._lasting(np.array([self.start_ms]))[0])
        left_ms = np.maximum(self.start_ms - times_ms, 0)
        return self.of_mark(times_ms, 1.0) + gap * np.exp(-left_ms / GAP_MS)

    def of_mark(self, times_ms: Ints, followed: float = MARKED) -> Floats:
        """Return the premium of the mark price, which follows only a share of the fluctuation."""
        settled = 1 - np.exp(-np.maximum(self.start_ms - times_ms, 0) / SETTLING_MS)
        slow = smooth_noise(f"{self.seed} premium {self.instrument.symbol}").at(times_ms)
        premiums: Floats = self._lasting(times_ms) + followed * (PREMIUM_SPREAD * slow * settled)
        return premiums

    def _lasting(self, times_ms: Ints) -> Floats:
        left_ms = np.maximum(self.instrument.delivery_date_ms - times_ms, 0)
        per_year = 0 if self.instrument.perpetual else BASIS_PER_YEAR
        basis: Floats = per_year * left_ms / YEAR_MS + PREMIUM
        return basis


TRADES_PER_ORDER = 3.6
TRADES_PER_FILL = 2.4
"""Mean number of trades of a taker order at one price, which are one aggregate."""
RECENT_MS = HOUR_MS
"""Longest time before the start for which single trades are generated."""
RECENT_TRADES = 100_000
"""Largest expected number of single trades; the time is shorter for busier contracts."""


class HistoryInputs(Struct, frozen=True):
    """Everything that a contract's history follows from; equal inputs give equal histories."""

    instrument: Instrument
    contract_profile: ContractProfile
    seed: int
    start_ms: int
    last_price: int
    """The price that the history leads to, in price units."""

    @property
    def name(self) -> str:
        """The prefix of the names that seed its random generators."""
        return f"{self.seed} past {self.instrument.symbol}"

    @property
    def path(self) -> PricePath:
        """The path of its underlying's value."""
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
        premiums = log(self.last_price / self.index_units)
        return Premium(self.instrument, self.seed, self.start_ms, premiums)

    @property
    def trades_per_ms(self) -> float:
        """Expected number of trades on an ordinary day."""
        return self.contract_profile.orders_per_s * TRADES_PER_ORDER / 1000

    @property
    def recent_ms(self) -> int:
        """Start of the single trades: a whole minute, at latest the current one."""
        span_ms = min(RECENT_MS, int(RECENT_TRADES / self.trades_per_ms))
        first_ms = max(self.start_ms - span_ms, self.listed_ms(MINUTE_MS))
        return min(first_ms // MINUTE_MS * MINUTE_MS, self.path.present_ms)

    @property
    def day_span(self) -> tuple[int, int]:
        """Start and end of the minutes of the last day that precede the single trades."""
        return min(max(self.path.day_ms, self.listed_ms(MINUTE_MS)), self.recent_ms), self.recent_ms

    def listed_ms(self, length_ms: int) -> int:
        """Return the first multiple of `length_ms` since the listing."""
        return -(-self.instrument.onboard_date_ms // length_ms) * length_ms
