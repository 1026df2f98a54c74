"""The journal of an export: what is finished and need not be exported again.

It is in the folder of the export, one JSON object per line: first the options, then every finished
unit with its files, then every file that was assembled from these.  A unit is finished if its line
exists and its files have the recorded sizes.  Files without a line are left from an export that was
killed, and are removed.
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
from msgspec import Struct, field

from tickerplant.archive.selection import END_NS
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.units import Unit
from tickerplant.own_folder import OwnFolder
from tickerplant.regular_files import read_regular

JOURNAL = "export.jsonl"
"""The file name."""
Identity: TypeAlias = tuple[str, int, str]
"""Name, size and digest of a file."""
VERSIONS = {"csv": 1, "parquet": 2}
"""By format: changes when the same source would give different files."""
MAX_KEPT_DAMAGE = 20
"""Damages of a unit that are kept; of further ones the number is."""
_OPTIONS = {
    "format": "--format",
    "tables": "--tables",
    "symbols": "--symbols",
    "start_ns": "--from",
    "end_ns": "--to",
    "numbers": "--numbers",
}
"""The command line options of the fields of `Options`."""
MAX_BYTES = 1 << 28
"""Size of a journal, in which a unit takes some hundred bytes."""
UNFINISHED = ".unfinished"
"""Suffix of files that are being written."""


class Options(
    Struct, frozen=True, kw_only=True, tag_field="kind", tag="export", rename={"format": "to"}
):
    """The options of an export."""

    format: str
    tables: tuple[str, ...]
    symbols: tuple[str, ...]
    """Empty: all."""
    start_ns: int
    end_ns: int
    numbers: str
    version: int
    """That of the files, see `VERSIONS`."""


class Finished(Struct, frozen=True, kw_only=True, tag_field="kind", tag="unit"):
    """A finished unit."""

    number: int
    """From 1, in the order of the first export."""
    path: str
    size_bytes: int
    digest: str
    head_bytes: int
    head: str
    """SHA-256 of its first `head_bytes`, in hexadecimal."""
    messages: int
    rows: dict[str, int]
    """By table."""
    symbols: tuple[str, ...]
    """Selected symbols that have rows."""
    parts: dict[str, int]
    """The sizes of its files by their paths in the folder."""
    unreadable: int = 0
    """Messages that were skipped."""
    damage: tuple[str, ...] = field(name="flaws", default=())

    @property
    def identity(self) -> Identity:
        """What identifies it, in whatever folder it is."""
        return Path(self.path).name, self.size_bytes, self.digest


class Assembled(Struct, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A file that was assembled from parts."""

    path: str
    parts: tuple[str, ...]
    size_bytes: int


_Line: TypeAlias = Options | Finished | Assembled
_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


class Journal:
    """The journal of the export in a folder; made by `opened_journal`."""

    def __init__(self, folder: Path, lines: Iterable[_Line]) -> None:
        self.folder = folder
        self.assembled: dict[str, Assembled] = {}
        """By path."""
        self._finished: dict[int, Finished] = {}
        self._by_identity: dict[Identity, Finished] = {}
        self._broken: dict[Identity, int] = {}
        """The numbers of units that are to be exported again, because their files are incomplete."""
        self._by_name: defaultdict[str, dict[int, None]] = defaultdict(dict)
        for line in lines:
            self._take(line)

    @property
    def finished(self) -> list[Finished]:
        """The finished units, in order."""
        return [self._finished[number] for number in sorted(self._finished)]

    def find(self, unit: Unit) -> Finished | None:
        """Return the entry of a unit if it is finished."""
        return self._by_identity.get((unit.name, unit.size_bytes, unit.digest))

    def number_of(self, unit: Unit) -> int:
        """Return the number of a unit to export: that of an earlier export of it if there is one."""
        if (broken := self._broken.get((unit.name, unit.size_bytes, unit.digest))) is not None:
            return broken
        for number in self._by_name[unit.name]:
            before = self._finished.get(number)
            if before is not None and _head(unit.head[: before.head_bytes]) == before.head:
                return number
        return max([*self._finished, *self._broken.values()], default=0) + 1

    def write(self, line: _Line) -> None:
        """Add a line.

        Raises:
            OSError: It cannot be written.
        """
        with OwnFolder(self.folder).open(JOURNAL, "ab") as file:
            file.write(_encode(line) + b"\n")
        self._take(line)

    def _take(self, line: _Line) -> None:
        if isinstance(line, Assembled):
            self.assembled[line.path] = line
        elif isinstance(line, Finished):
            before = self._finished.get(line.number)
            self._finished[line.number] = line
            self._by_name[line.identity[0]][line.number] = None
            if before is not None:  # files assembled from it are outdated
                self._by_identity.pop(before.identity, None)
                changed = {*before.parts, *line.parts}
                self.assembled = {
                    path: each
                    for path, each in self.assembled.items()
                    if changed.isdisjoint(each.parts)
                }
            self._by_identity[line.identity] = line

    def forget_broken(self) -> None:
        """Treat units as unfinished whose files are missing or incomplete."""
        for finished in self.finished:
            sizes = (
                size_of(self.folder / path) == size_bytes
                for path, size_bytes in finished.parts.items()
            )
            if not all(sizes):
                del self._finished[finished.number]
                self._broken[finished.identity] = finished.number
                self._by_identity.pop(finished.identity, None)

    def remove_unknown(self, patterns: Iterable[str]) -> None:
        """Remove files that match `patterns` and belong to no finished unit."""
        known = {path for each in self._finished.values() for path in each.parts}
        for pattern in patterns:
            for path in self.folder.glob(pattern):
                if (name := str(path.relative_to(self.folder))) not in known:
                    OwnFolder(self.folder).remove(name)


