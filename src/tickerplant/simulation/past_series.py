"""The bars of one contract before the start: trades, index price, mark price and premium index.

Before the last 24 hours, they are split from days as `history_pieces` says. The index follows the
path of the underlying alone, so it is the same for all contracts of a pair. Traded prices add the
premium of the contract to it, and the mark price the smoothed one; the premium index is the premium
itself, the same function of time at every level.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from tickerplant.instrument import RATE_DECIMALS, RATE_ONE
from tickerplant.market.bar_arrays import NO_BARS
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
from tickerplant.simulation.bar_splits import (
    FILLS,
    FIRST_IDS,
    FREE,
    SIDED_COLUMNS,
    SIZE_SPREAD,
    STEPS,
    TRADES,
    TURNOVERS,
    BarSplit,
    numbers_of_trades,
    split_prices,
)
from tickerplant.simulation.contract_profile import usd_quantity
from tickerplant.simulation.history_bars import (
    BUSIEST,
    LEAST_TICKS,
    ORDER_MEAN,
    along,
    bars_between,
    day_bars,
    set_ids,
)
from tickerplant.simulation.history_inputs import (
    PREMIUM_SPREAD,
    TRADES_PER_FILL,
    TRADES_PER_ORDER,
    HistoryInputs,
)
from tickerplant.simulation.history_pieces import (
    DAYS,
    LEVELS_MS,
    PIECE,
    Floats,
    Ints,
    Series,
    draws,
    generator_named,
    normals,
)
from tickerplant.simulation.price_paths import VOLATILITY, PathSeries, last_day
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

TRADED = "traded"
SECOND_MS = 1000
FLICKER = 0.00003 + PREMIUM_SPREAD * (MINUTE_MS / DAY_MS)
"""Usual distance of the premium index beyond its open and close within a minute."""
INDEX, MARK, PREMIUM_INDEX = "index", "mark", "premium"
LEAST_FILLS = 4
"""Fills of a side that can open, reach both extremes and close."""
DAYS_SPREAD = 0.35
"""Standard deviation of the logarithm of a day's number of trades, besides its volatility."""
DAYS_SHARE_SPREAD = 0.01
"""Standard deviation of the share of a day's fills that takers bought."""


