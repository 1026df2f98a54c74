"""Rows that wait to become a row group of a Parquet file, by the file they go to.

A row group costs a millisecond and some kilobytes, whether it has ten rows or ten thousand.  Of a
thousand symbols few rows come to each at a time; as columns they wait in little memory for more.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pyarrow as pa

from tickerplant.archive.tables import Table

FULL_ROWS = 1 << 16
"""Rows of a row group when it is full."""
MAX_BYTES = 1 << 27
"""Memory of what waits for all files together.  Then the files for which most waits are written,
until half is left."""
COLUMN_BYTES = 1 << 9
"""About what a column of a batch takes beside its values."""


class RowGroup:
    """The rows that wait for one file."""

    __slots__ = ("batches", "place", "rows", "size_bytes", "table")

    def __init__(self, table: Table, place: str) -> None:
        self.table = table
        self.place = place
        self.batches: list[Any] = []
        self.rows = 0
        self.size_bytes = 0

    def joined(self) -> Any:
        """Return the rows as one Arrow table."""
        return pa.Table.from_batches(self.batches).unify_dictionaries().combine_chunks()


class RowGroups:
    """Keeps rows until they are many for their file, or `MAX_BYTES` for all files.

    Args:
        write: Writes a row group.
    """

    def __init__(self, write: Callable[[RowGroup], object]) -> None:
        self._write = write
        self._waiting: dict[str, RowGroup] = {}
        """By place."""
        self._size_bytes = 0

    def add(self, table: Table, place: str, batch: Any) -> None:
        """Let rows wait.

        Raises:
            OSError: what waits cannot be written.
        """
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = RowGroup(table, place)
        size_bytes = batch.nbytes + batch.num_columns * COLUMN_BYTES
        waiting.batches.append(batch)
        waiting.rows += batch.num_rows
        waiting.size_bytes += size_bytes
        self._size_bytes += size_bytes
        if waiting.rows >= FULL_ROWS:
            self._flush(waiting)
        if self._size_bytes >= MAX_BYTES:
            for largest in sorted(self._waiting.values(), key=_size_bytes_of, reverse=True):
                if self._size_bytes <= MAX_BYTES // 2:
                    break
                self._flush(largest)

    def flush(self) -> None:
        """Write all that waits.

        Raises:
            OSError: it cannot be written.
        """
        for waiting in list(self._waiting.values()):
            self._flush(waiting)

    def forget(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._size_bytes = 0

    def _flush(self, waiting: RowGroup) -> None:
        del self._waiting[waiting.place]
        self._size_bytes -= waiting.size_bytes
        self._write(waiting)


_size_bytes_of = attrgetter("size_bytes")
