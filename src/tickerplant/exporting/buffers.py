"""Items that are buffered until they are written, by the file they go to."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Generic, TypeVar

from msgspec import Struct

from tickerplant.archive.tables import Table

T = TypeVar("T")


class Limits(Struct, frozen=True):
    """How much an export buffers."""

    file_rows: int = 1 << 16
    """Rows buffered as messages for one file before they are converted."""
    total_rows: int = 1 << 18
    """Rows buffered as messages for all files together."""
    group_rows: int = 1 << 16
    """Rows of a full Parquet row group."""
    group_bytes: int = 1 << 27
    """Memory of all incomplete row groups together."""
    open_files: int = 128
    """Parquet files that are open at a time; beyond it the one written to least recently is closed,
    and its next rows begin another part."""


LIMITS = Limits()


class Buffer(Generic[T]):
    """The items that are buffered for one file."""

    __slots__ = ("items", "place", "rows", "size", "table")

    def __init__(self, table: Table, place: str) -> None:
        self.table = table
        self.place = place
        self.items: list[T] = []
        self.rows = 0
        self.size = 0

    def clear(self) -> None:
        """Remove all items."""
        self.items.clear()
        self.rows = self.size = 0


class Buffers(Generic[T]):
    """Buffers items until one file has enough rows, or all files together are too large.

    In the latter case the largest buffers are written until the total is halved.

    Args:
        write: Writes a buffer, which is cleared afterwards.
        full_rows: Rows at which the buffer of a file is written.
        max_size: The total size, in the unit of `add`, at which the largest buffers are written.
    """

    def __init__(self, write: Callable[[Buffer[T]], object], full_rows: int, max_size: int) -> None:
        self._write = write
        self._full_rows = full_rows
        self._max_size = max_size
        self._buffers: dict[str, Buffer[T]] = {}
        self._size = 0

    def of(self, table: Table, place: str) -> Buffer[T]:
        """Return the buffer of a file."""
        found = self._buffers.get(place)
        if found is None:
            found = self._buffers[place] = Buffer(table, place)
        return found

    def add(self, buffer: Buffer[T], item: T, rows: int, size: int) -> None:
        """Add an item to a buffer.

        Raises:
            OSError: A buffer cannot be written.
        """
        buffer.items.append(item)
        buffer.rows += rows
        buffer.size += size
        self._size += size
        if buffer.rows >= self._full_rows:
            self._flush(buffer)
        if self._size >= self._max_size:
            for largest in sorted(self._buffers.values(), key=_SIZE, reverse=True):
                if self._size <= self._max_size // 2:
                    break
                self._flush(largest)

    def flush(self) -> None:
        """Write all buffers.

        Raises:
            OSError: One cannot be written.
        """
        for buffer in self._buffers.values():
            if buffer.items:
                self._flush(buffer)
        self._buffers.clear()

    def clear(self) -> None:
        """Remove all buffers without writing them."""
        self._buffers.clear()
        self._size = 0

    def _flush(self, buffer: Buffer[T]) -> None:
        self._size -= buffer.size
        self._write(buffer)
        buffer.clear()


_SIZE = attrgetter("size")
