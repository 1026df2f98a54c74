"""Price–time priority matching of one symbol.

Each side keeps a dictionary from price to level and a sorted list of the prices in use. A level
is its total and a dictionary of its orders; dictionaries keep insertion order, so the first entry
is the oldest order and the last the youngest. Prices of a side are kept as *keys* that grow
towards the better price (the key of a bid is its price, that of an ask the negative of it), so the
best price is always last in the list and both sides share all code.

Every change of a level's total takes the next even update id. Odd ids are never used, so the id
after the last change lies strictly between two changes and can name the state between them in a
snapshot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TypeAlias

from tickerplant.events import Level as LevelChange

Fill: TypeAlias = tuple[int, int, int]
"""Id of the resting order, price and quantity."""

UPDATE_STEP = 2
"""Distance between the ids of two changes."""


class Queue:
    """The orders resting at one price, oldest first, and their total."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: dict[int, int] = {}
        self.total = 0


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
            return [(key * sign, total) for key, total in changed.items()]
        return [(key * sign, total) for key, total in sorted(changed.items(), reverse=True)]

    def top(self, limit: int) -> list[LevelChange]:
        """Return at most `limit` levels, best first."""
        levels, sign = self.levels, self.sign
        return [(key * sign, levels[key].total) for key in self.keys[: -limit - 1 : -1]]


