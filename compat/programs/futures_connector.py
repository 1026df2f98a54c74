"""binance-futures-connector: every REST method and every stream method, with base URLs changed."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from binance.cm_futures import CMFutures
from binance.um_futures import UMFutures
from binance.websocket.cm_futures.websocket_client import CMFuturesWebsocketClient
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient

from compat.channels import INTERVALS, ReceivedStreams, names, variants
from compat.endpoints import ask, known
from compat.trial import COINM, STREAM, USDM, Contracts, Trial

CLIENTS = {
    USDM: (UMFutures, UMFuturesWebsocketClient, "um_futures"),
    COINM: (CMFutures, CMFuturesWebsocketClient, "cm_futures"),
}
PAUSE_S = 0.11
"""The time between two messages: the exchange takes ten a second."""
ENDPOINT = re.compile(r'"/(?:[fd]api/v\d|futures/data)/([\w/-]+)"')
"""How the library's own methods name their endpoint."""
NOT_OF_CONTRACTS = {"indexInfo", "assetIndex"}
"""The endpoints whose symbol is no contract."""
Arguments = dict[str, Any]


def arguments_of(venue: str, method: str, contracts: Contracts) -> Iterator[Arguments]:
    """Yield the arguments of a stream method in each variant."""
    if method == "continuous_kline":
        for kind, pair in contracts.pairs.items():
            yield {"pair": pair, "contractType": kind.lower(), "interval": "1m"}
        return
    symbols: dict[str, Sequence[Any]] = {
        **dict.fromkeys(("mini_ticker", "ticker", "book_ticker"), (contracts.perpetual, None)),
        "composite_index": [contracts.composite],
        "liquidation_order": [None, *contracts.symbols],  # those of one contract are rare
    }
    speeds = [100, 500] if "depth" in method else [1, 3]
    choices: dict[str, Sequence[Any]] = {
        "symbol": symbols.get(method, [contracts.perpetual]),
        "pair": [contracts.pair],
        "interval": INTERVALS,
        "level": [5, 10, 20],
        "speed": [1] if (venue, method) == (USDM, "mark_price") else speeds,  # it has no other
    }
    yield from variants(getattr(CLIENTS[venue][1], method), choices)


def listen(trial: Trial, venue: str) -> None:
    """Try every stream method; each must name a stream that there is, which must bring a message."""
    client_class = CLIENTS[venue][1]
    contracts = trial.contracts(venue)
    received_streams = ReceivedStreams()
    client = client_class(
        stream_url=f"ws://{trial.server.address(venue)}",
        on_message=lambda _, text: received_streams.take(json.loads(text)),
        is_combined=True,
    )
    send, there_are = client.send_message_to_server, set(names(venue, contracts))

    def subscribe(stream: str, **more: Any) -> None:
        received_streams.expect(stream)
        if stream not in there_are:
            trial.add(venue, STREAM, stream, "there is no such stream")
        send(stream, **more)
        time.sleep(PAUSE_S)

    client.send_message_to_server = subscribe
    for method in vars(client_class):
        if not method.startswith("_") and method != "user_data":
            for arguments in arguments_of(venue, method, contracts):
                getattr(client, method)(**arguments)
    received_streams.wait(trial.server.timeout_s)
    client.stop()
    received_streams.report(trial, venue)


async def ask_rest(trial: Trial, venue: str) -> None:
    """Try every REST method of market data."""
    client_class, _, module = CLIENTS[venue]
    contracts = trial.contracts(venue)
    client = client_class(key="any", base_url=f"http://{trial.server.address(venue)}")
    market = importlib.import_module(f"binance.{module}.market")
    for name, function in inspect.getmembers(market, inspect.isfunction):
        if function.__module__ != market.__name__:
            continue
        found = ENDPOINT.search(inspect.getsource(function))
        endpoint = found[1] if found else name
        call = partial(getattr(client, name), **_arguments(endpoint, function, contracts))
        await ask(trial, venue, name, endpoint, partial(asyncio.to_thread, call))


def _arguments(endpoint: str, function: Callable[..., Any], contracts: Contracts) -> Arguments:
    parameters = inspect.signature(function).parameters
    left_out = {"pair"} if "symbol" in parameters else set()
    if endpoint in NOT_OF_CONTRACTS:
        left_out.add("symbol")
    values = known(endpoint, contracts)
    return {name: values[name] for name in parameters if name in values.keys() - left_out}


async def main() -> None:
    """Try everything the library offers of both venues."""
    trial = Trial("binance-futures-connector")
    for venue in CLIENTS:
        await ask_rest(trial, venue)
    await asyncio.gather(*(asyncio.to_thread(listen, trial, venue) for venue in CLIENTS))


if __name__ == "__main__":
    asyncio.run(main())
