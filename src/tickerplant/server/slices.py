"""Responses of many rows, written in slices: between two of them the loop does everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgspec

SLICE_NS = 500_000
"""How long rows are written at once."""
ROWS_AT_ONCE = 16
"""Most rows between two looks at the clock."""

_encode = msgspec.json.Encoder().encode


class Slices:
    """A response that is being written."""

    def __init__(
        self, rows: Iterator[object], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._rows = rows
        self._clock = clock
        self._texts: list[bytes] = []

    def proceed(self) -> bytes | None:
        """Write rows for one slice; return the response as JSON once all are written."""
        until_ns = self._clock() + SLICE_NS
        batch: list[object] = []
        for row in self._rows:
            if row is not None:
                batch.append(row)
                if len(batch) < ROWS_AT_ONCE:
                    continue
            self._write(batch)
            if self._clock() >= until_ns:
                return None
        self._write(batch)
        return b"[%b]" % b",".join(self._texts)

    def _write(self, batch: list[object]) -> None:
        """Write rows, and empty the list of them."""
        if batch:
            self._texts.append(_encode(batch)[1:-1])
            batch.clear()
