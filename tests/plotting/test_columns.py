"""Columns keep what a naive model keeps, whatever the order and number of values."""

from __future__ import annotations

import itertools
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.plotting.columns import RECENT_IDS, Columns, Quotes, Range, Trades

TIMES = st.integers(-50, 1_050)


@given(count=st.integers(1, 40), times=st.lists(TIMES, max_size=30), begin=st.integers(0, 10**18))
def test_every_time_is_in_the_column_whose_edges_are_around_it(
    count: int, times: list[int], begin: int
) -> None:
    columns = Columns(begin, begin + 1_000, count)
    edges = columns.edges_ns
    assert (edges[0], edges[-1], len(edges)) == (begin, begin + 1_000, count + 1)
    for time_ns in times:
        at = columns.at(begin + time_ns)
        inside_ns = min(max(begin + time_ns, begin), begin + 999)
        assert edges[at] <= inside_ns + 1
        assert inside_ns <= edges[at + 1]


@given(
    count=st.integers(1, 30),
    spans=st.lists(st.tuples(TIMES, st.integers(0, 500)), max_size=6),
)
def test_touched_covered_and_their_spans_agree(count: int, spans: list[tuple[int, int]]) -> None:
    columns = Columns(0, 1_000, count)
    times = [(begin, begin + length) for begin, length in spans]
    touched, covered = columns.touched(times), columns.covered(times)
    edges = columns.edges_ns
    for at in range(count):
        if covered[at]:
            assert touched[at]
            assert any(begin <= edges[at] and edges[at + 1] <= end for begin, end in times)
        elif any(begin <= edges[at] and edges[at + 1] <= end for begin, end in times):
            raise AssertionError("a column within a span is covered")
    again = columns.spans_of(touched)
    assert columns.covered(again) == touched
    assert all(end < begin for (_, end), (begin, _) in itertools.pairwise(again))


VALUES = st.lists(st.tuples(st.integers(0, 9), st.floats(-1e6, 1e6)), max_size=40)


@given(values=VALUES, unknown=st.sets(st.integers(0, 9)), broken=st.sets(st.integers(0, 9)))
def test_a_value_is_carried_until_it_changes_breaks_or_may_have_been_missed(
    values: list[tuple[int, float]], unknown: set[int], broken: set[int]
) -> None:
    values = sorted(values, key=lambda each: each[0])
    found = Range.empty(10)
    for at, value in values:
        found.add(at, value)
    carried = found.carried([at in unknown for at in range(10)], [at in broken for at in range(10)])
    state: float | None = None
    for at in range(10):
        own = [value for column, value in values if column == at]
        if own:
            assert (carried.low[at], carried.high[at]) == (min(own), max(own))
            assert carried.last[at] == own[-1]
            state = own[-1]
        else:
            if at in unknown | broken:
                state = None
            assert carried.low[at] == carried.high[at] == carried.last[at] == state
        if at in broken:
            state = None


TRADES = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.integers(0, 30),
        st.floats(1, 1e6),
        st.floats(0.001, 1e3),
        st.booleans(),
    ),
    max_size=60,
)


@given(trades=TRADES)
def test_trades_add_up_and_copies_do_not_count(
    trades: list[tuple[int, int, float, float, bool]],
) -> None:
    found = Trades.empty(10)
    first: dict[int, tuple[int, int, float, float, bool]] = {}
    for trade in trades:
        first.setdefault(trade[1], trade)
        at, number, price, quantity, is_buy = trade
        found.add(at, number, price, quantity, is_buy=is_buy)
    assert found.count == len(first)
    assert found.copies == len(trades) - len(first)
    for is_buy, quantities in ((True, found.bought), (False, found.sold)):
        for at in range(10):
            own = [each for each in first.values() if (each[0], each[4]) == (at, is_buy)]
            assert quantities[at] == pytest.approx(sum(each[3] for each in own))
            average = found.average_prices(is_buy=is_buy)[at]
            assert (average is None) == (quantities[at] == 0)
            if average is not None:
                prices = [each[2] for each in own]
                assert min(prices) * 0.999 <= average <= max(prices) * 1.001


def test_numbers_that_are_no_prices_are_left_out() -> None:
    trades, quotes = Trades.empty(1), Quotes.empty(1)
    trades.add(0, 1, nan, 1.0, is_buy=True)
    trades.add(0, 2, 0.0, 1.0, is_buy=True)
    trades.add(0, 3, 5.0, nan, is_buy=True)
    quotes.add(0, nan, 1.0)
    quotes.add(0, 0.0, 1.0)
    assert (trades.count, trades.odd, trades.bought) == (0, 3, [0.0])
    assert quotes.mid.last == [None]


def test_ids_that_are_remembered_are_bounded() -> None:
    trades = Trades.empty(1)
    for number in range(RECENT_IDS + 5):
        trades.add(0, number, 1.0, 1.0, is_buy=True)
    assert len(trades.recent) == RECENT_IDS
    trades.add(0, RECENT_IDS + 4, 1.0, 1.0, is_buy=True)
    assert trades.copies == 1
