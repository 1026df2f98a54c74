"""A WebSocket connection with faults on demand.

`FaultyConnection` extends the steps of `WebSocketConnection`: the handshake, the transport, the
hub's writes, the actions of the session, and the tick.  A server without faults makes plain
connections, so nothing here runs.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.envelope import HEAD
from tickerplant.frames import payloads, text_frame
from tickerplant.logs import logger
from tickerplant.protocol.actions import Action, Send, Subscribe
from tickerplant.protocol.api_session import ApiError, ApiReply, RateLimit, Retry
from tickerplant.protocol.client_requests import ApiId
from tickerplant.protocol.close_reasons import CloseReason
from tickerplant.protocol.delivery import EVERY
from tickerplant.protocol.target import ApiTarget
from tickerplant.server.backend import Admission
from tickerplant.server.congestion import Congestion, Reader
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.fault_injector import (
    RETRY_AFTER_MS,
    FaultDraws,
    FaultInjector,
    injected_error,
)
from tickerplant.server.faults import (
    API_ERROR,
    BAN_HANDSHAKES,
    CHAIN,
    CLOSE,
    EXEMPT_HEADER,
    FIELDS,
    GARBAGE,
    INVALID_UTF8,
    LIMIT_HANDSHAKES,
    NO_ACK,
    REFUSE,
    RESET,
    SILENT,
    STALL,
    WORDS,
    FaultRow,
)
from tickerplant.server.handshake import Answer, Target, Upgrade, UpgradeRequest, refused
from tickerplant.server.websocket import Session, WebSocketConnection

HANDSHAKE_STATUSES = ((REFUSE, 503), (LIMIT_HANDSHAKES, 429), (BAN_HANDSHAKES, 418))
API_STATUSES = (429, 503, 418)
TIMED_FAULTS = (RESET, CLOSE, STALL, GARBAGE, INVALID_UTF8, CHAIN)
"""Faults that happen after a random time; those that end the connection come first."""
MESSAGE_FAULTS = (CHAIN, FIELDS, WORDS)
STALL_END = "end of a stall"
"""Is a key of the deadlines, beside the names of faults."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: linger, for no time."""
BUFFERED_SHARE = 8
"""A stalled connection is congested when its buffer passes this part of the bound."""

GARBAGE_FRAMES = tuple(
    map(
        text_frame,
        (
            b"not JSON",
            b'{"zz":"nothing known"}',
            b'{"e":"trade","E":1767225600000,"s":"BTCUSDT","t":',
            b'{"e":"zz","E":1767225600000,"s":"BTCUSDT"}',
            b"[]",
            b"",
            b"null",
            b"7",
        ),
    )
)
"""Frames that are not a message, in the order in which a connection gets them."""
INVALID_UTF8_FRAME = text_frame(b'{"zz":"\xc3\x28\xff"}')

UNKNOWN_FIELDS = b',"zz":1,"zy":{"zx":["1",null]}'
UNKNOWN_WORD = b"NEW_WORD"

_HAS_IDS = re.compile(rb'"e":"(?:depthUpdate|trade|aggTrade)"')
_WORD = re.compile(rb'(?<="X":")[^"]*(?=")')


class _Method(Struct):
    """The part of a stream request that NO_ACK depends on."""

    method: str = ""


class _Reply(Struct, rename="camel"):
    """The parts of a WebSocket API reply that an error in its place keeps."""

    id: ApiId
    rate_limits: tuple[RateLimit, ...] | UnsetType = UNSET


_decode_method = msgspec.json.Decoder(_Method).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode


