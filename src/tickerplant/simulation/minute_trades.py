"""Single trades of minutes that are known as bars by side, drawn for many minutes at once.

They agree with their bars in prices, counts, volumes, ids and aggregates; of a side with `FREE`
fills or more, the turnover agrees to the unit (COIN-M: to one contract at the next tick).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickerplant.market.aggregate import WINDOW_MS
from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN, OPEN_TIME
from tickerplant.market.tape import TRADE_ROW, Rows
from tickerplant.simulation.bar_splits import (
    BUY_FILLS,
    BUY_STEPS,
    BUY_TRADES,
    BUY_TURNOVER,
    FIRST_AGGREGATE,
    FIRST_TRADE,
    FREE,
    few_prices,
    few_sizes,
)
from tickerplant.simulation.history_pieces import Floats, Ints, draws, normals, spread_out, tilted
from tickerplant.units import MINUTE_MS

PAST_ROW = np.dtype([*TRADE_ROW.descr, ("aggregate_id", "<i8")])
"""A trade with the aggregate that contains it."""
SIZE_SPREAD = 1.1
"""Standard deviation of the logarithm of a fill's size, beside that of its exponential part."""
CROWD = 200
"""Neighbours of one side and price, each `WINDOW_MS` apart, that a minute has room for."""


def draw_trades(name: str, bars: Ints, inverse_value: float | None) -> Rows:
    """Return the trades of consecutive minutes: rows as in `PAST_ROW`, in ticks and steps.

    Args:
        name: Prefix of the names of the random numbers.
        bars: The minutes, with the columns of `SIDED_COLUMNS`; their ids are the absolute ones.
        inverse_value: COIN-M: the turnover of one step at a price of one tick.
    """
    bars = bars[bars[:, BUY_FILLS] + bars[:, BUY_FILLS + 1] > 0]
    if not len(bars):
        return np.empty(0, PAST_ROW)
    fills = _Fills(name, bars, inverse_value)
    prices, forced = _walk(fills)
    prices, sizes, counts = _sizes(fills, prices, forced)
    rows = np.empty(counts.sum(), PAST_ROW)
    fill = np.repeat(np.arange(len(counts)), counts)
    rows["trade_id"] = bars[0, FIRST_TRADE] + np.arange(len(rows))
    rows["aggregate_id"] = bars[0, FIRST_AGGREGATE] + fill
    rows["price"] = prices[fill]
    rows["quantity"] = _parts(name, int(bars[0, FIRST_TRADE]), sizes, counts, fill)
    rows["trade_time_ms"] = _times(fills, prices)[fill]
    rows["buyer_is_maker"] = ~fills.bought[fill]
    rows["rpi"] = False
    return rows


