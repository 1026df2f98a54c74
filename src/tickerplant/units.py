"""Units of time, each in terms of a smaller one; numbers and durations as people write them: `90s`."""

from __future__ import annotations

import math
import re
from contextlib import suppress

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
UNIT_NS = {
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": MINUTE_MS * NS_PER_MS,
    "h": HOUR_MS * NS_PER_MS,
    "d": DAY_MS * NS_PER_MS,
}
"""The units of durations."""
LONGEST_NS = 36_525 * DAY_MS * NS_PER_MS
"""The longest duration, a century."""
EXPECTED_DURATION = "a duration such as 100ms, 90s, 15m, 2h or 1d"

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:e[+-]?[0-9]{1,3})?", re.IGNORECASE
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")


def parse_number(given: object) -> float:
    """Return a finite number: one of Python, or text of ASCII digits, without underscores.

    Raises:
        ValueError: It is something else: `inf`, `nan`, True, or text that only Python takes for a
            number, such as `１` and `1_000`.
    """
    number = math.nan
    if isinstance(given, int | float) and not isinstance(given, bool):
        with suppress(OverflowError):
            number = float(given)
    elif isinstance(given, str) and _NUMBER.fullmatch(given.strip()):
        number = float(given)
    if not math.isfinite(number):
        raise ValueError("a finite number")
    return number


def parse_whole(given: object) -> int:
    """Return a whole number of at most 18 digits, read as `parse_number` reads numbers.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(given, str) and _WHOLE.fullmatch(given.strip()):
        return int(given)
    if not isinstance(given, int) or isinstance(given, bool) or abs(given) >= 10**18:
        raise ValueError("a whole number")
    return given


def parse_duration_ns(text: str) -> int:
    """Return a duration of at most a century, in ns.

    Raises:
        ValueError: It is not such a duration; the message says what is expected.
    """
    match = _DURATION.fullmatch(text)
    if match is None or (ns := round(float(match[1]) * UNIT_NS[match[2]])) > LONGEST_NS:
        raise ValueError(EXPECTED_DURATION)
    return ns
