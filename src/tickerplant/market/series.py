"""What was paid at the funding times of one contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec.structs import replace

from tickerplant.events import FundingPaid, Positioning
from tickerplant.units import DAY_MS, MINUTE_MS

RETAINED_FUNDINGS = 1000
"""Funding times of this run that are kept; older ones are forgotten."""
CACHED_FUNDINGS = 10
"""Funding times before the start that are kept once somebody asked; older ones are made anew."""


class FundingLoader(Protocol):
    """Knows the funding times before the first event."""

    def __call__(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        """Return as `FundingSeries.within` does."""
        ...


class FundingSeries:
    """The funding times so far, those of the past when somebody asks for them."""

    def __init__(self) -> None:
        self._load_earlier: FundingLoader | None = None
        self._cached: Sequence[FundingPaid] | None = None
        self._recent: deque[FundingPaid] = deque(maxlen=RETAINED_FUNDINGS)

    def load_history(self, earlier: FundingLoader) -> None:
        """Let what `earlier` returns come before the first of this run."""
        self._load_earlier = earlier

    def add(self, funding: FundingPaid) -> None:
        """Add the latest one."""
        self._recent.append(funding)

    def within(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingPaid]:
        """Return up to `limit` of those in [`start_ms`, `end_ms`], oldest first.

        With a start the first ones from there on, otherwise the latest ones.
        """
        found = [*self._before(start_ms, end_ms, limit), *_inside(self._recent, start_ms, end_ms)]
        return found[-limit:] if start_ms is None else found[:limit]

    def _before(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        if self._load_earlier is None:
            return ()
        if self._cached is None:
            self._cached = self._load_earlier(None, None, CACHED_FUNDINGS)
        found = _inside(self._cached, start_ms, end_ms)
        if start_ms is None:
            enough = len(found) >= limit
        else:
            enough = bool(self._cached) and start_ms >= self._cached[0].time_ms
        if enough or len(self._cached) < CACHED_FUNDINGS:
            return found
        return self._load_earlier(start_ms, end_ms, limit)


def _inside(
    paid: Iterable[FundingPaid], start_ms: int | None, end_ms: int | None
) -> list[FundingPaid]:
    return [
        each
        for each in paid
        if (start_ms is None or each.time_ms >= start_ms)
        and (end_ms is None or each.time_ms <= end_ms)
    ]


POSITIONING_PERIOD_MS = 5 * MINUTE_MS
RETAINED_DAYS = 30
RETAINED_ROWS = RETAINED_DAYS * DAY_MS // POSITIONING_PERIOD_MS
"""Rows that are kept since the start; older ones are forgotten."""


class Positions:
    """The present positioning, and what it was at every whole five minutes of a month."""

    def __init__(self) -> None:
        self.latest: Positioning | None = None
        self._past: Callable[[], Sequence[Positioning]] = tuple
        self._rows: deque[Positioning] = deque(maxlen=RETAINED_ROWS)

    def load_history(self, past: Callable[[], Sequence[Positioning]]) -> None:
        """Begin with what `past` returns when somebody asks for it."""
        self._past = past

    def add(self, positioning: Positioning) -> None:
        """Take the present positioning over; what was known at whole five minutes is kept."""
        before, now_ms = self.latest, positioning.time_ms
        self.latest = positioning
        kept = self._rows
        if before is not None:
            next_ms = (
                max(
                    before.time_ms // POSITIONING_PERIOD_MS + 1,
                    now_ms // POSITIONING_PERIOD_MS - RETAINED_ROWS,
                )
                * POSITIONING_PERIOD_MS
            )
            kept.extend(
                replace(before, time_ms=ms) for ms in range(next_ms, now_ms, POSITIONING_PERIOD_MS)
            )
        if now_ms % POSITIONING_PERIOD_MS == 0 and (not kept or now_ms > kept[-1].time_ms):
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
