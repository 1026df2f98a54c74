"""python-binance: every futures REST method, socket and WebSocket API method, with URLs changed."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import binance
from binance import AsyncClient, BinanceSocketManager
from binance.enums import FuturesType

from compat.channels import ReceivedStreams, category_of, complaint, names, variants
from compat.endpoints import PARAMETERS, ask, query
from compat.trial import COINM, REST, STREAM, USDM, WS_API, Contracts, Trial
from tickerplant.testing import point

API_METHODS = {
    "ws_futures_get_order_book": {"symbol": "BTCUSDT"},
    "ws_futures_get_all_tickers": {},
    "ws_futures_get_order_book_ticker": {},
}
NOTHING = "any"
"""What stands for a secret: the server looks at no signature, the library wants one to make."""
TYPES = {USDM: FuturesType.USD_M, COINM: FuturesType.COIN_M}
REQUEST = re.compile(
    r'_request_futures(_coin)?(_data)?_api\(\s*"get",\s*"([\w/-]+)"(.*)', re.DOTALL
)
"""How the library's own methods name their endpoint."""


async def ask_rest(trial: Trial, client: AsyncClient, contracts: dict[str, Contracts]) -> None:
    """Try every REST method of market data; those of an account ask for other endpoints."""
    for name, method in inspect.getmembers(AsyncClient, inspect.isfunction):
        found = REQUEST.search(inspect.getsource(method)) if name.startswith("futures_") else None
        if found and found[3] in PARAMETERS:
            venue, endpoint = COINM if found[1] else USDM, found[3]
            call = partial(getattr(client, name), **query(venue, endpoint, contracts[venue]))
            await ask(trial, venue, name, endpoint, call)

    async def candles() -> list[Any]:
        start_ms = contracts[USDM].now_ms - 3_600_000
        rows: list[Any] = await client.futures_historical_klines("BTCUSDT", "1m", start_ms)
        return rows if len(rows) >= 60 else []

    await trial.ask(USDM, REST, "futures_historical_klines", candles)


def sockets(venue: str, contracts: Contracts) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the stream methods of the library that serve a venue, with arguments."""
    for name, method in inspect.getmembers(BinanceSocketManager, inspect.isfunction):
        parameters = inspect.signature(method).parameters
        of_venue = ONLY.get(name, venue if "futures_type" in parameters else "") == venue
        if name.startswith("_") or "multiplex" in name or not of_venue:
            continue
        choices: dict[str, list[Any]] = {
            "symbol": [contracts.pair if name in OF_PAIRS else contracts.perpetual],
            "fast": [True, False],
            "channel": ["!bookTicker", "!ticker@arr"],
            "futures_type": [TYPES[venue]],
        }
        for arguments in variants(method, choices):
            yield name, arguments


ONLY = {
    "futures_ticker_socket": USDM,
    "futures_rpi_depth_socket": USDM,
    "futures_coin_ticker_socket": COINM,
    "index_price_socket": COINM,
}
"""The venue of methods that serve but one."""
OF_PAIRS = {"index_price_socket", "kline_futures_socket"}
"""The methods whose symbol is a pair."""

RAW = {"kline_futures_socket": "pair_perpetual@continuousKline_1m"}
"""The methods that use the path `/ws`, where messages do not name their stream."""


def manager_of(client: AsyncClient) -> BinanceSocketManager:
    """Return a manager for one method: two methods that name one stream would share its socket."""
    return BinanceSocketManager(client, max_queue_size=100_000)


async def listen_one(trial: Trial, manager: Any, venue: str, name: str, given: Any) -> None:
    """Try one stream method: its first message must be of the stream it names."""

    async def first() -> Any:
        async with getattr(manager, name)(**given) as socket:
            message = await socket.recv()
        stream = message.get("stream", RAW.get(name, ""))
        if problem := complaint(stream, message.get("data", message)):
            raise ValueError(problem)
        return message

    shown = ", ".join(f"{key}={value}" for key, value in given.items() if key != "futures_type")
    await trial.ask(venue, STREAM, f"{name}({shown})", first)


async def listen_all(trial: Trial, manager: Any, venue: str, contracts: Contracts) -> None:
    """Try every stream there is by the method that takes any names."""
    asked = names(venue, contracts)
    received_streams = ReceivedStreams(asked)

    async def hear(category: str) -> None:
        streams = [stream for stream in asked if category_of(stream) == category]
        socket = manager.futures_multiplex_socket(streams, TYPES[venue], category)
        with suppress(TimeoutError):
            async with socket as messages, asyncio.timeout(trial.server.timeout_s):
                while not received_streams.complete():
                    received_streams.take(await messages.recv())

    await asyncio.gather(hear("public"), hear("market"))
    received_streams.report(trial, venue, "futures_multiplex_socket({})")


async def main() -> None:
    """Try everything the library offers of both venues."""
    trial = Trial("python-binance")
    point(binance, usdm=f"http://{trial.server.usdm}", coinm=f"http://{trial.server.coinm}")
    client = AsyncClient(api_key="any", api_secret=NOTHING)
    contracts = {venue: trial.contracts(venue) for venue in TYPES}
    await ask_rest(trial, client, contracts)
    for name, arguments in API_METHODS.items():
        await trial.ask(USDM, WS_API, name, partial(getattr(client, name), **arguments))
    listening = []
    for venue, each in contracts.items():
        for name, given in sockets(venue, each):
            listening.append(listen_one(trial, manager_of(client), venue, name, given))
        listening.append(listen_all(trial, manager_of(client), venue, each))
    await asyncio.gather(*listening)
    await client.close_connection()


if __name__ == "__main__":
    asyncio.run(main())
