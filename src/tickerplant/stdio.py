"""Standard output and standard error, made safe: either may be closed, full, or a broken pipe."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FAILED = 1
"""The exit status of a failure."""
_ASCII_FALLBACK = "tickerplant-ascii"
"""Name of the error handler for characters that an encoding lacks."""


class CannotPrint(Exception):  # noqa: N818 - a condition to handle rather than an error
    """Standard output cannot be written to."""

    def __init__(self, failure: OSError) -> None:
        super().__init__(failure.strerror)
        self.failure = failure


def install() -> None:
    """Replace standard output and standard error by safe ones.

    Standard error drops what it cannot write.  Standard output raises `CannotPrint` the first time
    and drops everything after that; characters that its encoding lacks become similar ASCII ones.
    The null device takes the place of one that is closed, and of a closed standard input: otherwise the
    next socket would, and the log would be written into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):  # there is no null device
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets this number
                setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    codecs.register_error(_ASCII_FALLBACK, _ascii_fallback)
    sys.stdout = _rewrapped(sys.stdout, _Output, _ASCII_FALLBACK)
    sys.stderr = _rewrapped(sys.stderr, _Errors, "backslashreplace")


def cannot_print(failure: OSError) -> int:
    """Report why standard output failed, and return the exit status.

    A broken pipe is a success: the reader has what it wanted.
    """
    if isinstance(failure, BrokenPipeError):
        return 0
    click.echo(f"tickerplant: standard output: {failure.strerror}", err=True)
    return FAILED


class _Output(io.FileIO):
    """A file that raises `CannotPrint` on its first failure and accepts everything after that.

    Otherwise the buffer above it would try again when the program ends.
    """

    _is_over = False

    def write(self, data: ReadableBuffer, /) -> int:
        length = memoryview(data).nbytes
        if self._is_over or not length:  # an empty write only tests whether it can be written to
            return length
        try:
            return super().write(data)
        except OSError as failure:
            self._is_over = True
            raise CannotPrint(failure) from None


class _Errors(io.FileIO):
    """A file that drops what it cannot write."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            taken = super().write(data)
        except OSError:
            taken = 0
        # A full non-blocking pipe writes nothing and returns None.
        return taken or memoryview(data).nbytes


def _rewrapped(stream: TextIO, file: Callable[..., io.FileIO], errors: str) -> TextIO:
    """Return `stream` on top of a raw file of class `file`; `stream` itself if it is closed."""
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


def _ascii_fallback(error: UnicodeError) -> tuple[str, int]:
    """Return similar ASCII characters for those that cannot be encoded: USDS-M for USDⓈ-M."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    ascii_text = unicodedata.normalize("NFKC", missing).encode("ascii", "replace").decode()
    return ascii_text, error.end
