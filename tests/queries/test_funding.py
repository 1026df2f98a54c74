"""Funding payments: in order, paged, with their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from request_markets import INVERSE, LINEAR, SECOND, START_MS, by_path, get, markets_of
from windows import window

from tickerplant.events import FundingPaid
from tickerplant.instrument import Instrument
from tickerplant.market.markets import Markets
from tickerplant.market.series import MARKED_SINCE_MS
from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM

RATE = "/v1/fundingRate"
INFO = "/v1/fundingInfo"
Paid = tuple[str, int]
"""The symbol, and hours after the start."""

hours_after = st.integers(0, 40)
paid_times = st.lists(
    st.tuples(st.sampled_from(["BTCUSDT", "ETHUSDT"]), hours_after),
    max_size=60,
    unique=True,
)


def paid(tape: Sequence[Paid]) -> Markets:
    markets = markets_of(LINEAR, SECOND)
    for symbol, hours in sorted(tape, key=lambda each: each[1]):
        event = FundingPaid(symbol, hours - 100, hours * 10**8, START_MS + hours * HOUR_MS)
        markets.by_symbol[symbol].apply(event)
    return markets


def hours_of(rows: Any) -> list[Paid]:
    return [(row["symbol"], (row["fundingTime"] - START_MS) // HOUR_MS) for row in rows]


@covers(RATE)
@given(
    tape=paid_times,
    symbol=st.sampled_from([None, "BTCUSDT", "ETHUSDT"]),
    start=st.none() | hours_after,
    length=st.none() | hours_after,
    limit=st.none() | st.integers(1, 70),
)
def test_a_window_of_fundings_is_cut_from_all_of_them(
    tape: list[Paid], symbol: str | None, start: int | None, length: int | None, limit: int | None
) -> None:
    markets = paid(tape)
    end = None if length is None else (start or 0) + length
    every = hours_of(get(markets, RATE, limit=1000))
    assert sorted(every) == sorted(tape)
    assert [hours for _, hours in every] == sorted(hours for _, hours in tape), "oldest first"
    own = [each for each in every if symbol in {None, each[0]}]
    requested: dict[str, object] = {
        "symbol": symbol,
        "startTime": None if start is None else START_MS + start * HOUR_MS,
        "endTime": None if end is None else START_MS + end * HOUR_MS,
        "limit": limit,
    }
    expected = window(own, lambda each: each[1], start, end, limit or 100)
    assert hours_of(get(markets, RATE, **requested)) == expected


def test_without_times_and_limit_linear_contracts_list_two_hundred() -> None:
    linear = paid([("BTCUSDT", hours) for hours in range(250)])
    assert len(hours_of(get(linear, RATE, symbol="BTCUSDT"))) == 200
    assert len(hours_of(get(linear, RATE))) == 200
    assert len(hours_of(get(linear, RATE, symbol="BTCUSDT", startTime=START_MS))) == 100
    coin = markets_of(INVERSE)
    for hours in range(250):
        event = FundingPaid("BTCUSD_PERP", 1, 1, START_MS + hours * HOUR_MS)
        coin.by_symbol["BTCUSD_PERP"].apply(event)
    assert len(hours_of(get(coin, RATE, symbol="BTCUSD_PERP"))) == 100


@pytest.mark.parametrize("profile", [P2026Q1, CURRENT])
@pytest.mark.parametrize("instrument", [LINEAR, INVERSE])
def test_a_payment_before_november_2023_has_no_mark_price(
    instrument: Instrument, profile: Profile
) -> None:
    markets = markets_of(instrument, profile=profile)
    for time_ms in (MARKED_SINCE_MS - 1, MARKED_SINCE_MS):
        event = FundingPaid(instrument.symbol, 1, 6_500_000_000_000, time_ms)
        markets.by_symbol[instrument.symbol].apply(event)
    rows: Any = get(markets, RATE, symbol=instrument.symbol)
    has_marks = instrument is LINEAR or profile is CURRENT
    marks = ["", "65000.00000000"] if has_marks else [None, None]
    assert [row.get("markPrice") for row in rows] == marks


def test_funding_requests_of_usdm_have_an_allowance_and_no_weight() -> None:
    for path in (RATE, INFO):
        assert by_path(USDM, path).weigh({}) == 0
        assert by_path(USDM, path).allowance == "funding"
        assert by_path(COINM, path).weigh({}) == 1
        assert by_path(COINM, path).allowance is None
