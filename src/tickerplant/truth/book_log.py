"""The changes of one book, from which the book at any of its update ids is made again."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import TypeAlias

import msgspec
from isal import isal_zlib
from msgspec import Struct

from tickerplant.events import DepthUpdate, Level

CHUNK_CHANGES = 4096
"""Changes that are packed, and later forgotten, together.  Each chunk begins with the whole book; to make
a book again, a chunk is read."""
FASTEST = 0
"""The compression level."""

_Row: TypeAlias = tuple[int, int, Sequence[Level], Sequence[Level]]
"""A change: its id, its time, and the levels of both sides that changed."""


class BookAt(Struct, frozen=True, array_like=True):
    """A book after one change, best levels first."""

    last_update_id: int
    """The id of that change."""
    transaction_time_ms: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class _Chunk(Struct, array_like=True):
    """A book, and the changes that followed it."""

    book: BookAt
    changes: list[_Row]


def _book_at(book: BookAt, changes: Iterable[_Row], update_id: int) -> BookAt:
    """Return the book after the last of the changes of `book` whose id is at most `update_id`."""
    bids, asks = dict(book.bids), dict(book.asks)
    last_id, last_ms = book.last_update_id, book.transaction_time_ms
    for change_id, time_ms, bid_changes, ask_changes in changes:
        if change_id > update_id:
            break
        bids.update(bid_changes)
        asks.update(ask_changes)
        last_id, last_ms = change_id, time_ms
    return BookAt(last_id, last_ms, _levels(bids, best_last=True), _levels(asks))


def _id_at(first_id: int, changes: Iterable[_Row], time_ms: int) -> int:
    """Return the id of the last of the changes up to a time; `first_id` if there is none."""
    last_id = first_id
    for change_id, change_ms, _, _ in changes:
        if change_ms > time_ms:
            break
        last_id = change_id
    return last_id


def _levels(side: dict[int, int], *, best_last: bool = False) -> list[Level]:
    return sorted(((price, size) for price, size in side.items() if size), reverse=best_last)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Chunk).decode


class Chunk:
    """A book, and the changes that followed it; packed later, because that takes time."""

    def __init__(self, book: BookAt, changes: Sequence[DepthUpdate]) -> None:
        self.first_id = book.last_update_id
        """The id of the book that it begins with."""
        self.first_ms = book.transaction_time_ms
        """The time of that book."""
        self.packed_bytes = 0
        """The memory that it takes; 0 before it is packed."""
        self._book: BookAt | None = book
        self._changes = changes
        self._data = b""

    def pack(self) -> int:
        """Pack it; return how many bytes that takes."""
        if self._book is not None:
            chunk = _Chunk(self._book, list(_rows(self._changes)))
            self._data = isal_zlib.compress(_encode(chunk), FASTEST)
            self._book, self._changes = None, ()
            self.packed_bytes = len(self._data)
        return self.packed_bytes

    def at(self, update_id: int) -> BookAt:
        """Return the book after the last change whose id is at most `update_id`."""
        book, changes = self._read()
        return _book_at(book, changes, update_id)

    def id_at(self, time_ms: int) -> int:
        """Return the id of the last change at a time, or before."""
        return _id_at(self.first_id, self._read()[1], time_ms)

    def _read(self) -> tuple[BookAt, Iterable[_Row]]:
        if self._book is not None:
            return self._book, _rows(self._changes)
        chunk = _decode(isal_zlib.decompress(self._data))
        return chunk.book, chunk.changes


class BookLog:
    """The changes of one book since it began, or since the last of them that was forgotten."""

    def __init__(self, book: BookAt) -> None:
        self.changes: list[DepthUpdate] = []
        """The last changes; whoever adds one calls `close` when there are `CHUNK_CHANGES`."""
        self.chunks: deque[Chunk] = deque()
        """The changes before them, oldest first; the owner forgets the oldest."""
        self._book = book
        """The book before `changes`."""

    @property
    def oldest_id(self) -> int:
        """The id of the oldest book that can be made."""
        return self.chunks[0].first_id if self.chunks else self._book.last_update_id

    def close(self, book: BookAt) -> Chunk:
        """Make a chunk of `changes`, which have led to `book`, and return it."""
        chunk = Chunk(self._book, self.changes)
        self.chunks.append(chunk)
        self.changes, self._book = [], book
        return chunk

    def at(self, update_id: int) -> BookAt:
        """Return the book after the last change whose id is at most `update_id`."""
        if update_id >= self._book.last_update_id:
            return _book_at(self._book, _rows(self.changes), update_id)
        number = bisect_right(self.chunks, update_id, key=attrgetter("first_id")) - 1
        return self.chunks[number].at(update_id)

    def id_at(self, time_ms: int) -> int:
        """Return the id of the last change at a time, or before; the oldest id if none is kept."""
        if not self.chunks or time_ms >= self._book.transaction_time_ms:
            return _id_at(self._book.last_update_id, _rows(self.changes), time_ms)
        number = bisect_right(self.chunks, time_ms, key=attrgetter("first_ms")) - 1
        return self.chunks[number].id_at(time_ms) if number >= 0 else self.oldest_id


def _rows(changes: Iterable[DepthUpdate]) -> Iterator[_Row]:
    for each in changes:
        yield each.final_update_id, each.transaction_time_ms, each.bids, each.asks
