"""The last trades and aggregate trades of a market, to be answered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.ring import CHUNK_ROWS, Ring, Rows

KEPT_TRADES = 100_000
"""Trades that a market keeps at least; older ones are forgotten."""
KEPT_AGGREGATES = 100_000

TRADE_ROW = np.dtype(
    [
        ("trade_id", "<i8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("trade_time_ms", "<i8"),
        ("buyer_is_maker", "?"),
        ("retail", "?"),
    ]
)
"""A trade on the book, without what all trades of a tape have in common."""

AGGREGATE_ROW = np.dtype(
    [
        ("aggregate_id", "<i8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("normal_quantity", "<i8"),
        ("first_trade_id", "<i8"),
        ("last_trade_id", "<i8"),
        ("trade_time_ms", "<i8"),
        ("buyer_is_maker", "?"),
    ]
)
"""An aggregate, likewise."""


class _Shelf:
    """The rows of a tape: those since the start, and those of the past when somebody asks."""

    def __init__(self, kind: type[Struct], dtype: np.dtype[np.void], kept: int) -> None:
        self.ring = Ring(kind, dtype, kept)
        self._past: Callable[[], Rows] | None = None

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let what `past` returns come before the first row."""
        self._past = past

    @property
    def older(self) -> Rows:
        """The rows of the past; none as soon as a row after them has been forgotten."""
        if self._past is None or self.ring.forgot:
            return self.ring.rows(0, 0)
        return self._past()

    def latest(self, limit: int) -> Rows:
        """Return the last `limit` rows."""
        return self.up_to(len(self.ring), limit)

    def up_to(self, stop: int, limit: int) -> Rows:
        """Return the last `limit` rows before the one that is number `stop` since the start."""
        rows = self.ring.rows(stop - limit, stop)
        missing = limit - len(rows)
        return rows if missing <= 0 else np.concatenate([self.older[-missing:], rows])

    def from_value(self, field: str, value: int, limit: int) -> Rows:
        """Return the first `limit` rows whose `field` is at least `value`."""
        first = self.ring.search(field, value)
        rows = self.ring.rows(first, first + limit)
        if first:
            return rows
        older = self.older
        older = older[np.searchsorted(older[field], value) :][:limit]
        return np.concatenate([older, rows])[:limit] if len(older) else rows


class TradeTape:
    """The last trades on the book, oldest first, with rising ids."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._shelf = _Shelf(Trade, TRADE_ROW, KEPT_TRADES)
        self._fresh = self._shelf.ring.fresh

    def __len__(self) -> int:
        return len(self._shelf.older) + len(self._shelf.ring)

    def __iter__(self) -> Iterator[Trade]:
        return iter(self.latest(len(self)))

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let the trades that `past` returns, rows as in `TRADE_ROW`, come before the first."""
        self._shelf.look_back(past)

    def append(self, trade: Trade) -> None:
        """Add the latest trade."""
        fresh = self._fresh
        fresh.append(trade)
        if len(fresh) == CHUNK_ROWS:
            self._shelf.ring.turn()

    def latest(self, limit: int) -> list[Trade]:
        """Return the last `limit` trades, oldest first."""
        return self._events(self._shelf.latest(limit))

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        return self._events(self._shelf.from_value("trade_id", trade_id, limit))

    def _events(self, rows: Rows) -> list[Trade]:
        return trades(self._symbol, rows)


def trades(symbol: str, rows: Rows) -> list[Trade]:
    """Return the trades of `rows`."""
    return [
        Trade(symbol, trade_id, price, quantity, sold, time_ms, retail=retail)
        for trade_id, price, quantity, time_ms, sold, retail in rows.tolist()
    ]


class AggregateTape:
    """The last aggregate trades, oldest first, with rising ids and times."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._shelf = _Shelf(AggregateTrade, AGGREGATE_ROW, KEPT_AGGREGATES)
        self._fresh = self._shelf.ring.fresh

    def __len__(self) -> int:
        return len(self._shelf.older) + len(self._shelf.ring)

    def __iter__(self) -> Iterator[AggregateTrade]:
        return iter(self._events(self._shelf.latest(len(self))))

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let the aggregates that `past` returns, rows as in `AGGREGATE_ROW`, come first."""
        self._shelf.look_back(past)

    def append(self, aggregate: AggregateTrade) -> None:
        """Add the latest aggregate."""
        fresh = self._fresh
        fresh.append(aggregate)
        if len(fresh) == CHUNK_ROWS:
            self._shelf.ring.turn()

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates with ids from `aggregate_id` on."""
        return self._events(self._shelf.from_value("aggregate_id", aggregate_id, limit))

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates traded in [`start_ms`, `end_ms`].

        With a start the first ones from the start on, otherwise the latest ones.
        """
        shelf, ring = self._shelf, self._shelf.ring
        if start_ms is not None:
            rows = shelf.from_value("trade_time_ms", start_ms, limit)
            return self._events(rows if end_ms is None else rows[rows["trade_time_ms"] <= end_ms])
        if end_ms is None:
            return self._events(shelf.latest(limit))
        stop = ring.search("trade_time_ms", end_ms, after=True)
        if stop:
            return self._events(shelf.up_to(stop, limit))
        older = shelf.older
        stop = int(np.searchsorted(older["trade_time_ms"], end_ms, side="right"))
        return self._events(older[max(stop - limit, 0) : stop])

    def _events(self, rows: Rows) -> list[AggregateTrade]:
        return [AggregateTrade(self._symbol, *row) for row in rows.tolist()]
