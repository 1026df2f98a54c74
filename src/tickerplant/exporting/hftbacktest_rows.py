"""What hftbacktest calls an event, and a file of them that waits to be put in order.

The values and the layout are those of `hftbacktest.types` 2.4.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickerplant.archive.tables import DECIMALS, DIGITS

DEPTH_EVENT = 1
TRADE_EVENT = 2
DEPTH_CLEAR_EVENT = 3
DEPTH_SNAPSHOT_EVENT = 4
INDEX_PRICE_EVENT = 100
MARK_PRICE_EVENT = 101
FUNDING_RATE_EVENT = 102
BEST_BID_EVENT = 103
BEST_ASK_EVENT = 104
SELL_EVENT = 1 << 28
BUY_EVENT = 1 << 29
LOCAL_EVENT = 1 << 30
EXCH_EVENT = 1 << 31

AGAIN = 1 << 32
"""Marks a row that only the local side hears, because it heard it too early; not of hftbacktest."""

Rows: TypeAlias = NDArray[Any]
Levels: TypeAlias = Iterable[tuple[float, float]]

EVENT = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
)
"""An event as hftbacktest reads it; times are nanoseconds since the epoch."""

ROW = np.dtype([(name, EVENT[name]) for name in ("ev", "exch_ts", "local_ts", "px", "qty")])
"""An event as it waits: without the fields that are always 0."""

SMALLEST = 10.0**-DECIMALS
LARGEST = 10.0 ** (DIGITS - DECIMALS)
"""A number that is not 0 and less than the one, or as much as the other, fits into no table."""

CHUNK_ROWS = 1 << 18
"""Rows that are handled at once, 10 MB of them while they wait."""


class Waiting:
    """The events of a symbol on a day, in the order in which they were received."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        """How many there are in the file, once all are written."""
        self.dropped = 0
        """How many were left out because a price or quantity is no number that fits a table."""
        self.held = 0
        """About how many are still in memory."""
        self._groups = array("q")
        self._numbers = array("d")

    def add(self, event: int, exch_ns: int, local_ns: int, levels: Levels) -> None:
        """Add one event per price and quantity."""
        before = len(self._numbers)
        self._numbers.extend(chain.from_iterable(levels))
        count = (len(self._numbers) - before) // 2
        self._groups.extend((event, exch_ns, local_ns, count))
        self.held += count

    def write(self) -> None:
        """Put what is in memory into the file.

        Raises:
            OSError: it cannot be written.
        """
        groups = np.frombuffer(self._groups, np.int64).reshape(-1, 4)
        numbers = np.frombuffer(self._numbers, np.float64).reshape(-1, 2)
        rows = np.empty(len(numbers), ROW)
        for column, name in enumerate(("ev", "exch_ts", "local_ts")):
            rows[name] = np.repeat(groups[:, column], groups[:, 3])
        rows["px"], rows["qty"] = numbers[:, 0], numbers[:, 1]
        sizes = np.abs(numbers)
        fit = ((sizes == 0) | (sizes >= SMALLEST) & (sizes < LARGEST)).all(axis=1)
        if not fit.all():
            rows = rows[fit]
            self.dropped += len(numbers) - len(rows)
        with self.path.open("ab") as file:
            file.write(rows.tobytes())
        self.rows += len(rows)
        self._groups, self._numbers, self.held = array("q"), array("d"), 0


def chunks(path: Path) -> Iterator[Rows]:
    """Yield the rows of a file, some at a time; they may be changed."""
    with path.open("rb") as file:
        while data := file.read(CHUNK_ROWS * ROW.itemsize):
            yield np.frombuffer(bytearray(data), ROW)
