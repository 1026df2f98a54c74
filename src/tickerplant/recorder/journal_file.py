"""The manifest on disk: open for adding lines, and locked, so that one recorder writes at a time."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.recorder.append_file import AppendFile
from tickerplant.recording.journal import MANIFEST, Entry, encode_entry

READER_S = 0.2
"""Whoever verifies a recording holds its lock for an instant, to see whether somebody records; a
lock that is still held after so long is another recorder's."""


class JournalFile(AppendFile):
    """The manifest of a folder; made if there is none, and locked until it is closed.

    Raises:
        OSError: it cannot be opened or made.
        RecordingError: another recorder writes into this folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / MANIFEST)
        self.is_synced = True
        """Whether all its lines would survive that the machine stops."""
        if not self._is_locked():
            time.sleep(READER_S)
            if not self._is_locked():
                self.close()
                raise RecordingError(str(folder), "another recorder writes into it")

    def _is_locked(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def add(self, entry: Entry) -> None:
        """Add a line.

        Raises:
            OSError: it could not be written.
        """
        # Contracts stand in it as they came, and may have come in several lines.
        self.append(encode_entry(entry).replace(b"\n", b" ") + b"\n")
        self.is_synced = False

    def sync(self) -> None:
        """Return when all lines would survive that the machine stops.

        Raises:
            OSError: they would not.
        """
        if not self.is_synced:
            super().sync()
            self.is_synced = True
