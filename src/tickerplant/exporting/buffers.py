"""Messages that wait to be written, by the file they go to."""

from __future__ import annotations

from collections.abc import Callable

from tickerplant.archive.tables import Table
from tickerplant.messages.message import Message

FULL_ROWS = 1 << 16
"""Rows that wait for one file before they are written."""
MAX_ROWS = 1 << 18
"""Rows that wait for all files together.  Then the files for which most wait are written, until
half is left."""


class Waiting:
    """The messages that wait for one file."""

    __slots__ = ("messages", "place", "rows", "table")

    def __init__(self, table: Table, place: str) -> None:
        self.table = table
        self.place = place
        self.messages: list[Message] = []
        self.rows = 0


class Buffers:
    """Keeps what is to be written until it is much, and never more than `MAX_ROWS`.

    Args:
        write: Writes the messages that wait for a file.
    """

    def __init__(self, write: Callable[[Waiting], object]) -> None:
        self._write = write
        self._waiting: dict[str, Waiting] = {}
        self._rows = 0

    def of(self, table: Table, place: str) -> Waiting:
        """Return where the messages of a file wait."""
        found = self._waiting.get(place)
        if found is None:
            found = self._waiting[place] = Waiting(table, place)
        return found

    def add(self, waiting: Waiting, message: Message, rows: int) -> None:
        """Let a message wait."""
        waiting.messages.append(message)
        waiting.rows += rows
        self._rows += rows
        if waiting.rows >= FULL_ROWS:
            self._flush(waiting)
        if self._rows >= MAX_ROWS:
            for fullest in sorted(self._waiting.values(), key=_rows_of, reverse=True):
                if self._rows <= MAX_ROWS // 2:
                    break
                self._flush(fullest)

    def flush(self) -> None:
        """Write all that waits."""
        for waiting in self._waiting.values():
            if waiting.messages:
                self._flush(waiting)
        self._waiting.clear()

    def _flush(self, waiting: Waiting) -> None:
        self._rows -= waiting.rows
        self._write(waiting)
        waiting.messages.clear()
        waiting.rows = 0


def _rows_of(waiting: Waiting) -> int:
    return waiting.rows
