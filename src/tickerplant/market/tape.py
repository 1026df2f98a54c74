"""The last trades and aggregate trades of a market."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Generic, Protocol, TypeAlias, TypeVar

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

TIME_FIELD = "trade_time_ms"

EventT = TypeVar("EventT", bound=Struct)

_encode = msgspec.msgpack.Encoder().encode


class Ring(Generic[EventT]):
    """Packed events in the order in which they were appended; the oldest are dropped.

    Events stay in `open_chunk` until `CHUNK_EVENTS` of them are packed at once: appending is cheap,
    and a packed event takes about a twentieth of the memory.
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


def row_type(numbers: str, flags: str) -> np.dtype[np.void]:
    """Return the type of rows with these fields: integers, then truth values."""
    return np.dtype([(n, "<i8") for n in numbers.split()] + [(n, "?") for n in flags.split()])


TRADE_ROW = row_type("trade_id price quantity trade_time_ms", "buyer_is_maker rpi")
"""A trade on the book, without the fields that all trades of a tape share."""
AGGREGATE_ROW = row_type(
    "aggregate_id price quantity normal_quantity first_trade_id last_trade_id trade_time_ms",
    "buyer_is_maker",
)
"""An aggregate, in the same form."""


class PastRows(Protocol):
    """The rows before the first event of a tape, oldest first."""

    @property
    def ids(self) -> range:
        """Their ids, without a gap."""

    def id_at(self, time_ms: int) -> int:
        """Return the id of the first row at or after a time; `ids.stop` if there is none."""

    def rows(self, first_id: int, stop_id: int) -> Rows:
        """Return the rows with ids from `first_id` up to `stop_id` (excluded), all within `ids`."""


class Tape(Generic[EventT]):
    """The last events, oldest first: those since the start, and before them history on demand.

    Once events were dropped, history precedes a hole: nothing is returned together with it.
    """

    def __init__(
        self,
        kind: type[EventT],
        id_field: str,
        min_events: int,
        read: Callable[[Rows], list[EventT]],
    ) -> None:
        self._ring = Ring(kind, min_events)
        self._open_chunk = self._ring.open_chunk
        self._id_field = id_field
        self._read = read
        self._past: PastRows | None = None

    def __len__(self) -> int:
        """Return the number of events since the start that are kept."""
        return len(self._ring)

    def __iter__(self) -> Iterator[EventT]:
        return iter(self._ring.slice(0, len(self)))

    def load_history(self, past: PastRows) -> None:
        """Set the rows before the first event; nothing is read until somebody asks for them."""
        self._past = past

    def append(self, event: EventT) -> None:
        """Append the latest event."""
        open_chunk = self._open_chunk
        open_chunk.append(event)
        if len(open_chunk) == CHUNK_EVENTS:
            self._ring.seal_chunk()

    def latest(self, limit: int) -> list[EventT]:
        """Return the last `limit` events, oldest first."""
        return self.between(None, None, limit)

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[EventT]:
        """Return up to `limit` events traded in [`start_ms`, `end_ms`].

        With a start the first ones, otherwise the latest ones.
        """
        ring, past = self._ring, self._past
        stop = len(ring) if end_ms is None else ring.search(TIME_FIELD, end_ms, after=True)
        first = stop - limit if start_ms is None else ring.search(TIME_FIELD, start_ms)
        events = ring.slice(first, min(stop, first + limit))
        missing = limit - len(events)
        if past is None or (missing == 0 if start_ms is None else first > 0):
            return events
        past_stop = past.ids.stop if stop or end_ms is None else past.id_at(end_ms + 1)
        if start_ms is not None:
            return self._onward(past, past.id_at(start_ms), past_stop, limit, events)
        if self.has_forgotten and past_stop == past.ids.stop:
            return events
        return self._read(past.rows(max(past_stop - missing, past.ids.start), past_stop)) + events

    def from_id(self, first_id: int, limit: int) -> list[EventT]:
        """Return up to `limit` events with ids from `first_id` on."""
        first, past = self._ring.search(self._id_field, first_id), self._past
        events = self._ring.slice(first, first + limit)
        if first or past is None:
            return events
        ids = past.ids
        return self._onward(past, max(first_id, ids.start), ids.stop, limit, events)

    def _onward(
        self, past: PastRows, first_id: int, stop_id: int, limit: int, events: list[EventT]
    ) -> list[EventT]:
        """Return the first `limit` of the rows of history with some ids and `events`."""
        if first_id >= stop_id:
            return events
        found = self._read(past.rows(first_id, min(first_id + limit, stop_id)))
        return found if self.has_forgotten else (found + events)[:limit]

    @property
    def has_forgotten(self) -> bool:
        """Whether events have been dropped."""
        return self._ring.has_dropped


class TradeTape(Tape[Trade]):
    """The last trades on the book; rows of history as in `TRADE_ROW`."""

    def __init__(self, symbol: str, min_events: int = RETAINED_TRADES) -> None:
        super().__init__(Trade, "trade_id", min_events, partial(trades, symbol))


def trades(symbol: str, rows: Rows) -> list[Trade]:
    """Return the trades of `rows`."""
    return [
        Trade(symbol, trade_id, price, quantity, sold, time_ms, rpi=rpi)
        for trade_id, price, quantity, time_ms, sold, rpi in rows.tolist()
    ]


class AggregateTape(Tape[AggregateTrade]):
    """The last aggregate trades; rows of history as in `AGGREGATE_ROW`."""

    def __init__(self, symbol: str) -> None:
        read = partial(_aggregates, symbol)
        super().__init__(AggregateTrade, "aggregate_id", RETAINED_AGGREGATES, read)


def _aggregates(symbol: str, rows: Rows) -> list[AggregateTrade]:
    return [AggregateTrade(symbol, *row) for row in rows.tolist()]
