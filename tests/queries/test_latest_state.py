"""Responses about indices, assets, funds and sessions are the latest published state."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from request_markets import START_MS, by_path, coin_markets, get, linear_markets
from sample_markets import INSTRUMENTS, sample_markets
from stage import open_plant

from tickerplant.errors import RequestError
from tickerplant.events import Delivered, InsuranceFund
from tickerplant.market.sessions import session
from tickerplant.profile import CURRENT, P2026Q1, PROFILES, Profile
from tickerplant.units import DAY_MS
from tickerplant.venue import COINM, USDM


def test_an_index_price_is_the_weighted_mean_of_its_spot_markets() -> None:
    response: Any = get(sample_markets(USDM), "/v1/constituents", symbol="btcusdt")
    spots = response["constituents"]
    assert [spot["exchange"] for spot in spots] == ["coinbase", "kraken"]
    assert sum(Fraction(spot["weight"]) for spot in spots) == 1
    mean = sum(Fraction(spot["weight"]) * Fraction(spot["price"]) for spot in spots)
    assert mean == Fraction("65290.2")


def test_coin_indices_are_requested_by_pair_and_weighted_since_june_2026() -> None:
    for profile in PROFILES.values():
        response: Any = get(sample_markets(COINM, profile), "/v1/constituents", symbol="BTCUSD")
        assert response["symbol"] == "BTCUSD"
        keys = ["exchange", "symbol"] + (["price", "weight"] if profile is CURRENT else [])
        assert all(list(spot) == keys for spot in response["constituents"])
    with pytest.raises(RequestError, match="Invalid pair") as refused:
        get(sample_markets(COINM), "/v1/constituents", symbol="BTCUSD_PERP")
    assert refused.value.code == -4087


def test_only_composite_indices_have_parts() -> None:
    markets = sample_markets(USDM)
    every: Any = get(markets, "/v1/indexInfo")
    assert [row["symbol"] for row in every] == ["DEFIUSDT"]
    assert get(markets, "/v1/indexInfo", symbol="DEFIUSDT") == every, "an array of one"
    with pytest.raises(RequestError, match="Invalid symbol"):
        get(markets, "/v1/indexInfo", symbol="BTCUSDT")


def test_a_composite_index_is_made_of_no_spot_markets() -> None:
    with pytest.raises(RequestError, match="Invalid symbol") as refused:
        get(sample_markets(USDM), "/v1/constituents", symbol="DEFIUSDT")
    assert (refused.value.code, refused.value.status) == (-1121, 400), "for good, not for now"


def test_margin_assets_are_the_quote_asset_and_the_assets_with_an_index() -> None:
    for profile in (P2026Q1, CURRENT):
        markets = sample_markets(USDM, profile)
        info: Any = get(markets, "/v1/exchangeInfo")
        indices: Any = get(markets, "/v1/assetIndex")
        indexed = [row["symbol"].removesuffix("USD") for row in indices]
        assert [row["asset"] for row in info["assets"]] == ["USDT", *indexed]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_settlement_assets_have_indices_since_june_2026(profile: Profile) -> None:
    markets = sample_markets(USDM, profile)
    every: Any = get(markets, "/v1/assetIndex")
    symbols = [row["symbol"] for row in every]
    assert symbols == (["ADAUSD", "BTCUSD"] if profile is CURRENT else ["ADAUSD"])
    for row in every:
        assert get(markets, "/v1/assetIndex", symbol=row["symbol"].lower()) == row
        index, buffer = Fraction(row["index"]), Fraction(row["bidBuffer"])
        assert abs(Fraction(row["bidRate"]) - index * (1 - buffer)) < Fraction(1, 10**7)
    absent = "NOPEUSD" if profile is CURRENT else "BTCUSD"
    with pytest.raises(RequestError, match="Invalid symbol"):
        get(markets, "/v1/assetIndex", symbol=absent)


def test_contracts_share_an_insurance_fund() -> None:
    markets = sample_markets(USDM)
    every: Any = get(markets, "/v1/insuranceBalance")
    assert [fund["symbols"] for fund in every] == [["BTCUSDT", "ETHUSDT"], ["DEFIUSDT"]]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert get(markets, "/v1/insuranceBalance", symbol=symbol) == every[0]
    with pytest.raises(RequestError, match="The insurance fund of BTCUSDT_260626 is not known"):
        get(markets, "/v1/insuranceBalance", symbol="BTCUSDT_260626")


@pytest.mark.parametrize(
    ("units", "text"),
    [(0, "0"), (10**8, "1"), (100 * 10**8, "100"), (5, "0.00000005"), (-150_000_000, "-1.5")],
)
def test_balances_have_no_trailing_zeros(units: int, text: str) -> None:
    plant = open_plant(INSTRUMENTS, start_ms=START_MS)
    plant.publish(InsuranceFund("BTCUSDT", ("BTCUSDT",), (("USDT", units),), START_MS))
    response: Any = get(plant.venues["usdm"], "/v1/insuranceBalance", symbol="BTCUSDT")
    assert response["assets"][0]["marginBalance"] == text


def test_the_risk_of_deleveraging_is_available_for_one_or_for_all() -> None:
    markets = sample_markets(USDM)
    every: Any = get(markets, "/v1/symbolAdlRisk")
    assert [row["symbol"] for row in every] == list(markets.by_symbol)
    assert get(markets, "/v1/symbolAdlRisk", symbol="BTCUSDT") == every[0]
    assert {row["adlRisk"] for row in every} == {"low"}
    assert get(linear_markets(), "/v1/symbolAdlRisk") == [], "nobody has told"


def test_settlements_are_listed_latest_first_with_prices_that_are_numbers() -> None:
    markets = sample_markets(USDM)
    assert get(markets, "/futures/data/delivery-price", pair="BTCUSDT") == [
        {"deliveryTime": START_MS - 90 * DAY_MS, "deliveryPrice": 64021.5},
        {"deliveryTime": START_MS - 180 * DAY_MS, "deliveryPrice": 61021.5},
    ]
    assert get(markets, "/futures/data/delivery-price", pair="ETHUSDT") == [], "none was dated"
    markets.add_delivery(Delivered(USDM, "X", "BTCUSDT", 1, START_MS))
    latest: Any = get(markets, "/futures/data/delivery-price", pair="BTCUSDT")
    assert latest[0] == {"deliveryTime": START_MS, "deliveryPrice": 1e-8}
    with pytest.raises(RequestError, match="Invalid pair") as refused:
        get(markets, "/futures/data/delivery-price", pair="NOPEUSDT")
    assert refused.value.code == -4144


def test_a_week_of_sessions_has_no_gap_and_holds_the_present() -> None:
    for profile in (P2026Q1, CURRENT):
        markets = sample_markets(USDM, profile)
        response: Any = get(markets, "/v1/tradingSchedule")
        assert response["updateTime"] == markets.now_ms
        assert tuple(response["marketSchedules"]) == profile.session_markets
        for name, schedule in response["marketSchedules"].items():
            sessions = schedule["sessions"]
            ends = [each["endTime"] for each in sessions]
            assert [each["startTime"] for each in sessions[1:]] == ends[:-1]
            assert ends[-1] - sessions[0]["startTime"] >= 7 * DAY_MS
            now = session(name, markets.now_ms)
            row = {"startTime": now.start_ms, "endTime": now.end_ms, "type": now.kind}
            assert row in sessions


def test_what_an_index_is_made_of_may_be_unknown() -> None:
    for markets, symbol in ((linear_markets(), "BTCUSDT"), (coin_markets(), "BTCUSD")):
        with pytest.raises(RequestError, match=f"The index composition of {symbol}") as refused:
            get(markets, "/v1/constituents", symbol=symbol)
        assert refused.value.status == 503


def test_queries_of_one_venue_do_not_exist_on_the_other() -> None:
    for path in ("indexInfo", "assetIndex", "insuranceBalance", "symbolAdlRisk", "tradingSchedule"):
        assert by_path(USDM, f"/v1/{path}").venues == (USDM,), "COIN-M has none"
