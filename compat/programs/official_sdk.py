"""The official modular SDKs: every stream, REST and WebSocket API method, with typed parsing."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from compat.channels import ReceivedStreams, category_of, channel_of, group_of
from compat.programs import official_client as official
from compat.programs.official_client import Arguments, client_of, module_of
from compat.trial import (
    COINM,
    REST,
    STREAM,
    USDM,
    WS_API,
    Contracts,
    Outcome,
    Trial,
    error_text,
    until,
)

REFUSED = {"interval": "1s"}
"""Arguments that the SDK offers and the exchange refuses."""
REFUSED_REASON = (
    "the exchange refuses the interval 1s over REST; whether it has the stream is not known"
)
BRACKETS = re.compile(r"bks\.\d+\.cf Input should be a valid integer")
BRACKETS_REASON = "cf of brackets in coins has decimals, the model wants integers"
INSIDE = "the exchange sends ps and st inside o, the model has them beside it"
KEYS_OF_STREAMS = {
    ("forceOrder", "o.ps"): INSIDE,
    ("forceOrder", "o.st"): INSIDE,
    ("markPrice", "ap"): "the exchange sends ap on COIN-M too, the model does not have it",
    ("contractInfo", "ps"): "the exchange's page of the stream has ps, the model does not",
}
"""What the exchange sends and the models do not have, by channel."""
KEYS_OF_ANSWERS = {
    "exchange_information": {
        "futuresType",
        "symbols.filters.positionControlSide",
        "symbols.maxMoveOrderLimit",
        "symbols.permissionSets",
    },
    "get_funding_rate_info": {"updateTime"},
    "get_funding_rate_history_of_perpetual_futures": {"markPrice", "rateType"},
}
"""What the exchange sends and the models do not have, by method."""
MAY_BE_EMPTY = {"test_connectivity", "get_funding_rate_info"}

Ask = Callable[[str, Callable[..., Any], Arguments], Awaitable[set[str]]]
"""Asks by a method: returns the exchange's own keys that the model lacks, or raises an error."""


class Warnings(logging.Handler):
    """What the library logs while it parses: an answer it had to bend is a failure here."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a record about parsing."""
        if "pars" in (text := record.getMessage()).lower():
            self.texts.append(text)


class Listening:
    """What one venue's streams brought: parsed by the SDK, and as it came, by group."""

    def __init__(self) -> None:
        self.methods: dict[str, str] = {}
        self.models: dict[str, Any] = {}
        self.parsed = ReceivedStreams()
        self.plain = ReceivedStreams()
        self.errors: list[str] = []

    async def subscribe(self, streams: Any, name: str, arguments: Arguments) -> str:
        """Subscribe by a method, as a program would; return the stream's name."""
        handle = await getattr(streams, name)(**arguments)
        stream: str = handle._stream  # noqa: SLF001  # the handle does not expose its stream
        self.methods[group_of(stream)] = name
        self.models[group_of(stream)] = handle._response_model  # noqa: SLF001  # nor its model
        handle.on("message", lambda data: self.parsed.take({"stream": stream, "data": data}))
        return stream

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
        found = sorted(official.strangers(model, payload))
        channel = channel_of(stream)
        if unknown := [key for key in found if (channel, key) not in KEYS_OF_STREAMS]:
            return f"unknown to {model.__name__}: {', '.join(unknown)}", None
        return (KEYS_OF_STREAMS[channel, found[0]], Outcome.DIFFERS) if found else ("", None)


async def listen(trial: Trial, venue: str) -> None:
    """Try every stream, in every variant the signature of its method allows.

    The same streams come over two connections: on one the SDK parses them, on the other it does
    not, because it drops keys that its models do not know.
    """
    contracts = trial.contracts(venue)
    module = module_of(venue, "websocket_streams.websocket_streams")
    streams = getattr(module, f"{official.NAMES[venue]}WebSocketStreams")
    typed = await client_of(trial.server, venue).websocket_streams.create_connection()
    plain = await client_of(trial.server, venue).websocket_streams.create_connection()
    listening = Listening()
    typed.on_connection("error", lambda error: listening.errors.append(error_text(error)))
    asked: list[str] = []
    for name, method in official.methods_of(streams):
        is_stream = inspect.signature(method).return_annotation is module.RequestStreamHandle
        if not is_stream or name == "user_data":
            continue
        asked += [
            await listening.subscribe(typed, name, arguments)
            for arguments in calls(trial, venue, STREAM, name, method, contracts)
        ]
    for category in ("public", "market"):
        of_category = [stream for stream in asked if category_of(stream) == category]
        await plain.subscribe(of_category, stream_url=category if venue == USDM else None)
        for stream in of_category:
            plain.on("message", listening.plain.take, stream)
    await asyncio.to_thread(until, listening.complete, trial.server.timeout_s)
    for group, name in sorted(listening.methods.items()):
        trial.add(venue, STREAM, f"{name}: {group}", *listening.finding(group))
    await typed.close_connection(close_session=True)
    await plain.close_connection(close_session=True)


