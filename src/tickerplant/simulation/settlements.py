"""Funding payments and deliveries before the start."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial

import numpy as np

from tickerplant.events import Delivered, FundingPaid
from tickerplant.instrument import RATE_ONE
from tickerplant.market.series import MARKED_SINCE_MS
from tickerplant.quarters import deliveries_ms, delivery_code
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.mark_price import funding_rate, paid_ms
from tickerplant.simulation.past_series import INDEX, MARK, PriceSeries
from tickerplant.units import HOUR_MS

SAMPLES = 8
"""Times in a funding interval at which its average premium is sampled."""


def fundings(
    inputs: HistoryInputs,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int | None = None,
) -> tuple[FundingPaid, ...]:
    """Return the funding payments due since the listing; none for dated contracts.

    Returns at most `limit` of those paid in [`start_ms`, `end_ms`]: with a start the first ones,
    otherwise the latest ones. Only these are generated.
    """
    instrument = inputs.instrument
    if not instrument.perpetual:
        return ()
    hours, paid_at = instrument.funding_interval_hours, partial(paid_ms, instrument.symbol)
    interval_ms = hours * HOUR_MS
    first_ms = (instrument.onboard_date_ms // interval_ms + 1) * interval_ms
    due = range(first_ms, inputs.start_ms + 1, interval_ms)
    first = 0 if start_ms is None else bisect_left(due, start_ms, key=paid_at)
    stop = len(due) if end_ms is None else bisect_right(due, end_ms, key=paid_at)
    if limit is not None and start_ms is None:
        first = max(stop - limit, 0)
    times_ms = np.array(due[first:stop][:limit], dtype=np.int64)
    if not len(times_ms):
        return ()
    offsets_ms = (np.arange(SAMPLES, 0, -1) - 0.5) / SAMPLES * interval_ms
    moments_ms = (times_ms[:, None] - offsets_ms.astype(np.int64)).ravel()
    averages = np.expm1(inputs.premium.at(moments_ms)).reshape(-1, SAMPLES).mean(axis=1)
    cap = instrument.funding_cap / RATE_ONE
    marks, is_marked = np.zeros_like(times_ms), times_ms >= MARKED_SINCE_MS
    marks[is_marked] = PriceSeries(inputs, MARK).opens_at(times_ms[is_marked])
    columns = (averages.tolist(), marks.tolist(), times_ms.tolist())
    return tuple(
        FundingPaid(
            instrument.symbol,
            round(funding_rate(average, hours, cap) * RATE_ONE),
            mark,
            paid_at(time_ms),
        )
        for average, mark, time_ms in zip(*columns, strict=True)
    )


def deliveries(inputs: HistoryInputs) -> tuple[Delivered, ...]:
    """Return the settlements of the quarterly contracts on the pair since it was listed."""
    instrument = inputs.instrument
    times_ms: list[int] = []
    before_ms = inputs.start_ms + 1
    while (before_ms := deliveries_ms(before_ms - 1)[1]) > instrument.onboard_date_ms:
        times_ms.insert(0, before_ms)
    prices = PriceSeries(inputs, INDEX).opens_at(np.array(times_ms, dtype=np.int64))
    return tuple(
        Delivered(
            instrument.venue,
            f"{instrument.pair}_{delivery_code(time_ms)}",
            instrument.pair,
            price,
            time_ms,
        )
        for price, time_ms in zip(prices.tolist(), times_ms, strict=True)
    )
