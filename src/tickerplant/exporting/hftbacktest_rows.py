"""The events of hftbacktest, and a file of them in the two orders in which it needs them.

Its exchange takes events by `exch_ts`, its trader by `local_ts`, and both read one array: an event
that has its place in both orders is one row with both flags, any other is two rows, one for each.

Events are received in the order of `local_ts`.  One has its place in both orders exactly if none
before it has a later `exch_ts`.  The others are *late*: their local row stays where it is, and their
exchange row belongs before the first event, of those with a place in both orders, whose `exch_ts` is
greater.  So only the late ones are sorted, outside of memory: in runs of a chunk each, which are
then merged block by block.  A day needs memory for some chunks and one block of each run, about a
byte for two events, however late they are.

Values and layout are those of `hftbacktest.types` 2.4.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, TypeAlias
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from tickerplant.archive.tables import DECIMALS, DIGITS
from tickerplant.regular_files import open_regular

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

REPEATED = 1 << 32
"""Our own flag of a row that is repeated to the local side only, after a snapshot."""

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
"""An event as it is buffered: without the fields that are always 0."""

SMALLEST = 10.0**-DECIMALS
LARGEST = 10.0 ** (DIGITS - DECIMALS)
"""A number fits into a table if it is 0, or at least the one and less than the other."""

CHUNK_ROWS = 1 << 18
"""Rows that are processed at once, 10 MB of them."""
BLOCK_ROWS = 1 << 12
"""Rows of a run of late events that are in memory at once."""
DEFLATE_LEVEL = 3
"""Compression level; numpy's 6 saves an eighth of the size but takes twice the time."""

_LATEST_NS = int(np.iinfo(np.int64).max)
_EARLIEST_NS = int(np.iinfo(np.int64).min)


class EventFile:
    """A file of the events of a symbol on a day, in the order in which they were received."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        """Rows in the file, once all are written."""
        self.dropped = 0
        """Rows that were skipped because a price or quantity does not fit into a table."""
        self.buffered = 0
        """About the rows that are still in memory."""
        self._groups = array("q")
        self._numbers = array("d")

    def add(self, event: int, exch_ns: int, local_ns: int, levels: Levels) -> None:
        """Add one event per price and quantity."""
        before = len(self._numbers)
        self._numbers.extend(chain.from_iterable(levels))
        count = (len(self._numbers) - before) // 2
        self._groups.extend((event, exch_ns, local_ns, count))
        self.buffered += count

    def write(self) -> None:
        """Append the rows in memory to the file.

        Raises:
            OSError: It cannot be written.
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
        self._groups, self._numbers, self.buffered = array("q"), array("d"), 0


def chunks(path: Path) -> Iterator[Rows]:
    """Yield the rows of a file in chunks, which the caller may change."""
    with path.open("rb") as file:
        while data := file.read(CHUNK_ROWS * ROW.itemsize):
            yield np.frombuffer(bytearray(data), ROW)


# In both orders


class Written(NamedTuple):
    """What was written into a file."""

    rows: int
    shift_ns: int
    """By how much local times are later than recorded."""
    early_rows: int
    """Rows that were received before their exchange time."""


def write_in_order(source: Path, target: Path, base_latency_ns: int, comment: bytes) -> Written:
    """Write the events in the file `source`, in both orders, into the `.npz` file `target`.

    If any was received before its exchange time, the recorder's clock was behind: all local times
    are then shifted by the largest such difference, plus `base_latency_ns`.

    Raises:
        OSError: A file cannot be read or written.
    """
    late_path = source.with_suffix(".late")
    runs, rows, latency_ns, early_rows = _separate_late(source, late_path)
    shift_ns = base_latency_ns - latency_ns if latency_ns < 0 else 0
    with late_path.open("rb") as file, npz_rows(target, "data", EVENT, rows, comment) as written:
        late = LateRows(file, runs)
        highest_ns = _EARLIEST_NS
        for chunk in chunks(source):
            is_late, highest_ns = _late(chunk, highest_ns)
            for piece in _interleaved(chunk, is_late, late):
                written.write(_events(piece, shift_ns).tobytes())
    late_path.unlink()
    return Written(rows, shift_ns, early_rows)


class Run:
    """A sorted run of late rows in a file."""

    def __init__(self, first_ns: int, start: int, end: int) -> None:
        self.first_ns = first_ns
        """Exchange time of its next row; later than any if there is none."""
        self.next = start
        """The index of the first row that is not in memory yet."""
        self.end = end
        self.block = np.empty(0, ROW)

    def load(self, file: BinaryIO) -> None:
        """Load the next rows if none are in memory."""
        if not len(self.block) and self.next < self.end:
            count = min(BLOCK_ROWS, self.end - self.next)
            file.seek(self.next * ROW.itemsize)
            self.block = np.frombuffer(file.read(count * ROW.itemsize), ROW)
            self.next += count
        self.first_ns = int(self.block["exch_ts"][0]) if len(self.block) else _LATEST_NS

    def take(self, until_ns: int) -> Rows:
        """Remove and return the rows in memory before `until_ns`."""
        count = int(np.searchsorted(self.block["exch_ts"], until_ns))
        taken, self.block = self.block[:count], self.block[count:]
        return taken


