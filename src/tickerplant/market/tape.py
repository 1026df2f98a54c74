"""The last trades and aggregate trades of a market, to be answered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.ring import CHUNK_EVENTS, Kept, Ring

KEPT_TRADES = 100_000
"""Trades that a market keeps at least; older ones are forgotten."""
KEPT_AGGREGATES = 100_000

Rows: TypeAlias = NDArray[np.void]
"""Records with named fields, oldest first: how a past hands over what it has many of."""

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


class _Shelf(Generic[Kept]):
    """What a tape holds: the events since the start, and those of the past when somebody asks."""

    def __init__(
        self,
        kind: type[Kept],
        kept: int,
        read: Callable[[Rows], list[Kept]],
        row: np.dtype[np.void],
    ) -> None:
        self.ring = Ring(kind, kept)
        self._read = read
        self._none = np.empty(0, row)
        self._past: Callable[[], Rows] | None = None

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let what `past` returns come before the first event."""
        self._past = past

    @property
    def older(self) -> Rows:
        """The rows of the past; none as soon as an event after them has been forgotten."""
        return self._none if self._past is None or self.ring.forgot else self._past()

    def latest(self, limit: int) -> list[Kept]:
        """Return the last `limit` events."""
        return self._before(len(self.ring), limit)

    def _before(self, stop: int, limit: int) -> list[Kept]:
        """Return the last `limit` events before the one that is number `stop` since the start."""
        events = self.ring.slice(stop - limit, stop)
        missing = limit - len(events)
        return self._read(self.older[-missing:]) + events if missing > 0 else events

    def up_to(self, field: str, value: int, limit: int) -> list[Kept]:
        """Return the last `limit` events whose `field` is at most `value`."""
        stop = self.ring.search(field, value, after=True) if len(self.ring) else 0
        if stop:
            return self._before(stop, limit)
        older = self.older
        stop = int(np.searchsorted(older[field], value, side="right"))
        return self._read(older[max(stop - limit, 0) : stop])

    def from_value(self, field: str, value: int, limit: int) -> list[Kept]:
        """Return the first `limit` events whose `field` is at least `value`."""
        first = self.ring.search(field, value) if len(self.ring) else 0
        events = self.ring.slice(first, first + limit)
        if first:
            return events
        older = self.older
        older = older[np.searchsorted(older[field], value) :][:limit]
        return (self._read(older) + events)[:limit]


class TradeTape:
    """The last trades on the book, oldest first, with rising ids."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._shelf = _Shelf(Trade, KEPT_TRADES, self._read, TRADE_ROW)
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
        if len(fresh) == CHUNK_EVENTS:
            self._shelf.ring.turn()

    def latest(self, limit: int) -> list[Trade]:
        """Return the last `limit` trades, oldest first."""
        return self._shelf.latest(limit)

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        return self._shelf.from_value("trade_id", trade_id, limit)

    def _read(self, rows: Rows) -> list[Trade]:
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
        self._shelf = _Shelf(AggregateTrade, KEPT_AGGREGATES, self._read, AGGREGATE_ROW)
        self._fresh = self._shelf.ring.fresh

    def __len__(self) -> int:
        return len(self._shelf.older) + len(self._shelf.ring)

    def __iter__(self) -> Iterator[AggregateTrade]:
        return iter(self._shelf.latest(len(self)))

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let the aggregates that `past` returns, rows as in `AGGREGATE_ROW`, come first."""
        self._shelf.look_back(past)

    def append(self, aggregate: AggregateTrade) -> None:
        """Add the latest aggregate."""
        fresh = self._fresh
        fresh.append(aggregate)
        if len(fresh) == CHUNK_EVENTS:
            self._shelf.ring.turn()

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates with ids from `aggregate_id` on."""
        return self._shelf.from_value("aggregate_id", aggregate_id, limit)

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates traded in [`start_ms`, `end_ms`].

        With a start the first ones from the start on, otherwise the latest ones.
        """
        shelf, field = self._shelf, "trade_time_ms"
        if start_ms is not None:
            found = shelf.from_value(field, start_ms, limit)
            return found if end_ms is None else [a for a in found if a.trade_time_ms <= end_ms]
        return shelf.latest(limit) if end_ms is None else shelf.up_to(field, end_ms, limit)

    def _read(self, rows: Rows) -> list[AggregateTrade]:
        return [AggregateTrade(self._symbol, *row) for row in rows.tolist()]
