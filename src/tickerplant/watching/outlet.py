"""Standard error of a command that must not stop for it."""

from __future__ import annotations

import select
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

    def write(self, text: str) -> int:
        """Write `text` if that takes no time; return its length."""
        return self._write(text, 0.0)

    def flush(self) -> None:
        """Do nothing: what is written is seen."""

    def show(self, line: str) -> None:
        """Let the line that changes be `line`."""
        self._write(line, 0.0)

    def say(self, text: str) -> None:
        """Write a line, and wait a little if nobody takes it."""
        self._write(f"{text}\n", LAST_S)

    def _write(self, text: str, patience_s: float) -> int:
        stream = self._stream
        try:
            if stream is not None and select.select([], [stream], [], patience_s)[1]:
                stream.write(_CLEAR_LINE + text if self.is_terminal else text)
                stream.flush()
        except (OSError, ValueError):
            self._stream = None  # nobody is there any more
        return len(text)
