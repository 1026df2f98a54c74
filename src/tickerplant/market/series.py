"""Time series of one contract: funding payments, and positioning every five minutes of a month."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec.structs import replace

from tickerplant.events import FundingPaid, Positioning
from tickerplant.units import DAY_MS, MINUTE_MS

MARKED_SINCE_MS = 1_698_796_800_000
"""Earlier fundings, before 2023-11-01, are listed without a mark price: `""`, as in captured responses."""
RETAINED_FUNDINGS = 1000
"""Funding payments of this run that are kept."""
RETAINED_TRADES = 100_000
"""Minimum number of trades that a market keeps.  Here, not in `tape`, because that imports numpy."""
RETAINED_AGGREGATES = 100_000
CACHED_FUNDINGS = 10
"""Funding payments before the start that are cached; more if somebody asks for the latest ones, up to
`RETAINED_FUNDINGS`; others are loaded on demand."""


class FundingLoader(Protocol):
    """Loads funding payments from before the first event."""

    def __call__(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        """Return what `FundingSeries.within` returns."""


class FundingSeries:
    """The funding payments so far; those before the start are loaded on demand."""

    def __init__(self) -> None:
        self._load_earlier: FundingLoader | None = None
        self._cached: Sequence[FundingPaid] = ()
        self._cached_limit = 0
        """How many were loaded for the cache, if there are so many."""
        self._recent: deque[FundingPaid] = deque(maxlen=RETAINED_FUNDINGS)

    def load_history(self, earlier: FundingLoader) -> None:
        """Set the loader of the payments before the start."""
        self._load_earlier = earlier

    def add(self, funding: FundingPaid) -> None:
        """Add the latest payment."""
        self._recent.append(funding)

    def within(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingPaid]:
        """Return up to `limit` payments in [`start_ms`, `end_ms`], oldest first.

        With a start the first ones, otherwise the latest ones.  Once `RETAINED_FUNDINGS` were added,
        there are none from before the start.
        """
        found = [*self._before(start_ms, end_ms, limit), *_inside(self._recent, start_ms, end_ms)]
        return found[-limit:] if start_ms is None else found[:limit]

    def _before(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        # Before payments that were dropped, the past would precede a hole.
        if self._load_earlier is None or len(self._recent) == RETAINED_FUNDINGS:
            return ()
        is_latest = start_ms is None and end_ms is None
        wanted = max(CACHED_FUNDINGS, min(limit, RETAINED_FUNDINGS) if is_latest else 0)
        if wanted > self._cached_limit and len(self._cached) == self._cached_limit:
            self._cached = self._load_earlier(None, None, wanted)
            self._cached_limit = wanted
        found = _inside(self._cached, start_ms, end_ms)
        if start_ms is None:
            enough = len(found) >= limit
        else:
            enough = bool(self._cached) and start_ms >= self._cached[0].time_ms
        if enough or len(self._cached) < self._cached_limit:
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
HALF_HOUR_MS = 30 * MINUTE_MS
RETAINED_DAYS = 30
RETAINED_ROWS = RETAINED_DAYS * DAY_MS // POSITIONING_PERIOD_MS
"""Rows kept since the start."""


class PositioningHistory(Protocol):
    """The positioning at every whole five minutes before the first event, in columns."""

    @property
    def times_ms(self) -> range:
        """The times, five minutes apart, up to the first event."""

    def column(self, field: str, times_ms: range) -> list[int]:
        """Return a number of `Positioning` at some of `times_ms`."""


class Positions:
    """The current positioning, and that at every whole five minutes of a month."""

    def __init__(self) -> None:
        self.latest: Positioning | None = None
        self._half_hourly: Positioning | None = None
        """That of the last half hour that began before the latest."""
        self._history: PositioningHistory | None = None
        self._rows: deque[Positioning] = deque(maxlen=RETAINED_ROWS)

    def load_history(self, history: PositioningHistory) -> None:
        """Set the rows before the start."""
        self._history = history

    def add(self, positioning: Positioning) -> None:
        """Set the current positioning; store the previous one at the five-minute marks since."""
        before, now_ms = self.latest, positioning.time_ms
        self.latest = positioning
        half_hour_ms = now_ms // HALF_HOUR_MS * HALF_HOUR_MS
        if self._half_hourly is None or half_hour_ms > self._half_hourly.time_ms:
            then = positioning if before is None or now_ms == half_hour_ms else before
            self._half_hourly = replace(then, time_ms=half_hour_ms)
        rows = self._rows
        if before is not None:
            next_ms = (
                max(
                    before.time_ms // POSITIONING_PERIOD_MS + 1,
                    now_ms // POSITIONING_PERIOD_MS - RETAINED_ROWS,
                )
                * POSITIONING_PERIOD_MS
            )
            rows.extend(
                replace(before, time_ms=ms) for ms in range(next_ms, now_ms, POSITIONING_PERIOD_MS)
            )
        if now_ms % POSITIONING_PERIOD_MS == 0:
            if rows and rows[-1].time_ms == now_ms:
                rows.pop()  # the later one of two at that time
            rows.append(positioning)

    def at_half_hour(self, now_ms: int) -> Positioning:
        """Return the positioning at the last whole half hour until `now_ms`, the present time.

        Before the first half hour, it is the first positioning.
        """
        latest, known = self.latest, self._half_hourly
        if latest is None or known is None:
            raise ValueError("no positioning yet")
        half_hour_ms = now_ms // HALF_HOUR_MS * HALF_HOUR_MS
        if half_hour_ms > known.time_ms:
            return replace(latest, time_ms=half_hour_ms)
        return known

    def column(
        self, field: str, period_ms: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[tuple[int, int]]:
        """Return up to `limit` times, multiples of `period_ms` in [`start_ms`, `end_ms`], and numbers.

        Each number is that field of the latest positioning at the time. With a start the first ones,
        otherwise the latest ones.
        """
        rows = self._rows
        live = range(rows[0].time_ms, rows[-1].time_ms + 1, POSITIONING_PERIOD_MS) if rows else None
        # Rows that fill the month replace the past; after dropped ones, it would precede a hole.
        history = self._history if len(rows) < RETAINED_ROWS else None
        past = history.times_ms if history is not None else range(0)
        begin_ms = (past or live or past).start
        stop_ms = (live or past).stop
        if start_ms is not None:
            begin_ms = max(begin_ms, start_ms)
        if end_ms is not None:
            stop_ms = min(stop_ms, end_ms + 1)
        times = range(-(-begin_ms // period_ms) * period_ms, stop_ms, period_ms)
        times = times[-limit:] if start_ms is None else times[:limit]
        before = times[: bisect_left(times, live.start)] if live else times
        numbers = history.column(field, before) if history is not None else []
        if live is not None:
            numbers += [getattr(rows[live.index(ms)], field) for ms in times[len(before) :]]
        return list(zip(times, numbers, strict=True))