class _Fills:
    """The fills of some minutes in the order of time, and the sides that have them.

    Each minute has two sides: the leading one, which has more fills, and the first and the last.
    """

    def __init__(self, name: str, bars: Ints, inverse_value: float | None) -> None:
        self.bars = bars
        self.inverse_value = inverse_value
        buyers_lead = bars[:, BUY_FILLS] >= bars[:, BUY_FILLS + 1]
        self.chosen = np.column_stack([1 - buyers_lead, buyers_lead]).astype(np.int64)
        """Of each side, in the order of sides, how far its columns are behind those of buyers."""
        self.of_side = self.column(BUY_FILLS)
        """Number of fills of each side."""
        self.steps, self.turnover = self.column(BUY_STEPS), self.column(BUY_TURNOVER)
        self.side_first = np.cumsum(self.of_side) - self.of_side
        lead = self.of_side[::2]
        of_minute = lead + self.of_side[1::2]
        self.first = self.side_first[::2]
        """The first fill of each minute."""
        self.last = self.first + of_minute - 1
        self.minute = np.repeat(np.arange(len(bars)), of_minute)
        self.numbers = draws(f"{name} fills", int(bars[0, FIRST_AGGREGATE]), len(self.minute))
        """Eight random numbers of each."""
        number = np.arange(len(self.minute)) - self.first[self.minute]
        leads, leading = lead[self.minute], number < lead[self.minute]
        # Neighbours of one side and price are one aggregate if they stand too near each other.
        rest = np.maximum(np.where(leading, leads - 1, of_minute[self.minute] - leads), 1)
        even = np.where(leading, number, number - leads + 0.5) / rest
        is_flat = bars[:, HIGH] == bars[:, LOW]
        places = np.where(is_flat[self.minute], even, self.numbers[:, 0])
        places[leading & (number == leads - 1)] = 2
        places[leading & (number == 0)] = -1
        leading = leading[np.argsort(4 * self.minute + places, kind="stable")]
        self.bought = leading == buyers_lead[self.minute]
        self.side = 2 * self.minute + ~leading
        self.by_side = np.argsort(self.side, kind="stable")
        """The fills of the first side, of the second and so on."""
        self.rank = np.empty(len(self.side), dtype=np.int64)
        """The number of each fill among those of its side."""
        self.rank[self.by_side] = np.arange(len(self.side)) - np.repeat(
            self.side_first, self.of_side
        )

    @property
    def average(self) -> Floats:
        """The average price of each side, in ticks."""
        if self.inverse_value is None:
            return self.turnover / np.maximum(self.steps, 1)
        return self.inverse_value * self.steps / np.maximum(self.turnover, 1)

    def value(self, prices: NDArray[Any]) -> Floats:
        """Return the turnover of one step at many prices, and also the prices of many turnovers."""
        return prices.astype(float) if self.inverse_value is None else self.inverse_value / prices

    def column(self, of_buyers: int) -> Ints:
        """Return a number of each side, from the column of the buyers' ones."""
        return self.bars[np.arange(len(self.bars))[:, None], of_buyers + self.chosen].ravel()


def _walk(fills: _Fills) -> tuple[Ints, NDArray[np.bool_]]:
    """Return a price of each fill, and which of them the bars demand."""
    bars, minute, numbers = fills.bars, fills.minute, fills.numbers
    opens, highs, lows, closes = (bars[:, each] for each in (OPEN, HIGH, LOW, CLOSE))
    lead, other = fills.of_side[::2], fills.of_side[1::2]
    free = np.flatnonzero(lead >= FREE)
    reach = (highs - lows)[minute]
    # The leading side opens, reaches both extremes in a random order, and closes.
    own, place = lead[free], numbers[fills.first[free]]
    top = (place[:, 5] * (own - 2)).astype(np.int64)
    bottom = (place[:, 6] * (own - 3)).astype(np.int64)
    bottom += bottom >= top
    of_lead = fills.side_first[2 * free] + 1
    knots = np.concatenate(
        [
            fills.first[free],
            fills.by_side[of_lead + top],
            fills.by_side[of_lead + bottom],
            fills.last[free],
        ]
    )
    values = np.concatenate([opens[free], highs[free], lows[free], closes[free]])
    order = np.argsort(knots)
    line, walk = np.zeros(len(minute)), np.zeros(len(minute))
    if len(free):
        everywhere, knots, values = np.arange(len(minute)), knots[order], values[order]
        steps, _ = normals(numbers[:, 3], numbers[:, 4])
        walk = np.cumsum(steps * reach / 2 / np.sqrt((lead + other)[minute]))
        walk -= np.interp(everywhere, knots, walk[knots])
        line = np.interp(everywhere, knots, values) - lows[minute]
    # Buyers pay half a tick more; beyond an extreme the walk is reflected.
    away = np.round(line + walk + np.where(fills.bought, 0.5, -0.5)).astype(np.int64)
    prices = lows[minute] + reach - np.abs(away % np.maximum(2 * reach, 1) - reach)
    forced = np.zeros(len(minute), dtype=bool)
    forced[knots], prices[knots] = True, values
    joined = _joined(fills, prices)
    crowded = (np.bincount(minute[joined], minlength=len(bars)) > CROWD)[minute] & (reach > 0)
    wrong = crowded & ((prices + np.arange(len(prices))) % 2 == 1) & ~forced
    prices += np.where(wrong, np.where(prices < highs[minute], 1, -1), 0)
    few = (fills.of_side < FREE)[fills.side]
    some = few & (fills.side % 2 == 0)
    prices[some] = few_prices(lead, bars)[minute[some], fills.rank[some]]
    others = few & ~some
    prices[others] = _against(fills, others)
    return prices, forced | some


