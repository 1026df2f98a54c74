"""Opening files named by a user or found in a folder, only if they are regular files.

Opening a named pipe may block forever, and a device may never end.  Standard input and the
`/dev/fd/…` of a shell may be pipes: their writing end is open already.
"""

from __future__ import annotations

import stat
from errno import EFBIG, EINVAL
from io import BufferedReader
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)
_CHUNK_BYTES = 1 << 20
_OPEN_PIPES = "/proc"
"""Where links to open descriptors resolve to."""


def check_regular(path: str | Path, *, pipes: bool = False) -> None:
    """Check that `path` is a regular file, or a link to one.

    Args:
        path: The path to check.
        pipes: Whether an open pipe, such as standard input, is accepted too.

    Raises:
        OSError: `path` does not exist or is something else.
    """
    mode = Path(path).stat().st_mode
    if stat.S_ISREG(mode):
        return
    if pipes and stat.S_ISFIFO(mode) and Path(path).resolve().is_relative_to(_OPEN_PIPES):
        return
    raise OSError(EINVAL, f"is {kind_of(mode)}, expected a file", str(path))


def kind_of(mode: int) -> str:
    """Return what a file that is not a regular one is, in words."""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def open_regular(path: str | Path, *, pipes: bool = False) -> BufferedReader:
    """Return the regular file at `path`, open for reading."""
    check_regular(path, pipes=pipes)
    return Path(path).open("rb")


def read_regular(path: str | Path, most_bytes: int, *, pipes: bool = False) -> bytes:
    """Return the content of the regular file at `path`.

    Raises:
        OSError: `path` cannot be read, is not a regular file, or has more than `most_bytes`.
    """
    content = bytearray()
    with open_regular(path, pipes=pipes) as file:
        while chunk := file.read(_CHUNK_BYTES):
            content += chunk
            if len(content) > most_bytes:
                raise OSError(EFBIG, f"has more than {most_bytes:,} bytes", str(path))
    return bytes(content)
