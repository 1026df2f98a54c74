from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import BTCUSDT, ETHUSDT, snapshot, update

from tickerplant.events import Level
from tickerplant.instrument import Instrument
from tickerplant.market.book import OrderBook
from tickerplant.market.level_texts import LEAST_CHANGES, MANY, LevelTexts
from tickerplant.raw_events import level_texts

ASKED = 3 * MANY
changes = st.lists(
    st.tuples(st.integers(1, 2 * ASKED), st.integers(0, 10**9)),
    max_size=MANY,
    unique_by=lambda level: level[0],
)


def plain(book: OrderBook, instrument: Instrument, count: int) -> tuple[bytes, bytes]:
    """The levels of both sides, encoded afresh."""
    bids, asks = (level_texts(instrument, side) for side in book.top(count))
    return msgspec.json.encode(bids), msgspec.json.encode(asks)


def asked(book: OrderBook, instrument: Instrument, count: int) -> tuple[bytes, bytes]:
    (bids, asks), (bid_texts, ask_texts) = book.top_prices(count), book.texts(instrument)
    return bid_texts.array(bids), ask_texts.array(asks)


def full_book() -> OrderBook:
    levels: list[Level] = [(price, price * 7919 % 1009 + 1) for price in range(1, ASKED + 1)]
    book = OrderBook()
    book.load(snapshot(1, levels, levels))
    return book


@given(
    st.lists(st.tuples(changes, changes, st.integers(0, 2 * ASKED), st.booleans()), max_size=6),
    st.booleans(),
)
def test_kept_texts_are_those_of_the_levels_now(
    steps: list[tuple[list[Level], list[Level], int, bool]],
    reloads: bool,  # drawn
) -> None:
    book = full_book()
    for number, (bids, asks, count, other) in enumerate(steps):
        instrument = ETHUSDT if other else BTCUSDT
        assert asked(book, instrument, count) == plain(book, instrument, count)
        if reloads and number == 1:
            book.load(snapshot(2, bids, asks))
        else:
            book.apply(update(number + 1, number + 2, bids, asks))
        assert asked(book, instrument, count) == plain(book, instrument, count)


@given(changes, changes, st.integers(1, ASKED))
@settings(max_examples=20)
def test_other_quantities_are_added_to_those_of_the_side(
    own: list[Level], more: list[Level], count: int
) -> None:
    quantities = {price: quantity for price, quantity in own if quantity}
    added = dict(more)
    prices = sorted({*quantities, *added})[:count]
    texts = LevelTexts(quantities, BTCUSDT)
    sums = [(price, quantities.get(price, 0) + added.get(price, 0)) for price in prices]
    assert texts.array_with(added, prices) == msgspec.json.encode(level_texts(BTCUSDT, sums))


def test_a_book_that_nobody_asks_for_any_more_keeps_no_texts() -> None:
    book = full_book()
    bids, _ = book.texts(BTCUSDT)
    asked(book, BTCUSDT, ASKED)
    assert len(bids) == ASKED
    for number in range(LEAST_CHANGES * 10):
        level = (number % ASKED + 1, number + 1)
        book.apply(update(number + 1, number + 2, [level], [level]))
        assert book.best_bid is not None
        if number == 10:
            assert book.texts(BTCUSDT)[0] is bids
            assert len(bids) == ASKED - 11
    assert book.texts(BTCUSDT)[0] is not bids
