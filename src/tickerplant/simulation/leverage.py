"""Leveraged positions, and the forced orders that close them when the mark price reaches them."""

from __future__ import annotations

from bisect import insort
from random import Random

from tickerplant.events import Liquidation
from tickerplant.simulation.pit import Pit
from tickerplant.simulation.sizes import Sizes

OPENING_SHARE = 0.12
"""Part of the taker orders that opens a leveraged position."""
LEVERAGES = (5, 10, 20, 20, 25, 50, 50, 75, 100, 125)
MAINTENANCE = 0.004
"""Maintenance margin of the smallest bracket, relative to the position's value."""
LARGEST_ORDERS = 25
"""No position is larger than this many typical orders."""
POSITIONS = 256
"""Most positions of a side that are followed; the farthest from liquidation is let go."""
FIRST_POSITIONS = 48
FIRST_SPREAD = 0.012
"""Standard deviation of earlier entry prices around the opening price."""
LATEST_MS = 900
"""Forced orders reach the book within this time of the mark price that caused them."""
SLIPPAGE = 0.004
"""Distance from the mark price to the limit of a forced order: the position's bankruptcy."""
LATE_SHARE = 0.05
"""Part of the forced orders that reach the book when the mark price has passed the bankruptcy."""
LATE_DISTANCE = 0.006
"""Mean distance from the bankruptcy of such a position to the mark price."""
DELEVERAGING_SHARE = 0.1
"""Part of what the book cannot fill that falls to opposite positions, not to the insurance fund."""


class Leverage:
    """The leveraged positions of one contract, by the mark price that liquidates them."""

    def __init__(self, random: Random, pit: Pit, sizes: Sizes, price: float) -> None:
        self._random = random
        self._pit = pit
        self._largest = int(sizes.median * LARGEST_ORDERS)
        self._longs: list[tuple[float, int]] = []
        self._shorts: list[tuple[float, int]] = []
        self._mark = price
        for _ in range(FIRST_POSITIONS):
            entry = price * (1 + random.gauss(0, FIRST_SPREAD))
            self._add(random.random() < 0.5, sizes.order(), entry)

    def opened(self, buy: bool, quantity: int, price: int) -> None:
        """Learn of an order that traded; some open a position."""
        if self._random.random() < OPENING_SHARE:
            self._add(buy, quantity, price)

    def _add(self, buy: bool, quantity: int, entry: float) -> None:
        """Follow a position unless it would be liquidated on the spot."""
        margin = 1 / self._random.choice(LEVERAGES) - MAINTENANCE
        size = min(quantity, self._largest)
        step = self._pit.instrument.step_size
        size = max(size // step * step, step)
        limit = entry * (1 - margin if buy else 1 + margin)
        if (limit >= self._mark) if buy else (limit <= self._mark):
            return
        positions = self._longs if buy else self._shorts
        insort(positions, (limit if buy else -limit, size))  # the nearest is the last
        if len(positions) > POSITIONS:
            positions.pop(0)

    def mark(self, price: float) -> None:
        """Send forced orders for the positions that `price`, in price units, has reached."""
        self._mark = price
        while self._longs and self._longs[-1][0] >= price:
            self._force(False, self._longs.pop()[1])
        while self._shorts and -self._shorts[-1][0] <= price:
            self._force(True, self._shorts.pop()[1])

    def _force(self, buy: bool, size: int) -> None:
        delay_ms = int(self._random.random() * LATEST_MS)
        self._pit.after(delay_ms, self._send, size if buy else -size)

    def _send(self, signed_size: int) -> None:
        """Send a forced order (positive buys), let the rest be taken over, and report it."""
        buy, quantity = signed_size > 0, abs(signed_size)
        pit = self._pit
        price = self._limit(buy)
        fills = [fill[1:] for fill in pit.take(buy, quantity, price)]
        rest = quantity - sum(size for _, size in fills)
        if rest:
            origin = "ADL" if self._random.random() < DELEVERAGING_SHARE else "INSURANCE_FUND"
            pit.take_over(buy, rest, price, origin)
            fills.append((price, rest))
        pit.write(
            Liquidation(
                symbol=pit.symbol,
                side="BUY" if buy else "SELL",
                quantity=quantity,
                price=price,
                average_price=round(sum(each * size for each, size in fills) / quantity),
                status="FILLED",
                last_filled_quantity=fills[-1][1],
                filled_quantity=quantity,
                trade_time_ms=pit.now_ms,
            )
        )
        pit.flush()

    def _limit(self, buy: bool) -> int:
        """Return the price of bankruptcy of a position that is closed now."""
        margin = SLIPPAGE
        if self._random.random() < LATE_SHARE:
            margin = -self._random.expovariate(1 / LATE_DISTANCE)
        tick = self._pit.instrument.tick_size
        limit = self._mark * (1 + margin if buy else 1 - margin)
        return max(int(limit / tick) * tick, tick)
