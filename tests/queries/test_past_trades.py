"""Past trades are paged by their ids, aggregates by ids and by times."""

from __future__ import annotations

from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given, settings
from hypothesis import strategies as st
from request_markets import LINEAR, START_MS, by_path, coin_markets, get
from stage import open_plant, trade

from tickerplant.market.markets import Markets
from tickerplant.venue import COINM, USDM

HISTORICAL = "/v1/historicalTrades"
AGGREGATES = "/v1/aggTrades"


def traded(count: int) -> Markets:
    """Return a market in which the trades 1 to `count` were 70 ms apart, three at a price."""
    plant = open_plant([LINEAR], start_ms=START_MS)
    for number in range(count):
        plant.advance(START_MS + 70 * number)
        plant.publish(
            trade(number + 1, START_MS + 70 * number, 6_528_000 + number // 3 % 2, sold=True)
        )
    plant.advance(START_MS + 70 * count + 100)
    return plant.venues["usdm"]


@covers(HISTORICAL)
@given(count=st.integers(1, 400), limit=st.integers(1, 60))
@settings(max_examples=20)
def test_pages_by_id_are_all_the_trades_in_order(count: int, limit: int) -> None:
    markets = traded(count)
    seen: list[int] = []
    while True:
        page: Any = get(markets, HISTORICAL, symbol="BTCUSDT", fromId=len(seen) + 1, limit=limit)
        if not page:
            break
        assert len(page) <= limit
        seen += [row["id"] for row in page]
    assert seen == list(range(1, count + 1))


def test_without_an_id_they_are_the_last_ones() -> None:
    markets = traded(700)
    last: Any = get(markets, HISTORICAL, symbol="BTCUSDT")
    assert [row["id"] for row in last] == list(range(601, 701)), "100 unless asked otherwise"
    assert last == get(markets, "/v1/trades", symbol="BTCUSDT", limit=100)
    most: Any = get(markets, HISTORICAL, symbol="BTCUSDT", limit=500)
    assert len(most) == 500
    coin: Any = get(coin_markets(), HISTORICAL, symbol="BTCUSD_PERP")
    assert list(coin[0]) == ["id", "price", "qty", "baseQty", "time", "isBuyerMaker"]


def test_only_old_trades_need_a_key() -> None:
    for venue in (USDM, COINM):
        assert by_path(venue, HISTORICAL).requires_key
        assert not by_path(venue, "/v1/trades").requires_key
        assert not by_path(venue, AGGREGATES).requires_key


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_aggregates_are_paged_by_id_and_by_time_alike(limit: int) -> None:
    markets = traded(300)
    every: Any = get(markets, AGGREGATES, symbol="BTCUSDT", limit=1000)
    assert every[0]["f"] == 1, "from the first trade"
    assert every[-1]["l"] == 300, "to the last"

    by_id: list[Any] = []
    while page := page_of(markets, fromId=len(by_id) + 1, limit=limit):
        by_id += page
    assert by_id == every

    by_time: list[Any] = []
    start_ms = START_MS
    while page := page_of(markets, startTime=start_ms, limit=limit):
        by_time += page
        start_ms = page[-1]["T"] + 1
    assert by_time == every


def page_of(markets: Markets, **raw: object) -> list[Any]:
    page: Any = get(markets, AGGREGATES, symbol="BTCUSDT", **raw)
    return list(page)
