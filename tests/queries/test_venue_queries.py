"""Responses about funds, risks, sessions and settlements are the published values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given, settings
from hypothesis import strategies as st
from request_markets import LINEAR, SECOND, START_MS, get
from stage import BTCUSDT_260626, open_plant

from tickerplant.errors import RequestError
from tickerplant.events import Delivered, InsuranceFund, Positioning
from tickerplant.market.markets import RETAINED_DELIVERIES
from tickerplant.market.sessions import Session, session
from tickerplant.profile import CURRENT, PROFILES, Profile
from tickerplant.units import DAY_MS
from tickerplant.venue import COINM, USDM, Venue

CONTRACTS = (LINEAR, SECOND, BTCUSDT_260626)
SYMBOLS = [each.symbol for each in CONTRACTS]
ONE = 10**8
NOT_TOLD = 503
DOCUMENTED = {"LOW": "low", "MIDDLE": "medium", "HIGH": "high", "EXTREMELY_HIGH": "high"}
OF_DOCUMENTED = {"low": "LOW", "medium": "MIDDLE", "high": "HIGH"}
HALF_HOUR_MS = 1_800_000

assets = st.sampled_from(["USDT", "USDC", "BTC", "BNB"])
balances = st.dictionaries(assets, st.integers(-(10**17), 10**17), max_size=4)


@covers("/v1/insuranceBalance")
@given(
    shared=st.lists(st.sampled_from(["major", "other"]), min_size=3, max_size=3),
    reported=st.lists(st.tuples(st.sampled_from(["major", "other"]), balances), max_size=6),
)
def test_a_fund_has_its_latest_balances_and_serves_all_its_contracts(
    shared: list[str], reported: list[tuple[str, dict[str, int]]]
) -> None:
    plant = open_plant(CONTRACTS, start_ms=START_MS)
    members = {
        fund: tuple(symbol for symbol, its in zip(SYMBOLS, shared, strict=True) if its == fund)
        for fund in ("major", "other")
    }
    last: dict[str, InsuranceFund] = {}
    for number, (fund, amounts) in enumerate(reported):
        if members[fund]:
            held = tuple(amounts.items())
            last[fund] = InsuranceFund(fund, members[fund], held, START_MS + number)
            plant.publish(last[fund])
    markets = plant.venues["usdm"]
    rows: Any = get(markets, "/v1/insuranceBalance")
    assert len(rows) == len(last)
    for row, event in zip(rows, last.values(), strict=True):
        assert row["symbols"] == list(event.symbols)
        assert [each["asset"] for each in row["assets"]] == [asset for asset, _ in event.balances]
        for each, (_, amount) in zip(row["assets"], event.balances, strict=True):
            text = each["marginBalance"]
            assert Decimal(text) * ONE == amount
            assert "." not in text or not text.endswith(("0", ".")), "no trailing zeros"
            assert each["updateTime"] == event.time_ms
    by_contract = {symbol: row for row in rows for symbol in row["symbols"]}
    for symbol in SYMBOLS:
        if symbol in by_contract:
            assert get(markets, "/v1/insuranceBalance", symbol=symbol) == by_contract[symbol]
        else:
            with pytest.raises(RequestError, match=f"The insurance fund of {symbol}") as refused:
                get(markets, "/v1/insuranceBalance", symbol=symbol)
            assert refused.value.status == NOT_TOLD


@covers("/v1/symbolAdlRisk")
@given(
    reported=st.lists(
        st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(sorted(DOCUMENTED))), max_size=8
    )
)
def test_the_risk_of_deleveraging_is_the_latest(
    reported: list[tuple[str, str]],
) -> None:
    plant = open_plant(CONTRACTS, start_ms=START_MS)
    last: dict[str, dict[str, Any]] = {}
    for number, (symbol, risk) in enumerate(reported):
        time_ms = START_MS + 5000 * number
        plant.advance(time_ms)
        plant.publish(Positioning(symbol, 1000 + number, 5800, 5600, 5200, risk, time_ms))
        last[symbol] = {"symbol": symbol, "adlRisk": DOCUMENTED[risk], "updateTime": time_ms}
    markets = plant.venues["usdm"]
    rows = [last[symbol] for symbol in SYMBOLS if symbol in last]
    assert get(markets, "/v1/symbolAdlRisk") == rows
    for row in rows:
        assert get(markets, "/v1/symbolAdlRisk", symbol=row["symbol"]) == row
    for symbol in SYMBOLS:
        if symbol not in last:
            with pytest.raises(RequestError, match=f"The open interest of {symbol} is not known"):
                get(markets, "/v1/symbolAdlRisk", symbol=symbol)


@covers("/v1/symbolAdlRisk")
@given(
    reported=st.lists(
        st.tuples(st.integers(1, 3_000), st.sampled_from([*DOCUMENTED, *OF_DOCUMENTED])),
        min_size=1,
        max_size=12,
    ),
    later_s=st.integers(0, 5_000),
)
def test_the_risk_of_deleveraging_is_that_of_the_last_half_hour_by_now(
    reported: list[tuple[int, str]], later_s: int
) -> None:
    plant = open_plant([LINEAR], start_ms=START_MS, profile=CURRENT)
    rows: list[tuple[int, str]] = []
    now_ms = START_MS
    for gap_s, risk in reported:
        now_ms += gap_s * 1_000
        plant.advance(now_ms)
        plant.publish(Positioning(LINEAR.symbol, 1_000, 5_800, 5_600, 5_200, risk, now_ms))
        rows.append((now_ms, risk))
    now_ms += later_s * 1_000
    plant.advance(now_ms)
    half_hour_ms = now_ms // HALF_HOUR_MS * HALF_HOUR_MS
    by_then = [risk for time_ms, risk in rows if time_ms <= half_hour_ms]
    risk = by_then[-1] if by_then else rows[0][1]  # the source may have begun after it
    got: Any = get(plant.venues["usdm"], "/v1/symbolAdlRisk", symbol=LINEAR.symbol)
    assert got == {
        "symbol": LINEAR.symbol,
        "adlRisk": OF_DOCUMENTED.get(risk, risk),
        "updateTime": half_hour_ms,
    }


@covers("/v1/tradingSchedule")
@given(later_ms=st.integers(0, 400 * DAY_MS), profile=st.sampled_from(list(PROFILES.values())))
@settings(max_examples=15)
def test_a_schedule_is_every_session_from_the_day_before_for_a_week(
    later_ms: int, profile: Profile
) -> None:
    now_ms = START_MS + later_ms
    plant = open_plant([LINEAR], start_ms=now_ms, profile=profile)
    response: Any = get(plant.venues["usdm"], "/v1/tradingSchedule")
    assert response["updateTime"] == now_ms
    assert list(response["marketSchedules"]) == list(profile.session_markets)
    for name, schedule in response["marketSchedules"].items():
        assert schedule["sessions"] == [
            {"startTime": each.start_ms, "endTime": each.end_ms, "type": each.kind}
            for each in sessions(name, now_ms - DAY_MS, now_ms + 6 * DAY_MS)
        ]


def sessions(market: str, first_ms: int, last_ms: int) -> list[Session]:
    """Consecutive sessions from that of `first_ms` that begin before the end."""
    found = [session(market, first_ms)]
    while found[-1].end_ms < last_ms:
        found.append(session(market, found[-1].end_ms))
    return found


@covers("/futures/data/delivery-price")
@given(
    settled=st.lists(
        st.tuples(
            st.sampled_from([USDM, COINM]),
            st.sampled_from(["BTCUSDT", "ETHUSDT"]),
            st.integers(1, 10**14),
        ),
        max_size=12,
    ),
    more=st.sampled_from([0, 0, RETAINED_DELIVERIES - 3, RETAINED_DELIVERIES + 5]),
)
def test_settlements_of_a_pair_are_listed_latest_first_up_to_a_bound(
    settled: list[tuple[Venue, str, int]], more: int
) -> None:
    plant = open_plant(CONTRACTS, start_ms=START_MS)
    listed: dict[str, list[dict[str, Any]]] = {"BTCUSDT": [], "ETHUSDT": []}
    for number, (venue, pair, price) in enumerate([*settled, *[(USDM, "BTCUSDT", ONE)] * more]):
        time_ms = START_MS + number * 90 * DAY_MS
        plant.publish(Delivered(venue, f"{pair}_{number}", pair, price, time_ms))
        if venue is USDM:
            listed[pair].append({"deliveryTime": time_ms, "deliveryPrice": price / ONE})
    for pair, rows in listed.items():
        response = get(plant.venues["usdm"], "/futures/data/delivery-price", pair=pair)
        assert response == rows[::-1][:RETAINED_DELIVERIES]
