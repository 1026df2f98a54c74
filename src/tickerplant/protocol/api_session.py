"""One WebSocket API client's side of the conversation (general information page).

Every request is charged to the budget of its address before it is answered; one that cannot be
understood weighs 1. A request over budget is answered with status 429, a banned one with 418 and
the end of the connection. After the session has returned a `Close` it returns nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Raw

from tickerplant.errors import RequestError
from tickerplant.protocol import closing
from tickerplant.protocol.actions import Action, Close, Ping, Send
from tickerplant.protocol.api_reply import ApiError, ApiReply, RateLimit, Retry, SessionStatus
from tickerplant.protocol.api_request import (
    BAD_ID,
    REJECTED_KEY,
    UNSUPPORTED_OPERATION,
    ApiRequest,
    read_api_request,
)
from tickerplant.protocol.budget import Budget, Charge
from tickerplant.protocol.closing import CloseReason
from tickerplant.protocol.counters import SessionCounters
from tickerplant.protocol.keepalive import Keepalive
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.target import ApiTarget
from tickerplant.protocol.token_bucket import TokenBucket

SESSION_METHODS = frozenset({"session.logon", "session.status", "session.logout"})
SESSION_WEIGHT = 2
PROBLEM_WEIGHT = 1


class Answerer(Protocol):
    """Knows the methods of a venue, what they weigh and what they answer."""

    def weigh(self, method: str, params: Mapping[str, object]) -> int | None:
        """Return the request weight, whatever the parameters, or None if there is no such method."""

    def answer(self, method: str, params: Mapping[str, object]) -> bytes:
        """Return the result as JSON.

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
    ) -> None:
        self.closed = False
        self._target = target
        self._answerer = answerer
        self._budget = budget
        self._address = address
        self._limits = limits
        self._opened_ms = now_ms
        self._counters = counters or SessionCounters()
        self._keepalive = Keepalive(limits, now_ms)
        rate_per_s = limits.api_control_rate_per_s
        self._control_frames = TokenBucket(rate_per_s, rate_per_s, now_ms)

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do."""
        return self._keepalive.next_deadline_ms

    def open(self) -> list[Action]:
        """Charge the handshake; a banned address is sent away."""
        charge = self._budget.charge(self._address, self._limits.handshake_weight, self._opened_ms)
        return [] if charge.banned_until_ms is None else self._close(closing.BANNED)

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Charge and answer one request."""
        if self.closed:
            return []
        request = read_api_request(text)
        problem = request.problem
        weight = PROBLEM_WEIGHT
        if problem is None:
            try:
                weight = self._weigh(request)
            except RequestError as error:
                problem = error
        charge = self._budget.charge(self._address, weight, now_ms)
        if charge.refused:
            return self._turn_away(request, charge, now_ms)
        if problem is not None:
            return self._refuse(request, charge, problem)
        try:
            result = self._result(request, now_ms)
        except RequestError as error:
            return self._refuse(request, charge, error)
        return [self._send(request, charge, ApiReply(id=request.id, result=result))]

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Answer a binary message as text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def ping(self, payload: bytes, now_ms: int) -> list[Action]:  # noqa: ARG002 - the shell echoes it
        """Count a client's ping, which the shell answers, against its five a second."""
        return self._control_frame(now_ms)

    def pong(self, payload: bytes, now_ms: int) -> list[Action]:  # noqa: ARG002 - any pong is life
        """Take a pong, asked for or not, as a sign of life, and count it."""
        self._counters.pongs_received += 1
        self._keepalive.pong()
        return self._control_frame(now_ms)

    def tick(self, now_ms: int) -> list[Action]:
        """Return the ping or the close that is due at `now_ms`."""
        if self.closed:
            return []
        match self._keepalive.tick(now_ms):
            case Ping() as ping:
                self._counters.pings_sent += 1
                return [ping]
            case CloseReason() as reason:
                return self._close(reason)
            case _:
                return []

    def _weigh(self, request: ApiRequest) -> int:
        if request.method in SESSION_METHODS:
            weight: int | None = SESSION_WEIGHT
        else:
            weight = self._answerer.weigh(request.method, request.params)
        if weight is None:
            raise RequestError(
                UNSUPPORTED_OPERATION,
                f"This operation is not supported: no method '{request.method}'.",
            )
        self._counters.methods[request.method] += 1
        return weight

    def _result(self, request: ApiRequest, now_ms: int) -> Raw | SessionStatus:
        if request.method not in SESSION_METHODS:
            return Raw(self._answerer.answer(request.method, request.params))
        if request.method == "session.logon":
            raise RequestError(
                REJECTED_KEY,
                "Invalid API-key, IP, or permissions for action; this server has no accounts.",
                401,
            )
        return SessionStatus(
            connected_since=self._opened_ms,
            return_rate_limits=self._target.return_rate_limits,
            server_time=now_ms,
        )

    def _turn_away(self, request: ApiRequest, charge: Charge, now_ms: int) -> list[Action]:
        """Answer 429, or 418 and goodbye."""
        refusal = self._budget.refusal(charge)
        retry = Retry(server_time=now_ms, retry_after=now_ms + charge.retry_after_ms)
        error = ApiError(refusal.code, refusal.message, retry)
        self._counters.errors[error.code] += 1
        reply = self._send(
            request, charge, ApiReply(id=request.id, status=refusal.status, error=error)
        )
        return [reply] if charge.banned_until_ms is None else [reply, *self._close(closing.BANNED)]

    def _refuse(self, request: ApiRequest, charge: Charge, problem: RequestError) -> list[Action]:
        self._counters.errors[problem.code] += 1
        error = ApiError(problem.code, problem.message)
        reply = ApiReply(id=request.id, status=problem.status, error=error)
        sent = self._send(request, charge, reply)
        return [sent, *self._close(closing.INVALID_ID)] if problem.code == BAD_ID else [sent]

    def _send(self, request: ApiRequest, charge: Charge, reply: ApiReply) -> Send:
        shown = request.return_rate_limits
        if self._target.return_rate_limits if shown is None else shown:
            limit = self._limits.request_weight_per_minute
            rate_limits = (RateLimit(limit=limit, count=charge.used),)
            reply = msgspec.structs.replace(reply, rate_limits=rate_limits)
        return Send(msgspec.json.encode(reply), reply.error.code if reply.error else None)

    def _control_frame(self, now_ms: int) -> list[Action]:
        if self.closed or self._control_frames.take(now_ms):
            return []
        return self._close(closing.TOO_MANY_REQUESTS)

    def _close(self, reason: CloseReason) -> list[Action]:
        self.closed = True
        return [Close(reason)]
