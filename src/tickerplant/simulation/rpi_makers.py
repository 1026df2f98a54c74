"""RPI makers: small orders at and near the best prices, for retail takers only.

They check the best prices some tenths of a second after a change, so their orders lag: the book
moves through them, and until the next check retail takers on that side get a better price than
the book offers.
"""

from __future__ import annotations

from random import Random

from tickerplant.events import RpiUpdate
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.matching_engine import UPDATE_STEP
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.rpi_orders import RpiOrders, RpiSide

LEVELS = 6
"""Most prices per side with RPI orders. Adding a better one drops the last."""
REACH_MOVES = 18.0
"""Orders farther behind the best price than this many moves of it are withdrawn."""
REACH_TICKS = 12
"""The same limit in ticks, where ticks are large."""
SPACING = 0.2
"""Mean distance behind the best price, relative to the farthest."""
LEAST_MS = 90
CHECK_MS = 260.0
"""Mean time from a trade or a move of the best prices to a check, beyond `LEAST_MS`."""
DEEPER = 0.5
"""Chance to place a further order behind the best price when there are too few."""
IMPROVING = 0.6
"""Chance to quote a tick better than the book if its spread has room."""
TYPICAL_ORDERS = 1.5
"""Mean quantity at a price, in median taker orders."""


class RpiMakers:
    """The RPI makers of one contract."""

    def __init__(
        self,
        random: Random,
        market: ContractMarket,
        orders: RpiOrders,
        sizes: OrderSizes,
        move_threshold: float,
    ) -> None:
        self._random = random.random
        self._exponential = random.expovariate
        self._market = market
        self._orders = orders
        self._smallest = sizes.smallest
        self._mean = sizes.median * TYPICAL_ORDERS
        self._tick = market.instrument.tick_size
        self._step = market.instrument.step_size
        self._reach = max(int(move_threshold * REACH_MOVES), REACH_TICKS * self._tick)
        self._lowest = market.instrument.min_price
        self._highest = market.instrument.max_price
        self._planned = False

    def open(self, bid: int, ask: int) -> RpiUpdate:
        """Quote around the opening best prices and return the RPI orders."""
        orders, engine = self._orders, self._market.engine
        for _ in range(3 * LEVELS):
            self._requote(orders.bids, bid, -ask)
            self._requote(orders.asks, -ask, bid)
        bids, asks = orders.changes()
        bids, asks = ([row for row in rows if row[1]] for rows in (bids, asks))
        engine.update_id += UPDATE_STEP * (len(bids) + len(asks))
        return RpiUpdate(self._market.symbol, engine.update_id, bids, asks, self._market.now_ms)

    def react(self) -> None:
        """Schedule a check of the best prices, unless one is scheduled already."""
        if not self._planned:
            self._planned = True
            self._market.after(LEAST_MS + int(self._exponential(1 / CHECK_MS)), self.check_quotes)

    def check_quotes(self, _: int = 0) -> None:
        """Requote both sides around the best prices of the book; withdraw if a side is empty."""
        self._planned = False
        engine, orders = self._market.engine, self._orders
        bids, asks = engine.bids.keys, engine.asks.keys
        if bids and asks:
            self._requote(orders.bids, bids[-1], asks[-1])
            self._requote(orders.asks, asks[-1], bids[-1])
        else:  # without a spread there is nothing to improve
            for side in (orders.bids, orders.asks):
                for key in list(side.quantities):
                    self._put(side, key, 0)
        self._market.flush()
        self._market.flush_rpi()

    def _requote(self, side: RpiSide, best: int, opposite: int) -> None:
        """Withdraw orders that cross the book or are far behind; quote at the best price or better.

        Args:
            side: The side to requote.
            best: Key of the side's best price in the book.
            opposite: Key of the other side's best price; an order at `-opposite` would trade.
        """
        quantities = side.quantities
        reach = self._reach
        for key in [key for key in quantities if key + opposite >= 0 or key < best - reach]:
            self._put(side, key, 0)
        if max(quantities, default=best - reach) < best:
            improved = best + self._tick
            better = improved + opposite < 0 and self._random() < IMPROVING
            self._add(side, improved if better else best)
        while len(quantities) < LEVELS and self._random() < DEEPER:
            behind = min(int(self._exponential(1 / (reach * SPACING))), reach)
            self._add(side, best - behind // self._tick * self._tick)

    def _add(self, side: RpiSide, key: int) -> None:
        """Add quantity at `key`, and drop the last price if there are too many."""
        if not self._lowest <= key * side.sign <= self._highest:
            return
        quantities = side.quantities
        drawn = self._smallest + int(self._exponential(1 / self._mean))
        self._put(side, key, quantities.get(key, 0) + drawn // self._step * self._step)
        if len(quantities) > LEVELS:
            self._put(side, min(quantities), 0)

    def _put(self, side: RpiSide, key: int, quantity: int) -> None:
        self._market.engine.operations += 1
        side.put(key, quantity)
