"""Who held what in one contract, every five minutes of a month."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from tickerplant.events import Positioning
from tickerplant.market.bars import DAY_MS, MINUTE_MS

GRID_MS = 5 * MINUTE_MS
KEPT_DAYS = 30
KEPT_ROWS = KEPT_DAYS * DAY_MS // GRID_MS
"""Rows that are kept since the start; older ones are forgotten."""


class Positions:
    """The present positioning, and what it was at every whole five minutes of a month."""

    def __init__(self) -> None:
        self.latest: Positioning | None = None
        self._past: Callable[[], Sequence[Positioning]] = tuple
        self._rows: deque[Positioning] = deque(maxlen=KEPT_ROWS)

    def look_back(self, past: Callable[[], Sequence[Positioning]]) -> None:
        """Begin with what `past` returns when somebody asks for it."""
        self._past = past

    def add(self, positioning: Positioning) -> None:
        """Take the present positioning over; the first one of five minutes is kept."""
        kept = self._rows
        if not kept or positioning.time_ms // GRID_MS > kept[-1].time_ms // GRID_MS:
            kept.append(positioning)
        self.latest = positioning

    def rows(
        self, period_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Positioning]:
        """Return up to `limit` rows at multiples of `period_ms` in [`start_ms`, `end_ms`].

        Each is the first row at or after its time; with a start the first ones from there on,
        otherwise the latest ones.
        """
        chosen: dict[int, Positioning] = {}
        for row in (*self._past(), *self._rows):
            chosen.setdefault(row.time_ms // period_ms * period_ms, row)
        found = [
            row
            for time_ms, row in chosen.items()
            if (start_ms is None or time_ms >= start_ms) and (end_ms is None or time_ms <= end_ms)
        ]
        return found[-limit:] if start_ms is None else found[:limit]
