"""Pings, pongs, the pong timeout and the lifetime of one connection.

The server pings at a fixed interval from the opening.  A connection ends when its oldest unanswered
ping reaches the timeout, or when it reaches its lifetime.  A pong that copies the payload of a ping
answers it and all before it, as a client may answer only the latest (RFC 6455, 5.5.3).  Where pongs
need not be paired, any pong answers all pings.

Pings and the lifetime follow connection time.  How long a client may take for a pong follows the
machine's clock, by which it answers: where connection time is market time, ten minutes of it may be
over before any client could.
"""

from __future__ import annotations

from collections import Counter

from tickerplant.protocol.actions import Action, Close, Ping
from tickerplant.protocol.close_reasons import EXPIRED, PONG_TIMEOUT, TOO_MANY_REQUESTS, CloseReason
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import Throttle

NEVER_MS = 1 << 62
"""A deadline that does not come."""
MAX_UNANSWERED = 64
"""Most unanswered pings that a connection keeps; one more replaces the latest, so the oldest still
ends the connection."""


class SessionCounters:
    """Counts for the metrics, shared by all sessions of a venue."""

    def __init__(self) -> None:
        self.methods: Counter[str] = Counter()
        """Requests understood, by method."""
        self.errors: Counter[int] = Counter()
        """Error replies by code."""
        self.pings_sent = 0
        self.pongs_received = 0


class Keepalive:
    """The pings and the age of one connection.

    Args:
        limits: The intervals.
        now_ms: When the connection opened, in connection time.
        counters: Count pings and pongs.
        throttle: Limits the client's pings and pongs; None if they are not counted.
        paired: Whether only a pong that copies the payload of a ping counts.
    """

    def __init__(
        self,
        limits: Limits,
        now_ms: int,
        counters: SessionCounters | None = None,
        throttle: Throttle | None = None,
        *,
        paired: bool = True,
    ) -> None:
        self.closed = False
        """Whether the session is over and answers nothing more."""
        self._interval_ms = limits.ping_interval_ms
        self._timeout_ms = limits.pong_timeout_ms
        self._expires_ms = now_ms + limits.lifetime_ms
        self._next_ping_ms = now_ms + limits.ping_interval_ms
        self.pong_deadline_ms = NEVER_MS
        """When the oldest unanswered ping ends the connection, on the machine's clock."""
        self._unanswered: list[tuple[bytes, int]] = []
        """Payloads and deadlines of the unanswered pings, the oldest first."""
        self._paired = paired
        self._counters = counters or SessionCounters()
        self.throttle = throttle
        """Limits the client's pings and pongs; None if they are not counted."""

    @property
    def next_deadline_ms(self) -> int:
        """When the next ping or the end is due, in connection time."""
        return min(self._next_ping_ms, self._expires_ms)

    def close(self, reason: CloseReason) -> list[Action]:
        """End the session."""
        self.closed = True
        return [Close(reason)]

    def ping(self, now_ms: int) -> list[Action]:
        """Count a client's ping; the shell answers it."""
        return self._control_frame(now_ms)

    def pong(self, payload: bytes, now_ms: int) -> list[Action]:
        """Count the pings that a pong answers as answered."""
        self._counters.pongs_received += 1
        waiting = [sent for sent, _ in self._unanswered]
        if not self._paired:
            self._unanswered.clear()
        elif payload in waiting:
            del self._unanswered[: waiting.index(payload) + 1]
        self.pong_deadline_ms = self._unanswered[0][1] if self._unanswered else NEVER_MS
        return self._control_frame(now_ms)

    def tick(self, now_ms: int, machine_ms: int) -> list[Action]:
        """Return the ping or the close that is due; pings that were missed are skipped."""
        if self.closed:
            return []
        if now_ms >= self._expires_ms:
            return self.close(EXPIRED)
        if machine_ms >= self.pong_deadline_ms:
            return self.close(PONG_TIMEOUT)
        if now_ms < self._next_ping_ms:
            return []
        missed = (now_ms - self._next_ping_ms) // self._interval_ms
        self._next_ping_ms += (missed + 1) * self._interval_ms
        payload, deadline_ms = b"%d" % now_ms, machine_ms + self._timeout_ms
        self._unanswered[MAX_UNANSWERED - 1 :] = [(payload, deadline_ms)]
        self.pong_deadline_ms = self._unanswered[0][1]
        self._counters.pings_sent += 1
        return [Ping(payload)]

    def _control_frame(self, now_ms: int) -> list[Action]:
        if self.closed or self.throttle is None or self.throttle.admits(now_ms):
            return []
        return self.close(TOO_MANY_REQUESTS)
