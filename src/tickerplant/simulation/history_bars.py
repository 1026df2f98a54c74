"""Bars before the start: trades, index price, mark price and premium index.

Traded prices follow the path of the underlying plus the premium of the contract. Trade ids are
counted backwards from the first single trade and continue from one tier to the next without a
gap. The index follows the path alone, so it is the same for all contracts of a pair. The mark price
adds the smoothed premium; the premium index is the premium itself. These three have one price per
second and end where the current minute begins.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from tickerplant.instrument import RATE_DECIMALS, RATE_ONE, Instrument
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
from tickerplant.simulation.history_inputs import PREMIUM_SPREAD, TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.price_paths import (
    DAY,
    DAYS,
    HOURS,
    LATER,
    LENGTHS_MS,
    WEEK,
    Floats,
    PathSegment,
    path_segment,
)
from tickerplant.units import DAY_MS

ORDER_MEAN = 13.0
"""Mean taker order, relative to a typical one."""
BUY_SPREAD = 0.12
"""Standard deviation of the share that takers bought."""
AVERAGE_PLACES = (0.25, 0.75)
"""Range of a bar's average price between its low and its high."""

Ints = NDArray[np.int64]


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
MAX_TRADE_TIERS = 16
"""Tiers of bars of trades that are cached, of all contracts, at most 900 kB each."""
MAX_FIRST_IDS = 256
"""Tiers whose first trade id is cached."""


@lru_cache(maxsize=MAX_TRADE_TIERS)
def traded_bars(inputs: HistoryInputs, tier: str, first_recent_id: int) -> Bars:
    """Return the bars of `tier`, oldest first.

    Args:
        inputs: What the history follows from.
        tier: One of `price_paths.TIERS`.
        first_recent_id: Id of the first trade after all bars.
    """
    instrument, length_ms = inputs.instrument, LENGTHS_MS[tier]
    start_ms, end_ms = inputs.span(tier)
    counts = _counts(inputs, tier)
    bars = np.empty((len(counts), len(COLUMNS)), dtype=np.int64)
    if not len(bars):
        return bars
    bars[:, OPEN_TIME] = np.arange(start_ms, end_ms, length_ms)
    _draw_prices(bars, inputs, tier)
    random = Random(f"{inputs.name} {tier}")
    generator = np.random.default_rng(random.getrandbits(64))
    traded = volumes(
        generator, instrument, inputs.contract_profile, counts / TRADES_PER_ORDER, bars[:, CLOSE]
    )
    traded = np.maximum(traded, counts * instrument.step_size)
    bars[:, COUNT] = counts
    bars[:, VOLUME] = traded
    bars[:, TURNOVER] = turnovers(generator, instrument, traded, bars[:, LOW], bars[:, HIGH])
    bars[:, TAKER_BUY_VOLUME] = bought(generator, instrument, traded)
    share = bars[:, TAKER_BUY_VOLUME] / np.maximum(traded, 1)
    bars[:, TAKER_BUY_TURNOVER] = np.floor(bars[:, TURNOVER] * share)
    next_id = first_id(inputs, LATER[tier], first_recent_id) if tier != DAY else first_recent_id
    ends = next_id - 1 - (counts.sum() - np.cumsum(counts))
    bars[:, FIRST_TRADE_ID] = np.where(counts > 0, ends - counts + 1, -1)
    bars[:, LAST_TRADE_ID] = np.where(counts > 0, ends, -1)
    return fill_quiet_bars(bars)


@lru_cache(maxsize=MAX_FIRST_IDS)
def first_id(inputs: HistoryInputs, tier: str, first_recent_id: int) -> int:
    """Return the id of the first trade in `tier`, or after it if it has no trades."""
    later = LATER.get(tier)
    after = first_recent_id if later is None else first_id(inputs, later, first_recent_id)
    return after - int(_counts(inputs, tier).sum())


def on_ticks(inputs: HistoryInputs, prices: Floats) -> Ints:
    """Return prices in price units, rounded to ticks."""
    tick = inputs.instrument.tick_size
    return np.maximum(np.round(prices / tick), LEAST_TICKS).astype(np.int64) * tick


def _counts(inputs: HistoryInputs, tier: str) -> Ints:
    """Draw the number of trades of every bar of `tier`; volatile bars have more."""
    inside, length_ms = inputs.traded_slice(tier), LENGTHS_MS[tier]
    random = Random(f"{inputs.name} {tier} counts")
    return trade_counts(
        np.random.default_rng(random.getrandbits(64)),
        inputs.trades_per_ms * length_ms,
        path_segment(inputs.path, tier).volatilities[inside],
        VOLUME_SPREAD / (1 + length_ms / LENGTHS_MS[DAYS]),
    )


def trade_counts(
    generator: np.random.Generator, usual: float, volatilities: Floats, spread: float
) -> Ints:
    """Draw the number of trades of bars that usually have `usual`."""
    activity_level = volatilities * np.exp(
        generator.normal(-(spread**2) / 2, spread, len(volatilities))
    )
    return generator.poisson(usual * np.minimum(activity_level, BUSIEST)).astype(np.int64)


