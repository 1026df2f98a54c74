"""By how much a contract was dearer than its index before the start."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.instrument import Instrument
from tickerplant.simulation.paths import Floats
from tickerplant.simulation.temper import BASIS_PER_YEAR, YEAR_MS
from tickerplant.simulation.value import PREMIUM
from tickerplant.simulation.waves import wave

SPREAD = 0.0004
"""Standard deviation of the premium of a perpetual contract over the months."""
SETTLING_MS = 6 * 3_600_000
"""Towards the start the premium comes to what it usually is, within about this time."""
GAP_MS = 30 * 60_000
"""What the opening price is off the formula arises within about this time."""
MARKED = 0.8
"""Part of the premium's ups and downs that the mark price follows."""


class Premium(Struct, frozen=True):
    """The logarithm of a contract's price over its index, at any time before the start."""

    instrument: Instrument
    seed: int
    start_ms: int
    opening: float
    """The premium of the opening price."""

    def at(self, times_ms: NDArray[np.int64]) -> Floats:
        """Return the premium at many times, which rise."""
        left_ms = np.maximum(self.start_ms - times_ms, 0)
        gap = self.opening - float(self._lasting(np.array([self.start_ms]))[0])
        return self.of_mark(times_ms, 1.0) + gap * np.exp(-left_ms / GAP_MS)

    def of_mark(self, times_ms: NDArray[np.int64], followed: float = MARKED) -> Floats:
        """Return the same for the mark price: it follows only a part of the ups and downs."""
        return self._lasting(times_ms) + followed * self._wobble(times_ms)

    def _lasting(self, times_ms: NDArray[np.int64]) -> Floats:
        if self.instrument.perpetual:
            return np.full(len(times_ms), PREMIUM)
        left_ms = np.maximum(self.instrument.delivery_date_ms - times_ms, 0)
        basis: Floats = BASIS_PER_YEAR * left_ms / YEAR_MS + PREMIUM
        return basis

    def _wobble(self, times_ms: NDArray[np.int64]) -> Floats:
        left_ms = np.maximum(self.start_ms - times_ms, 0)
        settled = 1 - np.exp(-left_ms / SETTLING_MS)
        slow = wave(f"{self.seed} premium {self.instrument.symbol}").at(times_ms)
        wobble: Floats = SPREAD * slow * settled
        return wobble
