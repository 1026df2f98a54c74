"""The matching engine, compared with a slow model that keeps a plain list of orders."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.simulation.matching_engine import Fill, MatchingEngine


@dataclass
class Resting:
    number: int
    buy: bool
    price: int
    quantity: int


class NaiveEngine:
    """Price–time priority by sorting a list of orders each time."""

    def __init__(self) -> None:
        self.orders: list[Resting] = []
        self.posted = 0

    def side(self, buy: bool) -> list[Resting]:
        sign = -1 if buy else 1
        return sorted(
            (order for order in self.orders if order.buy == buy),
            key=lambda order: (sign * order.price, order.number),
        )

    def immediate(self, buy: bool, quantity: int, price: int | None) -> list[Fill]:
        fills: list[Fill] = []
        for order in self.side(not buy):
            fair = price is None or (order.price <= price if buy else order.price >= price)
            if not quantity or not fair:
                break
            size = min(quantity, order.quantity)
            order.quantity -= size
            quantity -= size
            fills.append((False, order.price, size))
        self.orders = [order for order in self.orders if order.quantity]
        return fills

    def post(self, buy: bool, price: int, quantity: int) -> bool:
        for order in self.orders:
            if order.buy != buy and (order.price <= price if buy else order.price >= price):
                return False
        self.posted += 1
        self.orders.append(Resting(self.posted, buy, price, quantity))
        return True

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
    st.tuples(st.just("post"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("immediate"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("market"), st.booleans(), PRICES, QUANTITIES),
    st.tuples(st.just("withdraw"), st.booleans(), PRICES, QUANTITIES),
)
RESIZING = st.tuples(st.just("resize"), st.booleans(), PRICES, st.integers(0, 20))
Operation = tuple[str, bool, int, int]


def apply(
    engine: MatchingEngine, naive: NaiveEngine, operation: Operation
) -> tuple[object, object]:
    kind, buy, price, quantity = operation
    if kind == "market":
        return engine.immediate(buy, quantity, None), naive.immediate(buy, quantity, None)
    if kind == "immediate":
        return engine.immediate(buy, quantity, price), naive.immediate(buy, quantity, price)
    return getattr(engine, kind)(buy, price, quantity), getattr(naive, kind)(buy, price, quantity)


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


@given(st.lists(OPERATIONS, max_size=60))
def test_quantity_is_conserved(operations: list[Operation]) -> None:
    """Added quantity equals resting, traded and withdrawn quantity."""
    engine, naive = MatchingEngine(), NaiveEngine()
    rested = gone = 0
    for operation in operations:
        kind, _, _, quantity = operation
        done, _ = apply(engine, naive, operation)
        if kind == "post":
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
    engine.post(False, 100, 10)
    engine.post(False, 100, 7)
    assert engine.immediate(True, 4, None) == [(False, 100, 4)]
    assert engine.immediate(True, 8, None) == [(False, 100, 6), (False, 100, 2)], "the older first"


def test_withdrawing_begins_with_the_youngest_order() -> None:
    engine = MatchingEngine()
    engine.post(True, 100, 10)
    engine.post(True, 100, 9)
    assert engine.withdraw(True, 100, 14) == 14
    assert engine.immediate(False, 9, None) == [(False, 100, 5)], "the oldest was cut and is there"


def test_a_post_only_order_that_would_trade_is_refused() -> None:
    engine = MatchingEngine()
    engine.post(False, 100, 10)
    before = engine.update_id
    assert not engine.post(True, 100, 1)
    assert engine.update_id == before, "a refused order changes nothing"


def test_an_odd_update_id_is_refused() -> None:
    with pytest.raises(ValueError, match="update id 7"):
        MatchingEngine(7)
