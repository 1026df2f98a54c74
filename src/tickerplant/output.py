"""What commands print: answers as JSON or as tables, and errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

import click


def print_error(text: str) -> None:
    """Print one line on standard error."""
    from tickerplant.formatting import printable  # noqa: PLC0415  # it may quote an upstream

    click.echo(printable(f"tickerplant: {text}"), err=True)


def print_json(value: object, *, is_compact: bool = False) -> None:
    """Print a value as JSON: indented, unless it is to be on one line; escaped on a terminal."""
    import msgspec  # noqa: PLC0415

    from tickerplant.formatting import printable_json  # noqa: PLC0415

    data = msgspec.json.encode(value)
    text = data if is_compact else msgspec.json.format(data)
    # As bytes: JSON is UTF-8, whatever the encoding of the terminal.
    click.echo(text if terminal_width() is None else printable_json(text))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, which may quote a server."""
    from tickerplant.formatting import printable  # noqa: PLC0415

    for line in lines:
        click.echo(printable(line))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: fitted to the width of a terminal, one line per row elsewhere."""
    from tickerplant.formatting import table  # noqa: PLC0415

    print_lines(table(tuple(head), [tuple(row) for row in rows], terminal_width()))


def terminal_width() -> int | None:
    """Return the columns of the terminal; None if standard output is none."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None
