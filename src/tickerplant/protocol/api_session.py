"""One WebSocket API connection: its requests and its replies (general information page).

Every request is charged to its address before it is answered, whether or not it can be understood.
A request over the limit is answered with status 429, one of a banned address with 418 and a close.
After the session has returned a `Close` it returns nothing more.

A request that is forwarded is answered later: the session returns a `Forward`, and `answered` makes
the reply.  Other requests are answered in the meantime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tickerplant.errors import RequestError
from tickerplant.protocol import close_reasons
from tickerplant.protocol.actions import Action, Forward, Send
from tickerplant.protocol.client_requests import (
    BAD_ID,
    MOST_SHOWN,
    UNSUPPORTED_OPERATION,
    ApiRequest,
    RequestId,
    overloaded,
    read_api_request,
)
from tickerplant.protocol.keepalive import Keepalive, SessionCounters
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import (
    CONTROL_FRAMES,
    Charge,
    ClientUsage,
    RateLimiter,
    Throttle,
    TokenBucket,
)
from tickerplant.protocol.target import ApiTarget
from tickerplant.queries import request_errors
from tickerplant.queries.account_requests import AccountRequest
from tickerplant.queries.query import Query


class RateLimit(Struct, frozen=True, kw_only=True, rename="camel"):
    """The one rate limit of market data: request weight per clock minute."""

    rate_limit_type: str = "REQUEST_WEIGHT"
    interval: str = "MINUTE"
    interval_num: int = 1
    limit: int
    count: int


class Retry(Struct, frozen=True, kw_only=True, rename="camel"):
    """When a refused client may retry; both in ms since 1970."""

    server_time: int
    retry_after: int


class ApiError(Struct, frozen=True):
    """The error of a reply."""

    code: int
    msg: str
    data: Retry | UnsetType = UNSET


class SessionStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """The status of a connection: never logged on, because this server has no accounts."""

    api_key: None = None
    authorized_since: None = None
    connected_since: int
    return_rate_limits: bool
    server_time: int


class ApiReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """One reply, with a `result` or an `error`."""

    id: RequestId
    status: int = 200
    result: Raw | SessionStatus | UnsetType = UNSET
    error: ApiError | UnsetType = UNSET
    rate_limits: tuple[RateLimit, ...] | UnsetType = UNSET


MAX_FORWARDED = 32
"""Most requests of one connection that are forwarded and wait for a response."""

LOGON = "session.logon"
SESSION_METHODS = frozenset({LOGON, "session.status", "session.logout"})
LOGON_PARAMS = ("apiKey", "signature", "timestamp")
REJECTED_KEY = -2015


def answer_session(
    method: str, params: Mapping[str, object], status: SessionStatus
) -> SessionStatus:
    """Return `status`, the result of every session method but `session.logon`.

    Raises:
        RequestError: for `session.logon`: -1102 for a parameter that is missing or is neither text
            nor an integer, else -2015, because no key is known.
    """
    if method != LOGON:
        return status
    for name in LOGON_PARAMS:
        if not _is_sent(params.get(name)):
            raise request_errors.not_sent(name)
    raise RequestError(
        REJECTED_KEY,
        "Invalid API-key, IP, or permissions for action; this server has no accounts.",
        401,
    )


def _is_sent(value: object) -> bool:
    """Return whether `value` could be a key, a signature or a time."""
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


class Queries(Protocol):
    """The queries of a venue."""

    def find(self, method: str) -> Query | None:
        """Return the query of a method; None if the venue has no such method."""

    def find_account(self, method: str) -> AccountRequest | None:
        """Return the row of a method about accounts; None if the venue has no such method."""

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether a request is forwarded."""

    def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the response as JSON.

        Raises:
            RequestError: the response is an error.
        """


def api_keepalive(
    limits: Limits, now_ms: int, counters: SessionCounters, usage: ClientUsage
) -> Keepalive:
    """Return the keepalive of a WebSocket API connection, which limits pings and pongs."""
    rate_per_s = limits.api_control_rate_per_s
    bucket = TokenBucket(rate_per_s, rate_per_s, now_ms)
    control_frames = Throttle(bucket, usage, CONTROL_FRAMES, enforced=limits.enforced)
    return Keepalive(limits, now_ms, counters, control_frames)


class ApiSession:
    """The state of one WebSocket API connection; times are ms of the server's own clock."""

    def __init__(
        self,
        target: ApiTarget,
        queries: Queries,
        rate_limiter: RateLimiter,
        address: str,
        limits: Limits,
        now_ms: int,
        counters: SessionCounters | None = None,
    ) -> None:
        self._target = target
        self._queries = queries
        self._rate_limiter = rate_limiter
        self._address = address
        self._limits = limits
        self._opened_ms = now_ms
        self._counters = counters or SessionCounters()
        self._forwarded_count = 0
        usage = rate_limiter.usage_of(address)
        self.keepalive = api_keepalive(limits, now_ms, self._counters, usage)
        """Pings, pongs and age; the session is over when it is closed."""

    @property
    def forwarded_count(self) -> int:
        """Requests that are forwarded and wait for a response."""
        return self._forwarded_count

    def open(self) -> list[Action]:
        """Charge the handshake; a banned address is disconnected."""
        charge = self._rate_limiter.charge(
            self._address, self._limits.handshake_weight, self._opened_ms
        )
        return [] if charge.banned_until_ms is None else self.keepalive.close(close_reasons.BANNED)

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Charge and answer one request."""
        if self.keepalive.closed:
            return []
        request = read_api_request(text)
        query = None if request.problem else self._queries.find(request.method)
        charge = self._charge(request, query, now_ms)
        if charge.refused:
            return self._turn_away(request, charge, now_ms)
        try:
            if query is not None and self._queries.forwards(query, request.params):
                return [self._forward(request, query, charge)]
            result = self._result(request, query, now_ms)
        except RequestError as error:
            return self._refuse(request, charge, error)
        return [self._send(request, charge, ApiReply(id=request.id, result=result))]

    def answered(self, forwarded: Forward, outcome: bytes | RequestError) -> list[Action]:
        """Reply to a forwarded request: `outcome` is the response as JSON, or an error."""
        self._forwarded_count -= 1
        if self.keepalive.closed:
            return []
        request, charge = forwarded.request, forwarded.charge
        if isinstance(outcome, RequestError):
            return self._fail(request, charge, outcome)
        return [self._send(request, charge, ApiReply(id=request.id, result=Raw(outcome)))]

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Answer a binary message like text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def _charge(self, request: ApiRequest, query: Query | None, now_ms: int) -> Charge:
        if query is not None:
            weight, allowance = query.weigh(request.params), query.allowance
            return self._rate_limiter.charge(self._address, weight, now_ms, allowance)
        account = None if request.problem else self._queries.find_account(request.method)
        is_session = request.method in SESSION_METHODS
        weight = self._limits.session_weight if is_session else self._limits.problem_weight
        return self._rate_limiter.charge(
            self._address, account.weight if account else weight, now_ms
        )

    def _forward(self, request: ApiRequest, query: Query, charge: Charge) -> Forward:
        self._counters.methods[request.method] += 1
        if self._forwarded_count >= MAX_FORWARDED:
            raise overloaded()
        self._forwarded_count += 1
        return Forward(query, request.params, request, charge)

    def _result(self, request: ApiRequest, query: Query | None, now_ms: int) -> Raw | SessionStatus:
        if request.problem is not None:
            raise request.problem
        if query is None and self._queries.find_account(request.method) is not None:
            self._counters.methods[request.method] += 1
            raise request_errors.bad_key()
        if query is None and request.method not in SESSION_METHODS:
            raise RequestError(
                UNSUPPORTED_OPERATION,
                f"This operation is not supported: no method '{request.method[:MOST_SHOWN]}'.",
            )
        self._counters.methods[request.method] += 1
        if query is not None:
            return Raw(self._queries.answer(query, request.params))
        status = SessionStatus(
            connected_since=self._opened_ms,
            return_rate_limits=self._target.return_rate_limits,
            server_time=now_ms,
        )
        return answer_session(request.method, request.params, status)

    def _turn_away(self, request: ApiRequest, charge: Charge, now_ms: int) -> list[Action]:
        """Answer 429, or 418 and a close."""
        refusal = self._rate_limiter.refusal(charge)
        retry = Retry(server_time=now_ms, retry_after=now_ms + charge.retry_after_ms)
        actions = self._fail(request, charge, refusal, retry)
        is_banned = charge.banned_until_ms is not None
        return actions + self.keepalive.close(close_reasons.BANNED) if is_banned else actions

    def _refuse(self, request: ApiRequest, charge: Charge, problem: RequestError) -> list[Action]:
        actions = self._fail(request, charge, problem)
        is_final = problem.code == BAD_ID
        return actions + self.keepalive.close(close_reasons.INVALID_ID) if is_final else actions

    def _fail(
        self,
        request: ApiRequest,
        charge: Charge,
        error: RequestError,
        retry: Retry | UnsetType = UNSET,
    ) -> list[Action]:
        """Return the error reply."""
        self._counters.errors[error.code] += 1
        shown = ApiError(error.code, error.message, retry)
        reply = ApiReply(id=request.id, status=error.status, error=shown)
        return [self._send(request, charge, reply)]

    def _send(self, request: ApiRequest, charge: Charge, reply: ApiReply) -> Send:
        shown = request.return_rate_limits
        if self._target.return_rate_limits if shown is None else shown:
            limit = self._limits.request_weight_per_minute
            rate_limits = (RateLimit(limit=limit, count=charge.used),)
            reply = msgspec.structs.replace(reply, rate_limits=rate_limits)
        return Send(msgspec.json.encode(reply), reply.error.code if reply.error else None)
