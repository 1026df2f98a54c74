"""Responses about indices and margin assets are the latest published values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from coverage_of import covers
from exact import exact
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from request_markets import INVERSE, LINEAR, OTHER_PAIR, SECOND, START_MS, get
from sample_markets import COMPOSITE
from stage import BTCUSD_260626, asset_index, open_plant

from tickerplant.errors import RequestError
from tickerplant.events import (
    AssetIndex,
    CompositeIndex,
    CompositePart,
    IndexBasket,
    IndexConstituent,
)
from tickerplant.instrument import Instrument
from tickerplant.profile import CURRENT, PROFILES, Profile

ONE = 10**8
OTHER_COMPOSITE = structs.replace(COMPOSITE, symbol="TOPUSDT", pair="TOPUSDT", base_asset="TOP")
SETTLEMENT_ASSETS = ("BTCUSD", "ETHUSD", "BNBUSD", "SOLUSD")
"""Published since the venues were merged."""
NOT_TOLD = 503

profiles = st.sampled_from(list(PROFILES.values()))
words = st.text("abcdefghij-/", min_size=1, max_size=8)
amounts = st.integers(0, 10**15)
shares = st.integers(0, ONE)
baskets = st.lists(
    st.builds(IndexConstituent, words, words, amounts, shares), min_size=1, max_size=6
).map(tuple)
parts = st.lists(
    st.builds(CompositePart, words, st.sampled_from(["USDT", "USDC"]), amounts, shares, amounts),
    min_size=1,
    max_size=6,
).map(tuple)
NUMBERS = [field for field in AssetIndex.__struct_fields__ if field not in {"symbol", "time_ms"}]
asset_numbers = st.fixed_dictionaries(dict.fromkeys(NUMBERS, amounts))


def listed_among(symbols: list[str]) -> st.SearchStrategy[list[str]]:
    """The next one to publish, again and again."""
    return st.lists(st.sampled_from(symbols), max_size=6)


def spots(basket: IndexBasket, *, weighed: bool) -> list[dict[str, str]]:
    return [
        {"exchange": spot.exchange, "symbol": spot.symbol}
        | ({"price": exact(spot.price), "weight": exact(spot.weight)} if weighed else {})
        for spot in basket.constituents
    ]


@covers("/v1/constituents")
@given(
    order=listed_among(["BTCUSDT", "ETHUSDT", "BTCUSD_PERP", "BTCUSD_260626", "ETHUSD_PERP"]),
    data=st.data(),
    profile=profiles,
)
def test_an_index_has_its_latest_spot_markets(
    order: list[str], data: st.DataObject, profile: Profile
) -> None:
    contracts = (LINEAR, SECOND, INVERSE, BTCUSD_260626, OTHER_PAIR)
    plant = open_plant(contracts, start_ms=START_MS, profile=profile)
    last: dict[str, IndexBasket] = {}
    for number, symbol in enumerate(order):
        last[symbol] = IndexBasket(symbol, data.draw(baskets), START_MS + 1000 * number)
        plant.publish(last[symbol])
    # COIN-M takes the pair: the contract that is never delivered responds for it.
    names = {"BTCUSDT": "BTCUSDT", "ETHUSDT": "ETHUSDT"}
    coin_names = {"BTCUSD": "BTCUSD_PERP", "ETHUSD": "ETHUSD_PERP"}
    for venue, requested in (("usdm", names), ("coinm", coin_names)):
        for name, symbol in requested.items():
            if symbol not in last:
                with pytest.raises(RequestError, match="is not known") as refused:
                    get(plant.venues[venue], "/v1/constituents", symbol=name)
                assert refused.value.status == NOT_TOLD
                continue
            assert get(plant.venues[venue], "/v1/constituents", symbol=name) == {
                "symbol": name,
                "time": last[symbol].time_ms,
                "constituents": spots(last[symbol], weighed=venue == "usdm" or profile is CURRENT),
            }


@covers("/v1/indexInfo")
@given(order=listed_among(["DEFIUSDT", "TOPUSDT"]), data=st.data())
def test_a_composite_index_has_its_latest_parts(order: list[str], data: st.DataObject) -> None:
    contracts: tuple[Instrument, ...] = (LINEAR, COMPOSITE, OTHER_COMPOSITE)
    plant = open_plant(contracts, start_ms=START_MS)
    last: dict[str, CompositeIndex] = {}
    for number, symbol in enumerate(order):
        price, time_ms = data.draw(amounts), START_MS + 1000 * number
        last[symbol] = CompositeIndex(symbol, price, data.draw(parts), time_ms)
        plant.publish(last[symbol])
    markets = plant.venues["usdm"]
    rows = [index_row(last[each.symbol]) for each in contracts if each.symbol in last]
    assert get(markets, "/v1/indexInfo") == rows
    for row in rows:
        assert get(markets, "/v1/indexInfo", symbol=row["symbol"]) == [row], "an array of one"
    for symbol in {"DEFIUSDT", "TOPUSDT"} - last.keys():
        with pytest.raises(RequestError, match="is not known") as refused:
            get(markets, "/v1/indexInfo", symbol=symbol)
        assert refused.value.status == NOT_TOLD


def index_row(index: CompositeIndex) -> dict[str, Any]:
    return {
        "symbol": index.symbol,
        "time": index.time_ms,
        "component": "baseAsset",
        "baseAssetList": [
            {
                "baseAsset": part.base_asset,
                "quoteAsset": part.quote_asset,
                "weightInQuantity": exact(part.weight_in_quantity),
                "weightInPercentage": exact(part.weight_in_percentage),
            }
            for part in index.parts
        ],
    }


@covers("/v1/assetIndex")
@given(
    order=listed_among(["ADAUSD", "USDTUSD", *SETTLEMENT_ASSETS]),
    data=st.data(),
    profile=profiles,
)
def test_a_margin_asset_has_its_latest_index(
    order: list[str], data: st.DataObject, profile: Profile
) -> None:
    plant = open_plant([LINEAR], start_ms=START_MS, profile=profile)
    last: dict[str, AssetIndex] = {}
    for number, symbol in enumerate(order):
        event = asset_index(symbol, START_MS + 1000 * number)
        last[symbol] = structs.replace(event, **data.draw(asset_numbers))
        plant.publish(last[symbol])
    markets = plant.venues["usdm"]
    rows = {
        symbol: asset_row(index)
        for symbol, index in last.items()
        if profile is CURRENT or symbol not in SETTLEMENT_ASSETS
    }
    assert get(markets, "/v1/assetIndex") == list(rows.values())
    for symbol in ("ADAUSD", "USDTUSD", *SETTLEMENT_ASSETS):
        if symbol in rows:
            assert get(markets, "/v1/assetIndex", symbol=symbol.lower()) == rows[symbol]
        else:
            with pytest.raises(RequestError, match="Invalid symbol"):
                get(markets, "/v1/assetIndex", symbol=symbol)


def asset_row(index: AssetIndex) -> Mapping[str, Any]:
    return {
        "symbol": index.symbol,
        "time": index.time_ms,
        "index": exact(index.index),
        "bidBuffer": exact(index.bid_buffer),
        "askBuffer": exact(index.ask_buffer),
        "bidRate": exact(index.bid_rate),
        "askRate": exact(index.ask_rate),
        "autoExchangeBidBuffer": exact(index.auto_exchange_bid_buffer),
        "autoExchangeAskBuffer": exact(index.auto_exchange_ask_buffer),
        "autoExchangeBidRate": exact(index.auto_exchange_bid_rate),
        "autoExchangeAskRate": exact(index.auto_exchange_ask_rate),
    }
