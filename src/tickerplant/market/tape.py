"""The last trades and aggregate trades of a market, to be answered with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from operator import attrgetter

from tickerplant.events import AggregateTrade, Trade

KEPT_TRADES = 2000
"""Trades that a market keeps; older ones are forgotten."""
KEPT_AGGREGATES = 2000

_trade_id = attrgetter("trade_id")
_aggregate_id = attrgetter("aggregate_id")
_trade_time_ms = attrgetter("trade_time_ms")


class TradeTape:
    """The last trades on the book, oldest first."""

    def __init__(self) -> None:
        self._rows: deque[Trade] = deque(maxlen=KEPT_TRADES)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Trade]:
        return iter(self._rows)

    def append(self, trade: Trade) -> None:
        """Add the latest trade."""
        self._rows.append(trade)

    def latest(self, limit: int) -> list[Trade]:
        """Return the last `limit` trades, oldest first."""
        return list(self._rows)[-limit:]

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        rows = list(self._rows)
        first = bisect_left(rows, trade_id, key=_trade_id)
        return rows[first : first + limit]


class AggregateTape:
    """The last aggregate trades, oldest first."""

    def __init__(self) -> None:
        self._rows: deque[AggregateTrade] = deque(maxlen=KEPT_AGGREGATES)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[AggregateTrade]:
        return iter(self._rows)

    def append(self, aggregate: AggregateTrade) -> None:
        """Add the latest aggregate."""
        self._rows.append(aggregate)

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates with ids from `aggregate_id` on."""
        rows = list(self._rows)
        first = bisect_left(rows, aggregate_id, key=_aggregate_id)
        return rows[first : first + limit]

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates traded in [`start_ms`, `end_ms`].

        With a start the first ones from the start on, otherwise the latest ones.
        """
        rows = list(self._rows)
        if end_ms is not None:
            rows = rows[: bisect_right(rows, end_ms, key=_trade_time_ms)]
        if start_ms is None:
            return rows[-limit:]
        first = bisect_left(rows, start_ms, key=_trade_time_ms)
        return rows[first : first + limit]
