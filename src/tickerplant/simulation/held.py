"""Who held what in a contract before the start.

The open interest is made backwards from the start, no step larger than what was traded meanwhile.
A contract that was listed within the last month began with nothing.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np

from tickerplant.events import Positioning
from tickerplant.market.bars import OPEN_TIME, VOLUME
from tickerplant.market.positions import GRID_MS, KEPT_ROWS
from tickerplant.simulation.holdings import (
    CHANCE,
    LARGEST_SHARE,
    LEAST_SHARE,
    OPENING,
    adl_risk,
    moved,
    tendency,
    wanted_steps,
)
from tickerplant.simulation.origin import Origin
from tickerplant.simulation.paths import DAY, HOURS, LENGTHS_MS, WEEK, Floats
from tickerplant.simulation.recent import recent_trades
from tickerplant.simulation.traded import traded_bars
from tickerplant.simulation.volumes import Ints

ANY_ID = 0
"""How much was traded does not depend on the ids of trades."""
KEPT_POSITIONS = 8
"""Contracts whose past positions are remembered, at most 2 MB each."""


@lru_cache(maxsize=KEPT_POSITIONS)
def positions(origin: Origin) -> tuple[Positioning, ...]:
    """Return who held what at every whole five minutes of a month before the start."""
    instrument = origin.instrument
    times_ms = _times_ms(origin)
    held = [steps * instrument.step_size for steps in _held_steps(origin, times_ms)]
    accounts, top_accounts, top_positions = long_shares(origin, times_ms)
    columns = (held, accounts, top_accounts, top_positions, times_ms.tolist())
    return tuple(
        Positioning(instrument.symbol, open_interest, long, top, top_long, adl_risk(long), time_ms)
        for open_interest, long, top, top_long, time_ms in zip(*columns, strict=True)
    )


def told_ms(origin: Origin) -> int:
    """Return when the positions of the start are told: at its whole second."""
    return origin.start_ms // 1000 * 1000


def held_at_start(origin: Origin) -> int:
    """Return the open interest that the past leads to, in steps of the quantity."""
    wanted = round(_wanted(origin, np.array([told_ms(origin)]))[0])
    if not _listed_lately(origin):
        return wanted
    times_ms = _times_ms(origin)
    grown = _grown(_traded(origin, times_ms), _chances(origin, len(times_ms)))
    return min(wanted, grown[-1])


def long_shares(origin: Origin, times_ms: Ints) -> tuple[list[int], ...]:
    """Return the three shares of the long side at many times, in 10^-4, within their bounds."""
    shares = tendency(origin.instrument, origin.temper, origin.seed).shares
    return tuple(_share(usual + spread * each.at(times_ms)) for usual, spread, each in shares)


def _share(values: Floats) -> list[int]:
    rounded = np.clip(np.round(values), LEAST_SHARE, LARGEST_SHARE).astype(np.int64)
    share: list[int] = rounded.tolist()
    return share


def _oldest_ms(origin: Origin) -> int:
    """Return the first whole five minutes of the month before the start."""
    return (told_ms(origin) - 1) // GRID_MS * GRID_MS - (KEPT_ROWS - 1) * GRID_MS


def _listed_lately(origin: Origin) -> bool:
    return origin.listed_ms(GRID_MS) > _oldest_ms(origin)


def _times_ms(origin: Origin) -> Ints:
    """Return every whole five minutes of the month before the start, since the listing."""
    first_ms = max(_oldest_ms(origin), origin.listed_ms(GRID_MS))
    return np.arange(first_ms, told_ms(origin), GRID_MS, dtype=np.int64)


def _wanted(origin: Origin, times_ms: Ints) -> list[float]:
    """Return the open interest that was wanted at many times, in steps."""
    wanted = tendency(origin.instrument, origin.temper, origin.seed)
    return [wanted_steps(wanted, swell) for swell in wanted.swell.at(times_ms).tolist()]


def _held_steps(origin: Origin, times_ms: Ints) -> list[int]:
    """Return the open interest at many times, in steps."""
    traded, chances = _traded(origin, times_ms), _chances(origin, len(times_ms))
    held = [held_at_start(origin)]
    before = zip(_wanted(origin, times_ms), traded.tolist(), chances.tolist(), strict=True)
    for wanted, quantity, chance in reversed(list(before)):
        held.append(moved(held[-1], wanted, quantity, chance))
    rows = held[:0:-1]
    if not _listed_lately(origin):
        return rows
    return [min(pair) for pair in zip(rows, _grown(traded, chances)[:-1], strict=True)]


def _grown(traded: Ints, chances: Floats) -> list[int]:
    """Return what was open at most since a listing: before each five minutes, and at the end."""
    opened = np.floor((OPENING + chances) * traded).astype(np.int64)
    grown: list[int] = np.concatenate([[0], np.cumsum(opened)]).tolist()
    return grown


def _chances(origin: Origin, count: int) -> Floats:
    """Draw the part of what was traded that opened positions by chance, of each five minutes."""
    random = Random(f"{origin.name} held chances")
    return np.random.default_rng(random.getrandbits(64)).uniform(-CHANCE, CHANCE, count)


def _traded(origin: Origin, times_ms: Ints) -> Ints:
    """Return how many steps were traded in the five minutes since each time, before the start.

    Where only hours are known, five minutes are a twelfth of one.
    """
    traded = np.zeros(len(times_ms), dtype=np.int64)
    if not len(times_ms):
        return traded
    parts = [_of_tier(origin, tier) for tier in (HOURS, WEEK, DAY)]
    trades = recent_trades(origin, ANY_ID)
    trades = trades[trades["trade_time_ms"] < told_ms(origin)]
    parts.append((trades["trade_time_ms"], trades["quantity"]))
    for since_ms, volumes in parts:
        slots = (since_ms - times_ms[0]) // GRID_MS
        inside = slots >= 0
        np.add.at(traded, slots[inside], volumes[inside])
    return traded // origin.instrument.step_size


def _of_tier(origin: Origin, tier: str) -> tuple[Ints, Ints]:
    """Return since when and how much was traded in parts of five minutes or less."""
    bars = traded_bars(origin, tier, ANY_ID)
    parts = max(LENGTHS_MS[tier] // GRID_MS, 1)
    since_ms = bars[:, OPEN_TIME, None] + np.arange(parts) * GRID_MS
    return since_ms.ravel(), np.repeat(bars[:, VOLUME] // parts, parts)
