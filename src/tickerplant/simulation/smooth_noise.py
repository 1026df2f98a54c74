"""Slow noise that can be computed at any time: sums of sine waves.

Noise drawn step by step is known only where it was drawn. A sum of sines is known everywhere, in
any order and at any resolution, so bars of all lengths, funding rates and positions agree.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from random import Random

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.simulation.history_pieces import Floats
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

WAVES = 9
SHORTEST_MS = 5 * HOUR_MS
LONGEST_MS = 40 * DAY_MS
SAMPLE_MS = 10 * MINUTE_MS
"""The noise is almost linear over this time."""
FEW = 8
"""Up to so many times are computed exactly instead of interpolated."""
MAX_NOISES = 1024
"""Noises that are cached, below 1 kB each."""


class SmoothNoise(Struct, frozen=True):
    """A slow noise of standard deviation 1 over a long time, rarely beyond 3."""

    speeds: tuple[float, ...]
    """Radians per millisecond."""
    phases: tuple[float, ...]
    heights: tuple[float, ...]

    def at(self, times_ms: NDArray[np.int64]) -> Floats:
        """Return the values at many ascending times; close times are interpolated."""
        if len(times_ms) <= FEW or times_ms[-1] - times_ms[0] > len(times_ms) * SAMPLE_MS // FEW:
            return self._exactly(times_ms)
        first, last = int(times_ms[0]) // SAMPLE_MS, int(times_ms[-1]) // SAMPLE_MS + 2
        grid_ms = np.arange(first, last) * SAMPLE_MS
        return np.interp(times_ms, grid_ms, self._exactly(grid_ms))

    def _exactly(self, times_ms: NDArray[np.int64]) -> Floats:
        angles = np.multiply.outer(np.array(self.speeds), times_ms)
        angles += np.array(self.phases)[:, None]
        total: Floats = np.array(self.heights) @ np.sin(angles)
        return total


@lru_cache(maxsize=MAX_NOISES)
def smooth_noise(name: str) -> SmoothNoise:
    """Return the noise of that name: always the same one."""
    random = Random(name)
    ratio = (LONGEST_MS / SHORTEST_MS) ** (1 / (WAVES - 1))
    periods = [SHORTEST_MS * ratio**n * random.uniform(0.85, 1.18) for n in range(WAVES)]
    heights = [random.uniform(0.6, 1.4) for _ in periods]
    scale = (2 / sum(height * height for height in heights)) ** 0.5
    return SmoothNoise(
        tuple(2 * pi / period for period in periods),
        tuple(random.uniform(0, 2 * pi) for _ in periods),
        tuple(height * scale for height in heights),
    )
