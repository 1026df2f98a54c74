"""What is exported in one piece: a segment of a recording, or a file of lines."""

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
"""By so much of its beginning a file is known that grew since."""
ENDS_BYTES = 1 << 16
"""A file is known by its name, its size, and so much of its beginning and end."""


class Unit(Struct, frozen=True):
    """A file that is exported in one piece."""

    path: str
    """Where it is, from the root on."""
    venue: str
    """Of its recording; empty where it is told by each symbol."""
    size_bytes: int
    digest: str
    """SHA-256 of its ends, in hexadecimal digits."""
    head: bytes
    """How it begins, which stays as it is when the file grows."""

    @property
    def name(self) -> str:
        """The name of the file, as the journal has it."""
        return encodable(Path(self.path).name)

    def open(self, report: Report) -> RecordedFile:
        """Return what is in it, to be read.

        Raises:
            RecordingError: it is not there any more.
        """
        return recorded_files([self.path], report)[0]


def units_of(paths: Sequence[str], report: Report) -> list[Unit]:
    """Return what is to be exported of the recordings at `paths`, in order; nothing twice.

    Raises:
        RecordingError: there is nothing at a path, or no recording.
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
        venue = manifest.venue if manifest else _guessed(recording)
        for path in files:
            whole = str(path.resolve())
            found.setdefault(whole, _unit(whole, venue))
    return list(found.values())


def _guessed(recording: RecordedFile) -> str:
    """Return the venue of a recording without manifest.

    What is wrong with it is reported when it is exported.
    """
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
