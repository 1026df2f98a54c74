"""Folders that are written into, and may have come from elsewhere.

A link in such a folder may lead to any file of the user who writes there, and a hard link is one
more name of a file, such as that in a backup by `cp -al`.  So nothing is changed through either,
whenever it is put there.  The path of the folder itself is the user's, and may contain links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, ELOOP, EMLINK
from pathlib import Path
from typing import IO

from tickerplant.regular_files import kind_of

_LINK = "is a link, expected a file or folder of its own; replace it with a copy"
_HARD_LINK = "is a hard link, and its other names would change too; replace it with a copy"
_OPENED = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OwnFolder:
    """A folder whose files are changed, and nothing outside of it.

    Names may have folders in them.  All methods raise an `OSError` with the path of what is a link,
    or no file, before anything is changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def inside(self, name: str | Path, *, creates: bool = False) -> Iterator[int]:
        """Open the folder `name` in this one, created if needed; paths of errors are completed."""
        here = self.path
        folder = os.open(here, _FOLDER)
        try:
            for part in Path(name).parts:
                if creates:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                inner = os.open(part, _FOLDER | _OPENED, dir_fd=folder)
                os.close(folder)
                folder, here = inner, here / part
            yield folder
        except OSError as error:
            path = here / str(error.filename or "")
            reason = _LINK if path.is_symlink() else error.strerror
            raise OSError(error.errno, reason, str(path)) from None
        finally:
            os.close(folder)

    def check(self, name: str) -> None:
        """Check that the file `name` may be written, or does not exist."""
        with suppress(FileNotFoundError), self.inside(Path(name).parent) as folder:
            _check(Path(name).name, folder)

    def descriptor(self, name: str, flags: int) -> int:
        """Return the file `name`, open; its folders are created if it may be."""
        last, opened = Path(name).name, flags & ~os.O_TRUNC | os.O_NONBLOCK | _OPENED
        with self.inside(Path(name).parent, creates=bool(flags & os.O_CREAT)) as folder:
            _check(last, folder)  # a device is not even opened
            descriptor = os.open(last, opened, 0o666, dir_fd=folder)
            try:
                _refuse(os.fstat(descriptor), last)
                if flags & os.O_TRUNC:
                    os.ftruncate(descriptor, 0)
            except OSError:
                os.close(descriptor)
                raise
        return descriptor

    def open(self, name: str, mode: str) -> IO[bytes]:
        """Return the file `name`, open as by the function `open`."""
        return open(name, mode, opener=self.descriptor)

    def replace(self, name: str, target: str) -> None:
        """Rename a file; `target` is the new name in the same folder, and may be that of a file."""
        with self.inside(Path(name).parent) as folder:
            _check(target, folder, may_be_linked=True)
            os.replace(Path(name).name, target, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with suppress(FileNotFoundError), self.inside(Path(name).parent) as folder:
            _check(Path(name).name, folder, may_be_linked=True)
            os.unlink(Path(name).name, dir_fd=folder)


def _check(name: str, folder: int, *, may_be_linked: bool = False) -> None:
    with suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        _refuse(found, name, may_be_linked=may_be_linked)


def _refuse(found: os.stat_result, name: str, *, may_be_linked: bool = False) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise OSError(ELOOP, _LINK, name)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(EINVAL, f"is {kind_of(found.st_mode)}, expected a file", name)
    if found.st_nlink > 1 and not may_be_linked:
        raise OSError(EMLINK, _HARD_LINK, name)
