"""Captures of cryptofeed: the files of one collector side by side, read as one recording.

    BINANCE_FUTURES.0            requests before the start: exchangeInfo, and collector settings
    BINANCE_FUTURES.http.0.0     REST requests while it ran: `depth`
    BINANCE_FUTURES.ws.1.0       messages of a connection

The first two are *companions* of the third, without which its books have no snapshot to begin with.
They are found by name, plain or with `.gz` or `.zst`, beside a file whose lines have the form with
colons.  If there are several connection files, the first by its numbers has the companions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.recording.line import (
    Batched,
    Damage,
    Line,
    Place,
    ReadStats,
    Report,
    merge,
    total_stats,
)
from tickerplant.recording.line_file import LineFile

_END = r"(?:\.gz|\.zst)?"
_CONNECTION = re.compile(rf"(?P<name>.+)\.ws\.(?P<connection>\d{{1,9}})\.(?P<part>\d{{1,9}}){_END}")
_REQUESTS = re.compile(rf"(?P<name>.+?)(?:\.http\.\d{{1,9}})?\.\d{{1,9}}{_END}")
MAX_COMPANIONS = 1_000
"""Companions that are read, in order of name; a capture adds one each time it is renewed."""


class Capture:
    """A connection file and its companions, read as one in order of time."""

    def __init__(
        self, path: str, companions: Sequence[str], report: Report = lambda _: None
    ) -> None:
        self.path = path
        self.companions = tuple(companions)
        self._report = report
        self._files = [LineFile(each, report) for each in (*companions, path)]
        self._index = 0
        """The file of the last batch."""

    @property
    def requested(self) -> frozenset[str]:
        """The streams that the connection file says were subscribed to."""
        return self._files[-1].requested

    @property
    def stats(self) -> ReadStats:
        """What was read of all files together."""
        return total_stats(self._files)

    def place_of(self, raw: bytes) -> Place:
        """Return the place of a message of the last batch."""
        return self._files[self._index].place_of(raw)

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines received at `start_ns` or later, in order of receive time.

        A batch is empty only with `pauses`, once for each that is skipped.  A companion that cannot
        be read is reported and skipped.
        """
        *companions, connection = self._files
        views: list[Batched] = [
            *(_Companion(file, self._report) for file in companions),
            connection,
        ]
        for self._index, lines in merge(views):
            if lines[0][0] >= start_ns:
                yield lines
            elif lines[-1][0] >= start_ns:
                yield [line for line in lines if line[0] >= start_ns]
            elif pauses:
                yield []


class _Companion:
    """A companion, read as far as it can be."""

    def __init__(self, file: LineFile, report: Report) -> None:
        self._file = file
        self._report = report

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        try:
            yield from self._file.batches(start_ns, pauses=pauses)
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))


def companions_text(path: str, companions: Iterable[str]) -> str:
    """Return a sentence about the companions that a file is read with."""
    return f"{path} is read with {', '.join(Path(each).name for each in companions)}"


def companions_of(path: str) -> list[str]:
    """Return the companions of a file, by name; none if it is not the first of a capture."""
    own = _CONNECTION.fullmatch(Path(path).name)
    if own is None:
        return []
    siblings = _siblings(Path(path).parent)
    connections = [match for each in siblings if (match := _CONNECTION.fullmatch(each))]
    rivals = (_order(each) for each in connections if each["name"] == own["name"])
    if min(rivals, default=None) != _order(own):
        return []
    companions = [each for each in siblings if _is_companion(each, own["name"])]
    if not companions or not LineFile(path).has_colons():
        return []
    return [str(Path(path).with_name(each)) for each in companions[:MAX_COMPANIONS]]


def connection_files(folder: str) -> list[str]:
    """Return the connection files in a folder; none if they have no companions there."""
    siblings = _siblings(Path(folder))
    connections = sorted(filter(None, map(_CONNECTION.fullmatch, siblings)), key=_order)
    names = {each["name"] for each in connections}
    if not any(_is_companion(each, name) for each in siblings for name in names):
        return []
    return [str(Path(folder, each[0])) for each in connections]


def _is_companion(file: str, name: str) -> bool:
    requests = _REQUESTS.fullmatch(file)
    return requests is not None and requests["name"] == name and _CONNECTION.fullmatch(file) is None


def _order(connection: re.Match[str]) -> tuple[str, int, int, str]:
    name, number, part = connection["name"], connection["connection"], connection["part"]
    return name, int(number), int(part), connection[0]


def _siblings(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir() if each.is_file())
    except OSError:
        return []
