"""Faults on demand on one WebSocket connection.

With faults off nothing of this stands on the way of a message.  With faults on, each handshake is
met by a `ConnectionFaults`; once the connection is open it is between the hub and the transport,
and between the session and what is done for it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType
from websockets.datastructures import Headers

from tickerplant.frames import payloads, text_frame
from tickerplant.logs import logger
from tickerplant.protocol.actions import Action, Send, Subscribe
from tickerplant.protocol.api_reply import ApiError, ApiReply, RateLimit, Retry
from tickerplant.protocol.api_request import ApiId
from tickerplant.protocol.closing import CloseReason
from tickerplant.server import garble
from tickerplant.server.endpoint import Endpoint
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
from tickerplant.server.faulty import RETRY_AFTER_MS, Chances, Faults, refusal
from tickerplant.server.gate import Reader

HANDSHAKE_STATUSES = ((REFUSE, 503), (LIMIT_HANDSHAKES, 429), (BAN_HANDSHAKES, 418))
API_STATUSES = (429, 503, 418)
NOW_AND_THEN = (RESET, CLOSE, STALL, GARBAGE, INVALID_UTF8, CHAIN)
"""What is done after a random time; what ends the connection comes first."""
ON_MESSAGES = (CHAIN, FIELDS, WORDS)
STALL_END = "end of a stall"
"""Stands among the deadlines beside the names of faults."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: linger, for no time."""
HELD_SHARE = 8
"""A stalled connection is congested when what waits for it passes this part of the bound."""


class _Method(Struct):
    """What has to be known of a request."""

    method: str = ""


class _Reply(Struct, rename="camel"):
    """What an error has in common with the reply it stands for."""

    id: ApiId
    rate_limits: tuple[RateLimit, ...] | UnsetType = UNSET


_read_method = msgspec.json.Decoder(_Method).decode
_read_reply = msgspec.json.Decoder(_Reply).decode


def faults_of(faults: Faults, headers: Headers) -> ConnectionFaults | None:
    """Return the faults that a handshake meets; None if they are off, or it is exempt."""
    if not faults.on or "1" in headers.get_all(EXEMPT_HEADER):
        return None
    return ConnectionFaults(faults.next_connection())


class Victim(Reader, Protocol):
    """A connection as its faults see it."""

    identity: str


class StallableTransport(asyncio.Transport):
    """A transport that does nothing while it is stalled, and all of it afterwards.

    Args:
        transport: The transport behind it.
        reader: What the gate is told of when too much waits here; not the connection, of which the
            transport behind tells the gate.
        endpoint: Whose gate and limits.
    """

    def __init__(self, transport: asyncio.Transport, reader: Reader, endpoint: Endpoint) -> None:
        super().__init__()
        self._transport = transport
        self._reader = reader
        self._gate = endpoint.gate
        self._most_bytes = endpoint.limits.max_unsent_bytes // HELD_SHARE
        self._stalled = False
        self._is_paused = False
        self._held = bytearray()

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._is_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, after a stall if there is one."""
        self._is_paused = False
        if not self._stalled:
            self._transport.resume_reading()

    def stall(self) -> None:
        """Send and read nothing from now on."""
        self._stalled = True
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Send what has waited, and read what has come."""
        self._stalled = False
        self._gate.resume(self._reader)
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._transport.write(held)
        if not self._is_paused:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Send `data`, now or after the stall."""
        if not self._stalled:
            self._transport.write(data)
            return
        self._held += data
        if len(self._held) > self._most_bytes:
            self._gate.pause(self._reader)

    def forget(self) -> None:
        """Keep nothing for a connection that is lost."""
        self._held.clear()
        self._gate.resume(self._reader)

    def get_write_buffer_size(self) -> int:
        """Return how much waits, here and there."""
        return len(self._held) + self._transport.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Whether the stream can end in one direction only."""
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Send nothing more."""
        self._transport.write_eof()

    def close(self) -> None:
        """Close the connection once what it was given is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection; what waits is lost."""
        self._transport.abort()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket."""
        return self._transport.get_extra_info(name, default)


