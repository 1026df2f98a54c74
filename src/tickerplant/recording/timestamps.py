"""Moments of a recording as people write them: dates, times since the epoch, and offsets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

from tickerplant.recording.block import EARLIEST_NS, LATEST_NS

LONGEST_NS = 36_525 * 86_400_000_000_000
EXPECTED_TIME = "an ISO date such as 2026-01-31T12:00:00 (UTC), or ms or ns since 1970"
EXPECTED = (
    "an ISO date such as 2026-01-31T12:00:00 (UTC), ms or ns since 1970, "
    "or an offset such as +90s or -5m"
)
EXPECTED_DURATION = "a duration such as 100ms, 90s, 15m, 2h or 1d"

_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_DIGITS = re.compile(r"[0-9]{9,19}")
_UNIT_NS = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
    "d": 86_400 * 10**9,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_MS = 10**14


class TimeSpec(Struct, frozen=True):
    """A moment: absolute, or so much after or before something."""

    ns: int
    """Since the epoch, or the size of the offset."""
    sign: Literal["", "+", "-"] = ""
    """Empty if it is absolute."""


def parse_time_spec(given: object) -> TimeSpec:
    """Return the moment that somebody wrote.

    Raises:
        ValueError: it is none; says what is expected.
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
    """Return a moment that is no offset, as ns since the epoch, from 2001 to 2286.

    Raises:
        ValueError: it is none; says what is expected.
    """
    text = str(given).strip()
    try:
        ns = _digits_ns(text) if _DIGITS.fullmatch(text) else _iso_ns(text)
    except (ValueError, OverflowError):
        ns = 0
    if not EARLIEST_NS <= ns <= LATEST_NS or isinstance(given, bool):
        raise ValueError(EXPECTED_TIME)
    return ns


def parse_duration_ns(text: str) -> int:
    """Return a duration in ns.

    Raises:
        ValueError: it is none; says what is expected.
    """
    match = _DURATION.fullmatch(text)
    if match is None or (ns := round(float(match[1]) * _UNIT_NS[match[2]])) > LONGEST_NS:
        raise ValueError(EXPECTED_DURATION)
    return ns


def _digits_ns(text: str) -> int:
    number = int(text)
    return number * 10**6 if number < _LARGEST_MS else number


def _iso_ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
