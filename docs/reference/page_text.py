"""What the reference pages are made of: headings, tables, and the sentences of docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

from tickerplant.documented_fields import field_docs

NOTICE = "<!-- Written by `make docs` from the tables of the program; change those instead. -->"
SECTION = re.compile(r"^(Args|Raises|Returns):\n", re.MULTILINE)
"""The headings of a docstring."""

Cells: TypeAlias = Sequence[str]


def page(title: str, *parts: str, see_also: str = "") -> str:
    """Return a page with its heading, and the way on."""
    more = ("## See also", see_also) if see_also else ()
    return "\n\n".join((f"# {title}", NOTICE, *parts, *more)) + "\n"


def table(head: Cells, rows: Iterable[Cells]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return text that does not end its cell; outside of code, `<` would begin a tag."""
    parts = text.replace("\n", " ").replace("|", "\\|").split("`")
    return "`".join(
        part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts)
    )


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def one_line(text: str) -> str:
    """Return text without its line breaks."""
    return " ".join(text.split())


def sentences(value: object) -> str:
    """Return the paragraphs of a docstring, up to its sections."""
    text = SECTION.split(inspect.getdoc(value) or "")[0].strip()
    return "\n\n".join(map(one_line, text.split("\n\n")))


def inherited_field_docs(kind: type) -> dict[str, str]:
    """Return the sentences under the fields of a Struct and those that it inherits."""
    docs: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, Struct) and each is not Struct:
            docs |= field_docs(each)
    return docs