class ConnectionFaults:
    """What is done to one connection, from its handshake on."""

    def __init__(self, chances: Chances) -> None:
        self._chances = chances
        self._deadlines_ms: dict[str, int] = {}
        self._breaks_chain = False
        self._garbage = cycle(garble.GARBAGE)
        self._api_statuses = cycle(API_STATUSES)
        self._is_api = False
        self._connection: Victim
        self._endpoint: Endpoint
        self._transport: StallableTransport

    def handshake_status(self) -> int:
        """Return the HTTP status with which the handshake is refused, 0 if it is not."""
        for row, status in HANDSHAKE_STATUSES:
            if self._chances.happens(row):
                return status
        return 0

    def begin(
        self,
        connection: Victim,
        transport: asyncio.Transport,
        endpoint: Endpoint,
        now_ms: int,
        *,
        is_api: bool,
    ) -> asyncio.Transport:
        """Take over a connection that has been opened; return what stands for its transport."""
        self._connection = connection
        self._endpoint = endpoint
        self._is_api = is_api
        self._transport = StallableTransport(transport, self, endpoint)
        for row in NOW_AND_THEN:
            self._schedule(row, now_ms)
        return self._transport

    @property
    def write(self) -> Callable[[bytes], object]:
        """What takes frames from the hub."""
        if any(map(self._chances.on, ON_MESSAGES)):
            return self._write_messages
        return self._transport.write

    def end(self) -> None:
        """Let go of a connection that is lost."""
        self._transport.forget()

    # What the gate sees while the connection is stalled.

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait, here and in the transport."""
        return self._transport.get_write_buffer_size()

    def close(self, reason: CloseReason) -> None:
        """Close the connection."""
        self._connection.close(reason)

    # What is done after a random time.

    def next_deadline_ms(self, other_ms: int) -> int:
        """Return when `tick` has something to do, or `other_ms` if that is earlier."""
        return min((other_ms, *self._deadlines_ms.values()))

    def tick(self, now_ms: int) -> None:
        """Do what is due."""
        for name, due_ms in tuple(self._deadlines_ms.items()):
            # Once the connection has ended nothing is due any more.
            if due_ms <= now_ms and name in self._deadlines_ms:
                self._do(name, now_ms)

    def _do(self, name: str, now_ms: int) -> None:
        del self._deadlines_ms[name]
        match name:
            case RESET.name:
                self._end(RESET)
                self._transport.reset()
            case CLOSE.name:
                self._end(CLOSE)
                self._connection.close(_close_reason(self._chances.value(CLOSE).code))
            case STALL.name:
                self._count(STALL)
                self._deadlines_ms[STALL_END] = now_ms + self._chances.value(STALL).time_ms
                self._transport.stall()
            case CHAIN.name:
                self._breaks_chain = True
                self._schedule(CHAIN, now_ms)
            case GARBAGE.name:
                self._send(GARBAGE, next(self._garbage), now_ms)
            case INVALID_UTF8.name:
                self._send(INVALID_UTF8, garble.INVALID_UTF8, now_ms)
            case _:
                self._transport.go_on()
                self._schedule(STALL, now_ms)

    def _schedule(self, row: FaultRow, now_ms: int) -> None:
        wait_ms = self._chances.wait_ms(row)
        if wait_ms:
            self._deadlines_ms[row.name] = now_ms + wait_ms

    def _count(self, row: FaultRow) -> None:
        self._chances.count(row)
        logger().info(f"{self._connection.identity} ! fault on demand", fault=row.name)

    def _end(self, row: FaultRow) -> None:
        self._count(row)
        self._deadlines_ms.clear()

    def _send(self, row: FaultRow, frame: bytes, now_ms: int) -> None:
        self._count(row)
        self._transport.write(frame)
        self._schedule(row, now_ms)

    # What is done to messages and replies.

    def _write_messages(self, data: bytes) -> None:
        """Send the messages of the hub, but for one, or changed."""
        kept = [text_frame(self._changed(each)) for each in payloads(data) if not self._lost(each)]
        if kept:
            self._transport.write(b"".join(kept))

    def _lost(self, payload: bytes) -> bool:
        """Whether a message is the one that is left out."""
        if not (self._breaks_chain and garble.has_ids(payload)):
            return False
        self._breaks_chain = False
        self._count(CHAIN)
        return True

    def _changed(self, payload: bytes) -> bytes:
        if self._chances.happens(FIELDS):
            payload = garble.with_unknown_fields(payload)
        if garble.has_word(payload) and self._chances.happens(WORDS):
            payload = garble.with_unknown_word(payload)
        return payload

    def revise(self, actions: Iterable[Action], message: bytes, now_ms: int) -> Iterator[Action]:
        """Yield what is done of what the session asks for in answer to `message`."""
        for action in actions:
            match action:
                case Subscribe(names=names):
                    heard = [name for name in names if not self._chances.happens(SILENT)]
                    if heard:
                        yield Subscribe(tuple(heard))
                case Send() if self._is_api:
                    yield self._api_reply(action, now_ms)
                case Send(error_code=None) if self._chances.on(NO_ACK):
                    if not (_is_subscribe(message) and self._chances.happens(NO_ACK)):
                        yield action
                case _:
                    yield action

    def _api_reply(self, answer: Send, now_ms: int) -> Send:
        """Return the answer to a request, or an error in its place."""
        if not self._chances.happens(API_ERROR):
            return answer
        replaced = _read_reply(answer.text)
        error = refusal(next(self._api_statuses), self._endpoint.budget, now_ms)
        retry = Retry(server_time=now_ms, retry_after=now_ms + RETRY_AFTER_MS)
        reply = ApiReply(
            id=replaced.id,
            status=error.status,
            error=ApiError(error.code, error.message, UNSET if error.status == 503 else retry),
            rate_limits=replaced.rate_limits,
        )
        return Send(msgspec.json.encode(reply), error.code)


def _close_reason(code: int) -> CloseReason:
    return CloseReason(
        name="fault", code=code, reason="Fault on demand", should_reconnect=True, doc=CLOSE.doc
    )


def _is_subscribe(message: bytes) -> bool:
    try:
        return _read_method(message).method == "SUBSCRIBE"
    except msgspec.DecodeError:
        return False