class PriceSeries(Series):
    """Bars of one price since the listing, in integers of 10^-8, rows as in `split_prices`."""

    days_at_once = False

    def __init__(self, inputs: HistoryInputs, price: str) -> None:
        # A contract that was delivered before is drawn to the end of that day.
        ended_ms = -(-inputs.instrument.delivery_date_ms // DAY_MS) * DAY_MS
        known = range(ended_ms, ended_ms)
        if ended_ms > inputs.path.day_ms:
            ends_ms = inputs.recent_ms if price == TRADED else inputs.path.present_ms
            known = range(inputs.day_span[0], ends_ms)
        super().__init__((inputs, price), inputs.listed_ms(MINUTE_MS), known)
        self.inputs = inputs
        self._price = price
        self._path = PathSeries(inputs.path)
        self._name = f"{inputs.name} {price}"

    def draw_minutes(self) -> Ints:
        """Return the minutes of the last day."""
        path = last_day(self.inputs.path)[-len(self.known) // MINUTE_MS :]
        return self._drawn(path, self.known.start, MINUTE_MS, None)

    def draw_days(self, first: int, stop: int) -> Ints:
        """Return some of the whole days."""
        path = self._path.rows(DAYS, first, stop)
        after = self.after(self.whole_days) if stop == self.days.stop else None
        return self._drawn(path, first * DAY_MS, DAY_MS, after)

    def draw_part(self, span: range) -> Ints:
        """Return one row for a part of a day."""
        minutes = self._path.between(MINUTE_MS, span.start, span.stop)
        row = minutes[:1].copy()
        row[0, VOLATILITY] = minutes[:, VOLATILITY].mean()
        row[0, HIGH], row[0, LOW] = minutes[:, HIGH].max(), minutes[:, LOW].min()
        row[0, CLOSE] = minutes[-1, CLOSE]
        return self._drawn(row, span.start, len(span), self.after(span))

    def split(self, parents: Ints, from_ms: int, length_ms: int, count: int) -> Ints:
        """Return the children of `parents`."""
        opened_ms, _, wanted = self._children(len(parents), from_ms, length_ms, count)
        return split_prices(parents, wanted, opened_ms)

    def _children(
        self, parents: int, from_ms: int, length_ms: int, count: int
    ) -> tuple[Ints, Floats, Floats]:
        """Return open times, volatilities and prices of children, one row for each parent."""
        shape = (parents, count)
        until_ms = from_ms + parents * count * length_ms
        path = self._path.between(length_ms, from_ms, until_ms)
        edges, highs, lows = self._prices(path, from_ms, length_ms)
        wanted = np.stack((edges[:-1], highs, lows)).reshape(3, *shape)
        opened_ms = np.arange(from_ms, until_ms, length_ms).reshape(shape)
        return opened_ms, path[:, VOLATILITY].reshape(shape), wanted

    def _drawn(self, path: Floats, from_ms: int, length_ms: int, after: Any) -> Ints:
        """Return bars that are not split from others, and lead to the one after them."""
        edges, highs, lows = map(self._whole, self._prices(path, from_ms, length_ms))
        if after is not None:
            edges[-1] = after[OPEN]
        opened_ms = from_ms + length_ms * np.arange(len(path))
        return bars_between(opened_ms, edges, highs, lows)

    def _prices(self, path: Floats, from_ms: int, length_ms: int) -> tuple[Floats, Floats, Floats]:
        """Return edges, highs and lows along a path from a time, not rounded."""
        inputs, premium = self.inputs, self.inputs.premium
        edges_ms = from_ms + length_ms * np.arange(len(path) + 1)
        if self._price != PREMIUM_INDEX:
            is_mark = self._price == MARK
            premiums = premium.of_mark(edges_ms) if is_mark else np.zeros(len(edges_ms))
            return along(path, inputs.index_price * RATE_ONE, premiums)
        if from_ms >= self.known.start:
            generator = generator_named(f"{inputs.name} premium {MINUTE_MS} {self.ends_ms}")
            numbers = generator.standard_normal((2, len(path)))
        else:
            uniform = draws(f"{self._name} {length_ms} prices", from_ms // length_ms, len(path), 4)
            numbers = np.stack(normals(uniform[:, 0], uniform[:, 1]))
        parts = max(length_ms // HOUR_MS, 1)
        inner_ms = edges_ms[:-1, None] + np.arange(parts) * length_ms // parts
        inside = np.expm1(premium.at(np.append(inner_ms, edges_ms[-1])))
        edges, inner = inside[::parts], inside[:-1].reshape(-1, parts)
        usual = (2 * log(length_ms / MINUTE_MS)) ** 0.5  # the largest of so many draws
        up, down = np.abs(numbers * FLICKER) * path[:, VOLATILITY] + usual * FLICKER
        highs = np.maximum(inner.max(axis=1), edges[1:]) + up
        lows = np.minimum(inner.min(axis=1), edges[1:]) - down
        return edges * RATE_ONE, highs * RATE_ONE, lows * RATE_ONE

    def _whole(self, prices: Floats) -> Ints:
        return np.round(prices).astype(np.int64)

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        found = [self.as_bars(*each) for each in self.pieces(length_ms, from_ms, until_ms)]
        return np.concatenate(found) if found else NO_BARS

    def as_bars(self, length_ms: int, rows: Ints, /) -> Bars:
        """Return rows of this series as bars with one price in each of their seconds."""
        bars = np.zeros((len(rows), len(COLUMNS)), dtype=np.int64)
        bars[:, : CLOSE + 1] = rows
        bars[:, COUNT] = length_ms // SECOND_MS
        bars[:, FIRST_TRADE_ID] = bars[:, OPEN_TIME]
        bars[:, LAST_TRADE_ID] = bars[:, OPEN_TIME] + length_ms - SECOND_MS
        return bars

    def opens_at(self, times_ms: Ints) -> Ints:
        """Return the prices at many ascending times since the listing, whole minutes before the end."""
        length_ms = next(ms for ms in LEVELS_MS if not (times_ms % ms).any())
        far = np.flatnonzero(np.diff(times_ms) > PIECE * DAY_MS) + 1
        found = [np.empty(0, dtype=np.int64)]
        for near_ms in np.split(times_ms, far) if len(times_ms) else ():
            first_ms, until_ms = int(near_ms[0]), int(near_ms[-1]) + length_ms
            bars = self.bars(length_ms, min(first_ms, self.ends_ms - MINUTE_MS), until_ms)
            opened_ms = np.append(bars[:, OPEN_TIME], self.ends_ms)
            opens = np.append(bars[:, OPEN], bars[-1, CLOSE])
            found.append(opens[np.searchsorted(opened_ms, near_ms)])
        return np.concatenate(found)


class TradedSeries(PriceSeries):
    """The traded bars of one contract before its single trades; rows are bars by side.

    Ids are relative to those of the first single trade.
    """

    days_at_once = True  # to count their trades

    def __init__(self, inputs: HistoryInputs) -> None:
        super().__init__(inputs, TRADED)
        instrument = inputs.instrument
        self._scale = inputs.index_units / instrument.tick_size
        self.inverse: float | None = None
        """The turnover of one step at a price of one tick, of a contract in coins."""
        self._worth = instrument.tick_size * instrument.step_size
        """Turnover units of one tick x step."""
        if instrument.venue.inverse:
            one = 10.0 ** (RATE_DECIMALS + instrument.price.decimals)
            self.inverse = instrument.step_size * instrument.contract_size * one
            self.inverse /= instrument.tick_size
            self._worth = 1

    def draw_minutes(self) -> Ints:
        """Return the minutes of the last day, told apart by side."""
        bars, instrument = day_bars(self.inputs), self.inputs.instrument
        tick, step = instrument.tick_size, instrument.step_size
        rows = np.zeros((len(bars), SIDED_COLUMNS), dtype=np.int64)
        rows[:, : CLOSE + 1] = bars[:, : CLOSE + 1] // ([1] + 4 * [tick])
        for pair, whole, part, unit in (
            (STEPS, VOLUME, TAKER_BUY_VOLUME, step),
            (TURNOVERS, TURNOVER, TAKER_BUY_TURNOVER, self._worth),
        ):
            sides = bars[:, (part, whole)] - bars[:, part, None] * [0, 1]
            rows[:, pair] = (sides + unit // 2) // unit
        count, (bought, sold) = bars[:, COUNT], rows[:, STEPS].T
        buys = np.round(count * bought / np.maximum(bought + sold, 1)).astype(np.int64)
        lead = np.minimum(count - 1, LEAST_FILLS)  # enough for the prices of one minute
        short = np.maximum(buys, count - buys) < lead
        buys = np.where(short, np.where(bought > sold, lead, count - lead), buys)
        least, most = np.maximum(bought > 0, count - sold), np.minimum(bought, count - (sold > 0))
        trades = np.clip(buys, least, most)[:, None] * [1, -1] + count[:, None] * [0, 1]
        fills = np.round(trades / TRADES_PER_FILL).astype(np.int64)
        fills = np.clip(fills, np.minimum(trades, LEAST_FILLS), trades)
        rows[:, TRADES], rows[:, FILLS] = trades, fills
        rows[:, FIRST_IDS] = _backwards(numbers_of_trades(rows))
        return rows

    def split(self, parents: Ints, from_ms: int, length_ms: int, count: int) -> Ints:
        """Return the children of `parents`."""
        opened_ms, volatilities, wanted = self._children(len(parents), from_ms, length_ms, count)
        key = f"{self._name} {length_ms} of {count}"
        uniform = draws(key, from_ms // length_ms, len(parents) * count).reshape(-1, count, 8)
        split = BarSplit(minutes=length_ms == MINUTE_MS, inverse=self.inverse)
        return split.children(parents, wanted, volatilities, uniform, opened_ms)

    def _prices(self, path: Floats, from_ms: int, length_ms: int) -> tuple[Floats, Floats, Floats]:
        edges_ms = from_ms + length_ms * np.arange(len(path) + 1)
        return along(path, self._scale, self.inputs.premium.at(edges_ms))

    def _whole(self, prices: Floats) -> Ints:
        return np.maximum(np.round(prices), LEAST_TICKS).astype(np.int64)

    def _drawn(self, path: Floats, from_ms: int, length_ms: int, after: Any) -> Ints:
        rows = np.zeros((len(path), SIDED_COLUMNS), dtype=np.int64)
        rows[:, : CLOSE + 1] = super()._drawn(path, from_ms, length_ms, after)
        inputs = self.inputs
        instrument, profile = inputs.instrument, inputs.contract_profile
        uniform = draws(f"{self._name} {length_ms}", from_ms // DAY_MS, len(path))
        share, size = normals(uniform[:, 0], uniform[:, 1])
        busy, _ = normals(uniform[:, 2], uniform[:, 3])
        level = path[:, VOLATILITY] * np.exp(DAYS_SPREAD * busy - DAYS_SPREAD**2 / 2)
        fills = inputs.trades_per_ms * length_ms / TRADES_PER_FILL * np.minimum(level, BUSIEST)
        usd = profile.order_usd * ORDER_MEAN / TRADES_PER_ORDER
        prices = rows[:, CLOSE] * (instrument.tick_size / 10.0**instrument.price.decimals)
        if instrument.venue.inverse:
            prices = np.ones(len(prices))
        usual = usd_quantity(instrument, 1.0, usd) / prices / instrument.step_size
        steps = 2 + np.maximum(usual - 2, 1) * np.exp(SIZE_SPREAD * size - SIZE_SPREAD**2 / 2)
        bought = np.clip(0.5 + DAYS_SHARE_SPREAD * share, 0.3, 0.7)
        sides = np.stack((bought, 1 - bought), axis=1)
        rows[:, FILLS] = np.maximum(fills[:, None] * sides, FREE)
        rows[:, TRADES] = rows[:, FILLS] * TRADES_PER_FILL
        rows[:, STEPS] = np.ceil(rows[:, TRADES] * steps[:, None])
        rows[:, TURNOVERS] = BarSplit(minutes=False, inverse=self.inverse).usual_turnovers(rows)
        rows[:, FIRST_IDS] = _backwards(numbers_of_trades(rows))
        if after is not None:
            rows[:, FIRST_IDS] += after[FIRST_IDS]
        return rows

    def as_bars(self, _: int, rows: Ints, /) -> Bars:
        """Return rows of this series as bars; with relative ids."""
        instrument = self.inputs.instrument
        bars = np.empty((len(rows), len(COLUMNS)), dtype=np.int64)
        bars[:, OPEN_TIME] = rows[:, OPEN_TIME]
        bars[:, OPEN : CLOSE + 1] = rows[:, OPEN : CLOSE + 1] * instrument.tick_size
        volumes = rows[:, STEPS] * instrument.step_size
        turnovers = rows[:, TURNOVERS] * self._worth
        bars[:, COUNT] = rows[:, TRADES].sum(axis=1)
        bars[:, VOLUME], bars[:, TAKER_BUY_VOLUME] = volumes.sum(axis=1), volumes[:, 0]
        bars[:, TURNOVER], bars[:, TAKER_BUY_TURNOVER] = turnovers.sum(axis=1), turnovers[:, 0]
        set_ids(bars, rows[:, FIRST_IDS][:, 0])
        return bars


def _backwards(numbers: Ints) -> Ints:
    """Return the first ids of bars with so many trades and aggregates, of which the last has -1."""
    ids: Ints = -numbers[::-1].cumsum(axis=0)[::-1]
    return ids
