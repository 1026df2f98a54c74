"""A position in recordings that are merged by time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from tickerplant.recording.line import Batched, Line, merge

_received_ns: Callable[[Line], int] = itemgetter(0)


class LineCursor:
    """Takes the lines of all recordings in order of time, up to an end; its position can be changed."""

    def __init__(self, recordings: Sequence[Batched], end_ns: int) -> None:
        self._recordings = recordings
        self._end_ns = end_ns
        self._runs: Iterator[tuple[int, list[Line]]] = iter(())
        self._index = 0
        """Which recording `_lines` belong to."""
        self._lines: Sequence[Line] = ()
        self._start = 0

    @property
    def next_ns(self) -> int | None:
        """The time of the next line; None at the end.

        Reading the property may read the next batch.  Until then `place_of` of a recording
        finds the lines that were taken last.
        """
        if self._start == len(self._lines):
            self._read_run()
        return self._lines[self._start][0] if self._start < len(self._lines) else None

    def peek(self, max_lines: int) -> tuple[int, Sequence[Line]]:
        """Return up to `max_lines` of the next lines of one recording, and its index; none at the end."""
        if self.next_ns is None:
            return 0, ()
        return self._index, self._lines[self._start : self._start + max_lines]

    def seek(self, start_ns: int) -> None:
        """Move before the first line whose time is `start_ns` or later."""
        for _ in self.seek_in_steps(start_ns):
            pass

    def seek_in_steps(self, start_ns: int) -> Iterator[None]:
        """Do what `seek` does, in steps, because much may have to be read.

        The position is reached when the iterator ends; until then there is no next line.
        """
        runs = merge(self._recordings, start_ns, pauses=True)
        self.close()
        for index, lines in runs:
            if lines:
                self._runs = runs
                self._set_run(index, lines)
                return
            yield

    def close(self) -> None:
        """Close the files; there is no next line until `seek`."""
        self._runs, self._lines, self._start = iter(()), (), 0

    def take(self, until_ns: int, max_lines: int) -> tuple[int, Sequence[Line]]:
        """Return the next lines of one recording, and its index.

        There is at least one line and at most `max_lines`; all but the first are not later than
        `until_ns`.  The cursor must not be at the end.
        """
        if self._start == len(self._lines):
            self._read_run()
        lines, start = self._lines, self._start
        end = min(start + max_lines, len(lines))
        if lines[end - 1][0] > until_ns:
            end = bisect_right(lines, until_ns, lo=start + 1, hi=end, key=_received_ns)
        taken = lines if end - start == len(lines) else lines[start:end]
        index = self._index
        self._start = end
        return index, taken

    def _read_run(self) -> None:
        for index, lines in self._runs:
            if lines:
                self._set_run(index, lines)
                return
        self._lines, self._start = (), 0

    def _set_run(self, index: int, lines: Sequence[Line]) -> None:
        """Make `lines` the next ones, up to the end of the cursor."""
        self._index, self._lines, self._start = index, lines, 0
        if lines[-1][0] >= self._end_ns:
            self._lines = lines[: bisect_left(lines, self._end_ns, key=_received_ns)]
            self._runs = iter(())  # all following lines are as late
