"""What a stream by its name should carry, the names there are, and what was received for them.

From the market-stream pages of both venues; the names are those of the documentation.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from compat.trial import STREAM, USDM, Contracts, Report

INTERVALS = [
    "1m",
    "3m",
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "8h",
    "12h",
    "1d",
    "3d",
    "1w",
    "1M",
]

EVENTS = {
    "aggTrade": "aggTrade",
    "trade": "trade",
    "markPrice": "markPriceUpdate",
    "indexPrice": "indexPriceUpdate",
    "kline": "kline",
    "continuousKline": "continuous_kline",
    "indexPriceKline": "indexPrice_kline",
    "markPriceKline": "markPrice_kline",
    "miniTicker": "24hrMiniTicker",
    "ticker": "24hrTicker",
    "bookTicker": "bookTicker",
    "forceOrder": "forceOrder",
    "depth": "depthUpdate",
    "rpiDepth": "depthUpdate",
    "compositeIndex": "compositeIndex",
    "contractInfo": "contractInfo",
    "assetIndex": "assetIndexUpdate",
}
"""The `e` of the messages by the channel in the name."""

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


def complaint(stream: str, payload: Any) -> str:
    """Return what is wrong with the payload of a stream; empty if nothing is."""
    rows = payload if isinstance(payload, list) else [payload]
    if not rows:
        return "an empty list"
    channel = channel_of(stream)
    expected = SESSIONS if channel == "tradingSession" else {EVENTS.get(channel)}
    events = {row.get("e") if isinstance(row, dict) else None for row in rows}
    if events <= expected:
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


class ReceivedStreams:
    """The first message of each stream, or group of streams; thread-safe."""

    def __init__(self, streams: Iterable[str]) -> None:
        self.groups = list(dict.fromkeys(map(group_of, streams)))
        self.first: dict[str, tuple[str, Any]] = {}

    def take(self, message: Any) -> None:
        """Keep the message if it is the first of its stream."""
        if isinstance(message, dict) and "stream" in message:
            stream = message["stream"]
            self.first.setdefault(group_of(stream), (stream, message.get("data")))

    def complete(self) -> bool:
        """Return whether every stream has delivered a message."""
        return self.first.keys() >= set(self.groups)

    def wait(self, timeout_s: float) -> None:
        """Wait until every stream has delivered a message, or for as long as the timeout allows."""
        end = time.monotonic() + timeout_s
        while not self.complete() and time.monotonic() < end:
            time.sleep(0.1)

    def problem(self, group: str) -> str:
        """Return what is wrong with a stream; empty if nothing is."""
        if group not in self.first:
            return "nothing arrived"
        return complaint(*self.first[group])

    def report(self, report: Report, library: str, venue: str) -> None:
        """Report every stream, or group of streams."""
        for group in self.groups:
            report.add(library, venue, STREAM, group, self.problem(group))