class LateRows:
    """All late rows, in the order of their exchange times."""

    def __init__(self, file: BinaryIO, runs: list[Run]) -> None:
        self._file = file
        self._runs = runs

    def before(self, limit_ns: int) -> Iterator[Rows]:
        """Yield the next rows before `limit_ns`, in blocks."""
        while runs := [run for run in self._runs if run.first_ns < limit_ns]:
            for run in runs:
                run.load(self._file)
            until_ns = limit_ns
            for run in runs:
                if run.next < run.end:
                    until_ns = min(until_ns, int(run.block["exch_ts"][-1]))
            yield from self._take(runs, until_ns)

    def _take(self, runs: list[Run], until_ns: int) -> Iterator[Rows]:
        """Yield the rows before `until_ns`, or if there are none, those at it, run by run."""
        taken = np.concatenate([run.take(until_ns) for run in runs])
        if len(taken):
            yield taken[np.argsort(taken["exch_ts"], kind="stable")]
            for run in runs:
                run.load(self._file)
            return
        for run in runs:
            while run.first_ns == until_ns:
                yield run.take(until_ns + 1)
                run.load(self._file)


def _separate_late(source: Path, late_path: Path) -> tuple[list[Run], int, int, int]:
    """Write the late rows into their own file.

    Returns:
        Its runs, the number of rows of the final file, the smallest latency in ns, and the number of
        rows with a negative one.
    """
    runs: list[Run] = []
    rows = late_rows = early_rows = 0
    highest_ns, latency_ns = _EARLIEST_NS, _LATEST_NS
    with late_path.open("wb") as file:
        for chunk in chunks(source):
            is_late, highest_ns = _late(chunk, highest_ns)
            latencies_ns = chunk["local_ts"] - chunk["exch_ts"]
            latency_ns = min(latency_ns, int(latencies_ns.min()))
            early_rows += int((latencies_ns < 0).sum())
            late = chunk[is_late & ~_is_repeated(chunk)]
            rows += len(chunk) + len(late)
            if len(late):
                late = late[np.argsort(late["exch_ts"], kind="stable")]
                file.write(late.tobytes())
                end = late_rows + len(late)
                runs.append(Run(int(late["exch_ts"][0]), late_rows, end))
                late_rows = end
    return runs, rows, latency_ns, early_rows


def _is_repeated(rows: Rows) -> NDArray[np.bool_]:
    repeated: NDArray[np.bool_] = (rows["ev"] & np.uint64(REPEATED)) != 0
    return repeated


def _late(rows: Rows, highest_ns: int) -> tuple[NDArray[np.bool_], int]:
    """Return which rows are late, and the highest exchange time including `highest_ns`."""
    repeated = _is_repeated(rows)
    exch = np.where(repeated, _EARLIEST_NS, rows["exch_ts"])
    highest = np.maximum(np.maximum.accumulate(exch), highest_ns)
    return (exch < highest) | repeated, int(highest[-1])


def _interleaved(rows: Rows, is_late: NDArray[np.bool_], late: LateRows) -> Iterator[Rows]:
    """Yield `rows` with their flags, and the exchange rows of late events where they belong."""
    in_both = np.flatnonzero(~is_late)
    rows["ev"] |= np.where(is_late, LOCAL_EVENT, LOCAL_EVENT | EXCH_EVENT).astype(np.uint64)
    done = 0
    if len(in_both):
        times = rows["exch_ts"][in_both]
        for block in late.before(int(times[-1])):
            block = block.copy()  # noqa: PLW2901  # a block is read-only
            block["ev"] |= np.uint64(EXCH_EVENT)
            at = in_both[np.searchsorted(times, block["exch_ts"], side="right")]
            yield np.insert(rows[done : at[-1]], at - done, block)
            done = int(at[-1])
    yield rows[done:]


def _events(rows: Rows, shift_ns: int) -> Rows:
    """Return rows in the layout of hftbacktest."""
    events = np.zeros(len(rows), EVENT)
    events["ev"] = rows["ev"] & np.uint64(REPEATED - 1)
    events["exch_ts"] = rows["exch_ts"]
    events["local_ts"] = rows["local_ts"] + shift_ns
    events["px"], events["qty"] = rows["px"], rows["qty"]
    return events


# In an `.npz` file


@contextmanager
def npz_rows(
    path: Path, name: str, dtype: np.dtype[Any], rows: int, comment: bytes
) -> Iterator[IO[bytes]]:
    """Yield a file to which exactly `rows` rows of the array `name` are written as bytes.

    `comment_of` returns the `comment`.

    Raises:
        OSError: It cannot be written.
    """
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive:
        archive.comment = comment
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (rows,),
            }
            np.lib.format.write_array_header_1_0(member, header)
            yield member


def comment_of(path: Path) -> bytes:
    """Return the comment of a file; empty if there is no complete file."""
    try:
        with open_regular(path) as file, ZipFile(file) as archive:
            return archive.comment
    except (OSError, BadZipFile):
        return b""
