"""One stream connection: subscriptions, envelope mode, message rate and keepalive.

A session takes messages and times, returns actions, and never sees a socket.  After it has returned a
`Close` it returns nothing more.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.protocol import close_reasons
from tickerplant.protocol.actions import (
    Action,
    Send,
    SetCombined,
    Subscribe,
    Unsubscribe,
)
from tickerplant.protocol.client_requests import (
    TOO_MANY_SUBSCRIPTIONS,
    ControlError,
    Request,
    RequestId,
    read_request,
)
from tickerplant.protocol.keepalive import Keepalive, SessionCounters
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import MESSAGES, STREAMS, ClientUsage, Throttle, TokenBucket
from tickerplant.protocol.target import StreamTarget


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

    is_full = False
    """Whether too many requests wait: never, as each is answered at once."""

    def __init__(
        self,
        target: StreamTarget,
        limits: Limits,
        now_ms: int,
        counters: SessionCounters | None = None,
        usage: ClientUsage | None = None,
        *,
        paired_pongs: bool = True,
    ) -> None:
        """Begin a session."""
        self.names: dict[str, None] = {}
        """The subscribed names, in the order of their subscription."""
        self.combined = target.combined
        self._target = target
        self._limits = limits
        self._counters = counters or SessionCounters()
        self._usage = usage or ClientUsage()
        bucket = TokenBucket(limits.message_rate_per_s, limits.message_burst, now_ms)
        self.throttle = Throttle(bucket, self._usage, MESSAGES, enforced=limits.enforced)
        """Limits the client's messages."""
        counted = self.throttle if limits.count_control_frames else None
        self.keepalive = Keepalive(limits, now_ms, self._counters, counted, paired=paired_pongs)
        """Pings, pongs and age; the session is over when it is closed."""

    def open(self) -> list[Action]:
        """Subscribe to the names of the URL; too many are refused as in a message."""
        try:
            return self._subscribe(self._target.names, UNSET)
        except ControlError as refusal:
            return self._refuse(refusal)

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Answer a message; one beyond the allowance closes the connection without a reply."""
        if self.keepalive.closed:
            return []
        if not self.throttle.admits(now_ms):
            return self.keepalive.close(close_reasons.TOO_MANY_REQUESTS)
        try:
            request = read_request(text, self._limits.max_name_bytes)
            self._counters.methods[request.method] += 1
            return self._answer(request)
        except ControlError as refusal:
            return self._refuse(refusal)

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Refuse a binary message like text that is not JSON."""
        return self.receive_text(b"", now_ms)

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
        if not self._has_room(len(new)):
            raise ControlError(TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions", request_id)
        self.names.update(dict.fromkeys(new))
        acknowledgement = [] if request_id is UNSET else [_reply(None, request_id)]
        return [*acknowledgement, *([Subscribe(new)] if new else [])]

    def _has_room(self, count: int) -> bool:
        """Return whether the connection may subscribe to `count` more streams."""
        limits = self._limits
        held = self._usage.tallies[STREAMS].set(len(self.names) + count)
        if held <= limits.max_streams:
            return True
        self._usage.exceed(STREAMS)
        return not limits.enforced and held <= limits.unenforced_streams

    def _unsubscribe(self, names: tuple[str, ...], request_id: RequestId) -> list[Action]:
        """Unsubscribe before acknowledging, so that nothing follows the reply."""
        known = tuple(name for name in names if name in self.names)
        for name in known:
            del self.names[name]
        return [*([Unsubscribe(known)] if known else []), _reply(None, request_id)]

    def _refuse(self, refusal: ControlError) -> list[Action]:
        self._counters.errors[refusal.code] += 1
        reply = _ErrorReply(_Error(refusal.code, refusal.message), refusal.id)
        actions: list[Action] = [Send(msgspec.json.encode(reply), refusal.code)]
        return (
            actions + self.keepalive.close(close_reasons.INVALID_REQUEST)
            if refusal.is_final
            else actions
        )


def _reply(result: bool | list[str] | None, request_id: RequestId) -> Send:
    return Send(msgspec.json.encode(_Reply(result, request_id)))
