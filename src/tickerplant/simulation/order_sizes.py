"""Order sizes: the smallest size, a few habitual sizes and a heavy tail.

A tenth to a quarter of all orders have the smallest usual size, as many again one of a few
habitual sizes. The rest is lognormal with a Pareto tail of index near one, so that one order in a
hundred makes a third of the volume.
"""

from __future__ import annotations

from math import log10
from random import Random

import numpy as np

from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_profile import ContractProfile, usd_quantity

DRAWS = 4096
SMALLEST_SHARE = 0.17
HABIT_SHARE = 0.36
HABITS_USD = (1.0, 0.4, 2.0, 0.8, 0.25, 4.0, 1.6, 0.5, 8.0, 3.0)
"""Habitual sizes relative to the typical order, the most common first."""
SPREAD = 1.75
"""Standard deviation of the logarithm of the other orders."""
TAIL_SHARE = 0.15
TAIL_INDEX = 0.95
TAIL_START = 9.0
LARGEST_USD = 4_000_000
ROUND_SHARE = 0.16
"""Share of the larger orders that are rounded to ten lots."""
LEVEL_SPREAD = 2.1


class OrderSizes:
    """Order sizes drawn in advance, in quantity units and multiples of the step."""

    def __init__(
        self, random: Random, instrument: Instrument, contract_profile: ContractProfile
    ) -> None:
        generator = np.random.default_rng(random.getrandbits(64))
        self._random = random.random
        step = instrument.step_size
        unit = usd_quantity(instrument, contract_profile.price, 1.0) / step  # steps per USD
        smallest = max(instrument.min_quantity / step, 1.0)
        if not instrument.venue.inverse:
            smallest = max(smallest, instrument.min_notional * unit * 1.15)
        self.smallest = int(np.ceil(smallest)) * step
        """The smallest order anyone sends."""

        typical = contract_profile.order_usd * unit
        habits = [max(_two_digits(typical * each), smallest) for each in HABITS_USD]
        weights = 1 / np.arange(2, len(habits) + 2)
        habitual = generator.choice(habits, DRAWS, p=weights / weights.sum())
        kind = generator.random(DRAWS)
        sizes = typical * np.exp(generator.normal(0.25, SPREAD, DRAWS))
        tail = generator.random(DRAWS) < TAIL_SHARE
        sizes[tail] = typical * TAIL_START * generator.pareto(TAIL_INDEX, int(tail.sum())) + (
            typical * TAIL_START
        )
        tens = generator.random(DRAWS) < ROUND_SHARE
        sizes = np.where(tens & (sizes > 20), np.round(sizes / 10) * 10, sizes)
        sizes = np.where(kind < SMALLEST_SHARE + HABIT_SHARE, habitual, sizes)
        sizes = np.where(kind < SMALLEST_SHARE, smallest, sizes)
        largest = min(LARGEST_USD * unit, instrument.max_market_quantity / step)
        sizes = np.clip(np.ceil(sizes), np.ceil(smallest), largest)
        self._orders: list[int] = (sizes.astype(np.int64) * step).tolist()

        median = contract_profile.touch_usd * unit * contract_profile.style.level_share
        levels = median * np.exp(np.clip(generator.normal(0, LEVEL_SPREAD, DRAWS), -4, 5.5))
        levels = np.maximum(np.ceil(levels), np.ceil(smallest))
        self.level_sizes: list[int] = levels.astype(np.int64).tolist()
        """Quantities of levels behind the best, in steps."""

        self.touch = max(contract_profile.touch_usd * unit, 4 * smallest) * step
        """Usual quantity at the best price."""
        middle = np.sort(sizes)[DRAWS // 2 - 1 : DRAWS // 2 + 1]  # `np.median` imports for 25 ms
        self.median = float(middle.mean()) * step
        """Median taker order."""

    def order(self) -> int:
        """Draw the size of an order."""
        return self._orders[int(self._random() * DRAWS)]


def _two_digits(quantity: float) -> int:
    """Round a positive quantity to one or two significant digits, at least one."""
    power = int(10 ** max(int(log10(max(quantity, 1.0))), 0))
    return max(round(quantity / power) * power, 1)
