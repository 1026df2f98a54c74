"""The path of an underlying's value before the start.

It is drawn backwards from the start, so it ends where the simulation begins, and once per
underlying: all contracts, the index and the mark prices follow the same path. It consists of tiers
without overlap: days, hours, the minutes of a week and the minutes of the last day. A tier is
generated on demand, and again if it was dropped from the cache; it is always the same.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.simulation.underlyings import BORN_MS
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

WEEK_DAYS = 7
"""Days before the start that have minutes."""
HOUR_DAYS = 250
"""Days before the start that have hours."""
REVERSION_PER_DAY = 0.002
"""Share of the distance from the mean that a value returns in a day."""
VOLATILITY_SPREAD = 0.5
"""Standard deviation of the logarithm of a bar's volatility."""
REACH = 0.6
"""How far a bar reaches beyond its open and close, relative to its usual return."""
MAX_SEGMENTS = 32
"""Tiers that are cached, of all underlyings, at most 280 kB each."""

Floats = NDArray[np.float64]

DAY, WEEK, HOURS, DAYS = "day", "week", "hours", "days"
TIERS = (DAYS, HOURS, WEEK, DAY)
"""Oldest first."""
LENGTHS_MS = {DAYS: DAY_MS, HOURS: HOUR_MS, WEEK: MINUTE_MS, DAY: MINUTE_MS}
LATER = {DAYS: HOURS, HOURS: WEEK, WEEK: DAY}
"""The tier that follows each tier."""


class PricePath(Struct, frozen=True):
    """The path of one underlying, identified by everything that it follows from."""

    seed: int
    coin: str
    daily_volatility: float
    start_ms: int

    @property
    def present_ms(self) -> int:
        """Open time of the minute in which the simulation begins."""
        return self.start_ms // MINUTE_MS * MINUTE_MS

    def span(self, tier: str) -> tuple[int, int]:
        """Return start and end of `tier`, in milliseconds since the epoch."""
        present_ms = self.present_ms
        day_ms = present_ms - DAY_MS
        week_ms = (present_ms - WEEK_DAYS * DAY_MS) // HOUR_MS * HOUR_MS
        hours_ms = (present_ms - HOUR_DAYS * DAY_MS) // DAY_MS * DAY_MS
        if tier == DAY:
            return day_ms, present_ms
        if tier == WEEK:
            return week_ms, day_ms
        if tier == HOURS:
            return hours_ms, week_ms
        return min(BORN_MS // DAY_MS * DAY_MS, hours_ms), hours_ms


class PathSegment(Struct, frozen=True):
    """One tier of a path. Values are logarithms relative to the value at the start."""

    edges: Floats
    """Values at the open of every bar and at the close of the last."""
    highs: Floats
    lows: Floats
    volatilities: Floats
    """Relative volatility of each bar; 1 on average."""


@lru_cache(maxsize=MAX_SEGMENTS)
def path_segment(path: PricePath, tier: str) -> PathSegment:
    """Return the `tier` of `path`, oldest bar first."""
    start_ms, end_ms = path.span(tier)
    length_ms = LENGTHS_MS[tier]
    count = (end_ms - start_ms) // length_ms
    random = Random(f"{path.seed} past {path.coin} {tier}")
    # Row 0 is the latest bar, so a longer tier only adds older bars.
    draws = np.random.default_rng(random.getrandbits(64)).standard_normal((count, 4))
    volatilities = np.exp(VOLATILITY_SPREAD * draws[:, 1] - VOLATILITY_SPREAD**2 / 2)
    sigma = path.daily_volatility * (length_ms / DAY_MS) ** 0.5 * volatilities
    edges = segment_end(path, tier) + _backwards(draws[:, 0] * sigma, length_ms)
    reach = np.abs(draws[:, 2:]) * (REACH * sigma)[:, None]
    highs = np.maximum(edges[:-1], edges[1:]) + reach[:, 0]
    lows = np.minimum(edges[:-1], edges[1:]) - reach[:, 1]
    return PathSegment(edges[::-1], highs[::-1], lows[::-1], volatilities[::-1])


def _backwards(returns: Floats, length_ms: int) -> Floats:
    """Return the distance of each edge from the latest, latest first: an autoregression."""
    keep = 1 - REVERSION_PER_DAY * length_ms / DAY_MS
    weights = keep ** np.arange(len(returns))
    return np.concatenate([[0.0], np.cumsum(returns / weights) * weights])


@lru_cache(maxsize=MAX_SEGMENTS * len(TIERS))
def segment_end(path: PricePath, tier: str) -> float:
    """Return the value at the end of `tier`."""
    if tier != DAY:
        return float(path_segment(path, LATER[tier]).edges[0])
    # The current minute began a little elsewhere.
    sigma = path.daily_volatility * float(((path.start_ms - path.present_ms) / DAY_MS) ** 0.5)
    return Random(f"{path.seed} past {path.coin}").gauss(0, 1) * sigma


def values_at(path: PricePath, times_ms: NDArray[np.int64]) -> Floats:
    """Return the values at many times before the start, interpolated between edges."""
    values = np.interp(
        times_ms,
        [path.present_ms, max(path.start_ms, path.present_ms + 1)],
        [segment_end(path, DAY), 0.0],
    )
    for tier in TIERS:
        start_ms, end_ms = path.span(tier)
        inside = (times_ms < end_ms) & (times_ms >= (start_ms if tier != DAYS else -np.inf))
        if inside.any():
            edges = path_segment(path, tier).edges
            edges_ms = start_ms + np.arange(len(edges)) * LENGTHS_MS[tier]
            values[inside] = np.interp(times_ms[inside], edges_ms, edges)
    return values
