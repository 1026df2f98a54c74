"""One WebSocket connection: the socket's side of a session.

A client's frames are read one at a time, and each is answered before the next is read: a request
before a close frame, or before an invalid one, is answered before the connection closes.  Market data
does not pass through here: the hub writes finished frames straight to the transport (`write`), at most
once per turn of the event loop.  Two rules make that safe.  No extension is negotiated, so a frame
is the same for every client.  And a connection leaves the hub before its close frame is written, so
nothing can follow that frame.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TypeAlias

from tickerplant import frames
from tickerplant.faults.fault import EXEMPT_KEY
from tickerplant.logs import logger
from tickerplant.protocol.actions import (
    Action,
    Close,
    Ping,
    Send,
    SetCombined,
    Subscribe,
    Unsubscribe,
)
from tickerplant.protocol.close_reasons import (
    ENDED,
    MESSAGE_TIMEOUT,
    SLOW_CONSUMER,
    STALLED,
    CloseReason,
)
from tickerplant.protocol.delivery import EVERY, Delivery, Policy
from tickerplant.protocol.frame_reader import BadFrame, FrameReader, Received
from tickerplant.protocol.keepalive import NEVER_MS
from tickerplant.protocol.rate_limiter import ClientUsage, Throttle
from tickerplant.protocol.redaction import loggable, sized
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import ApiTarget, StreamTarget
from tickerplant.queries.account_requests import NO_ORDERS, NO_ORDERS_TEXT
from tickerplant.queries.request_errors import BAD_KEY
from tickerplant.server.backend import Admission, ApiRequests, Attempt
from tickerplant.server.containment import contained
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.faults.connection import ConnectionFaults
from tickerplant.server.handshake import (
    Answer,
    Target,
    Upgrade,
    UpgradeRequest,
    answer_handshake,
    read_upgrade,
    refused,
)

CONGESTED_SHARE = 8
"""A connection is congested when its unsent data exceeds the bound divided by this."""
BEHIND_BYTES = 1 << 14
"""A client that does not want every message is behind while more than this is unsent."""

GIVEN_UP = frozenset({SLOW_CONSUMER, STALLED})
"""Why a connection is closed to which nothing more is sent: its client does not read."""
OWN_ENDINGS = frozenset({"client", ENDED.name})
"""Endings after which a client does not come back."""

FRAMES_AT_ONCE = 64
"""Frames of one client that are read in one turn of the loop, which takes a millisecond or two: the
message rate does not limit pings, pongs and fragments, and one read may hold forty thousand."""

TCP_INFO_BYTES, ACKNOWLEDGED_AT = 128, 120
"""Size of the first part of Linux's `struct tcp_info`, and the place of `tcpi_bytes_acked` in it."""
_ACKNOWLEDGED = struct.Struct("Q")

Session: TypeAlias = StreamSession | ApiRequests


class _State(Enum):
    """The phase of a connection."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    """The server has sent its close frame and waits for the client's."""
    ENDED = 3
    """Nothing is sent or read any more."""


def _discard(_data: bytes) -> None:
    """Discard frames after the connection has left the hub."""


