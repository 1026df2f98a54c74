"""python-binance: every futures REST method, socket and WebSocket API method, with URLs changed."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import binance
from binance import AsyncClient, BinanceSocketManager
from binance.enums import FuturesType

from compat.channels import ReceivedStreams, category_of, complaint, names
from compat.endpoints import OTHER, PARAMETERS, fault, query
from compat.trial import (
    COINM,
    REST,
    STREAM,
    USDM,
    WS_API,
    Contracts,
    Report,
    Server,
    error_text,
    listed,
    read_server,
)
from tickerplant.testing import point

LIBRARY = "python-binance"
NOTHING = "any"
"""What stands for a secret: the server looks at no signature, the library wants one to make."""
TYPES = {USDM: FuturesType.USD_M, COINM: FuturesType.COIN_M}
REQUEST = re.compile(
    r'_request_futures(_coin)?(_data)?_api\(\s*"get",\s*"([\w/-]+)"(.*)', re.DOTALL
)
"""How the library's own methods name their endpoint."""


def rest_methods() -> Iterator[tuple[str, str, str]]:
    """Yield the unsigned market-data methods: venue, name, endpoint."""
    for name, method in inspect.getmembers(AsyncClient, inspect.isfunction):
        found = REQUEST.search(inspect.getsource(method)) if name.startswith("futures_") else None
        if found is None or found[3] in OTHER or found[3] not in PARAMETERS:
            continue
        yield (COINM if found[1] else USDM), name, found[3]


async def ask_rest(report: Report, client: AsyncClient, contracts: dict[str, Contracts]) -> None:
    """Try every REST method of market data."""
    for venue, name, endpoint in rest_methods():
        try:
            arguments = query(venue, endpoint, contracts[venue])
            problem = fault(endpoint, await getattr(client, name)(**arguments))
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            problem = error_text(error)
        report.add(LIBRARY, venue, REST, name, problem)
    try:
        start_ms = contracts[USDM].now_ms - 3_600_000
        rows = await client.futures_historical_klines("BTCUSDT", "1m", start_str=start_ms)
        problem = "" if len(rows) >= 60 else f"{len(rows)} candles for an hour"
    except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
        problem = error_text(error)
    report.add(LIBRARY, USDM, REST, "futures_historical_klines", problem)


async def ask_api(report: Report, client: AsyncClient) -> None:
    """Try the public methods of the WebSocket API."""
    for name, arguments in (
        ("ws_futures_get_order_book", {"symbol": "BTCUSDT"}),
        ("ws_futures_get_all_tickers", {}),
        ("ws_futures_get_order_book_ticker", {}),
    ):
        try:
            problem = fault(name, await getattr(client, name)(**arguments))
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            problem = error_text(error)
        report.add(LIBRARY, USDM, WS_API, name, problem)


def sockets(venue: str, contracts: Contracts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the stream methods of the library that serve a venue, with arguments."""
    for name, method in inspect.getmembers(BinanceSocketManager, inspect.isfunction):
        known = {"symbol": contracts.pair if name in OF_PAIRS else contracts.perpetual}
        parameters = inspect.signature(method).parameters
        typed = "futures_type" in parameters
        of_venue = name in ONE_VENUE.get(venue, ()) or (typed and name not in ONE_TYPE)
        if name.startswith("_") or "multiplex" in name or not of_venue:
            continue
        arguments: dict[str, Any] = {key: known[key] for key in parameters if key in known}
        if typed:
            arguments["futures_type"] = TYPES[venue]
        for choice in CHOICES.get(name, ({},)):
            yield name, arguments | choice


ONE_VENUE = {
    USDM: {"futures_ticker_socket", "futures_rpi_depth_socket"},
    COINM: {"futures_coin_ticker_socket", "index_price_socket"},
}
ONE_TYPE = {"futures_rpi_depth_socket"}
OF_PAIRS = {"index_price_socket", "kline_futures_socket"}
"""The methods whose symbol is a pair."""

RAW = {"kline_futures_socket": "pair_perpetual@continuousKline_1m"}
"""The methods that use the path `/ws`, where messages do not name their stream."""

CHOICES: dict[str, tuple[dict[str, Any], ...]] = {
    "index_price_socket": ({"fast": True}, {"fast": False}),
    "symbol_mark_price_socket": ({"fast": True}, {"fast": False}),
    "all_mark_price_socket": ({"fast": True}, {"fast": False}),
    "all_ticker_futures_socket": ({"channel": "!bookTicker"}, {"channel": "!ticker@arr"}),
}


def manager_of(client: AsyncClient) -> BinanceSocketManager:
    """Return a manager for one method: two methods that name one stream would share its socket."""
    return BinanceSocketManager(client, max_queue_size=100_000)


async def listen_one(
    report: Report, manager: Any, venue: str, name: str, arguments: dict[str, Any], wait_s: float
) -> None:
    """Try one stream method: its first message must be of the stream it names."""
    shown = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "futures_type")
    try:
        async with getattr(manager, name)(**arguments) as socket:
            message = await asyncio.wait_for(socket.recv(), wait_s)
        stream = message.get("stream", RAW.get(name, ""))
        problem = complaint(stream, message.get("data", message))
    except TimeoutError:
        problem = "nothing arrived"
    except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
        problem = error_text(error)
    report.add(LIBRARY, venue, STREAM, f"{name}({shown})", problem)


async def listen_all(report: Report, manager: Any, server: Server, venue: str) -> None:
    """Try every stream there is by the method that takes any names."""
    asked = names(venue, listed(server, venue))
    received_streams = ReceivedStreams(asked)

    async def hear(category: str) -> None:
        streams = [stream for stream in asked if category_of(stream) == category]
        socket = manager.futures_multiplex_socket(streams, TYPES[venue], category)
        with suppress(TimeoutError):
            async with socket as messages, asyncio.timeout(server.timeout_s):
                while not received_streams.complete():
                    received_streams.take(await messages.recv())

    await asyncio.gather(hear("public"), hear("market"))
    for group in received_streams.groups:
        name = f"futures_multiplex_socket({group})"
        report.add(LIBRARY, venue, STREAM, name, received_streams.problem(group))


async def main() -> None:
    """Try everything the library offers of both venues."""
    server, report = read_server(), Report()
    point(binance, usdm=f"http://{server.usdm}", coinm=f"http://{server.coinm}")
    client = AsyncClient(api_key="any", api_secret=NOTHING)
    contracts = {venue: listed(server, venue) for venue in TYPES}
    await ask_rest(report, client, contracts)
    await ask_api(report, client)
    one = [
        listen_one(report, manager_of(client), venue, name, arguments, server.timeout_s)
        for venue in TYPES
        for name, arguments in sockets(venue, contracts[venue])
    ]
    await asyncio.gather(
        *one, *(listen_all(report, manager_of(client), server, venue) for venue in TYPES)
    )
    await client.close_connection()


if __name__ == "__main__":
    asyncio.run(main())
