"""Order books as readers see them: the numbers that follow from the levels, and copies."""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import ConfigError
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookSnapshot, BookState, Level, OrderBook
from tickerplant.messages.book import DepthSnapshot, DepthUpdate
from tickerplant.raw_events import RawLevel

SYMBOL = "BTCUSDT"
BIDS = [("100.1", "2"), ("100.0", "3"), ("99.5", "10")]
ASKS = [("100.2", "1"), ("100.4", "5")]


def snapshot(**values: Any) -> BookSnapshot:
    return BookSnapshot(SYMBOL, BIDS, ASKS, **values)


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def local_book(bids: list[RawLevel], asks: list[RawLevel], limit: int = 1000) -> LocalBook:
    book = LocalBook(SYMBOL, limit=limit)
    book.snapshot_requested(0)
    book.load(
        DepthSnapshot(
            symbol=SYMBOL,
            last_update_id=10,
            event_time_ms=5,
            transaction_time_ms=4,
            bids=bids,
            asks=asks,
        ),
        1_000,
    )
    return book


@pytest.fixture(params=["copy", "view"])
def book(request: pytest.FixtureRequest) -> OrderBook:
    if request.param == "copy":
        return snapshot(update_id=10)
    return OrderBook(local_book(BIDS, ASKS), Clock())


def test_the_best_prices_are_levels(book: OrderBook) -> None:
    assert book.best_bid == Level("100.1", "2") == ("100.1", "2")
    assert book.best_ask is not None
    assert (book.best_ask.price, book.best_ask.quantity) == ("100.2", "1")


def test_levels_are_text_floats_or_exact(book: OrderBook) -> None:
    assert book.bids(2) == [("100.1", "2"), ("100.0", "3")]
    assert book.bids(numbers="text") == BIDS
    assert book.asks(numbers="float") == [(100.2, 1.0), (100.4, 5.0)]
    assert book.bids(1, numbers="decimal") == [Level(Decimal("100.1"), Decimal(2))]
    assert book.asks(0) == []


def test_mid_and_spread_are_exact_where_a_sum_of_floats_is_not(book: OrderBook) -> None:
    assert (book.mid, book.spread) == (100.15, 0.1)
    assert 100.2 - 100.1 != 0.1


def test_imbalance_compares_the_best_quantities(book: OrderBook) -> None:
    assert book.imbalance == pytest.approx((2 - 1) / (2 + 1))


@pytest.mark.parametrize(
    ("side", "quantity", "price"),
    [
        ("buy", 0.5, 100.2),
        ("buy", 3, (100.2 + 2 * 100.4) / 3),
        ("buy", 6, (100.2 + 5 * 100.4) / 6),
        ("buy", 6.001, None),
        ("sell", 5, (2 * 100.1 + 3 * 100.0) / 5),
        ("sell", 15.5, None),
    ],
)
def test_vwap_is_the_average_price_of_a_quantity(
    book: OrderBook, side: Any, quantity: float, price: float | None
) -> None:
    found = book.vwap(side, quantity)
    assert found is price is None or found == pytest.approx(price)


def test_an_empty_side_has_no_numbers() -> None:
    for book in (BookSnapshot(SYMBOL, BIDS), OrderBook(LocalBook(SYMBOL), Clock())):
        assert (book.mid, book.spread, book.imbalance, book.best_ask) == (None,) * 4
        assert book.vwap("buy", 1) is None
        assert book.asks() == []


