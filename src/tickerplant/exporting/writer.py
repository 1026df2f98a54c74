"""What writes the rows of a unit, whatever the file format, and the paths it writes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from tickerplant.archive.tables import Table
from tickerplant.archive.validation import RejectedMessage
from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.exporting.journal import Journal
from tickerplant.messages.message import Message
from tickerplant.units import DAY_MS

LAST_DAY = 2_932_896
"""The last day with a date, in the year 9999."""
MAX_PART_BYTES = 200
"""The maximum length of a name in a path: file systems allow 255, with prefix and suffix."""


class Writer(Protocol):
    """Writes units, one after the other.

    The files of a unit get their names when the unit is finished.
    """

    patterns: tuple[str, ...]
    """Glob patterns of the files of units, including unfinished ones."""
    tables: frozenset[str]
    """Tables that this format supports."""

    @property
    def rejected(self) -> int:
        """Messages of this unit that were not written."""
        ...

    @property
    def first_rejected(self) -> RejectedMessage | None:
        """The first of them, if it is known."""
        ...

    def begin(self, number: int) -> None:
        """Begin a unit."""
        ...

    def time_of(self, table: Table) -> Callable[[Any], int]:
        """Return a function from a message to the time, ms, that decides to which day it belongs."""
        ...

    def place(self, table: Table, stream: str, venue: str, symbol: str, date: str, /) -> str:
        """Return the path, in the folder, for the messages of a stream on a day.

        Raises:
            ValueError: The stream or symbol cannot be part of a path.
        """
        ...

    def write(self, table: Table, place: str, messages: Sequence[Message], /) -> int:
        """Write messages; return the number of rows.

        Raises:
            OSError: A file cannot be written.
        """
        ...

    def finish(self) -> dict[str, int]:
        """Finish the unit; return the sizes of its files by their paths in the folder.

        Raises:
            OSError: A file cannot be written.
        """
        ...

    def abandon(self) -> None:
        """Remove the files of the unit."""
        ...

    def complete(self, journal: Journal) -> int:
        """Assemble files from the parts of all units; return the number of files.

        Raises:
            OSError: A file cannot be written.
        """
        ...


def path_part(name: str) -> str:
    """Return a symbol as part of a path; all but letters, digits, `_` and `-` is percent-encoded.

    Raises:
        ValueError: It is empty, or longer than any symbol.
    """
    part = "".join(
        char if char.isalnum() or char in "_-" else _escaped(char)
        for char in name[: LONGEST_SYMBOL + 1]
    )
    if not name or len(name) > LONGEST_SYMBOL or len(part.encode()) > MAX_PART_BYTES:
        raise ValueError(f"{name[:LONGEST_SYMBOL]!r} is no symbol")
    return part


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="replace"))


def date_of(day: int) -> str:
    """Return the date of a day since the epoch, such as `2024-08-08`."""
    return datetime.fromtimestamp(day * (DAY_MS // 1_000), UTC).strftime("%Y-%m-%d")