class StallableTransport(asyncio.Transport):
    """A transport that can be stalled: it buffers writes and reads nothing until `resume`.

    Args:
        transport: The transport of the socket.
        reader: Stands for the buffer at the gate: `transport` pauses and resumes the connection
            itself.
        congestion: Is told when too much is buffered.
        max_buffered_bytes: How much is too much.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        reader: Reader,
        congestion: Congestion,
        max_buffered_bytes: int,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._reader = reader
        self._congestion = congestion
        self._max_buffered_bytes = max_buffered_bytes
        self.is_stalled = False
        """Whether it sends and reads nothing for now."""
        self._is_paused = False
        self._buffer = bytearray()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the connection is told to pause and to resume writing."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._is_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, at once or after the stall."""
        self._is_paused = False
        if not self.is_stalled:
            self._transport.resume_reading()

    def stall(self) -> None:
        """Send and read nothing from now on."""
        self.is_stalled = True
        self._transport.pause_reading()

    def resume(self) -> None:
        """Send what was buffered, and read again."""
        self.is_stalled = False
        self._congestion.resume(self._reader)
        buffered, self._buffer = bytes(self._buffer), bytearray()
        if buffered:
            self._transport.write(buffered)
        if not self._is_paused:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Send `data`, now or after the stall."""
        if not self.is_stalled:
            self._transport.write(data)
            return
        self._buffer += data
        if len(self._buffer) > self._max_buffered_bytes:
            self._congestion.pause(self._reader)

    def forget(self) -> None:
        """Discard the buffer: the connection is lost."""
        self._buffer.clear()
        self._congestion.resume(self._reader)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are unsent, those of the buffer included."""
        return len(self._buffer) + self._transport.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Whether the stream can end in one direction only."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """End the stream in this direction."""
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once; unsent data is lost."""
        self._transport.abort()

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the socket."""
        return self._transport.get_extra_info(name, default)


class FaultyConnection(WebSocketConnection):
    """A connection whose client meets faults, from the handshake on."""

    def __init__(self, endpoint: Endpoint, draws: FaultDraws) -> None:
        super().__init__(endpoint)
        self.drops_next_message = False
        """Whether the next message with ids is left out."""
        self._draws = draws
        self._deadlines_ms: dict[str, int] = {}
        self._garbage = cycle(GARBAGE_FRAMES)
        self._api_statuses = cycle(API_STATUSES)
        self._is_api = False
        self._is_full = False
        """Whether the transport takes no more for now."""
        self._stallable: StallableTransport

    # The steps that are extended.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take over the transport, as one that can be stalled."""
        max_buffered_bytes = self._endpoint.limits.max_unsent_bytes // BUFFERED_SHARE
        self._stallable = StallableTransport(
            transport, _BufferReader(self), self._endpoint.congestion, max_buffered_bytes
        )
        super().connection_made(self._stallable)

    def answer_upgrade(self, upgrade: Upgrade, admission: Admission) -> Answer:
        """Return the answer to the upgrade request; a fault may refuse what would be granted."""
        answer = super().answer_upgrade(upgrade, admission)
        if answer.target is not None:
            for row, status in HANDSHAKE_STATUSES:
                if self._draws.happens(row):
                    headers = {} if status == 503 else {"Retry-After": str(RETRY_AFTER_MS // 1_000)}
                    return refused(
                        status, "Refused by a fault on demand.", self._endpoint.date, headers
                    )
        return answer

    def start_session(self, target: Target, admission: Admission, now_ms: int) -> Session:
        """Return the session; schedule the faults that happen after a random time."""
        session = super().start_session(target, admission, now_ms)
        self._is_api = isinstance(target, ApiTarget)
        if any(map(self._draws.is_on, MESSAGE_FAULTS)):
            self.write = self._write_messages
        for row in TIMED_FAULTS:
            self._schedule(row, now_ms)
        return session

    def perform(self, actions: Iterable[Action], message: bytes = b"") -> None:
        """Carry out what the faults leave of `actions`."""
        super().perform(self._revised(actions, message), message)

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do, on the connection clock."""
        deadline_ms = super().next_deadline_ms
        return min((deadline_ms, *self._deadlines_ms.values())) if self.is_open else deadline_ms

    def tick(self, now_ms: int) -> None:
        """Do what is due at `now_ms`, faults last."""
        super().tick(now_ms)
        if not self.is_open:
            return
        for name, due_ms in tuple(self._deadlines_ms.items()):
            # A fault that ends the connection cancels the others.
            if due_ms <= now_ms and name in self._deadlines_ms:
                self._do(name, now_ms)

    def pause_writing(self) -> None:
        """Count as congested, or let messages wait if the client does not want every one."""
        self._is_full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """Count as not congested, or send what waited, at once or after the stall."""
        self._is_full = False
        if self.policy == EVERY or not self._stallable.is_stalled:
            super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and what is buffered for it."""
        self._stallable.forget()
        super().connection_lost(exc)

    @property
    def taken_bytes(self) -> int | None:
        """Bytes that the client has acknowledged so far; None during a stall, in which it cannot."""
        return None if self._stallable.is_stalled else super().taken_bytes

    # Faults that happen after a random time.

    def _do(self, name: str, now_ms: int) -> None:
        del self._deadlines_ms[name]
        match name:
            case RESET.name:
                self._end(RESET)
                self._stallable.reset()
            case CLOSE.name:
                self._end(CLOSE)
                self.close(_close_reason(self._draws.value(CLOSE).code))
            case STALL.name:
                self._count(STALL)
                self._deadlines_ms[STALL_END] = now_ms + self._draws.value(STALL).time_ms
                self._stallable.stall()
                self._endpoint.hub.hold(self)
            case CHAIN.name:
                self.drops_next_message = True
                self._schedule(CHAIN, now_ms)
            case GARBAGE.name:
                self._write_fault(GARBAGE, next(self._garbage), now_ms)
            case INVALID_UTF8.name:
                self._write_fault(INVALID_UTF8, INVALID_UTF8_FRAME, now_ms)
            case _:
                self._stallable.resume()
                if not self._is_full:
                    self._endpoint.hub.release(self)
                self._schedule(STALL, now_ms)

    def _schedule(self, row: FaultRow, now_ms: int) -> None:
        wait_ms = self._draws.wait_ms(row)
        if wait_ms:
            self._deadlines_ms[row.name] = now_ms + wait_ms

    def _count(self, row: FaultRow) -> None:
        self._draws.count(row)
        logger().info(f"{self.identity} ! fault on demand", fault=row.name)

    def _end(self, row: FaultRow) -> None:
        self._count(row)
        self._deadlines_ms.clear()

    def _write_fault(self, row: FaultRow, frame: bytes, now_ms: int) -> None:
        self._count(row)
        self.transport.write(frame)
        self._schedule(row, now_ms)

    # Faults of messages and replies.

    def _write_messages(self, data: bytes) -> None:
        """Send the messages of the hub, changed, or without one of them."""
        kept = [
            text_frame(_changed(each, self._draws))
            for each in payloads(data)
            if not self._drops(each)
        ]
        if kept:
            self.transport.write(b"".join(kept))

    def _drops(self, payload: bytes) -> bool:
        """Whether a message is the one that is left out."""
        if not (self.drops_next_message and has_ids(payload)):
            return False
        self.drops_next_message = False
        self._count(CHAIN)
        return True

    def _revised(self, actions: Iterable[Action], message: bytes) -> Iterator[Action]:
        """Yield what the faults leave of `actions`, the answer to `message`."""
        for action in actions:
            match action:
                case Subscribe(names=names):
                    delivered = [name for name in names if not self._draws.happens(SILENT)]
                    if delivered:
                        yield Subscribe(tuple(delivered))
                case Send() if self._is_api:
                    yield self._api_reply(action)
                case Send(error_code=None) if self._draws.is_on(NO_ACK):
                    if not (_is_subscribe(message) and self._draws.happens(NO_ACK)):
                        yield action
                case _:
                    yield action

    def _api_reply(self, reply: Send) -> Send:
        """Return a reply, or an error in its place."""
        if not self._draws.happens(API_ERROR):
            return reply
        now_ms = self._endpoint.clock()
        replaced = _decode_reply(reply.text)
        error = injected_error(next(self._api_statuses), self._endpoint.rate_limiter, now_ms)
        retry = Retry(server_time=now_ms, retry_after=now_ms + RETRY_AFTER_MS)
        error_reply = ApiReply(
            id=replaced.id,
            status=error.status,
            error=ApiError(error.code, error.message, UNSET if error.status == 503 else retry),
            rate_limits=replaced.rate_limits,
        )
        return Send(msgspec.json.encode(error_reply), error.code)


def connect(
    endpoint: Endpoint, request: UpgradeRequest, faults: FaultInjector
) -> WebSocketConnection:
    """Return a connection for an upgrade request: a plain one if it is exempt."""
    if not faults.is_on or b"1" in request.values(EXEMPT_HEADER.lower().encode()):
        return WebSocketConnection(endpoint)
    return FaultyConnection(endpoint, faults.next_connection())


class _BufferReader:
    """The buffer of a stalled connection, as the gate sees it."""

    def __init__(self, connection: FaultyConnection) -> None:
        self._connection = connection

    @property
    def unsent_bytes(self) -> int:
        return self._connection.unsent_bytes

    def close(self, reason: CloseReason) -> None:
        self._connection.close(reason)


def _close_reason(code: int) -> CloseReason:
    return CloseReason(
        name="fault", code=code, reason="Fault on demand", should_reconnect=True, doc=CLOSE.doc
    )


def _is_subscribe(message: bytes) -> bool:
    try:
        return _decode_method(message).method == "SUBSCRIBE"
    except msgspec.DecodeError:
        return False


def _changed(payload: bytes, draws: FaultDraws) -> bytes:
    if draws.happens(FIELDS):
        payload = with_unknown_fields(payload)
    if has_word(payload) and draws.happens(WORDS):
        payload = with_unknown_word(payload)
    return payload


def has_ids(payload: bytes) -> bool:
    """Whether the message is of a stream whose messages are chained by ids."""
    return _HAS_IDS.search(payload) is not None


def with_unknown_fields(payload: bytes) -> bytes:
    """Return a message with more fields; unchanged if it is not an object or an array of objects."""
    end = len(payload) - payload.startswith(HEAD)
    body, rest = payload[:end], payload[end:]
    if body.endswith(b"}]"):
        # Between `}` and `{` only objects of an array have a comma.
        elements = body[:-2].replace(b"},{", UNKNOWN_FIELDS + b"},{")
        return elements + UNKNOWN_FIELDS + b"}]" + rest
    if body.endswith(b"}") and not body.endswith(b"{}"):
        return body[:-1] + UNKNOWN_FIELDS + b"}" + rest
    return payload


def has_word(payload: bytes) -> bool:
    """Whether the message has a word in `X`."""
    return _WORD.search(payload) is not None


def with_unknown_word(payload: bytes) -> bytes:
    """Return a message with another word in `X`."""
    return _WORD.sub(UNKNOWN_WORD, payload)
