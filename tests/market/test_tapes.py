"""Tapes behave like plain lists of all appended events, as far as they are kept."""

from __future__ import annotations

from drawn_tapes import KnownPast
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import START_MS, trade
from windows import window

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.tape import CHUNK_EVENTS, AggregateTape, Ring, TradeTape

LENGTHS = st.integers(0, 3 * CHUNK_EVENTS)
LIMITS = st.integers(1, 400)


def made_trades(count: int, first_id: int = 1, older: int = 0) -> list[Trade]:
    """Trades whose ids have gaps, but for the `older` ones; two in a millisecond."""
    return [
        structs.replace(
            trade(
                first_id + n + 2 * max(n - older + 1, 0),
                START_MS + n // 2,
                100 + n % 7,
                1 + n % 5,
                sold=n % 3 == 0,
            ),
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


def trade_tape(some: list[Trade], older: int) -> TradeTape:
    """A tape of `some`, the first `older` of which come from history."""
    made = TradeTape("BTCUSDT")
    made.load_history(KnownPast(some[:older], older + 1))
    for each in some[older:]:
        made.append(each)
    return made


def aggregate_tape(some: list[AggregateTrade], older: int) -> AggregateTape:
    made = AggregateTape("BTCUSDT")
    made.load_history(KnownPast(some[:older], older + 1))
    for each in some[older:]:
        made.append(each)
    return made


@given(LENGTHS, st.floats(0, 1), LIMITS, st.integers(-5, 1300))
def test_a_trade_tape_behaves_like_a_list(
    count: int, past: float, limit: int, trade_id: int
) -> None:
    older = int(past * count)
    every = made_trades(count, older=older)
    kept = trade_tape(every, older)
    assert kept.latest(count + 1) == every
    assert kept.latest(limit) == every[-limit:]
    assert kept.from_id(trade_id, limit) == [t for t in every if t.trade_id >= trade_id][:limit]


@given(LENGTHS, st.floats(0, 1), LIMITS, st.integers(-5, 500))
def test_an_aggregate_tape_is_searched_by_id_like_a_list(
    count: int, past: float, limit: int, first_id: int
) -> None:
    every = made_aggregates(count)
    kept = aggregate_tape(every, int(past * count))
    assert kept.latest(count + 1) == every
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
    expected = window(every, lambda each: each.trade_time_ms, start_ms, end_ms, limit)
    assert kept.between(start_ms, end_ms, limit) == expected


def test_history_is_not_generated_before_a_read() -> None:
    past = KnownPast(made_trades(10, older=10), 11)
    kept = TradeTape("BTCUSDT")
    kept.load_history(past)
    later = made_trades(50, 1000)
    for each in later:
        kept.append(each)
    assert kept.latest(50) == later
    assert kept.from_id(later[1].trade_id, 9) == later[1:10]
    assert not past.asked
    assert len(kept.latest(60)) == 60
    assert past.asked


def test_retention_is_bounded_and_history_is_never_joined_to_what_follows_the_hole() -> None:
    bound = 3 * CHUNK_EVENTS
    kept, older = TradeTape("BTCUSDT", bound), made_trades(10, older=10)
    kept.load_history(KnownPast(older, 11))
    later = [
        structs.replace(each, trade_time_ms=each.trade_time_ms + 1000)
        for each in made_trades(10 * CHUNK_EVENTS + 7, 1000)
    ]
    for each in later:
        kept.append(each)
        assert len(kept) < bound + CHUNK_EVENTS
    held = later[-len(kept) :]
    assert len(kept) >= bound
    assert kept.latest(10**6) == held, "no trade of the past comes before a hole"
    assert kept.from_id(0, 30) == kept.between(START_MS, None, 30) == older
    assert kept.from_id(11, 3) == kept.between(START_MS + 5, None, 3) == held[:3]
    assert kept.between(None, START_MS + 3, 3) == older[5:8]
    assert kept.between(None, START_MS + 500, 3) == [], "the last ones before then are forgotten"


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
