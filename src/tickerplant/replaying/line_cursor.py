"""Recordings joined in time, of which the next lines are taken when they are due."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from tickerplant.recording.line import Line
from tickerplant.recording.merging import Batched, merge

_received: Callable[[Line], int] = itemgetter(0)


class LineCursor:
    """Lines of all recordings in order of time, up to a moment; where it is can be changed.

    Args:
        recordings: What is played.
        end_ns: The first moment that is not.
    """

    def __init__(self, recordings: Sequence[Batched], end_ns: int) -> None:
        self._recordings = recordings
        self._end_ns = end_ns
        self._runs: Iterator[tuple[int, list[Line]]] = iter(())
        self._index = 0
        self._lines: Sequence[Line] = ()
        self._start = 0

    @property
    def next_ns(self) -> int | None:
        """The time of the next line; None at the end.

        Only now the line is read, if it has to be: until then, `place_of_message` of a recording
        finds what was taken from it last.
        """
        if self._start == len(self._lines):
            self._look()
        return self._lines[self._start][0] if self._start < len(self._lines) else None

    def coming(self, most: int) -> tuple[int, Sequence[Line]]:
        """Return up to `most` of the next lines of one recording, with its index; none at the end."""
        if self.next_ns is None:
            return 0, ()
        return self._index, self._lines[self._start : self._start + most]

    def wind(self, start_ns: int) -> None:
        """Be before the first line whose time is `start_ns` or later.

        Raises:
            RecordingError: a recording cannot be opened, or is none.
        """
        for _ in self.winding(start_ns):
            pass

    def winding(self, start_ns: int) -> Iterator[None]:
        """Do what `wind` does, bit by bit: much may have to be read before the place is found.

        It is there when the iterator has ended; until then there is no next line.

        Raises:
            RecordingError: a recording cannot be opened, or is none.
        """
        runs = merge(self._recordings, start_ns, pauses=True)
        self._runs, self._lines, self._start = iter(()), (), 0
        for index, lines in runs:
            if lines:
                self._runs = runs
                self._hold(index, lines)
                return
            yield

    def close(self) -> None:
        """Close the files; only `wind` leads on from here."""
        self._runs, self._lines, self._start = iter(()), (), 0

    def take(self, until_ns: int, most: int) -> tuple[int, Sequence[Line]]:
        """Return the next lines of one recording, with its index.

        They are at least one, at most `most`, and of those after the first none is later than
        `until_ns`.  Not to be called at the end.
        """
        if self._start == len(self._lines):
            self._look()
        lines, start = self._lines, self._start
        end = min(start + most, len(lines))
        if lines[end - 1][0] > until_ns:
            end = bisect_right(lines, until_ns, lo=start + 1, hi=end, key=_received)
        taken = lines if end - start == len(lines) else lines[start:end]
        index = self._index
        self._start = end
        return index, taken

    def _look(self) -> None:
        """Read on."""
        for index, lines in self._runs:
            if lines:
                self._hold(index, lines)
                return
        self._lines, self._start = (), 0

    def _hold(self, index: int, lines: Sequence[Line]) -> None:
        """Have `lines` for the next ones, as far as they are played at all."""
        self._index, self._lines, self._start = index, lines, 0
        if self._lines and self._lines[-1][0] >= self._end_ns:
            self._lines = self._lines[: bisect_left(self._lines, self._end_ns, key=_received)]
            self._runs = iter(())  # all that follows is as late
