"""The bars of what was traded before the start, up to the trades that are known one by one.

Prices follow the way of the coin, with the premium of the contract.  Trade ids are counted
backwards from the first known trade, and go on from one tier to the next without a hole.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

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
from tickerplant.simulation.origin import TRADES_PER_ORDER, Origin
from tickerplant.simulation.paths import DAY, DAYS, LATER, LENGTHS_MS, Floats, stretch
from tickerplant.simulation.volumes import Ints, bought, turnovers, volumes

VOLUME_SPREAD = 0.7
"""Standard deviation of the logarithm of a minute's number of trades."""
BUSIEST = 6.0
"""No bar has more than this many times the usual number of trades."""
LEAST_TICKS = 20
"""No price of the past is less than this many ticks."""
KEPT_TIERS = 32
"""Tiers of bars that are remembered, of all contracts, at most 900 kB each."""
KEPT_IDS = 256
"""Tiers whose first trade id is remembered."""


@lru_cache(maxsize=KEPT_TIERS)
def traded_bars(origin: Origin, tier: str, first_recent_id: int) -> Bars:
    """Return the bars of `tier`, oldest first.

    Args:
        origin: What decides the past.
        tier: One of `paths.TIERS`.
        first_recent_id: Id of the first trade after all bars.
    """
    instrument, length_ms = origin.instrument, LENGTHS_MS[tier]
    start_ms, end_ms = origin.span(tier)
    counts = _counts(origin, tier)
    bars = np.empty((len(counts), len(COLUMNS)), dtype=np.int64)
    if not len(bars):
        return bars
    bars[:, OPEN_TIME] = np.arange(start_ms, end_ms, length_ms)
    _draw_prices(bars, origin, tier)
    random = Random(f"{origin.name} {tier}")
    generator = np.random.default_rng(random.getrandbits(64))
    traded = volumes(
        generator, instrument, origin.temper, counts / TRADES_PER_ORDER, bars[:, CLOSE]
    )
    traded = np.maximum(traded, counts * instrument.step_size)
    bars[:, COUNT] = counts
    bars[:, VOLUME] = traded
    bars[:, TURNOVER] = turnovers(generator, instrument, traded, bars[:, LOW], bars[:, HIGH])
    bars[:, TAKER_BUY_VOLUME] = bought(generator, instrument, traded)
    share = bars[:, TAKER_BUY_VOLUME] / np.maximum(traded, 1)
    bars[:, TAKER_BUY_TURNOVER] = np.floor(bars[:, TURNOVER] * share)
    next_id = first_id(origin, LATER[tier], first_recent_id) if tier != DAY else first_recent_id
    ends = next_id - 1 - (counts.sum() - np.cumsum(counts))
    bars[:, FIRST_TRADE_ID] = np.where(counts > 0, ends - counts + 1, -1)
    bars[:, LAST_TRADE_ID] = np.where(counts > 0, ends, -1)
    return carry_over_quiet(bars)


@lru_cache(maxsize=KEPT_IDS)
def first_id(origin: Origin, tier: str, first_recent_id: int) -> int:
    """Return the id of the first trade in `tier`, or after it if nothing was traded in it."""
    later = LATER.get(tier)
    after = first_recent_id if later is None else first_id(origin, later, first_recent_id)
    return after - int(_counts(origin, tier).sum())


def on_ticks(origin: Origin, prices: Floats) -> Ints:
    """Return prices in price units, rounded to ticks."""
    tick = origin.instrument.tick_size
    return np.maximum(np.round(prices / tick), LEAST_TICKS).astype(np.int64) * tick


def _counts(origin: Origin, tier: str) -> Ints:
    """Draw the trades of every bar of `tier`; restless bars have more."""
    inside, length_ms = origin.place(tier), LENGTHS_MS[tier]
    random = Random(f"{origin.name} {tier} counts")
    return trade_counts(
        np.random.default_rng(random.getrandbits(64)),
        origin.trades_per_ms * length_ms,
        stretch(origin.way, tier).restless[inside],
        VOLUME_SPREAD / (1 + length_ms / LENGTHS_MS[DAYS]),
    )


def trade_counts(
    generator: np.random.Generator, usual: float, restless: Floats, spread: float
) -> Ints:
    """Draw how many trades there are in bars that usually have `usual`."""
    busy = restless * np.exp(generator.normal(-(spread**2) / 2, spread, len(restless)))
    return generator.poisson(usual * np.minimum(busy, BUSIEST)).astype(np.int64)


def _draw_prices(bars: Bars, origin: Origin, tier: str) -> None:
    inside = origin.place(tier)
    way = stretch(origin.way, tier)
    edges_ms = np.append(bars[:, OPEN_TIME], bars[-1, OPEN_TIME] + LENGTHS_MS[tier])
    dearer = origin.premium.at(edges_ms)
    middle = (dearer[:-1] + dearer[1:]) / 2
    index = origin.index_units
    edges = on_ticks(origin, index * np.exp(way.edges[inside.start : inside.stop + 1] + dearer))
    highs = on_ticks(origin, index * np.exp(way.highs[inside] + middle))
    lows = on_ticks(origin, index * np.exp(way.lows[inside] + middle))
    bars[:, OPEN], bars[:, CLOSE] = edges[:-1], edges[1:]
    bars[:, HIGH] = np.maximum(highs, np.maximum(edges[:-1], edges[1:]))
    bars[:, LOW] = np.minimum(lows, np.minimum(edges[:-1], edges[1:]))


def carry_over_quiet(bars: Bars) -> Bars:
    """Let bars without trades repeat the previous close, and the bars after them open there."""
    quiet: NDArray[np.bool_] = bars[:, COUNT] == 0
    if not quiet.any():
        return bars
    last_traded = np.maximum.accumulate(np.where(quiet, 0, np.arange(len(bars))))
    carried = bars[last_traded, CLOSE]
    for column in (OPEN, HIGH, LOW, CLOSE):
        bars[:, column] = np.where(quiet, carried, bars[:, column])
    after = np.flatnonzero(quiet[:-1] & ~quiet[1:]) + 1
    bars[after, OPEN] = bars[after - 1, CLOSE]
    bars[:, HIGH] = np.maximum(bars[:, HIGH], bars[:, OPEN])
    bars[:, LOW] = np.minimum(bars[:, LOW], bars[:, OPEN])
    return bars
