from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from tickerplant import BookSnapshot
from tickerplant.errors import ConfigError
from tickerplant.truth.comparison import compare_book
from tickerplant.truth.truth_book import TruthBook

TRUTH = TruthBook(
    symbol="BTCUSDT",
    asked_id=105,
    last_update_id=100,
    transaction_time_ms=7,
    bids=[("10.10", "1.500"), ("10.00", "2.000")],
    asks=[("10.20", "0.500"), ("10.30", "4.000")],
)


class Book(NamedTuple):
    """A book as a program may have it."""

    update_id: int
    bids: Any
    asks: Any


@pytest.mark.parametrize(
    "theirs",
    [
        Book(100, {10.1: 1.5, 10.0: 2.0}, {10.2: 0.5, 10.3: 4}),
        Book(105, {"10.1": "1.5", "10": "2", "9": "0"}, {"10.2": ".5", "10.3": "4.0"}),
        {"lastUpdateId": 103, "bids": TRUTH.bids, "asks": [["10.2", "0.5", 1], ("10.30", 4)]},
        {"bids": TRUTH.bids, "asks": TRUTH.asks},
        ({"10.1": "1.5", "10": "2"}, {"10.2": "0.5", "10.3": "4"}),
        {"u": 101, "b": TRUTH.bids, "a": TRUTH.asks},
        BookSnapshot("BTCUSDT", TRUTH.bids, TRUTH.asks, update_id=100),
        Book(0, lambda: {Decimal("10.1"): Decimal("1.5"), 10: 2}, TRUTH.asks),
    ],
)
def test_equal_books_in_any_form_have_no_differences(theirs: Any) -> None:
    found = compare_book(theirs, TRUTH)
    assert not found
    assert found.text() == ""
    assert found.compared == 4


def test_what_an_order_book_does_not_know_is_not_compared() -> None:
    known = BookSnapshot("BTCUSDT", TRUTH.bids[:1], TRUTH.asks, lowest_known_bid="10.05")
    assert not compare_book(known, TRUTH)
    unknown = BookSnapshot("BTCUSDT", TRUTH.bids[:1], TRUTH.asks)
    assert compare_book(unknown, TRUTH).bid_count == 1


def test_the_text_says_where_books_differ() -> None:
    theirs = Book(100, {"10.10": "1.4", "9.90": "3"}, {"10.20": "0.5", "10.30": "4"})
    found = compare_book(theirs, TRUTH)
    assert found
    assert found.text() == (
        "the book of BTCUSDT differs from the exchange's at update id 100 in 3 levels of 4:\n"
        "  bid 10.10: 1.4, the exchange has 1.500\n"
        "  bid 10.00: missing, the exchange has 2.000\n"
        "  bid 9.90: 3, the exchange has no such level"
    )


def test_only_the_first_differences_are_shown() -> None:
    theirs = Book(100, TRUTH.bids, [(str(price), "1") for price in range(20, 40)])
    lines = compare_book(theirs, TRUTH).text(2).splitlines()
    assert lines[1:] == [
        "  ask 10.20: missing, the exchange has 0.500",
        "  ask 10.30: missing, the exchange has 4.000",
        "  … and 20 more asks",
    ]


@pytest.mark.parametrize(
    ("their_id", "words"),
    [(90, "its update id 90 is 10 behind"), (107, "its update id 107 is 7 ahead of")],
)
def test_an_id_of_another_state_is_a_difference(their_id: int, words: str) -> None:
    assert words in compare_book(Book(their_id, TRUTH.bids, TRUTH.asks), TRUTH).text()


def test_a_crossed_book_is_named() -> None:
    theirs = Book(100, {"10.25": "1", **dict(TRUTH.bids)}, TRUTH.asks)
    text = compare_book(theirs, TRUTH).text()
    assert "it is crossed: its best bid 10.25 is not below its best ask 10.20" in text


def test_a_book_may_end_before_the_exchange_does_but_is_not_empty() -> None:
    assert not compare_book(Book(100, TRUTH.bids[:1], TRUTH.asks[:1]), TRUTH)
    assert compare_book(Book(100, TRUTH.bids[1:], TRUTH.asks), TRUTH).bid_count == 1
    assert compare_book(Book(100, [], TRUTH.asks), TRUTH).bid_count == 2


def test_holes_count_in_the_nearer_half_of_a_long_book_and_wrong_levels_everywhere() -> None:
    bids = [(str(price), "1") for price in range(200, 100, -1)]
    long = structs.replace(TRUTH, bids=bids, asks=[])
    for missing, counts in ((0, 1), (40, 1), (60, 0)):
        theirs = [*bids[:missing], *bids[missing + 1 :]]
        assert compare_book(Book(100, theirs, []), long).bid_count == counts
    wrong = [*bids[:60], ("140", "2"), *bids[61:]]
    assert compare_book(Book(100, wrong, []), long).bid_count == 1


def test_a_depth_limits_the_comparison() -> None:
    theirs = Book(100, {"10.10": "1.5"}, {"10.20": "0.5"})
    assert compare_book(theirs, TRUTH, depth=2)
    assert not compare_book(theirs, TRUTH, depth=1)
    with pytest.raises(ConfigError, match="at least 1"):
        compare_book(theirs, TRUTH, depth=0)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ({"bids": []}, "book"),
        (7, "book"),
        (Book(1, 7, []), "bids"),
        (Book(1, [("1", "nan")], []), "bids"),
        (Book(1, [], [("one", "1")]), "asks"),
        (Book(1, [], ["1"]), "asks"),
    ],
)
def test_what_is_no_book_is_refused(theirs: Any, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare_book(theirs, TRUTH)
    assert caught.value.setting == named