@contextmanager
def opened_journal(folder: Path, options: Options, patterns: Iterable[str]) -> Iterator[Journal]:
    """Lock `folder` and start or resume an export into it.

    Args:
        folder: The folder of the export; it is created if needed.
        options: The options of the export.
        patterns: Glob patterns of the files of units; unfinished ones are removed.

    Raises:
        ConfigError: The folder belongs to another export, or one is running in it.
        RecordingError: The journal cannot be read.
        OSError: The folder is not writable, or a file of the export is a link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL
    own = OwnFolder(folder)
    for top in {pattern.partition("/")[0] for pattern in patterns}:
        own.check_tree(top)
    handle = own.descriptor(JOURNAL, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                "--out", str(folder), "a folder not in use by another export"
            ) from None
        text = read_regular(path, MAX_BYTES)
        complete = text[: text.rfind(b"\n") + 1]
        if len(complete) < len(text):
            os.truncate(handle, len(complete))
        journal = Journal(folder, _checked(path, complete, options))
        if complete:
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
    """Return the lines of a journal, validated."""
    lines: list[_Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(_decode(line))
        except (ValueError, RecursionError) as error:
            raise RecordingError(
                str(path), f"not the journal of an export: {error}", number
            ) from None
        for part in getattr(lines[-1], "parts", ()):
            if Path(part).is_absolute() or ".." in Path(part).parts:
                reason = f"not the journal of an export: {part!r} is not in its folder"
                raise RecordingError(str(path), reason, number)
    if not lines:
        return lines
    if not isinstance(lines[0], Options):
        raise RecordingError(str(path), "not the journal of an export", 1)
    if lines[0] != options:
        raise ConfigError(
            "--out", str(path.parent), f"another folder: {_difference(lines[0], options)}"
        )
    return lines


def _difference(before: Options, now: Options) -> str:
    """Return the first option that differs between two exports, in words."""
    for name in Options.__struct_fields__:
        old, new = getattr(before, name), getattr(now, name)
        if old != new and name == "version":
            which = "an earlier" if old < new else "a later"
            return f"it was exported with the columns of {which} version of this program"
        if old != new:
            option = _OPTIONS.get(name, name)
            return f"it was exported with {option} {_shown(name, old)}, not {_shown(name, new)}"
    return ""


def _shown(name: str, value: object) -> str:
    """Return the value of an option as it is on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "all"
    if name in {"start_ns", "end_ns"} and isinstance(value, int):
        return "all" if value in {0, END_NS} else str(value)
    return str(value)


def head_of(unit: Unit) -> tuple[int, str]:
    """Return the length and digest of the beginning of a unit, which stay when it grows."""
    return len(unit.head), _head(unit.head)


def _head(text: bytes) -> str:
    return sha256(text).hexdigest()


def size_of(path: Path) -> int:
    """Return the size of a file; -1 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
