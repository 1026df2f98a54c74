"""The last trades and aggregate trades of a market, to be answered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Generic, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.ring import CHUNK_EVENTS, KEPT_AGGREGATES, KEPT_TRADES, Kept, Ring

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


class Tape(Generic[Kept]):
    """What happened last, oldest first: since the start, and before it when somebody asks.

    Args:
        kind: What is on the tape.
        kept: How many are kept at least.
        read: Makes them of rows of the past.
        row: The fields of such a row.
    """

    def __init__(
        self,
        kind: type[Kept],
        kept: int,
        read: Callable[[Rows], list[Kept]],
        row: np.dtype[np.void],
    ) -> None:
        self._ring = Ring(kind, kept)
        self._fresh = self._ring.fresh
        self._read = read
        self._none = np.empty(0, row)
        self._past: Callable[[], Rows] | None = None

    def __len__(self) -> int:
        return len(self._older) + len(self._ring)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self.latest(len(self)))

    def look_back(self, past: Callable[[], Rows]) -> None:
        """Let the rows that `past` returns come before the first event."""
        self._past = past

    def append(self, event: Kept) -> None:
        """Add the latest event."""
        fresh = self._fresh
        fresh.append(event)
        if len(fresh) == CHUNK_EVENTS:
            self._ring.turn()

    def latest(self, limit: int) -> list[Kept]:
        """Return the last `limit` events, oldest first."""
        return self._before(len(self._ring), limit)

    @property
    def _older(self) -> Rows:
        """The rows of the past; none as soon as an event after them has been forgotten."""
        return self._none if self._past is None or self._ring.forgot else self._past()

    def _before(self, stop: int, limit: int) -> list[Kept]:
        """Return the last `limit` events before the one that is number `stop` since the start."""
        events = self._ring.slice(stop - limit, stop)
        missing = limit - len(events)
        return self._read(self._older[-missing:]) + events if missing > 0 else events

    def _up_to(self, field: str, value: int, limit: int) -> list[Kept]:
        """Return the last `limit` events whose `field` is at most `value`."""
        stop = self._ring.search(field, value, after=True) if len(self._ring) else 0
        if stop:
            return self._before(stop, limit)
        older = self._older
        stop = int(np.searchsorted(older[field], value, side="right"))
        return self._read(older[max(stop - limit, 0) : stop])

    def _from(self, field: str, value: int, limit: int) -> list[Kept]:
        """Return the first `limit` events whose `field` is at least `value`."""
        first = self._ring.search(field, value) if len(self._ring) else 0
        events = self._ring.slice(first, first + limit)
        if first:
            return events
        older = self._older
        older = older[np.searchsorted(older[field], value) :][:limit]
        return (self._read(older) + events)[:limit]


class TradeTape(Tape[Trade]):
    """The last trades on the book, oldest first, with rising ids; rows as in `TRADE_ROW`."""

    def __init__(self, symbol: str) -> None:
        super().__init__(Trade, KEPT_TRADES, partial(trades, symbol), TRADE_ROW)

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        return self._from("trade_id", trade_id, limit)


def trades(symbol: str, rows: Rows) -> list[Trade]:
    """Return the trades of `rows`."""
    return [
        Trade(symbol, trade_id, price, quantity, sold, time_ms, retail=retail)
        for trade_id, price, quantity, time_ms, sold, retail in rows.tolist()
    ]


class AggregateTape(Tape[AggregateTrade]):
    """The last aggregate trades, with rising ids and times; rows as in `AGGREGATE_ROW`."""

    def __init__(self, symbol: str) -> None:
        super().__init__(
            AggregateTrade, KEPT_AGGREGATES, partial(_aggregates, symbol), AGGREGATE_ROW
        )

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates with ids from `aggregate_id` on."""
        return self._from("aggregate_id", aggregate_id, limit)

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates traded in [`start_ms`, `end_ms`].

        With a start the first ones from the start on, otherwise the latest ones.
        """
        field = "trade_time_ms"
        if start_ms is not None:
            found = self._from(field, start_ms, limit)
            return found if end_ms is None else [a for a in found if a.trade_time_ms <= end_ms]
        return self.latest(limit) if end_ms is None else self._up_to(field, end_ms, limit)


def _aggregates(symbol: str, rows: Rows) -> list[AggregateTrade]:
    return [AggregateTrade(symbol, *row) for row in rows.tolist()]
