"""How rows of integers are written as JSON."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class Number(Struct, frozen=True):
    """A number of a row: its column, and how many of its digits are decimals."""

    column: int
    decimals: int = 0


RowForm: TypeAlias = tuple[bytes | Number, ...]
"""Numbers, and the text before, between and after them, without line feeds and NULs."""


def row_form(text: str, *numbers: Number) -> RowForm:
    """Return the form of a row as in `text`, with numbers in the place of each `{}`."""
    first, *others = text.encode().split(b"{}")
    pairs = zip(numbers, others, strict=True)
    return first, *(part for pair in pairs for part in pair)