def calls(
    trial: Trial, venue: str, kind: str, name: str, method: Any, contracts: Contracts
) -> Iterator[Arguments]:
    """Yield the calls of a method in every variant, and report those that the exchange refuses."""
    known = (official.subscriptions if kind == STREAM else official.questions)(name, contracts)
    for arguments in official.calls(method, known, contracts):
        if REFUSED.items() <= arguments.items():
            call = f"{name}({official.shown(arguments)})"
            trial.add(venue, kind, call, REFUSED_REASON, Outcome.DIFFERS)
        else:
            yield arguments


async def ask_all(trial: Trial, venue: str, kind: str, module: str, ask: Ask) -> None:
    """Try every method of market data, in every variant its signature allows."""
    contracts = trial.contracts(venue)
    for name, method in official.methods_of(module_of(venue, module).MarketDataApi):
        problems, keys = [], set[str]()
        for arguments in calls(trial, venue, kind, name, method, contracts):
            try:
                keys |= await ask(name, method, arguments)
            except Exception as error:  # noqa: BLE001  # whatever a library raises is a finding
                problems.append(f"({official.shown(arguments)}): {error_text(error)}")
        reason, outcome = "; ".join(problems), None
        if keys and not problems:
            reason, outcome = f"the models lack {', '.join(sorted(keys))}", Outcome.DIFFERS
        trial.add(venue, kind, name, reason, outcome)


async def ask_rest(trial: Trial, venue: str, warnings: Warnings) -> None:
    """Try every method of market data over REST."""
    rest = client_of(trial.server, venue).rest_api

    async def ask(name: str, method: Callable[..., Any], arguments: Arguments) -> set[str]:
        warnings.texts.clear()
        data = (await asyncio.to_thread(getattr(rest, name), **arguments)).data()
        path = re.search(r"GET (/\S+)", method.__doc__ or "")
        url = f"http://{trial.server.address(venue)}{path[1] if path else '/'}"
        raw = await asyncio.to_thread(_plain_answer, url, arguments)
        if warnings.texts or not (raw or name in MAY_BE_EMPTY):
            raise ValueError("; ".join(warnings.texts) or "an empty answer")
        model = type(data[0]) if isinstance(data, list) and data else type(data)
        found = official.strangers(model, raw)
        if unknown := found - KEYS_OF_ANSWERS.get(name, set()):
            raise ValueError(f"unknown to {model.__name__}: {', '.join(sorted(unknown))}")
        return found

    await ask_all(trial, venue, REST, "rest_api.api.market_data_api", ask)


def _plain_answer(url: str, arguments: Arguments) -> Any:
    """Return the answer to the same question without the SDK, which drops unknown keys."""
    query = urllib.parse.urlencode({_camel(name): value for name, value in arguments.items()})
    request = urllib.request.Request(f"{url}?{query}", headers={"X-MBX-APIKEY": "any"})  # noqa: S310  # an address of our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # as above
        return json.load(answer)


def _camel(name: str) -> str:
    """Return the name of a parameter as the protocol writes it."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


async def ask_api(trial: Trial, venue: str) -> None:
    """Try every method of market data over the WebSocket API."""
    connection = await client_of(trial.server, venue).websocket_api.create_connection()

    async def ask(name: str, _method: Callable[..., Any], arguments: Arguments) -> set[str]:
        answer = await getattr(connection, name)(**arguments)
        data = answer.data()
        if not hasattr(data, "to_dict") or not answer.rate_limits:
            raise ValueError(f"not parsed, or no rate limits: {data}")
        return set()

    await ask_all(trial, venue, WS_API, "websocket_api.api.market_data_api", ask)
    await connection.close_connection(close_session=True)


async def main() -> None:
    """Try both SDKs, everything they offer of market data."""
    trial, warnings = Trial(official.LIBRARIES[USDM], official.LIBRARIES[COINM]), Warnings()
    for venue in official.NAMES:  # they do not bear to be imported in two threads at once
        client_of(trial.server, venue)
    listening = asyncio.gather(*(listen(trial, venue) for venue in official.NAMES))
    for venue in official.NAMES:
        await ask_rest(trial, venue, warnings)
    await ask_api(trial, USDM)
    reason = "there are no market-data methods, as on the exchange"
    trial.add(COINM, WS_API, "market data", reason, Outcome.NOT_OFFERED)
    await listening


if __name__ == "__main__":
    asyncio.run(main())