@pytest.mark.parametrize(
    ("read", "named"),
    [
        (lambda book: book.bids(-1), "-1.*count"),
        (lambda book: book.asks("3"), "'3'.*count"),
        (lambda book: book.bids(3, numbers="floats"), "numbers.*; did you mean float?"),
        (lambda book: book.vwap("bid", 1), "side.* one of buy, sell"),
        (lambda book: book.vwap("buy", 0), "0.*quantity"),
        (lambda book: book.vwap("buy", math.nan), "quantity"),
        (lambda book: book.vwap("buy", "1"), "quantity"),
    ],
)
def test_an_invalid_argument_is_named(book: OrderBook, read: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read(book)


def test_a_view_follows_its_book_and_a_copy_does_not() -> None:
    clock = Clock()
    local = local_book(BIDS, ASKS)
    view = OrderBook(local, clock)
    before = view.copy()
    clock.now_ms = 1_250
    assert (view.age_ms, before.age_ms) == (250, 0)
    local.offer(
        DepthUpdate(
            event_time_ms=9,
            transaction_time_ms=8,
            symbol=SYMBOL,
            first_update_id=9,
            final_update_id=12,
            previous_update_id=8,
            bids=[("100.1", "0")],
            asks=[],
        ),
        1_250,
    )
    assert (view.update_id, view.event_time_ms, view.transaction_time_ms) == (12, 9, 8)
    assert (before.update_id, before.event_time_ms, before.transaction_time_ms) == (10, 5, 4)
    assert (view.best_bid, view.age_ms) == (("100.0", "3"), 0)
    assert before.best_bid == ("100.1", "2")
    assert before == local_copy(BIDS, ASKS) != view.copy()
    assert len({before, local_copy(BIDS, ASKS)}) == 1
    assert before.copy() is before


def local_copy(bids: list[RawLevel], asks: list[RawLevel]) -> BookSnapshot:
    return OrderBook(local_book(bids, asks), Clock()).copy()


def test_a_copy_has_all_known_levels_and_says_how_far_they_are_known() -> None:
    view = OrderBook(local_book(BIDS, ASKS, limit=3), Clock())
    assert (view.lowest_known_bid, view.highest_known_ask) == ("99.5", None)
    copied = view.copy()
    assert (copied.bids(99), copied.asks(99)) == (BIDS, ASKS)
    assert (copied.lowest_known_bid, copied.highest_known_ask) == ("99.5", None)


def test_a_view_says_why_it_is_not_live() -> None:
    local = local_book(BIDS, ASKS)
    view = OrderBook(local, Clock())
    assert (view.is_live, view.state, view.reason) == (True, BookState.LIVE, "")
    local.updates_lost("closed", 5)
    assert (view.is_live, view.state, view.reason) == (False, BookState.STALE, "closed")
    assert view.copy().reason == "closed"
    empty = OrderBook(LocalBook(SYMBOL), Clock())
    assert (empty.state, empty.age_ms) == (BookState.SYNCING, None)


def test_books_have_a_repr() -> None:
    view = OrderBook(local_book(BIDS, ASKS), Clock())
    assert repr(view) == "<OrderBook BTCUSDT live 100.1/100.2 u=10>"
    assert repr(view.copy()) == "<BookSnapshot BTCUSDT live 100.1/100.2 u=10>"
    assert repr(OrderBook(LocalBook(SYMBOL), Clock())) == (
        "<OrderBook BTCUSDT syncing (no snapshot yet) None/None u=0>"
    )


def test_a_book_cannot_be_changed_by_its_readers() -> None:
    for book in (snapshot(), OrderBook(local_book(BIDS, ASKS), Clock())):
        for name in ("state", "best_bid", "mid", "update_id"):
            with pytest.raises(AttributeError):
                setattr(book, name, None)


def test_a_copy_can_be_pickled_and_copied() -> None:
    made = snapshot(update_id=3)
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)  # noqa: S301


prices = st.integers(1, 400).map(lambda ticks: f"{ticks / 4:.2f}")
quantities = st.integers(1, 50).map(str)


@given(
    st.dictionaries(prices, quantities, min_size=1, max_size=40),
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 1000),
)
def test_vwap_equals_the_average_of_the_units_taken_one_by_one(
    levels: dict[str, str], side: Any, quantity: int
) -> None:
    ordered = sorted(levels.items(), key=lambda level: float(level[0]), reverse=side == "sell")
    units = [float(price) for price, offered in ordered for _ in range(int(offered))]
    taken = units[:quantity]
    expected = sum(taken) / quantity if len(taken) == quantity else None
    ends = ([], ordered) if side == "buy" else (ordered, [])
    found = BookSnapshot(SYMBOL, *ends).vwap(side, quantity)
    assert found is expected is None or found == pytest.approx(expected)
