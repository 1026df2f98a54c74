"""Single trades of minutes that are known by side, drawn for several minutes at once.

They agree with their minutes in prices, counts, volumes, ids and aggregates, and in the turnovers
of sides with `FREE` fills or more; those of a COIN-M contract, whose trades are rounded one by one,
are near.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickerplant.market.aggregate import WINDOW_MS
from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN, OPEN_TIME
from tickerplant.market.tape import TRADE_ROW, Rows
from tickerplant.simulation.bar_splits import (
    FILLS,
    FIRST_IDS,
    FREE,
    STEPS,
    TRADES,
    TURNOVERS,
    few_prices,
    few_sizes,
)
from tickerplant.simulation.history_pieces import Floats, Ints, draws, normals, spread_out, tilted
from tickerplant.units import MINUTE_MS

PAST_ROW = np.dtype([*TRADE_ROW.descr, ("aggregate_id", "<i8")])
"""A trade, and the aggregate that contains it."""
SIZE_SPREAD = 1.1
"""Standard deviation of the logarithm of a fill's size, beside its exponential part."""
CROWD = 200
"""Neighbours of one side and price, each `WINDOW_MS` apart, that have room in a minute."""


def draw_trades(name: str, bars: Ints, inverse: float | None) -> Rows:
    """Return the trades of consecutive minutes: rows as in `PAST_ROW`, in ticks and steps.

    Args:
        name: The prefix of the names of random numbers.
        bars: The minutes by side, with absolute ids.
        inverse: COIN-M: the turnover of one step at a price of one tick.
    """
    bars = bars[bars[:, FILLS].any(axis=1)]
    if not len(bars):
        return np.empty(0, PAST_ROW)
    fills = _Fills(name, bars, inverse)
    first_trade, first_aggregate = bars[0, FIRST_IDS].tolist()
    prices, sizes, counts = _sizes(fills, *_walk(fills))
    rows = np.empty(counts.sum(), PAST_ROW)
    fill = np.repeat(np.arange(len(counts)), counts)
    rows["trade_id"] = first_trade + np.arange(len(rows))
    rows["aggregate_id"] = first_aggregate + fill
    rows["price"] = prices[fill]
    rows["quantity"] = _parts(name, first_trade, sizes, counts, fill)
    rows["trade_time_ms"] = _times(fills, prices)[fill]
    rows["buyer_is_maker"] = fills.side[fill] % 2 == 1
    rows["rpi"] = False
    return rows


class _Fills:
    """The fills of some minutes in the order of time.

    Each minute has two sides, buyers and sellers. The leading side has more fills, and the first and
    the last of the minute.
    """

    def __init__(self, name: str, bars: Ints, inverse: float | None) -> None:
        self.bars = bars
        self._inverse = inverse
        self.of_side = bars[:, FILLS].ravel()
        """The number of fills of each side."""
        self.first_of_side = np.cumsum(self.of_side) - self.of_side
        self.leader = 2 * np.arange(len(bars)) + (np.diff(bars[:, FILLS])[:, 0] > 0)
        """The leading side of each minute."""
        self.lead = self.of_side[self.leader]
        count = self.of_side.reshape(-1, 2).sum(axis=1)
        self.first = np.cumsum(count) - count
        """The first fill of each minute."""
        self.minute = np.repeat(np.arange(len(bars)), count)
        self.numbers = draws(f"{name} fills", int(bars[0, FIRST_IDS][1]), len(self.minute))
        """Eight random numbers of each fill."""
        number, lead = np.arange(len(self.minute)) - self.first[self.minute], self.lead[self.minute]
        leads, rest = number < lead, np.maximum(count[self.minute] - lead, 1)
        # Fills of one price alternate as far as they can: those of one side would be one aggregate.
        even = np.where(leads, number / np.maximum(lead - 1, 1), (number - lead + 0.5) / rest)
        is_flat = (bars[:, HIGH] == bars[:, LOW])[self.minute]
        places = np.where(is_flat, even, self.numbers[:, 0])
        places[leads & (number == lead - 1)] = 2
        places[leads & (number == 0)] = -1
        self.leads = leads[np.argsort(4 * self.minute + places, kind="stable")]
        """Whether each is of the leading side."""
        leader = self.leader[self.minute]
        self.side = np.where(self.leads, leader, leader ^ 1)
        self.by_side = np.argsort(self.side, kind="stable")
        """The fills of the first side, of the second and so on."""
        self.rank = np.empty_like(number)
        """The number of each fill among those of its side."""
        self.rank[self.by_side] = np.arange(len(number)) - self.first_of_side[np.sort(self.side)]

    def value(self, prices: NDArray[Any]) -> Floats:
        """Return the turnover of a step at each price, and also the price of each such turnover."""
        return prices.astype(float) if self._inverse is None else self._inverse / prices


