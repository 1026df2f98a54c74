"""Tapes behave like plain lists of all appended events, as far as they are kept."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import START_MS, trade

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.tape import (
    AGGREGATE_ROW,
    CHUNK_EVENTS,
    TRADE_ROW,
    AggregateTape,
    Ring,
    Rows,
    TradeTape,
)

LENGTHS = st.integers(0, 3 * CHUNK_EVENTS)
LIMITS = st.integers(1, 400)


def made_trades(count: int, first_id: int = 1) -> list[Trade]:
    """Trades whose ids have occasional gaps, two in a millisecond."""
    return [
        structs.replace(
            trade(first_id + 3 * n, START_MS + n // 2, 100 + n % 7, 1 + n % 5, sold=n % 3 == 0),
            rpi=n % 11 == 0,
        )
        for n in range(count)
    ]


def made_aggregates(count: int, first_id: int = 1) -> list[AggregateTrade]:
    return [
        AggregateTrade(
            "BTCUSDT",
            first_id + n,
            100 + n % 7,
            n + 5,
            n + 4,
            5 * n,
            5 * n + n % 4,
            START_MS + n // 2,
            n % 3 == 0,
        )
        for n in range(count)
    ]


def trade_rows(some: list[Trade]) -> Rows:
    names = TRADE_ROW.names or ()
    return np.array([tuple(getattr(t, name) for name in names) for t in some], dtype=TRADE_ROW)


def aggregate_rows(some: list[AggregateTrade]) -> Rows:
    return np.array([structs.astuple(each)[1:] for each in some], dtype=AGGREGATE_ROW)


def trade_tape(some: list[Trade], older: int) -> TradeTape:
    """A tape of `some`, the first `older` of which come from history."""
    made = TradeTape("BTCUSDT")
    made.load_history(lambda: trade_rows(some[:older]))
    for each in some[older:]:
        made.append(each)
    return made


def aggregate_tape(some: list[AggregateTrade], older: int) -> AggregateTape:
    made = AggregateTape("BTCUSDT")
    made.load_history(lambda: aggregate_rows(some[:older]))
    for each in some[older:]:
        made.append(each)
    return made


@given(LENGTHS, st.floats(0, 1), LIMITS, st.integers(-5, 1300))
def test_a_trade_tape_behaves_like_a_list(
    count: int, past: float, limit: int, trade_id: int
) -> None:
    every = made_trades(count)
    kept = trade_tape(every, int(past * count))
    assert len(kept) == count
    assert list(kept) == every
    assert kept.latest(limit) == every[-limit:]
    assert kept.from_id(trade_id, limit) == [t for t in every if t.trade_id >= trade_id][:limit]


@given(LENGTHS, st.floats(0, 1), LIMITS, st.integers(-5, 500))
def test_an_aggregate_tape_is_searched_by_id_like_a_list(
    count: int, past: float, limit: int, first_id: int
) -> None:
    every = made_aggregates(count)
    kept = aggregate_tape(every, int(past * count))
    assert len(kept) == count
    assert list(kept) == every
    assert kept.from_id(first_id, limit) == [a for a in every if a.aggregate_id >= first_id][:limit]


@given(
    LENGTHS,
    st.floats(0, 1),
    LIMITS,
    st.none() | st.integers(-5, 200),
    st.none() | st.integers(-5, 200),
)
def test_an_aggregate_tape_is_searched_by_time_like_a_list(
    count: int, past: float, limit: int, start: int | None, end: int | None
) -> None:
    every = made_aggregates(count)
    kept = aggregate_tape(every, int(past * count))
    start_ms = None if start is None else START_MS + start
    end_ms = None if end is None else START_MS + end
    inside = [
        each
        for each in every
        if (start_ms is None or each.trade_time_ms >= start_ms)
        and (end_ms is None or each.trade_time_ms <= end_ms)
    ]
    expected = inside[-limit:] if start_ms is None else inside[:limit]
    assert kept.between(start_ms, end_ms, limit) == expected


def test_history_is_not_generated_before_a_read() -> None:
    asked = []

    def past() -> Rows:
        asked.append(1)
        return trade_rows(made_trades(10))

    kept = TradeTape("BTCUSDT")
    kept.load_history(past)
    later = made_trades(50, 1000)
    for each in later:
        kept.append(each)
    assert kept.latest(50) == later
    assert kept.from_id(later[1].trade_id, 9) == later[1:10]
    assert not asked
    assert len(kept.latest(60)) == 60
    assert asked


def test_retention_is_bounded_and_then_history_is_dropped_too() -> None:
    bound = 3 * CHUNK_EVENTS
    kept = TradeTape("BTCUSDT", bound)
    kept.load_history(lambda: trade_rows(made_trades(10)))
    later = made_trades(10 * CHUNK_EVENTS + 7, 1000)
    for each in later:
        kept.append(each)
        assert len(kept) < bound + CHUNK_EVENTS + 10
    assert list(kept) == later[-len(kept) :], "no trade of the past comes before a hole"
    assert len(kept) >= bound
    assert kept.from_id(0, 3) == later[-len(kept) :][:3]


def test_a_ring_finds_rows_by_any_rising_integer() -> None:
    every = made_trades(2 * CHUNK_EVENTS + 9)
    ring = Ring(Trade, 10**6)
    for each in every:
        ring.open_chunk.append(each)
        if len(ring.open_chunk) == CHUNK_EVENTS:
            ring.seal_chunk()
    times = [each.trade_time_ms for each in every]
    for time_ms in (0, times[0], times[57], times[-1], times[-1] + 1):
        assert ring.search("trade_time_ms", time_ms) == sum(ms < time_ms for ms in times)
        after = ring.search("trade_time_ms", time_ms, after=True)
        assert after == sum(ms <= time_ms for ms in times)
