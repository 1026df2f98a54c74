"""The trades and aggregates of a contract before the current minute, drawn when somebody asks.

The last hour is known trade by trade. What precedes it is drawn from its minutes, some neighbouring
ones at once, back to the listing. Ids count on through all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property

import numpy as np

from tickerplant.instrument import Instrument
from tickerplant.market.bar_arrays import empty_bars
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
    Bars,
)
from tickerplant.market.tape import AGGREGATE_ROW, TIME_FIELD, TRADE_ROW, Rows
from tickerplant.simulation.bar_splits import (
    BUY_FILLS,
    BUY_STEPS,
    BUY_TRADES,
    BUY_TURNOVER,
    FIRST_AGGREGATE,
    FIRST_TRADE,
    SIDED_COLUMNS,
)
from tickerplant.simulation.history_bars import day_bars
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.history_pieces import LEVELS_MS, Ints, Pieces
from tickerplant.simulation.minute_trades import PAST_ROW, draw_trades
from tickerplant.simulation.past_series import TRADES_PER_FILL, TradedSeries
from tickerplant.simulation.recent_trades import recent_trades, with_aggregates
from tickerplant.units import MINUTE_MS

BLOCK_FILLS = 400
"""Usual number of fills of the minutes that are drawn at once."""
MAX_BLOCK_MINUTES = 60
FIRST_IDS = [FIRST_TRADE, FIRST_AGGREGATE]
LEAST_FILLS = 4
"""Fills of a side that can open, reach both extremes and close."""
MAX_TRADES_BYTES = 52_000_000
"""Size of the rows that are kept, of all contracts; an hour of a busy one is 4.5 and 1.9 MB."""

TRADES = Pieces(MAX_TRADES_BYTES)
"""Trades, aggregates, and minutes of the last day by side."""


class PastTrades:
    """The trades of a contract before the current minute, or their aggregates.

    Args:
        inputs: What they follow from.
        next_id: Id of the first trade after the start.
        present_ids: Id of the first trade in the current minute, and of the aggregate that it opens.
        aggregates: Whether these are the aggregates.
    """

    def __init__(
        self,
        inputs: HistoryInputs,
        next_id: int,
        present_ids: tuple[int, int],
        *,
        aggregates: bool = False,
    ) -> None:
        self._inputs = inputs
        self._next_id = next_id
        self._present_ids = present_ids
        self._of_aggregates = aggregates
        self._field = "aggregate_id" if aggregates else "trade_id"
        self._column = FIRST_AGGREGATE if aggregates else FIRST_TRADE
        self._series = TradedSeries(inputs)
        self._day_ms, self._recent_ms = inputs.day_span
        self._begin_ms = min(inputs.listed_ms(MINUTE_MS), self._day_ms)
        per_minute = inputs.trades_per_ms * MINUTE_MS / TRADES_PER_FILL
        self._block_ms = MINUTE_MS * min(max(int(BLOCK_FILLS / per_minute), 1), MAX_BLOCK_MINUTES)

    @cached_property
    def ids(self) -> range:
        """Their ids, without a gap."""
        return range(self._first_id(self._begin_ms), self._present_ids[self._of_aggregates])

    def id_at(self, time_ms: int) -> int:
        """Return the id of the first row at or after a time; `ids.stop` if there is none."""
        time_ms = max(time_ms, self._begin_ms)
        rows = self._piece(time_ms)
        number = bisect_left(rows[TIME_FIELD], time_ms)
        if number < len(rows):
            return int(rows[self._field][number])
        is_recent = time_ms >= self._recent_ms
        return self.ids.stop if is_recent else self._first_id(self._block(time_ms).stop)

    def rows(self, first_id: int, stop_id: int) -> Rows:
        """Return the rows with ids from `first_id` up to `stop_id` (excluded), all within `ids`."""
        found: list[Rows] = []
        while first_id < stop_id:
            rows = self._piece(self._minute_of(first_id))
            ids = rows[self._field]
            first, stop = bisect_left(ids, first_id), bisect_left(ids, stop_id)  # copies no ids
            found.append(rows[first:stop])
            first_id = int(ids[stop - 1]) + 1
        if self._of_aggregates:
            return np.concatenate(found or [np.empty(0, AGGREGATE_ROW)])
        return np.concatenate(found or [np.empty(0, PAST_ROW)])[list(TRADE_ROW.names or ())]

    # Pieces

    def _piece(self, time_ms: int) -> Rows:
        """Return the rows that are kept together with those of a time; trades as in `PAST_ROW`."""
        is_recent = time_ms >= self._recent_ms
        if is_recent and not self._of_aggregates:
            return self._recent
        block = None if is_recent else self._block(time_ms)

        def draw() -> Rows:
            trades = self._recent if block is None else self._draw(block)
            return _aggregates(trades) if self._of_aggregates else trades

        return TRADES.whole((self._inputs, self._next_id, block, self._of_aggregates), draw)

    def _block(self, time_ms: int) -> range:
        first_ms = time_ms // self._block_ms * self._block_ms
        stop_ms = min(first_ms + self._block_ms, self._recent_ms)
        return range(max(first_ms, self._begin_ms), stop_ms)

    def _draw(self, block: range) -> Rows:
        instrument, minutes = self._inputs.instrument, self._minutes(block.start, block.stop)
        rows = draw_trades(self._inputs.name, minutes, self._series.inverse)
        rows["price"] *= instrument.tick_size
        rows["quantity"] *= instrument.step_size
        return rows

    @property
    def _recent(self) -> Rows:
        return TRADES.whole((self._inputs, self._next_id), self._draw_recent)

    def _draw_recent(self) -> Rows:
        trades = recent_trades(self._inputs, self._next_id)
        older = trades[: np.searchsorted(trades[TIME_FIELD], self._inputs.path.present_ms)]
        return with_aggregates(older, self._present_ids[1])

    # Minutes, rows as in `SIDED_COLUMNS`

    def _minutes(self, from_ms: int, until_ms: int) -> Ints:
        """Return the minutes between two times before the last hour."""
        day = self._day
        inside = day[slice(*np.searchsorted(day[:, OPEN_TIME], (from_ms, until_ms)))]
        if from_ms >= self._day_ms:
            return inside
        rows = self._series.between(MINUTE_MS, from_ms, min(until_ms, self._day_ms)).copy()
        rows[:, FIRST_IDS] += day[0, FIRST_IDS]
        return np.concatenate((rows, inside))

    @property
    def _day(self) -> Ints:
        """The minutes of the last day before the last hour, and an empty one where that begins."""
        return TRADES.whole((self._inputs, self._next_id, "day"), self._draw_day)

    def _draw_day(self) -> Ints:
        first = self._recent[:1].tolist()
        ids = (first[0][0], first[0][-1]) if first else self._present_ids
        bars = np.concatenate((day_bars(self._inputs), empty_bars(self._recent_ms, 1, 0)))
        return _sided(bars, self._inputs.instrument, ids)

    def _first_id(self, minute_ms: int) -> int:
        """Return the id of the first row since a minute opened, or of the last hour."""
        return int(self._minutes(minute_ms, minute_ms + MINUTE_MS)[0, self._column])

    def _minute_of(self, wanted: int) -> int:
        """Return the open time of the minute with an id, or of the last hour."""
        rows, series = self._day, self._series
        relative = wanted - rows[0, self._column]
        if relative >= 0:
            return int(rows[np.searchsorted(rows[:, self._column], wanted, "right") - 1, OPEN_TIME])
        open_ms, until_ms = series.begin_ms, series.end_ms
        for length_ms in LEVELS_MS:
            rows = series.between(length_ms, open_ms, until_ms)
            number = np.searchsorted(rows[:, self._column], relative, "right") - 1
            open_ms = int(rows[number, OPEN_TIME])
            until_ms = open_ms + length_ms
        return open_ms


def _aggregates(trades: Rows) -> Rows:
    """Return the aggregates of trades, rows as in `AGGREGATE_ROW`."""
    starts = np.flatnonzero(np.diff(trades["aggregate_id"], prepend=-1))
    ends = np.flatnonzero(np.diff(trades["aggregate_id"], append=-1))
    rows = np.empty(len(starts), AGGREGATE_ROW)
    for field in ("aggregate_id", "price", TIME_FIELD, "buyer_is_maker"):
        rows[field] = trades[field][starts]
    rows["first_trade_id"] = trades["trade_id"][starts]
    rows["last_trade_id"] = trades["trade_id"][ends]
    rows["quantity"] = np.add.reduceat(trades["quantity"], starts) if len(starts) else 0
    rows["normal_quantity"] = rows["quantity"]
    return rows


def _sided(bars: Bars, instrument: Instrument, last_ids: tuple[int, int]) -> Ints:
    """Return minutes that are known as `bars`; the last one, without trades, begins with `last_ids`."""
    tick, step = instrument.tick_size, instrument.step_size
    rows = np.zeros((len(bars), len(SIDED_COLUMNS)), dtype=np.int64)
    rows[:, : CLOSE + 1] = bars[:, : CLOSE + 1] // ([1] + 4 * [tick])
    worth = 1 if instrument.venue.inverse else tick * step
    for column, whole, part, unit in (
        (BUY_STEPS, VOLUME, TAKER_BUY_VOLUME, step),
        (BUY_TURNOVER, TURNOVER, TAKER_BUY_TURNOVER, worth),
    ):
        rows[:, column] = (bars[:, part] + unit // 2) // unit
        rows[:, column + 1] = (bars[:, whole] - bars[:, part] + unit // 2) // unit
    count, (bought, sold) = bars[:, COUNT], rows[:, BUY_STEPS : BUY_STEPS + 2].T
    buys = np.round(count * bought / np.maximum(bought + sold, 1)).astype(np.int64)
    lead = np.minimum(count - 1, LEAST_FILLS)  # enough for the prices of one minute
    short = np.maximum(buys, count - buys) < lead
    buys = np.where(short, np.where(bought > sold, lead, count - lead), buys)
    least, most = np.maximum(bought > 0, count - sold), np.minimum(bought, count - (sold > 0))
    trades = np.clip(buys, least, most)[:, None] * [1, -1] + count[:, None] * [0, 1]
    fills = np.round(trades / TRADES_PER_FILL).astype(np.int64)
    fills = np.clip(fills, np.minimum(trades, LEAST_FILLS), trades)
    rows[:, BUY_TRADES : BUY_TRADES + 2], rows[:, BUY_FILLS : BUY_FILLS + 2] = trades, fills
    some = np.column_stack((count, fills.sum(axis=1)))
    rows[:, FIRST_IDS] = last_ids - some[::-1].cumsum(axis=0)[::-1]
    return rows
