"""What there is to read at the paths that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.journal import MANIFEST
from tickerplant.recording.line import RecordedFile, Report
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.segments import Segments, is_recording
from tickerplant.regular_files import open_regular


def recorded_files(paths: Sequence[str], report: Report = lambda _: None) -> list[RecordedFile]:
    """Return what is recorded at `paths`, in the order in which they are named.

    A path is the folder of a recording, a folder of such folders, a segment, or a file of lines.

    Raises:
        RecordingError: there is nothing at a path, or no recording.
    """
    found: list[RecordedFile] = []
    for path in paths:
        if Path(path).is_dir():
            found += [Segments(folder, report) for folder in recording_folders(path)]
        else:
            found.append(_file(path, report))
    return found


def recording_folders(path: str) -> list[str]:
    """Return the recordings in a folder: itself, or those directly in it, by name.

    Raises:
        RecordingError: there is none.
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
            reason += f"; files of lines are named themselves, such as {Path(path, '*.gz')}"
        raise RecordingError(path, reason)
    return found


def _file(path: str, report: Report) -> RecordedFile:
    if Path(path).name == MANIFEST:
        raise RecordingError(path, "is the manifest of a recording; give its folder")
    try:
        with open_regular(path) as file:
            begins = file.read(HEAD_BYTES)
    except OSError as error:
        raise RecordingError(path, error.strerror or str(error)) from None
    return Segments(path, report) if is_block(begins) else LineFile(path, report)
