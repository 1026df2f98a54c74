"""The trades and aggregates of a contract before the current minute, drawn when somebody asks.

The last hour is known trade by trade. What precedes it is drawn from its minutes, some neighbouring
ones at once, back to the listing. Ids count on through all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property

import numpy as np

from tickerplant.market.bars import OPEN_TIME
from tickerplant.market.tape import AGGREGATE_ROW, TIME_FIELD, TRADE_ROW, Rows
from tickerplant.simulation.bar_splits import FIRST_IDS
from tickerplant.simulation.history_inputs import TRADES_PER_FILL, HistoryInputs
from tickerplant.simulation.history_pieces import LEVELS_MS, Pieces
from tickerplant.simulation.minute_trades import PAST_ROW, draw_trades
from tickerplant.simulation.past_series import TradedSeries
from tickerplant.simulation.recent_trades import recent_trades, with_aggregates
from tickerplant.units import MINUTE_MS

BLOCK_FILLS = 400
"""Usual number of fills of the minutes that are drawn at once."""
MAX_BLOCK_MINUTES = 60
MAX_TRADES_BYTES = 52_000_000
"""Size of the rows that are kept, of all contracts; an hour of a busy one is 4.5 and 1.9 MB."""

TRADES = Pieces(MAX_TRADES_BYTES)
"""Trades and aggregates."""


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
        self._column = FIRST_IDS.start + aggregates
        self._series = TradedSeries(inputs)
        self._begin_ms, self._recent_ms = self._series.begins_ms, self._series.ends_ms
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
        block = None if time_ms >= self._recent_ms else self._block(time_ms)
        return self._kept(block, aggregates=self._of_aggregates)

    def _kept(self, block: range | None, *, aggregates: bool) -> Rows:
        """Return the rows of a block, or of the last hour."""

        def draw() -> Rows:
            if not aggregates:
                return self._draw(block)
            return _aggregates(self._draw(block) if block else self._recent)

        return TRADES.whole((self._inputs, self._next_id, block, aggregates), draw)

    def _block(self, time_ms: int) -> range:
        first_ms = time_ms // self._block_ms * self._block_ms
        stop_ms = min(first_ms + self._block_ms, self._recent_ms)
        return range(max(first_ms, self._begin_ms), stop_ms)

    @property
    def _recent(self) -> Rows:
        return self._kept(None, aggregates=False)

    def _draw(self, block: range | None) -> Rows:
        if block is None:
            trades = recent_trades(self._inputs, self._next_id)
            older = trades[: np.searchsorted(trades[TIME_FIELD], self._inputs.path.present_ms)]
            return with_aggregates(older, self._present_ids[1])
        minutes = self._series.between(MINUTE_MS, block.start, block.stop).copy()
        minutes[:, FIRST_IDS] += self._next_ids
        rows = draw_trades(self._inputs.name, minutes, self._series.inverse)
        rows["price"] *= self._inputs.instrument.tick_size
        rows["quantity"] *= self._inputs.instrument.step_size
        return rows

    # Minutes

    @cached_property
    def _next_ids(self) -> tuple[int, int]:
        """Ids of the first trade of the last hour and of its aggregate."""
        first = self._recent[:1].tolist()
        return (first[0][0], first[0][-1]) if first else self._present_ids

    def _first_id(self, minute_ms: int) -> int:
        """Return the id of the first row since a minute opened, or of the last hour."""
        next_id = self._next_ids[self._of_aggregates]
        if minute_ms >= self._recent_ms:
            return next_id
        minutes = self._series.between(MINUTE_MS, minute_ms, minute_ms + MINUTE_MS)
        return next_id + int(minutes[0, self._column])

    def _minute_of(self, wanted: int) -> int:
        """Return the open time of the minute with an id, or of the last hour."""
        relative = wanted - self._next_ids[self._of_aggregates]
        if relative >= 0:
            return self._recent_ms
        open_ms, until_ms = self._begin_ms, self._recent_ms
        for length_ms in LEVELS_MS:
            rows = self._series.between(length_ms, open_ms, until_ms)
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
