"""The faults of handshakes and of open connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Annotated, ClassVar, Protocol, TypeAlias

from tickerplant.errors import ConfigError
from tickerplant.faults.fault import OF_CONNECTIONS, Fault
from tickerplant.faults.params import (
    CloseCode,
    Duration,
    MaybeDuration,
    Mean,
    Rate,
    Share,
    status,
)
from tickerplant.frames import text_frame

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
GOING_AWAY_CODE = 1001

Undo: TypeAlias = Callable[[], object]


class FaultyLine(Protocol):
    """The transport of a connection, through which all of its bytes pass."""

    def stall(self) -> object: ...
    def resume(self) -> object: ...
    def lose(self) -> object: ...
    def set_latency(self, name: str, delay_ms: Callable[[int], int] | None) -> object: ...
    def set_rate(self, name: str, rate_bytes: int | None) -> object: ...


class FaultedClient(Protocol):
    """A connection, as a fault that happens to it sees it."""

    rule_id: str
    """The rule whose fault it is."""

    def line(self) -> FaultyLine: ...
    def reset(self) -> object: ...
    def close(self, code: int) -> object: ...
    def write(self, frame: bytes) -> object: ...
    def market_ms(self) -> int: ...

    def next_of(self, frames: tuple[bytes, ...]) -> bytes:
        """Return the frame whose turn it is on this connection."""

    def draws_at(self, now_ms: int) -> Random:
        """Return the draws of a time, on this connection."""


class HandshakeFault(Fault):
    """Happens when a client connects; `refuse` says how."""

    acts_on = "handshake"
    acted_on = "handshakes"
    aims = ("venue", "path")
    occasion = "it acts when a client connects"


class ConnectionFault(Fault):
    """Happens to a connection."""

    acts_on = "connection"
    acted_on = "connections"
    aims: ClassVar[tuple[str, ...]] = ("venue", "stream", *OF_CONNECTIONS)
    occasion = "it acts on connections that are open while it is on"

    def begin(self, client: FaultedClient) -> Undo | None:
        """Happen; return what ends it, if it stays."""
        raise NotImplementedError

    def stay_ms(self) -> int | None:
        """Return after which time it ends by itself and begins again; None if its window says that."""
        return None


class Refuse(HandshakeFault):
    """WebSocket handshakes are answered 503."""

    refused = 503
    share: Share = None


class LimitHandshakes(HandshakeFault):
    """WebSocket handshakes are answered 429 with `Retry-After: 1`."""

    refused = 429
    share: Share = None


class BanHandshakes(HandshakeFault):
    """WebSocket handshakes are answered 418 with `Retry-After: 1`."""

    refused = 418
    share: Share = None


class Handshake(HandshakeFault):
    """WebSocket handshakes are answered with this status; 418 and 429 have `Retry-After: 1`."""

    status: Annotated[int, status(400, 401, 403, 404, 418, 429, 451, 500, 502, 503, 504)]
    """The HTTP status: 451 is how the exchange refuses countries, 403 its firewall."""
    share: Share = None

    def refuse(self) -> int:
        return self.status


class Reset(ConnectionFault):
    """WebSocket connections are closed with a TCP reset, without a close frame; unsent data is lost."""

    mean: Mean = None

    def begin(self, client: FaultedClient) -> None:
        client.reset()


class Close(ConnectionFault):
    """WebSocket connections are closed with this code."""

    code: CloseCode = GOING_AWAY_CODE
    """The code of the close frame."""
    mean: Mean = None

    def begin(self, client: FaultedClient) -> None:
        client.close(self.code)


class Maintenance(ConnectionFault):
    """All WebSocket connections are closed with 1001; as long as it is on, handshakes and requests
    are answered 503, with `after` too: that only lets open connections have so many messages first.
    """

    refused = 503
    lasts = True
    aims = ("venue",)

    def begin(self, client: FaultedClient) -> None:
        client.close(GOING_AWAY_CODE)


class Stall(ConnectionFault):
    """WebSocket connections go silent: the socket stays open, and nothing is read, sent or answered,
    not even a ping. What is due in that time is sent afterwards; a connection with more than
    `max_unsent_bytes` pending is closed as a slow consumer, and one that should close in that time is
    aborted after `close_grace_ms`.
    """

    lasts = True
    time: MaybeDuration = None
    """How long each stall takes; without it, as long as the window is open."""
    mean: Mean = None

    def open_ms(self, for_ms: int | None, given: Mapping[str, object]) -> int | None:
        # One stall for this time is a window of this length.
        if (self.time is None) is (self.mean is None):
            return for_ms
        if self.time is None:
            raise ConfigError("time", None, f"{self.form_words()}; stall needs it with mean")
        if for_ms is not None:
            raise ConfigError("time", given["time"], "time or for, not both, without mean")
        return self.time

    def stay_ms(self) -> int | None:
        return None if self.mean is None else self.time

    def begin(self, client: FaultedClient) -> Undo:
        line = client.line()
        line.stall()
        return line.resume


class HalfOpen(ConnectionFault):
    """WebSocket connections are as after a lost network: the socket stays open, nothing is read, and
    what is sent is lost. When it ends, they are closed with a TCP reset.
    """

    lasts = True

    def begin(self, client: FaultedClient) -> Undo:
        client.line().lose()
        return client.reset


class Latency(ConnectionFault):
    """All that WebSocket connections send and receive arrives later, in the same order."""

    lasts = True
    is_timed = True
    time: Duration
    """How much later."""
    jitter: Duration = 0
    """Up to so much is added at random; it changes from one millisecond to the next."""

    def begin(self, client: FaultedClient) -> Undo:
        def delay_ms(now_ms: int) -> int:
            jitter_ms = client.draws_at(now_ms).randint(0, self.jitter) if self.jitter else 0
            return self.time + jitter_ms

        line = client.line()
        line.set_latency(client.rule_id, delay_ms)
        return lambda: line.set_latency(client.rule_id, None)


class Bandwidth(ConnectionFault):
    """WebSocket connections are sent no more than this; the rest waits. One with more than
    `max_unsent_bytes` waiting is closed as a slow consumer.
    """

    lasts = True
    is_timed = True
    rate: Rate
    """Bytes per second, such as 64KB."""

    def begin(self, client: FaultedClient) -> Undo:
        line = client.line()
        line.set_rate(client.rule_id, self.rate)
        return lambda: line.set_rate(client.rule_id, None)


class Garbage(ConnectionFault):
    """WebSocket connections get an extra text frame: in turn, invalid JSON, half a message, or JSON of
    an unknown form.
    """

    mean: Mean = None

    def begin(self, client: FaultedClient) -> None:
        client.write(client.next_of(GARBAGE_FRAMES))


class InvalidUtf8(ConnectionFault):
    """WebSocket connections get a text frame that is not UTF-8; by RFC 6455 the client has to end the
    connection with 1007.
    """

    mean: Mean = None

    def begin(self, client: FaultedClient) -> None:
        client.write(INVALID_UTF8_FRAME)


class ShutdownNotice(ConnectionFault):
    """WebSocket connections get the notice `{"e":"serverShutdown","E":TIME}`. The exchange documents
    it for spot, not for futures: a client should survive an event that it does not know.
    """

    mean: Mean = None

    def begin(self, client: FaultedClient) -> None:
        notice = {"e": "serverShutdown", "E": client.market_ms()}
        client.write(text_frame(json.dumps(notice, separators=(",", ":")).encode()))
