"""Where rows go: the parts of paths that come from recordings."""

from __future__ import annotations

from datetime import UTC, datetime

from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.units import DAY_MS

LAST_DAY = 2_932_896
"""The last day that has a date, in the year 9999."""
MAX_PART_BYTES = 200
"""Of a name in a path: file systems take 255, with what stands beside it."""


def path_part(name: str) -> str:
    """Return a name from outside as a part of a path: what is no letter, digit or `_-` is `%XX`.

    Raises:
        ValueError: it is empty, or longer than any symbol.
    """
    part = "".join(
        sign if sign.isalnum() or sign in "_-" else _escaped(sign)
        for sign in name[: LONGEST_SYMBOL + 1]
    )
    if not name or len(name) > LONGEST_SYMBOL or len(part.encode()) > MAX_PART_BYTES:
        raise ValueError(f"{name[:LONGEST_SYMBOL]!r} is no symbol")
    return part


def _escaped(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode(errors="replace"))


def date_of(day: int) -> str:
    """Return the date of a day since the epoch, such as `2024-08-08`."""
    return datetime.fromtimestamp(day * (DAY_MS // 1_000), UTC).strftime("%Y-%m-%d")
