"""Bars of traded prices, told apart by the taker's side, and how they are split into shorter ones.

Prices are in ticks and quantities in steps. The counts are a chain: a fill, the part of a taker
order at one price, has at least one trade, and a trade at least one step of the quantity. A fill is
an aggregate trade.
"""

from __future__ import annotations

import numpy as np

from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN
from tickerplant.simulation.history_pieces import Floats, Ints, spread_out

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
