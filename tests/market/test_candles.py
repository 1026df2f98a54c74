from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from drawn_tapes import naive_bar, tapes
from hypothesis import given
from hypothesis import strategies as st
from stage import BTCUSDT, START_MS, trade
from windows import window

from tickerplant.events import Trade
from tickerplant.market.bar_arrays import NO_BARS, combine, rows_of
from tickerplant.market.bars import CLOSE, COUNT, OPEN_TIME, VOLUME, Bars
from tickerplant.market.candle_texts import CandleTexts
from tickerplant.market.candle_window import CandleWindow
from tickerplant.market.candles import Candles
from tickerplant.market.interval import INTERVALS, close_time, next_open_time, open_time
from tickerplant.market.minutes import RETAINED_MINUTES, Minutes
from tickerplant.queries.klines import PRICE_FORM
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

EVERYTHING = 1 << 30


def difference(rows: list[list[int]], expected: list[list[int]]) -> str | None:
    """The first row that differs; printing complete lists would take minutes."""
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=False)):
        if row != wanted:
            return f"row {number} is {row}, expected {wanted}"
    return None if len(rows) == len(expected) else f"{len(rows)} rows, expected {len(expected)}"


@lru_cache(maxsize=4)
def _lived(start_ms: int, end_ms: int) -> Bars:
    """Minutes with a trade each, except every fifth one."""
    count = (end_ms - start_ms) // MINUTE_MS
    n = np.arange(count)
    price = 100 + n * 7919 % 23
    volume = 1 + n % 4
    columns = [
        *(start_ms + n * MINUTE_MS, price, price, price, price),
        *(volume, price * volume, np.ones_like(n), volume, price * volume, n, n),
    ]
    bars = np.stack(columns, axis=1).astype(np.int64)
    empty = n % 5 == 4
    bars[empty, 1:5] = bars[np.flatnonzero(empty) - 1, CLOSE][:, None]
    bars[empty, 5:10] = 0
    bars[empty, 10:] = -1
    return bars


