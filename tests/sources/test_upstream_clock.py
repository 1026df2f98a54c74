from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import listen, mark, open_plant, sent_to, trade

from tickerplant.market.timers import MAX_CONTINUOUS_MS
from tickerplant.recording.event_clock import LATEST_MS
from tickerplant.sources.upstream_clock import (
    CONFIRMATIONS,
    LATE_MS,
    MAX_EXTRAPOLATION_MS,
    OTHER_CLOCK_MS,
    PLAUSIBLE_MS,
    STEP_MS,
    UpstreamClock,
)
from tickerplant.units import HOUR_MS

START_MS = 1_767_225_600_000


def test_time_is_that_of_the_messages_and_goes_on_between_them_for_a_second() -> None:
    time = UpstreamClock(START_MS, 0)
    assert time.on_message(START_MS + 70, 100) == START_MS + 70
    assert time.advance(150) == START_MS + 120
    assert time.on_message(START_MS + 110, 160) == START_MS + 120, "never back"
    assert time.advance(10_000) == START_MS + 70 + MAX_EXTRAPOLATION_MS
    assert time.lag_ms == 0
    assert not time.is_behind


def test_one_message_of_a_time_that_cannot_be_is_not_believed() -> None:
    time = UpstreamClock(START_MS, 0)
    for wrong_ms in (START_MS + HOUR_MS, START_MS * 1000, 2**64 - 1, 0, -1):
        assert time.on_message(wrong_ms, 10) == START_MS
        assert time.on_message(START_MS, 10) == START_MS
    assert time.rejected == 3
    assert not time.is_catching_up


def test_after_an_hour_without_a_message_an_hour_later_is_believed() -> None:
    time = UpstreamClock(START_MS, 0)
    time.on_message(START_MS + HOUR_MS + PLAUSIBLE_MS, HOUR_MS)
    assert time.is_catching_up


