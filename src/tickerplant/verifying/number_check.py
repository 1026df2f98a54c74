"""Checks that tables can hold the numbers in a recording."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter

from tickerplant.archive.validation import (
    RejectedMessage,
    rejected_in,
    unfiltered_reader,
)
from tickerplant.recording.line import Batched, Line

try:
    from tickerplant.archive.number_arrays import suspect_messages
except ModuleNotFoundError:  # without the libraries of tables, several times slower
    from tickerplant.archive.validation import suspect_messages

CHECKED_BYTES = 1 << 20
"""Size of a batch of messages that are checked together: each check has a fixed cost."""

_FIRST = itemgetter(0)


class NumberCheck:
    """Checks the numbers of messages, in batches."""

    def __init__(self, refuse: Callable[[int, Line, RejectedMessage], object]) -> None:
        self._refuse = refuse
        self._lanes = unfiltered_reader()
        self._raws: list[bytes] = []
        self._origins: list[tuple[int, int, int]] = []
        """Index of the first message of each batch, its recording, and its receive time."""
        self._waiting_bytes = 0

    def of(self, index: int, recording: Batched) -> Batched:
        """Return a recording whose lines are checked as they are read."""
        return _Checked(partial(self._add, index), recording)

    def _add(self, index: int, lines: Sequence[Line]) -> None:
        """Add some lines of a recording."""
        raws = [raw for _, raw in lines]
        self._origins.append((len(self._raws), index, lines[0][0]))
        self._raws += raws
        self._waiting_bytes += sum(map(len, raws))
        if self._waiting_bytes >= CHECKED_BYTES:
            self.finish()

    def finish(self) -> None:
        """Check everything that was added."""
        for at in suspect_messages(self._raws):
            _, index, from_ns = self._origins[bisect_right(self._origins, at, key=_FIRST) - 1]
            line = from_ns, self._raws[at]
            refused = rejected_in(line, self._lanes)
            if refused is not None:
                self._refuse(index, line, refused)
        self._raws.clear()
        self._origins.clear()
        self._waiting_bytes = 0


class _Checked:
    """A recording that adds each batch to the check when the next one is requested.

    By then the walk has seen all lines of the batch and knows their streams.
    """

    def __init__(self, add: Callable[[list[Line]], object], recording: Batched) -> None:
        self._add = add
        self._recording = recording

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines of the recording."""
        for lines in self._recording.batches(start_ns, pauses=pauses):
            yield lines
            if lines:
                self._add(lines)
