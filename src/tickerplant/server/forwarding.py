"""A forwarder that sends equal requests once, and caches the responses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import AllowanceSpentError
from tickerplant.protocol.client_requests import overloaded
from tickerplant.queries.query import Query
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.response_cache import (
    CachedError,
    CacheKey,
    Outcome,
    ResponseCache,
    cache_key,
    max_age_ms,
)

MAX_IN_FLIGHT = 256
MAX_ERROR_AGE_MS = 1_000
"""Longest time for which an error is cached."""
OURS = frozenset({403, 418, 429})
"""HTTP statuses that are about this program as a client, not about the client's request."""

Fetch: TypeAlias = Callable[[Query, Mapping[str, str]], Awaitable[bytes]]
"""Sends a request upstream; takes the parameters as REST has them, without keys and signatures.

Returns JSON within a bounded time; raises `RequestError` or `UpstreamError`.
"""
Forwards: TypeAlias = Callable[[Query, Mapping[str, object]], bool]
"""Returns whether a request is forwarded; may raise `RequestError` if it is invalid."""


class CachingForwarder:
    """Sends equal requests once, and caches each response for as long as its kind allows."""

    def __init__(
        self,
        fetch: Fetch,
        forwards: Forwards,
        *,
        clock: Clock = connection_clock_ms,
        max_age_ms: Callable[[Query], int] = max_age_ms,
        cache: ResponseCache | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.forwards = forwards
        self._fetch = fetch
        self._clock = clock
        self._max_age_ms = max_age_ms
        self._cache = ResponseCache() if cache is None else cache
        self._max_in_flight = max_in_flight
        self._in_flight: dict[CacheKey, asyncio.Task[Outcome]] = {}
        self._counts = Counter(sent=0, coalesced=0, cached=0, refused=0, failed=0)

    @property
    def counts(self) -> Mapping[str, int]:
        """The outcomes of requests.

        `sent` upstream, `coalesced` with an equal request in flight, answered with a `cached`
        response, or `refused` because too many were in flight or an allowance was spent.  Of those
        sent, `failed` got no usable response.  `evicted` counts responses that left the cache early.
        """
        return {**self._counts, "evicted": self._cache.evicted}

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the response as JSON.

        Raises:
            RequestError: the response is an error, or the request is refused.
            UpstreamError: there was no response.
        """
        key = cache_key(query, params)
        outcome = self._cache.get(key, self._clock())
        if outcome is None:
            # A client that goes away must not cancel the request of the others.
            outcome = await asyncio.shield(self._request(query, key))
        else:
            self._counts["cached"] += 1
        if isinstance(outcome, CachedError):
            raise outcome.error
        return outcome

    def _request(self, query: Query, key: CacheKey) -> asyncio.Task[Outcome]:
        request = self._in_flight.get(key)
        if request is not None:
            self._counts["coalesced"] += 1
            return request
        if len(self._in_flight) >= self._max_in_flight:
            self._counts["refused"] += 1
            raise overloaded()
        request = self._in_flight[key] = asyncio.create_task(self._outcome(query, key))
        request.add_done_callback(_retrieve_exception)
        return request

    async def _outcome(self, query: Query, key: CacheKey) -> Outcome:
        """Send the request, and cache the response; errors only for a short time."""
        max_age_ms = self._max_age_ms(query)
        self._counts["sent"] += 1
        try:
            outcome: Outcome = await self._fetch(query, dict(key.params))
        except AllowanceSpentError:
            self._counts["sent"] -= 1
            self._counts["refused"] += 1
            raise
        except RequestError as error:
            if error.status in OURS or not 400 <= error.status < 500:
                self._counts["failed"] += 1
                raise UpstreamError(key.name, str(error)) from None
            outcome = CachedError.of(error)
            max_age_ms = min(max_age_ms, MAX_ERROR_AGE_MS)
        except UpstreamError:
            self._counts["failed"] += 1
            raise
        finally:
            del self._in_flight[key]
        now_ms = self._clock()
        self._cache.put(key, outcome, now_ms, now_ms + max_age_ms)
        return outcome


def _retrieve_exception(request: asyncio.Task[Outcome]) -> None:
    """Retrieve an exception that no client is left to receive, so that asyncio does not log it."""
    if not request.cancelled():
        request.exception()