def _walk(fills: _Fills) -> tuple[Ints, NDArray[np.bool_]]:
    """Return a price of each fill, and which of them the minutes demand."""
    bars, minute, numbers = fills.bars, fills.minute, fills.numbers
    low, high = bars[minute, LOW], bars[minute, HIGH]
    free = np.flatnonzero(fills.lead >= FREE)
    # The leading side opens, reaches both extremes in a random order, and closes.
    inner, place = fills.lead[free] - 2, numbers[fills.first[free]]
    top, bottom = (place[:, 5:7].T * [inner, inner - 1]).astype(np.int64)
    ranks = np.stack([0 * inner, 1 + top, 1 + bottom + (bottom >= top), inner + 1])
    knots = fills.by_side[fills.first_of_side[fills.leader[free]] + ranks].ravel()
    values = bars[free[:, None], [OPEN, HIGH, LOW, CLOSE]].T.ravel()
    line = np.zeros(len(minute))
    if len(free):
        every, order = np.arange(len(minute)), np.argsort(knots)
        moves, _ = normals(numbers[:, 3], numbers[:, 4])
        walk = np.cumsum(moves * (high - low) / 2 / np.sqrt(np.bincount(minute)[minute]))
        line = np.interp(every, knots[order], (values - walk[knots])[order]) + walk - low
    # Buyers pay half a tick more; beyond an extreme the walk is reflected.
    away = np.round(line + np.where(fills.side % 2 == 0, 0.5, -0.5)).astype(np.int64)
    prices = high - np.abs(away % np.maximum(2 * (high - low), 1) - (high - low))
    forced = np.zeros(len(minute), dtype=bool)
    forced[knots], prices[knots] = True, values
    crowded = np.bincount(minute, _joined(fills, prices))[minute] > CROWD
    wrong = crowded & (high > low) & ((prices + np.arange(len(prices))) % 2 == 1) & ~forced
    prices += np.where(wrong, np.where(prices < high, 1, -1), 0)
    few = fills.of_side[fills.side] < FREE
    some = few & fills.leads
    prices[some] = few_prices(fills.lead, bars)[minute[some], fills.rank[some]]
    # A few fills against the leading side are at their average price, or beside it in turn.
    steps, turnovers = (bars[:, each].ravel() for each in (STEPS, TURNOVERS))
    average = fills.value(turnovers / np.maximum(steps, 1) + (steps == 0))[fills.side]
    nearest = np.round(average)
    beside = np.clip(nearest + np.sign(average - nearest) * (fills.rank % 2), low, high)
    return np.where(few & ~some, beside, prices).astype(np.int64), forced | some


def _joined(fills: _Fills, prices: Ints) -> NDArray[np.bool_]:
    """Return which fills follow one of the same minute, side and price."""
    joined: NDArray[np.bool_] = np.diff(prices, prepend=-1) == 0
    joined &= np.diff(fills.side, prepend=-1) == 0
    return joined


