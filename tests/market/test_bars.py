from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.market.bar_arrays import combine
from tickerplant.market.bars import COUNT, FIRST_TRADE_ID, LAST_TRADE_ID, OPEN_TIME, Bar, join
from tickerplant.units import MINUTE_MS

OPENED_MS = 1_772_000_100_000


@st.composite
def bars(draw: st.DrawFn) -> list[Bar]:
    """Minutes of a longer bar; empty ones are as closed, or have any numbers."""
    numbers = st.integers(-(10**15), 10**15)
    made = []
    for minute in range(draw(st.integers(1, 6))):
        bar = draw(st.lists(numbers, min_size=12, max_size=12))
        bar[OPEN_TIME] = OPENED_MS + (minute + 1) * MINUTE_MS
        bar[COUNT] = draw(st.just(0) | st.integers(1, 10**6))
        if not bar[COUNT] and draw(st.booleans()):
            bar[1:] = [bar[1]] * 4 + [0] * 5 + [-1, -1]
        made.append(bar)
    return made


@given(bars())
def test_bars_joined_one_by_one_are_the_same_as_combined(bars: list[Bar]) -> None:
    joined = None
    for number, bar in enumerate(bars, 1):
        joined = join(OPENED_MS, joined, bar)
        rows = np.array(bars[:number], dtype=np.int64)
        assert [joined] == combine(rows, np.full(number, OPENED_MS)).tolist()


@given(bars(), bars())
def test_two_joined_bars_are_the_same_as_combined(earlier: list[Bar], later: list[Bar]) -> None:
    rows = np.array([earlier[-1], later[-1]], dtype=np.int64)
    assert [join(OPENED_MS, *rows.tolist())] == combine(rows, np.full(2, OPENED_MS)).tolist()


def test_joining_leaves_both_bars_as_they_were() -> None:
    quiet = [OPENED_MS, 7, 7, 7, 7, 0, 0, 0, 0, 0, -1, -1]
    traded = [OPENED_MS + MINUTE_MS, 8, 9, 6, 7, 5, 35, 2, 1, 6, 3, 4]
    for bar, later in ((quiet, traded), (traded, quiet), (traded, traded), (None, traded)):
        before = (bar and [*bar], [*later])
        joined = join(OPENED_MS, bar, later)
        assert (bar, later) == before
        assert joined is not bar
        assert joined is not later
        assert (joined[FIRST_TRADE_ID], joined[LAST_TRADE_ID]) == (3, 4)
