from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.market.timers import (
    AGGREGATE_RANK,
    MESSAGE_RANK,
    MINUTE_RANK,
    Timers,
    next_on_grid,
)


@given(st.integers(0, 10**13), st.integers(1, 10**5))
def test_the_next_point_of_a_grid_is_the_first_one_after_now(now_ms: int, period_ms: int) -> None:
    due_ms = next_on_grid(now_ms, period_ms)
    assert due_ms % period_ms == 0
    assert now_ms < due_ms <= now_ms + period_ms


def test_the_clock_never_runs_backwards() -> None:
    timers = Timers(100)
    timers.advance(50)
    assert timers.now_ms == 100


def test_approaching_the_present_fires_nothing_that_was_set_since() -> None:
    timers = Timers(100)
    seen: list[int] = []
    timers.at(100, MINUTE_RANK, seen.append)
    timers.advance_before(100)
    assert (seen, timers.now_ms) == ([], 100), "expected it to wait until time goes on"
    timers.advance_before(101)
    assert (seen, timers.now_ms) == ([100], 101)


def test_what_is_overdue_fires_with_its_own_time_and_leaves_the_clock() -> None:
    timers = Timers(100)
    seen: list[tuple[int, int]] = []
    timers.at(70, MESSAGE_RANK, lambda due_ms: seen.append((due_ms, timers.now_ms)))
    timers.advance(100)
    assert seen == [(70, 100)]


def test_a_callback_may_set_what_is_due_in_the_same_step() -> None:
    timers = Timers(0)
    fired: list[int] = []

    def again(due_ms: int) -> None:
        fired.append(due_ms)
        timers.at(due_ms + 10, MESSAGE_RANK, again)

    timers.at(10, MESSAGE_RANK, again)
    timers.advance(45)
    assert fired == [10, 20, 30, 40]
    assert len(timers) == 1


def test_minutes_end_before_aggregates_close_before_messages_are_sent() -> None:
    timers = Timers(0)
    fired: list[str] = []
    timers.at(60, MESSAGE_RANK, lambda _: fired.append("message"))
    timers.at(60, AGGREGATE_RANK, lambda _: fired.append("aggregate"))
    timers.at(60, MINUTE_RANK, lambda _: fired.append("minute"))
    timers.advance(60)
    assert fired == ["minute", "aggregate", "message"]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), max_size=30),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=10),
)
def test_what_is_due_fires_once_by_time_then_rank_then_order_and_messages_wait_for_events(
    entries: list[tuple[int, int]], steps: list[tuple[int, bool]]
) -> None:
    timers = Timers(0)
    fired: list[tuple[int, int, int]] = []
    for number, (due_ms, rank) in enumerate(entries):

        def fire(at_ms: int, rank: int = rank, number: int = number) -> None:
            assert timers.now_ms == at_ms, "the clock shows the due time meanwhile"
            fired.append((at_ms, rank, number))

        timers.at(due_ms, rank, fire)
    reached = (-1, 0)
    for now_ms, approaches in steps:
        if not approaches:
            reached = max(reached, (now_ms + 1, MINUTE_RANK))
        elif now_ms > timers.now_ms:
            reached = max(reached, (now_ms, MESSAGE_RANK))
        (timers.advance_before if approaches else timers.advance)(now_ms)
    rows = [(at_ms, rank, number) for number, (at_ms, rank) in enumerate(entries)]
    assert fired == sorted(row for row in rows if row[:2] < reached)
    assert len(timers) == len(entries) - len(fired)
    assert timers.now_ms == max((now_ms for now_ms, _ in steps), default=0)
