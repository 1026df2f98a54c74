from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import ConfigError
from tickerplant.feed.weight import (
    FIRST_BAN_MS,
    MAX_BAN_MS,
    MIN_WAIT_MS,
    Allowances,
    AllowanceSpentError,
    PartOfBudget,
    WeightBudget,
)
from tickerplant.protocol.limits import LIMITS
from tickerplant.units import MINUTE_MS

NOON_MS = 1_772_020_800_000
assert NOON_MS % MINUTE_MS == 0


def test_a_minute_has_its_share_and_the_next_one_has_it_again() -> None:
    budget = WeightBudget(100, 0.8)
    assert budget.reserve(79, NOON_MS) == 0
    assert budget.reserve(2, NOON_MS + 1) == MINUTE_MS - 1
    assert budget.reserve(1, NOON_MS + 59_000) == 0, "what was refused was not reserved"
    assert budget.reserve(1, NOON_MS + 59_999) == 1
    assert budget.reserve(80, NOON_MS + MINUTE_MS) == 0
    assert (budget.spent, budget.waited_ms, budget.refusals) == (160, MINUTE_MS, 0)


def test_the_exchanges_limit_and_most_of_it_is_the_default() -> None:
    budget = WeightBudget()
    assert (budget.limit_per_minute, budget.own_per_minute) == (2400, 1920)


def test_a_weight_above_the_share_goes_alone_at_the_start_of_a_minute() -> None:
    budget = WeightBudget(100, 0.1)
    assert budget.reserve(1, NOON_MS) == 0
    assert budget.reserve(40, NOON_MS) == MINUTE_MS
    assert budget.reserve(40, NOON_MS + MINUTE_MS) == 0
    assert budget.reserve(1, NOON_MS + MINUTE_MS) == MINUTE_MS
    assert budget.reserve(0, NOON_MS + MINUTE_MS) == 0, "what weighs nothing needs no room"


def test_what_others_use_is_left_to_them() -> None:
    budget = WeightBudget(100, 0.8)
    assert budget.reserve(10, NOON_MS) == 0
    budget.note_used(75, NOON_MS)
    assert budget.reserve(26, NOON_MS) == MINUTE_MS
    assert budget.reserve(25, NOON_MS) == 0
    budget.note_used(35, NOON_MS)
    assert budget.reserve(45, NOON_MS) == 0, "it was less than we thought"


def test_an_answer_to_a_question_of_the_last_minute_says_nothing_of_this_one() -> None:
    budget = WeightBudget(100, 0.8)
    assert budget.reserve(1, NOON_MS - 1) == 0
    assert budget.reserve(1, NOON_MS) == 0
    budget.note_used(100, NOON_MS - 1)
    assert budget.reserve(79, NOON_MS) == 0


@pytest.mark.parametrize(
    ("status", "retry_after_ms", "refused_ms"),
    [
        (429, 7000, 7000),
        (429, 0, MIN_WAIT_MS),
        (429, -5, MIN_WAIT_MS),
        (429, None, 40_000),
        (418, 180_000, 180_000),
        (418, None, FIRST_BAN_MS),
        (418, 10**15, MAX_BAN_MS),
    ],
)
def test_nothing_goes_out_before_the_server_wants_it(
    status: int, retry_after_ms: int | None, refused_ms: int
) -> None:
    budget = WeightBudget()
    now_ms = NOON_MS + 20_000
    budget.refused(status, retry_after_ms, now_ms)
    assert budget.refused_ms(now_ms) == refused_ms
    assert budget.reserve(1, now_ms) == refused_ms
    assert budget.reserve(0, now_ms + 1) == refused_ms - 1
    assert budget.reserve(1, now_ms + refused_ms) == 0
    assert (budget.refusals, budget.refused_status) == (1, status)


def test_a_short_refusal_does_not_end_a_long_one() -> None:
    budget = WeightBudget()
    budget.refused(418, 120_000, NOON_MS)
    budget.refused(429, 1000, NOON_MS)
    assert budget.refused_ms(NOON_MS) == 120_000


def test_a_clock_that_is_set_back_a_little_is_in_the_same_minute() -> None:
    budget = WeightBudget(100, 0.8)
    assert budget.reserve(80, NOON_MS) == 0
    assert budget.reserve(1, NOON_MS - 10) == MINUTE_MS + 10


def test_a_clock_that_is_set_back_by_a_day_begins_again() -> None:
    budget = WeightBudget(100, 0.8)
    assert budget.reserve(80, NOON_MS) == 0
    budget.refused(418, 180_000, NOON_MS)
    assert budget.reserve(80, NOON_MS - 86_400_000) == 0


@pytest.mark.parametrize(("limit", "share"), [(0, 0.8), (-1, 0.8), (1, 0.0), (1, 1.1), (1, -1.0)])
def test_numbers_that_make_no_sense_are_refused(limit: int, share: float) -> None:
    with pytest.raises(ConfigError):
        WeightBudget(limit, share)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 40)),
        st.tuples(st.just("pass"), st.integers(0, 90_000)),
        st.tuples(st.just("told"), st.integers(0, 150)),
        st.tuples(st.just("refused"), st.integers(-1, 200_000)),
    ),
    max_size=200,
)


