"""Depth makers: orders at many levels, requoted in sweeps of many levels at once.

A maker visits a price. If it is empty, the maker places an order there or turns to the next order
nearer to the best price; an existing order is withdrawn or resized. The chance to place is chosen
so that the share of occupied prices stays where the venue's style wants it; that share falls with
the distance, because distant makers quote round prices only. Visits do not depend on the state of
the book, so depth makers need no bookkeeping and repair what price moves leave behind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from math import exp
from random import Random
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple

from tickerplant.events import Level
from tickerplant.simulation.conditions import ORDINARY, Conditions
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import MakerStyle
from tickerplant.simulation.matching_engine import Side
from tickerplant.simulation.order_sizes import DRAWS, OrderSizes

GRIDS = ((10.0, 10), (50.0, 100), (400.0, 500))
"""Distance in basis points from which makers quote only multiples of so many ticks."""
GRID_LEVELS = 150
"""A grid is not used if it leaves fewer prices than this in its range."""
FAR_OCCUPANCY = 0.8
STRAY = 0.3
"""Share of the distant visits that turn to the nearest order, on the grid or not."""
GROWTH_BP = 4.0
"""Distance at which the quantity of a level has doubled."""
GROWTH_LIMIT = 8.0
SWEEP_SPREAD = 1.05
LARGEST_SWEEP = 600
ZONES_PER_RANGE = 5
VISITS = 2048
SCRAMBLE = 2_654_435_761
LOTS = 1 << 32
"""Multiplied by the first modulo the second, prices in a row are spread evenly."""
ADAPTATION_STEPS = 7
"""Steps in which the book is adapted to other conditions; coprime to the grids."""
WITHDRAW_STEP_MS = 60
RETURN_STEP_MS = 500
"""Time between two of these steps, where makers withdraw and where they come back."""


class Zone(Struct, frozen=True):
    """A range of distances from the best price that makers treat alike."""

    low: int
    width: int
    """Distances run from `low` up to but excluding `low + width`, in price units."""
    grid: int
    add: float
    """Chance to place an order at an empty price."""
    drop: float
    """Chance to withdraw an order."""
    scale: float
    """Quantity relative to a level near the best price."""

    @property
    def occupancy(self) -> float:
        """The share of occupied prices in the long run."""
        return 1 - self.drop / (1 + self.drop) / self.add


Visit: TypeAlias = tuple[int, int, int, float, float, float]
"""The fields of a zone, in order."""


class DepthMakers:
    """All makers of one contract who quote behind the best prices."""

    def __init__(
        self,
        random: Random,
        market: ContractMarket,
        sizes: OrderSizes,
        style: MakerStyle,
        price: int,
    ) -> None:
        self._random = random.random
        self._gauss = random.gauss
        self._market = market
        self._order_sizes = sizes.level_sizes
        self._style = style
        self._tick = market.instrument.tick_size
        self._step = market.instrument.step_size
        self._wall = 100 * self._tick
        self._lowest = market.instrument.min_price
        self._highest = market.instrument.max_price
        self._per_bp = price / 1e4
        self._generator = np.random.default_rng(random.getrandbits(64))
        self._zones = [
            zone for low, high, _ in style.distance_shares for zone in self._split(low, high)
        ]
        self._visits = self._schedule()
        self._conditions = self._adapted = ORDINARY
        """The conditions now, and those to which the book is adapted."""
        self._quote: Callable[[int, float, int], int] = self._quantity
        self._adaptation = 0
        self._returning: list[tuple[bool, int, int]] = []
        """Levels that come back: side, price and quantity."""

    def _split(self, low_bp: float, high_bp: float) -> list[Zone]:
        """Return the zones of a range of distances."""
        edges = np.geomspace(max(low_bp, high_bp / 8), high_bp, ZONES_PER_RANGE + 1).tolist()
        edges[0] = low_bp
        return [self._zone(low, high) for low, high in pairwise(edges)]

    def _zone(self, low_bp: float, high_bp: float) -> Zone:
        middle_bp = (low_bp + high_bp) / 2
        grid = self._grid(middle_bp)
        occupancy = self._occupancy(middle_bp, grid)
        drop = self._style.drop_share
        low = max(int(low_bp * self._per_bp), self._tick)
        return Zone(
            low,
            max(int(high_bp * self._per_bp) - low, 1),
            grid,
            min(drop / (1 + drop) / (1 - occupancy), 1.0),
            drop,
            self._scale(middle_bp),
        )

    def _scale(self, distance_bp: float) -> float:
        near = self._style.near_quantity if distance_bp < 1 else 1.0
        return near * min(1 + distance_bp / GROWTH_BP, GROWTH_LIMIT)

    def _schedule(self) -> list[Visit]:
        """Return the zones to visit, each as often as its share of the changes."""
        shares = np.repeat([share for _, _, share in self._style.distance_shares], ZONES_PER_RANGE)
        ends = np.round(np.cumsum(shares) / shares.sum() * VISITS).astype(int).tolist()
        visits: list[Visit] = []
        for zone, end in zip(self._zones, ends, strict=True):
            visits += [astuple(zone)] * (end - len(visits))
        return visits

    def _grid(self, distance_bp: float) -> int:
        """Return the spacing of the prices that makers quote at a distance."""
        for limit_bp, ticks in reversed(GRIDS):
            grid = ticks * self._tick
            if distance_bp > limit_bp and distance_bp * self._per_bp >= GRID_LEVELS * grid:
                return grid
        return self._tick

    def _occupancy(self, distance_bp: float, grid: int) -> float:
        """Return the share of the prices at a distance that have orders."""
        if grid > self._tick:
            return FAR_OCCUPANCY
        near = self._style.near_levels / max(10 * self._per_bp / self._tick, 1)
        if distance_bp < 1:
            near *= self._style.near_thinning
        elif distance_bp > 10:
            near *= 0.5
        return min(near, 0.9)

    def opening(self, best: int, buy: bool) -> list[Level]:
        """Return the levels of a side behind the best price, best first."""
        generator = self._generator
        found: dict[int, float] = {}
        for zone in self._zones:
            near, far = zone.low // zone.grid, (zone.low + zone.width) // zone.grid
            whole = best // zone.grid
            numbers = np.arange(whole - far, whole - near) if buy else np.arange(near, far) + whole
            kept = numbers[generator.random(len(numbers)) < zone.occupancy]
            found.update(dict.fromkeys((kept * zone.grid).tolist(), zone.scale))
        inside = {
            price: scale
            for price, scale in found.items()
            if (price < best if buy else price > best) and self._lowest <= price <= self._highest
        }
        draws = generator.integers(0, DRAWS, len(inside))
        prices = np.fromiter(inside, np.int64, len(inside))
        scales = np.fromiter(inside.values(), np.float64, len(inside))
        scales[prices % self._wall == 0] *= self._style.round_wall
        sizes = (np.array(self._order_sizes)[draws] * scales).astype(np.int64)
        quantities = np.maximum(sizes, 1) * self._step
        return sorted(zip(prices.tolist(), quantities.tolist(), strict=True), reverse=buy)

    def _quantity(self, key: int, scale: float, draw: int) -> int:
        """Return a quantity that is a multiple of the step; a key is a price or its negative."""
        if key % self._wall == 0:
            scale *= self._style.round_wall
        return max(int(self._order_sizes[draw] * scale), 1) * self._step

    def sweep(self, _: int = 0) -> None:
        """Requote a random number of levels of both sides."""
        levels = self._style.sweep_levels * exp(self._gauss(0, SWEEP_SPREAD))
        random, visits, twice = self._random, self._visits, 2 * VISITS
        engine, quantity = self._market.engine, self._quote
        fill_gap, empty, set_total = engine.fill_gap, engine.empty, engine.set_total
        bids, asks, tick = engine.bids, engine.asks, self._tick
        lowest, highest = self._lowest, self._highest
        for _ in range(int(min(levels, LARGEST_SWEEP) + random())):
            number = int(random() * twice)
            low, width, grid, add, drop, scale = visits[number >> 1]
            side = asks if number & 1 else bids
            keys = side.keys
            if not keys:
                continue
            best = keys[-1]
            nearest = best - low
            key = (nearest - int(random() * width)) // grid * grid
            if grid > tick and random() < STRAY:
                key = keys[min(bisect_left(keys, key), len(keys) - 1)]
            queue = side.levels.get(key)
            if queue is None:
                if random() < add:
                    if lowest <= key * side.sign <= highest and (
                        size := quantity(key, scale, int(random() * DRAWS))
                    ):
                        fill_gap(side, key, size)
                    continue
                key = keys[bisect_left(keys, key, 0, len(keys) - 1)]
                if key > nearest:
                    continue  # no order in this zone
                queue = side.levels[key]
            if key == best:
                continue  # the best price belongs to the touch makers
            if (
                key % grid == 0
                and random() >= drop
                and (size := quantity(key, scale, int(random() * DRAWS)))
            ):
                set_total(side, key, queue, size)
            else:
                empty(side, key)

    # Conditions other than the ordinary

    def set_conditions(self, conditions: Conditions) -> None:
        """Take over the conditions: what is quoted from now on follows them."""
        self._conditions = conditions
        self._quote = self._quantity if conditions == ORDINARY else self._quantity_of_those_present

    def _quantity_of_those_present(self, key: int, scale: float, draw: int) -> int:
        """Return a quantity as `_quantity` does; 0 if the maker of that price is gone."""
        if self._lot(key) >= self._conditions.presence_of(key > 0):
            return 0
        return self._scaled(self._quantity(key, scale, draw), self._conditions.depth)

    def _scaled(self, quantity: int, factor: float) -> int:
        return max(int(quantity * factor) // self._step, 1) * self._step

    def _lot(self, key: int) -> float:
        """Return a number from 0 to 1 for a price: its maker stays while it is below the presence."""
        return (abs(key) // self._tick * SCRAMBLE & LOTS - 1) / LOTS

    def adapt(self) -> None:
        """Adapt the book to the conditions, in steps: makers withdraw fast and come back slowly."""
        before, now = self._adapted, self._conditions
        if before == now:
            return
        self._adaptation += 1
        self._returning = [
            (buy, price, self._scaled(quantity, now.depth))
            for buy in (True, False)
            if now.presence_of(buy) > before.presence_of(buy)
            for price, quantity in self._missing(buy, before, now)
        ]
        is_return = bool(self._returning) or now.depth > before.depth
        step_ms = RETURN_STEP_MS if is_return else WITHDRAW_STEP_MS
        for step in range(ADAPTATION_STEPS + 1):
            argument = self._adaptation * (ADAPTATION_STEPS + 1) + step
            self._market.after(step * step_ms, self._adapt_part, argument)

    def _missing(self, buy: bool, before: Conditions, now: Conditions) -> list[Level]:
        """Return the levels that makers who come back quote around the present best prices."""
        engine = self._market.engine
        side, other = (engine.bids, engine.asks) if buy else (engine.asks, engine.bids)
        best = side.best or other.best
        if best is None:
            return []
        gone, back = before.presence_of(buy), now.presence_of(buy)
        rows = self.opening(best[0], buy)
        return [(price, quantity) for price, quantity in rows if gone <= self._lot(price) < back]

    def _adapt_part(self, argument: int) -> None:
        """Adapt a part of the book; the last step leaves no orders where there are no makers."""
        adaptation, step = divmod(argument, ADAPTATION_STEPS + 1)
        if adaptation != self._adaptation:
            return
        engine = self._market.engine
        is_last = step == ADAPTATION_STEPS
        for side in (engine.bids, engine.asks):
            presence = self._conditions.presence_of(side.sign > 0)
            keys = side.keys[:] if is_last and not presence else side.keys[:-1]
            if is_last:
                keys = [key for key in keys if self._lot(key) >= presence]
            else:
                keys = [key for key in keys if key // self._tick % ADAPTATION_STEPS == step]
            self._adapt_levels(side, keys)
        for buy, price, quantity in self._returning:
            side = engine.bids if buy else engine.asks
            is_due = (
                price // self._tick % ADAPTATION_STEPS == step
                and price * side.sign not in side.levels
            )
            if is_due and side.keys and price * side.sign < side.keys[-1]:
                engine.post(buy, price, quantity)
        if is_last:
            self._adapted, self._returning = self._conditions, []

    def _adapt_levels(self, side: Side, keys: list[int]) -> None:
        """Withdraw the orders whose makers are gone, and scale the others."""
        engine, buy = self._market.engine, side.sign > 0
        presence = self._conditions.presence_of(buy)
        ratio = self._conditions.depth / self._adapted.depth
        for key in keys:
            total, price = side.levels[key].total, key * side.sign
            if self._lot(key) >= presence:
                engine.withdraw(buy, price, total)
            elif ratio != 1:
                engine.resize(buy, price, self._scaled(total, ratio))