class History:
    """A history since a listing at eight in the morning, then the trades of the current minute."""

    def __init__(self, now_ms: int, trades: Sequence[Trade] = (), days: int = 51) -> None:
        self.trades = trades
        self.first_aggregate_id = 77
        end_ms = now_ms // MINUTE_MS * MINUTE_MS
        self.begins_ms = (end_ms // DAY_MS - days) * DAY_MS + 8 * HOUR_MS
        self.all = _lived(self.begins_ms, end_ms)
        self.day = self.all[-1440 - 7 :]
        self.ends_ms = int(self.day[0, OPEN_TIME])
        self.asked: list[tuple[int, int]] = []
        """The length and number of the bars of each question."""

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        assert from_ms % length_ms == 0 == (until_ms != self.ends_ms and until_ms % length_ms)
        self.asked.append((length_ms, (until_ms - from_ms) // length_ms))
        first, stop = np.searchsorted(self.all[:, OPEN_TIME], (from_ms, until_ms))
        bars = self.all[first:stop]
        return combine(bars, bars[:, OPEN_TIME] // length_ms * length_ms)


def begun(now_ms: int) -> tuple[History, Minutes, Candles]:
    """Return a history, and the minutes and candles of a market that has loaded it."""
    history, minutes = History(now_ms), Minutes(BTCUSDT.turnover, now_ms)
    candles = Candles(minutes)
    minutes.load(history.day)
    candles.load(history)
    return history, minutes, candles


_opened = lru_cache(maxsize=1 << 17)(open_time)


def longer(interval: str, bars: Bars) -> list[list[int]]:
    """Candles of `interval`, one by one from `bars`."""
    opened = np.array([_opened(interval, ms) for ms in bars[:, OPEN_TIME].tolist()])
    rows: list[list[int]] = combine(bars, opened).tolist()
    return rows


def naive_candle(interval: str, tape: list[Trade], time_ms: int) -> list[int]:
    """The candle of `interval` that contains `time_ms`, straight from the trades."""
    opened_ms = open_time(interval, time_ms)
    next_ms = next_open_time(interval, opened_ms)
    inside = [each for each in tape if opened_ms <= each.trade_time_ms < next_ms]
    before = [each for each in tape if each.trade_time_ms < opened_ms]
    close = before[-1].price if before else 0
    return list(naive_bar(BTCUSDT, inside, opened_ms, close))


def add(minutes: Minutes, each: Trade) -> None:
    minutes.close_minutes(each.trade_time_ms // MINUTE_MS * MINUTE_MS)
    minutes.add(each.price, each.quantity, not each.buyer_is_maker, each.trade_id, each.trade_id)


@given(tapes(), st.sampled_from(INTERVALS))
def test_candles_of_every_interval_equal_a_recount_of_the_trades(
    tape: list[Trade], interval: str
) -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    candles = Candles(minutes)
    assert candles.running(interval) is None, "there is no candle before the first trade"
    for number, each in enumerate(tape):
        add(minutes, each)
        running = naive_candle(interval, tape[: number + 1], each.trade_time_ms)
        assert candles.running(interval) == running
    rows = candles.rows(interval, None, None, EVERYTHING).tolist()
    opened = [row[OPEN_TIME] for row in rows]
    assert [next_open_time(interval, ms) for ms in opened[:-1]] == opened[1:], "no hole"
    for row in [*rows[:2], *rows[-2:], *(row for row in rows if row[COUNT])]:
        assert row == naive_candle(interval, tape, row[OPEN_TIME])


@given(tapes(), st.sampled_from(INTERVALS))
def test_a_candle_ends_once_on_its_boundary_and_equals_its_trades(
    tape: list[Trade], interval: str
) -> None:
    if not tape:
        return
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    candles = Candles(minutes)
    boundaries = {
        next_open_time(interval, open_time(interval, each.trade_time_ms)) for each in tape
    }
    done: list[Trade] = []
    for boundary_ms in sorted({*boundaries, *(ms + MINUTE_MS for ms in boundaries)}):
        while len(done) < len(tape) and tape[len(done)].trade_time_ms < boundary_ms:
            add(minutes, tape[len(done)])
            done.append(tape[len(done)])
        minutes.close_minutes(boundary_ms)
        ended = candles.ended(interval, boundary_ms)
        if open_time(interval, boundary_ms) == boundary_ms:
            assert ended == naive_candle(interval, done, boundary_ms - 1)
        else:
            assert ended is None, "no candle of this interval ends here"


@given(tapes(), st.sampled_from(INTERVALS), st.sets(st.integers(0, 40)))
def test_earlier_reads_change_no_candle(tape: list[Trade], interval: str, asked: set[int]) -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    candles = Candles(minutes)
    for number, each in enumerate(tape):
        minute_ms = each.trade_time_ms // MINUTE_MS * MINUTE_MS
        minutes.close_minutes(minute_ms)
        fresh = Candles(minutes)
        assert candles.ended(interval, minute_ms) == fresh.ended(interval, minute_ms)
        add(minutes, each)
        if number in asked:
            assert candles.running(interval) == fresh.running(interval)


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_candle_read_every_minute_equals_a_fresh_one(interval: str) -> None:
    now_ms = (START_MS // DAY_MS + 1) * DAY_MS - 40 * MINUTE_MS
    history, minutes, candles = begun(now_ms)
    for number in range(80):
        minute_ms = now_ms + number * MINUTE_MS
        minutes.close_minutes(minute_ms)
        fresh = Candles(minutes)
        fresh.load(history)
        assert candles.ended(interval, minute_ms) == fresh.ended(interval, minute_ms)
        if number % 7 < 4:
            add(minutes, trade(10**6 + number, minute_ms, 300 - number % 11, 2))
        assert candles.running(interval) == fresh.running(interval)


@pytest.mark.heavy
@pytest.mark.parametrize("interval", INTERVALS)
def test_history_continues_without_a_seam(interval: str) -> None:
    now_ms = START_MS + 7 * HOUR_MS + 12_345
    history, minutes, candles = begun(now_ms)
    lived = history.all
    for step in range(2):
        expected = longer(interval, np.concatenate([lived, rows_of(minutes.running_bar)]))
        rows = candles.rows(interval, None, None, EVERYTHING).tolist()
        assert difference(rows, expected) is None, f"{interval}, {step} minutes after the past"
        assert candles.running(interval) == expected[-1]
        add(minutes, trade(10**6 + step, now_ms + step * MINUTE_MS, 300 - step, 2))
        minutes.close_minutes((now_ms // MINUTE_MS + step + 1) * MINUTE_MS)
        lived = np.concatenate([lived, minutes.closed.rows[-1:]])


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("limit", [1, 500])
def test_pages_from_either_end_of_history_are_parts_of_all_rows(interval: str, limit: int) -> None:
    now_ms = START_MS + 7 * HOUR_MS + 12_345
    _history, _, candles = begun(now_ms)
    whole = candles.rows(interval, None, None, EVERYTHING).tolist()
    assert len(whole) > 1
    for at in sorted({0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}):
        opened_ms = whole[at][OPEN_TIME]
        page = candles.rows(interval, opened_ms, None, limit).tolist()
        assert difference(page, whole[at : at + limit]) is None, "forward from a start"
        page = candles.rows(interval, None, opened_ms, limit).tolist()
        assert difference(page, whole[max(at + 1 - limit, 0) : at + 1]) is None, "back from an end"
        page = candles.rows(interval, opened_ms + 1, opened_ms + 5 * HOUR_MS, limit).tolist()
        inside = [row for row in whole if 0 < row[OPEN_TIME] - opened_ms <= 5 * HOUR_MS]
        assert difference(page, inside[:limit]) is None, "a window"


@pytest.mark.parametrize(
    ("interval", "limit", "asked"),
    [
        ("1m", 1000, []),
        ("5m", 200, []),
        ("1m", 1500, [(MINUTE_MS, 53)]),
        ("1h", 20, []),
        ("1h", 100, [(HOUR_MS, 76)]),
        ("1d", 3, [(DAY_MS, 2)]),
        ("1w", 2, [(DAY_MS, 15)]),
    ],
)
def test_no_more_history_is_generated_than_a_request_needs(
    interval: str, limit: int, asked: list[tuple[int, int]]
) -> None:
    history, _, candles = begun(START_MS)
    candles.rows(interval, None, None, limit)
    assert history.asked == asked
    history.asked.clear()
    assert len(candles.rows(interval, 0, None, limit)) == min(
        limit, 8 if interval == "1w" else limit
    )
    assert history.asked[0][1] <= (limit + 1) * (7 if interval == "1w" else 1), "no earlier start"


@pytest.mark.parametrize("interval", ["1m", "1h", "1d"])
def test_the_open_candle_needs_no_history_once_it_is_known(interval: str) -> None:
    history, minutes, candles = begun(START_MS)
    for number in range(50):
        add(minutes, trade(10**6 + number, START_MS + number * 20_000, 300 - number, 2))
        candles.running(interval)
    assert history.asked == []


@pytest.mark.parametrize("interval", [each for each in INTERVALS if each[-1] != "m"])
def test_candles_of_hours_and_more_outlive_the_minutes_they_are_made_of(interval: str) -> None:
    now_ms = START_MS + 7 * HOUR_MS + 12_345
    _, minutes, candles = begun(now_ms)
    before = candles.rows(interval, None, None, EVERYTHING)
    minute_ms = now_ms // MINUTE_MS * MINUTE_MS
    for _ in range(RETAINED_MINUTES // 1440 + 1):
        minute_ms += DAY_MS
        minutes.close_minutes(minute_ms)
    assert len(minutes.closed.hours), "the day of the past has become hours"
    after = candles.rows(interval, None, None, EVERYTHING)
    kept = len(before) - 1
    assert after[:kept].tolist() == before[:kept].tolist(), "what had ended stays as it was"
    assert after[:, VOLUME].sum() == before[:, VOLUME].sum(), "nothing is lost or counted twice"
    assert after[:, COUNT].sum() == before[:, COUNT].sum()
    opened = after[:, OPEN_TIME].tolist()
    assert [next_open_time(interval, ms) for ms in opened[:-1]] == opened[1:], "no hole"
    assert candles.running(interval) == after[-1].tolist()


def test_short_candles_end_before_the_minutes_that_are_gone_or_begin_after_them() -> None:
    now_ms = START_MS + 7 * HOUR_MS + 12_345
    history, minutes, candles = begun(now_ms)
    before = candles.rows("15m", None, history.ends_ms - 15 * MINUTE_MS - 1, 500).tolist()
    for day in range(1, RETAINED_MINUTES // 1440 + 2):
        minutes.close_minutes(now_ms // MINUTE_MS * MINUTE_MS + day * DAY_MS)
    kept_ms = int(minutes.closed.rows[0, OPEN_TIME])
    for end_ms in (before[-1][OPEN_TIME], history.ends_ms, kept_ms - 1):
        assert candles.rows("15m", None, end_ms, 500).tolist() == before
    assert candles.rows("15m", before[9][OPEN_TIME], None, EVERYTHING).tolist() == before[9:]
    for start_ms, limit in ((None, EVERYTHING), (kept_ms, 5), (history.ends_ms, 5)):
        assert candles.rows("15m", start_ms, None, limit)[0, OPEN_TIME] == kept_ms
    texts, asked = CandleTexts(), CandleWindow("15m", before[9][OPEN_TIME], None, 5)
    assert len(texts.page(candles, CandleWindow("15m", None, None, 1500), PRICE_FORM)) > 9_000
    assert texts.page(candles, asked, PRICE_FORM) == CandleTexts().page(candles, asked, PRICE_FORM)


@given(
    st.sampled_from(INTERVALS),
    st.none() | st.integers(-3, 70),
    st.none() | st.integers(-3, 70),
    st.integers(1, 9),
)
def test_rows_are_selected_by_their_open_time(
    interval: str, start: int | None, end: int | None, limit: int
) -> None:
    minutes = Minutes(BTCUSDT.turnover, START_MS)
    candles = Candles(minutes)
    for number in range(60):
        add(minutes, trade(number, START_MS + number * MINUTE_MS, 100 + number % 9))
    everything = candles.rows(interval, None, None, EVERYTHING).tolist()
    start_ms = None if start is None else START_MS + start * MINUTE_MS
    end_ms = None if end is None else START_MS + end * MINUTE_MS
    expected = window(everything, lambda row: int(row[OPEN_TIME]), start_ms, end_ms, limit)
    assert candles.rows(interval, start_ms, end_ms, limit).tolist() == expected


def test_there_are_no_rows_before_the_first_trade() -> None:
    candles = Candles(Minutes(BTCUSDT.turnover, START_MS))
    assert candles.rows("1h", None, None, 10).tolist() == NO_BARS.tolist()
    assert candles.ended("1m", START_MS) is None


def test_a_candle_closes_one_millisecond_before_the_next_one_opens() -> None:
    assert close_time("1m", START_MS) == START_MS + 59_999
    february = open_time("1M", START_MS)
    assert close_time("1M", february) == february + 28 * DAY_MS - 1