class WebSocketConnection(asyncio.Protocol):
    """A connection from the upgrade request to the closed socket; also the hub's subscriber."""

    def __init__(self, endpoint: Endpoint, address: str) -> None:
        self.write: Callable[[bytes], object] = _discard
        """Takes complete frames from the hub.  Never raises: a transport accepts data when its peer
        is gone, and after its own end this is `_discard`."""
        self.identity = endpoint.new_connection_id()
        self.address = address
        """The address of the client."""
        self._charged_to = address
        """Who its use of the limits is charged to."""
        self.faults: ConnectionFaults | None = None
        """Its faults; None while none is on for it."""
        self.fault_number = 0
        """It is the n-th connection that is not exempt from faults; 0 if it is exempt."""
        self.endpoint = endpoint
        """Its port."""
        self._state = _State.CONNECTING
        self._reader = FrameReader(endpoint.limits.max_frame_bytes)
        self.is_reading_paused = False
        """Whether it wants nothing to be read for now: the rest of its input is read in the next turn."""
        self._pending: list[bytes] = []
        self.reply_count = self.reply_bytes = 0
        """Replies to messages of its client so far, and their frames."""
        self.unanswered_probe = b""
        """The payload of the last `probe`, until its client has answered it."""
        self._session: Session | None = None
        self._counted_names = 0
        """Subscriptions that the port counts."""
        self._route = ""
        self.policy: Policy = EVERY
        """What happens to its messages while its client is behind."""
        self._message_deadline_ms = NEVER_MS
        """When the current message must be complete, on the machine's clock; `NEVER_MS` if there is
        none."""
        self._is_full = False
        """Whether the input is left over because too many requests wait."""
        self._ending = ""
        self._is_cut_off = False
        self._followers = 0
        """How many connections of its port had been opened when it ended."""
        self._abort_timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport
        self._usage: ClientUsage

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to the connection that the network has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def taken_bytes(self) -> int | None:
        """Bytes that the client has acknowledged so far; None if nobody can tell."""
        if not sys.platform.startswith("linux") or (self.faults and self.faults.is_held):
            return None
        sock = self.transport.get_extra_info("socket")
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        except OSError:  # it is gone
            return None
        taken_bytes: int = _ACKNOWLEDGED.unpack_from(info, ACKNOWLEDGED_AT)[0]
        return taken_bytes

    @property
    def is_open(self) -> bool:
        """Whether messages may still go both ways."""
        return self._state is _State.OPEN

    @property
    def names(self) -> Collection[str] | None:
        """The names it is subscribed to, silent ones included; None for a WebSocket API connection."""
        return self._session.names if isinstance(self._session, StreamSession) else None

    @property
    def throttle(self) -> Throttle | None:
        """Limits what its client sends: messages, or pings and pongs of the WebSocket API."""
        session = self._session
        if isinstance(session, StreamSession):
            return session.throttle
        return None if session is None else session.keepalive.throttle

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do, in connection time."""
        if self._session is None or not self.is_open:
            return NEVER_MS
        return self._session.keepalive.next_deadline_ms

    @property
    def machine_deadline_ms(self) -> int:
        """When `tick` has something to do, on the machine's clock."""
        if self._session is None or not self.is_open:
            return NEVER_MS
        return min(self._session.keepalive.pong_deadline_ms, self._message_deadline_ms)

    @contained
    def tick(self, now_ms: int, machine_ms: int) -> None:
        """Ping if it is time, or close: no pong, an incomplete message, or the lifetime is over."""
        if machine_ms >= self._message_deadline_ms:
            self._message_deadline_ms = NEVER_MS
            self.perform([Close(MESSAGE_TIMEOUT)])
        if self._session is not None:
            self.perform(self._session.keepalive.tick(now_ms, machine_ms))
            self._send_pending()

    @contained
    def close(self, reason: CloseReason) -> None:
        """Leave the hub at once, send a close frame, and abort if the client does not answer in time."""
        if not self.is_open:
            return
        if reason not in GIVEN_UP:
            self.endpoint.hub.drain(self)
        self._leave(reason.name)
        self._state = _State.CLOSING
        self._pending.append(frames.close_frame(reason.code, reason.reason))
        self._send_pending()
        self._abort_later()
        self._read_rest()

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for a fault, and were not written."""
        return 0 if self.faults is None else self.faults.held_bytes

    @contained
    def probe(self, payload: bytes) -> None:
        """Ping, beside the pings of the keepalive: the pong says that all before it was received."""
        self.unanswered_probe = payload
        self._pending.append(frames.control_frame(frames.PING, payload))
        self._send_pending()

    def cut_off(self) -> None:
        """Count its client as one that will come back, once."""
        if not self._is_cut_off:
            self._is_cut_off = True
            self.endpoint.congestion.cut_off(self._counted_names)

    def abort(self) -> None:
        """Close the connection at once; unsent data is lost."""
        self.transport.abort()

    def abandon(self, error: Exception) -> None:
        """Count and log an error of this connection, and cut it: no other is concerned."""
        self.endpoint.complaints.add(
            f"connection: {type(error).__name__}",
            f"{self.identity} ! lost: {error}",
            exc_info=None if isinstance(error, OSError) else error,  # the socket's, or our own
        )
        self._state = _State.ENDED
        self.transport.abort()
        self._leave("lost")

    # The surface of asyncio.Protocol, called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take over the transport; `begin` follows."""
        self.transport = transport
        transport.set_write_buffer_limits(self.endpoint.limits.max_unsent_bytes // CONGESTED_SHARE)

    def begin(self, request: UpgradeRequest) -> None:
        """Answer the upgrade request; what follows it comes through `data_received`."""
        endpoint = self.endpoint
        now_ms = endpoint.clock()
        upgrade = read_upgrade(request, endpoint)
        if isinstance(upgrade, Answer):
            self._refuse(request, upgrade)
            return
        self._charged_to = endpoint.guard.charged_to(self.address, dict(request.fields))
        attempt = Attempt(
            self._charged_to,
            request.target,
            is_api=isinstance(upgrade.target, ApiTarget),
            is_counted=endpoint.faults is not None and b"1" not in request.values(EXEMPT_KEY),
        )
        endpoint.backend.admit(
            attempt, now_ms, partial(self._answer, request, upgrade, attempt.is_counted)
        )

    def data_received(self, data: bytes) -> None:
        """Answer the messages and control frames in `data`, in order, unless a fault is against it."""
        if self.faults is not None:
            data = self.faults.received(data)
        if data:
            self.receive(data)

    def receive(self, data: bytes) -> None:
        """Answer the messages and control frames in `data`, in order."""
        if self._state is _State.ENDED:
            return
        self._reader.feed(data)
        if self._session is None:
            self._set_reading(is_paused=True)  # until it is decided whether the client may connect
        elif not self.is_reading_paused:
            self._read()

    def eof_received(self) -> None:
        """End the connection: the client has closed its side."""
        if self._state is not _State.ENDED:
            self._leave("lost")
            self._finish()

    def pause_writing(self) -> None:
        """Count as congested, or let messages wait if the client does not want every one."""
        if self.policy == EVERY:
            self.endpoint.congestion.pause(self)
        else:
            self.endpoint.hub.hold(self)

    def resume_writing(self) -> None:
        """Count as not congested, or send what waited."""
        if self.policy == EVERY:
            self.endpoint.congestion.resume(self)
        elif self.faults is None or not self.faults.is_silent:
            self.endpoint.hub.release(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reason says it
        """Leave the port, and count why the connection ended."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        endpoint = self.endpoint
        was_reset = self.faults is not None and self.faults.is_lost
        if self.faults is not None:
            self.faults.forget()
        endpoint.congestion.forget(self)
        self._state = _State.ENDED
        if self._session is None:
            return
        self._leave("lost")
        self._count_names(0)
        is_cut = was_reset or self._ending not in {"client", "lost"}
        endpoint.left(self, self._ending, self._followers if is_cut else None)
        endpoint.rate_limiter.connection_closed(self._usage)
        if endpoint.complaints.has_room("closed"):
            logger().info(f"{self.identity} = closed", reason=self._ending)

    # Handshake.

    def _answer_upgrade(
        self, request: UpgradeRequest, upgrade: Upgrade, admission: Admission
    ) -> Answer:
        """Return the answer to a valid upgrade request; a fault may refuse what would be granted."""
        endpoint = self.endpoint
        answer = answer_handshake(upgrade, endpoint, admission)
        if answer.target is not None and endpoint.faults is not None and self.fault_number:
            status = admission.refused_status
            if admission.fault_number is None:
                status = endpoint.faults.refusal(endpoint.venue.name, request.target)
            if status:
                headers = {"Retry-After": "1"} if status in {418, 429} else {}
                return refused(status, "Refused by a fault on demand.", endpoint.date, headers)
        return answer

    def _start_session(self, target: Target, admission: Admission, now_ms: int) -> Session:
        """Return the session that was granted; the hub may write from now on."""
        endpoint, address = self.endpoint, self._charged_to
        self._usage = endpoint.rate_limiter.connection_opened(address)
        if isinstance(target, StreamTarget):
            self._session = StreamSession(
                target,
                endpoint.limits,
                now_ms,
                endpoint.session_counters,
                self._usage,
                paired_pongs=endpoint.queries.profile.paired_pongs,
            )
        else:
            self._session = endpoint.backend.open_api(
                target, address, admission, now_ms, self._reply
            )
        self._state = _State.OPEN
        self.write = self.transport.write
        return self._session

    @contained
    def _answer(
        self, request: UpgradeRequest, upgrade: Upgrade, is_counted: bool, admission: Admission
    ) -> None:
        """Answer a valid upgrade request, about which `admission` was decided."""
        if self._state is not _State.CONNECTING:
            return  # the client is gone
        now_ms = self.endpoint.clock()
        faults = self.endpoint.faults
        if is_counted and faults is not None:
            number = admission.fault_number
            self.fault_number = faults.next_number() if number is None else number
        answer = self._answer_upgrade(request, upgrade, admission)
        if answer.target is None:
            self._refuse(request, answer)
            return
        self.transport.write(answer.response)
        self._open(request, answer.target, admission, now_ms)
        if self.is_reading_paused:
            self._read()

    def _open(
        self, request: UpgradeRequest, target: Target, admission: Admission, now_ms: int
    ) -> None:
        endpoint = self.endpoint
        session = self._start_session(target, admission, now_ms)
        endpoint.arrived(self, request.target, request.values(b"user-agent"))
        if endpoint.complaints.has_room("open"):
            logger().info(
                f"{self.identity} = open",
                venue=endpoint.venue.name,
                path=loggable(request.target),
                peer=self.address,
            )
        if isinstance(target, StreamTarget):
            self._route = target.route
            endpoint.hub.set_combined(self, target.combined)
            self._set_delivery(Delivery(target.policy or endpoint.policy, target.is_stamped))
        if endpoint.faults is not None and self.fault_number:
            endpoint.faults.opened(self)
        self.perform(session.open())
        self._send_pending()
        self._let_faults_follow()
        if endpoint.ending is not None and self.names is not None:
            self.close(endpoint.ending)

    def _set_delivery(self, delivery: Delivery) -> None:
        """Deliver as the client asked."""
        self.policy = delivery.policy
        if delivery.is_plain:
            return
        endpoint = self.endpoint
        endpoint.hub.set_delivery(
            self, delivery, max_backlog_bytes=endpoint.limits.max_backlog_bytes
        )
        if self.policy != EVERY:
            self.transport.set_write_buffer_limits(BEHIND_BYTES, 0)
            sock = self.transport.get_extra_info("socket")
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what the system holds cannot be replaced
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, BEHIND_BYTES)

    def _refuse(self, request: UpgradeRequest, answer: Answer) -> None:
        """Send, count and log an answer that refuses the handshake."""
        self.transport.write(answer.response)
        status = answer.status
        self.endpoint.counters.refused[status] += 1
        self.endpoint.complaints.add(
            f"handshake {status}",
            f"{self.identity} ! handshake refused: {answer.why}",
            path=loggable(request.target),
        )
        self._finish()

    # Conversation.

    def _next(self) -> Received | None:
        """Return the next message or control frame; None if it is not complete."""
        return None if self._state is _State.ENDED else self._reader.next()

    @contained
    def _read(self) -> None:
        """Answer what has been received; the rest of many frames in the next turn."""
        session = self._session
        if session is None:
            return
        self._reader.allow(FRAMES_AT_ONCE)
        try:
            while not session.is_full and (received := self._next()):
                if not self._reader.is_in_message:
                    self._message_deadline_ms = NEVER_MS
                self._receive(received, session)
        except BadFrame as bad:
            self._fail(bad)
        self._send_pending()
        is_open = self._state is not _State.ENDED
        self._is_full = is_open and session.is_full
        if self._is_full:
            self._set_reading(is_paused=True)
            return
        if self._reader.is_midway:
            self._await_end_of_message()
        is_held = is_open and self._reader.is_held
        if is_held:
            asyncio.get_running_loop().call_soon(self._read)
        self._set_reading(is_paused=is_held)

    def _set_reading(self, *, is_paused: bool) -> None:
        """Read from the socket, or not as long as input is left over."""
        if is_paused is not self.is_reading_paused:
            self.is_reading_paused = is_paused
            (self.transport.pause_reading if is_paused else self.transport.resume_reading)()

    def _read_rest(self) -> None:
        """Go on reading if the requests that waited were too many, and no longer are."""
        if self._is_full and self._session is not None and not self._session.is_full:
            self._is_full = False
            self._read()

    def _receive(self, received: Received, session: Session) -> None:
        """Answer one message or control frame; after the server's close frame, only a close frame."""
        if self._state is _State.CLOSING:
            if received.opcode == frames.CLOSE:
                self._finish()
            return
        now_ms = self.endpoint.clock()
        match received.opcode:
            case frames.TEXT:
                if self.faults is not None:
                    self.faults.requested(received.payload)
                self.perform(session.receive_text(received.text, now_ms), received.payload)
            case frames.BINARY:
                self.perform(session.receive_binary(now_ms), received.payload)
            case frames.PING:
                self._pending.append(frames.control_frame(frames.PONG, received.payload))
                self.perform(session.keepalive.ping(now_ms))
            case frames.PONG if self._is_answer(received.payload):
                self.unanswered_probe = b""
            case frames.PONG:
                self.perform(session.keepalive.pong(received.payload, now_ms))
            case _:
                self._leave("client")
                self._finish(frames.control_frame(frames.CLOSE, received.payload))

    def _is_answer(self, payload: bytes) -> bool:
        """Return whether a pong answers the probe; some public clients answer without a payload."""
        return bool(self.unanswered_probe) and payload in {self.unanswered_probe, b""}

    def _await_end_of_message(self) -> None:
        """Start the time limit of an incomplete message."""
        if self._message_deadline_ms == NEVER_MS:
            endpoint = self.endpoint
            timeout_ms = endpoint.limits.message_timeout_ms
            self._message_deadline_ms = endpoint.machine_clock() + timeout_ms

    def perform(self, actions: Iterable[Action], message: bytes = b"") -> None:
        """Carry out what the session asks for and faults leave of it, in order."""
        if self.faults is not None:
            actions = self.faults.revised(actions, message)
        self._carry_out(actions, message)

    @contained
    def carry_out(self, actions: Iterable[Action]) -> None:
        """Carry out actions that faults have seen, at once."""
        self._carry_out(actions, b"")
        self._send_pending()

    def _carry_out(self, actions: Iterable[Action], message: bytes) -> None:
        hub = self.endpoint.hub
        for action in actions:
            if not self.is_open:
                break
            match action:
                case Send(text=text, error_code=code):
                    self._send(text, code, message)
                case Subscribe(names=names):
                    self._subscribe(names)
                case Unsubscribe(names=names):
                    self._send_pending()  # what the hub has pending may be written
                    hub.unsubscribe(self, names)
                case SetCombined(combined=combined):
                    self._send_pending()
                    hub.set_combined(self, combined)
                case Ping(payload=payload):
                    self._pending.append(frames.control_frame(frames.PING, payload))
                case Close(reason=reason):
                    self.endpoint.complaints.add(
                        f"close {reason.name}", f"{self.identity} ! {reason.reason}"
                    )
                    self.close(reason)
        if self._count_names(len(self.names or ())) and self.is_open:
            self._let_faults_follow()

    def _let_faults_follow(self) -> None:
        """Let faults that are aimed at streams be on for its new subscriptions."""
        if self.endpoint.faults is not None and self.fault_number:
            self.endpoint.faults.changed(self)

    def _count_names(self, number: int) -> bool:
        """Let the port count the subscriptions of this connection; return whether they changed."""
        counted = self._counted_names
        if number == counted:
            return False
        self._counted_names = number
        self.endpoint.subscription_count += number - counted
        if number > counted:
            self.endpoint.congestion.subscribed(number - counted)
        self.endpoint.subscriber_count += bool(number) - bool(counted)
        return True

    def _send(self, text: bytes, code: int | None, message: bytes) -> None:
        frame = frames.text_frame(text)
        self._pending.append(frame)
        self.reply_count += 1
        self.reply_bytes += len(frame)
        if code is not None:
            # The message itself is not logged: it may contain keys, even if sent to the wrong address.
            shown = f"a message of {sized(message)}" if message else "an earlier request"
            self.endpoint.complaints.add(f"reply {code}", f"{self.identity} < {shown}", code=code)
            if code == BAD_KEY:
                self.endpoint.complaints.add(NO_ORDERS, f"{self.identity} ! {NO_ORDERS_TEXT}")

    @contained
    def _reply(self, actions: Iterable[Action]) -> None:
        """Carry out the reply to a request that was answered later."""
        self.perform(actions)
        self._send_pending()
        self._read_rest()

    def _subscribe(self, names: tuple[str, ...]) -> None:
        """Subscribe to `names`; those that stay silent are logged, not refused."""
        silent = self.endpoint.hub.subscribe(self, names, self._route)
        if silent:
            self.endpoint.silent_subscriptions.add(self.identity, silent)

    def _send_pending(self) -> None:
        """Write the pending frames of the session."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self.transport.write(data)
        if self.unsent_bytes > self.endpoint.limits.max_unsent_bytes:
            self.close(SLOW_CONSUMER)  # it requests more than it reads

    # The end.

    def _fail(self, bad: BadFrame) -> None:
        """End the connection because of an invalid frame."""
        if self._state is _State.CLOSING:
            self._finish()
            return
        reason = bad.reason
        self.endpoint.complaints.add(f"close {reason.name}", f"{self.identity} ! {bad.text}")
        self._leave(reason.name)
        self._finish(frames.close_frame(reason.code, bad.text))

    @contained
    def _finish(self, last_frame: bytes = b"") -> None:
        """Send `last_frame` and the end of the stream, and abort if the client does not close."""
        self._state = _State.ENDED
        if last_frame:
            self._pending.append(last_frame)
        self._send_pending()
        if self.transport.can_write_eof():
            with suppress(OSError):  # the client is gone already, which is what was to be said
                self.transport.write_eof()
        else:
            self.transport.close()
        self._abort_later()

    def _leave(self, ending: str) -> None:
        """Leave the hub; the first reason is the one that counts."""
        if self._ending:
            return
        self._ending = ending
        if ending not in OWN_ENDINGS:
            self.cut_off()
        self._followers = self.endpoint.counters.opened
        self.write = _discard
        if self._session is not None:
            self.endpoint.hub.remove(self)
            if not isinstance(self._session, StreamSession):
                self._session.cancel()

    def _abort_later(self) -> None:
        """Abort the connection after the grace period."""
        if self._abort_timer is None:
            grace_s = self.endpoint.limits.close_grace_ms / 1_000
            loop = asyncio.get_running_loop()
            self._abort_timer = loop.call_later(grace_s, self.transport.abort)
