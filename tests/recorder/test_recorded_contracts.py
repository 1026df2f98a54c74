"""Which contracts a recording lists."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickerplant.messages.readers import UNREADABLE
from tickerplant.recorder.contracts import Contracts
from tickerplant.venue import COINM, USDM, Venue


def contract(symbol: str, pair: str = "", kind: str = "PERPETUAL", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "pair": pair or symbol, "contractType": kind, **more}


def answer(*contracts: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"timezone": "UTC", "symbols": contracts})


BTC = contract("BTCUSDT")
ETH = contract("ETHUSDT")
DATED = contract("BTCUSDT_260626", "BTCUSDT", "CURRENT_QUARTER")
ALL = answer(BTC, ETH, DATED)


@pytest.mark.parametrize(
    ("stream", "symbols"),
    [
        ("btcusdt@trade", ["BTCUSDT", "BTCUSDT_260626"]),
        ("btcusdt_260626@depth@100ms", ["BTCUSDT_260626"]),
        ("btcusdt_current_quarter@continuousKline_1m", ["BTCUSDT_260626"]),
        ("btcusdt_perpetual@continuousKline_1m", ["BTCUSDT"]),
        ("!bookTicker", ["BTCUSDT", "ETHUSDT", "BTCUSDT_260626"]),
        ("!miniTicker@arr", ["BTCUSDT", "ETHUSDT", "BTCUSDT_260626"]),
        ("solusdt@trade", []),
        ("tradingSession", []),
    ],
)
def test_those_that_the_streams_are_about(stream: str, symbols: list[str]) -> None:
    found = [msgspec.json.decode(raw)["symbol"] for raw in Contracts([stream], USDM).news(ALL)]
    assert found == symbols


def test_only_changed_contracts_are_returned_again_and_as_they_came() -> None:
    contracts = Contracts(["btcusdt@trade", "ethusdt@trade"], USDM)
    assert len(contracts.news(ALL)) == 3
    assert contracts.news(ALL) == ()
    odd = b'{"symbols":[ {"symbol" : "ETHUSDT", "status":"BREAK", "new": [1, 2.50]} ]}'
    (changed,) = contracts.news(odd)
    assert bytes(changed) == b'{"symbol" : "ETHUSDT", "status":"BREAK", "new": [1, 2.50]}'


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"symbols":[1]}', b"<html>", b"\xff"])
def test_what_is_no_list_of_contracts_is_not_read(text: bytes) -> None:
    with pytest.raises(UNREADABLE):
        Contracts(["btcusdt@trade"], USDM).news(text)


@pytest.mark.parametrize("name", ["nope@trade", "nope@depth@100ms", "nope@kline_1m"])
def test_a_symbol_that_is_not_listed_is_returned_once(name: str) -> None:
    contracts = Contracts([name, "nope@aggTrade", "btcusdt@trade"], USDM)
    contracts.news(ALL)
    assert contracts.unlisted() == ("NOPE",)
    contracts.news(ALL)
    assert contracts.unlisted() == ()


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        (COINM, "nope@indexPrice"),
        (COINM, "nope@markPrice"),
        (COINM, "nope_perpetual@continuousKline_1m"),
        (USDM, "nope_perpetual@continuousKline_1m"),
        (USDM, "nopeusd@assetIndex"),
        (USDM, "!bookTicker"),
        (USDM, "tradingSession"),
        (USDM, "nope@somethingNew"),
    ],
)
def test_a_name_that_may_be_no_symbol_is_not_returned(venue: Venue, name: str) -> None:
    contracts = Contracts([name], venue)
    contracts.news(ALL)
    assert contracts.unlisted() == ()