def _against(fills: _Fills, which: NDArray[np.bool_]) -> Ints:
    """Return prices of fills against a leading side, of a side that has few.

    Where the leading side has no fill for an extreme, or for the close, they do; otherwise they are
    about their average price.
    """
    minute, rank = fills.minute[which], fills.rank[which]
    opens, highs, lows, closes = (fills.bars[minute, each] for each in (OPEN, HIGH, LOW, CLOSE))
    lead = fills.of_side[::2][minute]
    average = fills.average[fills.side[which]]
    nearest = np.round(average)
    prices = nearest + np.sign(average - nearest) * (rank % 2)
    up, down = highs > np.maximum(opens, closes), lows < np.minimum(opens, closes)
    prices = np.where((rank == 0) & (lead < 3) & up, highs, prices)
    lowest = np.where((lead < 3) & up, rank == 1, (rank == 0) & ((lead < 3) | up)) & (lead < 4)
    prices = np.where(lowest & down, lows, prices)
    prices = np.where(lead == 1, closes, prices)
    return np.clip(prices, lows, highs).astype(np.int64)


def _joined(fills: _Fills, prices: Ints) -> NDArray[np.bool_]:
    """Return which fills follow one of the same minute, side and price."""
    same = (np.diff(prices) == 0) & (np.diff(fills.side) == 0)
    return np.concatenate([[False], same])


