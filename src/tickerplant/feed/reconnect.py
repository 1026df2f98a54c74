"""When a feed connects again: by why the connection ended, and by how often attempts failed."""

from __future__ import annotations

from random import Random

from msgspec import Struct

QUICK_RETRY_MS = 100
"""Longest pause before the first attempt after a connection that was stable."""


class Ending(Struct, frozen=True, kw_only=True):
    """One way in which a connection ends, and how the feed reacts."""

    name: str
    min_pause_ms: int
    """Minimum pause before the next attempt; it becomes longer when attempts keep failing."""
    doc: str


LOST = Ending(
    name="lost", min_pause_ms=0, doc="Reset, or end of file without a close frame: reconnect."
)
CLOSED = Ending(
    name="closed",
    min_pause_ms=0,
    doc="Closed with any other code (1001, 1006, 1011 to 1014, …): reconnect.",
)
POLICY = Ending(
    name="policy",
    min_pause_ms=1_000,
    doc="Closed with 1008: too many messages, an invalid request, a missing pong, or a slow client.",
)
BROKEN = Ending(
    name="broken",
    min_pause_ms=1_000,
    doc="The peer broke the WebSocket protocol (1002, 1003, 1007, 1009): reconnect after a pause.",
)
ENDED = Ending(
    name="ended",
    min_pause_ms=0,
    doc="Closed with 1000 by the server of `replay()` or `simulate()`: its streams are over, and so "
    "are the subscriptions.  Of other servers: reconnect.",
)
REFUSED = Ending(
    name="refused",
    min_pause_ms=0,
    doc="The address does not respond, or responds to the handshake with a 5xx status; or with 404 "
    "to a path with a traffic class, in which case the path without the class is tried next.",
)
LIMITED = Ending(
    name="limited",
    min_pause_ms=5_000,
    doc="The handshake was rejected with 429 or 418: no connection is attempted until the time in "
    "`Retry-After` has passed, and for at least 5 s.",
)
FORBIDDEN = Ending(
    name="forbidden",
    min_pause_ms=30_000,
    doc="The handshake was rejected with another 4xx status; retrying soon will not help.",
)
SILENT = Ending(
    name="silent",
    min_pause_ms=0,
    doc="A ping or a control message was not answered in time: the connection is dropped.",
)

ENDINGS = (LOST, CLOSED, ENDED, POLICY, BROKEN, REFUSED, LIMITED, FORBIDDEN, SILENT)

_BY_CODE = {1000: ENDED, 1002: BROKEN, 1003: BROKEN, 1007: BROKEN, 1008: POLICY, 1009: BROKEN}


def ending_of_close(code: int | None) -> Ending:
    """Return the ending for the code of a close frame; None: there was no close frame."""
    return LOST if code is None else _BY_CODE.get(code, CLOSED)


def ending_of_handshake(status: int | None) -> Ending:
    """Return the ending for a handshake status other than 101; None: there was no response."""
    if status in {418, 429}:
        return LIMITED
    if status is not None and 400 <= status < 500:
        return FORBIDDEN
    return REFUSED


class Backoff:
    """The pauses of one connection between attempts: exponential, bounded and randomised."""

    def __init__(self, base_ms: int, max_ms: int, rng: Random) -> None:
        self._base_ms = base_ms
        self._max_ms = max_ms
        self._rng = rng
        self.failures = 0
        """Consecutive failed attempts."""

    def pause_ms(self, min_pause_ms: int = 0) -> int:
        """Count a failure and return how long to wait."""
        bound_ms = min(self._max_ms, self._base_ms << min(self.failures, 32))
        self.failures += 1
        return min_pause_ms + round(bound_ms * self._rng.uniform(0.5, 1.0))

    def restart(self) -> None:
        """Forget the failures: the connection was stable."""
        self.failures = 0

    def quick_retry_ms(self) -> int:
        """Return how long to wait after a stable connection ended without a reason to wait."""
        return round(QUICK_RETRY_MS * self._rng.random())
