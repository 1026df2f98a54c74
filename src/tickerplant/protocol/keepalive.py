"""Pings, the pong timeout and the end of a connection's life.

The server pings at a fixed interval from the opening. A connection ends when its oldest ping
without a later pong reaches the timeout, or when it reaches its lifetime. Any pong is a sign of
life, whatever its payload and whether or not a ping asked for it: the connection page allows
unpaired pongs, and a public client answers with an empty payload.
"""

from __future__ import annotations

from tickerplant.protocol.actions import Ping
from tickerplant.protocol.closing import EXPIRED, PONG_TIMEOUT, CloseReason
from tickerplant.protocol.limits import Limits


class Keepalive:
    """The clockwork of one connection; times are milliseconds of the server's own clock."""

    def __init__(self, limits: Limits, now_ms: int) -> None:
        self._interval_ms = limits.ping_interval_ms
        self._timeout_ms = limits.pong_timeout_ms
        self._expires_ms = now_ms + limits.lifetime_ms
        self._next_ping_ms = now_ms + limits.ping_interval_ms
        self._unanswered_ms: int | None = None

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do."""
        deadline_ms = min(self._next_ping_ms, self._expires_ms)
        if self._unanswered_ms is None:
            return deadline_ms
        return min(deadline_ms, self._unanswered_ms + self._timeout_ms)

    def pong(self) -> None:
        """Take every ping so far as answered."""
        self._unanswered_ms = None

    def tick(self, now_ms: int) -> Ping | CloseReason | None:
        """Return the ping that is due, the reason to close, or None; missed pings are skipped."""
        if now_ms >= self._expires_ms:
            return EXPIRED
        if self._unanswered_ms is not None and now_ms >= self._unanswered_ms + self._timeout_ms:
            return PONG_TIMEOUT
        if now_ms < self._next_ping_ms:
            return None
        missed = (now_ms - self._next_ping_ms) // self._interval_ms
        self._next_ping_ms += (missed + 1) * self._interval_ms
        if self._unanswered_ms is None:
            self._unanswered_ms = now_ms
        return Ping(b"%d" % now_ms)