def _sizes(fills: _Fills, prices: Ints, forced: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Return prices, sizes and numbers of trades of the fills with which turnovers are met.

    Sizes are spread in the order of prices, so rounding moves the turnover by less than half a step
    between the lowest and the highest price: a fill of one step makes up for it by its own price.
    """
    of_side, extra = fills.of_side, fills.steps - fills.of_side
    rows, columns = np.arange(len(of_side)), np.arange(of_side.max())
    inside, free = columns < of_side[:, None], of_side >= FREE
    lows, highs = (np.repeat(fills.bars[:, each], 2) for each in (LOW, HIGH))
    reach = highs - lows

    def table(of_fills: NDArray[Any], rest: float) -> NDArray[Any]:
        """Return numbers of the fills in a row for each side."""
        found = np.full(inside.shape, rest, of_fills.dtype)
        found[fills.side, fills.rank] = of_fills
        return found

    heights = table(prices - fills.bars[fills.minute, LOW], 0)
    fixed = table(forced, True) | ~free[:, None]
    far = np.where(fixed, reach[:, None] + 1, np.abs(2 * heights - reach[:, None]))
    settling = far.argmin(axis=1)
    heights[rows[free], settling[free]] = reach[free] // 2
    fixed[rows, settling] = True
    others = rows[free & (rows % 2 == 1)]  # the leading sides reach both extremes already
    for height, sign in ((reach, 1), (np.zeros_like(reach), -1)):
        best = np.where(fixed, -1, 1 + reach[:, None] + sign * heights)[others].argmax(axis=1)
        heights[others, best] = height[others]
        fixed[others, best] = True
    goal = fills.steps * (fills.average - lows)
    for _ in range(2):  # too far above what few steps can average, then too far below
        room = goal - reach / 20 * extra - (heights * (inside & fixed)).sum(axis=1)
        loose = (heights * ~fixed).sum(axis=1)
        part = np.clip(room / np.maximum(loose, 1), 0, 1)[:, None]
        heights = reach[:, None] - np.where(fixed, heights, (heights * part).astype(np.int64))
        goal = fills.steps * reach - goal
    values = fills.value(lows[:, None] + heights) - fills.value(lows)[:, None]
    missing = fills.turnover - fills.steps * fills.value(lows)
    goal = (missing - (values * inside).sum(axis=1)) / np.maximum(extra, 1)
    spread, _ = normals(fills.numbers[:, 6], fills.numbers[:, 7])
    sizes = -np.log(fills.numbers[:, 2]) * np.exp(SIZE_SPREAD * spread)
    weights = table(np.where(forced, 0.3, 1.0) * sizes, 0.0)
    weights[rows, settling] = 0
    weights[~free] = 0
    equal = few_sizes(extra, of_side)[:, : len(columns)]
    weights[~free, : equal.shape[1]] = equal[~free]
    weights = _averaging(weights, values, goal)
    order = np.where(inside, values, np.inf).argsort(axis=1)
    parts = spread_out(extra, np.take_along_axis(weights, order, axis=1))
    steps = inside.astype(np.int64)
    np.put_along_axis(steps, order, parts + np.take_along_axis(steps, order, axis=1), axis=1)
    missing -= (values * steps).sum(axis=1)
    settled = fills.value(fills.value(lows + heights[rows, settling]) + missing)
    settled = np.clip(np.round(settled), lows, highs).astype(np.int64)
    heights[rows[free], settling[free]] = (settled - lows)[free]
    trades = inside + spread_out(fills.column(BUY_TRADES) - of_side, (steps - inside).astype(float))
    place = fills.side, fills.rank
    return lows[fills.side] + heights[place], steps[place], trades[place]


def _averaging(weights: Floats, values: Floats, averages: Floats) -> Floats:
    """Return `weights`, tilted and then moved to an extreme, that average to `averages`."""
    rows, tilt = np.arange(len(weights)), tilted(weights, values, averages)
    total = np.maximum(tilt.sum(axis=1), 1e-300)
    mean = (tilt * values).sum(axis=1) / total
    sign = np.where(averages > mean, 1, -1)
    end = np.where(weights > 0, sign[:, None] * values, -np.inf).argmax(axis=1)
    gain = np.abs(values[rows, end] - mean)
    part = np.minimum(np.abs(averages - mean) / np.maximum(gain, 1e-300), 1)
    tilt *= ((1 - part) / total)[:, None]
    tilt[rows, end] += part
    return tilt


def _times(fills: _Fills, prices: Ints) -> Ints:
    """Return the time of each fill; those that would join one aggregate stand its window apart."""
    minute, joined = fills.minute, _joined(fills, prices).astype(np.int64)
    count = len(fills.bars)
    most = np.bincount(minute, joined, count).astype(np.int64)
    window_ms = np.minimum(WINDOW_MS, (MINUTE_MS - 2 * WINDOW_MS) // np.maximum(most, 1))
    passed = np.cumsum(joined)
    passed_ms = (passed - passed[fills.first][minute]) * window_ms[minute]
    # The last window stays empty: no aggregate goes on into the next minute.
    open_ms = (MINUTE_MS - WINDOW_MS - most * window_ms)[minute]
    places = np.sort(minute + fills.numbers[:, 1]) - minute
    opened_ms = fills.bars[minute, OPEN_TIME]
    times_ms: Ints = opened_ms + (places * open_ms).astype(np.int64) + passed_ms
    return times_ms


def _parts(name: str, first_id: int, sizes: Ints, counts: Ints, fill: Ints) -> Ints:
    """Return the steps of each trade: each fill's in random parts."""
    first, stop = first_id // 4, (first_id + len(fill) + 3) // 4
    numbers = draws(f"{name} trades", first, stop - first, 4).ravel()[first_id % 4 :][: len(fill)]
    passed, ends = np.cumsum(-np.log(numbers)), np.cumsum(counts)
    before = np.concatenate([[0.0], passed[ends[:-1] - 1]])
    share = (passed - before[fill]) / (passed[ends - 1] - before)[fill]
    share[ends - 1] = 1.0
    reached = np.floor(share * (sizes - counts)[fill] + 0.5).astype(np.int64)
    steps: Ints = 1 + np.diff(reached, prepend=0)
    steps[ends[:-1]] = 1 + reached[ends[:-1]]
    return steps
