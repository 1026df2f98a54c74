"""A connection to the WebSocket API and its pending requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tickerplant.client.dial import end_of
from tickerplant.messages.readers import UNREADABLE
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
