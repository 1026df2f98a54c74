"""The last trades and aggregate trades of a market."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Generic, TypeAlias, TypeVar

import msgspec
import numpy as np
from isal import isal_zlib
from msgspec import Struct
from numpy.typing import NDArray

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.series import RETAINED_AGGREGATES, RETAINED_TRADES

CHUNK_EVENTS = 256
"""Events that are packed and dropped together."""

LEVEL = 1
"""Compression level: a fifth of the bytes of a trade, packed in twice the time that encoding takes."""

EventT = TypeVar("EventT", bound=Struct)

_encode = msgspec.msgpack.Encoder().encode


class Ring(Generic[EventT]):
    """Packed events in the order in which they were appended; the oldest are dropped.

    Events stay in `open_chunk` until `CHUNK_EVENTS` of them are packed at once: appending is cheap,
    and a packed event takes about a twentieth of the memory.

    Args:
        kind: The type of the events, a Struct that is encoded as an array.
        min_events: The least number of events to keep.
    """

    def __init__(self, kind: type[EventT], min_events: int) -> None:
        self.open_chunk: list[EventT] = []
        """The last events, not packed yet; the caller that fills it calls `seal_chunk`."""
        self.has_dropped = False
        """Whether events have been dropped."""
        self._max_chunks = -(-min_events // CHUNK_EVENTS)
        self._sealed_chunks: list[bytes] = []
        self._decode: Callable[[bytes], list[EventT]] = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]

    def __len__(self) -> int:
        return len(self._sealed_chunks) * CHUNK_EVENTS + len(self.open_chunk)

    def seal_chunk(self) -> None:
        """Pack the full `open_chunk`, and drop the oldest chunk if there are too many."""
        self._sealed_chunks.append(isal_zlib.compress(_encode(self.open_chunk), LEVEL))
        self.open_chunk.clear()
        if len(self._sealed_chunks) > self._max_chunks:
            del self._sealed_chunks[0]
            self.has_dropped = True

    def slice(self, first: int, stop: int) -> list[EventT]:
        """Return the events from `first` up to `stop` (excluded), counted from the oldest."""
        first, stop = max(first, 0), min(stop, len(self))
        if first >= stop:
            return []
        low, high = first // CHUNK_EVENTS, -(-stop // CHUNK_EVENTS)
        events = [event for number in range(low, high) for event in self._chunk(number)]
        return events[first - low * CHUNK_EVENTS : stop - low * CHUNK_EVENTS]

    def search(self, field: str, value: int, *, after: bool = False) -> int:
        """Return the number of events whose `field` is lower than `value` (`after`: not higher).

        The field never decreases from one event to the next.
        """
        side: Callable[..., int] = bisect_right if after else bisect_left
        key = attrgetter(field)
        chunks = range(-(-len(self) // CHUNK_EVENTS))
        number = max(side(chunks, value, key=partial(self._first, key)) - 1, 0)
        return number * CHUNK_EVENTS + side(self._chunk(number), value, key=key)

    def _chunk(self, number: int) -> list[EventT]:
        if number == len(self._sealed_chunks):
            return self.open_chunk
        return self._decode(isal_zlib.decompress(self._sealed_chunks[number]))

    def _first(self, key: Callable[[EventT], int], number: int) -> int:
        return key(self._chunk(number)[0])


Rows: TypeAlias = NDArray[np.void]
"""Records with named fields, oldest first: the form of many events of history."""

TRADE_ROW = np.dtype(
    [
        ("trade_id", "<i8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("trade_time_ms", "<i8"),
        ("buyer_is_maker", "?"),
        ("rpi", "?"),
    ]
)
"""A trade on the book, without the fields that all trades of a tape share."""

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
"""An aggregate, in the same form."""


class Tape(Generic[EventT]):
    """The last events, oldest first: those since the start, and before them history on demand.

    Args:
        kind: The type of the events.
        min_events: The least number of events to keep.
        read: Converts rows of history to events.
        row: The fields of such a row.
    """

    def __init__(
        self,
        kind: type[EventT],
        min_events: int,
        read: Callable[[Rows], list[EventT]],
        row: np.dtype[np.void],
    ) -> None:
        self._ring = Ring(kind, min_events)
        self._open_chunk = self._ring.open_chunk
        self._read = read
        self._none = np.empty(0, row)
        self._load_history: Callable[[], Rows] | None = None

    def __len__(self) -> int:
        return len(self._older) + len(self._ring)

    def __iter__(self) -> Iterator[EventT]:
        return iter(self.latest(len(self)))

    def load_history(self, load: Callable[[], Rows]) -> None:
        """Set the function that returns the rows before the first event."""
        self._load_history = load

    def append(self, event: EventT) -> None:
        """Append the latest event."""
        open_chunk = self._open_chunk
        open_chunk.append(event)
        if len(open_chunk) == CHUNK_EVENTS:
            self._ring.seal_chunk()

    def latest(self, limit: int) -> list[EventT]:
        """Return the last `limit` events, oldest first."""
        return self._before(len(self._ring), limit)

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[EventT]:
        """Return up to `limit` events traded in [`start_ms`, `end_ms`].

        With a start the first ones, otherwise the latest ones.
        """
        field = "trade_time_ms"
        if start_ms is not None:
            found = self._from(field, start_ms, limit)
            if end_ms is not None:
                del found[bisect_right(found, end_ms, key=attrgetter(field)) :]
            return found
        return self.latest(limit) if end_ms is None else self._up_to(field, end_ms, limit)

    @property
    def has_forgotten(self) -> bool:
        """Whether events have been dropped."""
        return self._ring.has_dropped

    @property
    def _older(self) -> Rows:
        """The rows of history; none once an event after them has been dropped."""
        return (
            self._none
            if self._load_history is None or self._ring.has_dropped
            else self._load_history()
        )

    def _before(self, stop: int, limit: int) -> list[EventT]:
        """Return the last `limit` events before the event number `stop` since the start."""
        events = self._ring.slice(stop - limit, stop)
        missing = limit - len(events)
        return self._read(self._older[-missing:]) + events if missing > 0 else events

    def _up_to(self, field: str, value: int, limit: int) -> list[EventT]:
        """Return the last `limit` events whose `field` is at most `value`."""
        stop = self._ring.search(field, value, after=True) if len(self._ring) else 0
        if stop:
            return self._before(stop, limit)
        older = self._older
        stop = int(np.searchsorted(older[field], value, side="right"))
        return self._read(older[max(stop - limit, 0) : stop])

    def _from(self, field: str, value: int, limit: int) -> list[EventT]:
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

    def __init__(self, symbol: str, min_events: int = RETAINED_TRADES) -> None:
        super().__init__(Trade, min_events, partial(trades, symbol), TRADE_ROW)

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return up to `limit` trades with ids from `trade_id` on."""
        return self._from("trade_id", trade_id, limit)


def trades(symbol: str, rows: Rows) -> list[Trade]:
    """Return the trades of `rows`."""
    return [
        Trade(symbol, trade_id, price, quantity, sold, time_ms, rpi=rpi)
        for trade_id, price, quantity, time_ms, sold, rpi in rows.tolist()
    ]


class AggregateTape(Tape[AggregateTrade]):
    """The last aggregate trades, with rising ids and times; rows as in `AGGREGATE_ROW`."""

    def __init__(self, symbol: str) -> None:
        super().__init__(
            AggregateTrade, RETAINED_AGGREGATES, partial(_aggregates, symbol), AGGREGATE_ROW
        )

    def from_id(self, aggregate_id: int, limit: int) -> list[AggregateTrade]:
        """Return up to `limit` aggregates with ids from `aggregate_id` on."""
        return self._from("aggregate_id", aggregate_id, limit)


def _aggregates(symbol: str, rows: Rows) -> list[AggregateTrade]:
    return [AggregateTrade(symbol, *row) for row in rows.tolist()]
