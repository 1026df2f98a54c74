"""Numbers, times, sizes and foreign text as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from signal import Signals
from unicodedata import combining, east_asian_width

LARGEST = 10**18
"""Largest number that is shown in full; Python prints none of more than 4300 digits."""
LATEST_S = 253_402_300_799
"""The last second that has a date: the end of the year 9999."""
_KILO = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_LINE = 200
"""Characters that `one_line` keeps."""
LONGEST_MESSAGE = 1_000
"""The same of the message of an error that a server sent."""


def number_text(number: int) -> str:
    """Return a number with separators; for one beyond `LARGEST` only that it is larger."""
    return f"{number:,}" if number <= LARGEST else f"over {LARGEST:.0e}"


def count_text(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun, such as `1 gap` or `1,204 gaps`.

    Args:
        number: How many there are.
        singular: The noun for one.
        plural: The noun for any other number; `singular` with an `s` if empty.
    """
    return f"{number_text(number)} {singular if number == 1 else plural or singular + 's'}"


def names_text(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def duration_text(milliseconds: float) -> str:
    """Return a duration in at most two units: `0.4 s`, `42 s`, `3 m 05 s`, `2 h 10 m`."""
    seconds = max(milliseconds, 0) / 1_000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"


def date_text(time_ms: int) -> str:
    """Return a time as an ISO date and time of day in UTC, to the second, without a zone.

    A time before 1970 or after the year 9999 is shown as the first or last one that has a date.
    """
    return _second_text(min(max(time_ms // 1_000, 0), LATEST_S))


def iso_text(time_ns: int) -> str:
    """Return a time in ns since the epoch as an ISO date in UTC, to the millisecond."""
    time = _EPOCH + timedelta(milliseconds=time_ns // 1_000_000)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_text(time_ns: int) -> str:
    """Return a time as ISO 8601 in UTC, to the microsecond, such as `2026-01-01T00:00:00.000001Z`."""
    return f"{date_text(time_ns // 1_000_000)}.{time_ns // 1_000 % 1_000_000:06d}Z"


def clock_text(time_ms: int) -> str:
    """Return the time of day in UTC, to the second, such as `12:00:00Z`."""
    return f"{date_text(time_ms)[11:]}Z"


def size_text(size_bytes: int) -> str:
    """Return a number of bytes, such as `812 bytes` or `1.2 MB`; the units are decimal."""
    size, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= _KILO and len(units) > 1:
        size /= _KILO
        del units[0]
    return f"{size:,.0f} {units[0]}" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"


def exit_text(status: int | None) -> str:
    """Return how a process ended: its exit status, or the signal that a negative one stands for."""
    names = {-each: f"killed by {each.name}" for each in Signals}
    return names.get(status or 0, f"exit status {status}")


def printable(text: str) -> str:
    """Return `text` with `·` for every character that a terminal might obey instead of showing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "·" for c in text)


def encodable(text: str) -> str:
    r"""Return `text` with what UTF-8 cannot encode written as `\xNN`: bytes of an odd file name or argument."""
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode(errors="backslashreplace").decode()


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """Return the beginning of `text` on one line, without unprintable characters."""
    begin = text[: 4 * longest]
    shown = " ".join("".join(c if c.isprintable() else " " for c in begin).split())
    is_whole = len(begin) == len(text) and len(shown) <= longest
    return shown if is_whole else f"{shown[:longest]} …"


def printable_json(text: bytes) -> bytes:
    """Return JSON with escapes for the characters that a terminal might obey instead of showing.

    The value stays the same, except that bytes that are not UTF-8 are replaced.
    """
    lines = text.decode(errors="replace").split("\n")  # a newline is never inside a string
    if not all(line.isprintable() for line in lines):
        lines = ["".join(c if c.isprintable() else _json_escape(c) for c in line) for line in lines]
    return "\n".join(lines).encode()


def _json_escape(character: str) -> str:
    """Return the JSON escape of a character: two escapes if it is beyond the first 65,536."""
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes; a letter of East Asia takes two."""
    if text.isascii():
        return len(text)
    return sum(1 + (east_asian_width(each) in "WF") for each in text if not combining(each))


def columns(rows: Sequence[Sequence[str]], right: Container[str] = ()) -> Iterator[str]:
    """Yield rows as lines, each column as wide as its widest cell.

    Args:
        rows: The rows; the first has the titles.
        right: Titles of the columns that are aligned to the right.
    """
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = []
        for title, cell, width in zip(rows[0], row, widths, strict=True):
            gap = " " * (width - display_width(cell))
            cells.append(gap + cell if title in right else cell + gap)
        yield "  ".join(cells).rstrip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield a table as lines: in columns, or in paragraphs if the columns are wider than `width`.

    A paragraph begins with the first cell that is not empty and ends with the last cell.
    """
    lines = list(columns([head, *rows]))
    if width is None or max(map(display_width, lines)) <= width:
        yield from lines
        return
    for row in rows:
        cells = [(title, cell) for title, cell in zip(head, row, strict=True) if cell]
        (_, heading), *facts, (_, sentence) = cells
        yield heading
        for text in ("; ".join(f"{title} {cell}" for title, cell in facts), sentence):
            yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ")
