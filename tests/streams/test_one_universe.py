"""What each host sends about contracts of the other, before and since their integration."""

from __future__ import annotations

from typing import Any

import pytest
from stage import START_MS, WORLD, Listener, happen, listen, open_plant, sent_to

from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.venue import USDM

ALL = (
    "!miniTicker@arr",
    "!ticker@arr",
    "!bookTicker",
    "!forceOrder@arr",
    "!contractInfo",
    "!markPrice@arr",
    "!markPrice@arr@1s",
)
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


def symbols(messages: list[Any]) -> set[str]:
    rows = [row for each in messages for row in (each if isinstance(each, list) else [each])]
    return {row["o"]["s"] if row["e"] == "forceOrder" else row["s"] for row in rows}


@pytest.mark.parametrize("venue", OTHER)
@pytest.mark.parametrize("name", ALL)
def test_streams_of_all_symbols_are_of_both_venues_since_the_integration(
    name: str, venue: str
) -> None:
    own = {each.symbol for each in WORLD if each.venue.name == venue}
    assert symbols(heard_on(venue, name, merged=False)) == own
    assert symbols(heard_on(venue, name, merged=True)) == set(BY_SYMBOL)


@pytest.mark.parametrize("name", ALL)
def test_both_hosts_send_the_same_about_all_symbols(name: str) -> None:
    by_host = [
        sorted(map(str, (row for each in heard_on(venue, name, merged=True) for row in rows(each))))
        for venue in OTHER
    ]
    if name == "!bookTicker":
        by_host = [sorted({row.partition("'E'")[0] for row in host}) for host in by_host]
    assert by_host[0] == by_host[1]


def rows(message: Any) -> list[Any]:
    return message if isinstance(message, list) else [message]


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
