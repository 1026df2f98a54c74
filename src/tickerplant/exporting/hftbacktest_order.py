"""Events in the two orders in which hftbacktest needs them.

Its exchange takes events by `exch_ts`, its trader by `local_ts`, and both read one array: an event
that has its place in both orders is one row with both flags, any other is two rows, one for each.

Events come in the order of `local_ts`.  One has its place in both orders exactly when none before
it has a later `exch_ts`.  The others are *late*: their local row stays where it is, and their
exchange row belongs before the first event, of those with a place in both orders, whose `exch_ts`
is greater.  So only the late ones are sorted, and these outside of memory: in runs of a chunk each,
which are then merged block by block.  A day needs memory for some chunks and a block of each run,
which is about a byte for two events, however late they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tickerplant.exporting.hftbacktest_rows import (
    AGAIN,
    EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    ROW,
    Rows,
    chunks,
)
from tickerplant.exporting.npz import npz_rows

BLOCK_ROWS = 1 << 12
"""Rows of a run of late events that are in memory at once."""

_NEVER_NS = int(np.iinfo(np.int64).max)
_EVER_NS = int(np.iinfo(np.int64).min)


def write_in_order(waiting: Path, target: Path, base_latency_ns: int, comment: bytes) -> int:
    """Write the events of `waiting`, in both orders, into the `.npz` file `target`.

    If any was received before the exchange's own time of it, the recorder's clock was behind: all
    local times are then moved by as much as the worst needs, plus `base_latency_ns`.

    Returns:
        How many rows were written.

    Raises:
        OSError: it cannot be read or written.
    """
    late_path = waiting.with_suffix(".late")
    runs, rows, latency_ns = _set_late_apart(waiting, late_path)
    shift_ns = base_latency_ns - latency_ns if latency_ns < 0 else 0
    with late_path.open("rb") as file, npz_rows(target, "data", EVENT, rows, comment) as written:
        late = LateRows(file, runs)
        highest_ns = _EVER_NS
        for chunk in chunks(waiting):
            is_late, highest_ns = _late(chunk, highest_ns)
            for piece in _interleaved(chunk, is_late, late):
                written.write(_events(piece, shift_ns).tobytes())
    late_path.unlink()
    return rows


class Run:
    """Late rows that are sorted among themselves, in a file."""

    def __init__(self, first_ns: int, start: int, end: int) -> None:
        self.first_ns = first_ns
        """Exchange time of its next row; later than any when there is none."""
        self.next = start
        """The row of the file after those that are in memory."""
        self.end = end
        self.block = np.empty(0, ROW)

    def load(self, file: BinaryIO) -> None:
        """Have the next rows in memory, if there are any."""
        if not len(self.block) and self.next < self.end:
            count = min(BLOCK_ROWS, self.end - self.next)
            file.seek(self.next * ROW.itemsize)
            self.block = np.frombuffer(file.read(count * ROW.itemsize), ROW)
            self.next += count
        self.first_ns = int(self.block["exch_ts"][0]) if len(self.block) else _NEVER_NS

    def take(self, until_ns: int) -> Rows:
        """Return, and forget, the rows in memory that are before `until_ns`."""
        count = int(np.searchsorted(self.block["exch_ts"], until_ns))
        taken, self.block = self.block[:count], self.block[count:]
        return taken


class LateRows:
    """All late rows, in the order of the exchange."""

    def __init__(self, file: BinaryIO, runs: list[Run]) -> None:
        self._file = file
        self._runs = runs

    def before(self, limit_ns: int) -> Iterator[Rows]:
        """Yield those of before `limit_ns` that were not yielded yet, some at a time."""
        while runs := [run for run in self._runs if run.first_ns < limit_ns]:
            for run in runs:
                run.load(self._file)
            until_ns = limit_ns
            for run in runs:
                if run.next < run.end:
                    until_ns = min(until_ns, int(run.block["exch_ts"][-1]))
            yield from self._take(runs, until_ns)

    def _take(self, runs: list[Run], until_ns: int) -> Iterator[Rows]:
        """Yield the rows before `until_ns`, and if there are none, those at it, run by run."""
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


def _set_late_apart(waiting: Path, late_path: Path) -> tuple[list[Run], int, int]:
    """Write the late rows into a file of their own; return its runs, all rows, and the latency.

    The rows are those to be written in the end, and the latency is the least there is.
    """
    runs: list[Run] = []
    rows = late_rows = 0
    highest_ns, latency_ns = _EVER_NS, _NEVER_NS
    with late_path.open("wb") as file:
        for chunk in chunks(waiting):
            is_late, highest_ns = _late(chunk, highest_ns)
            latency_ns = min(latency_ns, int((chunk["local_ts"] - chunk["exch_ts"]).min()))
            late = chunk[is_late & ~_again(chunk)]
            rows += len(chunk) + len(late)
            if len(late):
                late = late[np.argsort(late["exch_ts"], kind="stable")]
                file.write(late.tobytes())
                end = late_rows + len(late)
                runs.append(Run(int(late["exch_ts"][0]), late_rows, end))
                late_rows = end
    return runs, rows, latency_ns


def _again(rows: Rows) -> NDArray[np.bool_]:
    again: NDArray[np.bool_] = (rows["ev"] & np.uint64(AGAIN)) != 0
    return again


def _late(rows: Rows, highest_ns: int) -> tuple[NDArray[np.bool_], int]:
    """Return which rows are late, and the latest exchange time so far, `highest_ns` before."""
    again = _again(rows)
    exch = np.where(again, _EVER_NS, rows["exch_ts"])
    highest = np.maximum(np.maximum.accumulate(exch), highest_ns)
    return (exch < highest) | again, int(highest[-1])


def _interleaved(rows: Rows, is_late: NDArray[np.bool_], late: LateRows) -> Iterator[Rows]:
    """Yield `rows` with flags, and the exchange rows of late ones before those they belong before."""
    in_both = np.flatnonzero(~is_late)
    rows["ev"] |= np.where(is_late, LOCAL_EVENT, LOCAL_EVENT | EXCH_EVENT).astype(np.uint64)
    done = 0
    if len(in_both):
        times = rows["exch_ts"][in_both]
        for block in late.before(int(times[-1])):
            block = block.copy()  # noqa: PLW2901  # what was read is not to be written to
            block["ev"] |= np.uint64(EXCH_EVENT)
            at = in_both[np.searchsorted(times, block["exch_ts"], side="right")]
            yield np.insert(rows[done : at[-1]], at - done, block)
            done = int(at[-1])
    yield rows[done:]


def _events(rows: Rows, shift_ns: int) -> Rows:
    """Return rows as hftbacktest reads them."""
    events = np.zeros(len(rows), EVENT)
    events["ev"] = rows["ev"] & np.uint64(AGAIN - 1)
    events["exch_ts"] = rows["exch_ts"]
    events["local_ts"] = rows["local_ts"] + shift_ns
    events["px"], events["qty"] = rows["px"], rows["qty"]
    return events
