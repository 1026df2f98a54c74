"""Funding payments of history and of this run behave like one list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from windows import window

from tickerplant.events import FundingPaid
from tickerplant.market.series import RETAINED_FUNDINGS, FundingSeries

TIMES = st.integers(0, 40)


@given(
    before=st.integers(0, 30),
    since=st.integers(0, 15),
    start=st.none() | TIMES,
    end=st.none() | TIMES,
    limit=st.integers(1, 50),
    again=st.booleans(),
)
def test_a_window_may_span_history_and_present(
    before: int, since: int, start: int | None, end: int | None, limit: int, again: bool
) -> None:
    every = [FundingPaid("BTCUSDT", n, n, n) for n in range(before + since)]

    def cut(
        rows: list[FundingPaid], start_ms: int | None, end_ms: int | None, most: int
    ) -> list[FundingPaid]:
        return window(rows, lambda paid: paid.time_ms, start_ms, end_ms, most)

    fundings = FundingSeries()
    fundings.load_history(
        lambda start_ms, end_ms, limit: cut(every[:before], start_ms, end_ms, limit)
    )
    for paid in every[before:]:
        fundings.add(paid)
    if again:
        fundings.within(None, None, 1)
    assert fundings.within(start, end, limit) == cut(every, start, end, limit)


def test_without_history_there_are_the_payments_of_this_run() -> None:
    fundings = FundingSeries()
    assert fundings.within(None, None, 5) == []
    paid = FundingPaid("BTCUSDT", 1, 2, 3)
    fundings.add(paid)
    assert fundings.within(None, None, 5) == [paid]


def test_payments_from_before_the_start_do_not_precede_a_hole() -> None:
    fundings = FundingSeries()
    fundings.load_history(lambda *_: [FundingPaid("BTCUSDT", 0, 0, 0)])
    for n in range(1, RETAINED_FUNDINGS + 6):
        fundings.add(FundingPaid("BTCUSDT", n, n, n))
    assert [paid.time_ms for paid in fundings.within(0, None, 2)] == [6, 7]
    assert len(fundings.within(None, None, 10**6)) == RETAINED_FUNDINGS
