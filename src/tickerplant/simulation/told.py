"""The bars of prices that are only told: index price, mark price and premium index.

The index follows the way of the coin, so it is the same for all contracts of a pair.  The mark
price adds the contract's premium, smoothed; the premium index is the premium itself.  They were
told every second, and end where the present minute begins.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np

from tickerplant.instrument import RATE_ONE
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
    Bars,
)
from tickerplant.simulation.origin import Origin
from tickerplant.simulation.paths import (
    DAY,
    DAYS,
    HOURS,
    LENGTHS_MS,
    WEEK,
    Floats,
    Stretch,
    stretch,
)
from tickerplant.simulation.premiums import SPREAD
from tickerplant.simulation.volumes import Ints
from tickerplant.units import DAY_MS

SECOND_MS = 1000
FLICKER = 0.00003
"""How far the premium index reaches beyond its open and close within a minute, usually."""
KEPT_TIERS = 32
"""Tiers of bars that are remembered, of all prices and contracts, at most 900 kB each."""

INDEX, MARK, PREMIUM_INDEX = "index", "mark", "premium"


class ToldBars:
    """The past of one price; bars in integers of 10^-8."""

    def __init__(self, origin: Origin, price: str) -> None:
        self._origin = origin
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
        return _bars(self._origin, self._price, tier)


@lru_cache(maxsize=KEPT_TIERS)
def _bars(origin: Origin, price: str, tier: str) -> Bars:
    """Return the bars of one price in one tier, oldest first."""
    length_ms, inside = LENGTHS_MS[tier], origin.told(tier)
    start_ms = origin.way.span(tier)[0] + inside.start * length_ms
    edges_ms = start_ms + np.arange(inside.stop - inside.start + 1) * length_ms
    bars = np.zeros((len(edges_ms) - 1, len(COLUMNS)), dtype=np.int64)
    if not len(bars):
        return bars
    way = stretch(origin.way, tier)
    if price == PREMIUM_INDEX:
        edges, highs, lows = _premiums(origin, way, inside, edges_ms)
    else:
        edges, highs, lows = _prices(origin, price, way, inside, edges_ms)
    opens, closes = edges[:-1], edges[1:]
    bars[:, OPEN_TIME] = bars[:, FIRST_TRADE_ID] = edges_ms[:-1]
    bars[:, OPEN], bars[:, CLOSE] = opens, closes
    bars[:, HIGH] = np.maximum(highs, np.maximum(opens, closes))
    bars[:, LOW] = np.minimum(lows, np.minimum(opens, closes))
    bars[:, COUNT] = length_ms // SECOND_MS
    bars[:, LAST_TRADE_ID] = edges_ms[1:] - SECOND_MS
    return bars


def _prices(
    origin: Origin, price: str, way: Stretch, inside: slice, edges_ms: Ints
) -> tuple[Ints, Ints, Ints]:
    dearer = np.zeros(len(edges_ms)) if price == INDEX else origin.premium.of_mark(edges_ms)
    middle = (dearer[:-1] + dearer[1:]) / 2
    unit = origin.index_price * RATE_ONE
    return (
        _units(unit * np.exp(way.edges[inside.start : inside.stop + 1] + dearer)),
        _units(unit * np.exp(way.highs[inside] + middle)),
        _units(unit * np.exp(way.lows[inside] + middle)),
    )


def _premiums(
    origin: Origin, way: Stretch, inside: slice, edges_ms: Ints
) -> tuple[Ints, Ints, Ints]:
    edges = np.expm1(origin.premium.at(edges_ms))
    length_ms = edges_ms[1] - edges_ms[0]
    # A longer bar has seen more of the slow ups and downs, besides the flicker.
    reach = FLICKER + SPREAD * min(length_ms / DAY_MS, 1.0)
    random = Random(f"{origin.name} premium {length_ms} {edges_ms[-1]}")
    draws = np.abs(
        np.random.default_rng(random.getrandbits(64)).normal(0, reach, (2, len(edges) - 1))
    )
    draws *= way.restless[inside]
    highs = np.maximum(edges[:-1], edges[1:]) + draws[0]
    lows = np.minimum(edges[:-1], edges[1:]) - draws[1]
    return _units(edges * RATE_ONE), _units(highs * RATE_ONE), _units(lows * RATE_ONE)


def _units(values: Floats) -> Ints:
    return np.round(values).astype(np.int64)
