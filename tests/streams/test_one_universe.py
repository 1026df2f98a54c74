"""What each host sends about contracts of the other, before and since their integration."""

from __future__ import annotations

from typing import Any

import pytest
from stage import START_MS, WORLD, Listener, happen, listen, open_plant, sent_to

from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.venue import USDM

EITHER = (
    "{symbol}@markPrice",
    "{symbol}@markPrice@1s",
    "{symbol}@kline_1m",
    "{pair}_{type}@continuousKline_1m",
)
OWN = (
    "{symbol}@aggTrade",
    "{symbol}@trade",
    "{symbol}@bookTicker",
    "{symbol}@miniTicker",
    "{symbol}@ticker",
    "{symbol}@depth",
    "{symbol}@depth@0ms",
    "{symbol}@depth5",
    "{symbol}@forceOrder",
    "{pair}@indexPrice",
)
OTHER = {"usdm": "coinm", "coinm": "usdm"}
BY_SYMBOL = {each.symbol: each for each in WORLD}


def heard_on(venue: str, name: str, *, merged: bool) -> list[Any]:
    plant = open_plant(WORLD, profile=CURRENT if merged else P2026Q1)
    listener = listen(plant, name, venue)
    happen(plant)
    plant.advance(START_MS + 6000)
    return sent_to(plant, listener)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925"])
@pytest.mark.parametrize("pattern", [*EITHER, *OWN])
def test_marks_and_candles_may_be_had_on_either_host_and_nothing_else(
    pattern: str, symbol: str
) -> None:
    instrument = BY_SYMBOL[symbol]
    name = pattern.format(
        symbol=symbol.lower(),
        pair=instrument.pair.lower(),
        type=instrument.contract_type.lower(),
    )
    host = instrument.venue.name
    there = {merged: heard_on(OTHER[host], name, merged=merged) for merged in (False, True)}
    here = heard_on(host, name, merged=True)
    assert here, f"{name} sends messages on {host}"
    assert there == {False: [], True: here if pattern in EITHER else []}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925"])
def test_the_rpi_book_is_of_usdm_alone(symbol: str) -> None:
    name = f"{symbol.lower()}@rpiDepth@500ms"
    assert bool(heard_on("usdm", name, merged=True)) == (BY_SYMBOL[symbol].venue is USDM)
    plant = open_plant(WORLD, profile=CURRENT)
    listener = Listener()
    assert plant.hubs["coinm"].subscribe(listener, [name]) == {name: UNKNOWN_STREAM}
    happen(plant)
    plant.advance(START_MS + 6000)
    assert sent_to(plant, listener) == []


@pytest.mark.parametrize("name", ["btcusd@markPrice", "btcusd@markPrice@1s"])
def test_the_marks_of_a_coin_margined_pair_may_be_had_on_either_host(name: str) -> None:
    assert heard_on("usdm", name, merged=False) == []
    (first, *_) = heard_on("usdm", name, merged=True)
    assert [row["s"] for row in first] == ["BTCUSD_260626", "BTCUSD_260925", "BTCUSD_PERP"]
    assert {row["st"] for row in first} == {2}
    assert heard_on("coinm", name, merged=True)[0] == first
    assert heard_on("coinm", "btcusdt_260626@depth", merged=True) == []
