"""Rows of a time window, selected from all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Row = TypeVar("Row")


def window(
    rows: Iterable[Row],
    time_of: Callable[[Row], int],
    start: int | None,
    end: int | None,
    limit: int,
) -> list[Row]:
    """Return at most `limit` rows between two times: from a start on the first, else the last."""
    inside = [
        row
        for row in rows
        if (start is None or time_of(row) >= start) and (end is None or time_of(row) <= end)
    ]
    return inside[-limit:] if start is None else inside[:limit]
