"""Units of time, each in terms of a smaller one, and durations as people write them: `90s`."""

from __future__ import annotations

import re

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

_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")


def parse_duration_ns(text: str) -> int:
    """Return a duration of at most a century, in ns.

    Raises:
        ValueError: It is not such a duration; the message says what is expected.
    """
    match = _DURATION.fullmatch(text)
    if match is None or (ns := round(float(match[1]) * UNIT_NS[match[2]])) > LONGEST_NS:
        raise ValueError(EXPECTED_DURATION)
    return ns
