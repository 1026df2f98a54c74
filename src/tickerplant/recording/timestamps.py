"""Times as people write them: dates, times since the epoch, offsets."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.units import NS_PER_MS, parse_duration_ns

Instant: TypeAlias = str | int | datetime
"""A time: an ISO date, a `datetime` (UTC unless it has a time zone), or ns since the epoch."""

EARLIEST_NS, LATEST_NS = 10**18, 10**19 - 1
"""The times that are recorded, from 2001 to 2286: nineteen digits."""
EXPECTED_TIME = "an ISO date such as 2026-01-31T12:00:00 (UTC), or ms or ns since 1970"
EXPECTED = (
    "an ISO date such as 2026-01-31T12:00:00 (UTC), ms or ns since 1970, "
    "or an offset such as +90s or -5m"
)
EXPECTED_INSTANT = "an ISO date such as 2026-01-31T12:00:00 (UTC), a datetime, or ns since 1970"

_DIGITS = re.compile(r"[0-9]{9,19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_MS = 10**14
"""A smaller number counts in ms, a larger one in ns."""


class TimeSpec(Struct, frozen=True):
    """A time, or an offset from a time that the context determines."""

    ns: int
    """Since the epoch, or the length of the offset."""
    sign: Literal["", "+", "-"] = ""
    """The direction of the offset; empty for a time."""

    def at(self, first_ns: int, last_ns: int) -> int:
        """Return the time: `+` counts from `first_ns`, `-` back from `last_ns`."""
        if self.sign == "+":
            return first_ns + self.ns
        return last_ns - self.ns if self.sign else self.ns


def parse_time_spec(given: object) -> TimeSpec:
    """Return the time or offset that somebody wrote.

    Raises:
        ValueError: It is neither; the message says what is expected.
    """
    text = str(given).strip()
    if text[:1] in {"+", "-"} and not isinstance(given, bool | float):
        try:
            return TimeSpec(parse_duration_ns(text[1:]), "+" if text[0] == "+" else "-")
        except ValueError:
            raise ValueError(EXPECTED) from None
    try:
        return TimeSpec(parse_time_ns(given))
    except ValueError:
        raise ValueError(EXPECTED) from None


def parse_time_ns(given: object) -> int:
    """Return a time, in ns since the epoch, from 2001 to 2286.

    Raises:
        ValueError: It is not such a time; the message says what is expected.
    """
    text = str(given).strip()
    try:
        ns = _digits_ns(text) if _DIGITS.fullmatch(text) else _iso_ns(text)
    except (ValueError, OverflowError):
        ns = 0
    if not EARLIEST_NS <= ns <= LATEST_NS or isinstance(given, bool):
        raise ValueError(EXPECTED_TIME)
    return ns


def instant_ns(name: str, value: Instant) -> int:
    """Return a time as ns since the epoch.

    Args:
        name: The name of the argument, for the error.
        value: The time; UTC if it has no time zone, and 0 for the beginning of all time.
    """
    if isinstance(value, int) and (value == 0 or EARLIEST_NS <= value <= LATEST_NS):
        return value
    if isinstance(value, str | datetime):  # other numbers are not nanoseconds
        with suppress(ValueError):
            return parse_time_ns(value)
    raise ConfigError(name, value, EXPECTED_INSTANT)


def _digits_ns(text: str) -> int:
    number = int(text)
    return number * NS_PER_MS if number < _LARGEST_MS else number


def _iso_ns(text: str) -> int:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1_000
