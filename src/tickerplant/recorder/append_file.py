"""Files that only grow: each addition is written completely or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from errno import ENOENT
from pathlib import Path

from tickerplant.errors import RecordingError
from tickerplant.own_folder import OwnFolder
from tickerplant.recording.manifest import MAX_BYTES, TAIL, Tail
from tickerplant.recording.manifest_entries import MANIFEST, Entry, RunEnded, encode_entry
from tickerplant.regular_files import read_regular

READER_LOCK_S = 0.2
"""A reader holds the lock of the manifest for an instant, to see whether a recorder runs; a lock that
is held longer than this belongs to another recorder."""


class AppendFile:
    """A file that is open for appending."""

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_CREAT | os.O_APPEND) -> None:
        self.path = path
        is_new = not path.exists()
        self.descriptor = OwnFolder(path.parent).descriptor(path.name, flags)
        if is_new:
            sync_folder(path.parent)
        self.size_bytes = os.fstat(self.descriptor).st_size
        """Size of the file without incomplete additions."""

    def append(self, data: bytes) -> None:
        """Append `data`; if the process is killed, an incomplete end may remain.

        Raises:
            OSError: `data` could not be written; the incomplete part is truncated again.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # readers skip an incomplete end, too
                self.cut(self.size_bytes)
            raise self._located(error) from None
        self.size_bytes += len(data)

    def overwrite(self, data: bytes) -> None:
        """Overwrite the beginning of a file that was not opened for appending."""
        try:
            os.pwrite(self.descriptor, data, 0)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def cut(self, size_bytes: int) -> None:
        """Truncate the file to `size_bytes`."""
        os.ftruncate(self.descriptor, size_bytes)
        self.size_bytes = size_bytes

    def sync(self) -> None:
        """Write the file through to the disk, so that it survives if the machine stops."""
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise self._located(error) from None

    def check(self) -> None:
        """Raise `OSError` unless the file is still at its path, where readers look for it."""
        try:
            is_there = os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise OSError(ENOENT, "was moved or deleted", str(self.path))

    def close(self) -> None:
        """Close the file without syncing it."""
        os.close(self.descriptor)

    def _located(self, error: OSError) -> OSError:
        reason = f"{error.strerror}, at byte {self.size_bytes}"
        return OSError(error.errno, reason, str(self.path))


class ManifestFile(AppendFile):
    """The manifest of a folder; created if it is missing, and locked until it is closed.

    A file next to the manifest contains the number and the digest of the lines that are certainly on
    disk (`recording/manifest.py`).

    Raises:
        OSError: The file cannot be opened or created.
        RecordingError: Another recorder writes into this folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / MANIFEST)
        self.is_synced = True
        """Whether all lines survive if the machine stops."""
        self._tail: AppendFile | None = None
        self._lines = 0
        self._sum = hashlib.sha256()
        """Of all lines."""
        self._is_ended = False
        if not self._is_locked():
            time.sleep(READER_LOCK_S)
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
        """Add a line."""
        # Contracts are kept as they came, possibly with line breaks.
        line = encode_entry(entry).replace(b"\n", b" ") + b"\n"
        self.append(line)
        self._sum.update(line)
        self._lines += 1
        self._is_ended = isinstance(entry, RunEnded)
        self.is_synced = False

    def sync(self) -> None:
        """Write all lines through to the disk, so that they survive if the machine stops."""
        if not self.is_synced:
            super().sync()
            self._write_tail()
            self.is_synced = True

    def begin(self, *, is_damaged: bool) -> None:
        """Continue after the lines that are there; a tail that shows damage stays until the next sync."""
        text = read_regular(self.path, MAX_BYTES)
        self._lines = text.count(b"\n")
        self._sum.update(text)
        self._tail = AppendFile(self.path.with_name(TAIL), os.O_RDWR | os.O_CREAT)
        if not is_damaged:
            self._write_tail()
            self._tail.sync()

    def close(self) -> None:
        """Close the manifest and the file that contains its tail."""
        if self._tail is not None:
            self._tail.close()
        super().close()

    def _write_tail(self) -> None:
        if self._tail is not None:
            digest = self._sum.hexdigest()
            tail = Tail(self._lines, self.size_bytes, digest, ended=self._is_ended)
            self._tail.overwrite(tail.text())


def sync_folder(folder: Path) -> None:
    """Write the names of the files in `folder` through to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
