"""Price–time priority matching of one symbol.

Each side keeps a dictionary from price to level and a sorted list of the prices in use. A level
is its total and the list of its orders, the oldest first; an order is nothing but its quantity,
because those who withdraw orders name a price and a quantity. Prices of a side are kept as *keys* that grow
towards the better price (the key of a bid is its price, that of an ask the negative of it), so the
best price is always last in the list and both sides share all code.

Every change of a level's total takes the next even update id. Odd ids are never used, so the id
after the last change lies strictly between two changes and can name the state between them in a
snapshot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TypeAlias

from msgspec import Struct

from tickerplant.events import Level as LevelChange

Fill: TypeAlias = tuple[bool, int, int]
"""Whether the resting order is an RPI order, price and quantity."""

UPDATE_STEP = 2
"""Distance between the ids of two changes."""


class Queue(Struct, gc=False):
    """The orders resting at one price."""

    total: int
    """The sum of their quantities."""
    orders: list[int]
    """Their quantities, the oldest first; never empty."""


class Side:
    """The resting orders of one side."""

    __slots__ = ("changed", "keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        """Factor from price to key: +1 for bids, -1 for asks."""
        self.keys: list[int] = []
        """Keys in use; the best is the last."""
        self.levels: dict[int, Queue] = {}
        self.changed: dict[int, int] = {}
        """Totals of the keys changed since the last call of `MatchingEngine.changes`."""

    def quantity(self, price: int) -> int:
        """Return the total resting at `price`."""
        queue = self.levels.get(price * self.sign)
        return queue.total if queue else 0

    @property
    def best(self) -> LevelChange | None:
        """Best price and its total."""
        if not self.keys:
            return None
        key = self.keys[-1]
        return key * self.sign, self.levels[key].total

    def remove(self, key: int) -> None:
        """Remove the level at `key`."""
        del self.levels[key]
        keys = self.keys
        if keys[-1] == key:
            keys.pop()
        else:
            del keys[bisect_left(keys, key)]

    def take_changes(self) -> list[LevelChange]:
        """Return the levels changed since the last call with their totals, best first."""
        sign, changed = self.sign, self.changed
        if not changed:
            return []
        self.changed = {}
        if len(changed) == 1:
            ((key, total),) = changed.items()
            return [(key * sign, total)]
        found = sorted(changed.items(), reverse=True)
        return found if sign > 0 else [(-key, total) for key, total in found]

    def top(self, limit: int) -> list[LevelChange]:
        """Return at most `limit` levels, best first."""
        levels, sign = self.levels, self.sign
        return [(key * sign, levels[key].total) for key in self.keys[: -limit - 1 : -1]]


class MatchingEngine:
    """The book of one symbol; orders go in, fills and level changes come out.

    `buy` is the side of an order; prices and quantities are positive integers. No order ever rests
    at a price where it could trade.
    """

    __slots__ = ("asks", "bids", "operations", "update_id")

    def __init__(self, update_id: int = 0) -> None:
        if update_id % UPDATE_STEP:
            raise ValueError(f"update id {update_id} is not a multiple of {UPDATE_STEP}")
        self.bids = Side(1)
        self.asks = Side(-1)
        self.update_id = update_id
        """Id of the last change of a level."""
        self.operations = 0
        """Orders and withdrawals received."""

    def open(self, bids: list[LevelChange], asks: list[LevelChange]) -> None:
        """Fill the empty book with one order at each price, best prices first, as no changes."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            sign = side.sign
            side.keys = [price * sign for price, _ in reversed(levels)]
            side.levels = {price * sign: Queue(size, [size]) for price, size in levels}
            self.operations += len(levels)
            self.update_id += UPDATE_STEP * len(levels)

    def immediate(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        """Trade up to `quantity` at `price` or better now, at any price if None; drop the rest."""
        self.operations += 1
        return self.part(buy, quantity, price)

    def part(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        """Do what `immediate` does, without counting another operation."""
        side = self.asks if buy else self.bids
        sign, keys, levels, changed = side.sign, side.keys, side.levels, side.changed
        worst = None if price is None else price * sign
        fills: list[Fill] = []
        while quantity and keys:
            key = keys[-1]
            if worst is not None and key < worst:
                break
            queue = levels[key]
            orders, left = queue.orders, quantity
            while left and orders:
                size = orders[0]
                if size > left:
                    orders[0] = size - left
                    size = left
                else:
                    del orders[0]
                fills.append((False, key * sign, size))
                left -= size
            queue.total -= quantity - left
            quantity = left
            self.update_id += UPDATE_STEP
            changed[key] = queue.total
            if not orders:
                del levels[key]
                keys.pop()
        return fills

    def post(self, buy: bool, price: int, quantity: int) -> bool:
        """Rest an order that must not trade (post-only); return whether it rests."""
        self.operations += 1
        if buy:
            side, key, other = self.bids, price, self.asks.keys
        else:
            side, key, other = self.asks, -price, self.bids.keys
        if other and key + other[-1] >= 0:
            return False
        queue = side.levels.get(key)
        if queue is None:
            side.levels[key] = Queue(quantity, [quantity])
            keys = side.keys
            if not keys or key > keys[-1]:
                keys.append(key)
            else:
                insort(keys, key)
            side.changed[key] = quantity
        else:
            queue.orders.append(quantity)
            queue.total = side.changed[key] = queue.total + quantity
        self.update_id += UPDATE_STEP
        return True

    def withdraw(self, buy: bool, price: int, quantity: int) -> int:
        """Cancel the youngest orders at a price until `quantity` is withdrawn.

        The last order reached is reduced and keeps its place. Returns the withdrawn quantity, which
        is less than `quantity` if the level holds less.
        """
        side, key = (self.bids, price) if buy else (self.asks, -price)
        queue = side.levels.get(key)
        if queue is None:
            self.operations += 1
            return 0
        total = queue.total
        if quantity < total:
            self.set_total(side, key, queue, total - quantity)
            return quantity
        self.empty(side, key)
        return total

    def resize(self, buy: bool, price: int, quantity: int) -> None:
        """Bring the total at a price to `quantity`: post the shortfall or withdraw the excess.

        Does nothing if an order at that price would trade.
        """
        side, key = (self.bids, price) if buy else (self.asks, -price)
        queue = side.levels.get(key)
        if queue is None:
            if quantity:
                self.post(buy, price, quantity)
        elif quantity:
            self.set_total(side, key, queue, quantity)
        else:
            self.empty(side, key)

    # What makers of many levels do, who have looked at the level already

    def fill_gap(self, side: Side, key: int, quantity: int) -> None:
        """Post an order at an empty price behind the best price of its side."""
        self.operations += 1
        self.update_id += UPDATE_STEP
        side.levels[key] = Queue(quantity, [quantity])
        insort(side.keys, key)
        side.changed[key] = quantity

    def empty(self, side: Side, key: int) -> None:
        """Withdraw all orders of a price that has some."""
        self.operations += 1
        self.update_id += UPDATE_STEP
        side.changed[key] = 0
        side.remove(key)

    def set_total(self, side: Side, key: int, queue: Queue, quantity: int) -> None:
        """Bring the total of a price that has orders to `quantity`, which is positive."""
        more = quantity - queue.total
        if not more:
            return
        self.operations += 1
        self.update_id += UPDATE_STEP
        queue.total = side.changed[key] = quantity
        orders = queue.orders
        if more > 0:
            orders.append(more)
            return
        while (size := orders[-1]) <= -more:
            orders.pop()
            more += size
        orders[-1] = size + more

    def changes(self) -> tuple[list[LevelChange], list[LevelChange]]:
        """Return the bids and asks changed since the last call, with their present totals."""
        return self.bids.take_changes(), self.asks.take_changes()
