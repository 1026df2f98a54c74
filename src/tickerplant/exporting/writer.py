"""What writes the rows of a unit, whatever the form of the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tickerplant.archive.tables import Table
from tickerplant.archive.validation import RejectedMessage
from tickerplant.exporting.journal import Journal
from tickerplant.messages.message import Message


class Writer(Protocol):
    """Writes units, one after the other.

    Whatever is written for a unit appears under its name only when the unit is finished.
    """

    patterns: tuple[str, ...]
    """What the names of all files look like that are written for units, unfinished ones too."""
    tables: frozenset[str]
    """Tables that this form has."""

    @property
    def rejected(self) -> int:
        """Messages of this unit that could not be written."""
        ...

    @property
    def first_rejected(self) -> RejectedMessage | None:
        """The first of them, as far as it is known."""
        ...

    def begin(self, number: int) -> None:
        """Begin a unit."""
        ...

    def time_of(self, table: Table) -> Callable[[Any], int]:
        """Return what takes the time out of a message, ms, that decides to which day it belongs."""
        ...

    def place(self, table: Table, stream: str, venue: str, symbol: str, date: str, /) -> str:
        """Return where the messages of a stream on a day go, seen from the folder.

        Raises:
            ValueError: there is no such place.
        """
        ...

    def write(self, table: Table, place: str, messages: Sequence[Message], /) -> int:
        """Write messages; return how many rows that are.

        Raises:
            OSError: they cannot be written.
        """
        ...

    def finish(self) -> dict[str, int]:
        """Finish the unit; return its files, seen from the folder, with their sizes.

        Raises:
            OSError: they cannot be written.
        """
        ...

    def abandon(self) -> None:
        """Remove what was written for the unit."""
        ...

    def complete(self, journal: Journal) -> int:
        """Put the parts together after all units; return how many files there are now.

        Raises:
            OSError: they cannot be written.
        """
        ...
