"""Standard output and standard error of a program that must not fall over them.

Either may be closed, full, or a pipe that nobody reads any more.
"""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FAILED = 1
"""The exit status where nothing can be printed."""
PLAINER = "plainer"
"""How Python finds what prints signs that an encoding lacks."""


class CannotPrint(Exception):  # noqa: N818 - it says what cannot be done
    """Standard output takes nothing; says why."""

    def __init__(self, failure: OSError) -> None:
        super().__init__(failure.strerror)
        self.failure = failure


def install() -> None:
    """Let standard error take everything, and standard output say once that it takes no more.

    What standard error does not take is left out: nothing ends because nobody hears of it.
    What standard output does not take raises `CannotPrint`, once; the rest is left out.
    Signs that its encoding lacks are shown as plainer ones.
    """
    codecs.register_error(PLAINER, _plainer)
    sys.stdout = _over(_Output, sys.stdout, PLAINER)
    sys.stderr = _over(_Errors, sys.stderr, "backslashreplace")


def cannot_print(failure: OSError) -> int:
    """Say why nothing can be printed any more, and return the exit status.

    It is no failure if nobody reads any more: who read has enough.
    """
    if isinstance(failure, BrokenPipeError):
        return 0
    click.echo(f"tickerplant: standard output: {failure.strerror}", err=True)
    return FAILED


class _Output(io.FileIO):
    """A file that raises `CannotPrint` when it takes nothing any more, and then takes everything.

    What is buffered above it would else be tried again when the program ends.
    """

    _is_over = False

    def write(self, data: ReadableBuffer, /) -> int:
        length = memoryview(data).nbytes
        if self._is_over or not length:  # who writes nothing only looks what can be written
            return length
        try:
            return super().write(data)
        except OSError as failure:
            self._is_over = True
            raise CannotPrint(failure) from None


class _Errors(io.FileIO):
    """A file that leaves out what it cannot take."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            taken = super().write(data)
        except OSError:
            taken = 0
        # Without room, a pipe that makes nobody wait takes nothing either, and says None.
        return taken or memoryview(data).nbytes


def _over(file: Callable[..., io.FileIO], stream: TextIO, errors: str) -> TextIO:
    """Return `stream` with `file` below it, if it is open at all."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = file(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.FileIO) else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Return the ASCII signs that stand for those that cannot be encoded: USDS-M for USDⓈ-M."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = unicodedata.normalize("NFKC", lacking).encode("ascii", "replace").decode()
    return plain, error.end
