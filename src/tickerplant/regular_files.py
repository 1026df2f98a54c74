"""Files that a user named, or that lie in a folder: opened only if they are files.

A named pipe waits for ever, and a device never ends.  A link to a file is one.  Standard input and
what a shell puts at `/dev/fd/…` may be pipes: somebody has them open for writing already.
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
"""Where a link leads that stands for an open descriptor."""


def check_regular(path: str | Path, *, pipes: bool = False) -> None:
    """Return if there is a file at `path`.

    Args:
        path: Where.
        pipes: Whether an open pipe, such as standard input, is as good.

    Raises:
        OSError: there is nothing, or no file.
    """
    mode = Path(path).stat().st_mode
    if stat.S_ISREG(mode):
        return
    if pipes and stat.S_ISFIFO(mode) and Path(path).resolve().is_relative_to(_OPEN_PIPES):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    raise OSError(EINVAL, f"is {kind}, expected a file", str(path))


def open_regular(path: str | Path, *, pipes: bool = False) -> BufferedReader:
    """Return the file at `path`, open for reading.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    check_regular(path, pipes=pipes)
    return Path(path).open("rb")


def read_regular(path: str | Path, most_bytes: int, *, pipes: bool = False) -> bytes:
    """Return what is in the file at `path`.

    Raises:
        OSError: it cannot be read, is no file, or has more than `most_bytes`.
    """
    content = bytearray()
    with open_regular(path, pipes=pipes) as file:
        while chunk := file.read(_CHUNK_BYTES):
            content += chunk
            if len(content) > most_bytes:
                raise OSError(EFBIG, f"has more than {most_bytes:,} bytes", str(path))
    return bytes(content)
