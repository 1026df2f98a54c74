"""A connection to the WebSocket API, and the questions that wait on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tickerplant.client.dial import end_of
from tickerplant.messages.readers import UNREADABLE

MAX_MESSAGE_BYTES = 1 << 25
CLOSE_TIMEOUT_S = 1.0
"""Time a server has to take the end of a connection."""


class Asked(Struct, frozen=True):
    """A question as it is sent."""

    id: int
    method: str
    params: Mapping[str, object]


class Retry(Struct, frozen=True, rename="camel"):
    """When a refused client may come back; both in ms since the epoch."""

    server_time: int | None = None
    retry_after: int | None = None


class Error(Struct, frozen=True):
    """Why a question was not answered."""

    code: int
    msg: str
    data: Retry | None = None


class _RateLimit(Struct, frozen=True, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int = 1
    count: int = 0


class Reply(Struct, frozen=True, rename="camel"):
    """A reply as it is received."""

    id: int | str | None
    status: int
    result: Raw = Raw()  # empty where there is none: msgspec reads no union of it
    error: Error | None = None
    rate_limits: tuple[_RateLimit, ...] = ()

    @property
    def used_weight(self) -> int | None:
        """The weight that the whole address has used in this minute, if the reply tells."""
        for limit in self.rate_limits:
            kind = limit.rate_limit_type, limit.interval, limit.interval_num
            if kind == ("REQUEST_WEIGHT", "MINUTE", 1):
                return limit.count
        return None


_decode_reply = msgspec.json.Decoder(Reply).decode


class LostError(Exception):
    """The connection ended before the answer came; says why."""


class ApiConnection(WSListener):
    """One connection and the questions that wait on it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = ""
        """Why it is over; empty while it is not."""
        self.heard = 0
        """Frames received so far."""
        self._transport: WSTransport | None = None
        self._replies: dict[int | str, asyncio.Future[Reply]] = {}
        self._parts = bytearray()
        """What came of a message in several frames."""
        self._last_words: asyncio.Task[None] | None = None

    @property
    def was_opened(self) -> bool:
        """Whether the handshake was answered."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether something can be asked."""
        return self._transport is not None and not self.ended

    async def ask(self, asked: Asked) -> Reply:
        """Send a question and return the reply to it.

        Raises:
            LostError: the connection is over.
        """
        if self.ended or self._transport is None:
            raise LostError(self.ended)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[asked.id] = reply
        try:
            self._transport.send(WSMsgType.TEXT, msgspec.json.encode(asked))
            return await reply
        finally:
            del self._replies[asked.id]

    def end(self, reason: str, code: WSCloseCode | None = None) -> None:
        """End the connection; whoever waits hears the reason."""
        if self.ended:
            return
        self.ended = reason
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(LostError(reason))
        if self._transport is not None:
            if code is not None:
                self._transport.send_close(code)
            self._transport.disconnect(graceful=code is not None)

    async def wait_ended(self) -> None:
        """Return when the socket is closed; a server that does not take the end is cut off."""
        if self._transport is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await end_of(self._transport)  # whatever it ended with: nobody asks any more
        self._transport.disconnect(graceful=False)

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep what to send with."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a reply to who waits for it."""
        self.heard += 1
        if self.ended or frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            return
        if frame.msg_type is WSMsgType.CLOSE:
            has_code = frame.payload_size > 0  # if not, picows reads a 0, which nobody may send
            code = frame.get_close_code() if has_code else WSCloseCode.OK
            said = f"{code} {frame.get_close_reason() or ''}".rstrip() if has_code else ""
            transport.send_close(code)
            transport.disconnect()
            self.end(f"the server closed the connection: {said}".rstrip(": "))
            return
        payload = frame.get_payload_as_bytes()
        if self._parts or not frame.fin:
            self._parts += payload
            if len(self._parts) > MAX_MESSAGE_BYTES:
                self.end("the reply is too long")
            if self.ended or not frame.fin:
                return
            payload, self._parts = bytes(self._parts), bytearray()
        self._receive(payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell who waits, as soon as picows tells why."""
        self._last_words = asyncio.create_task(self._tell_end(transport))

    async def _tell_end(self, transport: WSTransport) -> None:
        reason, _ = await end_of(transport)
        self.end(reason)

    def _receive(self, payload: bytes) -> None:
        try:
            reply = _decode_reply(payload)
        except UNREADABLE as wrong:
            self.end(f"what the server says is no reply: {wrong}")
            return
        if reply.id is None:
            error = reply.error
            said = "" if error is None else f": {error.code} {error.msg}"
            self.end(f"the server replied to no question{said}")
            return
        waiting = self._replies.get(reply.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)
