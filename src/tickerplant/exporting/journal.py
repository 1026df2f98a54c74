"""The journal of an export: what is finished, so that it is not done again.

It lies in the folder of the export, one JSON object a line: first the options, then every unit
that is finished with the files it was written to, then every file that was put together from them.
A unit counts as finished when its line is there and its files have the size that it says; what no
line speaks of is the work of an export that was killed, and is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.archive.selection import END_NS
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.units import Unit
from tickerplant.regular_files import check_regular, read_regular

JOURNAL = "export.jsonl"
"""Its name."""
Identity: TypeAlias = tuple[str, int, str]
"""Name, size and digest of a file."""
VERSION = 1
"""Changes when the same source would be exported to other files."""
KEPT_FLAWS = 20
"""Damages of a unit that are kept; of more the first are, and how many there were."""
_OPTIONS = {
    "to": "--to",
    "tables": "--tables",
    "symbols": "--symbols",
    "start_ns": "--from",
    "end_ns": "--to-time",
    "numbers": "--numbers",
}
"""The options of the command line that `Options` keeps."""
MOST_BYTES = 1 << 28
"""Of a journal: a unit takes some hundred."""
UNFINISHED = ".unfinished"
"""How the names of files end that are being written."""


class Options(Struct, frozen=True, kw_only=True, tag_field="kind", tag="export"):
    """What was asked for."""

    version: int = VERSION
    to: str
    tables: tuple[str, ...]
    symbols: tuple[str, ...]
    """Empty: all."""
    start_ns: int
    end_ns: int
    numbers: str


class Finished(Struct, frozen=True, kw_only=True, tag_field="kind", tag="unit"):
    """A unit that is exported."""

    number: int
    """Counted from 1, in the order in which they were first exported."""
    path: str
    size_bytes: int
    digest: str
    head_bytes: int
    head: str
    """SHA-256 of so many of its first bytes, in hexadecimal digits."""
    messages: int
    rows: dict[str, int]
    """By table."""
    symbols: tuple[str, ...] | None = None
    """Those of the symbols that were asked for of which there are rows; None if nobody knows, as
    an earlier version wrote it."""
    parts: dict[str, int]
    """The files it was written to, seen from the folder, and their sizes."""
    unreadable: int = 0
    """Messages that were left out."""
    flaws: tuple[str, ...] = ()
    """What was wrong with it."""

    @property
    def identity(self) -> Identity:
        """What it is known by wherever it lies."""
        return Path(self.path).name, self.size_bytes, self.digest


class Assembled(Struct, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A file that was put together from parts."""

    path: str
    parts: tuple[str, ...]
    size_bytes: int


_Line: TypeAlias = Options | Finished | Assembled
_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


