"""Bars of traded prices, told apart by the taker's side, and how they are split into shorter ones.

Prices are in ticks and quantities in steps. The counts are a chain: a fill, the part of a taker
order at one price, has at least one trade, and a trade at least one step of the quantity. A fill is
an aggregate trade.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN, OPEN_TIME
from tickerplant.simulation.history_pieces import Floats, Ints, normals, spread_out, tilted

SIDED_COLUMNS = (
    *("open_time_ms", "open", "high", "low", "close"),
    *("buy_fills", "sell_fills", "buy_trades", "sell_trades"),
    *("buy_steps", "sell_steps", "buy_turnover", "sell_turnover"),
    *("first_trade", "first_aggregate"),
)
"""Columns of bars by side; the first five are those of `market.bars`.

The turnover of a contract in USD is in ticks x steps, that of a COIN-M contract in units of its
turnover. The ids are relative to the first trade and aggregate after the last of these bars, so
they are negative.
"""
(
    BUY_FILLS,
    SELL_FILLS,
    BUY_TRADES,
    SELL_TRADES,
    BUY_STEPS,
    SELL_STEPS,
    BUY_TURNOVER,
    SELL_TURNOVER,
    FIRST_TRADE,
    FIRST_AGGREGATE,
) = range(5, len(SIDED_COLUMNS))
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


class BarSplit:
    """The split of traded bars.

    Args:
        minutes: Whether the children are minutes, which may have few fills.
        inverse: For contracts whose turnover is in coins, the turnover of one step at a price of
            one tick.
    """

    def __init__(self, *, minutes: bool, inverse: float | None) -> None:
        self._minutes = minutes
        self._inverse = inverse

    def worth(self, prices: Ints) -> NDArray[Any]:
        """Return the turnover of one step at `prices`."""
        return prices if self._inverse is None else self._inverse / prices

    def usual_turnovers(self, bars: Ints, steps: Ints) -> Ints:
        """Return the turnovers of `steps` at the average of open, high, low and close."""
        return self._whole(self.worth(bars[..., OPEN : CLOSE + 1]).sum(axis=-1) * steps, 4)

    def children(
        self,
        parents: Ints,
        wanted: Floats,
        volatilities: Floats,
        uniform: Floats,
        opened_ms: Ints,
    ) -> Ints:
        """Return the children of `parents`, which sum up to them in every column.

        Where turnovers do not fit, the prices inside a parent are moved until they do.

        Args:
            parents: Rows as in `SIDED_COLUMNS`.
            wanted: Opens, highs and lows of the children, not rounded.
            volatilities: Their relative volatility; volatile ones have more trades.
            uniform: Random numbers of the shape (parents, children, 8).
            opened_ms: When they open.
        """
        bars, misses = self._split(parents, wanted, volatilities, uniform)
        bad = np.flatnonzero(np.abs(misses) > USUAL_ROOM)
        if len(bad):
            inputs = (parents[bad], wanted[:, bad], volatilities[bad], uniform[bad])
            bars[bad] = self._moved(bars[bad], np.abs(misses[bad]), *inputs)
        bars[..., OPEN_TIME] = opened_ms
        return bars.reshape(-1, bars.shape[2])

    def _moved(
        self, best: Ints, least: Floats, parents: Ints, wanted: Floats, *others: Floats
    ) -> Ints:
        """Return children with other prices inside the parents, whose turnovers miss by less.

        No row depends on the others: which are drawn together must not matter.
        """
        high = (parents[:, HIGH] - parents[:, LOW]).astype(np.float64)
        low = -high
        for _ in range(3):
            shift = (low + high) / 2
            tried, misses = self._split(parents, wanted + shift[:, None], *others)
            better = (np.abs(misses) < least) & (least > USUAL_ROOM)
            best[better], least[better] = tried[better], np.abs(misses)[better]
            above = (misses > 0) == (self._inverse is None)
            low, high = np.where(above, shift, low), np.where(above, high, shift)
        worst = least > LARGEST_ROOM
        best[worst] = _alone(parents[worst], others[0][worst])
        return best

    def _split(
        self, parents: Ints, wanted: Floats, volatilities: Floats, uniform: Floats
    ) -> tuple[Ints, Floats]:
        """Return the children, and for each parent the turnover that missed, relative to its room."""
        bars = np.zeros((*volatilities.shape, len(SIDED_COLUMNS)), dtype=np.int64)
        shares = normals(uniform[..., 5], uniform[..., 6])
        more, sizes = (normals(uniform[..., each], uniform[..., each + 2]) for each in (0, 1))
        for side in (0, 1):
            fills = split_fills(
                parents[:, BUY_FILLS + side],
                volatilities * np.exp(SHARE_SPREAD * shares[side]),
                self._minutes,
            )
            further: Ints = parents[:, BUY_TRADES + side] - parents[:, BUY_FILLS + side]
            weights: Floats = np.exp(TRADES_SPREAD * more[side]) * fills
            trades = spread_out(further, weights)
            bars[..., BUY_FILLS + side] = fills
            bars[..., BUY_TRADES + side] = fills + trades
        lead = np.maximum(bars[..., BUY_FILLS], bars[..., SELL_FILLS])
        set_prices(bars, parents, wanted, lead)
        misses = np.zeros(len(parents))
        for side in (0, 1):
            missed = self._set_turnovers(bars, parents, side, lead, sizes[side])
            misses = np.where(np.abs(missed) > np.abs(misses), missed, misses)
        set_first_ids(bars, parents)
        return bars, misses

    def _set_turnovers(
        self, bars: Ints, parents: Ints, side: int, lead: Ints, sizes: Floats
    ) -> Floats:
        """Set the steps and turnovers of a side; return what missed, relative to the room."""
        fills: Ints = bars[..., BUY_FILLS + side]
        trades: Ints = bars[..., BUY_TRADES + side]
        worth = self.worth(bars[..., OPEN : CLOSE + 1])
        total = worth.sum(axis=2)
        reach = np.abs(worth[..., HIGH - OPEN] - worth[..., LOW - OPEN])
        is_free, averages = fills >= FREE, total / 4
        few = ~is_free & (fills > 0)
        some = self._minutes and bool(few.any())
        if some:
            leads = (fills == lead if side == 0 else fills > bars[..., BUY_FILLS])[few]
            each = self.worth(few_prices(fills[few], bars[few]))
            middle = self.worth((bars[..., OPEN] + bars[..., CLOSE])[few] // 2)
            inside = np.arange(FREE - 1) < fills[few][:, None]
            averages[few] = np.where(leads, (each * inside).sum(axis=1) / fills[few], middle)
        # Two steps a trade leave some to move.
        extra: Ints = parents[:, BUY_STEPS + side] - 2 * parents[:, BUY_TRADES + side]
        wanted = parents[:, BUY_TURNOVER + side]
        goal = (wanted - 2 * (trades * averages).sum(axis=1)) / np.maximum(extra, 1)
        weights: Floats = np.exp(SIZE_SPREAD * sizes) * trades
        steps = 2 * trades + spread_out(extra, tilted(weights, averages, goal))
        turnovers = self._whole(total * steps, 4)
        if some:
            equal = few_sizes(steps[few], fills[few])
            led = self._whole((each * equal).sum(axis=1))
            turnovers[few] = np.where(leads, led, self._whole(middle * steps[few]))
        room = np.where(is_free, reach * steps, 0).astype(np.float64)
        whole_room = room.sum(axis=1)
        missing = wanted - turnovers.sum(axis=1)
        room = np.where(whole_room[:, None] == 0, steps, room)
        turnovers += np.sign(missing)[:, None] * spread_out(np.abs(missing), room)
        bars[..., BUY_STEPS + side], bars[..., BUY_TURNOVER + side] = steps, turnovers
        rounding = 0.5 if self._inverse is None else 8.0 * bars.shape[1]
        missed: Floats = missing / np.maximum(whole_room, rounding)
        return missed

    def _whole(self, turnovers: NDArray[Any], parts: int = 1) -> Ints:
        whole = turnovers // parts if self._inverse is None else np.round(turnovers / parts)
        return whole.astype(np.int64)


def set_first_ids(bars: Ints, parents: Ints) -> None:
    """Set the ids of the first trade and aggregate of each child."""
    for column, number in ((FIRST_TRADE, BUY_TRADES), (FIRST_AGGREGATE, BUY_FILLS)):
        some = bars[..., number] + bars[..., number + 1]
        bars[..., column] = parents[:, column, None] + np.cumsum(some, axis=1) - some


def _alone(parents: Ints, volatilities: Floats) -> Ints:
    """Return children of which one, the most volatile, has all trades: this always fits."""
    bars = np.zeros((*volatilities.shape, len(SIDED_COLUMNS)), dtype=np.int64)
    chosen = volatilities.argmax(axis=1)
    after = np.arange(volatilities.shape[1]) > chosen[:, None]
    prices = np.where(after, parents[:, CLOSE, None], parents[:, OPEN, None])
    bars[..., OPEN : CLOSE + 1] = prices[..., None]
    bars[np.arange(len(parents)), chosen] = parents
    set_first_ids(bars, parents)
    return bars
