"""The event queue: the order of actions, and owners that are set aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.simulation.scheduler import Scheduler


class Owner:
    def __init__(self) -> None:
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=12))
def test_what_comes_first_runs_before_the_rest_of_its_millisecond_and_both_keep_their_order(
    entries: list[tuple[bool, int]],
) -> None:
    scheduler, owner = Scheduler(100), Owner()
    seen: list[tuple[int, bool, int]] = []
    for number, (is_first, delay_ms) in enumerate(entries):

        def act(number: int, *, is_first: bool = is_first) -> None:
            seen.append((scheduler.now_ms, not is_first, number))

        if is_first:
            scheduler.first_at(100 + delay_ms, owner, act, number)
        else:
            scheduler.after(delay_ms, owner, act, number)
    while len(scheduler):
        scheduler.step()
    assert seen == sorted(seen)
    assert len(seen) == len(entries)
    assert owner.flushes == len({now_ms for now_ms, _, _ in seen}), "once per millisecond"


def test_what_is_entered_for_now_happens_in_the_same_step() -> None:
    scheduler, owner, seen = Scheduler(0), Owner(), list[int]()
    scheduler.after(10, owner, lambda _: scheduler.after(0, owner, seen.append, 7))
    scheduler.after(11, owner, seen.append, 8)
    scheduler.step()
    assert (scheduler.now_ms, seen) == (10, [7])


def test_a_suspended_owner_gets_back_what_it_waited_for_with_the_time_left() -> None:
    scheduler, one, other = Scheduler(0), Owner(), Owner()
    seen: list[int] = []
    scheduler.after(5, one, seen.append, 2)
    scheduler.after(5, other, seen.append, 9)
    scheduler.after(3, one, seen.append, 1)
    scheduler.after(5, one, seen.append, 3)
    left = scheduler.suspend(one)
    assert [(after_ms, argument) for after_ms, _, argument in left] == [(3, 1), (5, 2), (5, 3)]
    scheduler.step()
    assert (seen, one.flushes, other.flushes) == ([9], 0, 1)