def _sizes(fills: _Fills, prices: Ints, forced: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Return prices, sizes and numbers of trades of the fills with which turnovers are met.

    Sizes are spread in the order of prices, so rounding moves the turnover by less than half a step
    between the lowest and the highest price: a fill of one step makes up for it by its own price.
    """
    of_side, place = fills.of_side, (fills.side, fills.rank)
    rows, columns = np.arange(len(of_side)), np.arange(of_side.max())
    inside, free = columns < of_side[:, None], of_side >= FREE
    low, high = (np.repeat(fills.bars[:, each], 2) for each in (LOW, HIGH))

    def table(of_fills: NDArray[Any], rest: NDArray[Any] | float) -> NDArray[Any]:
        """Return numbers of the fills in a row for each side."""
        found = np.broadcast_to(rest, inside.shape).astype(of_fills.dtype)
        found[place] = of_fills
        return found

    table_prices = table(prices, low[:, None])
    fixed = table(forced, True) | ~free[:, None]
    middle = (low + high) // 2
    far = np.abs(table_prices - middle[:, None])
    settling = np.where(fixed, np.inf, far).argmin(axis=1)
    table_prices[rows[free], settling[free]] = middle[free]
    fixed[rows, settling] = True
    led = np.setdiff1d(rows[free], fills.leader)  # the leading sides reach both extremes already
    for extreme in (low, high):
        best = np.where(fixed, np.inf, np.abs(table_prices - extreme[:, None]))[led].argmin(axis=1)
        table_prices[led, best] = extreme[led]
        fixed[led, best] = True
    values = fills.value(table_prices) - fills.value(low)[:, None]
    trades, steps, turnovers = (fills.bars[:, each].ravel() for each in (TRADES, STEPS, TURNOVERS))
    missing, extra = turnovers - steps * fills.value(low), steps - of_side
    spread, _ = normals(fills.numbers[:, 6], fills.numbers[:, 7])
    drawn = -np.log(fills.numbers[:, 2]) * np.exp(SIZE_SPREAD * spread) * np.where(forced, 0.3, 1)
    weights = np.where(free[:, None], table(drawn, 0), 0)
    weights[rows, settling] = 0
    equal = few_sizes(extra, of_side)[:, : len(columns)]
    weights[~free, : equal.shape[1]] = equal[~free]
    goal = (missing - (values * inside).sum(axis=1)) / np.maximum(extra, 1)
    order = np.where(inside, values, np.inf).argsort(axis=1)
    weights = np.take_along_axis(_averaging(weights, values, goal), order, axis=1)
    sizes = np.empty_like(table_prices)
    np.put_along_axis(sizes, order, spread_out(extra, weights), axis=1)
    counts = inside + spread_out(trades - of_side, sizes.astype(float))
    sizes += inside
    missing -= (values * sizes).sum(axis=1)
    settled = fills.value(fills.value(table_prices[rows, settling]) + missing)
    settled = np.clip(np.round(settled), low, high).astype(np.int64)
    table_prices[rows[free], settling[free]] = settled[free]
    return table_prices[place], sizes[place], counts[place]


def _averaging(weights: Floats, values: Floats, averages: Floats) -> Floats:
    """Return `weights`, tilted and then moved to an extreme, that average to `averages`."""
    rows, found = np.arange(len(weights)), tilted(weights, values, averages)
    total = np.maximum(found.sum(axis=1), 1e-300)
    missing = averages - (found * values).sum(axis=1) / total
    end = np.where(weights > 0, np.sign(missing)[:, None] * values, -np.inf).argmax(axis=1)
    gain = np.abs(values[rows, end] - averages + missing)
    part = np.minimum(np.abs(missing) / np.maximum(gain, 1e-300), 1)
    found *= ((1 - part) / total)[:, None]
    found[rows, end] += part
    return found


def _times(fills: _Fills, prices: Ints) -> Ints:
    """Return the time of each fill; those that would join one aggregate stand its window apart."""
    minute, joined = fills.minute, np.cumsum(_joined(fills, prices), dtype=np.int64)
    passed: Ints = joined - joined[fills.first][minute]
    most = np.maximum.reduceat(passed, fills.first)
    window_ms = np.minimum(WINDOW_MS, (MINUTE_MS - 2 * WINDOW_MS) // np.maximum(most, 1))
    # The last window stays empty: no aggregate goes on into the next minute.
    open_ms = MINUTE_MS - WINDOW_MS - most * window_ms
    places = np.sort(minute + fills.numbers[:, 1]) - minute
    times_ms: Ints = fills.bars[minute, OPEN_TIME] + passed * window_ms[minute]
    times_ms += (places * open_ms[minute]).astype(np.int64)
    return times_ms


def _parts(name: str, first_id: int, sizes: Ints, counts: Ints, fill: Ints) -> Ints:
    """Return the steps of each trade: those of its fill in random parts."""
    first, stop = first_id // 4, (first_id + len(fill) + 3) // 4
    numbers = draws(f"{name} trades", first, stop - first, 4).ravel()[first_id % 4 :][: len(fill)]
    passed, ends = np.cumsum(-np.log(numbers)), np.cumsum(counts)
    before = np.append(0.0, passed[ends[:-1] - 1])
    share = (passed - before[fill]) / (passed[ends - 1] - before)[fill]
    reached = np.floor(share * (sizes - counts)[fill] + 0.5).astype(np.int64)
    steps: Ints = 1 + np.diff(reached, prepend=0)
    steps[ends[:-1]] = 1 + reached[ends[:-1]]
    return steps
