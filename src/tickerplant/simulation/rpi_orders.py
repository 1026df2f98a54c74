"""The retail price improvement (RPI) orders of one symbol, which are not part of its book.

They trade with retail takers only and have the lowest priority at their price: ordinary orders at
the same price come first, RPI orders at a better price come before those. The book never counts
them, so it may move through them; they stay, crossed, until their makers check. A side has a
handful of prices, so plain dictionaries, sorted on each trade, are enough.

Prices are kept as keys that grow towards the better price, as in the matching engine.
"""

from __future__ import annotations

from tickerplant.events import Level
from tickerplant.simulation.matching_engine import Fill, MatchingEngine


class RpiSide:
    """The RPI quantities of one side by key."""

    __slots__ = ("_changed", "quantities", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        """Factor from price to key: +1 for bids, -1 for asks."""
        self.quantities: dict[int, int] = {}
        self._changed: set[int] = set()

    def put(self, key: int, quantity: int) -> None:
        """Set the quantity at `key`; 0 removes it."""
        if quantity:
            self.quantities[key] = quantity
        else:
            del self.quantities[key]
        self._changed.add(key)

    def reached(self, worst: int) -> list[int]:
        """Return the keys at `worst` or better, best first."""
        return sorted((key for key in self.quantities if key >= worst), reverse=True)

    def levels(self) -> list[Level]:
        """Return prices and quantities, best first."""
        return self._told(self.quantities)

    def take_changes(self) -> list[Level]:
        """Return the prices changed since the last call with their quantities, best first."""
        changed, self._changed = self._changed, set()
        return self._told(changed)

    def _told(self, keys: dict[int, int] | set[int]) -> list[Level]:
        sign, quantities = self.sign, self.quantities
        return [(key * sign, quantities.get(key, 0)) for key in sorted(keys, reverse=True)]


class RpiOrders:
    """Both sides of the RPI orders of one symbol."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = RpiSide(1)
        self.asks = RpiSide(-1)

    def immediate(self, engine: MatchingEngine, buy: bool, quantity: int, price: int) -> list[Fill]:
        """Trade up to `quantity` at `price` or better with the book and with RPI orders.

        Better prices come first; at the same price the book does. The remainder is dropped.

        Returns:
            The fills, each with whether it is with an RPI order.
        """
        engine.operations += 1
        side = self.asks if buy else self.bids
        sign = side.sign
        fills: list[Fill] = []
        left = quantity
        for key in side.reached(price * sign):
            booked = engine.part(buy, left, key * sign)
            fills += booked
            left -= sum(fill[2] for fill in booked)
            if not left:
                return fills
            resting = side.quantities[key]
            traded = min(left, resting)
            side.put(key, resting - traded)
            fills.append((True, key * sign, traded))
            left -= traded
            if not left:
                return fills
        return fills + engine.part(buy, left, price)

    def changes(self) -> tuple[list[Level], list[Level]]:
        """Return the bids and asks changed since the last call, with their present quantities."""
        return self.bids.take_changes(), self.asks.take_changes()
