"""CSV in the layout of the exchange's public archive: a file for each kind, symbol and day.

A day is in several units, and a unit may have to be done again.  Therefore every unit writes parts
of its own, compressed, in the folder `.parts`, and in the end each file is put together from its
parts under another name and then renamed.  The parts stay, for the next time.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zstandard

from tickerplant.archive.tables import Table
from tickerplant.archive.validation import RejectedMessage, have_valid_numbers, invalid_value
from tickerplant.exporting.csv_layout import KINDS, Kind, kind_of, path_of
from tickerplant.exporting.journal import UNFINISHED, Assembled, Journal
from tickerplant.messages.message import Message
from tickerplant.regular_files import open_regular

PARTS = ".parts"
"""The folder of the parts."""
COMPRESSION_LEVEL = 3
COPIED_BYTES = 1 << 20


class CsvWriter:
    """Writes units as CSV into a folder."""

    patterns: tuple[str, ...] = tuple(f"{PARTS}/**/*.csv.zst{end}" for end in ("", UNFINISHED))
    tables = frozenset(KINDS)

    def __init__(self, folder: Path) -> None:
        self.rejected = 0
        """Messages of this unit that could not be written."""
        self.first_rejected: RejectedMessage | None = None
        self._folder = folder
        self._number = 0
        self._kinds: dict[str, Kind] = {}
        """By place."""
        self._parts: dict[str, None] = {}
        self._compress = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress

    def begin(self, number: int) -> None:
        """Begin a unit."""
        self._number = number
        self.rejected = 0
        self.first_rejected = None
        self._kinds.clear()
        self._parts.clear()

    def time_of(self, table: Table, /) -> Callable[[Any], int]:
        """Return what takes the time out of a message by which the archive sorts it into days."""
        return KINDS[table.name].time

    def place(self, table: Table, stream: str, venue: str, symbol: str, date: str) -> str:
        """Return the path of a file.

        Raises:
            ValueError: symbol or interval are none.
        """
        kind = kind_of(table.name, venue)
        place = path_of(kind, stream, venue, symbol, date)
        self._kinds[place] = kind
        return place

    def write(self, table: Table, place: str, messages: Sequence[Message], /) -> int:
        """Write messages; return how many rows that are.

        Raises:
            OSError: they cannot be written.
        """
        kind = self._kinds[place]
        row, commas = kind.row, kind.header.count(",")
        lines = []
        if not have_valid_numbers(table, messages):
            messages = [message for message in messages if not self._rejects(table, message)]
        for message in messages:
            try:
                line = row(message)
            except ArithmeticError:
                self._reject(table, message, "what it is worth cannot be calculated")
                continue
            if line is None:
                continue
            if line.count(",") == commas and line.count("\n") == 1:
                lines.append(line)
            else:
                self._reject(table, message, "a text in it would break the file")
        if lines:
            part = f"{PARTS}/{place.removesuffix('.csv')}/{self._number:06d}.csv.zst"
            path = self._folder / f"{part}{UNFINISHED}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab" if part in self._parts else "wb") as file:
                self._parts[part] = None
                file.write(self._compress("".join(lines).encode()))
        return len(lines)

    def _rejects(self, table: Table, message: Message) -> bool:
        """Whether a message does not fit, which is counted."""
        wrong = invalid_value(table, message)
        if wrong:
            self._reject(table, message, wrong)
        return bool(wrong)

    def _reject(self, table: Table, message: Message, reason: str) -> None:
        self.rejected += 1
        self.first_rejected = self.first_rejected or RejectedMessage(table, message, reason)

    def finish(self) -> dict[str, int]:
        """Finish the unit; return its files, seen from the folder, with their sizes.

        Raises:
            OSError: they cannot be written.
        """
        sizes = {}
        for part in self._parts:
            path = self._folder / f"{part}{UNFINISHED}"
            sizes[part] = path.stat().st_size
            path.replace(self._folder / part)
        return sizes

    def abandon(self) -> None:
        """Remove what was written for the unit."""
        for part in self._parts:
            (self._folder / f"{part}{UNFINISHED}").unlink(missing_ok=True)

    def complete(self, journal: Journal) -> int:
        """Put the files together whose parts have changed; return how many files there are.

        Raises:
            OSError: they cannot be written.
        """
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for unit in journal.finished:
            for part in unit.parts:
                wanted[_whole(part)].append(part)
        for place, parts in wanted.items():
            made = journal.assembled.get(place)
            path = self._folder / place
            if made is None or made.parts != tuple(parts) or not _has(path, made.size_bytes):
                size_bytes = self._assemble(path, _header(place), parts)
                journal.write(Assembled(path=place, parts=tuple(parts), size_bytes=size_bytes))
        return len(wanted)

    def _assemble(self, path: Path, header: str, parts: Sequence[str]) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}{UNFINISHED}")
        reader = zstandard.ZstdDecompressor()
        with unfinished.open("wb") as file:
            file.write(f"{header}\n".encode())
            for part in parts:
                with (
                    open_regular(self._folder / part) as stored,
                    reader.stream_reader(stored, read_across_frames=True) as text,
                ):
                    shutil.copyfileobj(text, file, COPIED_BYTES)
            size_bytes = file.tell()
        unfinished.replace(path)
        return size_bytes


def _whole(part: str) -> str:
    """Return the path of the file to which a part belongs."""
    return f"{part.removeprefix(f'{PARTS}/').rpartition('/')[0]}.csv"


def _header(place: str) -> str:
    """Return the header of a file by its path."""
    _, _, venue, _, folder, *_ = place.split("/")
    table = next(name for name, kind in KINDS.items() if kind.folder == folder)
    return kind_of(table, "coinm" if venue == "cm" else "usdm").header


def _has(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False
