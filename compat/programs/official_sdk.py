"""The official modular SDKs: every stream, REST and WebSocket API method, with typed parsing."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from compat.calls import Arguments, calls, shown, subscriptions
from compat.channels import ReceivedStreams, category_of, channel_of, group_of
from compat.programs.official_answers import Warnings, ask_api, ask_rest
from compat.programs.official_client import (
    REFUSED,
    REFUSED_REASON,
    SDKS,
    client_of,
    known_to,
    library_of,
    methods_of,
    module_of,
    strangers,
)
from compat.trial import (
    COINM,
    STREAM,
    USDM,
    WS_API,
    Contracts,
    Outcome,
    Report,
    Server,
    error_text,
    listed,
    read_server,
)

LIQUIDATIONS = {"liquidation_order_streams", "market_liquidation_order_streams"}
"""The methods that are asked for every contract, because each has few."""

BRACKETS = re.compile(r"bks\.\d+\.cf Input should be a valid integer")
BRACKETS_REASON = "cf of brackets in coins has decimals, the model wants integers"
INSIDE = "the exchange sends ps and st inside o, the model has them beside it"
KEYS_OF_THE_EXCHANGE = {
    ("forceOrder", "o.ps"): INSIDE,
    ("forceOrder", "o.st"): INSIDE,
    ("markPrice", "ap"): "the exchange sends ap on COIN-M too, the model does not have it",
    ("contractInfo", "ps"): "the exchange's page of the stream has ps, the model does not",
}
"""What the exchange sends and the models do not have, by channel."""


class Listening:
    """What one venue's streams brought: parsed by the SDK, and as it came, by group."""

    def __init__(self) -> None:
        self.methods: dict[str, str] = {}
        self.models: dict[str, Any] = {}
        self.parsed = ReceivedStreams(())
        self.plain = ReceivedStreams(())
        self.errors: list[str] = []

    def complete(self) -> bool:
        """Return whether every stream has delivered a message on both connections."""
        return self.models.keys() <= self.parsed.first.keys() & self.plain.first.keys()

    def finding(self, group: str) -> tuple[str, Outcome | None]:
        """Return what is wrong with a stream, and how it ended if that is no plain failure."""
        model = self.models[group]
        if group not in self.parsed.first:
            of_model = [text for text in self.errors if model.__name__ in text]
            if any(BRACKETS.search(text) for text in of_model):
                return BRACKETS_REASON, Outcome.DIFFERS
            return (of_model[0] if of_model else "nothing arrived"), None
        if reason := self.plain.problem(group):
            return reason, None
        stream, payload = self.plain.first[group]
        found = sorted(strangers(model, payload))
        channel = channel_of(stream)
        if unknown := [key for key in found if (channel, key) not in KEYS_OF_THE_EXCHANGE]:
            return f"unknown to {model.__name__}: {', '.join(unknown)}", None
        return (KEYS_OF_THE_EXCHANGE[channel, found[0]], Outcome.DIFFERS) if found else ("", None)


async def listen(report: Report, server: Server, venue: str) -> None:
    """Try every stream, in every variant the signature of its method allows.

    The same streams come over two connections: on one the SDK parses them, on the other it does
    not, because it drops keys that its models do not know.
    """
    contracts = listed(server, venue)
    module = module_of(venue, "websocket_streams.websocket_streams")
    streams = getattr(
        module, f"DerivativesTrading{SDKS[venue].capitalize()}FuturesWebSocketStreams"
    )
    typed = await client_of(server, venue).websocket_streams.create_connection()
    plain = await client_of(server, venue).websocket_streams.create_connection()
    listening = Listening()
    typed.on_connection("error", lambda error: listening.errors.append(error_text(error)))
    asked: list[str] = []
    for name, method in methods_of(streams):
        is_stream = inspect.signature(method).return_annotation is module.RequestStreamHandle
        if not is_stream or name == "user_data":
            continue
        for arguments in calls(method, _known(name, contracts), contracts):
            if REFUSED.items() <= arguments.items():
                call = f"{name}({shown(arguments)})"
                report.add(library_of(venue), venue, STREAM, call, REFUSED_REASON, Outcome.DIFFERS)
            else:
                asked.append(await _subscribe(typed, name, arguments, listening))
    for category in ("public", "market"):
        of_category = [stream for stream in asked if category_of(stream) == category]
        await plain.subscribe(of_category, stream_url=category if venue == USDM else None)
        for stream in of_category:
            plain.on("message", listening.plain.take, stream)
    await _until(listening.complete, server.timeout_s)
    for group, name in sorted(listening.methods.items()):
        report.add(library_of(venue), venue, STREAM, f"{name}: {group}", *listening.finding(group))
    await typed.close_connection(close_session=True)
    await plain.close_connection(close_session=True)


def _known(name: str, contracts: Contracts) -> Arguments:
    """Return the symbols and pairs a method is asked for."""
    known = subscriptions(contracts)
    if name in LIQUIDATIONS:
        return known | {"symbol": [symbol.lower() for symbol in contracts.symbols]}
    return known_to(name, known)


async def _subscribe(streams: Any, name: str, arguments: Arguments, listening: Listening) -> str:
    """Subscribe by a method, as a program would; return the stream's name."""
    handle = await getattr(streams, name)(**arguments)
    stream: str = handle._stream  # noqa: SLF001  # the handle does not expose its stream
    listening.methods[group_of(stream)] = name
    listening.models[group_of(stream)] = handle._response_model  # noqa: SLF001  # nor its model
    handle.on("message", partial(_take, listening.parsed, stream))
    return stream


def _take(received_streams: ReceivedStreams, stream: str, parsed: Any) -> None:
    received_streams.take({"stream": stream, "data": parsed})


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition holds, or for as long as the timeout allows."""
    for _ in range(int(timeout_s * 4)):
        if condition():
            return
        await asyncio.sleep(0.25)


async def main() -> None:
    """Try both SDKs, everything they offer of market data."""
    server, report, warnings = read_server(), Report(), Warnings()
    for venue in SDKS:
        client_of(server, venue)  # imports; the packages do not bear it in two threads at once
    listening = asyncio.gather(*(listen(report, server, venue) for venue in SDKS))
    for venue in SDKS:
        await asyncio.to_thread(ask_rest, report, server, venue, warnings)
    await ask_api(report, server, USDM)
    reason = "there are no market-data methods, as on the exchange"
    report.add(library_of(COINM), COINM, WS_API, "market data", reason, Outcome.NOT_OFFERED)
    await listening


if __name__ == "__main__":
    asyncio.run(main())
