from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from drawn_tapes import NaiveBar, naive_bar, naive_minutes, tapes
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs
from stage import BTCUSD_PERP, BTCUSDT, START_MS, trade

from tickerplant.events import Trade
from tickerplant.instrument import Instrument
from tickerplant.market.bar_arrays import combine, open_times, rows_of
from tickerplant.market.bars import COUNT, OPEN_TIME
from tickerplant.market.interval import open_time
from tickerplant.market.minutes import RETAINED_MINUTES, Minutes, Statistics
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS


def play(minutes: Minutes, tape: list[Trade]) -> None:
    """Close minutes and add trades as a market does."""
    for each in tape:
        minutes.close_minutes(each.trade_time_ms // MINUTE_MS * MINUTE_MS)
        add(minutes, each)


def add(minutes: Minutes, each: Trade) -> None:
    minutes.add(each.price, each.quantity, not each.buyer_is_maker, each.trade_id, each.trade_id)


def naive_day(instrument: Instrument, tape: list[Trade], now_ms: int) -> Statistics | None:
    """The statistics from all trades: the documented window, minute-aligned."""
    if not tape:
        return None
    open_time_ms = (now_ms - DAY_MS) // MINUTE_MS * MINUTE_MS
    inside = [each for each in tape if each.trade_time_ms >= open_time_ms]
    last, quantity = tape[-1].price, tape[-1].quantity
    if not inside:
        return Statistics(open_time_ms, last, last, last, last, quantity, 0, 0, 0, -1, -1)
    prices = [each.price for each in inside]
    return Statistics(
        open_time_ms,
        prices[0],
        max(prices),
        min(prices),
        last,
        quantity,
        sum(each.quantity for each in inside),
        sum(instrument.turnover(each.price, each.quantity) for each in inside),
        len(inside),
        inside[0].trade_id,
        inside[-1].trade_id,
    )


@pytest.mark.parametrize("instrument", [BTCUSDT, BTCUSD_PERP], ids=lambda each: each.symbol)
@given(tapes(), st.lists(st.integers(0, 3 * DAY_MS), max_size=4))
def test_statistics_equal_a_recount_of_all_trades_at_any_moment(
    instrument: Instrument, tape: list[Trade], looks: list[int]
) -> None:
    minutes = Minutes(instrument.turnover, START_MS)
    moments = sorted({*(START_MS + each for each in looks), *(t.trade_time_ms for t in tape)})
    done: list[Trade] = []
    for now_ms in moments:
        minutes.close_minutes(now_ms // MINUTE_MS * MINUTE_MS)
        for each in tape[len(done) :]:
            if each.trade_time_ms > now_ms:
                break
            add(minutes, each)
            done.append(each)
        assert minutes.statistics() == naive_day(instrument, done, now_ms)


@given(tapes())
def test_closed_minutes_equal_a_recount_and_have_no_gaps(tape: list[Trade]) -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    play(minutes, tape)
    if not tape:
        assert len(minutes.closed.rows) == len(rows_of(minutes.running_bar)) == 0, (
            "nothing before the first trade"
        )
        assert minutes.running_bar is None
        return
    end_ms = tape[-1].trade_time_ms // MINUTE_MS * MINUTE_MS
    rows = [*minutes.closed.rows.tolist(), *rows_of(minutes.running_bar).tolist()]
    assert minutes.running_bar == rows[-1]
    expected = naive_minutes(BTCUSDT, tape, end_ms + MINUTE_MS)
    if len(minutes.closed.hours):  # a tape of more than a week: the oldest minutes are hours now
        assert len(rows) > RETAINED_MINUTES - 60, "at most an hour's minutes are folded at once"
        expected = expected[-len(rows) :]
    assert [NaiveBar(*row) for row in rows] == expected


@pytest.mark.parametrize("ahead", [1, 59, 1439, 1440, 1441, 1442, 3000])
def test_one_long_roll_is_the_same_as_many_short_ones(ahead: int) -> None:
    jumped, stepped = Minutes(BTCUSDT.turnover, START_MS), Minutes(BTCUSDT.turnover, START_MS)
    for minutes in (jumped, stepped):
        add(minutes, trade(1, START_MS, 100, 7))
        minutes.close_minutes(START_MS + MINUTE_MS)
        add(minutes, trade(2, START_MS + MINUTE_MS, 90, 5))
    until_ms = START_MS + ahead * MINUTE_MS
    left = [
        stepped.close_minutes(now_ms)
        for now_ms in range(START_MS + MINUTE_MS, until_ms + 1, MINUTE_MS)
    ]
    assert jumped.close_minutes(until_ms) == any(left), "something left the window, or nothing did"
    assert jumped.statistics() == stepped.statistics()
    assert jumped.closed.rows.tolist() == stepped.closed.rows.tolist()


def test_rolling_backwards_or_nowhere_changes_nothing() -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    add(minutes, trade(1, START_MS))
    before = minutes.statistics()
    assert not minutes.close_minutes(START_MS)
    assert not minutes.close_minutes(START_MS - MINUTE_MS)
    assert minutes.statistics() == before
    assert len(minutes.closed.rows) == 0


def test_an_aggregate_counts_as_many_trades_as_it_has() -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    minutes.add(100, 9, True, 5, 8)
    row = rows_of(minutes.running_bar)[0].tolist()
    assert NaiveBar(*row).trades == 4
    assert NaiveBar(*row)[-2:] == (5, 8)


@pytest.mark.heavy
def test_old_minutes_become_hours_without_losing_a_trade() -> None:
    start_ms = START_MS + 25 * MINUTE_MS
    minutes = Minutes(BTCUSDT.turnover, start_ms)
    total = RETAINED_MINUTES + 3 * 60 + 7
    tape = [
        trade(n, start_ms + n * MINUTE_MS, 100 + n % 13, 1 + n % 5, sold=n % 3 == 0)
        for n in range(total)
        if n % 4
    ]
    play(minutes, tape)
    assert RETAINED_MINUTES - 60 < len(minutes.closed.rows) <= RETAINED_MINUTES, (
        "whole hours are folded"
    )
    assert minutes.closed.rows[0, OPEN_TIME] % HOUR_MS == 0
    assert (np.diff(minutes.closed.hours[:, OPEN_TIME]) == HOUR_MS).all(), "no hour is missing"
    assert minutes.closed.hours[-1, OPEN_TIME] + HOUR_MS == minutes.closed.rows[0, OPEN_TIME]
    for hour in minutes.closed.hours.tolist():
        inside = [t for t in tape if t.trade_time_ms // HOUR_MS * HOUR_MS == hour[OPEN_TIME]]
        assert NaiveBar(*hour) == naive_bar(BTCUSDT, inside, hour[OPEN_TIME], 0)


def test_a_pause_longer_than_the_retention_leaves_every_row_in_its_hour() -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    add(minutes, trade(1, START_MS, 100, 7))
    minutes.close_minutes(START_MS + 100 * MINUTE_MS)
    add(minutes, trade(2, START_MS + 100 * MINUTE_MS, 90, 5))
    later_ms = START_MS + (3 * RETAINED_MINUTES + 200) * MINUTE_MS
    minutes.close_minutes(later_ms)
    assert (np.diff(minutes.closed.rows[:, OPEN_TIME]) == MINUTE_MS).all()
    assert minutes.closed.rows[-1, OPEN_TIME] == later_ms - MINUTE_MS
    traded = minutes.closed.hours[minutes.closed.hours[:, COUNT] > 0]
    opened = [at // HOUR_MS * HOUR_MS for at in (START_MS, START_MS + 100 * MINUTE_MS)]
    assert traded[:, OPEN_TIME].tolist() == opened
    assert (np.diff(minutes.closed.hours[:, OPEN_TIME]) > 0).all(), (
        "hours ascend, none is there twice"
    )


@given(tapes(), st.integers(0, 40))
def test_a_loaded_day_continues_as_if_it_had_been_lived(tape: list[Trade], cut: int) -> None:
    lived = Minutes(BTCUSDT.turnover, START_MS)
    before, after = tape[:cut], tape[cut:]
    play(lived, before)
    now_ms = before[-1].trade_time_ms if before else START_MS
    loaded = Minutes(BTCUSDT.turnover, now_ms)
    loaded.load(np.concatenate([lived.closed.rows, rows_of(lived.running_bar)]))
    play(lived, after)
    play(loaded, after)
    expected = lived.statistics()
    if expected is not None and not after:
        expected = structs.replace(expected, last_quantity=0)  # bars do not contain it
    assert loaded.statistics() == expected
    assert loaded.closed.rows.tolist() == lived.closed.rows.tolist()
    assert rows_of(loaded.running_bar).tolist() == rows_of(lived.running_bar).tolist()


def test_a_loaded_day_that_ended_earlier_is_filled_up_to_now() -> None:
    day = Minutes(BTCUSDT.turnover, START_MS)
    add(day, trade(1, START_MS, 100, 7))
    day.close_minutes(START_MS + MINUTE_MS)
    minutes = Minutes(BTCUSDT.turnover, START_MS + 5 * MINUTE_MS)
    minutes.load(day.closed.rows)
    assert (np.diff(minutes.closed.rows[:, OPEN_TIME]) == MINUTE_MS).all()
    assert minutes.closed.rows[:, COUNT].tolist() == [1, 0, 0, 0, 0]


@given(tapes(), st.sampled_from(["3m", "1h", "4h", "1d", "1w", "1M"]))
def test_combined_minutes_are_the_longer_bar_of_the_same_trades(
    tape: list[Trade], interval: str
) -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    play(minutes, tape)
    assume(not len(minutes.closed.hours))  # every minute is still kept
    bars = np.concatenate([minutes.closed.rows, rows_of(minutes.running_bar)])
    opened_ms = open_times(interval, bars[:, OPEN_TIME])
    longer = combine(bars, opened_ms)
    inside: defaultdict[int, list[Trade]] = defaultdict(list)
    for each in tape:
        inside[open_time(interval, each.trade_time_ms)].append(each)
    assert longer[:, OPEN_TIME].tolist() == sorted(set(opened_ms.tolist()))
    last = 0
    for row in longer.tolist():
        expected = naive_bar(BTCUSDT, inside[row[OPEN_TIME]], row[OPEN_TIME], last)
        assert NaiveBar(*row) == expected
        last = NaiveBar(*row).close