def test_a_server_that_began_again_a_little_later_is_followed_step_by_step() -> None:
    time, later_ms = UpstreamClock(START_MS, 0), START_MS + MAX_CONTINUOUS_MS - 1_000
    for number in range(CONFIRMATIONS):
        assert not time.is_catching_up
        assert time.on_message(later_ms + number, number) == START_MS
    assert time.is_catching_up
    assert time.lag_ms == MAX_CONTINUOUS_MS - 1_000 + CONFIRMATIONS - 1, (
        "time has passed since the first"
    )
    assert time.on_message(later_ms + 50, 50) == START_MS, "no message waits for that"
    assert time.advance(60) == START_MS + STEP_MS
    assert time.advance(60) == START_MS + 2 * STEP_MS
    for _ in range(MAX_CONTINUOUS_MS // STEP_MS):
        time.advance(60)
    assert time.now_ms == later_ms + 60
    assert not time.is_catching_up


@pytest.mark.parametrize("later_ms", [MAX_CONTINUOUS_MS + 1, 100 * 365 * 24 * HOUR_MS])
def test_a_server_that_began_again_years_later_is_followed_in_one_leap(later_ms: int) -> None:
    plant = open_plant()
    time = UpstreamClock(plant.now_ms, 0)
    begun_ms = plant.now_ms
    listener = listen(plant, ["btcusdt@kline_1m", "btcusdt@miniTicker", "!markPrice@arr@1s"])
    plant.publish(mark(begun_ms))
    plant.publish(trade(1, begun_ms))
    for number in range(CONFIRMATIONS):
        assert time.on_message(begun_ms + later_ms + number, number) == begun_ms, "no message waits"
    assert time.is_catching_up
    assert time.advance(60) == begun_ms + later_ms + 60
    assert time.lag_ms == 0
    plant.advance(time.now_ms)
    assert plant.now_ms == time.now_ms
    assert 0 < len(sent_to(plant, listener)) < 500, "what was due on the way is not all made"


def test_nobody_is_believed_whose_time_has_too_many_digits() -> None:
    time = UpstreamClock(START_MS, 0)
    for number in range(10 * CONFIRMATIONS):
        time.on_message(LATEST_MS + 1 + number, 10)
    assert not time.is_catching_up


def test_with_a_server_that_began_again_at_an_earlier_time_time_goes_on() -> None:
    time = UpstreamClock(START_MS, 0)
    for now_ms in range(0, 60_000, 100):
        time.on_message(START_MS - HOUR_MS + now_ms, now_ms)
        time.advance(now_ms)
    assert time.is_behind
    assert abs(time.now_ms - START_MS - 60_000) < 1_000
    time.on_message(time.now_ms + 10, 60_000)
    assert not time.is_behind


def test_a_server_that_is_slow_is_waited_for() -> None:
    time = UpstreamClock(START_MS, 0)
    for now_ms in range(0, 60_000, 20):
        time.on_message(START_MS + now_ms // 10, now_ms)
        time.advance(now_ms)
        assert 0 <= time.now_ms - (START_MS + now_ms // 10) <= MAX_EXTRAPOLATION_MS
    assert not time.is_behind


def test_a_venue_whose_clock_is_behind_does_not_hold_up_the_other() -> None:
    time = UpstreamClock(START_MS, 0)
    for now_ms in range(0, 30_000, 50):
        assert time.on_message(START_MS + now_ms, now_ms) >= START_MS + now_ms
        time.on_message(START_MS + now_ms - 2 * OTHER_CLOCK_MS, now_ms)
    assert not time.is_behind


def test_a_wrong_time_of_less_than_a_minute_is_over_after_two() -> None:
    for wrong_ms in (5_000, 30_000, 59_000):
        time = UpstreamClock(START_MS, 0)
        warned = 0
        for machine_ms in range(0, 5_000 + 2 * wrong_ms + 5_000, 20):
            before_ms = time.now_ms
            told_ms = START_MS + machine_ms + wrong_ms * (machine_ms == 5_000)
            time.on_message(told_ms, machine_ms)
            time.advance(machine_ms)
            warned += time.is_behind
            assert 0 <= time.now_ms - before_ms <= wrong_ms + 20
        assert abs(time.now_ms - START_MS - machine_ms) <= LATE_MS
        assert warned * 20 > wrong_ms, "it is told of meanwhile"
        time.on_message(START_MS + machine_ms + LATE_MS, machine_ms)
        assert not time.is_behind


def test_a_leap_is_followed_without_a_lag_however_seldom_messages_come() -> None:
    for leap_ms in (70_000, HOUR_MS):
        for pause_ms in (10, 1_000, 20_000):
            time = UpstreamClock(START_MS, 0)
            for machine_ms in range(0, 20 * pause_ms, pause_ms):
                time.on_message(START_MS + leap_ms + machine_ms, machine_ms)
                while time.is_catching_up:
                    time.advance(machine_ms)
                time.advance(machine_ms)
            assert time.now_ms == START_MS + leap_ms + machine_ms
            assert time.rejected in {0, CONFIRMATIONS}


def test_a_short_recording_that_is_played_again_and_again_lets_time_go_on() -> None:
    time = UpstreamClock(START_MS, 0)
    for machine_ms in range(0, 200_000, 5):
        time.on_message(START_MS + machine_ms % 20_000, machine_ms)
        time.advance(machine_ms)
    assert 100_000 < time.now_ms - START_MS < 200_000


def test_messages_of_one_moment_are_one_witness() -> None:
    time = UpstreamClock(START_MS, 0)
    for _ in range(10 * CONFIRMATIONS):
        assert time.on_message(START_MS + HOUR_MS, 10) == START_MS
    assert not time.is_catching_up


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 5_000), st.integers(-(2**40), 2**64), st.booleans()), max_size=80
    )
)
def test_time_never_goes_back_nor_farther_than_a_step_or_a_leap(
    steps: list[tuple[int, int, bool]],
) -> None:
    time = UpstreamClock(START_MS, 0)
    reached, machine_ms = [START_MS], 0
    for passed_ms, offset_ms, is_told in steps:
        machine_ms += passed_ms
        told_ms = START_MS + offset_ms
        now_ms = time.on_message(told_ms, machine_ms) if is_told else time.advance(machine_ms)
        assert now_ms == time.now_ms
        reached.append(now_ms)
    for before_ms, after_ms in itertools.pairwise(reached):
        passed_ms = after_ms - before_ms
        assert 0 <= passed_ms <= STEP_MS or passed_ms > MAX_CONTINUOUS_MS
    assert time.now_ms <= LATEST_MS + machine_ms
