"""What the page of the clock of a replay tells."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Phase = Literal["waiting", "warming up", "playing", "paused", "over"]


class ClockState(Struct, frozen=True, kw_only=True):
    """Where a replay is, and how it goes on."""

    time: str
    """Market time, as a date."""
    time_ms: int
    """Market time, ms since 1970."""
    received_ns: int
    """Position in the recordings, ns since 1970: receive time, or event time if that is the pace."""
    speed: float
    """Recorded seconds per second; 0 is as fast as it goes."""
    paused: bool
    """Whether it stands still on request."""
    state: Phase
    """`waiting` for subscribers, `warming up` silently to a moment, `playing`, `paused` or `over`."""
    pace: Literal["receive", "event"]
    """Which of the times of a message counts."""
    from_ns: int
    """Where it begins."""
    to_ns: int | None
    """Where it ends; null if that is not known yet."""
    loop: bool
    """Whether it begins anew at the end."""
    shift_ms: int
    """How much later all times are than they were recorded."""
    messages: int
    """Recorded messages played so far; those of a warm-up do not count."""
    recordings: tuple[str, ...]
    """What is played."""
