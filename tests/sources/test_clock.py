from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.control.clock import parse_speed
from tickerplant.sources.clock import SourceClock

SPEEDS = st.sampled_from([0.0, 0.001, 0.1, 1.0, 2.5, 1000.0])
START_NS = 1_795_236_514_000_000_000
FAR_NS = 1 << 63
COMMANDS = st.one_of(
    st.tuples(st.just("pass"), st.integers(0, 10**11)),
    st.tuples(st.just("speed"), SPEEDS),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("jump"), st.integers(START_NS, START_NS + 10**12)),
)


@given(st.lists(COMMANDS, max_size=40), SPEEDS)
def test_positions_never_go_back_between_jumps_and_jumps_land_where_they_say(
    commands: list[tuple[str, float]], speed: float
) -> None:
    clock, at_ns = SourceClock(speed), 0
    clock.set_position(START_NS, at_ns)
    clock.start(at_ns)
    position_ns = START_NS
    for name, value in commands:
        before_ns = clock.position_ns(at_ns, FAR_NS)
        stood = clock.is_stopped or not clock.speed
        if name == "pass":
            at_ns += int(value)
        elif name == "speed":
            clock.set_speed(value, at_ns, FAR_NS)
        elif name == "pause":
            clock.set_paused(at_ns, FAR_NS, paused=bool(value))
        else:
            clock.set_position(int(value), at_ns)
        now_ns = clock.position_ns(at_ns, FAR_NS)
        if name == "jump":
            assert now_ns == value, "a jump lands where it says"
        else:
            assert now_ns >= position_ns, f"{name} {value} went back"
        if name in {"speed", "pause"}:
            assert now_ns == before_ns, f"{name} is no jump"
        if name == "pass" and stood:
            assert now_ns == before_ns, "what stands does not move"
        position_ns = now_ns


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from([0.001, 0.5, 1.0, 1e6]))
def test_a_line_is_due_when_the_position_reaches_it(
    passed_ns: int, ahead_ns: int, speed: float
) -> None:
    clock = SourceClock(speed)
    clock.set_position(START_NS, 0)
    clock.start(0)
    next_ns = START_NS + ahead_ns
    wait_ns = clock.wait_ns(passed_ns, next_ns)
    if wait_ns > 0:
        assert clock.position_ns(passed_ns, FAR_NS) <= next_ns, "before, it is not"
    due_at_ns = passed_ns + max(wait_ns + 1, 0)
    rounding_ns = int(2 * speed) + 1
    assert clock.position_ns(due_at_ns, FAR_NS) + rounding_ns >= next_ns


def test_a_line_that_is_late_holds_the_position_up() -> None:
    clock = SourceClock(1.0)
    clock.set_position(START_NS, 0)
    clock.start(0)
    assert clock.position_ns(500, START_NS + 100) == START_NS + 100
    clock.set_paused(500, START_NS + 100, paused=True)
    clock.set_paused(9_000, START_NS + 100, paused=False)
    assert clock.position_ns(9_050, FAR_NS) == START_NS + 150, "a pause forgives being late"


def test_a_clock_that_is_not_started_keeps_its_position() -> None:
    clock = SourceClock(1.0)
    clock.set_position(START_NS, 0)
    assert clock.position_ns(10**9, FAR_NS) == START_NS
    clock.start(10**9)
    assert clock.position_ns(10**9 + 7, FAR_NS) == START_NS + 7
    clock.stop(10**9 + 7, FAR_NS)
    assert clock.position_ns(10**10, FAR_NS) == START_NS + 7


@pytest.mark.parametrize("given_speed", ["", "fast", -1, "nan", "inf", 1e7, 0.0001, True, None, []])
def test_speeds_that_cannot_be_had_are_refused(given_speed: object) -> None:
    with pytest.raises(ValueError, match=r"0\.001 to 1,000,000, or 0"):
        parse_speed(given_speed)


@pytest.mark.parametrize(("given_speed", "speed"), [(10, 10.0), ("0.5", 0.5), ("0", 0.0)])
def test_speeds_are_read(given_speed: object, speed: float) -> None:
    assert parse_speed(given_speed) == speed
