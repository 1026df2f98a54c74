"""The bars of one contract before the last 24 hours: trades, index price, mark price and premium.

All of them are split from days as `history_pieces` says. Traded prices, index and mark follow the
path of the underlying; the premium is the same function of time at every level.
"""

from __future__ import annotations

import numpy as np

from tickerplant.instrument import RATE_DECIMALS
from tickerplant.market.bar_arrays import NO_BARS
from tickerplant.market.bars import (
    CLOSE,
    COLUMNS,
    COUNT,
    HIGH,
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
    BUY_FILLS,
    BUY_STEPS,
    BUY_TRADES,
    BUY_TURNOVER,
    FIRST_AGGREGATE,
    FIRST_TRADE,
    FREE,
    SELL_STEPS,
    SELL_TRADES,
    SELL_TURNOVER,
    SIDED_COLUMNS,
    SIZE_SPREAD,
    BarSplit,
    split_prices,
)
from tickerplant.simulation.contract_profile import usd_quantity
from tickerplant.simulation.history_bars import (
    BUSIEST,
    LEAST_TICKS,
    ORDER_MEAN,
    along,
    day_bars,
    price_day,
    published,
    set_ids,
    with_seconds,
)
from tickerplant.simulation.history_inputs import TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.history_pieces import (
    DAYS,
    LEVELS_MS,
    PIECE,
    PIECES,
    Floats,
    Ints,
    Series,
    draws,
    normals,
)
from tickerplant.simulation.price_paths import VOLATILITY, PathSeries
from tickerplant.units import DAY_MS, MINUTE_MS

TRADED = "traded"
TRADES_PER_FILL = 2.4
"""Mean number of trades of a fill."""
DAYS_SPREAD = 0.35
"""Standard deviation of the logarithm of a day's number of trades, besides its volatility."""
DAYS_SHARE_SPREAD = 0.01
"""Standard deviation of the share of a day's fills that takers bought."""


