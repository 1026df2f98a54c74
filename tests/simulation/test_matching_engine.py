"""The matching engine, compared with a slow model that keeps a plain list of orders."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.simulation.matching_engine import Fill, MatchingEngine


@dataclass
class Resting:
    order_id: int
    buy: bool
    price: int
    quantity: int


class NaiveEngine:
    """Price–time priority by sorting a list of orders each time."""

    def __init__(self) -> None:
        self.orders: list[Resting] = []
        self.last_id = 0

    def side(self, buy: bool) -> list[Resting]:
        sign = -1 if buy else 1
        return sorted(
            (order for order in self.orders if order.buy == buy),
            key=lambda order: (sign * order.price, order.order_id),
        )

    def limit(self, buy: bool, price: int, quantity: int) -> tuple[int, list[Fill]]:
        fills = self.immediate(buy, quantity, price)
        left = quantity - sum(fill[2] for fill in fills)
        return (self.rest(buy, price, left) if left else 0), fills

    def immediate(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        fills: list[Fill] = []
        for order in self.side(not buy):
            fair = price is None or (order.price <= price if buy else order.price >= price)
            if not quantity or not fair:
                break
            size = min(quantity, order.quantity)
            order.quantity -= size
            quantity -= size
            fills.append((order.order_id, order.price, size))
        self.orders = [order for order in self.orders if order.quantity]
        return fills

    def post(self, buy: bool, price: int, quantity: int) -> int:
        for order in self.orders:
            if order.buy != buy and (order.price <= price if buy else order.price >= price):
                return 0
        return self.rest(buy, price, quantity)

    def rest(self, buy: bool, price: int, quantity: int) -> int:
        self.last_id += 1
        self.orders.append(Resting(self.last_id, buy, price, quantity))
        return self.last_id

    def market(self, buy: bool, quantity: int) -> list[Fill]:
        return self.immediate(buy, quantity, None)

    def cancel(self, order_id: int) -> int:
        return self.reduce(order_id, 10**9)

    def reduce(self, order_id: int, quantity: int) -> int:
        for order in self.orders:
            if order.order_id == order_id:
                taken = min(quantity, order.quantity)
                order.quantity -= taken
                self.orders = [each for each in self.orders if each.quantity]
                return taken
        return 0

    def withdraw(self, buy: bool, price: int, quantity: int) -> int:
        taken = 0
        for order in reversed(self.side(buy)):
            if order.price == price:
                size = min(order.quantity, quantity - taken)
                order.quantity -= size
                taken += size
        self.orders = [order for order in self.orders if order.quantity]
        return taken

    def resize(self, buy: bool, price: int, quantity: int) -> None:
        more = quantity - dict(self.levels(buy)).get(price, 0)
        if more > 0:
            self.post(buy, price, more)
        else:
            self.withdraw(buy, price, -more)

    def levels(self, buy: bool) -> list[tuple[int, int]]:
        totals: dict[int, int] = {}
        for order in self.side(buy):
            totals[order.price] = totals.get(order.price, 0) + order.quantity
        return list(totals.items())


PRICES = st.integers(95, 105)
QUANTITIES = st.integers(1, 20)
OPERATIONS = st.one_of(
    st.tuples(st.just("limit"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("post"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("immediate"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("market"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("cancel"), st.booleans(), st.integers(1, 30), QUANTITIES),
    st.tuples(st.just("reduce"), st.booleans(), st.integers(1, 30), QUANTITIES),
    st.tuples(st.just("withdraw"), st.booleans(), PRICES, QUANTITIES),
)
RESIZING = st.tuples(st.just("resize"), st.booleans(), PRICES, st.integers(0, 20))
Operation = tuple[str, bool, int, int]


def apply(
    engine: MatchingEngine, naive: NaiveEngine, operation: Operation
) -> tuple[object, object]:
    kind, buy, number, quantity = operation
    arguments: dict[str, tuple[bool | int, ...]] = {
        "immediate": (buy, quantity, number),
        "market": (buy, quantity),
        "cancel": (number,),
        "reduce": (number, quantity),
    }
    chosen = arguments.get(kind, (buy, number, quantity))
    return getattr(engine, kind)(*chosen), getattr(naive, kind)(*chosen)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS | RESIZING, max_size=60))
def test_the_engine_does_what_the_naive_model_does(operations: list[Operation]) -> None:
    engine, naive = MatchingEngine(), NaiveEngine()
    for operation in operations:
        done, expected = apply(engine, naive, operation)
        assert done == expected, f"{operation} answered {done}, the model {expected}"
        assert engine.bids.top(100) == naive.levels(True), f"bids differ after {operation}"
        assert engine.asks.top(100) == naive.levels(False), f"asks differ after {operation}"
        bid, ask = engine.bids.best, engine.asks.best
        assert bid is None or ask is None or bid[0] < ask[0], f"crossed after {operation}"


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATIONS, max_size=60))
def test_a_book_kept_from_the_changes_is_the_engine_book(operations: list[Operation]) -> None:
    engine, naive = MatchingEngine(), NaiveEngine()
    kept: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for number, operation in enumerate(operations):
        apply(engine, naive, operation)
        assert engine.update_id % 2 == 0, "odd update ids are reserved for snapshots"
        if number % 3 == 0:
            for side, rows in zip(kept, engine.changes(), strict=True):
                for price, quantity in rows:
                    side[price] = quantity
    for side, rows in zip(kept, engine.changes(), strict=True):
        side.update(rows)
    bids, asks = ({p: q for p, q in side.items() if q} for side in kept)
    assert bids == dict(engine.bids.top(100)), "bids differ from the changes told"
    assert asks == dict(engine.asks.top(100)), "asks differ from the changes told"


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATIONS, max_size=60))
def test_quantity_is_conserved(operations: list[Operation]) -> None:
    """Added quantity equals resting, traded and withdrawn quantity."""
    engine, naive = MatchingEngine(), NaiveEngine()
    rested = gone = 0
    for operation in operations:
        kind, _, _, quantity = operation
        done, _ = apply(engine, naive, operation)
        if kind == "limit":
            assert isinstance(done, tuple)
            traded = sum(fill[2] for fill in done[1])
            gone += traded
            rested += quantity - traded
        elif kind == "post":
            rested += quantity if done else 0
        elif kind in ("immediate", "market"):
            assert isinstance(done, list)
            gone += sum(fill[2] for fill in done)
        else:
            assert isinstance(done, int)
            gone += done
    resting = sum(quantity for side in (engine.bids, engine.asks) for _, quantity in side.top(100))
    assert rested == gone + resting, "quantity appeared or vanished"


def test_a_cut_order_keeps_its_place() -> None:
    engine = MatchingEngine()
    first, second = engine.post(False, 100, 10), engine.post(False, 100, 10)
    assert engine.reduce(first, 4) == 4
    assert engine.market(True, 8) == [(first, 100, 6), (second, 100, 2)], "the older order is first"


def test_withdrawing_begins_with_the_youngest_order() -> None:
    engine = MatchingEngine()
    first, second = engine.post(True, 100, 10), engine.post(True, 100, 10)
    assert engine.withdraw(True, 100, 15) == 15
    assert second not in engine.orders, "the youngest order was cancelled"
    assert engine.market(False, 9) == [(first, 100, 5)], "the oldest was cut and is still there"


def test_a_post_only_order_that_would_trade_is_refused() -> None:
    engine = MatchingEngine()
    engine.post(False, 100, 10)
    before = engine.update_id
    assert engine.post(True, 100, 1) == 0
    assert engine.update_id == before, "a refused order changes nothing"


def test_an_odd_update_id_is_refused() -> None:
    with pytest.raises(ValueError, match="update id 7"):
        MatchingEngine(7)
