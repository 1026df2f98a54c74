"""One WebSocket connection: the socket's side of a session.

The handshake and everything inbound go through the `websockets` library's sans-I/O protocol; so do
the session's own replies.  Market data does not: the hub writes ready-made frames straight to the
transport (`write`), at most once per turn of the event loop.  Two rules make that safe.  No
extension is negotiated, so a frame is the same for everyone.  And a connection leaves the hub
before its close frame is written, so nothing can follow that frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from tickerplant.errors import RequestError
from tickerplant.logs import logger
from tickerplant.protocol.account import Account
from tickerplant.protocol.actions import (
    Action,
    Ask,
    Close,
    Ping,
    Send,
    SetCombined,
    Subscribe,
    Unsubscribe,
)
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.closing import (
    FRAME_TOO_BIG,
    MESSAGE_TIMEOUT,
    SLOW_CONSUMER,
    CloseReason,
)
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import ApiTarget, StreamTarget
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.faulty_connection import ConnectionFaults, faults_of
from tickerplant.server.forwarding import Asks
from tickerplant.server.handshake import Session, answer_handshake, open_session

CONGESTED_SHARE = 8
"""A connection is congested when its unsent data passes this part of the bound."""

NEVER_MS = 1 << 62

_ENDINGS: dict[int, str] = {
    CloseCode.PROTOCOL_ERROR: "protocol_error",
    CloseCode.INVALID_DATA: "invalid_data",
    CloseCode.MESSAGE_TOO_BIG: FRAME_TOO_BIG.name,
    CloseCode.INTERNAL_ERROR: "internal_error",
}
"""Names of the endings that the library decides on, by close code."""

_WIRE_LOGGER = logging.getLogger("websockets.server")


def _discard(_data: bytes) -> None:
    """Take the place of `write` when nothing may be sent any more."""


class WebSocketConnection(asyncio.Protocol):
    """A connection from the upgrade request to the closed socket; also the hub's subscriber."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.write: Callable[[bytes], object] = _discard
        """Takes whole frames from the hub.  Never raises: a transport takes data even when its
        peer is gone, only not after its end, and by then this is `_discard`."""
        self.identity = endpoint.new_connection_id()
        self._endpoint = endpoint
        self._wire = ServerProtocol(max_size=endpoint.limits.max_frame_bytes, logger=_WIRE_LOGGER)
        self._session: Session | None = None
        self._faults: ConnectionFaults | None = None
        self._route = ""
        self._message = bytearray()
        self._message_opcode = Opcode.TEXT
        self._in_message = False
        self._message_deadline_ms = NEVER_MS
        """When a message that has begun must be complete; never while none has."""
        self._asks = Asks(endpoint.forwarding)
        self._ending = ""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._account: Account

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to the connection that the network has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Whether messages may still go both ways."""
        return self._wire.state is State.OPEN

    @property
    def names(self) -> Collection[str] | None:
        """Names this connection is subscribed to, silent ones included; None if it is for questions."""
        return self._session.names if isinstance(self._session, StreamSession) else None

    @property
    def subscription_count(self) -> int:
        """How many names this connection is subscribed to."""
        return len(self.names or ())

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do, on the connection clock."""
        if self._session is None or not self.is_open:
            return NEVER_MS
        deadline_ms = min(self._session.keepalive.next_deadline_ms, self._message_deadline_ms)
        return self._faults.next_deadline_ms(deadline_ms) if self._faults else deadline_ms

    def tick(self, now_ms: int) -> None:
        """Do what is due at `now_ms`: ping, or close: no pong, no end of a message, old age."""
        if now_ms >= self._message_deadline_ms:
            self._message_deadline_ms = NEVER_MS
            self._perform([Close(MESSAGE_TIMEOUT)])
        if self._session is not None:
            self._perform(self._session.keepalive.tick(now_ms))
        if self._faults is not None and self.is_open:
            self._faults.tick(now_ms)

    def close(self, reason: CloseReason) -> None:
        """Leave the hub at once, say why, and cut the connection if that is not read in time."""
        if not self.is_open:
            return
        self._leave(reason.name)
        self._wire.send_close(reason.code, reason.reason)
        self._send_pending()
        self._abort_later()

    def abort(self) -> None:
        """Cut the connection; what is unsent is lost."""
        self._transport.abort()

    # The surface of asyncio.Protocol, called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take over the transport; the upgrade request follows as data."""
        self._transport = transport
        transport.set_write_buffer_limits(self._endpoint.limits.max_unsent_bytes // CONGESTED_SHARE)

    def data_received(self, data: bytes) -> None:
        """Answer everything in `data`."""
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Frame):
                self._receive(event)
                if not self._in_message:
                    self._message_deadline_ms = NEVER_MS
            elif isinstance(event, Request):
                self._shake_hands(event)
        if self._in_message or self._wire.reader.buffer:
            self._await_end_of_message()
        self._send_pending()

    def eof_received(self) -> None:
        """Take the end of the client's data as its end."""
        self._wire.receive_eof()
        self._send_pending()

    def pause_writing(self) -> None:
        """Become congested."""
        self._endpoint.gate.pause(self)

    def resume_writing(self) -> None:
        """Be no longer congested."""
        self._endpoint.gate.resume(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # told by the reason
        """Forget the connection and count why it ended."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        endpoint = self._endpoint
        endpoint.gate.resume(self)
        if self._session is None:
            return
        if self._faults is not None:
            self._faults.end()
        self._leave("client" if self._wire.close_rcvd else "lost")
        del endpoint.connections[self]
        endpoint.budget.leave(self._account)
        endpoint.counters.closed[self._ending] += 1
        logger().info(f"{self.identity} = closed", reason=self._ending)

    # Handshake.

    def _shake_hands(self, request: Request) -> None:
        endpoint, now_ms = self._endpoint, self._endpoint.clock()
        faults = faults_of(endpoint.faults, request.headers)
        response, target = answer_handshake(
            request, self._wire, endpoint, self._address, now_ms, faults
        )
        if target is None:
            self._wire.send_response(response)
            return
        self._account = endpoint.budget.enter(self._address)
        self._session = open_session(target, endpoint, self._address, self._account, now_ms)
        self._wire.send_response(response)
        self._send_pending()
        if faults is not None:
            self._faults = faults
            self._transport = faults.begin(
                self, self._transport, endpoint, now_ms, is_api=isinstance(target, ApiTarget)
            )
        self.write = self._transport.write if faults is None else faults.write
        endpoint.connections[self] = None
        endpoint.counters.opened += 1
        shown = request.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:200]
        logger().info(
            f"{self.identity} = open", venue=endpoint.venue.name, path=shown, peer=self._address
        )
        if isinstance(target, StreamTarget):
            self._route = target.route
            endpoint.hub.set_combined(self, target.combined)
        self._perform(self._session.open())

    @property
    def _address(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else "unknown"

    # Conversation.

    def _receive(self, frame: Frame) -> None:
        """Give one frame to the session; the library has answered pings and close frames."""
        session = self._session
        if session is None:
            return
        now_ms = self._endpoint.clock()
        if frame.opcode is Opcode.PING:
            self._perform(session.keepalive.ping(now_ms))
        elif frame.opcode is Opcode.PONG:
            self._perform(session.keepalive.pong(now_ms))
        elif frame.opcode is Opcode.CLOSE:
            self._leave("client")
        else:
            self._collect(frame, session, now_ms)

    def _collect(self, frame: Frame, session: Session, now_ms: int) -> None:
        """Join the fragments of a message; the library bounds their sum."""
        if frame.opcode is not Opcode.CONT:
            self._message_opcode = frame.opcode
        self._message += frame.data
        self._in_message = not frame.fin
        if self._in_message:
            return
        message, self._message = bytes(self._message), bytearray()
        if self._message_opcode is Opcode.BINARY:
            self._perform(session.receive_binary(now_ms), message)
        elif (text := _text_of(message)) is not None:
            self._perform(session.receive_text(text, now_ms), message)
        else:
            self._wire.fail(CloseCode.INVALID_DATA, "text is not UTF-8")

    def _await_end_of_message(self) -> None:
        """Give a message, or a frame of it, that has only begun its time to become complete."""
        if self._message_deadline_ms == NEVER_MS:
            endpoint = self._endpoint
            self._message_deadline_ms = endpoint.clock() + endpoint.limits.message_timeout_ms

    def _perform(self, actions: Iterable[Action], message: bytes = b"") -> None:
        """Do what the session asks, in its order, in answer to `message` if there was one."""
        hub = self._endpoint.hub
        for action in self._revised(actions, message):
            if not self.is_open:
                break
            match action:
                case Send(text=text, error_code=code):
                    self._send(text, code, message)
                case Subscribe(names=names):
                    self._subscribe(names)
                case Unsubscribe(names=names):
                    hub.unsubscribe(self, names)
                case SetCombined(combined=combined):
                    hub.set_combined(self, combined)
                case Ping(payload=payload):
                    self._wire.send_ping(payload)
                case Ask():
                    self._asks.begin(action, self._answer)
                case Close(reason=reason):
                    self._endpoint.complaints.add(
                        f"close {reason.name}", f"{self.identity} ! {reason.reason}"
                    )
                    self.close(reason)
        self._send_pending()

    def _revised(self, actions: Iterable[Action], message: bytes) -> Iterable[Action]:
        """Return what faults on demand leave of `actions`."""
        if self._faults is None:
            return actions
        return self._faults.revise(actions, message, self._endpoint.clock())

    def _send(self, text: bytes, code: int | None, message: bytes) -> None:
        self._wire.send_text(text)
        if code is not None:
            shown = f"{self.identity} < {self._shown(message)}"
            self._endpoint.complaints.add(f"reply {code}", shown, code=code)

    def _answer(self, ask: Ask, result: bytes | RequestError) -> None:
        """Say what was answered elsewhere."""
        if isinstance(self._session, ApiSession):
            self._perform(self._session.answered(ask, result))

    def _shown(self, message: bytes) -> str:
        """Return what may be logged of a message: API requests can carry keys and signatures."""
        if isinstance(self._session, ApiSession):
            return f"a request of {len(message)} bytes" if message else "a request asked elsewhere"
        return repr(message[:200])

    def _subscribe(self, names: tuple[str, ...]) -> None:
        """Hear `names`; those that stay silent are noted, not refused."""
        silent = self._endpoint.hub.subscribe(self, names, self._route)
        for name, reason in silent.items():
            self._endpoint.complaints.add(
                f"silent: {reason}", f"{self.identity} ! a subscription is silent", stream=name[:80]
            )

    def _send_pending(self) -> None:
        """Write what the library wants sent, and end the stream when it says so."""
        writes = self._wire.data_to_send()
        if not writes:
            return
        data = b"".join(writes)
        if self._session is None and not data:
            # The library hangs up on an upgrade with a body without a word.
            data = self._wire.reject(400, "An upgrade request has no body.\n").serialize()
        if data:
            self._transport.write(data)
            if self.unsent_bytes > self._endpoint.limits.max_unsent_bytes:
                self.close(SLOW_CONSUMER)  # asks more than it reads
        if writes[-1] == SEND_EOF:
            if self._session is None:
                self._note_refusal(data)
            else:
                self._note_end()
            self._transport.write_eof()
            self._abort_later()

    # The end.

    def _note_refusal(self, answer: bytes) -> None:
        """Count a handshake that was not accepted, by us or by the library."""
        status = answer[len("HTTP/1.1 ") :].partition(b" ")[0]
        text = answer.partition(b"\r\n\r\n")[2]
        self._endpoint.counters.refused[int(status or 0)] += 1
        self._endpoint.complaints.add(
            f"handshake {status.decode()}",
            f"{self.identity} ! handshake refused",
            answer=text.decode(errors="replace").strip()[:200],
        )

    def _note_end(self) -> None:
        """Leave the hub because the library ended the conversation: why is in what it sent."""
        sent = self._wire.close_sent
        ending = _ENDINGS.get(sent.code if sent else 0, "lost")
        if ending != "lost" and not self._ending:
            self._endpoint.complaints.add(
                f"close {ending}", f"{self.identity} ! {sent.reason if sent else ending}"
            )
        self._leave(ending)

    def _leave(self, ending: str) -> None:
        """Take nothing more from the hub; the first ending is the one that counts."""
        if self._ending:
            return
        self._ending = ending
        self.write = _discard
        self._asks.cancel()
        if self._session is not None:
            self._endpoint.hub.drop(self)

    def _abort_later(self) -> None:
        """Cut the connection after the grace period, whatever is unsent then."""
        if self._abort_timer is None:
            grace_s = self._endpoint.limits.close_grace_ms / 1_000
            loop = asyncio.get_running_loop()
            self._abort_timer = loop.call_later(grace_s, self._transport.abort)


def _text_of(message: bytes) -> str | None:
    """Return the text of a message, or None if it is not UTF-8."""
    try:
        return message.decode()
    except UnicodeDecodeError:
        return None
