"""Who held what in one contract, every five minutes of a month."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tickerplant.events import Positioning
from tickerplant.units import DAY_MS, MINUTE_MS

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
        """Take the present positioning over; what was known at whole five minutes is kept."""
        before, now_ms = self.latest, positioning.time_ms
        self.latest = positioning
        kept = self._rows
        if before is not None:
            next_ms = max(before.time_ms // GRID_MS + 1, now_ms // GRID_MS - KEPT_ROWS) * GRID_MS
            kept.extend(replace(before, time_ms=ms) for ms in range(next_ms, now_ms, GRID_MS))
        if now_ms % GRID_MS == 0 and (not kept or now_ms > kept[-1].time_ms):
            kept.append(positioning)

    def rows(
        self, period_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Positioning]:
        """Return up to `limit` rows at multiples of `period_ms` in [`start_ms`, `end_ms`].

        Each is what was told last by its time, and has that time; with a start the first ones from
        there on, otherwise the latest ones.
        """
        chosen = {
            row.time_ms: row
            for row in (*self._past(), *self._rows)
            if row.time_ms % period_ms == 0
            and (start_ms is None or row.time_ms >= start_ms)
            and (end_ms is None or row.time_ms <= end_ms)
        }
        found = list(chosen.values())
        return found[-limit:] if start_ms is None else found[:limit]
