"""The queries of one venue, answered from its markets or forwarded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.logs import Complaints
from tickerplant.market.markets import Markets
from tickerplant.profile import Profile
from tickerplant.protocol.client_requests import disconnected, unknown_error
from tickerplant.queries import find_method
from tickerplant.queries.account_requests import AccountRequest, find_account_method
from tickerplant.queries.query import Query
from tickerplant.server.slices import Slices


class Forwarder(Protocol):
    """Answers the requests that the local markets cannot."""

    @property
    def counts(self) -> Mapping[str, int]:
        """The outcomes of requests so far, for the metrics."""

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether a request is forwarded.

        Raises:
            RequestError: the request is invalid.
        """

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the response as JSON, within a bounded time.

        Raises:
            RequestError: the response is an error.
            UpstreamError: there was no response.
        """


class QueryService:
    """Answers the queries of one venue as of market time."""

    def __init__(
        self, markets: Markets, complaints: Complaints, forwarder: Forwarder | None = None
    ) -> None:
        self._markets = markets
        self._complaints = complaints
        self._forwarder = forwarder
        self._encode = msgspec.json.Encoder().encode
        self._forwarded: set[asyncio.Task[bytes]] = set()
        self._is_stopped = False

    @property
    def profile(self) -> Profile:
        """The profile that is served."""
        return self._markets.profile

    @property
    def forwarded_counts(self) -> Mapping[str, int]:
        """The outcomes of forwarded requests."""
        return {} if self._forwarder is None else self._forwarder.counts

    def find(self, method: str) -> Query | None:
        """Return the query of a WebSocket API method; None if the venue has no such method."""
        return find_method(self._markets.venue, method)

    def find_account(self, method: str) -> AccountRequest | None:
        """Return the row of a method about accounts; None if the venue has no such method."""
        return find_account_method(self._markets.venue, method)

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether a request is forwarded.

        Raises:
            RequestError: the request is invalid.
        """
        return self._forwarder is not None and self._forwarder.forwards(query, params)

    def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the response from the local markets as JSON.

        Raises:
            RequestError: the response is an error.
        """
        try:
            return self._encode(query.respond(self._markets, params))
        except RequestError:
            raise
        except Exception:  # noqa: BLE001  # a fault of ours must not end the connection
            raise self._fault(query) from None

    def begin(self, query: Query, params: Mapping[str, object]) -> bytes | Slices:
        """Return the response from the local markets as JSON, or what writes the rest of it.

        Raises:
            RequestError: the response is an error.
        """
        try:
            response = query.begin(self._markets, params)
            if not isinstance(response, Iterator):
                return self._encode(response)
            slices = Slices(response)
            written = slices.proceed()
        except RequestError:
            raise
        except Exception:  # noqa: BLE001  # a fault of ours must not end the connection
            raise self._fault(query) from None
        return slices if written is None else written

    async def finish(self, query: Query, slices: Slices) -> bytes:
        """Write what `begin` left, a slice in each turn of the loop, and return the response.

        Raises:
            RequestError: the response is an error.
        """
        try:
            while (written := slices.proceed()) is None:  # noqa: ASYNC110  # nothing to wait for
                await asyncio.sleep(0)
        except RequestError:
            raise
        except Exception:  # noqa: BLE001  # a fault of ours must not end the connection
            raise self._fault(query) from None
        return written

    async def forward(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the response of the forwarder as JSON.

        Raises:
            RequestError: the response is an error, or there was none.
        """
        if self._forwarder is None or self._is_stopped:
            raise disconnected()
        response = asyncio.create_task(self._forwarder.answer(query, params))
        self._forwarded.add(response)
        try:
            return await response
        except RequestError:
            raise
        except UpstreamError as error:
            self._complaints.add("no answer from upstream", f"! {error.url}: {error.reason}")
            raise disconnected() from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise disconnected() from None
        except Exception:  # noqa: BLE001  # a fault of ours must not end the connection
            raise self._fault(query) from None
        finally:
            self._forwarded.discard(response)

    def stop(self) -> None:
        """Forward nothing more; requests that wait for a response get an error."""
        self._is_stopped = True
        for response in self._forwarded:
            response.cancel()

    def _fault(self, query: Query) -> RequestError:
        """Log the exception that is being handled, once per query; return the client's error."""
        name = query.method or query.path or "query"
        self._complaints.add(f"fault in {name}", "! a query failed", exc_info=True)
        return unknown_error()


def _is_cancelled() -> bool:
    """Whether the current task is cancelled, and not only what it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
