"""How much was traded in the bars of the past."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickerplant.instrument import RATE_DECIMALS, Instrument
from tickerplant.simulation.paths import Floats
from tickerplant.simulation.temper import Temper, usd_quantity

ORDER_MEAN = 13.0
"""Mean of the taker orders, relative to a typical one."""
BUY_SPREAD = 0.12
"""Standard deviation of the part that takers bought."""
AVERAGE_PLACES = (0.25, 0.75)
"""Where a bar's average price lies between its low and its high."""

Ints = NDArray[np.int64]


def whole(instrument: Instrument, quantities: Floats) -> Ints:
    """Return quantities rounded down to whole steps."""
    step = instrument.step_size
    return np.floor(quantities / step).astype(np.int64) * step


def volumes(
    generator: np.random.Generator,
    instrument: Instrument,
    temper: Temper,
    orders: Floats,
    prices: Ints,
) -> Ints:
    """Return what so many orders trade, in quantity units."""
    usd = orders * temper.order_usd * ORDER_MEAN
    usd *= np.exp(generator.normal(-0.045, 0.3, len(orders)))
    per_usd = usd_quantity(instrument, 1.0, 1.0)
    if not instrument.venue.inverse:
        usd /= prices / float(10**instrument.price.decimals)
    return whole(instrument, usd * per_usd)


def turnovers(
    generator: np.random.Generator, instrument: Instrument, volumes: Ints, lows: Ints, highs: Ints
) -> Ints:
    """Return turnovers whose average price lies between low and high."""
    places = generator.uniform(*AVERAGE_PLACES, len(volumes))
    prices = lows + (highs - lows) * places
    if instrument.venue.inverse:
        scale = float(instrument.contract_size) * 10.0 ** (
            RATE_DECIMALS + instrument.price.decimals
        )
        return np.round(volumes * scale / prices).astype(np.int64)
    return volumes * np.clip(np.round(prices).astype(np.int64), lows, highs)


def bought(generator: np.random.Generator, instrument: Instrument, volumes: Ints) -> Ints:
    """Return the parts of volumes that takers bought."""
    shares = np.clip(generator.normal(0.5, BUY_SPREAD, len(volumes)), 0.05, 0.95)
    return np.minimum(whole(instrument, volumes * shares), volumes)
