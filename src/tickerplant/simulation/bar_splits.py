"""Bars of traded prices, told apart by the taker's side, and how they are split into shorter ones.

Prices are in ticks and quantities in steps. The counts are a chain: a fill, the part of a taker
order at one price, has at least one trade, and a trade at least one step of the quantity. A fill is
an aggregate trade.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN, OPEN_TIME
from tickerplant.simulation.history_pieces import Floats, Ints, normals, spread_out, tilted

FILLS, TRADES, STEPS, TURNOVERS, FIRST_IDS = (slice(n, n + 2) for n in range(5, 15, 2))
"""Columns of bars by side after the first five, which are those of `market.bars`.

They come in pairs: those of buyers and of sellers, or the first trade and the first aggregate. The
turnover of a contract in USD is in ticks x steps, that of a COIN-M contract in units of its turnover.
The ids are relative to the first trade and aggregate after the last of these bars, so they are
negative.
"""
SIDED_COLUMNS = FIRST_IDS.stop
"""Number of columns of bars by side."""
FREE = 8
"""A side with so many fills can meet any turnover near its average price."""


def few_prices(lead: Ints, bars: Ints) -> Ints:
    """Return the prices of a leading side with fewer than `FREE` fills: open, extremes, close.

    One row per bar, `FREE` - 1 columns; those from `lead` on have no meaning.
    """
    opens, highs, lows, closes = (bars[:, each] for each in (OPEN, HIGH, LOW, CLOSE))
    prices = np.repeat(closes[:, None], FREE - 1, axis=1)
    prices[:, 0] = opens
    wick = np.where(highs > np.maximum(opens, closes), highs, lows)
    prices[:, 1] = np.where(lead >= 4, highs, np.where(lead == 3, wick, closes))
    prices[:, 2] = np.where(lead >= 4, lows, closes)
    return prices


def few_sizes(steps: Ints, fills: Ints) -> Ints:
    """Return equal sizes of fewer than `FREE` fills; the first ones have a step more."""
    number = np.arange(FREE - 1)
    each, more = np.divmod(steps, np.maximum(fills, 1))
    return np.where(number < fills[:, None], each[:, None] + (number < more[:, None]), 0)


def split_fills(totals: Ints, weights: Floats, minutes: bool) -> Ints:
    """Split fills: longer children have none or `FREE` of them, and of minutes at least one does."""
    fills = spread_out(totals, weights)
    rows, largest = np.arange(len(fills)), fills.argmax(axis=1)
    if minutes:
        short = (fills[rows, largest] < FREE) & (totals > 0)
        if short.any():
            others = weights[short]
            others[np.arange(len(others)), largest[short]] = 0
            fills[short] = spread_out(totals[short] - FREE, others)
            fills[rows[short], largest[short]] = FREE
        return fills
    few = (fills > 0) & (fills < FREE)
    few[rows, largest] = False
    fills[rows, largest] += np.where(few, fills, 0).sum(axis=1)
    fills[few] = 0
    return fills


USUAL_ROOM = 0.12
"""How far a turnover may be from its usual place, relative to the range of prices."""
LARGEST_ROOM = 0.2
"""Where it would be further, even with other prices, one child gets all trades."""
SHARE_SPREAD = 0.25
"""Standard deviation of the logarithm of a child's fills of one side, besides its volatility."""
TRADES_SPREAD = 0.1
"""Standard deviation of the logarithm of the trades of a fill in a child."""
SIZE_SPREAD = 0.2
"""Standard deviation of the logarithm of the quantity of a trade in a child."""


def set_prices(bars: Ints, parents: Ints, wanted: Floats, lead: Ints | None = None) -> None:
    """Set the prices of children: whole, within the parents, and each opens where another closed.

    The first child opens and the last one closes as the parent does, and one reaches each extreme.

    Args:
        bars: The children, in the shape (parents, children, columns).
        parents: The parents.
        wanted: Their opens, highs and lows, not rounded.
        lead: The fills of the side that has more of them; none if there are always enough.
    """
    low, high = parents[:, LOW, None], parents[:, HIGH, None]
    first, last = parents[:, OPEN, None], parents[:, CLOSE, None]
    opens, highs, lows = (np.clip(np.round(each), low, high).astype(np.int64) for each in wanted)
    opens[:, 0] = first[:, 0]
    closes = np.concatenate([opens[:, 1:], last], axis=1)
    count = bars.shape[1]
    if lead is not None and (still := lead < 2).any():
        # A child with one fill cannot move; the price stays, and moves in the next one.
        held = np.maximum.accumulate(np.where(still, -1, np.arange(count)), axis=1)
        closes = np.where(held >= 0, np.take_along_axis(closes, np.maximum(held, 0), axis=1), first)
        final = count - 1 - (~still[:, ::-1]).argmax(axis=1)
        closes = np.where(np.arange(count) >= final[:, None], last, closes)
        opens = np.concatenate([first, closes[:, :-1]], axis=1)
    upper, lower = np.maximum(opens, closes), np.minimum(opens, closes)
    highs, lows = np.maximum(highs, upper), np.minimum(lows, lower)
    # A child that reaches the parent's high or low needs fills for both.
    able = True if lead is None else lead >= 4
    never = np.iinfo(np.int64).min
    every = np.arange(len(parents))
    highs[every, np.where(able, highs, never).argmax(axis=1)] = parents[:, HIGH]
    lows[every, np.where(able, -lows, never).argmax(axis=1)] = parents[:, LOW]
    if lead is not None and not np.all(able):
        highs = np.where(lead < 3, upper, highs)
        lows = np.where((lead < 3) | ((lead == 3) & (highs > upper)), lower, lows)
    for column, prices in ((OPEN, opens), (HIGH, highs), (LOW, lows), (CLOSE, closes)):
        bars[..., column] = prices


