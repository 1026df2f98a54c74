"""Leveraged positions, their brackets, and the forced orders that liquidate them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from math import floor, log10
from random import Random

from tickerplant.events import Bracket, Liquidation
from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import ContractProfile
from tickerplant.simulation.order_sizes import OrderSizes

OPENING_SHARE = 0.12
"""Share of the taker orders that open a leveraged position."""
LEVERAGE_CHOICES = (5, 10, 20, 20, 25, 50, 50, 75, 100, 125)
MAINTENANCE = 0.004
"""Maintenance margin of the smallest bracket, relative to the position's value."""
LARGEST_ORDERS = 25
"""No position is larger than this many typical orders."""
MAX_POSITIONS = 256
"""Most positions tracked per side; the farthest from liquidation is dropped."""
FIRST_POSITIONS = 48
FIRST_SPREAD = 0.012
"""Standard deviation of earlier entry prices around the opening price."""
LATEST_MS = 900
"""Longest delay of a forced order after the mark price that triggers it."""
SLIPPAGE = 0.004
"""Distance from the mark price to the limit of a forced order, its bankruptcy price."""
FAR_SLIPPAGE = 0.03
"""The same distance for positions with much margin left."""
LATE_SHARE = 0.05
"""Share of the forced orders that come after the mark price has passed the bankruptcy price."""
LATE_DISTANCE = 0.006
"""Mean distance from the bankruptcy price of such a position to the mark price."""
DELEVERAGING_SHARE = 0.1
"""Share of the unfilled rest that goes to opposite positions instead of the insurance fund."""


