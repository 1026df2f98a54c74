"""Traded bars of the 24 hours before the start, and what they share with those before."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tickerplant.instrument import RATE_DECIMALS
from tickerplant.market.bars import (
    CLOSE,
    COLUMNS,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
    Bars,
)
from tickerplant.simulation.contract_profile import usd_quantity
from tickerplant.simulation.history_inputs import TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.history_pieces import Floats, Ints, generator_named
from tickerplant.simulation.price_paths import VOLATILITY, last_day
from tickerplant.units import DAY_MS, MINUTE_MS

ORDER_MEAN = 13.0
"""Mean taker order, relative to a typical one."""
BUY_SPREAD = 0.12
"""Standard deviation of the share that takers bought."""
AVERAGE_PLACES = (0.25, 0.75)
"""Range of a bar's average price between its low and its high."""
VOLUME_SPREAD = 0.7
"""Standard deviation of the logarithm of a minute's number of trades."""
BUSIEST = 6.0
"""Most trades of a bar, relative to the usual number."""
LEAST_TICKS = 20
"""Lowest price in history, in ticks."""
MAX_DAYS = 16
"""Last days that are cached, 140 kB each."""


@lru_cache(maxsize=MAX_DAYS)
def day_bars(inputs: HistoryInputs) -> Bars:
    """Return the minutes of the last day that precede the single trades, oldest first.

    Their trade ids are relative to the first single trade, so they are negative.
    """
    instrument, (start_ms, end_ms) = inputs.instrument, inputs.day_span
    tick, step, inverse = instrument.tick_size, instrument.step_size, instrument.venue.inverse
    units = 10.0**instrument.price.decimals
    edges_ms = np.arange(start_ms, end_ms + 1, MINUTE_MS)
    count, first = len(edges_ms) - 1, (start_ms - inputs.path.day_ms) // MINUTE_MS
    bars = np.zeros((count, len(COLUMNS)), dtype=np.int64)
    if not count:
        return bars
    path = last_day(inputs.path)[first : first + count]
    counts = trade_counts(
        generator_named(f"{inputs.name} day counts"),
        inputs.trades_per_ms * MINUTE_MS,
        path[:, VOLATILITY],
        VOLUME_SPREAD / (1 + MINUTE_MS / DAY_MS),
    )
    prices = along(path, inputs.index_units, inputs.premium.at(edges_ms))
    ticks = (np.maximum(np.round(each / tick), LEAST_TICKS).astype(np.int64) for each in prices)
    bars[:, : CLOSE + 1] = bars_between(edges_ms[:-1], *(each * tick for each in ticks))
    generator = generator_named(f"{inputs.name} day")
    usd = counts / TRADES_PER_ORDER * inputs.contract_profile.order_usd * ORDER_MEAN
    usd *= np.exp(generator.normal(-0.045, 0.3, count))
    if not inverse:
        usd /= bars[:, CLOSE] / units
    traded = np.floor(usd * usd_quantity(instrument, 1.0, 1.0) / step).astype(np.int64)
    traded = np.maximum(traded, counts) * step
    bars[:, COUNT], bars[:, VOLUME] = counts, traded
    _fit_few_trades(bars)
    lows, highs = bars[:, LOW], bars[:, HIGH]
    averages = lows + (highs - lows) * generator.uniform(*AVERAGE_PLACES, count)
    if inverse:
        scale = float(instrument.contract_size) * 10.0**RATE_DECIMALS * units
        bars[:, TURNOVER] = np.round(traded * scale / averages)
    else:
        bars[:, TURNOVER] = traded * np.clip(np.round(averages).astype(np.int64), lows, highs)
    shares = np.clip(generator.normal(0.5, BUY_SPREAD, count), 0.05, 0.95)
    bought = np.floor(traded * shares / step).astype(np.int64) * step
    bought = np.where(counts == 1, np.where(2 * bought < traded, 0, traded), bought)
    bars[:, TAKER_BUY_VOLUME] = bought
    bars[:, TAKER_BUY_TURNOVER] = np.floor(bars[:, TURNOVER] * (bought / np.maximum(traded, 1)))
    set_ids(bars, np.cumsum(counts) - counts.sum() - counts)
    return bars


def _fit_few_trades(bars: Bars) -> None:
    """Let minutes have no more prices than their trades can have, and open where another closed.

    With less than three trades they repeat the previous close, with three they have no wick and with
    four only one.
    """
    fill_quiet_bars(bars, 3)
    bars[1:, OPEN] = bars[:-1, CLOSE]
    count, ends = bars[:, COUNT], bars[:, [OPEN, CLOSE]]
    upper, lower = ends.max(axis=1), ends.min(axis=1)
    bars[:, HIGH] = np.where(count == 3, upper, np.maximum(bars[:, HIGH], upper))
    cut = (count == 3) | (count == 4) & (bars[:, HIGH] > upper)
    bars[:, LOW] = np.where(cut, lower, np.minimum(bars[:, LOW], lower))


def set_ids(bars: Bars, first_ids: Ints) -> None:
    """Set the ids of bars whose trades are counted; those of bars without trades are -1."""
    some = bars[:, COUNT] > 0
    bars[:, FIRST_TRADE_ID] = np.where(some, first_ids, -1)
    bars[:, LAST_TRADE_ID] = np.where(some, first_ids + bars[:, COUNT] - 1, -1)


def with_ids_from(bars: Bars, first_id: int) -> Bars:
    """Return bars whose relative trade ids are counted from `first_id`."""
    bars = bars.copy()
    set_ids(bars, bars[:, FIRST_TRADE_ID] + first_id)
    return bars


def along(path: Floats, scale: float, premiums: Floats) -> tuple[Floats, Floats, Floats]:
    """Return edges, highs and lows along a path, not rounded, for the premiums at the edges."""
    middle = (premiums[:-1] + premiums[1:]) / 2
    edges = np.append(path[:, OPEN], path[-1:, CLOSE])
    return (
        scale * np.exp(edges + premiums),
        scale * np.exp(path[:, HIGH] + middle),
        scale * np.exp(path[:, LOW] + middle),
    )


def bars_between(opened_ms: Ints, edges: Ints, highs: Ints, lows: Ints) -> Ints:
    """Return open times and prices of bars, which reach as far as their open and close at least."""
    rows = np.stack((opened_ms, edges[:-1], highs, lows, edges[1:]), axis=1)
    rows[:, HIGH] = rows[:, OPEN:].max(axis=1)
    rows[:, LOW] = rows[:, OPEN:].min(axis=1)
    return rows


def trade_counts(
    generator: np.random.Generator, usual: float, volatilities: Floats, spread: float
) -> Ints:
    """Draw the number of trades of bars that usually have `usual`."""
    activity_level = volatilities * np.exp(
        generator.normal(-(spread**2) / 2, spread, len(volatilities))
    )
    return generator.poisson(usual * np.minimum(activity_level, BUSIEST)).astype(np.int64)


def fill_quiet_bars(bars: Bars, least: int = 1) -> Bars:
    """Let bars with fewer than `least` trades repeat the previous close."""
    quiet: NDArray[np.bool_] = bars[:, COUNT] < least
    last_busy = np.maximum.accumulate(np.where(quiet, 0, np.arange(len(bars))))
    bars[quiet, OPEN : CLOSE + 1] = bars[last_busy[quiet], CLOSE, None]
    return bars
