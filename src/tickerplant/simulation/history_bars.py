"""Bars of the 24 hours before the start: trades, index price, mark price and premium index.

Traded prices follow the path of the underlying plus the premium of the contract. The index follows
the path alone, so it is the same for all contracts of a pair. The mark price adds the smoothed
premium; the premium index is the premium itself. These three have one price per second and end
where the current minute begins.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from tickerplant.instrument import RATE_DECIMALS, Instrument
from tickerplant.market.bars import (
    CLOSE,
    COLUMNS,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
    Bars,
)
from tickerplant.simulation.contract_profile import ContractProfile, usd_quantity
from tickerplant.simulation.history_inputs import TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.history_pieces import Floats, Ints
from tickerplant.simulation.price_paths import VOLATILITY, last_day
from tickerplant.units import DAY_MS, MINUTE_MS

ORDER_MEAN = 13.0
"""Mean taker order, relative to a typical one."""
BUY_SPREAD = 0.12
"""Standard deviation of the share that takers bought."""
AVERAGE_PLACES = (0.25, 0.75)
"""Range of a bar's average price between its low and its high."""


def whole_steps(instrument: Instrument, quantities: Floats) -> Ints:
    """Return quantities rounded down to whole steps."""
    step = instrument.step_size
    return np.floor(quantities / step).astype(np.int64) * step


def volumes(
    generator: np.random.Generator,
    instrument: Instrument,
    contract_profile: ContractProfile,
    orders: Floats,
    prices: Ints,
) -> Ints:
    """Draw the volume of so many orders, in quantity units."""
    usd = orders * contract_profile.order_usd * ORDER_MEAN
    usd *= np.exp(generator.normal(-0.045, 0.3, len(orders)))
    per_usd = usd_quantity(instrument, 1.0, 1.0)
    if not instrument.venue.inverse:
        usd /= prices / float(10**instrument.price.decimals)
    return whole_steps(instrument, usd * per_usd)


def turnovers(
    generator: np.random.Generator, instrument: Instrument, volumes: Ints, lows: Ints, highs: Ints
) -> Ints:
    """Draw turnovers whose average price lies between low and high."""
    places = generator.uniform(*AVERAGE_PLACES, len(volumes))
    prices = lows + (highs - lows) * places
    if instrument.venue.inverse:
        scale = float(instrument.contract_size) * 10.0 ** (
            RATE_DECIMALS + instrument.price.decimals
        )
        return np.round(volumes * scale / prices).astype(np.int64)
    return volumes * np.clip(np.round(prices).astype(np.int64), lows, highs)


def bought(generator: np.random.Generator, instrument: Instrument, volumes: Ints) -> Ints:
    """Draw the part of each volume that takers bought."""
    shares = np.clip(generator.normal(0.5, BUY_SPREAD, len(volumes)), 0.05, 0.95)
    return np.minimum(whole_steps(instrument, volumes * shares), volumes)


VOLUME_SPREAD = 0.7
"""Standard deviation of the logarithm of a minute's number of trades."""
BUSIEST = 6.0
"""Most trades of a bar, relative to the usual number."""
LEAST_TICKS = 20
"""Lowest price in history, in ticks."""
MAX_DAYS = 16
"""Last days of trades, and of prices, that are cached, 140 kB each."""


@lru_cache(maxsize=MAX_DAYS)
def day_bars(inputs: HistoryInputs) -> Bars:
    """Return the minutes of the last day that precede the single trades, oldest first.

    Their trade ids are relative to the first single trade, so they are negative.
    """
    instrument, start_ms, end_ms = inputs.instrument, *inputs.day_span
    inside = slice(*((ms - inputs.path.day_ms) // MINUTE_MS for ms in (start_ms, end_ms)))
    path = last_day(inputs.path)[inside]
    bars = np.empty((len(path), len(COLUMNS)), dtype=np.int64)
    if not len(bars):
        return bars
    random = Random(f"{inputs.name} day counts")
    counts = trade_counts(
        np.random.default_rng(random.getrandbits(64)),
        inputs.trades_per_ms * MINUTE_MS,
        path[:, VOLATILITY],
        VOLUME_SPREAD / (1 + MINUTE_MS / DAY_MS),
    )
    edges_ms = np.arange(start_ms, end_ms + 1, MINUTE_MS)
    bars[:, OPEN_TIME] = edges_ms[:-1]
    prices = along(path, inputs.index_units, inputs.premium.at(edges_ms))
    _set_prices(bars, *(on_ticks(inputs, each) for each in prices))
    random = Random(f"{inputs.name} day")
    generator = np.random.default_rng(random.getrandbits(64))
    traded = volumes(
        generator, instrument, inputs.contract_profile, counts / TRADES_PER_ORDER, bars[:, CLOSE]
    )
    traded = np.maximum(traded, counts * instrument.step_size)
    bars[:, COUNT] = counts
    bars[:, VOLUME] = traded
    _fit_few_trades(bars)
    bars[:, TURNOVER] = turnovers(generator, instrument, traded, bars[:, LOW], bars[:, HIGH])
    parts = bought(generator, instrument, traded)
    parts = np.where(counts == 1, np.where(2 * parts < traded, 0, traded), parts)
    bars[:, TAKER_BUY_VOLUME] = parts
    share = bars[:, TAKER_BUY_VOLUME] / np.maximum(traded, 1)
    bars[:, TAKER_BUY_TURNOVER] = np.floor(bars[:, TURNOVER] * share)
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
    some = bars[:, COUNT] > 0
    bars[some, FIRST_TRADE_ID] += first_id
    bars[some, LAST_TRADE_ID] += first_id
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


def _set_prices(bars: Bars, edges: Ints, highs: Ints, lows: Ints) -> None:
    opens, closes = edges[:-1], edges[1:]
    bars[:, OPEN], bars[:, CLOSE] = opens, closes
    bars[:, HIGH] = np.maximum(highs, np.maximum(opens, closes))
    bars[:, LOW] = np.minimum(lows, np.minimum(opens, closes))


def on_ticks(inputs: HistoryInputs, prices: Floats) -> Ints:
    """Return prices in price units, rounded to ticks."""
    tick = inputs.instrument.tick_size
    return np.maximum(np.round(prices / tick), LEAST_TICKS).astype(np.int64) * tick


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