@given(limit=st.integers(1, 120), share=st.floats(0.01, 1.0), steps=STEPS)
def test_no_clock_minute_has_more_than_the_share(
    limit: int, share: float, steps: list[tuple[str, int]]
) -> None:
    budget = WeightBudget(limit, share)
    own = max(int(limit * share), 1)
    now_ms, closed_until_ms = NOON_MS, 0
    reserved: dict[int, list[int]] = {}
    received: Counter[int] = Counter()
    for what, number in steps:
        minute = now_ms // MINUTE_MS
        mine = reserved.setdefault(minute, [])
        if what == "pass":
            now_ms += number
        elif what == "told":
            budget.note_used(number, now_ms)
            received[minute] = max(number - sum(mine), 0)
        elif what == "refused":
            budget.refused(429, number, now_ms)
            closed_until_ms = max(closed_until_ms, now_ms + max(number, MIN_WAIT_MS))
        elif budget.reserve(number, now_ms) == 0:
            assert now_ms >= closed_until_ms
            mine.append(number)
            alone = [each for each in mine if each] == [number] and number > own
            if number:
                assert sum(mine) <= own or alone
                assert sum(mine) + received[minute] <= limit or alone
    assert budget.spent == sum(sum(each) for each in reserved.values())


@given(
    limit=st.integers(1, 100),
    share=st.floats(0.01, 1.0),
    weights=st.lists(st.integers(0, 150), max_size=40),
    used=st.lists(st.integers(0, 200), max_size=40),
    start_ms=st.integers(NOON_MS, NOON_MS + MINUTE_MS),
)
def test_who_waits_as_reported_is_let_through_within_a_minute(
    limit: int, share: float, weights: list[int], used: list[int], start_ms: int
) -> None:
    budget = WeightBudget(limit, share)
    now_ms = start_ms
    for index, weight in enumerate(weights):
        wait_ms = budget.reserve(weight, now_ms)
        assert 0 <= wait_ms <= MINUTE_MS
        if wait_ms:
            now_ms += wait_ms
            assert budget.reserve(weight, now_ms) == 0
        if index < len(used):
            budget.note_used(used[index], now_ms)
    assert budget.waited_ms == now_ms - start_ms
    assert budget.spent == sum(weights)


def test_a_refusal_ends_when_the_clock_is_set_back_for_who_asks_about_nothing_else() -> None:
    budget = WeightBudget()
    budget.refused(429, 5_000, NOON_MS)
    assert budget.refused_ms(NOON_MS - 7_200_000) == 0


def test_a_part_of_a_budget_leaves_the_rest_to_others_and_they_may_have_all_of_it() -> None:
    whole = WeightBudget(100, 0.8)
    part = PartOfBudget(whole, 0.5)
    assert part.reserve(40, NOON_MS) == 0
    assert part.reserve(1, NOON_MS) == MINUTE_MS
    assert whole.reserve(40, NOON_MS) == 0
    assert whole.reserve(1, NOON_MS) == MINUTE_MS
    assert whole.reserve(80, NOON_MS + MINUTE_MS) == 0
    assert part.reserve(1, NOON_MS + MINUTE_MS) == MINUTE_MS, "nothing is left"
    assert part.reserve(40, NOON_MS + 2 * MINUTE_MS) == 0
    assert (part.spent, whole.spent, part.waited_ms) == (80, 200, 2 * MINUTE_MS)


def test_what_the_server_says_holds_for_the_whole_and_for_every_part() -> None:
    whole = WeightBudget(100, 0.8)
    part, other = PartOfBudget(whole, 0.5), PartOfBudget(whole, 0.5)
    assert part.reserve(10, NOON_MS) == 0
    part.note_used(90, NOON_MS)
    assert whole.reserve(11, NOON_MS) == other.reserve(11, NOON_MS) == MINUTE_MS
    assert whole.reserve(10, NOON_MS) == 0
    part.refused(429, 5_000, NOON_MS)
    assert whole.refused_ms(NOON_MS) == other.refused_ms(NOON_MS) == 5_000
    assert other.reserve(0, NOON_MS) == 5_000
    assert (whole.refused_status, other.refused_status) == (429, 429)
    assert other.refused_ms(NOON_MS - 3_600_000) == 0, "the clock was set back"


def test_an_allowance_has_its_share_in_any_five_minutes() -> None:
    allowances, window_ms = Allowances(0.8), LIMITS.allowance_window_ms
    for number in range(800):
        allowances.spend("statistics", number)
    for now_ms in (800, window_ms - 1):
        with pytest.raises(AllowanceSpentError, match="1000 requests per 5 minutes") as spent:
            allowances.spend("statistics", now_ms)
        assert (spent.value.code, spent.value.status) == (-1003, 429)
        assert spent.value.retry_after_ms == window_ms - now_ms
    allowances.spend("funding", window_ms - 1)
    allowances.spend("statistics", window_ms)
    with pytest.raises(AllowanceSpentError) as spent:
        allowances.spend("statistics", window_ms)
    assert spent.value.retry_after_ms == 1