class LeveragedPositions:
    """The leveraged positions of one contract, by the mark price that liquidates them."""

    def __init__(
        self, random: Random, market: ContractMarket, sizes: OrderSizes, price: float
    ) -> None:
        self._random = random
        self._market = market
        self._largest = int(sizes.median * LARGEST_ORDERS)
        self.longs: list[tuple[float, int]] = []
        """Liquidation prices and sizes, the nearest to liquidation last."""
        self.shorts: list[tuple[float, int]] = []
        """The same with negative prices."""
        self._mark = price
        self.on_forced: Callable[[bool, int], None] | None = None
        """If given, called after each forced order with its side and quantity."""
        for _ in range(FIRST_POSITIONS):
            entry = price * (1 + random.gauss(0, FIRST_SPREAD))
            self._add(random.random() < 0.5, sizes.order(), entry)

    def opened(self, buy: bool, quantity: int, price: int) -> None:
        """Open a position for some of the orders that traded."""
        if self._random.random() < OPENING_SHARE:
            self._add(buy, quantity, price)

    def _add(self, buy: bool, quantity: int, entry: float) -> None:
        """Track a position, unless it would be liquidated at once."""
        margin = 1 / self._random.choice(LEVERAGE_CHOICES) - MAINTENANCE
        size = min(quantity, self._largest)
        step = self._market.instrument.step_size
        size = max(size // step * step, step)
        limit = entry * (1 - margin if buy else 1 + margin)
        if (limit >= self._mark) if buy else (limit <= self._mark):
            return
        positions = self.longs if buy else self.shorts
        insort(positions, (limit if buy else -limit, size))
        if len(positions) > MAX_POSITIONS:
            positions.pop(0)

    def mark(self, price: float) -> None:
        """Send forced orders for the positions that `price`, in price units, has reached."""
        self._mark = price
        while self.longs and self.longs[-1][0] >= price:
            self._force(False, self.longs.pop()[1])
        while self.shorts and -self.shorts[-1][0] <= price:
            self._force(True, self.shorts.pop()[1])

    def _force(self, buy: bool, size: int) -> None:
        delay_ms = int(self._random.random() * LATEST_MS)
        self._market.after(delay_ms, self._send, size if buy else -size)

    def _send(self, signed_size: int) -> None:
        """Send a forced order (positive buys), hand over the unfilled rest, and publish it."""
        buy = signed_size > 0
        self._execute(buy, abs(signed_size), self._limit(buy))

    def liquidate(self, signed_size: int) -> None:
        """Send a forced order for a position of any size (positive buys), with a far limit."""
        buy = signed_size > 0
        self._execute(buy, abs(signed_size), self._price_at(FAR_SLIPPAGE if buy else -FAR_SLIPPAGE))

    def _execute(self, buy: bool, quantity: int, price: int) -> None:
        market = self._market
        fills = [fill[1:] for fill in market.take(buy, quantity, price)]
        rest = quantity - sum(size for _, size in fills)
        if rest:
            origin = "ADL" if self._random.random() < DELEVERAGING_SHARE else "INSURANCE_FUND"
            market.trade_off_book(buy, rest, price, origin)
            fills.append((price, rest))
        market.write(
            Liquidation(
                symbol=market.symbol,
                side="BUY" if buy else "SELL",
                quantity=quantity,
                price=price,
                average_price=round(sum(each * size for each, size in fills) / quantity),
                status="FILLED",
                last_filled_quantity=fills[-1][1],
                filled_quantity=quantity,
                trade_time_ms=market.now_ms,
            )
        )
        market.flush()
        if self.on_forced is not None:
            self.on_forced(buy, quantity)

    def _limit(self, buy: bool) -> int:
        """Return the bankruptcy price of a position that is liquidated now."""
        margin = SLIPPAGE
        if self._random.random() < LATE_SHARE:
            margin = -self._random.expovariate(1 / LATE_DISTANCE)
        return self._price_at(margin if buy else -margin)

    def _price_at(self, margin: float) -> int:
        tick = self._market.instrument.tick_size
        return max(int(self._mark * (1 + margin) / tick) * tick, tick)


TIERS = (
    (1, 150),
    (5, 100),
    (12, 75),
    (40, 50),
    (120, 25),
    (300, 20),
    (700, 10),
    (1_500, 5),
    (3_000, 2),
    (6_000, 1),
)
"""Cap of a bracket relative to the first one, and its maximum leverage."""
MAINTENANCE_SHARE = 0.5
"""Maintenance margin relative to the initial margin."""
RATE_DECIMALS = 4
CAP_TOUCHES = 4
"""The first cap is this many times the usual best quantity."""
MAX_LEVERAGES = ((50_000, 125), (10_000, 75), (0, 50))
"""Least usual best quantity in USD, and the maximum leverage that it allows."""
_UNIT = int(10**RATE_DECIMALS)


def brackets(
    instrument: Instrument, contract_profile: ContractProfile, scale: float = 1.0
) -> tuple[Bracket, ...]:
    """Return the brackets of a contract.

    The maintenance margin is continuous: `cumulative` grows by the floor times the step of the
    maintenance rate, so that no position is worse off just above a floor.
    """
    unit_usd = contract_profile.price if instrument.venue.inverse else 1.0
    first_cap = CAP_TOUCHES * contract_profile.touch_usd / unit_usd * scale
    greatest = next(
        most for least_usd, most in MAX_LEVERAGES if contract_profile.touch_usd >= least_usd
    )
    tiers = [(share, min(leverage, greatest)) for share, leverage in TIERS]
    tiers = [
        tier
        for tier, following in zip(tiers, [*tiers[1:], (0, 0)], strict=True)
        if tier[1] > following[1]
    ]
    found: list[Bracket] = []
    lower_cap = rate = cumulative = 0
    for number, (share, leverage) in enumerate(tiers, 1):
        cap = max(_round_notional(first_cap * share), lower_cap + 1)
        before, rate = rate, round(MAINTENANCE_SHARE / leverage * _UNIT)
        cumulative += lower_cap * (rate - before)
        least = tiers[number][1] + 1 if number < len(tiers) else 1
        found.append(
            Bracket(
                number=number,
                notional_floor=lower_cap,
                notional_cap=cap,
                maintenance_margin_rate=rate / _UNIT,
                cumulative=cumulative / _UNIT,
                min_leverage=least,
                max_leverage=leverage,
            )
        )
        lower_cap = cap
    return tuple(found)


def _round_notional(notional: float) -> int:
    """Round a notional to one significant digit or a half of one."""
    power = int(10 ** floor(log10(max(notional, 1.0))))
    halves = max(round(2 * notional / power), 1)
    return max(halves * power // 2, 1)
