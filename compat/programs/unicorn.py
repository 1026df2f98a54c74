"""unicorn-binance-websocket-api: every stream by channel and market, and the WebSocket API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from unicorn_binance_websocket_api import BinanceWebSocketApiManager

from compat.channels import ReceivedStreams, channel_of, names
from compat.trial import (
    COINM,
    STREAM,
    USDM,
    WS_API,
    Outcome,
    Report,
    Server,
    error_text,
    listed,
    read_server,
)

LIBRARY = "unicorn-binance-websocket-api"
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
API_TIMEOUT_S = 10.0


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


def listen(report: Report, server: Server, venue: str) -> None:
    """Try every stream that the library can name."""
    every = names(venue, listed(server, venue))
    asked = [stream for stream in every if "@" in stream or stream == "!bookTicker"]
    received_streams = ReceivedStreams(asked)

    def take_all(text: str, **_: Any) -> None:
        received_streams.take(json.loads(text))

    def take_book_ticker(text: str, **_: Any) -> None:
        received_streams.take({"stream": "!bookTicker", "data": json.loads(text)})

    manager = manager_of(server, venue)
    try:
        for channels, markets in connections(asked):
            take = take_book_ticker if markets == ["!bookTicker"] else take_all
            manager.create_stream(channels=channels, markets=markets, process_stream_data=take)
        received_streams.wait(server.timeout_s)
        received_streams.report(report, LIBRARY, venue)
    finally:
        manager.stop_manager()
    for stream in every:
        if stream not in asked:
            reason = "the library puts an @ into every name"
            report.add(LIBRARY, venue, STREAM, stream, reason, Outcome.NOT_OFFERED)


def ask_api(report: Report, server: Server) -> None:
    """Try the public methods of the WebSocket API."""
    manager = manager_of(server, USDM)
    try:
        manager.create_stream(api=True, api_key="any", api_secret=NOTHING, output="dict")
        time.sleep(1)
        for name, arguments in API_METHODS.items():
            report.add(LIBRARY, USDM, WS_API, name, _asked(manager, name, arguments))
    finally:
        manager.stop_manager()


def _asked(manager: Any, name: str, arguments: dict[str, Any]) -> str:
    """Ask in a thread: the library waits for an answer without end."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            method = getattr(manager.api.futures, name)
            answers.append(method(**arguments, return_response=True))
        except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
            answers.append(error_text(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(API_TIMEOUT_S)
    answer = answers[0] if answers else "no answer"
    is_good = isinstance(answer, dict) and answer.get("status") == 200
    return "" if is_good else str(answer)[:200]


if __name__ == "__main__":
    to, findings = read_server(), Report()
    ask_api(findings, to)
    findings.add(LIBRARY, COINM, WS_API, "market data", "the library has none", Outcome.NOT_OFFERED)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda venue: listen(findings, to, venue), EXCHANGES))
