"""Queries answered from the markets of one venue, for REST and for the WebSocket API."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tickerplant.errors import RequestError
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.queries import find_method
from tickerplant.queries.query import Query

UNKNOWN_ERROR = -1000
UNKNOWN_METHOD = -1020


class QueryAnswerer:
    """Answers as of market time."""

    def __init__(self, markets: Markets, complaints: Complaints) -> None:
        self._markets = markets
        self._complaints = complaints
        self._encode = msgspec.json.Encoder().encode

    def weigh(self, method: str, params: Mapping[str, object]) -> int | None:
        """Return the request weight, or None if the venue has no such method."""
        query = find_method(self._markets.venue, method)
        return None if query is None else query.weigh(params)

    def answer(self, method: str, params: Mapping[str, object]) -> bytes:
        """Return the result of a WebSocket API method as JSON.

        Raises:
            RequestError: the question is answered with an error.
        """
        query = find_method(self._markets.venue, method)
        if query is None:
            raise RequestError(UNKNOWN_METHOD, f"This operation is not supported: {method}.")
        return self.ask(query, params)

    def ask(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer to `query` as JSON.

        Raises:
            RequestError: the question is answered with an error.
        """
        try:
            return self._encode(query.answer(self._markets, params))
        except RequestError:
            raise
        except Exception:  # noqa: BLE001  # one fault must not end a conversation
            # A fault of ours in one answer: the client gets an error, the log the traceback, once.
            name = query.method or query.path or "query"
            self._complaints.add(f"fault in {name}", "! a query failed", exc_info=True)
            message = "An unknown error occured while processing the request."
            raise RequestError(UNKNOWN_ERROR, message, 500) from None
