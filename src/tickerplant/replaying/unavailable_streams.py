"""Streams that recordings can never tell: neither recorded nor to be derived from what is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.hub.hub import Hub
from tickerplant.logs import logger
from tickerplant.protocol.loggable import loggable
from tickerplant.streams import resolve

NOT_RECORDED = "not recorded"
"""Why such a subscription is silent."""
MOST_WARNINGS = 1_000
"""Names that are written to the log, each once."""

_TRADES = frozenset({"trade", "aggTrade"})
_SOURCES: Mapping[str, frozenset[str]] = {
    "aggTrade": _TRADES,
    "kline": _TRADES,
    "continuous_kline": _TRADES,
    "24hrTicker": _TRADES,
    "24hrMiniTicker": _TRADES,
    "trade": frozenset({"trade"}),
    "bookTicker": frozenset({"bookTicker", "depth"}),
    "depthUpdate": frozenset({"depth"}),
    "markPriceUpdate": frozenset({"markPrice"}),
    "indexPriceUpdate": frozenset({"markPrice"}),
    "IndexUpdate": frozenset({"markPrice"}),
    "markPrice_kline": frozenset({"markPrice"}),
    "indexPrice_kline": frozenset({"markPrice"}),
    "forceOrder": frozenset({"forceOrder"}),
    "compositeIndex": frozenset({"compositeIndex"}),
    "assetIndexUpdate": frozenset({"assetIndex"}),
    "contractInfo": frozenset({"contractInfo"}),
}
"""What a stream is derived from, by the event type of its messages: one of these kinds of streams."""


class UnavailableStreams:
    """Warns of the streams that somebody subscribes to in vain; a `Demand` of a hub.

    Args:
        hub: Whose streams.
        recorded: The streams that are in the recordings.
    """

    def __init__(self, hub: Hub, recorded: Iterable[str]) -> None:
        self._hub = hub
        self._told: set[tuple[str, str]] = {_told(name) for name in recorded}
        self._warned: set[str] = set()

    def opened(self, name: str) -> None:
        """Warn if nothing will ever be told of `name`."""
        if name in self._hub.publishers.passthrough or self._can_come(name):
            return
        self._hub.silent[NOT_RECORDED] += 1
        if name not in self._warned and len(self._warned) < MOST_WARNINGS:
            self._warned.add(name)
            logger().warning("! a subscription is silent: not recorded", stream=loggable(name))

    def closed(self, name: str) -> None:
        """Take no notice."""

    def _can_come(self, name: str) -> bool:
        resolved = resolve(self._hub.markets.venue, name)
        if resolved is None:
            return True  # the hub has said that it is unknown
        stream, args = resolved
        if not stream.subjects(self._hub.markets, args):
            return True  # and that its symbol is
        sources = _SOURCES.get(stream.events[0])
        if stream.pattern.text.startswith("<symbol>@rpiDepth"):
            return False  # it tells of orders that no other stream shows
        symbol = args.get("symbol", "")
        return sources is None or any(
            kind in sources and (not symbol or whose in {"", symbol}) for whose, kind in self._told
        )


def _told(name: str) -> tuple[str, str]:
    """Return the symbol, empty for all, and the kind of a recorded stream."""
    symbol, _, kind = name.partition("@")
    return ("", symbol[1:]) if symbol.startswith("!") else (symbol, kind.partition("@")[0])
