"""Events as rows of plain numbers, of which the oldest are forgotten."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import chain
from struct import pack, unpack_from
from typing import Any, TypeAlias

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.void]
"""Records with named fields, oldest first."""

CHUNK_ROWS = 128
"""Events that are packed together, and forgotten together."""
_INTEGER_BYTES = 8


class Ring:
    """The last events of one kind; memory is taken as it fills.

    Events wait in `fresh` until `CHUNK_ROWS` of them are packed at once, column by column: to
    append costs little, and a packed event takes a fifth of the memory.

    Args:
        kind: The events, with attributes that are integers of 64 bits, truth values, or left out.
        dtype: Which attributes are kept, integers first.
        kept: Events that are kept at least, once there are so many.
    """

    def __init__(self, kind: type[Struct], dtype: np.dtype[np.void], kept: int) -> None:
        self.fresh: list[Any] = []
        """The last events, not packed yet; who appends the last that fits calls `turn`."""
        self.forgot = False
        """Whether events have been forgotten."""
        self._dtype = dtype
        self._most = -(-kept // CHUNK_ROWS)
        self._full: list[bytes] = []
        names = dtype.names or ()
        places = [kind.__struct_fields__.index(name) for name in names]
        flags = sum(dtype[name] == np.dtype("?") for name in names)
        self._integers = places[: len(names) - flags]
        self._flags = places[len(names) - flags :]

    def __len__(self) -> int:
        return len(self._full) * CHUNK_ROWS + len(self.fresh)

    def turn(self) -> None:
        """Pack `fresh`, which is full, and forget the oldest chunk if there are too many."""
        self._full.append(self._pack())
        self.fresh.clear()
        if len(self._full) > self._most:
            del self._full[0]
            self.forgot = True

    def _pack(self) -> bytes:
        columns = tuple(zip(*map(astuple, self.fresh), strict=True))
        integers = [columns[place] for place in self._integers]
        packed = pack(f"<{len(integers) * len(self.fresh)}q", *chain.from_iterable(integers))
        return packed + b"".join([bytes(columns[place]) for place in self._flags])

    def _unpack(self, chunk: bytes) -> Rows:
        count = len(chunk) // self._dtype.itemsize
        rows = np.empty(count, self._dtype)
        for number, name in enumerate(self._dtype.names or ()):
            if number < len(self._integers):
                rows[name] = np.frombuffer(chunk, "<i8", count, number * count * _INTEGER_BYTES)
            else:
                at = len(self._integers) * (_INTEGER_BYTES - 1) + number
                rows[name] = np.frombuffer(chunk, "?", count, at * count)
        return rows

    def rows(self, first: int, stop: int) -> Rows:
        """Return the rows from `first` up to `stop`, counted from the oldest kept: a copy."""
        first, stop = max(first, 0), min(stop, len(self))
        if first >= stop:
            return np.empty(0, self._dtype)
        low, high = first // CHUNK_ROWS, -(-stop // CHUNK_ROWS)
        rows: Rows = np.concatenate([self._unpack(self._chunk(n)) for n in range(low, high)])
        return rows[first - low * CHUNK_ROWS : stop - low * CHUNK_ROWS]

    def search(self, field: str, value: int, *, after: bool = False) -> int:
        """Return how many rows have a lower `field` (`after`: not a higher one) than `value`.

        The field, an integer, never falls from one row to the next.
        """
        side: Callable[..., int] = bisect_right if after else bisect_left
        count = -(-len(self) // CHUNK_ROWS)
        low = max(side(range(count), value, key=lambda n: self._first(n, field)) - 1, 0)
        chunk = self.rows(low * CHUNK_ROWS, (low + 1) * CHUNK_ROWS)
        return low * CHUNK_ROWS + int(
            np.searchsorted(chunk[field], value, side="right" if after else "left")
        )

    def _chunk(self, number: int) -> bytes:
        return self._full[number] if number < len(self._full) else self._pack()

    def _first(self, number: int, field: str) -> int:
        if number == len(self._full):
            return int(getattr(self.fresh[0], field))
        column = (self._dtype.names or ()).index(field)
        first: int
        (first,) = unpack_from("<q", self._full[number], column * CHUNK_ROWS * _INTEGER_BYTES)
        return first