def _draw_prices(bars: Bars, inputs: HistoryInputs, tier: str) -> None:
    inside = inputs.traded_slice(tier)
    path = path_segment(inputs.path, tier)
    edges_ms = np.append(bars[:, OPEN_TIME], bars[-1, OPEN_TIME] + LENGTHS_MS[tier])
    premiums = inputs.premium.at(edges_ms)
    middle = (premiums[:-1] + premiums[1:]) / 2
    index = inputs.index_units
    edges = on_ticks(inputs, index * np.exp(path.edges[inside.start : inside.stop + 1] + premiums))
    highs = on_ticks(inputs, index * np.exp(path.highs[inside] + middle))
    lows = on_ticks(inputs, index * np.exp(path.lows[inside] + middle))
    bars[:, OPEN], bars[:, CLOSE] = edges[:-1], edges[1:]
    bars[:, HIGH] = np.maximum(highs, np.maximum(edges[:-1], edges[1:]))
    bars[:, LOW] = np.minimum(lows, np.minimum(edges[:-1], edges[1:]))


def fill_quiet_bars(bars: Bars) -> Bars:
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


SECOND_MS = 1000
FLICKER = 0.00003
"""Usual distance of the premium index beyond its open and close within a minute."""
MAX_PRICE_TIERS = 16
"""Tiers of bars of prices that are cached, of all contracts, at most 900 kB each."""

INDEX, MARK, PREMIUM_INDEX = "index", "mark", "premium"


class PriceBarHistory:
    """The history of one price; bars in integers of 10^-8."""

    def __init__(self, inputs: HistoryInputs, price: str) -> None:
        self._inputs = inputs
        self._price = price

    def minutes(self) -> Bars:
        """Return the minutes of the last week."""
        return np.concatenate([self._tier(WEEK), self._tier(DAY)])

    def hours(self) -> Bars:
        """Return the hours before the first minute."""
        return self._tier(HOURS)

    def days(self) -> Bars:
        """Return the days before the first hour, back to the listing."""
        return self._tier(DAYS)

    def _tier(self, tier: str) -> Bars:
        return price_bars(self._inputs, self._price, tier)


@lru_cache(maxsize=MAX_PRICE_TIERS)
def price_bars(inputs: HistoryInputs, price: str, tier: str) -> Bars:
    """Return the bars of one price in one tier, oldest first."""
    length_ms, inside = LENGTHS_MS[tier], inputs.listed_slice(tier)
    start_ms = inputs.path.span(tier)[0] + inside.start * length_ms
    edges_ms = start_ms + np.arange(inside.stop - inside.start + 1) * length_ms
    bars = np.zeros((len(edges_ms) - 1, len(COLUMNS)), dtype=np.int64)
    if not len(bars):
        return bars
    path = path_segment(inputs.path, tier)
    if price == PREMIUM_INDEX:
        edges, highs, lows = _premiums(inputs, path, inside, edges_ms)
    else:
        edges, highs, lows = _index_or_mark_prices(inputs, price, path, inside, edges_ms)
    opens, closes = edges[:-1], edges[1:]
    bars[:, OPEN_TIME] = bars[:, FIRST_TRADE_ID] = edges_ms[:-1]
    bars[:, OPEN], bars[:, CLOSE] = opens, closes
    bars[:, HIGH] = np.maximum(highs, np.maximum(opens, closes))
    bars[:, LOW] = np.minimum(lows, np.minimum(opens, closes))
    bars[:, COUNT] = length_ms // SECOND_MS
    bars[:, LAST_TRADE_ID] = edges_ms[1:] - SECOND_MS
    return bars


def _index_or_mark_prices(
    inputs: HistoryInputs, price: str, path: PathSegment, inside: slice, edges_ms: Ints
) -> tuple[Ints, Ints, Ints]:
    premiums = np.zeros(len(edges_ms)) if price == INDEX else inputs.premium.of_mark(edges_ms)
    middle = (premiums[:-1] + premiums[1:]) / 2
    unit = inputs.index_price * RATE_ONE
    return (
        _units(unit * np.exp(path.edges[inside.start : inside.stop + 1] + premiums)),
        _units(unit * np.exp(path.highs[inside] + middle)),
        _units(unit * np.exp(path.lows[inside] + middle)),
    )


def _premiums(
    inputs: HistoryInputs, path: PathSegment, inside: slice, edges_ms: Ints
) -> tuple[Ints, Ints, Ints]:
    edges = np.expm1(inputs.premium.at(edges_ms))
    length_ms = edges_ms[1] - edges_ms[0]
    # A longer bar covers more of the slow fluctuation, besides the flicker.
    reach = FLICKER + PREMIUM_SPREAD * min(length_ms / DAY_MS, 1.0)
    random = Random(f"{inputs.name} premium {length_ms} {edges_ms[-1]}")
    draws = np.abs(
        np.random.default_rng(random.getrandbits(64)).normal(0, reach, (2, len(edges) - 1))
    )
    draws *= path.volatilities[inside]
    highs = np.maximum(edges[:-1], edges[1:]) + draws[0]
    lows = np.minimum(edges[:-1], edges[1:]) - draws[1]
    return _units(edges * RATE_ONE), _units(highs * RATE_ONE), _units(lows * RATE_ONE)


def _units(values: Floats) -> Ints:
    return np.round(values).astype(np.int64)
