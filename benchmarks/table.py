"""Results as tables: printed for people, given as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import TypeAlias

from msgspec import Struct, field

Cell: TypeAlias = str | int | float | None
"""One result; None is printed as a dash."""

NOTHING = "-"
DIGITS = 3
"""Significant digits of a printed figure."""


class Table(Struct, frozen=True, kw_only=True):
    """What one benchmark found."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[tuple[str, ...]]:
        """Return the titles of the columns, and the rows as they are printed."""
        return [self.columns, *(tuple(map(shown, row)) for row in self.rows)]

    def text(self) -> str:
        """Return the table as Markdown, its columns aligned, its notes below."""
        lines = self.cells()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head, *body = ("| " + " | ".join(map(_justified, line, widths)) + " |" for line in lines)
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([f"## {self.title}", "", head, rule, *body, "", *self.notes])


def _justified(cell: str, width: int) -> str:
    """Put numbers to the right and words to the left."""
    return cell.rjust(width) if cell[:1].isdigit() or cell == NOTHING else cell.ljust(width)


def shown(cell: Cell) -> str:
    """Return a result as it is printed: figures with as many digits as they deserve."""
    if cell is None:
        return NOTHING
    if isinstance(cell, float):
        size = abs(cell)
        decimals = max(DIGITS - len(str(int(size))), 0) if size >= 1 else DIGITS
        return f"{cell:,.{decimals}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def spread(values: Iterable[float]) -> str:
    """Return a median with the least and the greatest value: `4.41 [4.20-5.03]`."""
    values = list(values)
    return f"{shown(median(values))} [{shown(min(values))}-{shown(max(values))}]"


def median_ratio(values: Iterable[float], baseline: Iterable[float]) -> float:
    """Return the median of the ratios within each repetition."""
    return median(value / base for value, base in zip(values, baseline, strict=True))
