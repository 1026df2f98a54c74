"""The last trades before the start, one by one, with their minutes and aggregates.

The fills of one taker order share their time, side and price.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tickerplant.instrument import RATE_DECIMALS, Instrument
from tickerplant.market.aggregate import WINDOW_MS
from tickerplant.market.bar_arrays import empty_bars
from tickerplant.market.bars import CLOSE, OPEN, Bars
from tickerplant.market.tape import TRADE_ROW, Rows
from tickerplant.simulation.contract_profile import usd_quantity
from tickerplant.simulation.history_bars import (
    LEAST_TICKS,
    ORDER_MEAN,
    VOLUME_SPREAD,
    fill_quiet_bars,
    trade_counts,
)
from tickerplant.simulation.history_inputs import TRADES_PER_FILL, TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.history_pieces import Floats, Ints, generator_named
from tickerplant.simulation.minute_trades import PAST_ROW
from tickerplant.simulation.price_paths import VOLATILITY, last_day
from tickerplant.units import DAY_MS, MINUTE_MS

SIZE_SPREAD = 1.6
"""Standard deviation of the logarithm of a trade's size."""


@lru_cache(maxsize=1)  # a market reads its own several times when it opens
def recent_trades(inputs: HistoryInputs, next_id: int) -> Rows:
    """Return the trades since `inputs.recent_ms`, at least one, with ids up to `next_id` - 1.

    Rows are as in `TRADE_ROW`.
    """
    generator = generator_named(f"{inputs.name} trades")
    day, present_ms = last_day(inputs.path), inputs.path.present_ms
    # The edges of the last minutes, of which the last is the start, and the path there.
    edges_ms = np.append(np.arange(inputs.recent_ms, present_ms + 1, MINUTE_MS), inputs.start_ms)
    minutes = len(edges_ms) - 2
    opens, volatilities = (day[len(day) - minutes :, n] for n in (OPEN, VOLATILITY))
    values = np.concatenate([opens, day[-1:, CLOSE], [0.0]])
    times_ms, fills = _times(generator, inputs, edges_ms, np.append(volatilities, 1.0))
    sold = (generator.random(fills[-1] + 1) < 0.5)[fills]
    sold[fills == fills[-1]] = True  # the last price is the best bid
    rows = np.empty(len(times_ms), TRADE_ROW)
    rows["trade_id"] = np.arange(next_id - len(rows), next_id)
    # Prices follow the path: buyers pay the tick above it, sellers get the tick below.
    values += inputs.premium.at(edges_ms)
    per_fill = (1 / inputs.trades_per_ms * TRADES_PER_FILL / DAY_MS) ** 0.5
    per_fill = inputs.contract_profile.daily_volatility * per_fill
    steps = np.cumsum(generator.normal(0, per_fill, fills[-1] + 1))[fills]
    # Remove the sum of the steps between two edges, so that the values at the edges hold.
    steps -= np.interp(times_ms, edges_ms, np.interp(edges_ms, times_ms, steps))
    prices = inputs.index_units * np.exp(np.interp(times_ms, edges_ms, values) + steps)
    ticks = prices / inputs.instrument.tick_size
    ticks = np.maximum(np.where(sold, np.floor(ticks), np.ceil(ticks)), LEAST_TICKS)
    rows["price"] = ticks.astype(np.int64) * inputs.instrument.tick_size
    rows["price"][fills == fills[-1]] = inputs.last_price
    rows["quantity"] = _quantities(generator, inputs, len(rows))
    rows["trade_time_ms"] = times_ms
    rows["buyer_is_maker"] = sold
    rows["rpi"] = False
    return rows


def _times(
    generator: np.random.Generator, inputs: HistoryInputs, edges_ms: Ints, volatilities: Floats
) -> tuple[Ints, Ints]:
    """Draw the times of all trades, and the number of the order that each belongs to."""
    lengths_ms = np.diff(edges_ms)
    usual = inputs.trades_per_ms * MINUTE_MS / TRADES_PER_FILL
    part = lengths_ms / MINUTE_MS
    counts = trade_counts(generator, usual, volatilities * part, VOLUME_SPREAD)
    if not counts.any():
        counts[0] = 1
    bar = np.repeat(np.arange(len(counts)), counts)
    offsets_ms = (generator.random(len(bar)) * lengths_ms[bar]).astype(np.int64)
    fill_ms = np.sort(edges_ms[bar] + offsets_ms)
    # No aggregate continues into the current minute, whose trades are counted one by one.
    present_ms = edges_ms[-2]
    late = (fill_ms > present_ms - WINDOW_MS) & (fill_ms < present_ms)
    fill_ms[late] = present_ms - WINDOW_MS
    sizes = generator.geometric(1 / TRADES_PER_FILL, len(fill_ms))
    fills = np.repeat(np.arange(len(fill_ms)), sizes)
    return fill_ms[fills], fills


