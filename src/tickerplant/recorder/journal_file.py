"""The manifest on disk: open for adding lines, and locked, so that one recorder writes at a time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from msgspec import structs

from tickerplant.errors import RecordingError
from tickerplant.recorder.append_file import AppendFile
from tickerplant.recording.chain import TAIL, Tail, digest_of
from tickerplant.recording.manifest_entries import MANIFEST, Entry, encode_entry

READER_S = 0.2
"""Whoever verifies a recording holds its lock for an instant, to see whether somebody records; a
lock that is still held after so long is another recorder's."""


class JournalFile(AppendFile):
    """The manifest of a folder; made if there is none, and locked until it is closed.

    Each line that is added names the one before it, and the last one that is on disk for certain
    stands in a file beside it (`recording/chain.py`).

    Raises:
        OSError: it cannot be opened or made.
        RecordingError: another recorder writes into this folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / MANIFEST)
        self.is_synced = True
        """Whether all its lines would survive that the machine stops."""
        self._tail: AppendFile | None = None
        self._lines = 0
        self._last = ""
        """The digest of the last line."""
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
        line = encode_entry(structs.replace(entry, prev=self._last)).replace(b"\n", b" ")
        self.append(line + b"\n")
        self._last = digest_of(line)
        self._lines += 1
        self.is_synced = False

    def sync(self) -> None:
        """Return when all lines would survive that the machine stops.

        Raises:
            OSError: they would not.
        """
        if not self.is_synced:
            super().sync()
            self._write_tail()
            self.is_synced = True

    def begin(self, tail: Tail) -> None:
        """Let lines be added behind the last one, as `tail` has it.

        Raises:
            OSError: the file beside it that says how far it is cannot be written.
        """
        self._lines, self._last = tail.lines, tail.last
        self._tail = AppendFile(self.path.with_name(TAIL), os.O_RDWR | os.O_CREAT)
        self._write_tail()
        self._tail.sync()

    def close(self) -> None:
        """Close it, and what is beside it."""
        if self._tail is not None:
            self._tail.close()
        super().close()

    def _write_tail(self) -> None:
        """Write down how far the manifest is, over what stands there."""
        if self._tail is not None:
            self._tail.overwrite(Tail(self._lines, self.size_bytes, self._last).text())
