"""What every form of a recording consists of: lines in order of time, and damage between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol, TypeAlias

from msgspec import Struct

Line: TypeAlias = tuple[int, bytes]
"""Receive time in ns since the epoch, and the message as it was received.

The message is what came over a WebSocket, or `<address> <body>` of a REST response.
"""


class Place(Struct, frozen=True):
    """The position of a line in a file."""

    path: str
    """Its file."""
    line: int
    """Its number, from 1; 0 where lines are not counted, as in a segment."""
    offset_bytes: int
    """Its byte offset in the decompressed text; for a segment, that of its block in the file."""

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        return f"{self.path}{line}, byte {self.offset_bytes}"


class Damage(Struct, frozen=True):
    """A damaged region of a file."""

    path: str
    """Its file."""
    line: int
    """Number of its first line, from 1; 0 where lines are not counted, as in a segment."""
    offset_bytes: int
    """Byte offset: in the decompressed text for line files, in the stored file for segments."""
    reason: str
    """What is wrong with it."""
    lost: int | None = None
    """How many messages are lost; None if that is not known."""

    def __str__(self) -> str:
        return f"{Place(self.path, self.line, self.offset_bytes)}: {self.reason}"


Report: TypeAlias = Callable[[Damage], object]
"""Takes the damage in a recording as it is found."""


class ReadStats(Struct):
    """What was read of a recording since reading began."""

    lines: int = 0
    skipped: int = 0
    """Lines that could not be read, as far as they can be counted."""
    size_bytes: int = 0
    """Size of the recording as stored."""
    position_bytes: int = 0
    """How much of that has been read."""
    text_bytes: int = 0
    """Size of the decompressed text that has been read."""
    regressions: int = 0
    """Lines whose receive time was earlier than that of a line before, whose time they got."""
    max_regression_ns: int = 0
    """The most that such a time was earlier."""
    misdated: int = 0
    """Lines whose receive time was not believed; they got that of a line before."""


class RecordedFile(Protocol):
    """A recording that can be read from beginning to end: line files or segments."""

    @property
    def path(self) -> str:
        """The path of the recording."""

    @property
    def stats(self) -> ReadStats:
        """What was read since `batches` was last called."""

    def place_of(self, raw: bytes) -> Place:
        """Return the place of a message of the last batch."""

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines received at `start_ns` or later, in order of receive time.

        No batch is empty.  Every call reads from the beginning.

        Args:
            start_ns: The first receive time.
            pauses: Also yield empty batches while much is skipped, so that the caller can do
                something else in between.

        Raises:
            RecordingError: The recording cannot be opened, or is not a recording.
        """


def total_stats(files: Iterable[RecordedFile]) -> ReadStats:
    """Return the statistics of several recordings together."""
    total = ReadStats()
    for file in files:
        stats = file.stats
        total.lines += stats.lines
        total.skipped += stats.skipped
        total.size_bytes += stats.size_bytes
        total.position_bytes += stats.position_bytes
        total.text_bytes += stats.text_bytes
        total.regressions += stats.regressions
        total.misdated += stats.misdated
        total.max_regression_ns = max(total.max_regression_ns, stats.max_regression_ns)
    return total


def share_read(files: Iterable[RecordedFile]) -> float:
    """Return how much of `files` has been read, from 0 to 1, by their bytes as stored."""
    total = total_stats(files)
    return total.position_bytes / max(total.size_bytes, 1)


class Batched(Protocol):
    """A recording that can be merged with others."""

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield lines as `RecordedFile.batches` does."""


def merge(
    recordings: Sequence[Batched], start_ns: int = 0, *, pauses: bool = False
) -> Iterator[tuple[int, list[Line]]]:
    """Yield runs of lines from `start_ns` on in order of time, each with the index of its recording.

    Lines with the same time come in the order of the recordings.  Batches of files that follow each
    other are passed through unchanged.  No run is empty, except with `pauses` while lines before
    `start_ns` are skipped.

    Raises:
        RecordingError: A recording cannot be opened, or is not a recording.
    """
    heads: list[_Head] = []
    for index, recording in enumerate(recordings):
        batches = recording.batches(start_ns, pauses=pauses)
        for lines in batches:
            if lines:
                heads.append((lines[0][0], index, 0, lines, batches))
                break
            yield index, lines
    heapify(heads)
    while heads:
        _, index, start, lines, batches = heads[0]
        end = _run_end(lines, start, index, min(heads[1:3], default=None))
        yield index, lines[start:end] if end - start < len(lines) else lines
        if end < len(lines):
            heapreplace(heads, (lines[end][0], index, end, lines, batches))
            continue
        for following in batches:
            if following:
                heapreplace(heads, (following[0][0], index, 0, following, batches))
                break
            yield index, following
        else:
            heappop(heads)


_Head: TypeAlias = tuple[int, int, int, list[Line], Iterator[list[Line]]]
"""The position in a recording that is merged: next time, index, position in the batch, batch, batches."""


def _run_end(lines: list[Line], start: int, index: int, rival: _Head | None) -> int:
    """Return the end of the run of `lines` before the next line of `rival`."""
    if rival is None or lines[-1][0] < rival[0]:
        return len(lines)
    end = start + 1
    until_ns = rival[0] + (index < rival[1])
    while end < len(lines) and lines[end][0] < until_ns:
        end += 1
    return end
