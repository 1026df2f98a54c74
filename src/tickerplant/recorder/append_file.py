"""A file to which is only added: all of a piece, or nothing of it."""

from __future__ import annotations

import contextlib
import os
from errno import ENOENT
from pathlib import Path

from tickerplant.regular_files import check_regular


class AppendFile:
    """A file that is open for adding to its end.

    Args:
        path: The file; it is made if it is not there.
        flags: How it is opened.

    Raises:
        OSError: it cannot be opened or made, or is no file.
    """

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_CREAT | os.O_APPEND) -> None:
        self.path = path
        is_new = not path.exists()
        if not is_new:
            check_regular(path)
        self.descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        if is_new:
            sync_folder(path.parent)
        self.size_bytes = os.fstat(self.descriptor).st_size
        """As far as it is whole."""

    def append(self, data: bytes) -> None:
        """Add `data`; whoever kills this process finds all of it or, at worst, a torn end.

        Raises:
            OSError: it could not be written; what was written of it is cut off again.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # readers pass over a torn end, too
                self.cut(self.size_bytes)
            raise self._at_its_end(error) from None
        self.size_bytes += len(data)

    def overwrite(self, data: bytes) -> None:
        """Write `data` over the beginning of a file that was not opened for appending.

        Raises:
            OSError: it could not be written.
        """
        try:
            os.pwrite(self.descriptor, data, 0)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def cut(self, size_bytes: int) -> None:
        """Leave the first `size_bytes` of the file.

        Raises:
            OSError: it could not be cut.
        """
        os.ftruncate(self.descriptor, size_bytes)
        self.size_bytes = size_bytes

    def sync(self) -> None:
        """Return when the file would survive that the machine stops.

        Raises:
            OSError: it would not.
        """
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise self._at_its_end(error) from None

    def check(self) -> None:
        """Return if the file is still where it was made: else nobody would find what is added.

        Raises:
            OSError: it was moved or deleted.
        """
        try:
            is_there = os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise OSError(ENOENT, "was moved or deleted meanwhile", str(self.path))

    def close(self) -> None:
        """Close it; what is not synced is left to the system."""
        os.close(self.descriptor)

    def _at_its_end(self, error: OSError) -> OSError:
        """Return `error` with the place: whoever reads it looks there."""
        reason = f"{error.strerror}, at byte {self.size_bytes}"
        return OSError(error.errno, reason, str(self.path))


def sync_folder(folder: Path) -> None:
    """Return when the names of the files in `folder` would survive that the machine stops.

    Raises:
        OSError: they would not.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
