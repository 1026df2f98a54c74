"""What of a recording is wanted."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.block import EARLIEST_NS, LATEST_NS
from tickerplant.recording.timestamps import parse_time_ns

Instant: TypeAlias = str | int | datetime
"""A moment: an ISO date or a `datetime` (UTC unless it says otherwise), or ns since the epoch."""

END_NS = LATEST_NS + 1
"""Later than everything that is recorded."""
EXPECTED = "an ISO date such as 2026-01-31T12:00:00 (UTC), a datetime, or ns since 1970"


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
        value: The moment; one without time zone is UTC, and 0 is before everything.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, int) and (value == 0 or EARLIEST_NS <= value <= LATEST_NS):
        return value
    if isinstance(value, str | datetime):  # a number of another unit is a mistake
        with suppress(ValueError):
            return parse_time_ns(value)
    raise ConfigError(name, value, EXPECTED)