class Journal:
    """The journal of the export in a folder, by `opened_journal`."""

    def __init__(self, folder: Path, lines: Iterable[_Line]) -> None:
        self.folder = folder
        self.assembled: dict[str, Assembled] = {}
        """By path."""
        self._finished: dict[int, Finished] = {}
        self._by_identity: dict[Identity, Finished] = {}
        self._by_name: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for line in lines:
            self._take(line)

    @property
    def finished(self) -> list[Finished]:
        """The units that are finished, in their order."""
        return [self._finished[number] for number in sorted(self._finished)]

    def find(self, unit: Unit) -> Finished | None:
        """Return what is written of a unit if it is finished, and its files are whole."""
        return self._by_identity.get((unit.name, unit.size_bytes, unit.digest))

    def number_of(self, unit: Unit) -> int:
        """Return the number of a unit that is to be exported: the old one if it grew since."""
        for number in self._by_name[unit.name]:
            before = self._finished.get(number)
            if before is not None and _head(unit.head[: before.head_bytes]) == before.head:
                return number
        return max(self._finished, default=0) + 1

    def write(self, line: _Line) -> None:
        """Add a line.

        Raises:
            OSError: it cannot be written.
        """
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(_encode(line) + b"\n")
        self._take(line)

    def _take(self, line: _Line) -> None:
        if isinstance(line, Assembled):
            self.assembled[line.path] = line
        elif isinstance(line, Finished):
            before = self._finished.get(line.number)
            self._finished[line.number] = line
            self._by_name[line.identity[0]][line.number] = None
            if before is not None:  # what was put together from it is out of date
                self._by_identity.pop(before.identity, None)
                changed = {*before.parts, *line.parts}
                self.assembled = {
                    path: each
                    for path, each in self.assembled.items()
                    if changed.isdisjoint(each.parts)
                }
            self._by_identity[line.identity] = line

    def forget_broken(self) -> None:
        """Take units for unfinished whose files are not there, or not whole."""
        for finished in self.finished:
            sizes = (
                _size(self.folder / path) == size_bytes
                for path, size_bytes in finished.parts.items()
            )
            if not all(sizes):
                del self._finished[finished.number]
                self._by_identity.pop(finished.identity, None)

    def remove_unknown(self, patterns: Iterable[str]) -> None:
        """Remove the files that fit to `patterns` and belong to no finished unit."""
        known = {path for each in self._finished.values() for path in each.parts}
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                if str(path.relative_to(self.folder)) not in known:
                    path.unlink()


@contextmanager
def opened_journal(folder: Path, options: Options, patterns: Iterable[str]) -> Iterator[Journal]:
    """Begin an export into `folder`, or go on with one; nobody else can meanwhile.

    Args:
        folder: Is made if it is not there.
        options: What is asked for.
        patterns: How the files look that are written for units; unfinished ones are removed.

    Raises:
        ConfigError: the folder is that of another export.
        RecordingError: the journal cannot be read.
        OSError: the folder cannot be written into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL
    if path.exists():
        check_regular(path)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("--out", str(folder), "a folder that no other export uses") from None
        text = read_regular(path, MOST_BYTES)
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(handle, len(whole))
        journal = Journal(folder, _checked(path, whole, options))
        if whole:
            journal.forget_broken()
            journal.remove_unknown(patterns)
        else:
            if any(True for pattern in patterns for _ in folder.glob(pattern)):
                raise ConfigError("--out", str(folder), f"an export with its {JOURNAL}, or none")
            journal.write(options)
        yield journal
    finally:
        os.close(handle)


def _checked(path: Path, text: bytes, options: Options) -> list[_Line]:
    """Return the lines of a journal."""
    lines: list[_Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(_decode(line))
        except (ValueError, RecursionError) as error:
            raise RecordingError(str(path), f"no journal of an export: {error}", number) from None
        for part in getattr(lines[-1], "parts", ()):
            if Path(part).is_absolute() or ".." in Path(part).parts:
                reason = f"no journal of an export: {part!r} is not in its folder"
                raise RecordingError(str(path), reason, number)
    if not lines:
        return lines
    if not isinstance(lines[0], Options):
        raise RecordingError(str(path), "no journal of an export", 1)
    if lines[0] != options:
        raise ConfigError(
            "--out", str(path.parent), f"another folder: {_difference(lines[0], options)}"
        )
    return lines


def _difference(before: Options, now: Options) -> str:
    """Return in words in what an export differs from the one that is there."""
    for name in Options.__struct_fields__:
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            option = _OPTIONS.get(name, name)
            return f"it was exported with {option} {_shown(name, old)}, not {_shown(name, new)}"
    return ""


def _shown(name: str, value: object) -> str:
    """Return what an option was, as it could be typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "all"
    if name in {"start_ns", "end_ns"} and isinstance(value, int):
        return "all" if value in {0, END_NS} else str(value)
    return str(value)


def head_of(unit: Unit) -> tuple[int, str]:
    """Return by what a unit is known again when it has grown: how many bytes, and their digest."""
    return len(unit.head), _head(unit.head)


def _head(text: bytes) -> str:
    return sha256(text).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
