"""The time that recordings cover: the first and the last receive time of their lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tickerplant.archive.selection import END_NS, Selection
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.formatting import iso_text
from tickerplant.recording.block import walk
from tickerplant.recording.line import Line, RecordedFile
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.regular_files import open_regular


class Coverage(Struct, frozen=True):
    """The first and the last receive time of some lines, in ns."""

    first_ns: int
    last_ns: int

    def __str__(self) -> str:
        return f"{iso_text(self.first_ns)} to {iso_text(self.last_ns)}"


def coverage_of(
    recordings: Iterable[RecordedFile], start_ns: int = 0, end_ns: int = END_NS
) -> Coverage | None:
    """Return what recordings cover together from `start_ns` to before `end_ns`; None if nothing.

    Reads files of lines completely, and of segments the heads of blocks and a block or two.
    """
    found = [each for file in recordings if (each := _coverage(file, start_ns, end_ns))]
    if not found:
        return None
    return Coverage(min(each.first_ns for each in found), max(each.last_ns for each in found))


def coverage_of_lines(lines: Iterable[Line]) -> Coverage | None:
    """Return what lines cover; None if there are none."""
    first_ns = last_ns = 0
    for last_ns, _ in lines:  # used after the loop
        first_ns = first_ns or last_ns
    return Coverage(first_ns, last_ns) if first_ns else None


def refuse_outside(recordings: Sequence[RecordedFile], selection: Selection) -> None:
    """Refuse times that no line can have.

    The end of a file of lines is known only after reading all of it, so that is not done here.

    Raises:
        ConfigError: They are before the first line or after the last one.
        RecordingError: A recording cannot be read at all.
    """
    start_ns, end_ns = selection.start_ns, selection.end_ns
    first_ns = first_time_ns(recordings)
    if first_ns is None:
        return
    last_ns = max((each.last_ns() for each in recordings if isinstance(each, Segments)), default=0)
    is_over = all(isinstance(each, Segments) for each in recordings) and last_ns < start_ns
    if (end_ns <= first_ns or is_over) and (covered := coverage_of(recordings)):
        raise outside("start", start_ns, covered) if is_over else outside("end", end_ns, covered)


def outside(
    name: Literal["start", "end", "--from", "--to"], time_ns: int, covered: Coverage
) -> ConfigError:
    """Return the error about a start or end that is outside of what recordings cover."""
    which = "before the end" if name in {"start", "--from"} else "after the beginning"
    expected = f"a time {which} of the recording, which is from {covered}"
    return ConfigError(name, iso_text(time_ns), expected)


def times_between(
    begin: TimeSpec | None, end: TimeSpec | None, covered: Coverage
) -> tuple[int, int]:
    """Return the times that `--from` and `--to` give of what recordings cover; without one, all.

    Raises:
        ConfigError: They are outside of it, or nothing is between them.
    """
    first_ns, last_ns = covered.first_ns, covered.last_ns
    start_ns = begin.at(first_ns, last_ns) if begin else 0
    end_ns = end.at(max(start_ns, first_ns), last_ns) if end else END_NS
    if start_ns > last_ns:
        raise outside("--from", start_ns, covered)
    if end_ns <= first_ns:
        raise outside("--to", end_ns, covered)
    if end_ns <= start_ns:
        raise ConfigError("--to", iso_text(end_ns), f"a time after --from, {iso_text(start_ns)}")
    return start_ns, end_ns


def first_time_ns(recordings: Iterable[RecordedFile]) -> int | None:
    """Return the receive time of the first line; None if there is none."""
    firsts = (next(iter(each.batches()), None) for each in recordings)
    return min((lines[0][0] for lines in firsts if lines), default=None)


def _coverage(recording: RecordedFile, start_ns: int, end_ns: int) -> Coverage | None:
    if isinstance(recording, Segments):
        first = next(iter(recording.batches(start_ns)), None)
        last_block_ns = _last_block_ns(recording, end_ns)
        if first is None or first[0][0] >= end_ns:
            return None
        found = coverage_of_lines(_lines(recording, max(start_ns, last_block_ns), end_ns))
        if found:  # else the last block is damaged
            return Coverage(first[0][0], found.last_ns)
    return coverage_of_lines(_lines(recording, start_ns, end_ns))


def _lines(recording: RecordedFile, start_ns: int, end_ns: int) -> Iterator[Line]:
    lines = chain.from_iterable(recording.batches(start_ns))
    return takewhile(lambda line: line[0] < end_ns, lines)


def _last_block_ns(recording: Segments, end_ns: int) -> int:
    """Return the latest first receive time of a block that is before `end_ns`; 0 if there is none."""
    begun = (first_ns for path in recording.files() for first_ns in _first_times(path))
    return max((each for each in begun if each < end_ns), default=0)


def _first_times(path: Path) -> list[int]:
    """Return the first receive time of each block of a segment; only block heads are read."""
    try:
        with open_regular(path) as file:
            blocks = walk(file, END_NS)
            return [each.head.first_ns for each in blocks if each.head]
    except OSError as error:
        raise RecordingError(str(path), error.strerror or str(error)) from None
