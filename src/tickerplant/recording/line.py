"""What every form of a recording is made of: lines, and flaws where there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from msgspec import Struct

Line: TypeAlias = tuple[int, bytes]
"""Receive time in nanoseconds since the epoch, and the message as it was received.

The message is what came over a WebSocket, or `<address> <body>` for what was asked over REST.
"""


class Damage(Struct, frozen=True):
    """Something unreadable in a file: reported once for torn ends, once for bad lines."""

    path: str
    line: int
    """Number of the line, from 1; 0 where lines are not counted, as in a segment."""
    offset_bytes: int
    """Where it begins: in the (decompressed) text of lines, in the file as stored of a segment."""
    reason: str
    lost: int | None = None
    """How many messages are lost by it; None if that is not known."""

    def __str__(self) -> str:
        return f"{Place(self.path, self.line, self.offset_bytes)}: {self.reason}"


Report: TypeAlias = Callable[[Damage], object]
"""Takes the flaws of a recording as they are met."""


class Place(Struct, frozen=True):
    """Where a line stands."""

    path: str
    line: int
    """Its number, from 1; 0 where lines are not counted, as in a segment."""
    offset_bytes: int
    """Where it begins: in the (decompressed) text of lines; of a segment, where its block begins."""

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        return f"{self.path}{line}, byte {self.offset_bytes}"


class RecordedFile(Protocol):
    """What can be read from the beginning to the end: a file of lines, or a folder of segments.

    The counters tell how far the reading is.
    """

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def lines(self) -> int:
        """Lines that were read."""
        ...

    @property
    def skipped(self) -> int:
        """Lines that had to be left out, as far as they can be counted."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size as stored, once reading has begun."""
        ...

    @property
    def position_bytes(self) -> int:
        """How much of that has been read."""
        ...

    @property
    def text_bytes(self) -> int:
        """How much (decompressed) text has been read."""
        ...

    @property
    def late(self) -> int:
        """Lines that were received before one in front of them, whose time was taken instead."""
        ...

    @property
    def late_ns(self) -> int:
        """The most that such a time was earlier."""
        ...

    def place_of(self, number: int) -> Place:
        """Return where a line of the last batch stands.

        Args:
            number: Which it is of all lines that were read, from 0.
        """
        ...

    def place_of_message(self, raw: bytes) -> Place:
        """Return where a message of the last batch stands, as `place_of` does."""
        ...

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines that were received at `start_ns` or later, in order of receive time.

        No batch is empty.  May be called again, and begins anew.

        Args:
            start_ns: From when on.
            pauses: Yield empty batches after all while much is passed over, so that whoever reads
                can do something else in between.

        Raises:
            RecordingError: it cannot be opened, or is no recording.
        """
        ...


def share_read(files: Iterable[RecordedFile]) -> float:
    """Return how much of `files` has been read, from 0 to 1, by their bytes as stored."""
    files = tuple(files)
    size_bytes = sum(file.size_bytes for file in files)
    return sum(file.position_bytes for file in files) / max(size_bytes, 1)
