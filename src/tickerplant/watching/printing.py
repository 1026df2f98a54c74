"""What goes to standard output: JSON that a terminal may show, and what if nothing can go there."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

FAILED = 1
"""The exit status where nothing can be printed."""


def shown_json(text: bytes) -> bytes:
    """Return JSON as a terminal may have it: signs that it would obey are escaped.

    The value stays the same.  What is not UTF-8 is replaced, as nothing else could show it.
    """
    said = text.decode(errors="replace")
    lines = said.split("\n")  # only between tokens: in a string it would be escaped
    if all(line.isprintable() for line in lines):
        return said.encode()
    return "\n".join(map(_escaped, lines)).encode()


def _escaped(line: str) -> str:
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in line)


def _escape(sign: str) -> str:
    """Return a sign as JSON writes it in ASCII, in two parts if it is of the higher planes."""
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def cannot_print(failure: OSError) -> int:
    """Say why nothing can be printed any more, and return the exit status.

    It is no failure if nobody reads any more: who read has enough.
    """
    _drop_the_rest()
    if isinstance(failure, BrokenPipeError):
        return 0
    click.echo(f"tickerplant: standard output: {failure.strerror}", err=True)
    return FAILED


def _drop_the_rest() -> None:
    """Let what is buffered go nowhere: Python would try to write it again at the end, and fail."""
    with suppress(OSError, ValueError, AttributeError):  # there is no such file: nothing is left
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
