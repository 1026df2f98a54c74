from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS

from tickerplant.events import Positioning
from tickerplant.market.bars import HOUR_MS
from tickerplant.market.positions import GRID_MS, KEPT_ROWS, Positions

FIRST_MS = START_MS // (4 * HOUR_MS) * 4 * HOUR_MS


def positioning(time_ms: int, open_interest: int = 5) -> Positioning:
    return Positioning("BTCUSDT", open_interest, 5000, 5000, 5000, "low", time_ms)


def lived(count: int, step_ms: int = GRID_MS) -> Positions:
    positions = Positions()
    for n in range(count):
        positions.add(positioning(FIRST_MS + n * step_ms, n))
    return positions


def test_one_row_is_kept_of_every_five_minutes_and_the_latest_is_known() -> None:
    positions = lived(200, 5000)
    assert positions.latest == positioning(FIRST_MS + 199 * 5000, 199)
    rows = positions.rows(GRID_MS, None, None, 100)
    assert [row.open_interest for row in rows] == [0, 60, 120, 180], "the first of each"


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
    period_ms = steps * GRID_MS
    start_ms = None if start is None else FIRST_MS + start * GRID_MS
    end_ms = None if end is None else FIRST_MS + end * GRID_MS
    times = [FIRST_MS + n * GRID_MS for n in range(0, count, steps)]
    inside = [
        ms
        for ms in times
        if (start_ms is None or ms >= start_ms) and (end_ms is None or ms <= end_ms)
    ]
    expected = inside[-limit:] if start_ms is None else inside[:limit]
    rows = lived(count).rows(period_ms, start_ms, end_ms, limit)
    assert [row.time_ms for row in rows] == expected


def test_a_past_comes_before_what_was_lived() -> None:
    positions = lived(3)
    before = [positioning(FIRST_MS - n * GRID_MS, 100 + n) for n in range(5, 0, -1)]
    positions.look_back(lambda: before)
    rows = positions.rows(GRID_MS, None, None, 100)
    assert [row.open_interest for row in rows] == [105, 104, 103, 102, 101, 0, 1, 2]


@pytest.mark.parametrize("more", [1, 500])
def test_rows_older_than_a_month_are_forgotten(more: int) -> None:
    rows = lived(KEPT_ROWS + more).rows(GRID_MS, None, None, 10**6)
    assert len(rows) == KEPT_ROWS
    assert rows[0].open_interest == more
