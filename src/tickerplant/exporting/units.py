"""Units of an export: a segment of a recording, or a file of lines."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from tickerplant.archive.recording import infer_venue, manifest_of
from tickerplant.errors import RecordingError
from tickerplant.formatting import encodable
from tickerplant.recording.line import Damage, RecordedFile, Report
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.regular_files import open_regular

HEAD_BYTES = 1 << 12
"""Bytes at the beginning of a file by which it is recognised after it has grown."""
ENDS_BYTES = 1 << 16
"""Bytes at the beginning and end of a file that, with name and size, identify it."""


class Unit(Struct, frozen=True):
    """A file that is exported entirely or not at all."""

    path: str
    """The absolute path."""
    venue: str
    """The venue of its recording; empty where each symbol decides."""
    size_bytes: int
    digest: str
    """SHA-256 of its beginning and end, in hexadecimal."""
    head: bytes
    """Its first bytes, which stay the same when the file grows."""

    @property
    def name(self) -> str:
        """The file name as it is in the journal."""
        return encodable(Path(self.path).name)

    def open(self, report: Report) -> RecordedFile:
        """Return the file, open for reading.

        Raises:
            RecordingError: It no longer exists.
        """
        return recorded_files([self.path], report)[0]


def units_of(paths: Sequence[str], report: Report) -> list[Unit]:
    """Return the units of the recordings at `paths`, in order and without duplicates.

    Raises:
        RecordingError: There is no recording at a path.
    """
    found: dict[str, Unit] = {}
    for recording in recorded_files(paths, report):
        manifest = manifest_of(recording)
        files = recording.files() if isinstance(recording, Segments) else [Path(recording.path)]
        names = {path.name for path in files}
        for name, known in manifest.sealed.items() if manifest else ():
            if name not in names:
                missing = str(Path(recording.path, name))
                report(Damage(missing, 0, 0, "the segment is missing", known.lines))
        venue = manifest.venue if manifest else _inferred_venue(recording)
        for path in files:
            absolute = str(path.resolve())
            found.setdefault(absolute, _unit(absolute, venue))
    return list(found.values())


def _inferred_venue(recording: RecordedFile) -> str:
    """Return the venue of a recording without manifest; damage is reported when it is exported."""
    quiet = recorded_files([recording.path])[0]
    try:
        return infer_venue(quiet)
    except RecordingError:
        return ""


def _unit(path: str, venue: str) -> Unit:
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            first = file.read(ENDS_BYTES)
            file.seek(max(size - ENDS_BYTES, 0))
            last = file.read(ENDS_BYTES)
    except OSError as error:
        raise RecordingError(path, error.strerror or str(error)) from None
    digest = sha256(first + last).hexdigest()
    return Unit(path=path, venue=venue, size_bytes=size, digest=digest, head=first[:HEAD_BYTES])
