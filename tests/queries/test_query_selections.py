"""What a request selects: contracts of a pair, levels of a book, aggregates by id and time."""

from __future__ import annotations

from typing import Any

import pytest
from request_markets import (
    LINEAR,
    START_MS,
    call,
    coin_markets,
    get,
    linear_markets,
    markets_of,
)
from stage import snapshot

from tickerplant.events import BookTicker, DepthUpdate, Trade
from tickerplant.market.markets import Markets
from tickerplant.queries import exchange_info


@pytest.mark.parametrize(
    "path", ["/v1/ticker/24hr", "/v1/premiumIndex", "/v1/ticker/price", "/v1/ticker/bookTicker"]
)
def test_a_pair_selects_its_contracts(path: str) -> None:
    rows: Any = get(coin_markets(), path, pair="btcusd")
    assert [row["symbol"] for row in rows] == ["BTCUSD_PERP", "BTCUSD_260626"]


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


def with_aggregates() -> Markets:
    """Return a market with closed aggregates 1 to 9, 10 ms apart, of one trade each."""
    markets = markets_of(LINEAR)
    for n in range(10):
        trade = Trade("BTCUSDT", n + 1, 6528000 + n % 2, 10, n % 2 == 0, START_MS + 10 * n)
        markets.by_symbol["BTCUSDT"].apply(trade)
    return markets


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


def test_the_rules_are_made_once_for_the_same_instruments() -> None:
    exchange_info.encoded_symbols.cache_clear()
    markets = linear_markets()
    get(markets, "/v1/exchangeInfo")
    get(markets, "/v1/exchangeInfo")
    assert exchange_info.encoded_symbols.cache_info().misses == 1
