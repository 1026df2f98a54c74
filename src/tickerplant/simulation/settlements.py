"""What was paid and settled before the start: funding, and deliveries of dated contracts."""

from __future__ import annotations

from functools import lru_cache
from math import exp

import numpy as np

from tickerplant.events import Delivered, FundingPaid
from tickerplant.instrument import RATE_DECIMALS
from tickerplant.market.bars import HOUR_MS
from tickerplant.quarters import deliveries_ms, delivery_code
from tickerplant.simulation.marks import funding_rate
from tickerplant.simulation.origin import Origin
from tickerplant.simulation.paths import value_at

SAMPLES = 16
"""Moments of a funding interval that its average premium is taken from."""
KEPT_FUNDINGS = 16
"""Contracts whose past fundings are remembered, at most 2 MB each."""
_ONE = 10**RATE_DECIMALS


@lru_cache(maxsize=KEPT_FUNDINGS)
def fundings(origin: Origin) -> tuple[FundingPaid, ...]:
    """Return what was paid at every funding time since the listing; none for dated contracts."""
    instrument = origin.instrument
    if not instrument.perpetual:
        return ()
    hours = instrument.funding_interval_hours
    interval_ms = hours * HOUR_MS
    first_ms = (instrument.onboard_date_ms // interval_ms + 1) * interval_ms
    times_ms = np.arange(first_ms, origin.start_ms + 1, interval_ms, dtype=np.int64)
    offsets_ms = (np.arange(SAMPLES, 0, -1) - 0.5) / SAMPLES * interval_ms
    moments_ms = (times_ms[:, None] - offsets_ms.astype(np.int64)).ravel()
    averages = np.expm1(origin.premium.at(moments_ms)).reshape(-1, SAMPLES).mean(axis=1)
    cap = instrument.funding_cap
    dearer = np.exp(origin.premium.of_mark(times_ms))
    return tuple(
        FundingPaid(
            instrument.symbol,
            min(max(round(funding_rate(average, hours) * _ONE), -cap), cap),
            round(index_at(origin, time_ms) * premium * _ONE),
            time_ms,
        )
        for average, premium, time_ms in zip(
            averages.tolist(), dearer.tolist(), times_ms.tolist(), strict=True
        )
    )


def deliveries(origin: Origin) -> tuple[Delivered, ...]:
    """Return the settlements of the quarterly contracts on the pair since it was listed."""
    instrument = origin.instrument
    found = []
    last_ms = deliveries_ms(origin.start_ms)[1]
    while last_ms > instrument.onboard_date_ms:
        found.append(
            Delivered(
                instrument.venue,
                f"{instrument.pair}_{delivery_code(last_ms)}",
                instrument.pair,
                round(index_at(origin, last_ms) * _ONE),
                last_ms,
            )
        )
        last_ms = deliveries_ms(last_ms - 1)[1]
    return tuple(reversed(found))


def index_at(origin: Origin, time_ms: int) -> float:
    """Return the index price at `time_ms` before the start, in quote units."""
    return origin.index_price * exp(value_at(origin.way, time_ms))
