"""Histories of a simulated market, whose connections are cut: what arrives has no hole."""

from __future__ import annotations

from typing import Any

import pytest
from consumers import carried, client_of, cut, read
from loopback import looped
from test_books import Exchange, exchange

from tickerplant import Market
from tickerplant.messages import AggregateTrade, Kline
from tickerplant.notices import Disconnected, Gap, Notice
from tickerplant.recording.timestamps import instant_ns
from tickerplant.units import HOUR_MS, MINUTE_MS, NS_PER_MS
from tickerplant.venue import COINM, USDM, Venue


@looped
async def test_candles_are_joined_across_disconnects() -> None:
    notices: list[Notice] = []
    async with exchange("BTCUSDT", intensity=0.2, quoting=0.2) as house, client_of(house) as market:
        name = Kline.of("BTCUSDT", "1m")
        klines: Any = market.stream(name, history=20, on_notice=notices.append)
        await lose_and_find(house, market, name)  # before its history came
        found = await read(klines, 20)
        for _ in range(2):
            await lose_and_find(house, market, name)
        house.go_on(1_000)
        last, _ = await market.fetch_candles("BTCUSDT", "1m", limit=2)
        while not (found[-1].is_closed and found[-1].open_time_ms == last.open_time_ms):
            found.append(await anext(klines))
    opened = [each.open_time_ms for each in found]
    assert opened == sorted(opened)
    closed = [each.open_time_ms for each in found if each.is_closed]
    assert len(closed) > 20
    assert closed == [closed[0] + number * MINUTE_MS for number in range(len(closed))]
    assert sum(isinstance(each, Disconnected) for each in notices) == 3


@pytest.mark.parametrize(("venue", "symbol"), [(USDM, "BTCUSDT"), (COINM, "BTCUSD_PERP")])
@looped
async def test_aggregate_trades_are_joined_across_disconnects(venue: Venue, symbol: str) -> None:
    notices: list[Any] = []
    async with (
        exchange(symbol, intensity=0.2, quoting=0.2) as house,
        client_of(house, venue) as market,
    ):
        name = AggregateTrade.of(symbol)
        trades: Any = market.stream(name, history=1_200, on_notice=notices.append)
        await lose_and_find(house, market, name)
        found = await read(trades, 1_200)
        for _ in range(2):
            await lose_and_find(house, market, name)
        (last,) = await market.fetch_aggregate_trades(symbol, limit=1)
        while found[-1].aggregate_id < last.aggregate_id:
            found.append(await anext(trades))
    first = found[0].aggregate_id
    assert [each.aggregate_id for each in found] == [first + n for n in range(len(found))]
    assert len(found) > 1_220
    gaps = [each for each in notices if isinstance(each, Gap)]
    assert all(gap.missing == gap.backfilled for gap in gaps), gaps
    assert sum(isinstance(each, Disconnected) for each in notices) == 3


@pytest.mark.parametrize(
    ("venue", "listed", "gone"),
    [(USDM, "BTCUSDT_260626", "BTCUSDT_240329"), (COINM, "BTCUSD_260626", "BTCUSD_240329")],
)
@pytest.mark.parametrize("limit", [10, 1_600])
@looped
async def test_candles_of_a_delivered_contract_are_found_from_anywhere(
    venue: Venue, listed: str, gone: str, limit: int
) -> None:
    first_ms, delivered_ms = (
        instant_ns("", day) // NS_PER_MS for day in ("2023-09-29T08:00Z", "2024-03-29T08:00Z")
    )
    async with exchange(listed) as house, client_of(house, venue) as market:
        first = await market.fetch_candles(gone, "1h", start="2020-01-01", limit=limit)
        last = await market.fetch_candles(gone, "1h", end="2026-01-01", limit=limit)
        assert not await market.fetch_candles(gone, "1h", start="2025-01-01", limit=limit)
        (month,) = await market.fetch_candles(gone, "1M", start="2024-02-01", limit=1)
    opened = [each.open_time_ms for each in first]
    assert opened == [first_ms + number * HOUR_MS for number in range(limit)]
    opened = [each.open_time_ms for each in last]
    assert opened == [delivered_ms - number * HOUR_MS for number in range(limit, 0, -1)]
    assert month.open_time_ms == instant_ns("", "2024-02-01") // NS_PER_MS


async def lose_and_find(house: Exchange, market: Market, name: str) -> None:
    """Let the market go on for a minute: connected, without a connection, and connected again."""
    await carried(market, name)
    house.go_on(MINUTE_MS // 3)
    await cut(house, market, lambda: house.go_on(MINUTE_MS // 3))
    await carried(market, name)
    house.go_on(MINUTE_MS // 3)
