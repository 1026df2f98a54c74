"""One stream client's side of the conversation.

A session is told what the client says and what time it is, and returns what is to be done. It holds
the subscribed names in order, the envelope mode, the message allowance and the keepalive, and never
sees a socket. After it has returned a `Close` it returns nothing more.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.protocol import closing
from tickerplant.protocol.actions import (
    Action,
    Close,
    Ping,
    Send,
    SetCombined,
    Subscribe,
    Unsubscribe,
)
from tickerplant.protocol.closing import CloseReason
from tickerplant.protocol.control import (
    TOO_MANY_SUBSCRIPTIONS,
    ControlError,
    Request,
    RequestId,
    read_request,
)
from tickerplant.protocol.counters import SessionCounters
from tickerplant.protocol.keepalive import Keepalive
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.target import StreamTarget
from tickerplant.protocol.token_bucket import TokenBucket


class _Reply(Struct, frozen=True):
    result: bool | list[str] | None
    id: RequestId


class _Error(Struct, frozen=True):
    code: int
    msg: str


class _ErrorReply(Struct, frozen=True, omit_defaults=True):
    error: _Error
    id: RequestId | UnsetType = UNSET


class StreamSession:
    """The state of one stream connection; times are milliseconds of the server's own clock."""

    def __init__(
        self,
        target: StreamTarget,
        limits: Limits,
        now_ms: int,
        counters: SessionCounters | None = None,
    ) -> None:
        self.names: dict[str, None] = {}
        """The subscribed names, in the order of their subscription."""
        self.combined = target.combined
        self.closed = False
        self._target = target
        self._limits = limits
        self._counters = counters or SessionCounters()
        self._keepalive = Keepalive(limits, now_ms)
        self._allowance = TokenBucket(limits.message_rate_per_s, limits.message_burst, now_ms)

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do."""
        return self._keepalive.next_deadline_ms

    def open(self) -> list[Action]:
        """Subscribe the names of the URL; too many are refused like too many in a message."""
        try:
            return self._subscribe(self._target.names, UNSET)
        except ControlError as refusal:
            return self._refuse(refusal)

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Answer a message; one beyond the allowance closes the connection without a reply."""
        if self.closed:
            return []
        if not self._allowance.take(now_ms):
            return self._close(closing.TOO_MANY_REQUESTS)
        try:
            request = read_request(text, self._limits.max_name_bytes)
            self._counters.methods[request.method] += 1
            return self._answer(request)
        except ControlError as refusal:
            return self._refuse(refusal)

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Refuse a binary message as text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def ping(self, payload: bytes, now_ms: int) -> list[Action]:  # noqa: ARG002 - the shell echoes it
        """Take note of a client's ping, which the shell answers."""
        return self._control_frame(now_ms)

    def pong(self, payload: bytes, now_ms: int) -> list[Action]:  # noqa: ARG002 - any pong is life
        """Take a pong, asked for or not, as a sign of life."""
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

    def _answer(self, request: Request) -> list[Action]:
        match request.method:
            case "SUBSCRIBE":
                return self._subscribe(request.names, request.id)
            case "UNSUBSCRIBE":
                return self._unsubscribe(request.names, request.id)
            case "SET_PROPERTY":
                self.combined = request.value
                return [SetCombined(request.value), _reply(None, request.id)]
            case "GET_PROPERTY":
                return [_reply(self.combined, request.id)]
            case _:
                return [_reply(list(self.names), request.id)]

    def _subscribe(self, names: tuple[str, ...], request_id: RequestId | UnsetType) -> list[Action]:
        """Acknowledge before subscribing, so that the reply precedes the first event it causes."""
        new = tuple(name for name in names if name not in self.names)
        if len(self.names) + len(new) > self._limits.max_streams:
            raise ControlError(TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions", request_id)
        self.names.update(dict.fromkeys(new))
        acknowledgement = [] if request_id is UNSET else [_reply(None, request_id)]
        return [*acknowledgement, *([Subscribe(new)] if new else [])]

    def _unsubscribe(self, names: tuple[str, ...], request_id: RequestId) -> list[Action]:
        """Unsubscribe before acknowledging, so that nothing follows the reply."""
        known = tuple(name for name in names if name in self.names)
        for name in known:
            del self.names[name]
        return [*([Unsubscribe(known)] if known else []), _reply(None, request_id)]

    def _control_frame(self, now_ms: int) -> list[Action]:
        if self.closed or not self._limits.count_control_frames or self._allowance.take(now_ms):
            return []
        return self._close(closing.TOO_MANY_REQUESTS)

    def _refuse(self, refusal: ControlError) -> list[Action]:
        self._counters.errors[refusal.code] += 1
        reply = _ErrorReply(_Error(refusal.code, refusal.message), refusal.id)
        actions: list[Action] = [Send(msgspec.json.encode(reply), refusal.code)]
        return actions + self._close(closing.INVALID_REQUEST) if refusal.is_final else actions

    def _close(self, reason: CloseReason) -> list[Action]:
        self.closed = True
        return [Close(reason)]


def _reply(result: bool | list[str] | None, request_id: RequestId) -> Send:
    return Send(msgspec.json.encode(_Reply(result, request_id)))
