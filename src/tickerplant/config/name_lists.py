"""Names that the user gives one by one, in a file, or on standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from tickerplant.formatting import count_text
from tickerplant.regular_files import read_regular

FILE_PREFIX = "@"
"""Marks the path of a file of names; no name of a stream or symbol begins with it."""
STANDARD_INPUT = "-"
COMMENT_PREFIX = "#"
MAX_FILE_BYTES = 1 << 24


def names_in(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names in `arguments`, each with its place in a file, or an empty text.

    `@FILE` stands for the names in a file, and `-` for those on standard input: one in each line;
    `#` begins a comment.

    Raises:
        ValueError: a file cannot be read; the message says what is expected.
    """
    for argument in arguments:
        if argument == STANDARD_INPUT:
            yield from _lines(_standard_input(), "standard input")
        elif argument.startswith(FILE_PREFIX):
            path = argument.removeprefix(FILE_PREFIX)
            yield from _lines(_content(path), path)
        else:
            yield argument, ""


def _lines(text: str, place: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if name := line.partition(COMMENT_PREFIX)[0].strip():
            yield name, f"{place}, line {number}"


def _content(path: str) -> str:
    try:
        return _decoded(read_regular(path, MAX_FILE_BYTES, pipes=True))
    except OSError as error:
        raise ValueError(_expected(error.strerror or str(error))) from None


def _standard_input() -> str:
    if sys.stdin is None:
        raise ValueError(_expected("standard input is closed"))
    try:
        data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(_expected(error.strerror or str(error))) from None
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(_expected(f"it has more than {count_text(MAX_FILE_BYTES, 'byte')}"))
    return _decoded(data)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(_expected("it is not UTF-8")) from None


def _expected(reason: str) -> str:
    return f"a file with one name in each line: {reason}"
