"""Rows of plain numbers, packed, of which the oldest are forgotten."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.void]
"""Records with named fields, oldest first."""

CHUNK_ROWS = 256
"""Rows that are taken into use, and forgotten, at once."""


class Ring:
    """The last rows of one kind; memory is taken as it fills.

    Who appends packs a row into `chunk` at the byte `at` and moves `at` on; when `at` has reached
    `chunk_bytes`, `turn` comes first.

    Args:
        dtype: The fields of a row, packed.
        kept: Rows that are kept at least, once there are so many.
    """

    def __init__(self, dtype: np.dtype[np.void], kept: int) -> None:
        self._dtype = dtype
        self._most = -(-kept // CHUNK_ROWS) + 1
        self._full: list[bytearray] = []
        self.chunk_bytes = CHUNK_ROWS * dtype.itemsize
        self.chunk = bytearray()
        self.at = self.chunk_bytes
        """Where the next row goes in `chunk`: full, so that the first row makes the first chunk."""
        self.forgot = False
        """Whether rows have been forgotten."""

    def __len__(self) -> int:
        begun = self.at // self._dtype.itemsize if self.chunk else 0
        return len(self._full) * CHUNK_ROWS + begun

    def turn(self) -> int:
        """Begin another chunk and forget the oldest if there are too many; return 0."""
        if self.chunk:
            self._full.append(self.chunk)
            if len(self._full) >= self._most:
                del self._full[0]
                self.forgot = True
        self.chunk = bytearray(self.chunk_bytes)
        self.at = 0
        return 0

    def rows(self, first: int, stop: int) -> Rows:
        """Return the rows from `first` up to `stop`, counted from the oldest kept: a copy."""
        first, stop = max(first, 0), min(stop, len(self))
        if first >= stop:
            return np.empty(0, self._dtype)
        low, high = first // CHUNK_ROWS, -(-stop // CHUNK_ROWS)
        rows: Rows = np.frombuffer(b"".join(map(self._chunk, range(low, high))), self._dtype)
        return rows[first - low * CHUNK_ROWS : stop - low * CHUNK_ROWS]

    def search(self, field: str, value: int, *, after: bool = False) -> int:
        """Return how many rows have a lower `field` (`after`: not a higher one) than `value`.

        The field never falls from one row to the next.
        """
        side = bisect_right if after else bisect_left
        count = -(-len(self) // CHUNK_ROWS)
        low = max(side(range(count), value, key=lambda n: self._first(n, field)) - 1, 0)
        chunk = self.rows(low * CHUNK_ROWS, (low + 1) * CHUNK_ROWS)
        return low * CHUNK_ROWS + int(
            np.searchsorted(chunk[field], value, side="right" if after else "left")
        )

    def _chunk(self, number: int) -> bytearray:
        return self._full[number] if number < len(self._full) else self.chunk

    def _first(self, number: int, field: str) -> int:
        return int(np.frombuffer(self._chunk(number), self._dtype, 1)[field][0])
