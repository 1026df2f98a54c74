"""The recordings at paths that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.capture import Capture, companions_of, connection_files
from tickerplant.recording.line import RecordedFile, Report
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.recording.segments import Segments, is_recording
from tickerplant.regular_files import open_regular


def recorded_files(paths: Sequence[str], report: Report = lambda _: None) -> list[RecordedFile]:
    """Return the recordings at `paths`, in the order of the paths.

    A path is the folder of a recording, a folder of such folders, a segment, a line file, or a
    folder with a capture of cryptofeed, see `capture`.  A connection file is read with its
    companions, which are not read again if they are named too.
    """
    found: list[RecordedFile] = []
    for path in named_paths(paths):
        if Path(path).is_dir():
            found += [Segments(folder, report) for folder in recording_folders(path)]
        else:
            found.append(_file(path, report))
    return found


def named_paths(paths: Sequence[str]) -> list[str]:
    """Return `paths` with capture folders replaced by their connection files, without companions."""
    named: list[str] = []
    for path in paths:
        is_folder = Path(path).is_dir() and not is_recording(path)
        named += (connection_files(path) if is_folder else []) or [path]
    joined = {Path(each).resolve() for path in named for each in companions_of(path)}
    return [path for path in named if Path(path).resolve() not in joined]


def recording_folders(path: str) -> list[str]:
    """Return the recordings in a folder: itself, or those directly in it, by name.

    Raises:
        RecordingError: There is none.
    """
    if is_recording(path):
        return [path]
    try:
        inner = sorted(str(each) for each in Path(path).iterdir() if each.is_dir())
    except OSError as error:
        raise RecordingError(path, error.strerror or str(error)) from None
    found = [each for each in inner if is_recording(each)]
    if not found:
        reason = "no recording in it: neither a manifest nor a segment"
        if any(each.is_file() for each in Path(path).iterdir()):
            reason += f"; name line files themselves, such as {Path(path, '*.gz')}"
        raise RecordingError(path, reason)
    return found


def _file(path: str, report: Report) -> RecordedFile:
    if Path(path).name == MANIFEST:
        raise RecordingError(path, "is the manifest of a recording; give its folder")
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise RecordingError(path, error.strerror or str(error)) from None
    if is_block(head):
        return Segments(path, report)
    companions = companions_of(path)
    return Capture(path, companions, report) if companions else LineFile(path, report)
