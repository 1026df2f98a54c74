"""What an export reads, and the parts that it writes: their names say what is finished.

A unit is a segment of a recording or a file of lines.  Its parts get their names when the last one is
written: `part-<time of its first line>-<digest of its name and that line>-<size>-<number>of<all>.parquet`.
Parts of a smaller size are of the unit before it grew.  Names sort in order of time.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow.parquet as pq
from msgspec import Struct

from tickerplant.archive.recording import infer_venue, manifest_of
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.own_folder import OwnFolder
from tickerplant.recording.line import Report
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.regular_files import open_regular

OPTIONS = b"tickerplant.export"
"""The key, in the footer of each part, of the options of its export."""
UNFINISHED = ".unfinished"
"""Suffix of parts that are being written."""
LOCK = ".lock"
_PARTS = "venue=*/table=*/symbol=*/date=*/part-*.parquet"
_NAME = re.compile(r"(part-\d{19}-[0-9a-f]{16})-(\d+)-\d+of(\d+)\.parquet")


class Unit(Struct, frozen=True):
    """A file that is exported entirely or not at all."""

    path: str
    venue: str
    """Empty where each symbol decides."""
    size_bytes: int
    key: str
    """What the names of its parts begin with, also when it grows."""

    def part_name(self, number: int, count: int) -> str:
        """Return the name of a part, counted from 1."""
        return f"{self.key}-{self.size_bytes}-{number:0{len(str(count))}}of{count}.parquet"


def units_of(paths: Sequence[str], report: Report) -> list[Unit]:
    """Return the units of the recordings at `paths`, in order, each once."""
    found: dict[str, Unit] = {}
    for recording in recorded_files(paths, report):
        files, manifest, venue = [Path(recording.path)], manifest_of(recording), ""
        if isinstance(recording, Segments):
            files = recording.files()
            recording.report_missing(files, manifest.sealed if manifest else {})
        with suppress(RecordingError):  # the export reports what is wrong
            venue = manifest.venue if manifest else infer_venue(recorded_files([recording.path])[0])
        for unit in (_unit(str(path.resolve()), venue) for path in files):
            known = found.get(unit.key)
            if known is None or known.size_bytes < unit.size_bytes:  # else it is a copy of that
                found[unit.key] = unit
    return list(found.values())


def _unit(path: str, venue: str) -> Unit:
    line = 0, os.fsencode(path)
    with suppress(RecordingError):
        line = next(recorded_files([path])[0].batches(), [line])[0]
    digest = sha256(b"%b\0%b" % (os.fsencode(Path(path).name), line[1])).hexdigest()[:16]
    return Unit(path, venue, Path(path).stat().st_size, f"part-{line[0]:019}-{digest}")


class Parts:
    """The finished parts in the folder of an export with some options."""

    def __init__(self, folder: Path, options: str) -> None:
        self._by_key = defaultdict[str, list[tuple[int, int, str]]](list)
        """Size of the unit, number of its parts and path in the folder, by the key of the unit."""
        for path in folder.glob(_PARTS):
            name = _NAME.fullmatch(path.name)
            if name is None or not self._by_key:
                _refuse_other(folder, path, options)
            if name is not None:
                part = int(name[2]), int(name[3]), str(path.relative_to(folder))
                self._by_key[name[1]].append(part)

    def of(self, unit: Unit) -> tuple[list[str], list[str]]:
        """Return the parts of a unit if it is finished, or outdated ones if it is not."""
        parts = sorted(self._by_key[unit.key])
        for (size_bytes, count), group in groupby(parts, key=itemgetter(0, 1)):
            paths = [path for *_, path in group]
            if size_bytes >= unit.size_bytes and len(paths) == count:
                return paths, []  # also if this is a copy from before it grew
        return [], [path for *_, path in parts]


@contextmanager
def opened_parts(folder: OwnFolder, options: str) -> Iterator[Parts]:
    """Lock the folder of an export, and remove what is unfinished in it.

    Raises:
        ConfigError: The folder belongs to another export, or one is running in it.
        OSError: The folder is not writable, or what is to be changed in it is a link.
    """
    with folder.open(LOCK, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            expected = "a folder not in use by another export"
            raise ConfigError("--out", str(folder.path), expected) from None
        for path in folder.path.glob(f"{_PARTS}{UNFINISHED}"):
            folder.remove(str(path.relative_to(folder.path)))
        yield Parts(folder.path, options)


def _refuse_other(folder: Path, path: Path, options: str) -> None:
    """Refuse a part by its footer if it is of an export with other options, or of none."""
    before = "something else"
    with suppress(ValueError, KeyError, TypeError), open_regular(path) as file:
        before = pq.read_metadata(file).metadata[OPTIONS].decode()
    if before != options:
        expected = f"another folder: {path.name} in it is of {before}, not of {options}"
        raise ConfigError("--out", str(folder), expected)
