"""RPI orders next to a matching engine, compared with a slow model that sorts one list of both."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.simulation.matching_engine import Fill, MatchingEngine
from tickerplant.simulation.rpi_orders import RpiOrders

PRICES = st.integers(95, 105)
QUANTITIES = st.integers(1, 20)
BOOK = st.lists(st.tuples(st.booleans(), PRICES, QUANTITIES), max_size=20)
RPI = st.dictionaries(st.tuples(st.booleans(), PRICES), QUANTITIES, max_size=10)
ORDERS = st.lists(st.tuples(st.booleans(), st.booleans(), PRICES, QUANTITIES), max_size=12)
"""Whether the taker is a retail one, the side, the price and the quantity."""


def make(
    book: list[tuple[bool, int, int]], rpi: dict[tuple[bool, int], int]
) -> tuple[MatchingEngine, RpiOrders]:
    engine, orders = MatchingEngine(), RpiOrders()
    for buy, price, quantity in book:
        engine.post(buy, price, quantity)
    for (buy, price), quantity in rpi.items():
        side = orders.bids if buy else orders.asks
        side.put(price * side.sign, quantity)
    orders.changes()
    return engine, orders


def expected(
    engine: MatchingEngine, orders: RpiOrders, buy: bool, quantity: int, price: int
) -> list[tuple[bool, int, int]]:
    """Return for each expected trade whether it is RPI, its price and quantity; prices merged."""
    book, rpi = (engine.asks, orders.asks) if buy else (engine.bids, orders.bids)
    sign = book.sign
    rows = [(-each * sign, False, size) for each, size in book.top(100)]
    rows += [(-each * sign, True, size) for each, size in rpi.levels()]
    traded = []
    for key, retail, size in sorted(rows):
        if quantity and -key >= price * sign:
            traded.append((retail, -key * sign, min(size, quantity)))
            quantity -= min(size, quantity)
    return traded


def merged(fills: list[Fill]) -> list[tuple[bool, int, int]]:
    rows: list[tuple[bool, int, int]] = []
    for retail, price, quantity in fills:
        if rows and rows[-1][:2] == (retail, price):
            rows[-1] = (retail, price, rows[-1][2] + quantity)
        else:
            rows.append((retail, price, quantity))
    return rows


@given(BOOK, RPI, st.booleans(), PRICES, QUANTITIES)
def test_the_best_price_is_first_and_the_book_at_one_price(
    book: list[tuple[bool, int, int]],
    rpi: dict[tuple[bool, int], int],
    buy: bool,
    price: int,
    quantity: int,
) -> None:
    engine, orders = make(book, rpi)
    traded = expected(engine, orders, buy, quantity, price)
    operations = engine.operations
    assert merged(orders.immediate(engine, buy, quantity, price)) == traded
    assert engine.operations == operations + 1, "it is one order, in however many parts"


@given(BOOK, RPI, ORDERS)
def test_rpi_orders_kept_from_the_changes_are_never_empty_and_never_the_books(
    book: list[tuple[bool, int, int]],
    rpi: dict[tuple[bool, int], int],
    orders_in: list[tuple[bool, bool, int, int]],
) -> None:
    engine, orders = make(book, rpi)
    kept = {True: dict(orders.bids.levels()), False: dict(orders.asks.levels())}
    for retail, buy, price, quantity in orders_in:
        before = {True: dict(engine.bids.top(100)), False: dict(engine.asks.top(100))}
        if retail:
            fills = orders.immediate(engine, buy, quantity, price)
        else:
            fills = engine.immediate(buy, quantity, price)
            assert orders.changes() == ([], []), "others do not reach RPI orders"
        for is_rpi, at, size in fills:
            if not is_rpi:
                before[not buy][at] -= size
        for side, rows in zip((True, False), orders.changes(), strict=True):
            for at, size in rows:
                assert size >= 0
                kept[side][at] = size
        for mine, theirs in ((True, engine.bids), (False, engine.asks)):
            left = {at: size for at, size in before[mine].items() if size}
            assert left == dict(theirs.top(100)), "the book lost what it traded and no more"
    for side, levels in ((True, orders.bids.levels()), (False, orders.asks.levels())):
        assert {at: size for at, size in kept[side].items() if size} == dict(levels)
        assert all(size > 0 for _, size in levels)


def test_changes_are_returned_once_best_first_with_removals() -> None:
    engine, orders = make([(False, 101, 5)], {(False, 100): 3, (False, 102): 4})
    assert orders.immediate(engine, True, 9, 105) == [
        (True, 100, 3),
        (False, 101, 5),
        (True, 102, 1),
    ]
    orders.bids.put(99, 7)
    assert orders.changes() == ([(99, 7)], [(100, 0), (102, 3)])
    assert orders.changes() == ([], [])
