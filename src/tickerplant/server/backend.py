"""What decides about connections, and answers the requests of the WebSocket API.

`LocalBackend` does both at once, with the market and the limits of this process.  An edge asks its
plant instead, and is answered later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.protocol.actions import Action, Forward
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.keepalive import Keepalive, SessionCounters
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.protocol.target import ApiTarget
from tickerplant.server.query_service import QueryService

Reply: TypeAlias = Callable[[Iterable[Action]], object]
"""Takes what is to be done on a connection for a request that was answered later."""


class Attempt(Struct, frozen=True):
    """A valid request to open a WebSocket connection."""

    address: str
    """Who is charged."""
    target: str
    """The request target."""
    is_api: bool
    """Whether it is a connection of the WebSocket API; its session charges the handshake."""
    is_counted: bool
    """Whether faults may be against it: it is not exempt."""


class Admission(Struct, frozen=True):
    """The decision about an attempt to connect."""

    wait_ms: int = 0
    """How long to wait before the next attempt; 0 if the address may connect."""
    is_banned: bool = False
    """Whether the address is banned; that ends a WebSocket API connection as soon as it is open."""
    fault_number: int | None = None
    """The number of the connection, by which faults draw; None if this process counts them itself."""
    refused_status: int = 0
    """The status with which a fault refuses the handshake, if the number is given; 0 if none does."""
    unavailable: str = ""
    """Why nobody can decide now, as one line without a full stop; empty if it was decided."""


ADMITTED = Admission()


class ApiRequests(Protocol):
    """The requests of one WebSocket API connection."""

    @property
    def keepalive(self) -> Keepalive:
        """Pings, pongs and age of the connection."""

    @property
    def is_full(self) -> bool:
        """Whether so many requests wait that no more may be received for now."""

    def open(self) -> Iterable[Action]:
        """Return what is to be done first."""

    def receive_text(self, text: str | bytes, now_ms: int) -> Iterable[Action]:
        """Take one request; return what is to be done at once."""

    def receive_binary(self, now_ms: int) -> Iterable[Action]:
        """Take a binary message like text that is not JSON."""

    def cancel(self) -> None:
        """Reply to nothing more: the connection is closing."""


class Backend(Protocol):
    """What decides about connections, and answers the requests of the WebSocket API."""

    def admit(self, attempt: Attempt, now_ms: int, decide: Callable[[Admission], object]) -> None:
        """Count an attempt to connect, and call `decide` with the decision, now or later."""

    def open_api(
        self, target: ApiTarget, address: str, admission: Admission, now_ms: int, reply: Reply
    ) -> ApiRequests:
        """Return the requests of a new WebSocket API connection."""


class LocalBackend:
    """Decides and answers at once, with the market and the limits of this process."""

    def __init__(
        self,
        queries: QueryService,
        rate_limiter: RateLimiter,
        limits: Limits,
        counters: SessionCounters,
    ) -> None:
        self._queries = queries
        self._rate_limiter = rate_limiter
        self._limits = limits
        self._counters = counters

    def admit(self, attempt: Attempt, now_ms: int, decide: Callable[[Admission], object]) -> None:
        """Count an attempt to connect, and call `decide` with the decision."""
        wait_ms = self._rate_limiter.attempt(attempt.address, now_ms)
        decide(Admission(wait_ms) if wait_ms else ADMITTED)

    def open_api(
        self, target: ApiTarget, address: str, admission: Admission, now_ms: int, reply: Reply
    ) -> LocalApiRequests:
        """Return the requests of a new WebSocket API connection."""
        del admission  # the session finds out itself whether the address is banned
        session = ApiSession(
            target,
            self._queries,
            self._rate_limiter,
            address,
            self._limits,
            now_ms,
            self._counters,
        )
        return LocalApiRequests(session, self._queries, reply)


class LocalApiRequests:
    """Requests that are answered at once; forwarded ones get their reply later."""

    is_full = False

    def __init__(self, session: ApiSession, queries: QueryService, reply: Reply) -> None:
        self.keepalive = session.keepalive
        self.open = session.open
        self._session = session
        self._queries = queries
        self._reply = reply
        self._waiting: set[asyncio.Task[None]] = set()
        """Forwarded requests without a response; the session bounds their number."""

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Answer one request; return what is to be done at once."""
        actions = self._session.receive_text(text, now_ms)
        match actions:
            case [Forward() as forward]:
                waiting = asyncio.create_task(self._forward(forward))
                self._waiting.add(waiting)
                waiting.add_done_callback(self._waiting.discard)
                return []
        return actions

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Answer a binary message like text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def cancel(self) -> None:
        """Wait for no forwarded request any more."""
        for waiting in self._waiting:
            waiting.cancel()

    async def _forward(self, request: Forward) -> None:
        try:
            outcome: bytes | RequestError = await self._queries.forward(
                request.query, request.params
            )
        except RequestError as error:
            outcome = error
        self._reply(self._session.answered(request, outcome))
