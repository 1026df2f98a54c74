"""The changes of one book, from which the book at any of its update ids is made again."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import attrgetter

import msgspec
from isal import isal_zlib
from msgspec import Struct

from tickerplant.events import DepthUpdate, Level

CHUNK_CHANGES = 512
"""Changes that are packed, and later forgotten, together; each chunk begins with the whole book."""
FASTEST = 0
"""The compression level."""


class BookAt(Struct, frozen=True, array_like=True):
    """A book after one change, best levels first."""

    last_update_id: int
    """The id of that change."""
    transaction_time_ms: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Change(Struct, frozen=True, array_like=True):
    """The quantities of some levels after a change; 0 removes a level."""

    update_id: int
    transaction_time_ms: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class _Packed(Struct, frozen=True):
    """A chunk that is complete."""

    first_id: int
    """The id of the book that it begins with."""
    data: bytes
    """The book, and the changes of it."""


class _Chunk(Struct, array_like=True):
    """A book, and the changes that followed it."""

    book: BookAt
    changes: list[Change]

    @property
    def first_id(self) -> int:
        """The id of the book that it begins with."""
        return self.book.last_update_id

    def at(self, update_id: int) -> BookAt:
        """Return the book after the last change whose id is at most `update_id`."""
        bids, asks = dict(self.book.bids), dict(self.book.asks)
        last_id, time_ms = self.book.last_update_id, self.book.transaction_time_ms
        for change in self.changes:
            if change.update_id > update_id:
                break
            bids.update(change.bids)
            asks.update(change.asks)
            last_id, time_ms = change.update_id, change.transaction_time_ms
        return BookAt(last_id, time_ms, _levels(bids, best_last=True), _levels(asks))


def _levels(side: dict[int, int], *, best_last: bool = False) -> list[Level]:
    return sorted(((price, size) for price, size in side.items() if size), reverse=best_last)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Chunk).decode


class BookLog:
    """The changes of one book since it began, or since the last of them that was forgotten.

    Args:
        book: The book that it begins with.
    """

    def __init__(self, book: BookAt) -> None:
        self._packed: deque[_Packed] = deque()
        self._open = _Chunk(book, [])

    @property
    def oldest_id(self) -> int:
        """The id of the oldest book that can be made."""
        return (self._packed[0] if self._packed else self._open).first_id

    @property
    def last_id(self) -> int:
        """The id of the last change."""
        changes = self._open.changes
        return changes[-1].update_id if changes else self._open.first_id

    @property
    def is_full(self) -> bool:
        """Whether the open chunk has as many changes as it may have; `pack` begins another."""
        return len(self._open.changes) >= CHUNK_CHANGES

    @property
    def packed_count(self) -> int:
        """Chunks that can be forgotten."""
        return len(self._packed)

    def add(self, update: DepthUpdate) -> None:
        """Add the next change."""
        self._open.changes.append(
            Change(
                update.final_update_id,
                update.transaction_time_ms,
                update.bids,
                update.asks,
            )
        )

    def pack(self, book: BookAt) -> int:
        """Pack the open chunk, and begin another with `book`; return how many bytes that took."""
        packed = _Packed(self._open.first_id, isal_zlib.compress(_encode(self._open), FASTEST))
        self._packed.append(packed)
        self._open = _Chunk(book, [])
        return len(packed.data)

    def forget(self) -> int:
        """Forget the oldest packed chunk; return how many bytes that freed."""
        return len(self._packed.popleft().data)

    def at(self, update_id: int) -> BookAt:
        """Return the book after the last change whose id is at most `update_id`.

        Args:
            update_id: At least `oldest_id`.
        """
        if update_id >= self._open.first_id:
            return self._open.at(update_id)
        number = bisect_right(self._packed, update_id, key=attrgetter("first_id")) - 1
        return _decode(isal_zlib.decompress(self._packed[number].data)).at(update_id)
