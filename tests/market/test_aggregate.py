from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS, trade

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.aggregate import WINDOW_MS, TradeAggregator


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 0, 1, 40, 99, 100, 101, 5000]),
                st.integers(1, 2),
                st.integers(1, 9),
                st.booleans(),
            ),
            max_size=40,
        )
    )
    time_ms, made = START_MS, []
    for number, (gap_ms, price, quantity, sold) in enumerate(steps):
        time_ms += gap_ms
        made.append(trade(number + 71, time_ms, price, quantity, sold=sold))
    return made


def aggregated(made: list[Trade], *, on_time: bool) -> list[AggregateTrade]:
    """All aggregates of `made`; `on_time` closes each when it is due, as a clock would."""
    aggregator = TradeAggregator("BTCUSDT", next_id=9)
    closed: list[AggregateTrade | None] = []
    for each in made:
        if on_time and aggregator.due_ms and aggregator.due_ms <= each.trade_time_ms:
            closed.append(aggregator.close())
        closed.append(aggregator.add(each))
    closed.append(aggregator.close())
    return [each for each in closed if each is not None]


@given(trades(), st.booleans())
def test_aggregates_cover_the_trades_exactly(made: list[Trade], on_time: bool) -> None:
    aggregates = aggregated(made, on_time=on_time)
    assert [each.aggregate_id for each in aggregates] == list(range(9, 9 + len(aggregates)))
    covered = [
        trade_id
        for each in aggregates
        for trade_id in range(each.first_trade_id, each.last_trade_id + 1)
    ]
    assert covered == [each.trade_id for each in made], "every trade once, in order"
    by_id = {each.trade_id: each for each in made}
    for each in aggregates:
        fills = [by_id[n] for n in range(each.first_trade_id, each.last_trade_id + 1)]
        assert each.quantity == each.normal_quantity == sum(fill.quantity for fill in fills)
        assert {fill.price for fill in fills} == {each.price}, "one price"
        assert {fill.buyer_is_maker for fill in fills} == {each.buyer_is_maker}, "one side"
        assert each.trade_time_ms == fills[0].trade_time_ms
        assert fills[-1].trade_time_ms - fills[0].trade_time_ms < WINDOW_MS, "within 100 ms"


@given(trades())
def test_nothing_is_split_without_a_reason(made: list[Trade]) -> None:
    by_id = {each.trade_id: each for each in made}
    for one, next_one in pairwise(aggregated(made, on_time=True)):
        opened = by_id[next_one.first_trade_id]
        assert (
            opened.price != one.price
            or opened.buyer_is_maker != one.buyer_is_maker
            or opened.trade_time_ms >= one.trade_time_ms + WINDOW_MS
        ), "neighbours differ in price, side or 100 ms"


@given(trades())
def test_a_clock_that_closes_on_time_changes_no_aggregate(made: list[Trade]) -> None:
    assert aggregated(made, on_time=True) == aggregated(made, on_time=False)


def test_the_window_begins_with_the_first_fill_and_does_not_slide() -> None:
    aggregator = TradeAggregator("BTCUSDT")
    assert aggregator.due_ms == 0, "nothing is open"
    for number, time_ms in enumerate((0, 60, 99)):
        assert aggregator.add(trade(number, START_MS + time_ms)) is None
    assert aggregator.due_ms == START_MS + 100
    closed = aggregator.add(trade(3, START_MS + 100))
    assert closed is not None
    assert (closed.first_trade_id, closed.last_trade_id) == (0, 2)


def test_closing_nothing_gives_nothing_and_takes_no_id() -> None:
    aggregator = TradeAggregator("BTCUSDT", next_id=5)
    assert aggregator.close() is None
    aggregator.add(trade(1, START_MS))
    closed = aggregator.close()
    assert closed is not None
    assert closed.aggregate_id == 5
    assert (aggregator.close(), aggregator.due_ms) == (None, 0)
