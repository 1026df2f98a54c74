"""Who held what in a contract before the start."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tickerplant.events import Positioning
from tickerplant.market.positions import GRID_MS, KEPT_ROWS
from tickerplant.simulation.holdings import (
    LONG_ACCOUNTS,
    LONG_SPREADS,
    OPEN_INTEREST_SPREAD,
    TOP_LONG_ACCOUNTS,
    TOP_LONG_POSITIONS,
    adl_risk,
    typical_open_interest,
)
from tickerplant.simulation.origin import Origin
from tickerplant.simulation.paths import Floats
from tickerplant.simulation.waves import wave

LEAST_SHARE, LARGEST_SHARE = 1000, 9000
"""Bounds of the long shares, in 10^-4."""
KEPT_POSITIONS = 8
"""Contracts whose past positions are remembered, at most 2 MB each."""


@lru_cache(maxsize=KEPT_POSITIONS)
def positions(origin: Origin) -> tuple[Positioning, ...]:
    """Return who held what at every whole five minutes of a month before the start."""
    instrument = origin.instrument
    last_ms = (origin.start_ms - 1) // GRID_MS * GRID_MS
    first_ms = max(last_ms - (KEPT_ROWS - 1) * GRID_MS, origin.listed_ms(GRID_MS))
    times_ms = np.arange(first_ms, last_ms + 1, GRID_MS, dtype=np.int64)
    name = f"{origin.name} held"
    swell = np.exp(OPEN_INTEREST_SPREAD * wave(f"{name} open").at(times_ms))
    step = instrument.step_size
    steps = np.round(typical_open_interest(instrument, origin.temper) / step * swell)
    held = (np.maximum(steps, 1).astype(np.int64) * step).tolist()
    accounts, top_accounts, top_positions = (
        _shares(usual + spread * wave(f"{name} {usual}").at(times_ms))
        for usual, spread in zip(
            (LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS), LONG_SPREADS, strict=True
        )
    )
    columns = (held, accounts, top_accounts, top_positions, times_ms.tolist())
    return tuple(
        Positioning(instrument.symbol, open_interest, long, top, top_long, adl_risk(long), time_ms)
        for open_interest, long, top, top_long, time_ms in zip(*columns, strict=True)
    )


def _shares(values: Floats) -> list[int]:
    """Return shares as integers of 10^-4 within their bounds."""
    rounded = np.clip(np.round(values), LEAST_SHARE, LARGEST_SHARE).astype(np.int64)
    shares: list[int] = rounded.tolist()
    return shares
