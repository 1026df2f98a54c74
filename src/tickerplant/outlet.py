"""Standard error of a command that must not stop for it, with a last line that changes."""

from __future__ import annotations

import os
import select
import shutil
import sys

_CLEAR_LINE = "\r\x1b[2K"
LAST_S = 1.0
"""The last lines wait so long for somebody to take them."""


class Outlet:
    """A file to which is written what somebody takes at once; the rest is left out.

    Nothing is raised if it is closed, or its reader is gone.  On a terminal its last line may be
    one that changes (`show`), and what is written stands above it.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self.is_terminal = self._stream is not None and self._stream.isatty()
        self._line = ""
        """The line that changes, as it is shown; empty if none is."""

    @property
    def columns(self) -> int:
        """How many signs the line that changes may have."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns if self._stream else 0
        except (OSError, ValueError):
            columns = 0
        return (columns or shutil.get_terminal_size().columns) - 1

    def shows(self, signs: str) -> bool:
        """Whether the encoding of the stream has these signs."""
        try:
            signs.encode(getattr(self._stream, "encoding", None) or "ascii")
        except (LookupError, UnicodeEncodeError):
            return False
        return True

    def write(self, text: str) -> int:
        """Write `text`, which is whole lines, if that takes no time; return its length."""
        return self._write(text, 0.0)

    def flush(self) -> None:
        """Do nothing: what is written is seen."""

    def show(self, line: str) -> None:
        """Let the line that changes be `line`, cut to the width; it stands below all that follows."""
        self._line = line[: self.columns]
        self._write("", 0.0)

    def clear(self) -> None:
        """Empty the last line, until one is shown again; a `^C` in it goes, too."""
        self._line = ""
        if self.is_terminal:
            self._write("", LAST_S)

    def say(self, text: str) -> None:
        """Write a line instead of the one that changes, and wait a little if nobody takes it."""
        self._line = ""
        self._write(f"{text}\n", LAST_S)

    def _write(self, text: str, patience_s: float) -> int:
        stream = self._stream
        try:
            if stream is not None and select.select([], [stream], [], patience_s)[1]:
                stream.write(f"{_CLEAR_LINE}{text}{self._line}" if self.is_terminal else text)
                stream.flush()
        except (OSError, ValueError):
            self._stream = None  # nobody is there any more
        return len(text)