class MatchingEngine:
    """The book of one symbol; orders go in, fills and level changes come out.

    `buy` is the side of an order; prices and quantities are positive integers. No order ever rests
    at a price where it could trade.
    """

    __slots__ = ("asks", "bids", "last_order_id", "operations", "orders", "update_id")

    def __init__(self, update_id: int = 0) -> None:
        if update_id % UPDATE_STEP:
            raise ValueError(f"update id {update_id} is not a multiple of {UPDATE_STEP}")
        self.bids = Side(1)
        self.asks = Side(-1)
        self.orders: dict[int, int] = {}
        """Key of each resting order; positive on the bid side, negative on the ask side."""
        self.update_id = update_id
        """Id of the last change of a level."""
        self.last_order_id = 0
        self.operations = 0
        """Orders, cancellations and reductions received."""

    def limit(self, buy: bool, price: int, quantity: int) -> tuple[int, list[Fill]]:
        """Trade the crossing part and rest the remainder (good till cancelled).

        Returns:
            The id of the resting remainder, 0 if nothing is left, and the fills.
        """
        side = self.bids if buy else self.asks
        fills = self.immediate(buy, quantity, price)
        left = quantity - sum(fill[2] for fill in fills)
        return (self._rest(side, price * side.sign, left) if left else 0), fills

    def market(self, buy: bool, quantity: int) -> list[Fill]:
        """Trade up to `quantity` at any price; drop what the book cannot fill."""
        return self.immediate(buy, quantity, None)

    def immediate(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        """Trade up to `quantity` at `price` or better now; drop the remainder."""
        self.operations += 1
        return self.part(buy, quantity, price)

    def part(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        """Do what `immediate` does, without counting another operation."""
        side = self.asks if buy else self.bids
        worst = None if price is None else price * side.sign
        keys, levels = side.keys, side.levels
        fills: list[Fill] = []
        while quantity and keys:
            key = keys[-1]
            if worst is not None and key < worst:
                break
            queue = levels[key]
            traded = self._fill(queue, key * side.sign, quantity, fills)
            quantity -= traded
            self.update_id += UPDATE_STEP
            side.changed[key] = queue.total
            if not queue.total:
                side.remove(key)
        return fills

    def post(self, buy: bool, price: int, quantity: int) -> int:
        """Rest an order that must not trade (post-only).

        Returns:
            Its id, or 0 if it would have traded and was rejected.
        """
        self.operations += 1
        if buy:
            side, key, other = self.bids, price, self.asks.keys
        else:
            side, key, other = self.asks, -price, self.bids.keys
        if other and key + other[-1] >= 0:
            return 0
        return self._rest(side, key, quantity)

    def cancel(self, order_id: int) -> int:
        """Cancel an order and return its remaining quantity; 0 if it is not resting."""
        self.operations += 1
        key = self.orders.get(order_id)
        if key is None:
            return 0
        side = self.bids if key > 0 else self.asks
        return self._reduce(side, key, order_id, side.levels[key].orders[order_id])

    def reduce(self, order_id: int, quantity: int) -> int:
        """Reduce an order by `quantity` and return the reduction; the order keeps its place.

        Reducing it by all of its quantity, or more, cancels it.
        """
        self.operations += 1
        key = self.orders.get(order_id)
        if key is None:
            return 0
        side = self.bids if key > 0 else self.asks
        return self._reduce(side, key, order_id, quantity)

    def withdraw(self, buy: bool, price: int, quantity: int) -> int:
        """Cancel the youngest orders at a price until `quantity` is withdrawn.

        The last order reached is reduced and keeps its place. Returns the withdrawn quantity, which
        is less than `quantity` if the level holds less.
        """
        self.operations += 1
        side = self.bids if buy else self.asks
        key = price if buy else -price
        queue = side.levels.get(key)
        if queue is None:
            return 0
        quantity = min(quantity, queue.total)
        left, orders = quantity, queue.orders
        while left:
            order_id, size = orders.popitem()
            if size > left:
                orders[order_id] = size - left
                break
            del self.orders[order_id]
            left -= size
        queue.total -= quantity
        self.update_id += UPDATE_STEP
        side.changed[key] = queue.total
        if not queue.total:
            side.remove(key)
        return quantity

    def resize(self, buy: bool, price: int, quantity: int) -> None:
        """Bring the total at a price to `quantity`: post the shortfall or withdraw the excess.

        Does nothing if an order at that price would trade.
        """
        side, key = (self.bids, price) if buy else (self.asks, -price)
        queue = side.levels.get(key)
        more = quantity - queue.total if queue else quantity
        if more > 0:
            self.post(buy, price, more)
        elif more < 0:
            self.withdraw(buy, price, -more)

    def changes(self) -> tuple[list[LevelChange], list[LevelChange]]:
        """Return the bids and asks changed since the last call, with their present totals."""
        return self.bids.take_changes(), self.asks.take_changes()

    def _rest(self, side: Side, key: int, quantity: int) -> int:
        self.last_order_id = order_id = self.last_order_id + 1
        queue = side.levels.get(key)
        if queue is None:
            queue = side.levels[key] = Queue()
            keys = side.keys
            if not keys or key > keys[-1]:
                keys.append(key)
            else:
                insort(keys, key)
        queue.orders[order_id] = quantity
        queue.total += quantity
        self.orders[order_id] = key
        self.update_id += UPDATE_STEP
        side.changed[key] = queue.total
        return order_id

    def _fill(self, queue: Queue, price: int, quantity: int, fills: list[Fill]) -> int:
        """Trade against the oldest orders of one price and return the quantity traded."""
        orders = queue.orders
        left = quantity
        while left and orders:
            order_id = next(iter(orders))
            size = orders[order_id]
            if size > left:
                orders[order_id] = size - left
                fills.append((order_id, price, left))
                left = 0
            else:
                del orders[order_id]
                del self.orders[order_id]
                fills.append((order_id, price, size))
                left -= size
        queue.total -= quantity - left
        return quantity - left

    def _reduce(self, side: Side, key: int, order_id: int, quantity: int) -> int:
        queue = side.levels[key]
        size = queue.orders[order_id]
        if quantity >= size:
            quantity = size
            del queue.orders[order_id]
            del self.orders[order_id]
        else:
            queue.orders[order_id] = size - quantity
        queue.total -= quantity
        self.update_id += UPDATE_STEP
        side.changed[key] = queue.total
        if not queue.total:
            side.remove(key)
        return quantity
