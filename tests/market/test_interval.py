from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.market.bar_arrays import open_times
from tickerplant.market.interval import INTERVALS, LENGTHS_MS, next_open_time, open_time

TIMES_MS = st.integers(0, 4_102_444_800_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(time_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time_ms)


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def test_the_intervals_are_those_of_the_exchange() -> None:
    assert " ".join(INTERVALS) == "1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M"


@given(TIMES_MS, st.sampled_from(INTERVALS))
def test_every_moment_is_in_exactly_one_interval(time_ms: int, interval: str) -> None:
    opened_ms = open_time(interval, time_ms)
    next_ms = next_open_time(interval, opened_ms)
    assert opened_ms <= time_ms < next_ms
    assert open_time(interval, opened_ms) == opened_ms, "the first millisecond belongs to it"
    assert open_time(interval, next_ms - 1) == opened_ms, "the last millisecond belongs to it"
    assert open_time(interval, next_ms) == next_ms, "the next one begins where it ends"
    if LENGTHS_MS[interval]:
        assert next_ms - opened_ms == LENGTHS_MS[interval]


@given(st.lists(TIMES_MS, max_size=20), st.sampled_from(INTERVALS))
def test_many_at_once_are_the_same_as_one_by_one(times_ms: list[int], interval: str) -> None:
    opened = open_times(interval, np.array(times_ms, dtype=np.int64))
    assert opened.tolist() == [open_time(interval, time_ms) for time_ms in times_ms]


@given(TIMES_MS)
def test_weeks_begin_on_monday_at_midnight(time_ms: int) -> None:
    opened = moment(open_time("1w", time_ms))
    assert opened.isoweekday() == 1
    assert opened.time() == datetime.min.time()


@given(TIMES_MS)
def test_months_begin_on_the_first_and_are_as_long_as_the_calendar_says(time_ms: int) -> None:
    opened_ms = open_time("1M", time_ms)
    opened, following = moment(opened_ms), moment(next_open_time("1M", opened_ms))
    assert opened == moment(time_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert (following.day, following.time()) == (1, datetime.min.time())
    assert (following.year * 12 + following.month) - (opened.year * 12 + opened.month) == 1


@pytest.mark.parametrize(
    ("interval", "time", "opened"),
    [
        ("1m", "2026-02-25 06:15:59.999", "2026-02-25 06:15:00"),
        ("5m", "2026-02-25 06:19:00", "2026-02-25 06:15:00"),
        ("8h", "2026-02-25 15:59:59", "2026-02-25 08:00:00"),
        ("1d", "2026-02-25 23:59:59", "2026-02-25 00:00:00"),
        ("1w", "2026-03-01 23:59:59", "2026-02-23 00:00:00"),
        ("1M", "2024-02-29 12:00:00", "2024-02-01 00:00:00"),
        ("1M", "2025-12-31 23:59:59", "2025-12-01 00:00:00"),
    ],
)
def test_known_moments_are_in_known_intervals(interval: str, time: str, opened: str) -> None:
    assert open_time(interval, milliseconds(time)) == milliseconds(opened)
