"""What of a recording is wanted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.block import LATEST_NS

Instant: TypeAlias = str | int | datetime
"""A moment: an ISO date (UTC unless it says otherwise), a `datetime`, or ns since the epoch."""

END_NS = LATEST_NS + 1
"""Later than everything that is recorded."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATER = 10**17
"""Nanoseconds are above this since 1973; what is below was given in another unit."""


class Selection(Struct, frozen=True):
    """What is wanted of a recording."""

    streams: frozenset[str] = frozenset()
    """Only these streams; empty: all."""
    symbols: frozenset[str] = frozenset()
    """Only these symbols, of streams of pairs these pairs; empty: all."""
    start_ns: int = 0
    """Receive time of the first message."""
    end_ns: int = END_NS
    """Receive time before which the last message came."""


def instant_ns(name: str, value: Instant) -> int:
    """Return a moment as ns since the epoch.

    Args:
        name: What it is called where it is wrong.
        value: The moment; one without time zone is UTC.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, int):
        if value == 0 or _LATER <= value <= LATEST_NS:
            return value
        raise ConfigError(name, value, "nanoseconds since 1970")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND * 1_000
    except (ValueError, TypeError, AttributeError, OverflowError):
        expected = "an ISO date such as 2026-01-31T12:00:00 (UTC), a datetime, or ns since 1970"
        raise ConfigError(name, value, expected) from None
