from __future__ import annotations

from math import inf

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.plotting.columns import BookSample
from tickerplant.plotting.picture import heat_map

SIDE = st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 100)), min_size=1, max_size=12)


@st.composite
def books(draw: st.DrawFn) -> BookSample:
    middle = draw(st.integers(500, 520))
    bids = sorted(((middle - step, size) for step, size in draw(SIDE)), reverse=True)
    asks = sorted((middle + step, size) for step, size in draw(SIDE))
    return BookSample.of(bids, asks)


@given(
    samples=st.lists(st.one_of(st.none(), books()), min_size=1, max_size=8),
    rows=st.integers(2, 60),
)
def test_the_grid_has_each_quantity_at_its_price(
    samples: list[BookSample | None], rows: int
) -> None:
    found = heat_map(samples, rows)
    if found is None:
        assert not any(samples)
        return
    assert found.quantity.shape == (rows, len(samples))
    step = (found.high - found.low) / rows
    for column, book in enumerate(samples):
        cells = found.quantity[:, column]
        if book is None:
            assert np.isnan(cells).all(), "a column without a book is not known"
            continue
        expected = np.zeros(rows)
        for side in (book.bids, book.asks):
            for price, size in zip(side[::2], side[1::2], strict=True):
                if found.low <= price <= found.high:
                    expected[min(int((price - found.low) / step), rows - 1)] += size
        assert np.allclose(cells, expected)
        best = book.bids[0], book.asks[0]
        assert found.low <= sum(best) / 2 <= found.high


def test_prices_beyond_what_is_known_are_not_known_rather_than_empty() -> None:
    bids = [(100.0 - at, 1.0) for at in range(1, 21)]
    asks = [(100.0 + at, 1.0) for at in range(1, 21)]
    deep = BookSample.of(bids, asks)
    shallow = BookSample.of(bids[:5], asks[:5], lowest_bid=95.0, highest_ask=105.0)
    found = heat_map([deep, shallow, BookSample.of(bids[:5], asks[:5], 0.0, inf), deep, deep], 40)
    assert found is not None
    prices = np.linspace(found.low, found.high, 41)
    beyond = prices[1:] <= 95.0
    assert beyond.any()
    assert np.isnan(found.quantity[beyond, 1]).all()
    assert not np.isnan(found.quantity[:, [0, 2]]).any(), "there all levels are known"


def test_without_a_book_of_two_sides_there_is_no_grid() -> None:
    assert heat_map([None, BookSample.of([(1.0, 1.0)], [])], 10) is None
