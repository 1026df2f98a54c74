"""Histories of a simulated market, whose connections are cut: what arrives has no hole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from loopback import looped
from programs import COINM, USDM, Addresses, serving

import tickerplant
from tickerplant.control.client import ControlClient
from tickerplant.messages import AggregateTrade, Candle, Kline, Trade
from tickerplant.notices import Disconnected, Gap, Notice
from tickerplant.units import MINUTE_MS

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    arguments = ("--symbols", "BTCUSDT,BTCUSD_PERP", "--seed", "5", "--speed", "60")
    with serving("simulate", *arguments) as found:
        yield found


def market_at(address: str, venue: Any = "usdm") -> tickerplant.Market:
    return tickerplant.connect(venue, base_url=f"ws://{address}")


async def cut(address: str) -> None:
    """Reset the connections of all clients."""
    with closing(ControlClient(f"http://{address}")) as control:
        await asyncio.to_thread(control.add_fault, {"kind": "reset"})


@looped
async def test_candles_are_joined_across_disconnects(addresses: Addresses) -> None:
    notices: list[Notice] = []
    opened: list[int] = []
    closed: list[int] = []
    async with market_at(addresses[USDM]) as market:
        name = Kline.of("BTCUSDT", "1m")
        async for kline in market.stream(name, history=20, on_notice=notices.append):
            opened.append(kline.open_time_ms)
            if kline.is_closed:
                closed.append(kline.open_time_ms)
                if len(closed) in {20, 21, 22}:  # of the past, at its end, and of the stream
                    await cut(addresses[USDM])
            if len(closed) > 23 and _count(notices, Disconnected) >= 2:
                break
    assert opened == sorted(opened)
    assert closed == [closed[0] + number * MINUTE_MS for number in range(len(closed))]


@pytest.mark.parametrize(
    ("venue", "host", "symbol"), [("usdm", USDM, "BTCUSDT"), ("coinm", COINM, "BTCUSD_PERP")]
)
@looped
async def test_aggregate_trades_are_joined_across_disconnects(
    addresses: Addresses, venue: str, host: str, symbol: str
) -> None:
    notices: list[Notice] = []
    ids: list[int] = []
    async with market_at(addresses[host], venue) as market:
        name = AggregateTrade.of(symbol)
        async for trade in market.stream(name, history=1_200, on_notice=notices.append):
            ids.append(trade.aggregate_id)
            if len(ids) in {1_200, 1_300, 1_400}:
                await cut(addresses[host])
            if len(ids) > 1_500 and _count(notices, Disconnected) >= 2:
                break
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    gaps = [each for each in notices if isinstance(each, Gap)]
    assert all(gap.missing == gap.backfilled for gap in gaps), gaps


@pytest.mark.sockets
def test_typed_rest_of_a_simulation(addresses: Addresses) -> None:
    with tickerplant.blocking.connect(base_url=f"ws://{addresses[USDM]}") as market:
        candles: list[Candle] = market.fetch_candles("BTCUSDT", "1h", limit=48)
        times = [candle.open_time_ms for candle in candles]
        assert times == [times[0] + number * 60 * MINUTE_MS for number in range(48)]
        assert [candle.is_closed for candle in candles[:-1]] == [True] * 47
        (rate,) = market.fetch_funding_rates("BTCUSDT", limit=1)
        assert float(rate.mark_price) > 0
        (instrument,) = market.fetch_instruments()
        assert float(instrument.tick_size) > 0
        assert len(market.fetch_depth("BTCUSDT", limit=5).bids) == 5
        trades: list[Trade] = market.fetch_trades("BTCUSDT", limit=10)
        assert [trade.symbol for trade in trades] == ["BTCUSDT"] * 10


def _count(notices: list[Notice], kind: type[Notice]) -> int:
    return sum(isinstance(each, kind) for each in notices)