def _quantities(generator: np.random.Generator, inputs: HistoryInputs, count: int) -> Ints:
    instrument, contract_profile = inputs.instrument, inputs.contract_profile
    usd = contract_profile.order_usd * ORDER_MEAN / TRADES_PER_ORDER
    typical = usd_quantity(instrument, contract_profile.price, usd) / instrument.step_size
    sizes = typical * np.exp(generator.normal(-(SIZE_SPREAD**2) / 2, SIZE_SPREAD, count))
    least, most = instrument.min_quantity, instrument.max_market_quantity
    steps = np.floor(sizes).astype(np.int64) * instrument.step_size
    return np.clip(steps, max(least, instrument.step_size), max(most, least))


def recent_minutes(inputs: HistoryInputs, trades: Rows) -> Bars:
    """Return the minutes of `trades` that closed before the start."""
    count = (inputs.path.present_ms - inputs.recent_ms) // MINUTE_MS
    bars = empty_bars(inputs.recent_ms, count, int(trades["price"][0]))  # before the first trade
    closed = trades[trades["trade_time_ms"] < inputs.path.present_ms]
    if not len(closed):
        return bars
    prices, quantities, ids = closed["price"], closed["quantity"], closed["trade_id"]
    values, bought = (
        trade_turnovers(inputs.instrument, prices, quantities),
        ~closed["buyer_is_maker"],
    )
    numbers = (closed["trade_time_ms"] - inputs.recent_ms) // MINUTE_MS
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = np.append(starts[1:], len(closed)) - 1
    reached = (each.reduceat(prices, starts) for each in (np.maximum, np.minimum))
    counted = (quantities, values, quantities * bought, values * bought)
    volume, turnover, *of_buyers = (np.add.reduceat(each, starts) for each in counted)
    sums = (volume, turnover, ends - starts + 1, *of_buyers)
    columns = (prices[starts], *reached, prices[ends], *sums, ids[starts], ids[ends])
    bars[numbers[starts], OPEN:] = np.column_stack(columns)
    return fill_quiet_bars(bars)


def trade_turnovers(instrument: Instrument, prices: Ints, quantities: Ints) -> Ints:
    """Return the turnover of each trade, as `instrument.turnover` computes it."""
    if not instrument.venue.inverse:
        return prices * quantities
    scale = instrument.contract_size * int(10 ** (RATE_DECIMALS + instrument.price.decimals))
    if 2 * scale * int(quantities.max(initial=0)) + int(prices.max(initial=0)) < 1 << 63:
        return (2 * scale * quantities + prices) // (2 * prices)
    pairs = zip(prices.tolist(), quantities.tolist(), strict=True)
    return np.array([instrument.turnover(*pair) for pair in pairs], dtype=np.int64)


def with_aggregates(trades: Rows, next_aggregate_id: int) -> Rows:
    """Return `trades` as in `PAST_ROW`, in the aggregates that `TradeAggregator` makes of them."""
    times_ms, opens = trades["trade_time_ms"], np.ones(len(trades), dtype=bool)
    opens[1:] = np.diff(trades["price"]) != 0
    opens[1:] |= np.diff(trades["buyer_is_maker"])
    starts = np.flatnonzero(opens)
    ends = np.append(starts[1:], len(trades))
    # In a run of one price and side, the next aggregate opens when the window is over.
    while len(starts):
        starts = np.searchsorted(times_ms, times_ms[starts] + WINDOW_MS)
        inside = starts < ends
        starts, ends = starts[inside], ends[inside]
        opens[starts] = True
    rows = np.empty(len(trades), PAST_ROW)
    rows[list(TRADE_ROW.names or ())] = trades
    rows["aggregate_id"] = next_aggregate_id - opens.sum() - 1 + opens.cumsum()
    return rows
