"""Touch makers: they keep a spread of one tick around the fair value.

While the fair value is near the best prices, these stay, and makers add and withdraw a few per
cent of the best quantities, more on the side that the fair value leans away from. When the fair
value has moved away by more than a threshold, the makers in its way withdraw their quotes up to a
new best price. At once, or some milliseconds later, the other side follows and closes the spread;
one time in ten the gap is refilled instead, if the fair value says so. A long distance takes
several moves, milliseconds apart.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

from tickerplant.simulation.conditions import Conditions
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import ContractProfile
from tickerplant.simulation.matching_engine import Side
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.valuation import Valuation

MIN_MOVE_TICKS = 0.62
"""A fair value this many ticks from the mid moves the best prices even where ticks are large."""
AT_ONCE = 0.62
"""Chance that the spread is closed in the millisecond in which it opened."""
CLOSE_MS = 4.5
CHASE_MS = 4.5
"""Mean time to the next move while the fair value is still away."""
FAR_MOVE = 0.08
"""Smallest share of a large distance to the fair value that one move covers."""
LEAN = 1.6
"""How strongly best quantities lean: exponent per move threshold between fair value and mid."""
TARGET_SPREAD = 0.55
"""Standard deviation of the logarithm of the quantity that makers want at the best price."""
TARGET_MEMORY = 0.985
SAME_MS = 0.55
"""Chance that a change of a burst shares the millisecond of the previous one."""
BURST_MS = 2.0
SLOW_SAME_MS = 0.1
SLOW_MS = 28.0
DRAWS = 512
CHANGE = 0.022
"""Median change of a best quantity, relative to the target."""
CHANGE_SPREAD = 0.75
ADDING = 0.54
"""Share of additions among the changes of a quantity that is on target."""
SMALL_ORDER_SHARE = 0.68
"""Share of the additions that have the size of a taker order."""
ROUND_SHARE = 0.15
LEAST_PRESENCE = 0.02
WIDENING = 2.0
"""Spread of the makers that stay, in usual moves, for each maker that is gone."""
WIDEST = 0.02
"""The widest spread that they keep, relative to the price."""
JOIN_SPREAD = 0.9
"""Standard deviation of the logarithm of the first quantity at a new best price."""
KEEP_LEVEL_CHANCE = 0.85
"""Chance that a former best price keeps a small quantity instead of being emptied."""


class TouchMakers:
    """The makers of one contract who quote the best prices."""

    def __init__(
        self,
        random: Random,
        market: ContractMarket,
        sizes: OrderSizes,
        contract_profile: ContractProfile,
        valuation: Valuation,
    ) -> None:
        self._random = random.random
        self._gauss = random.gauss
        self._exponential = random.expovariate
        self._market = market
        self._order_sizes = sizes
        self._touch_share = contract_profile.style.touch_share
        self._valuation = valuation
        self._tick = market.instrument.tick_size
        self._step = market.instrument.step_size
        self._lowest = market.instrument.min_price
        self._parts = [CHANGE * exp(random.gauss(0, CHANGE_SPREAD)) for _ in range(DRAWS)]
        self._wanted = [0.0, 0.0]
        self._sizes = [1.0, 1.0]
        """Factors of the quantities that are wanted, asks first; 0 if there are no makers."""
        self._requote_ms = 0
        price = valuation.price()
        self._usual_threshold = max(
            contract_profile.move_threshold_bp * price / 1e4, MIN_MOVE_TICKS * self._tick
        )
        self.spread = self._tick
        """The spread that makers keep, in price units."""
        self.move_threshold = self._usual_threshold
        """Distance between fair value and mid, in price units, that moves the best prices."""
        self.on_stale: Callable[[bool], None] = lambda _: None
        """Called before makers withdraw stale quotes; the argument says if the fair value rose."""
        self.on_moved: Callable[[], None] = lambda: None
        """Called after the best prices moved."""

    def target_quantity(self, buy: bool) -> float:
        """Draw the quantity that the makers of a side want at the best price."""
        noise = self._wanted[buy]
        noise = noise * TARGET_MEMORY + self._gauss(0, TARGET_SPREAD * 0.17)
        self._wanted[buy] = noise
        lean = LEAN * self.distance() / self.move_threshold
        lean = min(max(lean, -1.6), 1.6)
        return self._order_sizes.touch * exp(noise + (lean if buy else -lean)) * self._sizes[buy]

    def opening_quantity(self) -> int:
        """Draw a best quantity for the opening."""
        return self._whole(self._order_sizes.touch * exp(self._gauss(0, TARGET_SPREAD / 2)))

    def distance(self) -> float:
        """Return how far the fair value is above the mid, in price units."""
        engine = self._market.engine
        try:
            mid = (engine.bids.keys[-1] - engine.asks.keys[-1]) / 2
        except IndexError:
            return self._distance_without_mid()
        return self._valuation.price() - mid

    def _distance_without_mid(self) -> float:
        """Return the distance to where the mid would be; 0 with an empty book."""
        engine, fair_value = self._market.engine, self._valuation.price()
        if engine.bids.keys:
            return fair_value - (engine.bids.keys[-1] + self.spread / 2)
        if engine.asks.keys:
            return fair_value - (-engine.asks.keys[-1] - self.spread / 2)
        return 0.0

    # Quantities at the best prices

    def quote(self, changes: int) -> None:
        """Change a best quantity several times; each change is published on its own.

        Some changes share a millisecond and a side; the rest follow some milliseconds later. A
        negative `changes` counts the changes of a slow burst: they follow some tens of milliseconds
        later.
        """
        slow, changes = changes < 0, abs(changes)
        random = self._random
        engine = self._market.engine
        buy = random() < 0.5
        side = engine.bids if buy else engine.asks
        if not changes or not side.keys:
            return
        price, target_quantity = side.keys[-1] * side.sign, self.target_quantity(buy)
        while True:
            self._change(buy, price, side.quantity(price), target_quantity)
            self._market.flush()
            changes -= 1
            if changes <= 0:
                return
            if random() > (SLOW_SAME_MS if slow else SAME_MS):
                delay_ms = 1 + int(self._exponential(1 / (SLOW_MS if slow else BURST_MS)))
                self._market.after(delay_ms, self.quote, -changes if slow else changes)
                return

    def _change(self, buy: bool, price: int, total: int, target_quantity: float) -> None:
        """Add to a best quantity or withdraw from it, towards `target_quantity`."""
        random, step = self._random, self._step
        part = self._parts[int(random() * DRAWS)]
        surplus = (total - target_quantity) / (total + target_quantity)
        if random() < ADDING - 0.7 * surplus:
            quantity = part * target_quantity * (3 if surplus < -0.4 else 1)
            if random() < SMALL_ORDER_SHARE:
                quantity = min(self._order_sizes.order(), target_quantity * 0.15)
            if random() < ROUND_SHARE:
                quantity = self._round(quantity)
            self._market.engine.post(buy, price, self._whole(quantity))
        elif total > 2 * step:
            if surplus > 0.4:
                part *= 3
            quantity = min(self._whole(part * max(total, target_quantity)), total - step)
            self._market.engine.withdraw(buy, price, quantity)

    def _round(self, quantity: float) -> float:
        """Round to one significant digit, as people do."""
        steps = max(int(quantity / self._step), 1)
        power = int(10 ** (len(str(steps)) - 1))
        return (steps + power // 2) // power * power * self._step - self._step / 2

    def _whole(self, quantity: float) -> int:
        """Round up to the step."""
        return (int(quantity / self._step) + 1) * self._step

    # The best prices

    def react(self, delay_ms: int) -> None:
        """Schedule a check of the best prices, unless one is scheduled already."""
        due_ms = self._market.now_ms + delay_ms
        if not self._market.now_ms <= self._requote_ms <= due_ms:
            self._requote_ms = due_ms
            self._market.after(delay_ms, self.requote)

    def requote(self, _: int = 0) -> None:
        """Move the best prices towards the fair value, by one move at most."""
        self._requote_ms = 0
        engine = self._market.engine
        bids, asks = engine.bids, engine.asks
        if not bids.keys or not asks.keys:
            self._quote_around_fair_value()
            return
        bid, ask = bids.keys[-1], -asks.keys[-1]
        distance = self.distance()
        if (
            abs(distance) > self.move_threshold
            and ask - bid <= 2 * self.move_threshold + self._tick
        ):
            self.on_stale(distance > 0)
            if not bids.keys or not asks.keys:
                return
            distance = self.distance()
            self._withdraw_stale_quotes(distance > 0, abs(distance))
            if self._random() >= AT_ONCE:
                self.react(1 + int(self._exponential(1 / CLOSE_MS)))
                return
        self._close_spread()
        if abs(self.distance()) > self.move_threshold:
            self.react(1 + int(self._exponential(1 / CHASE_MS)))

    def _withdraw_stale_quotes(self, up: bool, distance: float) -> None:
        """Withdraw the quotes in the way of the fair value and quote further away."""
        tick, engine = self._tick, self._market.engine
        side = engine.asks if up else engine.bids
        move = min(
            distance, self.move_threshold * (0.3 + self._exponential(1.6)) + FAR_MOVE * distance
        )
        best = side.keys[-1]
        target = best - max(int(move / tick + 0.5), 1) * tick
        keys, levels = side.keys, side.levels
        while keys and keys[-1] > target:
            key = keys[-1]
            engine.withdraw(not up, key * side.sign, levels[key].total)
        if not keys or keys[-1] < target - 2 * tick:
            self._open_level(side, target)
        self._market.flush()

    def _close_spread(self) -> None:
        """Close the spread: the side that the fair value leans to follows."""
        engine, spread = self._market.engine, self.spread
        bids, asks = engine.bids, engine.asks
        bid, ask = bids.keys[-1], -asks.keys[-1]
        if ask - bid <= spread:
            return
        if self._valuation.price() > (bid + ask) / 2:
            side, key = bids, ask - spread
        else:
            side, key = asks, -(bid + spread)
        self._shrink_level(side)
        self._open_level(side, key)
        self._market.flush()
        self.on_moved()

    def set_conditions(self, conditions: Conditions) -> None:
        """Take over the conditions: the spread at once, quantities with the next changes."""
        self._sizes = [conditions.presence_of(buy) * conditions.depth for buy in (False, True)]
        missing = 1 / max(conditions.presence, LEAST_PRESENCE) - 1
        wide = int(WIDENING * missing * self._usual_threshold / self._tick) * self._tick
        widest = int(self._valuation.price() * WIDEST / self._tick) * self._tick
        self.spread = max(min(wide, widest), self._tick)
        self.move_threshold = max(self._usual_threshold, self.spread / 2)

    def adapt(self) -> None:
        """Withdraw quotes that are closer to the fair value than makers want, or too large.

        Where makers came back, the best prices are quoted again.
        """
        engine = self._market.engine
        if self.spread > self._tick or not engine.bids.keys or not engine.asks.keys:
            self._quote_around_fair_value()
        for buy, side in ((True, engine.bids), (False, engine.asks)):
            wanted = self._whole(self._order_sizes.touch * self._sizes[buy])
            if side.keys and self._sizes[buy] < 1:
                price = side.keys[-1] * side.sign
                engine.withdraw(buy, price, max(side.quantity(price) - wanted, 0))
        self.react(0)

    def _quote_around_fair_value(self) -> None:
        """Quote each side half a spread away from the fair value, as far as it has makers."""
        engine, tick = self._market.engine, self._tick
        fair_value = self._valuation.price()
        for buy, side in ((True, engine.bids), (False, engine.asks)):
            if not self._sizes[buy]:
                continue
            key = int((fair_value * side.sign - self.spread / 2) // tick) * tick
            keys, levels = side.keys, side.levels
            while keys and keys[-1] > key:
                engine.withdraw(buy, keys[-1] * side.sign, levels[keys[-1]].total)
            if not keys or keys[-1] < key - self.move_threshold:
                self._open_level(side, key)
        self._market.flush()
        self.on_moved()

    def _open_level(self, side: Side, key: int) -> None:
        """Quote a new best price with a first part of the target quantity, small orders first."""
        engine, buy = self._market.engine, side.sign > 0
        target_quantity = (
            self.target_quantity(buy) * self._touch_share * exp(self._gauss(0, JOIN_SPREAD))
        )
        price = max(key * side.sign, self._lowest)
        for _ in range(2):
            engine.post(buy, price, min(self._order_sizes.order(), self._whole(target_quantity)))
        engine.post(buy, price, self._whole(target_quantity))

    def _shrink_level(self, side: Side) -> None:
        """Reduce the quantity at a price that is about to lose its place as the best."""
        engine, buy = self._market.engine, side.sign > 0
        key = side.keys[-1]
        total = side.levels[key].total
        keep = (
            self._order_sizes.level_sizes[int(self._random() * len(self._order_sizes.level_sizes))]
            * self._step
        )
        if self._random() > KEEP_LEVEL_CHANCE:
            keep = 0
        if total > keep:
            engine.withdraw(buy, key * side.sign, total - keep)
