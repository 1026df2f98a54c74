"""What shows that a manifest is whole: its lines are a chain, whose end is kept beside it.

Each line but the first carries a digest of the line before it.  The line that is last when the
manifest was last known to be on disk stands in a small file of its own, `manifest.tail`, which is
written over in place: a crash leaves it a few lines behind, and never ahead.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from msgspec.json import Decoder

from tickerplant.regular_files import read_regular

TAIL = "manifest.tail"
"""The name of the file in the folder of a recording."""
DIGITS = 16
"""Of a digest: it shows what was lost by accident, and is no signature."""
MOST_BYTES = 1 << 10
"""Of a tail."""

MISSING_BEFORE = (
    "the line before it is not the one that it was written behind: lines are missing, or changed"
)
NOT_CHAINED = "it does not say which line it was written behind, and lines before it do"


class Tail(Struct, frozen=True):
    """How far a manifest was when it was last known to be on disk."""

    lines: int = 0
    size_bytes: int = 0
    last: str = ""
    """The digest of its last line; empty if there was none."""

    def text(self) -> bytes:
        """Return what is in the file: of one size always, so that it is written in place."""
        return b'{"lines":%12d,"size_bytes":%16d,"last":"%-16b"}\n' % (
            self.lines,
            self.size_bytes,
            self.last.encode(),
        )


_decode = Decoder(Tail).decode


def digest_of(line: bytes) -> str:
    """Return the digest of a line without its end."""
    return sha256(line).hexdigest()[:DIGITS]


def read_tail(folder: str | Path) -> Tail | None:
    """Return the tail of the manifest in `folder`; None if there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none.
    """
    try:
        tail = _decode(read_regular(Path(folder, TAIL), MOST_BYTES))
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return Tail(tail.lines, tail.size_bytes, tail.last.strip())


class Chain:
    """Follows the lines of a manifest.

    Args:
        tail: How far it was; None if that is not known.
    """

    def __init__(self, tail: Tail | None) -> None:
        self.lines = 0
        self.last = ""
        """The digest of the last line."""
        self.begins = 0
        """Number of the first line that names the one before it; 0 if none does."""
        self._tail = tail or Tail()
        self._reached = 0
        """Number of the line that was the last one by the tail."""

    def follow(self, line: bytes, prev: str | None) -> str:
        """Take the next line; return what is wrong with its place, empty if nothing is.

        Args:
            line: Without its end.
            prev: The digest that it carries; None if it cannot be read.
        """
        before, self.last = self.last, digest_of(line)
        self.lines += 1
        if self.last == self._tail.last:
            self._reached = self.lines
        if prev is None or (not prev and not self.begins):
            return ""
        self.begins = self.begins or self.lines
        if not prev:
            return NOT_CHAINED
        return "" if prev == before else MISSING_BEFORE

    def missing_at_end(self) -> str:
        """Return what the tail says is missing of all lines; empty if nothing is."""
        tail = self._tail
        if not tail.last or self._reached == tail.lines:
            return ""
        if self._reached:
            return "" if self.begins else self._counted(self._reached)
        return self._counted(self.lines)

    def _counted(self, lines: int) -> str:
        missing = self._tail.lines - lines
        if missing <= 0:
            return f"its last line, by {TAIL}, is missing, or was changed"
        what = "line is" if missing == 1 else "lines are"
        return f"{missing} {what} missing before here, as {TAIL} tells"

    @property
    def unproven_lines(self) -> int:
        """Lines at the beginning that an earlier version wrote, without saying what is before."""
        if self.begins:
            return self.begins - 1 if self.begins > 2 else 0  # the second names the first
        return 0 if self._tail.last and self.lines == 1 else self.lines
