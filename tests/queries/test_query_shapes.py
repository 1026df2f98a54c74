"""The keys of every response, their order, their types, and the numbers behind them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from request_markets import (
    LINEAR,
    SECOND,
    START_MS,
    call,
    coin_markets,
    get,
    linear_markets,
    markets_of,
    opened,
)
from stage import snapshot

from tickerplant.events import BookTicker, DepthUpdate, Trade
from tickerplant.market.markets import Markets
from tickerplant.profile import CURRENT
from tickerplant.queries import exchange_info


def words(text: str) -> list[str]:
    return text.split()


def only(response: object) -> dict[str, Any]:
    assert isinstance(response, list), "an array"
    assert len(response) == 1, "of one"
    row: dict[str, Any] = response[0]
    return row


def one(markets: Markets, path: str, **raw: object) -> dict[str, Any]:
    """Return the one row of an object (USDⓈ-M) or of an array of one (COIN-M)."""
    response = get(markets, path, **raw)
    if markets.venue.rest_always_array:
        return only(response)
    assert isinstance(response, dict), "an object for one symbol"
    return response


LINEAR_DAY = words(
    "symbol priceChange priceChangePercent weightedAvgPrice lastPrice lastQty openPrice highPrice "
    "lowPrice volume quoteVolume openTime closeTime firstId lastId count"
)
COIN_DAY = words(
    "symbol pair priceChange priceChangePercent weightedAvgPrice lastPrice lastQty openPrice "
    "highPrice lowPrice volume baseVolume openTime closeTime firstId lastId count"
)
LINEAR_INDEX = words(
    "symbol markPrice indexPrice estimatedSettlePrice lastFundingRate interestRate "
    "nextFundingTime time"
)
LINEAR_BEST = words("symbol bidPrice bidQty askPrice askQty time")


@pytest.mark.parametrize(
    ("path", "linear", "coin"),
    [
        ("/v1/ticker/24hr", LINEAR_DAY, COIN_DAY),
        ("/v1/premiumIndex", LINEAR_INDEX, ["symbol", "pair", *LINEAR_INDEX[1:]]),
        ("/v1/ticker/price", words("symbol price time"), words("symbol ps price time")),
        (
            "/v1/ticker/bookTicker",
            LINEAR_BEST,
            ["lastUpdateId", "symbol", "pair", *LINEAR_BEST[1:]],
        ),
    ],
)
def test_tickers_have_the_keys_of_their_venue_in_wire_order(
    path: str, linear: list[str], coin: list[str]
) -> None:
    assert list(one(linear_markets(), path, symbol="BTCUSDT")) == linear
    assert list(one(coin_markets(), path, symbol="BTCUSD_PERP")) == coin


@pytest.mark.parametrize(
    "path", ["/v1/ticker/24hr", "/v1/premiumIndex", "/v1/ticker/price", "/v1/ticker/bookTicker"]
)
def test_without_a_symbol_every_market_is_listed(path: str) -> None:
    for markets in (linear_markets(), coin_markets()):
        rows: Any = get(markets, path)
        assert [row["symbol"] for row in rows] == list(markets.by_symbol)
        for row in rows:
            assert one(markets, path, symbol=row["symbol"]) == row, "the same row as asked alone"


@pytest.mark.parametrize(
    "path", ["/v1/ticker/24hr", "/v1/premiumIndex", "/v1/ticker/price", "/v1/ticker/bookTicker"]
)
def test_a_pair_selects_its_contracts(path: str) -> None:
    rows: Any = get(coin_markets(), path, pair="btcusd")
    assert [row["symbol"] for row in rows] == ["BTCUSD_PERP", "BTCUSD_260626"]


def test_depth_is_the_same_by_both_transports_and_between_two_changes() -> None:
    markets = linear_markets()
    response = call(markets, "depth", symbol="BTCUSDT", limit=5)
    assert response == {
        "lastUpdateId": 1001,
        "E": START_MS,
        "T": START_MS - 3,
        "bids": [["65279.90", "4.215"], ["65279.80", "0.200"]],
        "asks": [["65280.00", "3.763"], ["65280.10", "0.002"]],
    }, "the id after the last change, which no change ever has"
    assert get(markets, "/v1/depth", symbol="BTCUSDT", limit="5") == response
    market = markets.by_symbol["BTCUSDT"]
    market.apply(DepthUpdate("BTCUSDT", 1002, 1002, 1000, [(6527990, 0)], [], START_MS))
    after: Any = call(markets, "depth", symbol="BTCUSDT")
    assert (after["lastUpdateId"], after["bids"]) == (1003, [["65279.80", "0.200"]])


def test_coin_depth_names_its_symbol_and_pair() -> None:
    response: Any = get(coin_markets(), "/v1/depth", symbol="BTCUSD_PERP", limit="5")
    assert list(response) == words("symbol pair lastUpdateId E T bids asks"), "as on the wire"
    assert (response["symbol"], response["pair"]) == ("BTCUSD_PERP", "BTCUSD")
    assert response["bids"][0] == ["652799.0", "4215"]


def test_depth_has_the_requested_number_of_levels() -> None:
    markets = linear_markets()
    bids = [(6_000_000 - n, n + 1) for n in range(1500)]
    market = markets.by_symbol["BTCUSDT"]
    market.apply(DepthUpdate("BTCUSDT", 1002, 1002, 1000, bids, [], START_MS))
    for limit, count in ((5, 5), (50, 50), (500, 500), (1000, 1000)):
        response: Any = call(markets, "depth", symbol="BTCUSDT", limit=limit)
        assert len(response["bids"]) == count
    default: Any = call(markets, "depth", symbol="BTCUSDT")
    assert len(default["bids"]) == 500, "500 levels unless asked otherwise"


def test_the_book_ticker_method_has_the_id_of_the_change() -> None:
    markets = linear_markets()
    row = {
        "lastUpdateId": 1000,
        "symbol": "BTCUSDT",
        "bidPrice": "65279.90",
        "bidQty": "4.215",
        "askPrice": "65280.00",
        "askQty": "3.763",
        "time": START_MS - 3,
    }
    response = call(markets, "ticker.book", symbol="BTCUSDT")
    assert response == row
    assert isinstance(response, dict)
    assert list(response) == list(row), "keys in wire order"
    assert call(markets, "ticker.book") == [row, row | {"symbol": "ETHUSDT"}]
    del row["lastUpdateId"]
    assert get(markets, "/v1/ticker/bookTicker", symbol="BTCUSDT") == row


def test_a_book_that_has_just_opened_has_best_prices() -> None:
    markets = markets_of(LINEAR)
    market = markets.by_symbol["BTCUSDT"]
    market.apply(snapshot(1000, [(6_527_990, 4215)], [], START_MS))
    one_sided: Any = call(markets, "ticker.book", symbol="BTCUSDT")
    assert (one_sided["bidPrice"], one_sided["askPrice"]) == ("65279.90", "0.00")
    market.apply(snapshot(1002, [(6_527_990, 4215)], [(6_528_000, 3763)], START_MS))
    response: Any = call(markets, "ticker.book", symbol="BTCUSDT")
    assert (response["lastUpdateId"], response["time"]) == (1002, START_MS)
    assert (response["bidPrice"], response["askQty"]) == ("65279.90", "3.763")


def test_a_best_price_that_is_newer_than_a_broken_book_is_known() -> None:
    markets = linear_markets()
    market = markets.by_symbol["BTCUSDT"]
    market.apply(DepthUpdate("BTCUSDT", 2000, 2001, 1999, [], [], START_MS))
    assert not market.book_live, "the update leaves a gap"
    listed: Any = call(markets, "ticker.book")
    assert [row["symbol"] for row in listed] == ["ETHUSDT"], "as old as the book that broke off"
    market.apply(BookTicker("BTCUSDT", 2001, 6527900, 1, 6528000, 1, START_MS))
    response: Any = call(markets, "ticker.book", symbol="BTCUSDT")
    assert response["lastUpdateId"] == 2001, "the source still delivers best prices"


def test_the_price_method_has_the_last_trade() -> None:
    markets = linear_markets()
    row = {"symbol": "BTCUSDT", "price": "65279.90", "time": START_MS + 1}
    assert call(markets, "ticker.price", symbol="BTCUSDT") == row
    assert get(markets, "/v2/ticker/price", symbol="BTCUSDT") == row
    assert call(markets, "ticker.price") == [row, row | {"symbol": "ETHUSDT"}]


def test_trades_are_listed_oldest_first_without_prints_off_the_book() -> None:
    markets = linear_markets()
    market = markets.by_symbol["BTCUSDT"]
    market.apply(Trade("BTCUSDT", 3, 6528000, 1, False, START_MS + 2, "INSURANCE_FUND"))
    first = {
        "id": 1,
        "price": "65280.00",
        "qty": "0.025",
        "quoteQty": "1632.00",
        "time": START_MS,
        "isBuyerMaker": False,
        "isRPITrade": False,
    }
    response: Any = get(markets, "/v1/trades", symbol="BTCUSDT")
    assert response[0] == first
    assert list(response[0]) == list(first), "keys in wire order"
    assert [row["id"] for row in response] == [1, 2]
    latest: Any = get(markets, "/v1/trades", symbol="BTCUSDT", limit="1")
    assert [row["id"] for row in latest] == [2]


def test_coin_trades_are_valued_in_the_base_coin() -> None:
    response: Any = get(coin_markets(), "/v1/trades", symbol="BTCUSD_PERP")
    assert list(response[0]) == words("id price qty baseQty time isBuyerMaker")
    assert response[0]["baseQty"] == "0.00382966", "2500 / 652800.0"


def with_aggregates() -> Markets:
    """Return a market with closed aggregates 1 to 9, 10 ms apart, of one trade each."""
    markets = markets_of(LINEAR)
    for n in range(10):
        trade = Trade("BTCUSDT", n + 1, 6528000 + n % 2, 10, n % 2 == 0, START_MS + 10 * n)
        markets.by_symbol["BTCUSDT"].apply(trade)
    return markets


def test_aggregate_trades_have_the_stream_s_letters() -> None:
    response: Any = get(with_aggregates(), "/v1/aggTrades", symbol="BTCUSDT", limit="1")
    row = {
        "a": 9,
        "p": "65280.00",
        "q": "0.010",
        "f": 9,
        "l": 9,
        "T": START_MS + 80,
        "m": True,
    }
    assert response == [row]
    assert list(response[0]) == list(row), "keys in wire order"
    later = opened(markets_of(LINEAR, profile=CURRENT))
    listed: Any = get(later, "/v1/aggTrades", symbol="BTCUSDT")
    assert list(listed[0]) == words("a p q nq f l T m"), "REST lists `nq` since June 2026"
    coin: Any = get(coin_markets(CURRENT), "/v1/aggTrades", symbol="BTCUSD_PERP")
    assert list(coin[0]) == words("a p q f l T m"), "COIN-M never does"


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"limit": "2"}, [8, 9]),
        ({"fromId": "4", "limit": "2"}, [4, 5]),
        ({"fromId": "10"}, []),
        ({"startTime": START_MS + 30, "limit": "2"}, [4, 5]),
        ({"startTime": START_MS + 30, "endTime": START_MS + 40}, [4, 5]),
        ({"endTime": START_MS + 30, "limit": "2"}, [3, 4]),
    ],
)
def test_aggregate_trades_are_searched_by_id_and_time(
    raw: dict[str, object], ids: list[int]
) -> None:
    response: Any = get(with_aggregates(), "/v1/aggTrades", symbol="BTCUSDT", **raw)
    assert [row["a"] for row in response] == ids


def test_a_candle_is_twelve_values() -> None:
    response: Any = get(linear_markets(), "/v1/klines", symbol="BTCUSDT", interval="1h")
    assert response == [
        [
            START_MS,
            "65280.00",
            "65280.00",
            "65279.90",
            "65279.90",
            "0.032",
            START_MS + 3_599_999,
            "2088.95930",
            2,
            "0.025",
            "1632.00000",
            "0",
        ]
    ]
    coin: Any = get(coin_markets(), "/v1/klines", symbol="BTCUSD_PERP", interval="1h")
    assert coin[0][5] == "32", "contracts"
    assert coin[0][7] == "0.00490197", "base coin: 2500 / 652800.0 + 700 / 652799.0"


def test_the_funding_of_a_contract_that_has_none_is_blank() -> None:
    rows: Any = get(coin_markets(), "/v1/premiumIndex", pair="BTCUSD")
    perpetual, dated = rows
    assert perpetual["markPrice"] == "65275.40000000"
    assert perpetual["lastFundingRate"] == "-0.00008125"
    assert perpetual["interestRate"] == "0.00010000"
    assert perpetual["nextFundingTime"] == 1_772_006_400_000
    assert (dated["lastFundingRate"], dated["interestRate"]) == ("", "")
    assert dated["nextFundingTime"] == 0


def test_only_contracts_that_trade_are_listed_in_the_day_of_all() -> None:
    markets = opened(markets_of(LINEAR, structs.replace(SECOND, status="SETTLING")))
    rows: Any = get(markets, "/v1/ticker/24hr")
    assert [row["symbol"] for row in rows] == ["BTCUSDT"]
    assert one(markets, "/v1/ticker/24hr", symbol="ETHUSDT")["symbol"] == "ETHUSDT"


def test_the_clock_is_the_market_s() -> None:
    assert call(linear_markets(), "ping") == {}
    assert call(linear_markets(), "time") == {"serverTime": START_MS}
    assert get(coin_markets(), "/v1/ping") == {}
    assert get(coin_markets(), "/v1/time") == {"serverTime": START_MS}


LINEAR_CONTRACT = words(
    "symbol pair contractType deliveryDate onboardDate status maintMarginPercent "
    "requiredMarginPercent baseAsset quoteAsset marginAsset pricePrecision quantityPrecision "
    "baseAssetPrecision quotePrecision underlyingType underlyingSubType triggerProtect "
    "liquidationFee marketTakeBound maxMoveOrderLimit filters orderTypes timeInForce permissionSets"
)
COIN_CONTRACT = words(
    "symbol pair contractType deliveryDate onboardDate contractStatus maintMarginPercent "
    "requiredMarginPercent baseAsset quoteAsset marginAsset pricePrecision quantityPrecision "
    "baseAssetPrecision quotePrecision underlyingType underlyingSubType triggerProtect "
    "liquidationFee marketTakeBound maxMoveOrderLimit contractSize equalQtyPrecision filters "
    "orderTypes timeInForce permissionSets"
)


def test_the_rules_of_a_linear_contract() -> None:
    info: Any = get(linear_markets(), "/v1/exchangeInfo")
    assert list(info) == words(
        "timezone serverTime futuresType rateLimits exchangeFilters assets symbols"
    )
    assert [rule["limit"] for rule in info["rateLimits"]] == [2400, 1200, 300]
    assert [asset["asset"] for asset in info["assets"]] == ["USDT"]
    contract = info["symbols"][0]
    assert list(contract) == LINEAR_CONTRACT
    assert contract["underlyingSubType"] == ["PoW"]
    assert contract["filters"] == [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "556.80",
            "maxPrice": "4529764",
            "tickSize": "0.10",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def test_the_rules_of_a_coin_contract() -> None:
    info: Any = get(coin_markets(), "/v1/exchangeInfo")
    assert list(info) == words("timezone serverTime rateLimits exchangeFilters symbols")
    assert [rule["limit"] for rule in info["rateLimits"]] == [2400, 1200]
    perpetual, dated, other = info["symbols"]
    assert list(perpetual) == COIN_CONTRACT
    assert (perpetual["contractSize"], other["contractSize"]) == (100, 10)
    assert perpetual["deliveryDate"] == 4_133_404_800_000, "a perpetual is never delivered"
    assert (dated["contractType"], dated["deliveryDate"]) == ("CURRENT_QUARTER", 1_782_460_800_000)
    assert [each["filterType"] for each in perpetual["filters"]] == words(
        "PRICE_FILTER LOT_SIZE MARKET_LOT_SIZE MAX_NUM_ORDERS MAX_NUM_ALGO_ORDERS PERCENT_PRICE"
    )


def test_the_rules_are_made_once_for_the_same_instruments() -> None:
    exchange_info.encoded_symbols.cache_clear()
    markets = linear_markets()
    get(markets, "/v1/exchangeInfo")
    get(markets, "/v1/exchangeInfo")
    assert exchange_info.encoded_symbols.cache_info().misses == 1
