"""unicorn-binance-websocket-api: every stream by channel and market, and the WebSocket API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from unicorn_binance_websocket_api import BinanceWebSocketApiManager

from compat.channels import ReceivedStreams, channel_of, names
from compat.trial import COINM, STREAM, USDM, WS_API, Outcome, Server, Trial

EXCHANGES = {USDM: "binance.com-futures", COINM: "binance.com-coin_futures"}
API_METHODS: dict[str, dict[str, Any]] = {
    "get_order_book": {"symbol": "BTCUSDT", "limit": 5},
    "get_ticker_price": {"symbol": "BTCUSDT"},
    "get_ticker_order_book": {"symbol": "BTCUSDT"},
    "get_server_time": {},
    "ping": {},
}
NOTHING = "any"
"""What stands for a secret: the server looks at no signature, the library wants one to make."""


def manager_of(server: Server, venue: str) -> Any:
    """Return a manager with its addresses changed."""
    address = server.address(venue)
    return BinanceWebSocketApiManager(
        exchange=EXCHANGES[venue],
        warn_on_update=False,
        websocket_base_uri=f"ws://{address}/",
        websocket_api_base_uri=f"ws://{address}/ws-fapi/v1" if venue == USDM else None,
        output_default="raw_data",
    )


def path_of(stream: str) -> str:
    """Return the path the library takes for a stream.

    It takes `/market` for `trade` and `rpiDepth`, which on the exchange have `/public`; such a
    stream is silent where routes are strict, as it is on the exchange.
    """
    return "public" if channel_of(stream) in ("bookTicker", "depth") else "market"


def connections(streams: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield channels and markets so that each stream is in one pair, and no other is.

    The library joins every channel to every market as `market@channel`, holds streams of one path
    on a connection, and waits for seconds between connections: the fewer, the better.
    """
    channels: dict[tuple[str, ...], list[str]] = {}
    for stream in streams:
        market, _, channel = stream.partition("@")
        alone = channel if market.startswith("!") else ""
        channels.setdefault((path_of(stream), market, alone), []).append(channel or "arr")
    markets: dict[tuple[str, ...], list[str]] = {}
    for (category, market, _), of_market in channels.items():
        markets.setdefault((category, *of_market), []).append(market)
    for (_, *of_markets), joined in markets.items():
        yield of_markets, joined


def listen(trial: Trial, venue: str) -> None:
    """Try every stream that the library can name."""
    every = names(venue, trial.contracts(venue))
    asked = [stream for stream in every if "@" in stream or stream == "!bookTicker"]
    received_streams = ReceivedStreams(asked)

    def take_all(text: str, **_: Any) -> None:
        received_streams.take(json.loads(text))

    def take_book_ticker(text: str, **_: Any) -> None:
        received_streams.take({"stream": "!bookTicker", "data": json.loads(text)})

    manager = manager_of(trial.server, venue)
    try:
        for channels, markets in connections(asked):
            take = take_book_ticker if markets == ["!bookTicker"] else take_all
            manager.create_stream(channels=channels, markets=markets, process_stream_data=take)
        received_streams.wait(trial.server.timeout_s)
        received_streams.report(trial, venue)
    finally:
        manager.stop_manager()
    for stream in every:
        if stream not in asked:
            reason = "the library puts an @ into every name"
            trial.add(venue, STREAM, stream, reason, Outcome.NOT_OFFERED)


async def ask_api(trial: Trial) -> None:
    """Try the public methods of the WebSocket API."""
    manager = manager_of(trial.server, USDM)

    def answer_of(name: str, arguments: dict[str, Any]) -> Any:
        answer = getattr(manager.api.futures, name)(**arguments, return_response=True)
        return answer if answer.get("status") == 200 else str(answer)

    try:
        manager.create_stream(api=True, api_key="any", api_secret=NOTHING, output="dict")
        await asyncio.sleep(1)
        for name, arguments in API_METHODS.items():
            call = partial(asyncio.to_thread, answer_of, name, arguments)
            await trial.ask(USDM, WS_API, name, call)
    finally:
        manager.stop_manager()
    trial.add(COINM, WS_API, "market data", "the library has none", Outcome.NOT_OFFERED)


async def main() -> None:
    """Try everything the library offers of both venues."""
    trial = Trial("unicorn-binance-websocket-api")
    await ask_api(trial)
    await asyncio.gather(*(asyncio.to_thread(listen, trial, venue) for venue in EXCHANGES))


if __name__ == "__main__":
    asyncio.run(main())
