"""binance-futures-connector: every REST method and every stream method, with base URLs changed."""

from __future__ import annotations

import importlib
import inspect
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from binance.cm_futures import CMFutures
from binance.error import ClientError
from binance.um_futures import UMFutures
from binance.websocket.cm_futures.websocket_client import CMFuturesWebsocketClient
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient

from compat.channels import INTERVALS, ReceivedStreams
from compat.endpoints import fault
from compat.trial import (
    COINM,
    REST,
    STREAM,
    USDM,
    Contracts,
    Outcome,
    Report,
    Server,
    error_text,
    listed,
    read_server,
)

LIBRARY = "binance-futures-connector"
CLIENTS = {
    USDM: (UMFutures, UMFuturesWebsocketClient, "um_futures"),
    COINM: (CMFutures, CMFuturesWebsocketClient, "cm_futures"),
}
PAUSE_S = 0.11
"""The time between two messages: the exchange takes ten a second."""

WITHDRAWN = {"blvt_kline": "leveraged tokens are gone from the exchange"}

Asked = tuple[str, dict[str, Any], str]
"""A stream method, its arguments, and the name of the stream it should subscribe to."""


def streams_of(venue: str, contracts: Contracts) -> Iterator[Asked]:
    """Yield a call of each stream method in each variant."""
    symbol, pair = contracts.perpetual.lower(), contracts.pair.lower()
    one: dict[str, Any] = {"symbol": symbol}
    yield "agg_trade", one, f"{symbol}@aggTrade"
    yield "mark_price", one | {"speed": 1}, f"{symbol}@markPrice@1s"
    for interval in INTERVALS:
        yield "kline", one | {"interval": interval}, f"{symbol}@kline_{interval}"
    for kind, of_pair in contracts.pairs.items():
        asked = {"pair": of_pair, "contractType": kind.lower(), "interval": "1m"}
        yield (
            "continuous_kline",
            asked,
            f"{of_pair}_{kind}@continuousKline_1m".lower().replace("kline_", "Kline_"),
        )
    for method, channel, everything in (
        ("mini_ticker", "miniTicker", "!miniTicker@arr"),
        ("ticker", "ticker", "!ticker@arr"),
        ("book_ticker", "bookTicker", "!bookTicker"),
    ):
        yield method, one, f"{symbol}@{channel}"
        yield method, {"symbol": None}, everything
    yield "liquidation_order", {"symbol": None}, "!forceOrder@arr"
    for name in contracts.symbols:
        yield "liquidation_order", {"symbol": name}, f"{name.lower()}@forceOrder"
    for speed in (100, 500):
        yield "diff_book_depth", one | {"speed": speed}, f"{symbol}@depth@{speed}ms"
        for level in (5, 10, 20):
            asked = one | {"level": level, "speed": speed}
            yield "partial_book_depth", asked, f"{symbol}@depth{level}@{speed}ms"
    yield from _of_usdm(contracts) if venue == USDM else _of_coinm(symbol, pair)


def _of_usdm(contracts: Contracts) -> Iterator[Asked]:
    index = contracts.composite.lower()
    yield "mark_price_all_market", {"speed": 1}, "!markPrice@arr@1s"
    yield "mark_price_all_market", {"speed": 3}, "!markPrice@arr"
    yield "composite_index", {"symbol": index}, f"{index}@compositeIndex"


def _of_coinm(symbol: str, pair: str) -> Iterator[Asked]:
    of_pair = {"pair": pair}
    yield "mark_price", {"symbol": symbol, "speed": 3}, f"{symbol}@markPrice"
    for speed, suffix in ((1, "@1s"), (3, "")):
        yield "index_price", of_pair | {"speed": speed}, f"{pair}@indexPrice{suffix}"
        yield "pair_mark_price", of_pair | {"speed": speed}, f"{pair}@markPrice{suffix}"
    for interval in INTERVALS:
        yield "index_kline", of_pair | {"interval": interval}, f"{pair}@indexPriceKline_{interval}"
        asked = {"symbol": symbol, "interval": interval}
        yield "mark_kline", asked, f"{symbol}@markPriceKline_{interval}"


def listen(report: Report, server: Server, venue: str) -> None:
    """Try every stream method."""
    client_class = CLIENTS[venue][1]
    asked = list(streams_of(venue, listed(server, venue)))
    received_streams = ReceivedStreams(stream for _, _, stream in asked)
    client = client_class(
        stream_url=f"ws://{server.address(venue)}",
        on_message=lambda _, text: received_streams.take(json.loads(text)),
        is_combined=True,
    )
    for method, arguments, _ in asked:
        getattr(client, method)(**arguments)
        time.sleep(PAUSE_S)
    received_streams.wait(server.timeout_s)
    client.stop()
    received_streams.report(report, LIBRARY, venue)
    offered = {name for name in vars(client_class) if not name.startswith("_")} - {"user_data"}
    for name in sorted(offered - {method for method, _, _ in asked}):
        report.add(LIBRARY, venue, STREAM, name, "this program does not try it yet")


def ask(report: Report, server: Server, venue: str) -> None:
    """Try every REST method of market data."""
    client_class, _, module = CLIENTS[venue]
    contracts = listed(server, venue)
    client = client_class(key="any", base_url=f"http://{server.address(venue)}")
    market = importlib.import_module(f"binance.{module}.market")
    for name, function in inspect.getmembers(market, inspect.isfunction):
        if function.__module__ != market.__name__:
            continue
        if name in WITHDRAWN:
            report.add(LIBRARY, venue, REST, name, WITHDRAWN[name], Outcome.DIFFERS)
            continue
        arguments = _arguments(name, function, contracts)
        try:
            problem = fault(name, getattr(client, name)(**arguments))
        except ClientError as error:
            problem = f"{error.status_code} {error.error_code} {error.error_message}"
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            problem = error_text(error)
        report.add(LIBRARY, venue, REST, name, problem)


def _arguments(name: str, function: Any, contracts: Contracts) -> dict[str, Any]:
    known = {
        "symbol": contracts.perpetual,
        "pair": contracts.pair,
        "interval": "1m",
        "period": "5m",
        "contractType": "PERPETUAL",
    }
    if "constituents" in name:
        known["symbol"] = contracts.pair
    if name in ("index_info", "asset_Index"):
        return {}
    parameters = inspect.signature(function).parameters
    return {
        key: known[key]
        for key in parameters
        if key in known and not (key == "pair" and "symbol" in parameters)
    }


if __name__ == "__main__":
    to, findings = read_server(), Report()
    for of_venue in CLIENTS:
        ask(findings, to, of_venue)
    with ThreadPoolExecutor() as pool:
        list(pool.map(partial(listen, findings, to), CLIENTS))
