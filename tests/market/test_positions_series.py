from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stage import START_MS
from windows import window

from tickerplant.events import Positioning
from tickerplant.market.series import POSITIONING_PERIOD_MS, RETAINED_ROWS, Positions
from tickerplant.units import DAY_MS, HOUR_MS

FIRST_MS = START_MS // (4 * HOUR_MS) * 4 * HOUR_MS


def positioning(time_ms: int, open_interest: int = 5) -> Positioning:
    return Positioning("BTCUSDT", open_interest, 5000, 5000, 5000, "low", time_ms)


class Past:
    """Open interest of the past, one number every five minutes."""

    def __init__(self, first_ms: int, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        end_ms = first_ms + len(numbers) * POSITIONING_PERIOD_MS
        self.times_ms = range(first_ms, end_ms, POSITIONING_PERIOD_MS)

    def column(self, _field: str, times_ms: range) -> list[int]:
        return [self._numbers[self.times_ms.index(ms)] for ms in times_ms]


def rows(
    positions: Positions,
    period_ms: int,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int = 9,
) -> list[tuple[int, int]]:
    return positions.column("open_interest", period_ms, start_ms, end_ms, limit)


def lived(count: int, step_ms: int = POSITIONING_PERIOD_MS) -> Positions:
    positions = Positions()
    for n in range(count):
        positions.add(positioning(FIRST_MS + n * step_ms, n))
    return positions


def test_one_row_per_five_minutes_is_stored_and_the_latest_is_known() -> None:
    positions = lived(200, 5000)
    assert positions.latest == positioning(FIRST_MS + 199 * 5000, 199)
    numbers = [held for _, held in rows(positions, POSITIONING_PERIOD_MS, limit=100)]
    assert numbers == [0, 60, 120, 180], "those of that very time"


def test_a_contract_that_begins_during_a_day_has_no_row_of_the_beginning_of_that_day() -> None:
    listed_ms = FIRST_MS // DAY_MS * DAY_MS + 8 * HOUR_MS
    positions = Positions()
    for second in range(5, 24 * 3600, 60):
        positions.add(positioning(listed_ms + second * 1000, second))
    assert [ms for ms, _ in rows(positions, DAY_MS)] == [listed_ms + 16 * HOUR_MS]
    for period_ms in (HOUR_MS, POSITIONING_PERIOD_MS):
        assert rows(positions, period_ms, limit=999)[0][0] == listed_ms + period_ms


@given(st.lists(st.integers(1, 900), max_size=60), st.sampled_from([1, 3, 12]))
def test_no_row_is_of_a_time_at_which_it_was_not_known(gaps_s: list[int], steps: int) -> None:
    positions, period_ms = Positions(), steps * POSITIONING_PERIOD_MS
    emitted = [positioning(FIRST_MS + 1000 * each, each) for each in accumulate(gaps_s)]
    for each in emitted:
        positions.add(each)
    known = {
        time_ms: [each.open_interest for each in emitted if each.time_ms <= time_ms][-1:]
        for time_ms in range(FIRST_MS, emitted[-1].time_ms + 1 if emitted else FIRST_MS, period_ms)
    }
    assert {ms: [held] for ms, held in rows(positions, period_ms, limit=10**6)} == {
        time_ms: value for time_ms, value in known.items() if value
    }


@given(
    st.integers(0, 120),
    st.sampled_from([1, 3, 12, 48]),
    st.none() | st.integers(-3, 130),
    st.none() | st.integers(-3, 130),
    st.integers(1, 40),
)
def test_rows_are_those_of_the_period_in_the_window(
    count: int, steps: int, start: int | None, end: int | None, limit: int
) -> None:
    period_ms = steps * POSITIONING_PERIOD_MS
    start_ms = None if start is None else FIRST_MS + start * POSITIONING_PERIOD_MS
    end_ms = None if end is None else FIRST_MS + end * POSITIONING_PERIOD_MS
    times = [FIRST_MS + n * POSITIONING_PERIOD_MS for n in range(0, count, steps)]
    expected = window(times, int, start_ms, end_ms, limit)
    assert [ms for ms, _ in rows(lived(count), period_ms, start_ms, end_ms, limit)] == expected


@pytest.mark.parametrize("more", [1, 500])
def test_rows_older_than_a_month_are_dropped(more: int) -> None:
    found = rows(lived(RETAINED_ROWS + more), POSITIONING_PERIOD_MS, limit=10**6)
    assert len(found) == RETAINED_ROWS
    assert found[0][1] == more


def test_a_silence_of_years_leaves_a_month_of_what_was_known() -> None:
    positions = Positions()
    positions.add(positioning(FIRST_MS, 1))
    last_ms = FIRST_MS + 5 * 365 * DAY_MS
    positions.add(positioning(last_ms, 2))
    found = rows(positions, POSITIONING_PERIOD_MS, limit=10**6)
    assert [held for _, held in found] == [1] * (RETAINED_ROWS - 1) + [2]
    assert found[-1][0] == last_ms


times = st.none() | st.integers(-2, 40).map(lambda n: FIRST_MS + n * POSITIONING_PERIOD_MS // 2)


def known(rows: list[Positioning]) -> dict[int, int]:
    """The open interest known at every five minutes from the first of `rows` to the last."""
    first, last = rows[0].time_ms, rows[-1].time_ms
    marks = range(-(-first // POSITIONING_PERIOD_MS), last // POSITIONING_PERIOD_MS + 1)
    return {
        ms: [row for row in rows if row.time_ms <= ms][-1].open_interest
        for ms in (mark * POSITIONING_PERIOD_MS for mark in marks)
    }


@given(
    st.lists(st.integers(0, 4), max_size=30),
    st.integers(0, 30),
    st.sampled_from([1, 3]),
    times,
    times,
    st.integers(1, 9),
)
@example(steps=[0, 4, 4], past=0, periods=3, start_ms=None, end_ms=None, limit=2).via("a gap")
@example(steps=[0, 0], past=0, periods=1, start_ms=None, end_ms=None, limit=9).via("twice at once")
@example(steps=[0, 1], past=1, periods=1, start_ms=None, end_ms=None, limit=1).via("at the seam")
def test_rows_are_selected_by_their_time(
    steps: list[int],
    past: int,
    periods: int,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> None:
    """Of two positionings of one time the later one counts."""
    begin_ms = FIRST_MS + past * POSITIONING_PERIOD_MS
    since = [
        positioning(begin_ms + n * POSITIONING_PERIOD_MS // 2, past + number)
        for number, n in enumerate(accumulate(steps, initial=0))
    ]
    positions, period_ms = Positions(), periods * POSITIONING_PERIOD_MS
    positions.load_history(Past(FIRST_MS, range(past)))
    for row in since:
        positions.add(row)
    before = {FIRST_MS + n * POSITIONING_PERIOD_MS: n for n in range(past)}
    every = [row for row in (before | known(since)).items() if row[0] % period_ms == 0]
    expected = window(every, lambda row: row[0], start_ms, end_ms, limit)
    assert rows(positions, period_ms, start_ms, end_ms, limit) == expected


def test_the_past_does_not_precede_a_hole() -> None:
    positions = lived(RETAINED_ROWS + 5)
    positions.load_history(Past(FIRST_MS - POSITIONING_PERIOD_MS, [99]))
    found = rows(positions, POSITIONING_PERIOD_MS, FIRST_MS - DAY_MS, limit=2)
    assert [held for _, held in found] == [5, 6]
