"""Requests over the WebSocket API: many at a time on one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from random import Random
from typing import Any

import msgspec
from msgspec import Raw, Struct
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
)

from tickerplant.client.connection import Dial, end_of
from tickerplant.client.request import (
    ATTEMPTS,
    CLOSED,
    PATIENCE_S,
    Clock,
    Request,
    RequestContext,
    Sleep,
    is_cancelled,
    plain_reason,
    wall_clock_ms,
)
from tickerplant.client.rest import (
    RETRIED,
    UNKNOWN_WEIGHT,
    decoded,
    shown_text,
    text_of,
)
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.formatting import one_line
from tickerplant.messages.readers import UNREADABLE
from tickerplant.queries import find_method
from tickerplant.received import excess

CLOSE_TIMEOUT_S = 1.0
"""How long a server may take to close a connection."""


class ApiRequest(Struct, frozen=True):
    """A request as it is sent."""

    id: int
    method: str
    params: Mapping[str, object]


class Retry(Struct, frozen=True, rename="camel"):
    """When a refused client may retry; both in ms since the epoch."""

    server_time: int | None = None
    retry_after: int | None = None


class Error(Struct, frozen=True):
    """The error of a response."""

    code: int
    msg: str
    data: Retry | None = None


class _RateLimit(Struct, frozen=True, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int = 1
    count: int = 0


class ApiResponse(Struct, frozen=True, rename="camel"):
    """A response as it is received."""

    id: int | str | None
    status: int
    result: Raw = Raw()  # empty if missing: msgspec allows no union with it
    error: Error | None = None
    rate_limits: tuple[_RateLimit, ...] = ()

    @property
    def used_weight(self) -> int | None:
        """The weight that this IP address has used in this minute, if the response contains it."""
        for limit in self.rate_limits:
            kind = limit.rate_limit_type, limit.interval, limit.interval_num
            if kind == ("REQUEST_WEIGHT", "MINUTE", 1):
                return limit.count
        return None


_decode_response = msgspec.json.Decoder(ApiResponse).decode


class LostError(Exception):
    """The connection ended before the response came; the message says why."""


class ApiConnection(WSListener):
    """One connection and its pending requests."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = ""
        """Why it ended; empty until then."""
        self.frames = 0
        """Frames received so far."""
        self._transport: WSTransport | None = None
        self._pending: dict[int | str, asyncio.Future[ApiResponse]] = {}
        self._parts = bytearray()
        """The frames so far of a message in several frames."""
        self._ending: asyncio.Task[None] | None = None

    @property
    def was_opened(self) -> bool:
        """Whether the handshake succeeded."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self.ended

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request and return the response."""
        if self.ended or self._transport is None:
            raise LostError(self.ended)
        response: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
        self._pending[request.id] = response
        try:
            self._transport.send(WSMsgType.TEXT, msgspec.json.encode(request))
            return await response
        finally:
            del self._pending[request.id]

    def end(self, reason: str, code: WSCloseCode | None = None) -> None:
        """End the connection; pending requests fail with the reason."""
        if self.ended:
            return
        self.ended = reason
        for response in self._pending.values():
            if not response.done():
                response.set_exception(LostError(reason))
        if self._transport is not None:
            if code is not None:
                self._transport.send_close(code)
            self._transport.disconnect(graceful=code is not None)

    async def wait_ended(self) -> None:
        """Wait until the socket is closed; abort it if the server does not close it in time."""
        if self._transport is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await end_of(self._transport)  # its reason is no longer of interest
        self._transport.disconnect(graceful=False)

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a response to the request that waits for it."""
        self.frames += 1
        if self.ended or frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            return
        if frame.msg_type is WSMsgType.CLOSE:
            has_code = frame.payload_size > 0  # if not, picows reads a 0, which is not a valid code
            code = frame.get_close_code() if has_code else WSCloseCode.OK
            text = f"{code} {frame.get_close_reason() or ''}".rstrip() if has_code else ""
            transport.send_close(code)
            transport.disconnect()
            self.end(f"the server closed the connection: {text}".rstrip(": "))
            return
        payload = frame.get_payload_as_bytes()
        if self._parts or not frame.fin:
            self._parts += payload
            if too_long := excess("the response", len(self._parts)):
                self.end(too_long)
            if self.ended or not frame.fin:
                return
            payload, self._parts = bytes(self._parts), bytearray()
        self._receive(payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End pending requests as soon as picows gives the reason."""
        self._ending = asyncio.create_task(self._end_with_reason(transport))

    async def _end_with_reason(self, transport: WSTransport) -> None:
        reason, _ = await end_of(transport)
        self.end(reason)

    def _receive(self, payload: bytes) -> None:
        try:
            response = _decode_response(payload)
        except UNREADABLE as error:
            self.end(f"unexpected message from the server: {error}")
            return
        if response.id is None:
            said = "" if response.error is None else f": {response.error.code} {response.error.msg}"
            self.end(f"the server replied to an unknown request{said}")
            return
        waiting = self._pending.get(response.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(response)


MIN_SILENCE_S = 1.0
"""A shorter wait for a response does not mean that the connection is dead."""
HANDSHAKE_WEIGHT = 5
"""Weight of opening a connection (WebSocket API general information page)."""


class ApiClient:
    """Sends WebSocket API requests to one venue.

    The connection is opened by the first request, in its event loop, and again after it was lost.
    A request whose response was lost with the connection is sent once more.  After `close` no
    request can be sent.
    """

    def __init__(
        self,
        hosts: Hosts,
        budget: WeightBudget,
        *,
        timeout_s: float = 10.0,
        patience_s: float = PATIENCE_S,
        clock: Clock = wall_clock_ms,
        sleep: Sleep = asyncio.sleep,
        rng: Random | None = None,
    ) -> None:
        """Nothing is opened yet."""
        self._venue = hosts.venue
        self._url = hosts.api
        self._timeout_s = timeout_s
        self.context = RequestContext(
            budget, patience_s=patience_s, clock=clock, sleep=sleep, rng=rng or Random()
        )
        self._ids = count(1)
        self._connection: ApiConnection | None = None
        self._opening: asyncio.Task[ApiConnection] | None = None
        self._attempt: asyncio.Task[ApiConnection] | None = None
        self._dial = Dial(timeout_s)
        """The dial of the attempt."""

    async def ask(self, method: str, /, **params: object) -> Any:
        """Return the decoded `result` of the response; see `fetch`."""
        return decoded(await self.fetch(method, params), self._url)

    async def fetch(
        self, method: str, params: Mapping[str, object], *, timeout_s: float | None = None
    ) -> bytes:
        """Return the `result` of the response as the server wrote it.

        Args:
            method: Such as `depth`, `ticker.price`, `ticker.book`.  COIN-M has no market data there
                (`Venue.has_market_api`): it responds with an error.
            params: The parameters; None is left out.
            timeout_s: Total time for handshake, attempts and pauses.  A wait that is known to take
                longer, or for the end of a refusal, fails at once.  None: limited by the patience
                only.

        Raises:
            RequestError: the server responded with an error, or refused this IP address (429, 418)
                for longer than the request waits.
            UpstreamError: there was no response in time, or none while others arrived, or the
                connection was twice lost or silent.
        """
        values = {name: _value_of(value) for name, value in params.items() if value is not None}
        query = find_method(self._venue, method.removeprefix("v1/"))
        weight = UNKNOWN_WEIGHT if query is None else query.weigh(values)
        subject = shown_text(values)
        request = Request(self.context, self._url, one_line(method), subject, timeout_s)
        async with request.limited():
            return await self._send_until_answered(request, weight, method, values)

    async def _send_until_answered(
        self, request: Request, weight: int, method: str, values: Mapping[str, object]
    ) -> bytes:
        was_lost = False
        while True:
            await request.wait_for_refusal()
            await self._connected(request)  # requests would leave no weight for a handshake
            await request.spend(weight)
            connection = await self._connected(request)
            try:
                message = ApiRequest(next(self._ids), method, values)
                response = await self._send(request, connection, message)
            except LostError as lost:
                if was_lost:
                    raise request.failure(str(lost)) from None
                was_lost = True
                continue
            result = self._result(request, response)
            if result is not None:
                return result

    async def close(self) -> None:
        """End the connection; pending requests fail with an `UpstreamError`."""
        self.context.close()
        tasks = {task for task in (self._opening, self._attempt) if task is not None}
        if self._opening is not None:
            self._opening.cancel()
        if self._attempt is not None and not self._attempt.done():
            self._dial.give_up(self._attempt)
        if tasks:
            await asyncio.wait(tasks)
        if self._attempt is not None and _has_result(self._attempt):
            self._connection = self._attempt.result()
        if self._connection is not None:
            self._connection.end(CLOSED, WSCloseCode.OK)
            await self._connection.wait_ended()

    async def _send(
        self, request: Request, connection: ApiConnection, message: ApiRequest
    ) -> ApiResponse:
        frames, remaining_s = connection.frames, request.remaining_s()
        timeout_s = self._timeout_s if remaining_s is None else min(self._timeout_s, remaining_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await connection.send(message)
        except TimeoutError:
            reason = f"no response within {timeout_s:.3g} s"
            is_silent = connection.frames == frames
            if is_silent and timeout_s >= min(self._timeout_s, MIN_SILENCE_S):
                connection.end(reason)
                if timeout_s == self._timeout_s:
                    raise LostError(reason) from None
            raise request.failure(reason) from None

    def _result(self, request: Request, response: ApiResponse) -> bytes | None:
        """Return the result, None after a refusal."""
        used = response.used_weight
        if used is not None:
            request.note_used(used)
        error = response.error
        result = bytes(response.result)
        if response.status == 200 and result:
            return result
        if error is None:
            raise request.failure("a response with neither a result nor an error")
        if response.status not in REFUSALS:
            raise request.rejected(error.code, error.msg, response.status)
        retry_after_ms = self._retry_after_ms(error.data or Retry())
        request.refused(error.code, error.msg, response.status, retry_after_ms)
        return None

    def _retry_after_ms(self, retry: Retry) -> int | None:
        """Return how long the server asks to wait, by its own clock if the response contains it."""
        if retry.retry_after is None:
            return None
        now_ms = self.context.clock() if retry.server_time is None else retry.server_time
        return retry.retry_after - now_ms

    async def _connected(self, request: Request) -> ApiConnection:
        """Return the connection, and open one for `request` if there is none."""
        try:
            return await self._opened(request.timeout_s)
        except UpstreamError as error:  # it may have been opened for another request
            raise request.failure(error.reason) from None
        except RequestError as error:
            raise request.rejected_like(error) from None

    async def _opened(self, timeout_s: float | None) -> ApiConnection:
        if self.context.closed:
            raise UpstreamError(self._url, CLOSED)
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open(timeout_s))
            self._opening.add_done_callback(self._forget_opening)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled() and not is_cancelled():
                raise UpstreamError(self._url, CLOSED) from None
            raise

    def _forget_opening(self, opening: asyncio.Task[ApiConnection]) -> None:
        self._opening = None
        if _has_result(opening):
            self._connection = opening.result()

    async def _open(self, timeout_s: float | None) -> ApiConnection:
        """Return a new connection."""
        request = Request(self.context, self._url, timeout_s=timeout_s)
        while True:
            await request.spend(HANDSHAKE_WEIGHT)
            self._dial = Dial(self._timeout_s)
            self._attempt = asyncio.get_running_loop().create_task(self._connect(self._dial))
            try:
                return await asyncio.shield(self._attempt)
            except WSHandshakeError as error:
                await self._on_handshake_error(request, error)
            except TimeoutError:
                await request.wait_after_failure(f"no handshake within {self._timeout_s:g} s")
            except (OSError, WSError, LostError) as error:
                await request.wait_after_failure(plain_reason(error))

    async def _connect(self, dial: Dial) -> ApiConnection:
        connection = ApiConnection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await dial.open(connection, self._url)
        finally:
            if not connection.was_opened:
                await dial.clear()
        if not connection.is_open:  # picows does not report a socket that was closed in between
            raise LostError("closed during the handshake")
        return connection

    async def _on_handshake_error(self, request: Request, error: WSHandshakeError) -> None:
        """Handle a response to the handshake that does not open a connection."""
        response = error.response
        if response is None or response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            await request.wait_after_failure(f"invalid handshake response: {error}")
            return
        status, phrase = int(response.status), response.status.phrase
        if status in REFUSALS:
            request.refused_by_http(status, phrase, response.headers, error.raw_body or b"")
            return
        attempts = ATTEMPTS if status in RETRIED else 1
        await request.wait_after_failure(f"HTTP {status} {phrase}", attempts=attempts)


def _has_result(task: asyncio.Task[ApiConnection]) -> bool:
    """Whether a finished task succeeded."""
    return not task.cancelled() and task.exception() is None


def _value_of(value: object) -> object:
    """Return a parameter for JSON: decimal numbers are strings (general information page)."""
    return text_of(value) if isinstance(value, float | Decimal) else value
