"""Captures of cryptofeed: what one listening left in several files side by side, read as one.

    BINANCE_FUTURES.0            what was asked before: exchangeInfo, and the collector's settings
    BINANCE_FUTURES.http.0.0     what was asked over REST meanwhile: `depth`
    BINANCE_FUTURES.ws.1.0       what came over a connection

The first two are *companions* of the third: without them its books have nothing to begin with.
They are found by their names, plain or with `.gz` or `.zst`, beside a file whose lines have the
form with colons.  Of several files of connections, the first by its numbers has the companions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.recording.line import Damage, Line, Place, Report
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.merging import Batched, merge

_END = r"(?:\.gz|\.zst)?"
_HEARD = re.compile(rf"(?P<name>.+)\.ws\.(?P<connection>\d{{1,9}})\.(?P<part>\d{{1,9}}){_END}")
_ASKED = re.compile(rf"(?P<name>.+?)(?:\.http\.\d{{1,9}})?\.\d{{1,9}}{_END}")
MAX_COMPANIONS = 1_000
"""Companions of a capture that are read, by their names; a capture begins a new one when it is
renewed."""


class Capture:
    """A file of a connection and its companions, read as one in order of time.

    Args:
        path: The file of the connection.
        companions: The others.
        report: Takes what is damaged in any of them.
    """

    def __init__(
        self, path: str, companions: Sequence[str], report: Report = lambda _: None
    ) -> None:
        self.path = path
        self.companions = tuple(companions)
        self.lines = 0
        self._report = report
        self._files = [LineFile(each, report) for each in (*companions, path)]
        self._taken = [0] * len(self._files)
        """Lines of each file before the last batch."""
        self._index = 0
        self._batch_lines = 0

    @property
    def requested(self) -> frozenset[str]:
        """The streams that were asked for, as far as the file of the connection says."""
        return self._files[-1].requested

    @property
    def skipped(self) -> int:
        """Lines that had to be left out."""
        return sum(file.skipped for file in self._files)

    @property
    def size_bytes(self) -> int:
        """Size of all files as stored, once reading has begun."""
        return sum(file.size_bytes for file in self._files)

    @property
    def position_bytes(self) -> int:
        """How much of that has been read."""
        return sum(file.position_bytes for file in self._files)

    @property
    def text_bytes(self) -> int:
        """How much text has been read."""
        return sum(file.text_bytes for file in self._files)

    @property
    def late(self) -> int:
        """Lines whose receive time was earlier than that of one before them in their file."""
        return sum(file.late for file in self._files)

    @property
    def late_ns(self) -> int:
        """The most that such a time was earlier."""
        return max(file.late_ns for file in self._files)

    def place_of(self, number: int) -> Place:
        """Return where a line of the last batch stands.

        Args:
            number: Which it is of all lines that were read, from 0.
        """
        ahead = number - self.lines + self._batch_lines
        return self._files[self._index].place_of(self._taken[self._index] + ahead)

    def place_of_message(self, raw: bytes) -> Place:
        """Return where a message of the last batch stands."""
        return self._files[self._index].place_of_message(raw)

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines that were received at `start_ns` or later, in order of receive time.

        No batch is empty, but with `pauses` for each that is passed over.

        Raises:
            RecordingError: the file of the connection cannot be opened, or is no recording; what
                is wrong with a companion is reported, and it is left out.
        """
        self.lines = self._batch_lines = 0
        self._taken = [0] * len(self._files)
        *companions, heard = self._files
        views: list[Batched] = [*(_Companion(file, self._report) for file in companions), heard]
        for index, lines in merge(views):
            self._index, self._batch_lines = index, len(lines)
            self.lines += len(lines)
            if lines[0][0] >= start_ns:
                yield lines
            elif lines[-1][0] >= start_ns:
                yield [line for line in lines if line[0] >= start_ns]
            elif pauses:
                yield []
            self._taken[index] += len(lines)


def reading_text(path: str, companions: Iterable[str]) -> str:
    """Return in words with which companions a file is read."""
    return f"{path} is read with {', '.join(Path(each).name for each in companions)}"


class _Companion:
    """A companion, of which as much is read as can be."""

    def __init__(self, file: LineFile, report: Report) -> None:
        self._file = file
        self._report = report

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        try:
            yield from self._file.batches(start_ns, pauses=pauses)
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))


def companions_of(path: str) -> list[str]:
    """Return the companions of a file, by name; none if it is not the first of a capture.

    Raises:
        RecordingError: the file cannot be opened, or is no recording.
    """
    heard = _HEARD.fullmatch(Path(path).name)
    if heard is None:
        return []
    siblings = _siblings(Path(path).parent)
    connections = [match for each in siblings if (match := _HEARD.fullmatch(each))]
    rivals = (_order(each) for each in connections if each["name"] == heard["name"])
    if min(rivals, default=None) != _order(heard):
        return []
    requested = [each for each in siblings if _is_companion(each, heard["name"])]
    if not requested or not LineFile(path).has_colons():
        return []
    return [str(Path(path).with_name(each)) for each in requested[:MAX_COMPANIONS]]


def heard_in(folder: str) -> list[str]:
    """Return the files of connections in a folder that has companions of them; else none."""
    siblings = _siblings(Path(folder))
    heard = sorted(filter(None, map(_HEARD.fullmatch, siblings)), key=_order)
    names = {each["name"] for each in heard}
    if not any(_is_companion(each, name) for each in siblings for name in names):
        return []
    return [str(Path(folder, each[0])) for each in heard]


def _is_companion(file: str, name: str) -> bool:
    requested = _ASKED.fullmatch(file)
    return requested is not None and requested["name"] == name and _HEARD.fullmatch(file) is None


def _order(heard: re.Match[str]) -> tuple[str, int, int, str]:
    return heard["name"], int(heard["connection"]), int(heard["part"]), heard[0]


def _siblings(folder: Path) -> list[str]:
    """Return the names of the files in a folder, in order; none if it cannot be read."""
    try:
        return sorted(each.name for each in folder.iterdir() if each.is_file())
    except OSError:
        return []
