"""What a stream by its name should carry, the names there are, and what was received for them.

From the market-stream pages of both venues; the names are those of the documentation.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from compat.trial import STREAM, USDM, Contracts, Trial, until

INTERVALS = [
    *(f"{minutes}m" for minutes in (1, 3, 5, 15, 30)),
    *(f"{hours}h" for hours in (1, 2, 4, 6, 8, 12)),
    *["1d", "3d", "1w", "1M"],
]

EVENTS = {
    "markPrice": "markPriceUpdate",
    "indexPrice": "indexPriceUpdate",
    "continuousKline": "continuous_kline",
    "indexPriceKline": "indexPrice_kline",
    "markPriceKline": "markPrice_kline",
    "miniTicker": "24hrMiniTicker",
    "ticker": "24hrTicker",
    "depth": "depthUpdate",
    "rpiDepth": "depthUpdate",
    "assetIndex": "assetIndexUpdate",
}
"""The `e` of the messages by the channel in the name, where it is another word."""

SESSIONS = {
    f"{kind}Update" for kind in ("Equity", "Commodity", "KR_Equity", "HK_Equity", "CN_Equity")
}
"""The `e` of the messages of `tradingSession`."""

PUBLIC = {"bookTicker", "depth", "rpiDepth", "trade"}
"""The channels that have the path `/public` since March 2026; the others have `/market`."""


def channel_of(stream: str) -> str:
    """Return the channel that a stream's name contains."""
    name = stream if stream.startswith("!") else stream.partition("@")[2] or stream
    found = re.match(r"!?([A-Za-z]+)", name)
    return found.group(1) if found else name


def category_of(stream: str) -> str:
    """Return the path a stream has since March 2026."""
    return "public" if channel_of(stream) in PUBLIC else "market"


def group_of(stream: str) -> str:
    """Return the name under which a stream is reported.

    Liquidations of one contract are rare: it is enough that those of some contract arrive.
    """
    return "<symbol>@forceOrder" if stream.endswith("@forceOrder") else stream


def events_of(stream: str) -> set[str]:
    """Return the `e` that messages of a stream may have."""
    channel = channel_of(stream)
    return SESSIONS if channel == "tradingSession" else {EVENTS.get(channel, channel)}


def complaint(stream: str, payload: Any) -> str:
    """Return what is wrong with the payload of a stream; empty if nothing is."""
    rows = payload if isinstance(payload, list) else [payload]
    if not rows:
        return "an empty list"
    events = {row.get("e") if isinstance(row, dict) else None for row in rows}
    if events <= events_of(stream):
        return ""
    return f"e is {sorted(map(str, events))}: {json.dumps(rows[0])[:200]}"


def names(venue: str, contracts: Contracts) -> list[str]:
    """Return every stream of a venue once per variant, for contracts that are listed."""
    symbol, pair = contracts.perpetual.lower(), contracts.pair.lower()
    channels = [
        *["aggTrade", "trade", "markPrice", "markPrice@1s", "miniTicker", "ticker", "bookTicker"],
        *["depth", "depth@500ms", "depth@100ms"],
        *(f"depth{n}{speed}" for n in (5, 10, 20) for speed in ("", "@500ms", "@100ms")),
        *(f"kline_{interval}" for interval in INTERVALS),
    ]
    streams = [f"{symbol}@{channel}" for channel in channels]
    streams += [f"{name.lower()}@forceOrder" for name in contracts.symbols]
    streams += ["!markPrice@arr", "!markPrice@arr@1s", "!miniTicker@arr", "!ticker@arr"]
    streams += ["!bookTicker", "!forceOrder@arr", "!contractInfo"]
    for contract_type, of_pair in contracts.pairs.items():
        streams.append(f"{of_pair.lower()}_{contract_type.lower()}@continuousKline_1m")
    if venue == USDM:
        streams += [f"{symbol}@rpiDepth@500ms", "!assetIndex@arr", "tradingSession"]
        streams += [f"{contracts.composite.lower()}@compositeIndex", "adausd@assetIndex"]
    else:
        streams += [f"{pair}@markPrice", f"{pair}@markPrice@1s"]
        streams += [f"{pair}@indexPrice", f"{pair}@indexPrice@1s"]
        streams += [f"{pair}@indexPriceKline_{interval}" for interval in INTERVALS]
        streams += [f"{symbol}@markPriceKline_{interval}" for interval in INTERVALS]
    return streams


def variants(function: Any, choices: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the arguments of a function: each combination of the choices for its parameters."""
    given = [name for name in inspect.signature(function).parameters if name in choices]
    for values in product(*(choices[name] for name in given)):
        yield dict(zip(given, values, strict=True))


class ReceivedStreams:
    """The first message of each stream, or group of streams; thread-safe."""

    def __init__(self, streams: Iterable[str] = ()) -> None:
        self.groups = dict.fromkeys(map(group_of, streams))
        self.first: dict[str, tuple[str, Any]] = {}

    def expect(self, stream: str) -> None:
        """Expect a message of one more stream."""
        self.groups[group_of(stream)] = None

    def take(self, message: Any) -> None:
        """Keep the message if it is the first of its stream."""
        if isinstance(message, dict) and "stream" in message:
            stream = message["stream"]
            self.first.setdefault(group_of(stream), (stream, message.get("data")))

    def complete(self) -> bool:
        """Return whether every stream has delivered a message."""
        return self.first.keys() >= self.groups.keys()

    def wait(self, timeout_s: float) -> None:
        """Wait until every stream has delivered a message, or for as long as the timeout allows."""
        until(self.complete, timeout_s)

    def problem(self, group: str) -> str:
        """Return what is wrong with a stream; empty if nothing is."""
        if group not in self.first:
            return "nothing arrived"
        return complaint(*self.first[group])

    def report(self, trial: Trial, venue: str, name: str = "{}") -> None:
        """Report every stream, or group of streams, by a name that may contain it."""
        for group in self.groups:
            trial.add(venue, STREAM, name.format(group), self.problem(group))