class PriceSeries(Series):
    """The bars of one price before the last 24 hours, in integers of 10^-8, rows as in `BarSplit`.

    Args:
        inputs: What the history follows from.
        price: `INDEX`, `MARK` or `PREMIUM_INDEX`.
    """

    def __init__(self, inputs: HistoryInputs, price: str) -> None:
        # A contract that was delivered before is drawn to the end of that day.
        ended_ms = -(-inputs.instrument.delivery_date_ms // DAY_MS) * DAY_MS
        ends_ms = min(inputs.path.day_ms, ended_ms)
        super().__init__((inputs, price), inputs.listed_ms(MINUTE_MS), ends_ms)
        self.inputs = inputs
        self.price = price
        self._path = PathSeries(inputs.path)
        self._name = f"{inputs.name} {price}"

    def day_rows(self, first: int, stop: int) -> Ints:
        """Return the whole days `first` to `stop`, without drawing all of them."""
        return PIECES.children((self.key, DAYS), first, stop, self.days, 1, self.draw_days)

    def draw_days(self, first: int, stop: int) -> Ints:
        """Return some of the whole days."""
        path = self._path.rows(DAYS, first, stop)
        close = self._last_close() if stop == self.days.stop else None
        return self._drawn(path, first * DAY_MS, DAY_MS, close)

    def draw_part(self, span: range) -> Ints:
        """Return one row for a part of a day."""
        minutes = self._path.between(MINUTE_MS, span.start, span.stop)
        row = minutes[:1].copy()
        row[0, VOLATILITY] = minutes[:, VOLATILITY].mean()
        row[0, HIGH], row[0, LOW] = minutes[:, HIGH].max(), minutes[:, LOW].min()
        row[0, CLOSE] = minutes[-1, CLOSE]
        close = self._end_price() if span.stop == self.inputs.path.day_ms else None
        return self._drawn(row, span.start, len(span), close)

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

    def _prices(self, path: Floats, from_ms: int, length_ms: int) -> tuple[Floats, Floats, Floats]:
        """Return edges, highs and lows along a path, not rounded."""
        uniform = draws(f"{self._name} {length_ms} prices", from_ms // length_ms, len(path), 4)
        numbers = np.stack(normals(uniform[:, 0], uniform[:, 1]))
        edges_ms = from_ms + length_ms * np.arange(len(path) + 1)
        return published(self.inputs, self.price, path, edges_ms, numbers)

    def _drawn(self, path: Floats, from_ms: int, length_ms: int, close: int | None) -> Ints:
        """Return bars that are not split from others."""
        edges, highs, lows = map(self._whole, self._prices(path, from_ms, length_ms))
        if close is not None:
            edges[-1] = close
        opened_ms = from_ms + length_ms * np.arange(len(path))
        rows = np.stack((opened_ms, edges[:-1], highs, lows, edges[1:]), axis=1)
        rows[:, HIGH] = rows[:, (OPEN, HIGH, CLOSE)].max(axis=1)
        rows[:, LOW] = rows[:, (OPEN, LOW, CLOSE)].min(axis=1)
        return rows

    def _whole(self, prices: Floats) -> Ints:
        return np.round(prices).astype(np.int64)

    def _last_close(self) -> int | None:
        """Return the close of the last whole day; None if nothing follows that it must meet."""
        if not self.days or self.end_ms < self.inputs.path.day_ms:
            return None
        return int(self.part(self.rest)[0, OPEN]) if self.rest else self._end_price()

    def _end_price(self) -> int:
        """Return the price with which the last 24 hours begin."""
        return int(price_day(self.inputs, self.price)[0, OPEN])

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return the rows of `pieces` as bars."""
        found = [self.as_bars(*each) for each in self.pieces(length_ms, from_ms, until_ms)]
        return np.concatenate(found) if found else NO_BARS

    def as_bars(self, length_ms: int, rows: Ints, /) -> Bars:
        """Return rows of this series as bars."""
        bars = np.zeros((len(rows), len(COLUMNS)), dtype=np.int64)
        bars[:, : CLOSE + 1] = rows
        return with_seconds(bars, length_ms)


class TradedSeries(PriceSeries):
    """The traded bars of one contract before the last 24 hours, rows as in `SIDED_COLUMNS`."""

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

    def day_rows(self, first: int, stop: int) -> Ints:
        """Return the whole days `first` to `stop`; all are drawn at once, to count their trades."""
        return Series.day_rows(self, first, stop)

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

    def _end_price(self) -> int:
        return int(day_bars(self.inputs)[0, OPEN]) // self.inputs.instrument.tick_size

    def _drawn(self, path: Floats, from_ms: int, length_ms: int, close: int | None) -> Ints:
        rows = np.zeros((len(path), len(SIDED_COLUMNS)), dtype=np.int64)
        rows[:, : CLOSE + 1] = super()._drawn(path, from_ms, length_ms, close)
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
        split = BarSplit(minutes=False, inverse=self.inverse)
        for side, part in ((0, bought), (1, 1 - bought)):
            rows[:, BUY_FILLS + side] = np.maximum(fills * part, FREE)
            rows[:, BUY_TRADES + side] = rows[:, BUY_FILLS + side] * TRADES_PER_FILL
            rows[:, BUY_STEPS + side] = np.ceil(rows[:, BUY_TRADES + side] * steps)
            rows[:, BUY_TURNOVER + side] = split.usual_turnovers(rows, rows[:, BUY_STEPS + side])
        for column, number in ((FIRST_TRADE, BUY_TRADES), (FIRST_AGGREGATE, BUY_FILLS)):
            some = rows[:, number] + rows[:, number + 1]
            rows[:, column] = self._first_after(column, from_ms) - np.cumsum(some[::-1])[::-1]
        return rows

    def _first_after(self, column: int, from_ms: int) -> int:
        """Return the first id after the span of days that begins at `from_ms`."""
        later = next((span for span in self.spans if span.start > from_ms), None)
        if later is None:
            return 0
        whole = later == self.whole_days
        row = self.rows(0, self.days.start, self.days.start + 1) if whole else self.part(later)
        return int(row[0, column])

    def as_bars(self, _: int, rows: Ints, /) -> Bars:
        """Return rows of this series as bars; their ids are relative to those of the last 24 hours."""
        instrument = self.inputs.instrument
        bars = np.empty((len(rows), len(COLUMNS)), dtype=np.int64)
        bars[:, OPEN_TIME] = rows[:, OPEN_TIME]
        bars[:, OPEN : CLOSE + 1] = rows[:, OPEN : CLOSE + 1] * instrument.tick_size
        bars[:, COUNT] = rows[:, BUY_TRADES] + rows[:, SELL_TRADES]
        bars[:, TAKER_BUY_VOLUME] = rows[:, BUY_STEPS] * instrument.step_size
        bars[:, VOLUME] = bars[:, TAKER_BUY_VOLUME] + rows[:, SELL_STEPS] * instrument.step_size
        bars[:, TAKER_BUY_TURNOVER] = rows[:, BUY_TURNOVER] * self._worth
        bars[:, TURNOVER] = bars[:, TAKER_BUY_TURNOVER] + rows[:, SELL_TURNOVER] * self._worth
        set_ids(bars, rows[:, FIRST_TRADE])
        return bars


class PriceBarHistory:
    """The history of one price up to the current minute; bars in integers of 10^-8."""

    def __init__(self, inputs: HistoryInputs, price: str) -> None:
        self._inputs = inputs
        self._price = price

    @property
    def begins_ms(self) -> int:
        """Open time of the minute of the listing."""
        return min(self._inputs.listed_ms(MINUTE_MS), self.ends_ms)

    @property
    def ends_ms(self) -> int:
        """Open time of the current minute."""
        return self._inputs.path.present_ms

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        before = PriceSeries(self._inputs, self._price).bars(length_ms, from_ms, until_ms)
        if until_ms <= self._inputs.path.day_ms:
            return before
        day = price_day(self._inputs, self._price)
        first, stop = np.searchsorted(day[:, OPEN_TIME], (from_ms, until_ms))
        return np.concatenate((before, day[first:stop]))

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
