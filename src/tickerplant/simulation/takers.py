"""Takers: orders that arrive in clusters, keep their side and move the price.

Arrivals are a self-exciting (Hawkes) process with three exponential kernels, generated as a
cluster process. Each order has children after milliseconds, tenths of a second and seconds; on
average three orders in four are children, which usually keep their parent's side. Orders without
a parent react to news or are parts of a few metaorders with power-law lengths, which correlates
order signs over tens of orders.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.valuation import Valuation

KERNELS = ((0.18, 4.0, 0.90), (0.29, 90.0, 0.82), (0.22, 4000.0, 0.78))
"""Mean number of children, mean delay in ms, chance that a child keeps the side."""
CHILDREN = sum(children for children, _, _ in KERNELS)
NEWS_SHARE = 0.55
"""Share of the parentless orders that react to news."""
NEWS_SPAN_MS = 2600
"""A usual piece of news attracts the orders of this much time."""
METAORDERS = 2
METAORDER_TAIL = 1.5
SHORTEST_METAORDER = 5
LONGEST_METAORDER = 2000
OPPORTUNIST_SHARE = 0.12
"""Share of the parentless orders that follow the imbalance of the best quantities."""
WHOLE_QUEUE_SHARE = 0.1
"""Share of the orders that take the whole best quantity if it is thin."""
THIN = 0.35
"""A best quantity is thin below this share of the usual one."""
SLACK_BP = 6.0
"""How far beyond the best price an order may trade."""
REPEAT_SHARE = 0.42
"""Share of the children that repeat the size of their parent."""
RETAIL_SHARE = 0.4
"""Share of the small orders that are retail, where RPI orders exist: a quarter of all orders."""
RETAIL_ORDERS = 5.0
"""No retail order is larger than this many typical orders."""
IMPACT_EXPONENT = 0.42
IMPACT_LIMIT = 6.0
ALARM = 3.0
"""How much more a forced order moves the fair value than another of its size."""
EXPECTATION = 0.12
"""Weight of the latest sign in the sign that makers expect next."""
FORESEEN = 0.55
"""Share of the expected impact that makers have priced in."""


class Takers:
    """The takers of one contract."""

    def __init__(
        self,
        random: Random,
        market: ContractMarket,
        sizes: OrderSizes,
        valuation: Valuation,
        impact: float,
        orders_per_s: float,
        activity: Callable[[], float],
        intensity: float,
    ) -> None:
        self._random = random.random
        self._exponential = random.expovariate
        self._market = market
        self._order_sizes = sizes
        self._valuation = valuation
        self._activity = activity
        self._rate_per_ms = orders_per_s * (1 - CHILDREN) * intensity / 1000
        self._impact = impact / (max(intensity, 1e-9) ** 0.5)
        self._slack = SLACK_BP / 1e4
        self._tick = market.instrument.tick_size
        self._retail = 0.0 if market.rpi_orders is None else sizes.median * RETAIL_ORDERS
        """The largest quantity of a retail order."""
        self._pace = self._kept = 1.0
        """The order flow is the product: more arrivals, of which some are left out."""
        self._expected = 0.0
        self._metaorders = [self._metaorder() for _ in range(METAORDERS)]
        self.on_trade: Callable[[bool, int, int], None] = lambda *_: None
        """Called after each order with its side, quantity and last price, before makers react."""

    def start(self) -> None:
        """Start the arrival of parentless orders."""
        self._plan()

    def set_flow(self, factor: float) -> None:
        """Multiply the order flow; the next arrival is never later than usual."""
        self._pace, self._kept = max(factor, 1.0), min(factor, 1.0)

    def _plan(self) -> None:
        rate = self._rate_per_ms * (1 - NEWS_SHARE) * self._activity() * self._pace
        self._market.after(1 + int(self._exponential(rate)), self._arrive)

    def _arrive(self, _: int) -> None:
        if self._kept == 1.0 or self._random() < self._kept:
            self.order(self._sign())
        self._plan()

    def on_news(self, surprise: float) -> None:
        """Send orders in the direction of the news. `surprise` is in units of its usual size."""
        per_news = self._rate_per_ms * NEWS_SHARE * NEWS_SPAN_MS
        mean = per_news * min(abs(surprise), 6.0) * (self._pace * self._kept)
        sign = 1 if surprise > 0 else -1
        number = int(mean + self._random())
        for _ in range(number):
            side = sign if self._random() < 0.85 else -sign
            self._market.after(int(self._exponential(1 / 60)), self.order, side)

    def _sign(self) -> int:
        if self._random() < OPPORTUNIST_SHARE:
            engine = self._market.engine
            bid, ask = engine.bids.best, engine.asks.best
            if bid is None or ask is None:
                return 1
            lean = (bid[1] - ask[1]) / (bid[1] + ask[1])
            return 1 if self._random() < 0.5 + 0.45 * lean else -1
        at = int(METAORDERS * self._random() ** 2)
        sign, left = self._metaorders[at]
        self._metaorders[at] = (sign, left - 1) if left > 1 else self._metaorder()
        return sign

    def _metaorder(self) -> tuple[int, int]:
        length = (1 - self._random()) ** (-1 / METAORDER_TAIL)
        return (1 if self._random() < 0.5 else -1), min(
            int(SHORTEST_METAORDER * length), LONGEST_METAORDER
        )

    def order(self, signed_quantity: int) -> None:
        """Send one order and schedule its children.

        Args:
            signed_quantity: Positive to buy, negative to sell; 1 and -1 draw a quantity.
        """
        buy = signed_quantity > 0
        retail = self._retail > 0 and self._random() < RETAIL_SHARE
        self._spawn_children(buy, self.send(buy, abs(signed_quantity), retail=retail))

    def send(self, buy: bool, quantity: int = 1, *, retail: bool = False) -> int:
        """Send one order and return its quantity; a quantity of 1 draws one.

        With `retail`, a small order is that of a retail taker.
        """
        engine = self._market.engine
        side = engine.asks if buy else engine.bids
        best = side.best
        if quantity == 1:
            quantity = self._order_sizes.order()
        if best is None:
            return quantity
        price, total = best
        if self._random() < WHOLE_QUEUE_SHARE and total < THIN * self._order_sizes.touch:
            quantity = max(total, self._order_sizes.smallest)
        self._trade(buy, quantity, price, retail and quantity <= self._retail)
        return quantity

    def _trade(self, buy: bool, quantity: int, price: int, retail: bool) -> None:
        sign = 1 if buy else -1
        slack = max(int(price * self._slack), self._tick) // self._tick * self._tick
        take = self._market.take_as_retail if retail else self._market.take
        fills = take(buy, quantity, price + sign * slack)
        if not fills:
            return
        weight = min((quantity / self._order_sizes.median) ** IMPACT_EXPONENT, IMPACT_LIMIT)
        self._valuation.add_impact(self._impact * (sign * weight - FORESEEN * self._expected))
        self._expected += EXPECTATION * (sign * weight - self._expected)
        self._market.flush()
        if retail:
            self._market.flush_rpi()
        self.on_trade(buy, quantity, fills[-1][1])

    def press(self, buy: bool, quantity: int) -> None:
        """Move the fair value as a forced order of this size does, which announces further ones."""
        weight = ALARM * (quantity / self._order_sizes.median) ** IMPACT_EXPONENT
        self._valuation.add_impact(self._impact * (weight if buy else -weight))

    def _spawn_children(self, buy: bool, quantity: int) -> None:
        random, after = self._random, self._market.after
        for mean, delay_ms, keep in KERNELS:
            again = mean / (1 + mean)
            while random() < again:
                child = 1 if (random() < keep) == buy else -1
                if random() < REPEAT_SHARE:
                    child *= quantity
                after(int(self._exponential(1 / delay_ms)), self.order, child)