def split_prices(parents: Ints, wanted: Floats, opened_ms: Ints) -> Ints:
    """Return the children of bars of a price that is not traded."""
    bars = np.empty((*opened_ms.shape, CLOSE + 1), dtype=np.int64)
    bars[..., OPEN_TIME] = opened_ms
    set_prices(bars, parents, wanted)
    return bars.reshape(-1, CLOSE + 1)


class BarSplit(Struct, frozen=True):
    """The split of traded bars."""

    minutes: bool
    """Whether the children are minutes, which may have few fills."""
    inverse: float | None
    """For contracts whose turnover is in coins, that of one step at a price of one tick."""

    def worth(self, prices: Ints) -> NDArray[Any]:
        """Return the turnover of one step at `prices`."""
        return prices if self.inverse is None else self.inverse / prices

    def usual_turnovers(self, bars: Ints) -> Ints:
        """Return the turnovers of both sides at the average of open, high, low and close."""
        worth = self.worth(bars[..., OPEN : CLOSE + 1]).sum(axis=-1, keepdims=True)
        return self._whole(worth * bars[..., STEPS], 4)

    def children(
        self, parents: Ints, wanted: Floats, volatilities: Floats, uniform: Floats, opened_ms: Ints
    ) -> Ints:
        """Return the children of `parents`, which sum up to them in every column.

        Where turnovers do not fit, the prices inside a parent are moved until they do.

        Args:
            parents: Bars by side.
            wanted: Opens, highs and lows of the children, not rounded.
            volatilities: Their relative volatility; volatile ones have more trades.
            uniform: Random numbers of the shape (parents, children, 8).
            opened_ms: When they open.
        """
        bars, misses = self._split(parents, wanted, volatilities, uniform)
        bad = np.flatnonzero(np.abs(misses) > USUAL_ROOM)
        if len(bad):
            inputs = (parents[bad], wanted[:, bad], volatilities[bad], uniform[bad])
            bars[bad] = self._moved(bars[bad], misses[bad], *inputs)
        bars[..., OPEN_TIME] = opened_ms
        return bars.reshape(-1, bars.shape[2])

    def _moved(
        self, best: Ints, misses: Floats, parents: Ints, wanted: Floats, *others: Floats
    ) -> Ints:
        """Return children with other prices inside the parents, whose turnovers miss by less.

        No row depends on the others: which are drawn together must not matter.
        """
        least = np.abs(misses)
        high = (parents[:, HIGH] - parents[:, LOW]).astype(np.float64)
        low, shift = -high, np.zeros(len(high))
        for _ in range(2):
            above = (misses > 0) == (self.inverse is None)
            low, high = np.where(above, shift, low), np.where(above, high, shift)
            shift = (low + high) / 2
            tried, misses = self._split(parents, wanted + shift[:, None], *others)
            better = (np.abs(misses) < least) & (least > USUAL_ROOM)
            best[better], least[better] = tried[better], np.abs(misses)[better]
        worst = least > LARGEST_ROOM
        best[worst] = _alone(parents[worst], others[0][worst])
        return best

    def _split(
        self, parents: Ints, wanted: Floats, volatilities: Floats, uniform: Floats
    ) -> tuple[Ints, Floats]:
        """Return the children, and for each parent the turnover that missed, relative to its room.

        The numbers of both sides are split together: one row for each parent and side, all buyers
        first.
        """
        count = len(parents)
        bars = np.zeros((*volatilities.shape, SIDED_COLUMNS), dtype=np.int64)
        shares, more, sizes = (
            np.concatenate(normals(uniform[..., one], uniform[..., other]))
            for one, other in ((5, 6), (0, 2), (1, 3))
        )
        all_fills, all_trades = (parents[:, each].T.ravel() for each in (FILLS, TRADES))
        weights = np.tile(volatilities, (2, 1)) * np.exp(SHARE_SPREAD * shares)
        fills = split_fills(all_fills, weights, self.minutes)
        trades = fills + spread_out(all_trades - all_fills, np.exp(TRADES_SPREAD * more) * fills)
        set_prices(bars, parents, wanted, np.maximum(fills[:count], fills[count:]))
        steps, turnovers, missed = self._turnovers(bars, parents, fills, trades, sizes)
        for pair, numbers in (
            (FILLS, fills),
            (TRADES, trades),
            (STEPS, steps),
            (TURNOVERS, turnovers),
        ):
            bars[..., pair] = numbers.reshape(2, *volatilities.shape).transpose(1, 2, 0)
        set_first_ids(bars, parents)
        bought, sold = missed[:count], missed[count:]
        return bars, np.where(np.abs(sold) > np.abs(bought), sold, bought)

    def _turnovers(
        self, bars: Ints, parents: Ints, fills: Ints, trades: Ints, sizes: Floats
    ) -> tuple[Ints, Ints, Floats]:
        """Return steps and turnovers of children, and what missed, relative to the room."""
        count = len(parents)
        all_trades, all_steps, wanted = (
            parents[:, each].T.ravel() for each in (TRADES, STEPS, TURNOVERS)
        )
        worth = self.worth(bars[..., OPEN : CLOSE + 1])
        total = np.tile(worth.sum(axis=2), (2, 1))
        reach = np.tile(np.abs(worth[..., HIGH - OPEN] - worth[..., LOW - OPEN]), (2, 1))
        is_free, averages = fills >= FREE, total / 4
        few = np.nonzero(~is_free & (fills > 0)) if self.minutes else ()
        some = len(few) > 0 and len(few[0]) > 0
        if some:
            number = fills[few]
            against = np.roll(fills, count, axis=0)[few]
            leads = number + (few[0] < count) > against  # buyers if both have as many
            inside = bars[few[0] % count, few[1]]
            each = self.worth(few_prices(number, inside))
            middle = self.worth((inside[:, OPEN] + inside[:, CLOSE]) // 2)
            is_fill = np.arange(FREE - 1) < number[:, None]
            averages[few] = np.where(leads, (each * is_fill).sum(axis=1) / number, middle)
        # Two steps a trade leave some to move.
        extra: Ints = all_steps - 2 * all_trades
        goal = (wanted - 2 * (trades * averages).sum(axis=1)) / np.maximum(extra, 1)
        weights: Floats = np.exp(SIZE_SPREAD * sizes) * trades
        steps = 2 * trades + spread_out(extra, tilted(weights, averages, goal))
        turnovers = self._whole(total * steps, 4)
        if some:
            led = self._whole((each * few_sizes(steps[few], number)).sum(axis=1))
            turnovers[few] = np.where(leads, led, self._whole(middle * steps[few]))
        room = np.where(is_free, reach * steps, 0).astype(np.float64)
        whole_room = room.sum(axis=1)
        missing = wanted - turnovers.sum(axis=1)
        room = np.where(whole_room[:, None] == 0, steps, room)
        turnovers += np.sign(missing)[:, None] * spread_out(np.abs(missing), room)
        rounding = 0.5 if self.inverse is None else 8.0 * bars.shape[1]
        return steps, turnovers, missing / np.maximum(whole_room, rounding)

    def _whole(self, turnovers: NDArray[Any], parts: int = 1) -> Ints:
        whole = turnovers // parts if self.inverse is None else np.round(turnovers / parts)
        return whole.astype(np.int64)


def numbers_of_trades(bars: Ints) -> Ints:
    """Return how many trades and aggregates bars have."""
    return np.stack((bars[..., TRADES].sum(axis=-1), bars[..., FILLS].sum(axis=-1)), axis=-1)


def set_first_ids(bars: Ints, parents: Ints) -> None:
    """Set the ids of the first trade and aggregate of each child."""
    some = numbers_of_trades(bars)
    bars[..., FIRST_IDS] = parents[:, None, FIRST_IDS] + np.cumsum(some, axis=1) - some


def _alone(parents: Ints, volatilities: Floats) -> Ints:
    """Return children of which one, the most volatile, has all trades: this always fits."""
    bars = np.zeros((*volatilities.shape, SIDED_COLUMNS), dtype=np.int64)
    chosen = volatilities.argmax(axis=1)
    after = np.arange(volatilities.shape[1]) > chosen[:, None]
    prices = np.where(after, parents[:, CLOSE, None], parents[:, OPEN, None])
    bars[..., OPEN : CLOSE + 1] = prices[..., None]
    bars[np.arange(len(parents)), chosen] = parents
    set_first_ids(bars, parents)
    return bars
