from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.quarters import coded_delivery_ms, deliveries_ms, delivery_code, delivery_ms


@given(st.integers(2019, 2060), st.integers(1, 4))
def test_a_delivery_is_the_last_friday_of_its_quarter(year: int, quarter: int) -> None:
    day = datetime.fromtimestamp(delivery_ms(year, quarter) / 1000, UTC)
    assert (day.weekday(), day.hour, day.month) == (4, 8, 3 * quarter), f"{day} is not it"
    last = datetime(year + quarter // 4, 3 * quarter % 12 + 1, 1, tzinfo=UTC)
    assert (last - day).days < 7, f"{day} is not the last Friday of its month"


@given(st.integers(1_570_000_000_000, 2_800_000_000_000))
def test_two_deliveries_are_in_the_past_and_two_ahead(now_ms: int) -> None:
    dates = deliveries_ms(now_ms)
    assert dates[1] <= now_ms < dates[2], "the present lies between the second and the third"
    assert sorted({delivery_code(date) for date in dates}) == [delivery_code(d) for d in dates]
    assert [coded_delivery_ms(delivery_code(date)) for date in dates] == list(dates)


@pytest.mark.parametrize("code", ["", "PERP", "261332"])
def test_a_code_that_is_no_date_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"format|remains"):
        coded_delivery_ms(code)
