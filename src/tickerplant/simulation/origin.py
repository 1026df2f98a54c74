"""What decides the past of a simulated contract."""

from __future__ import annotations

from math import exp, log

from msgspec import Struct

from tickerplant.instrument import Instrument
from tickerplant.simulation.paths import DAY, LENGTHS_MS, Way
from tickerplant.simulation.premiums import Premium
from tickerplant.simulation.temper import Temper
from tickerplant.simulation.value import PREMIUM
from tickerplant.units import HOUR_MS, MINUTE_MS

TRADES_PER_ORDER = 3.6
RECENT_MS = HOUR_MS
"""How long before the start single trades are known."""
RECENT_TRADES = 100_000
"""About so many are known at most: the time is shorter where more are traded."""


class Origin(Struct, frozen=True):
    """Everything that a contract's past is drawn from; equal ones have equal pasts."""

    instrument: Instrument
    temper: Temper
    seed: int
    start_ms: int
    last_price: int
    """Price that the past leads to, in price units."""

    @property
    def name(self) -> str:
        """What the names of its random generators begin with."""
        return f"{self.seed} past {self.instrument.symbol}"

    @property
    def way(self) -> Way:
        """The way that its coin's value took."""
        temper, coin = self.temper, self.instrument.base_asset
        return Way(self.seed, coin, temper.daily_volatility, self.start_ms)

    @property
    def index_price(self) -> float:
        """Index price at the start, in quote units."""
        return self.temper.price * exp(-PREMIUM)

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
        return self.temper.orders_per_s * TRADES_PER_ORDER / 1000

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
