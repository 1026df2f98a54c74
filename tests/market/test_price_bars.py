"""Candles of published prices equal a recount of these prices."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS

from tickerplant.market.bars import OPEN_TIME, Bars
from tickerplant.market.candles import PriceBars
from tickerplant.market.interval import INTERVALS, open_time
from tickerplant.market.minutes import RETAINED_PRICE_MINUTES
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

POINTS = st.lists(st.tuples(st.integers(0, 200_000), st.integers(-50, 50)), max_size=30)


def naive_candle(interval: str, points: list[tuple[int, int]], opened_ms: int) -> list[int]:
    """The candle that opened then: its prices, their number, first and last time."""
    inside = [(ms, price) for ms, price in points if open_time(interval, ms) == opened_ms]
    if not inside:
        last = next(price for ms, price in reversed(points) if ms < opened_ms)
        return [opened_ms, last, last, last, last, 0, 0, 0, 0, 0, -1, -1]
    prices = [price for _, price in inside]
    ohlc = [prices[0], max(prices), min(prices), prices[-1]]
    return [opened_ms, *ohlc, 0, 0, len(inside), 0, 0, inside[0][0], inside[-1][0]]


@given(POINTS, st.sampled_from([each for each in INTERVALS if each != "1M"]))
def test_candles_equal_a_recount_of_the_published_prices(
    gaps: list[tuple[int, int]], interval: str
) -> None:
    bars, points, now_ms = PriceBars(START_MS), [], START_MS
    for gap_ms, price in gaps:
        now_ms += gap_ms
        bars.close_minutes(now_ms)
        bars.add(price, now_ms)
        points.append((now_ms, price))
    rows = bars.candles.rows(interval, None, None, 10**6).tolist()
    assert bool(rows) == bool(points)
    assert rows == [naive_candle(interval, points, row[OPEN_TIME]) for row in rows]
    if rows:
        assert rows[0][OPEN_TIME] == open_time(interval, points[0][0])
        assert bars.candles.running(interval) == rows[-1]


class Flat:
    """The history of one price."""

    def __init__(self, until_ms: int) -> None:
        self.begins_ms, self.ends_ms = until_ms - 300 * MINUTE_MS, until_ms
        self.made = 0

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        assert length_ms == MINUTE_MS
        self.made += 1
        times_ms = np.arange(from_ms, until_ms, MINUTE_MS)
        rows = np.zeros((len(times_ms), 12), dtype=np.int64)
        rows[:, OPEN_TIME] = times_ms
        rows[:, 1:5] = 7
        rows[:, 7] = 60
        return rows


def test_history_ends_at_the_current_minute_and_is_generated_on_demand() -> None:
    past = Flat(START_MS // MINUTE_MS * MINUTE_MS)
    bars = PriceBars(START_MS)
    bars.load_history(past)
    assert not past.made
    bars.add(9, START_MS)
    assert bars.candles.rows("1m", START_MS // MINUTE_MS * MINUTE_MS, None, 5)[0, 1] == 9
    assert not past.made, "nothing older was asked for"
    rows = bars.candles.rows("1m", None, None, 3).tolist()
    assert [row[4] for row in rows] == [7, 7, 9]
    assert past.made


def test_old_minutes_become_hours() -> None:
    bars = PriceBars(START_MS)
    first_ms = START_MS // HOUR_MS * HOUR_MS + HOUR_MS
    bars.close_minutes(first_ms)
    for minute in range(RETAINED_PRICE_MINUTES + 3 * 60):
        bars.close_minutes(first_ms + minute * MINUTE_MS)
        bars.add(minute, first_ms + minute * MINUTE_MS)
    hours = bars.candles.rows("1h", first_ms, None, 10**6)
    assert hours[0].tolist()[1:5] == [0, 59, 0, 59]
    assert hours[:, 7].sum() == RETAINED_PRICE_MINUTES + 3 * 60, "no moment is lost"
    assert len(bars.candles.rows("1m", None, None, 10**6)) <= RETAINED_PRICE_MINUTES + 1
    assert RETAINED_PRICE_MINUTES * MINUTE_MS >= DAY_MS
