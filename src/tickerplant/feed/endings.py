"""What the end of a connection, or of an attempt, means for the next attempt."""

from __future__ import annotations

from msgspec import Struct


class Ending(Struct, frozen=True, kw_only=True):
    """One way in which a connection ends, and what a feed does then."""

    name: str
    least_ms: int
    """Pause before the next attempt, at least; longer when attempts fail again and again."""
    doc: str


LOST = Ending(
    name="lost", least_ms=0, doc="Reset, or end of file without a close frame: connect again."
)
CLOSED = Ending(
    name="closed",
    least_ms=0,
    doc="A close frame of any other kind (1000, 1001, 1006, 1011 to 1014, …): connect again.",
)
POLICY = Ending(
    name="policy",
    least_ms=1_000,
    doc="Closed with 1008: too many messages, an invalid request, a missing pong, or too slow.",
)
BROKEN = Ending(
    name="broken",
    least_ms=1_000,
    doc="What came was no WebSocket (1002, 1003, 1007, 1009): connect again, not at once.",
)
REFUSED = Ending(
    name="refused",
    least_ms=0,
    doc="The address does not answer, or answers the handshake with a 5xx status; or with 404 for a "
    "path with a traffic class, and is asked for one without.",
)
LIMITED = Ending(
    name="limited",
    least_ms=5_000,
    doc="The handshake was answered with 429 or 418: no connection is tried before the time in "
    "`Retry-After` is over, nor before 5 s are.",
)
FORBIDDEN = Ending(
    name="forbidden",
    least_ms=30_000,
    doc="The handshake was answered with another 4xx status: who asks again gets the same answer.",
)
SILENT = Ending(
    name="silent",
    least_ms=0,
    doc="A ping, or a control message, was not answered in time: the connection is given up.",
)

ENDINGS = (LOST, CLOSED, POLICY, BROKEN, REFUSED, LIMITED, FORBIDDEN, SILENT)

_BY_CODE = {1002: BROKEN, 1003: BROKEN, 1007: BROKEN, 1008: POLICY, 1009: BROKEN}


def of_close(code: int | None) -> Ending:
    """Return what a close frame with `code` means; None: there was none."""
    return LOST if code is None else _BY_CODE.get(code, CLOSED)


def of_handshake(status: int | None) -> Ending:
    """Return what an answer other than 101 means; None: there was none."""
    if status in {418, 429}:
        return LIMITED
    if status is not None and 400 <= status < 500:
        return FORBIDDEN
    return REFUSED
