from __future__ import annotations

import pytest
from msgspec import structs
from stage import (
    BTCUSD_260626,
    BTCUSD_PERP,
    BTCUSDT,
    BTCUSDT_260626,
    ETHUSDT,
    START_MS,
)

from tickerplant.events import AssetIndex, Delivered, InsuranceFund
from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.market.markets import RETAINED_DELIVERIES, Markets
from tickerplant.market.timers import Timers
from tickerplant.profile import P2026Q1
from tickerplant.venue import COINM, USDM, Venue

BTCUSD_260925 = structs.replace(
    BTCUSD_260626,
    symbol="BTCUSD_260925",
    contract_type="NEXT_QUARTER",
    delivery_date_ms=BTCUSD_260626.delivery_date_ms + 91 * 86_400_000,
)


def open_market(instrument: Instrument) -> Market:
    return Market(instrument, P2026Q1, Timers(START_MS), lambda _, __: None, lambda _, __: True)


def opened(venue: Venue, *instruments: Instrument) -> Markets:
    markets = Markets(venue, P2026Q1, Timers(START_MS))
    for each in instruments:
        markets.add(open_market(each))
    return markets


@pytest.fixture
def usdm() -> Markets:
    return opened(USDM, BTCUSDT, ETHUSDT, BTCUSDT_260626)


@pytest.fixture
def coinm() -> Markets:
    return opened(COINM, BTCUSD_PERP, BTCUSD_260925, BTCUSD_260626)


def symbols(markets: list[Market]) -> list[str]:
    return [market.symbol for market in markets]


def test_markets_come_in_the_order_of_their_listing(usdm: Markets) -> None:
    assert symbols(list(usdm)) == ["BTCUSDT", "ETHUSDT", "BTCUSDT_260626"]
    assert len(usdm) == 3
    assert usdm.now_ms == START_MS


def test_a_merged_universe_lists_the_other_venue_too(usdm: Markets, coinm: Markets) -> None:
    assert symbols(usdm.universe) == symbols(list(usdm))
    assert usdm.find_in_universe("BTCUSD_PERP") is None
    usdm.others = (coinm,)
    assert symbols(usdm.universe) == symbols([*usdm, *coinm])
    assert usdm.find_in_universe("BTCUSD_PERP") is coinm.by_symbol["BTCUSD_PERP"]
    assert usdm.find_in_universe("BTCUSDT") is usdm.by_symbol["BTCUSDT"]
    assert usdm.find_in_universe("NOSUCH") is None
    assert len(usdm) == 3, "its own markets are as many as before"


def test_the_markets_of_a_pair_end_with_the_perpetual_one(coinm: Markets) -> None:
    assert symbols(coinm.of_pair("BTCUSD")) == ["BTCUSD_260626", "BTCUSD_260925", "BTCUSD_PERP"]
    assert coinm.of_pair("BTCUSDT") == []


def test_a_contract_is_found_by_what_it_is_now(coinm: Markets) -> None:
    for kind, symbol in (
        ("PERPETUAL", "BTCUSD_PERP"),
        ("CURRENT_QUARTER", "BTCUSD_260626"),
        ("NEXT_QUARTER", "BTCUSD_260925"),
    ):
        found = coinm.contract("BTCUSD", kind)
        assert found is not None
        assert found.symbol == symbol
    assert coinm.contract("ETHUSD", "PERPETUAL") is None


def test_the_contracts_of_a_pair_follow_every_change(coinm: Markets) -> None:
    assert coinm.contract("BTCUSD", "CURRENT_QUARTER") is coinm.by_symbol["BTCUSD_260626"]
    coinm.remove("BTCUSD_260626")
    assert coinm.contract("BTCUSD", "CURRENT_QUARTER") is None
    assert symbols(coinm.of_pair("BTCUSD")) == ["BTCUSD_260925", "BTCUSD_PERP"]
    next_quarter = coinm.by_symbol["BTCUSD_260925"]
    next_quarter.instrument = structs.replace(next_quarter.instrument, pair="ETHUSD")
    coinm.contract_changed(next_quarter)
    assert symbols(coinm.of_pair("BTCUSD")) == ["BTCUSD_PERP"]
    assert symbols(coinm.of_pair("ETHUSD")) == ["BTCUSD_260925"]
    coinm.add(open_market(BTCUSD_260626))
    assert symbols(coinm.of_pair("BTCUSD")) == ["BTCUSD_260626", "BTCUSD_PERP"]
    coinm.clear()
    assert coinm.of_pair("BTCUSD") == []


def test_settlements_of_a_pair_are_remembered_up_to_a_bound(coinm: Markets) -> None:
    settled = [
        Delivered(COINM, f"BTCUSD_{n}", "BTCUSD", n, START_MS + n)
        for n in range(RETAINED_DELIVERIES + 5)
    ]
    for each in settled:
        coinm.add_delivery(each)
    assert coinm.settlements("BTCUSD") == settled[5:], "the oldest are forgotten"
    assert coinm.settlements("ETHUSD") == []


def test_the_latest_index_and_fund_are_known(usdm: Markets) -> None:
    for index in (1, 2):
        usdm.asset_indices["BTCUSD"] = AssetIndex("BTCUSD", index, 0, 0, 0, 0, 0, 0, 0, 0, START_MS)
        usdm.insurance_funds["BTCUSDT"] = InsuranceFund(
            "BTCUSDT", ("BTCUSDT",), (("BTC", index),), START_MS
        )
    assert {symbol: each.index for symbol, each in usdm.asset_indices.items()} == {"BTCUSD": 2}
    assert usdm.insurance_funds["BTCUSDT"].balances == (("BTC", 2),)
