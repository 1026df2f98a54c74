"""One WebSocket API client's side of the conversation (general information page).

Every request is charged to the budget of its address before it is answered, whether or not it can
be understood. A request over budget is answered with status 429, a banned one with 418 and
the end of the connection. After the session has returned a `Close` it returns nothing more.

What is not known here may be asked elsewhere: the session returns an `Ask`, is told the answer by
`answered`, and says it then, after whatever was asked and answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickerplant.errors import RequestError
from tickerplant.protocol import closing
from tickerplant.protocol.account import CONTROL_FRAMES
from tickerplant.protocol.actions import Action, Ask, Send
from tickerplant.protocol.api_reply import ApiError, ApiReply, RateLimit, Retry, SessionStatus
from tickerplant.protocol.api_request import (
    BAD_ID,
    UNSUPPORTED_OPERATION,
    ApiRequest,
    read_api_request,
)
from tickerplant.protocol.budget import Budget, Charge
from tickerplant.protocol.counters import SessionCounters
from tickerplant.protocol.elsewhere import MAX_PENDING, Elsewhere, nowhere, overloaded
from tickerplant.protocol.keepalive import Keepalive
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.session_methods import SESSION_METHODS, answer_session
from tickerplant.protocol.target import ApiTarget
from tickerplant.protocol.throttle import Throttle
from tickerplant.protocol.token_bucket import TokenBucket
from tickerplant.queries.query import Query


class Answerer(Protocol):
    """Knows what can be asked of a venue, and the answers."""

    def find(self, method: str) -> Query | None:
        """Return what `method` asks, or None if the venue has no such method."""

    def ask(self, query: Query, params: Mapping[str, object]) -> bytes:
        """Return the answer as JSON.

        Raises:
            RequestError: the question is answered with an error.
        """


class ApiSession:
    """The state of one WebSocket API connection; times are ms of the server's own clock."""

    def __init__(
        self,
        target: ApiTarget,
        answerer: Answerer,
        budget: Budget,
        address: str,
        limits: Limits,
        now_ms: int,
        counters: SessionCounters | None = None,
        elsewhere: Elsewhere = nowhere,
    ) -> None:
        self._target = target
        self._answerer = answerer
        self._budget = budget
        self._address = address
        self._limits = limits
        self._opened_ms = now_ms
        self._counters = counters or SessionCounters()
        self._elsewhere = elsewhere
        self._pending = 0
        rate_per_s = limits.api_control_rate_per_s
        control_frames = Throttle(
            TokenBucket(rate_per_s, rate_per_s, now_ms),
            budget.account(address),
            CONTROL_FRAMES,
            enforced=limits.enforced,
        )
        self.keepalive = Keepalive(limits, now_ms, self._counters, control_frames)
        """Takes pings, pongs and time; the session is over when it is closed."""

    def open(self) -> list[Action]:
        """Charge the handshake; a banned address is sent away."""
        charge = self._budget.charge(self._address, self._limits.handshake_weight, self._opened_ms)
        return [] if charge.banned_until_ms is None else self.keepalive.close(closing.BANNED)

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Charge and answer one request."""
        if self.keepalive.closed:
            return []
        request = read_api_request(text)
        query = None if request.problem else self._answerer.find(request.method)
        charge = self._charge(request, query, now_ms)
        if charge.refused:
            return self._turn_away(request, charge, now_ms)
        try:
            if query is not None and self._elsewhere(query, request.params):
                return [self._ask(request, query, charge)]
            result = self._result(request, query, now_ms)
        except RequestError as error:
            return self._refuse(request, charge, error)
        return [self._send(request, charge, ApiReply(id=request.id, result=result))]

    def answered(self, ask: Ask, result: bytes | RequestError) -> list[Action]:
        """Pass on what was answered elsewhere, an answer as JSON or an error."""
        self._pending -= 1
        if self.keepalive.closed:
            return []
        if isinstance(result, RequestError):
            return self._fail(ask.request, ask.charge, result)
        reply = ApiReply(id=ask.request.id, result=Raw(result))
        return [self._send(ask.request, ask.charge, reply)]

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Answer a binary message as text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def _charge(self, request: ApiRequest, query: Query | None, now_ms: int) -> Charge:
        if query is not None:
            weight, allowance = query.weigh(request.params), query.allowance
            return self._budget.charge(self._address, weight, now_ms, allowance)
        is_session = request.method in SESSION_METHODS
        weight = self._limits.session_weight if is_session else self._limits.problem_weight
        return self._budget.charge(self._address, weight, now_ms)

    def _ask(self, request: ApiRequest, query: Query, charge: Charge) -> Ask:
        self._counters.methods[request.method] += 1
        if self._pending >= MAX_PENDING:
            raise overloaded()
        self._pending += 1
        return Ask(query, request.params, request, charge)

    def _result(self, request: ApiRequest, query: Query | None, now_ms: int) -> Raw | SessionStatus:
        if request.problem is not None:
            raise request.problem
        if query is None and request.method not in SESSION_METHODS:
            raise RequestError(
                UNSUPPORTED_OPERATION,
                f"This operation is not supported: no method '{request.method}'.",
            )
        self._counters.methods[request.method] += 1
        if query is not None:
            return Raw(self._answerer.ask(query, request.params))
        status = SessionStatus(
            connected_since=self._opened_ms,
            return_rate_limits=self._target.return_rate_limits,
            server_time=now_ms,
        )
        return answer_session(request.method, request.params, status)

    def _turn_away(self, request: ApiRequest, charge: Charge, now_ms: int) -> list[Action]:
        """Answer 429, or 418 and goodbye."""
        refusal = self._budget.refusal(charge)
        retry = Retry(server_time=now_ms, retry_after=now_ms + charge.retry_after_ms)
        actions = self._fail(request, charge, refusal, retry)
        is_banned = charge.banned_until_ms is not None
        return actions + self.keepalive.close(closing.BANNED) if is_banned else actions

    def _refuse(self, request: ApiRequest, charge: Charge, problem: RequestError) -> list[Action]:
        actions = self._fail(request, charge, problem)
        is_final = problem.code == BAD_ID
        return actions + self.keepalive.close(closing.INVALID_ID) if is_final else actions

    def _fail(
        self,
        request: ApiRequest,
        charge: Charge,
        error: RequestError,
        retry: Retry | UnsetType = UNSET,
    ) -> list[Action]:
        """Return the reply that says what went wrong."""
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
