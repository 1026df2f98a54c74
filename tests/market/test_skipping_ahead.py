"""Skipping a long quiet period equals advancing step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stage import BTCUSDT, START_MS, Listener, listen, mark, open_plant, trade

from tickerplant.frames import payloads
from tickerplant.market.bar_arrays import RETAINED_HOURS, ClosedMinutes, empty_bars
from tickerplant.market.interval import INTERVALS
from tickerplant.market.timers import MAX_CONTINUOUS_MS, MESSAGE_RANK, Timers, checkpoints
from tickerplant.plant import Plant
from tickerplant.units import HOUR_MS, MINUTE_MS

STREAMS = (
    *("btcusdt@kline_1m", "btcusdt@kline_1h", "btcusdt@kline_1d", "btcusdt@aggTrade"),
    *("btcusdt_perpetual@continuousKline_4h", "btcusdt@miniTicker"),
)


class World:
    """A market of one symbol that is driven through gaps, and the messages of its subscribers."""

    def __init__(self) -> None:
        self.plant: Plant = open_plant([BTCUSDT])
        self.listeners: dict[str, Listener] = {name: listen(self.plant, name) for name in STREAMS}
        self.count = 0

    def happen(self, price: int) -> None:
        now_ms = self.plant.now_ms
        self.count += 1
        self.plant.publish(mark(now_ms))
        self.plant.publish(trade(self.count, now_ms, price))

    def received(self) -> dict[str, list[Any]]:
        for hub in self.plant.hubs.values():
            hub.flush()
        return {
            name: [msgspec.json.decode(text) for text in payloads(b"".join(each.writes))]
            for name, each in self.listeners.items()
        }

    def state(self) -> list[Any]:
        market = self.plant.markets["BTCUSDT"]
        rows = [
            [each.rows(interval, None, None, 1_500).tolist() for interval in INTERVALS]
            for each in (market.candles, market.marks.candles, market.indices.candles)
        ]
        early = market.candles.rows("1h", START_MS, None, 100).tolist()
        return [self.plant.now_ms, market.minutes.statistics(), rows, early]


def is_part(part: Sequence[Any], whole: Sequence[Any]) -> bool:
    """Whether `part` is `whole` without some of its elements."""
    rest = iter(whole)
    return all(any(each == other for other in rest) for each in part)


GAPS = st.one_of(st.integers(1, 3 * HOUR_MS), st.integers(HOUR_MS, 30 * HOUR_MS))


@pytest.mark.heavy
@settings(max_examples=2)
@given(st.lists(st.tuples(GAPS, st.integers(6_500_000, 6_600_000)), min_size=2, max_size=2))
@example([(12_345, 6_543_210), (26 * HOUR_MS, 6_500_001)])
def test_skipping_ahead_equals_advancing_step_by_step(gaps: list[tuple[int, int]]) -> None:
    leaping, walking = World(), World()
    for gap_ms, price in gaps:
        target_ms = walking.plant.now_ms + gap_ms
        leaping.plant.advance_before(target_ms)
        while walking.plant.now_ms < target_ms:
            walking.plant.advance_before(min(walking.plant.now_ms + MAX_CONTINUOUS_MS, target_ms))
        assert leaping.state() == walking.state()
        for world in (leaping, walking):
            world.happen(price)
            world.plant.advance(target_ms + 1_500)
    whole = walking.received()
    for name, part in leaping.received().items():
        if name == "btcusdt@miniTicker":  # at a checkpoint it reports what left its window before
            assert part[-1] == whole[name][-1]
            continue
        assert is_part(part, whole[name]), name
        if "kline" in name.lower():
            closed = [each for each in whole[name] if each["k"]["x"] and each["k"]["n"]]
            assert is_part(closed, part), f"{name}: every candle with a trade is closed"


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(0, 59),
)
def test_empty_minutes_become_hours_as_if_each_had_been_added_alone(
    gaps: list[tuple[int, int]], offset: int
) -> None:
    at_once, one_by_one = ClosedMinutes(130), ClosedMinutes(130)
    open_ms = START_MS // HOUR_MS * HOUR_MS + offset * MINUTE_MS
    for missing, price in gaps:
        bar = empty_bars(open_ms, 1, price)
        for minutes in (at_once, one_by_one):
            minutes.append(bar)
        for n in range(missing):
            one_by_one.append(empty_bars(open_ms + (n + 1) * MINUTE_MS, 1, price))
        open_ms += (missing + 1) * MINUTE_MS
        at_once.fill(open_ms, price)
        assert np.array_equal(at_once.rows, one_by_one.rows)
        assert np.array_equal(at_once.hours, one_by_one.hours)


def test_the_number_of_hours_is_bounded_after_a_pause_of_centuries() -> None:
    minutes = ClosedMinutes(10_080)
    minutes.append(empty_bars(START_MS // HOUR_MS * HOUR_MS, 1, 5))
    until_ms = START_MS // HOUR_MS * HOUR_MS + 260 * 365 * 24 * HOUR_MS
    minutes.fill(until_ms, 5)
    assert len(minutes.hours) == RETAINED_HOURS + 1
    assert minutes.rows[-1, 0] == until_ms - MINUTE_MS
    assert minutes.hours[-1, 0] + HOUR_MS == minutes.rows[0, 0]


@pytest.mark.parametrize("years", [1, 260])
def test_the_work_of_skipping_does_not_grow_with_the_period(years: int) -> None:
    timers = Timers(START_MS)
    fired: list[int] = []

    def every_second(now_ms: int) -> None:
        fired.append(now_ms)
        timers.at(timers.now_ms + 1_000, MESSAGE_RANK, every_second)

    timers.at(START_MS + 1_000, MESSAGE_RANK, every_second)
    until_ms = START_MS + years * 365 * 24 * HOUR_MS
    timers.advance_before(until_ms)
    assert len(fired) <= 6 * (len(INTERVALS) + 1) + 60
    assert fired == sorted(fired)
    assert timers.now_ms == until_ms


def test_the_checkpoints_of_a_skipped_period_end_with_its_last_minute() -> None:
    until_ms = START_MS + 40 * 24 * HOUR_MS + 12_345
    found = checkpoints(START_MS, until_ms)
    assert found == sorted(set(found))
    assert found[-1] == until_ms // MINUTE_MS * MINUTE_MS
    assert all(each % MINUTE_MS == 0 and each > START_MS for each in found)
