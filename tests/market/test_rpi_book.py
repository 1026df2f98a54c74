from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS, snapshot

from tickerplant.events import RpiUpdate
from tickerplant.market.book import OrderBook, RpiBook

LEVELS = st.lists(st.tuples(st.integers(90, 110), st.integers(0, 5)), max_size=8)


def open_book(bid: int = 99, ask: int = 101) -> OrderBook:
    book = OrderBook()
    book.load(snapshot(5, [(bid, 4)], [(ask, 3)]))
    return book


@given(st.lists(st.tuples(LEVELS, LEVELS), max_size=6))
def test_the_last_quantity_of_a_price_counts_and_zero_removes_it(
    changes: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    retail = RpiBook()
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for number, (bought, sold) in enumerate(changes, 7):
        retail.apply(RpiUpdate("BTCUSDT", number, bought, sold, START_MS + number))
        bids.update(bought)
        asks.update(sold)
        assert (retail.last_update_id, retail.transaction_time_ms) == (number, START_MS + number)
    assert retail.bids == {price: size for price, size in bids.items() if size}
    assert retail.asks == {price: size for price, size in asks.items() if size}


@given(LEVELS, LEVELS)
def test_what_crosses_the_book_is_not_shown(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> None:
    retail = RpiBook()
    retail.apply(RpiUpdate("BTCUSDT", 7, bids, asks, START_MS))
    shown_bids, shown_asks = retail.visible_levels(open_book())
    assert shown_bids == {p: q for p, q in retail.bids.items() if p < 101}, "bids below the ask"
    assert shown_asks == {p: q for p, q in retail.asks.items() if p > 99}, "asks above the bid"


@pytest.mark.parametrize("book", [OrderBook(), open_book()], ids=["empty", "open"])
def test_what_was_shown_does_not_change_with_later_orders(book: OrderBook) -> None:
    retail = RpiBook()
    retail.apply(RpiUpdate("BTCUSDT", 7, [(98, 1)], [(102, 2)], START_MS))
    earlier = retail.visible_levels(book)
    retail.apply(RpiUpdate("BTCUSDT", 9, [(98, 0), (97, 3)], [(102, 5)], START_MS))
    assert earlier == ({98: 1}, {102: 2})


def test_all_is_shown_beside_an_empty_book() -> None:
    retail = RpiBook()
    retail.apply(RpiUpdate("BTCUSDT", 7, [(100, 1)], [(90, 2)], START_MS))
    assert retail.visible_levels(OrderBook()) == ({100: 1}, {90: 2})
