"""What a replay cannot serve: streams that were not recorded, and state that is not derived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.errors import RequestError
from tickerplant.hub.hub import Hub
from tickerplant.logs import logger
from tickerplant.protocol.redaction import loggable
from tickerplant.queries.query import Query
from tickerplant.stream_name import parse_stream_name
from tickerplant.streams import resolve

NOT_RECORDED = "not recorded"
"""Why a subscription is silent."""
MAX_WARNINGS = 1_000
"""Stream names that are logged, each once."""
NO_STATE = -1
"""Error code of every response to a request for state."""

_EXCHANGE_INFO = "/v1/exchangeInfo"
"""The only market query that a verbatim replay can answer: from the scan."""
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
"""The kinds of recorded streams from which messages of an event type can be derived."""


class UnavailableStreams:
    """Warns when a client subscribes to a stream of which no message can come; a `Demand` of a hub."""

    def __init__(self, hub: Hub, recorded: Iterable[str]) -> None:
        self._hub = hub
        names = map(parse_stream_name, recorded)
        self._recorded = {(name.topic, name.kind) for name in names if not name.levels}
        """Symbol, empty for all, and kind."""
        self._warned: set[str] = set()

    def opened(self, name: str) -> None:
        """Warn if no message of the stream `name` can come."""
        if name in self._hub.publishers.passthrough or self._can_come(name):
            return
        self._hub.silent[NOT_RECORDED] += 1
        if name not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(name)
            logger().warning("! a subscription is silent: not recorded", stream=loggable(name))

    def closed(self, name: str) -> None:
        """Do nothing."""

    def _can_come(self, name: str) -> bool:
        resolved = resolve(self._hub.markets.venue, name)
        if resolved is None:
            return True  # the hub has reported that it is unknown
        stream, args = resolved
        if not stream.subjects(self._hub.markets, args):
            return True  # the hub has reported that its symbol is unknown
        sources = _SOURCES.get(stream.events[0])
        if stream.pattern.text.startswith("<symbol>@rpiDepth"):
            return False  # no other stream shows RPI orders
        symbol = args.get("symbol", "")
        return sources is None or any(
            kind in sources and (not symbol or topic in {"", symbol})
            for topic, kind in self._recorded
        )


class VerbatimForwarder:
    """Refuses requests for the state of a market, which a verbatim replay does not keep."""

    counts: Mapping[str, int] = {}

    def forwards(self, query: Query, _params: Mapping[str, object]) -> bool:
        """Return False, so that requests about the server and its contracts are answered here.

        Raises:
            RequestError: The request is about the state of a market.
        """
        if query.is_market_data and query.path != _EXCHANGE_INFO:
            message = "The replay is verbatim and keeps no derived state: this is not known."
            raise RequestError(NO_STATE, message, 503)
        return False

    async def answer(self, _query: Query, _params: Mapping[str, object]) -> bytes:
        """Never called: no request is forwarded."""
        raise NotImplementedError
