"""Queries answered from the markets of one venue, for REST and for the WebSocket API."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tickerplant.errors import RequestError
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.protocol.api_request import UNKNOWN_ERROR
from tickerplant.queries import find_method
from tickerplant.queries.query import Query


class QueryAnswerer:
    """Answers as of market time."""

    def __init__(self, markets: Markets, complaints: Complaints) -> None:
        self._markets = markets
        self._complaints = complaints
        self._encode = msgspec.json.Encoder().encode

    def find(self, method: str) -> Query | None:
        """Return what a WebSocket API method asks, or None if the venue has no such method."""
        return find_method(self._markets.venue, method)

    def ask(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer to `query` as JSON.

        Raises:
            RequestError: the question is answered with an error.
        """
        try:
            return self._encode(query.respond(self._markets, params))
        except RequestError:
            raise
        except Exception:  # noqa: BLE001  # one fault must not end a conversation
            # A fault of ours in one answer: the client gets an error, the log the traceback, once.
            name = query.method or query.path or "query"
            self._complaints.add(f"fault in {name}", "! a query failed", exc_info=True)
            message = "An unknown error occured while processing the request."
            raise RequestError(UNKNOWN_ERROR, message, 500) from None
