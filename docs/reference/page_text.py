"""The parts of the reference pages: tables, anchors, and the sentences of docstrings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, UnsetType, structs

from tickerplant.documented_fields import field_docs, structs_in

Cells: TypeAlias = Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    head: str
    """The titles of its columns, separated by bars."""
    rows: Callable[[], Iterable[Cells]]

    def __call__(self) -> str:
        """Return it as Markdown."""
        return table(self.head, self.rows())


_JSON_TYPES: dict[object, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "number",
    list: "list",
    tuple: "list",
}


def table(head: str, rows: Iterable[Cells]) -> str:
    """Return a Markdown table; the cells of its head are separated by bars."""
    titles = head.split(" | ")
    lines = [titles, ["---"] * len(titles), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return text that does not end its cell; outside of code, `<` would begin a tag."""
    parts = one_line(text).replace("|", "\\|").split("`")
    return "`".join(
        part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts)
    )


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def one_line(text: str) -> str:
    """Return text without its line breaks."""
    return " ".join(text.split())


def code(*names: str) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def fields_table(kind: type[Struct]) -> str:
    """Return the table of the JSON keys of a Struct."""
    return table("key | type | meaning", field_rows(kind))


def field_rows(kind: type[Struct]) -> Iterable[Cells]:
    """Yield key, type and meaning of each field that a Struct has of its own."""
    docs, types = field_docs(kind), get_type_hints(kind)
    if kind.__struct_config__.tag is not None and kind.__struct_config__.tag_field == "event":
        yield "`event`", "text", f"`{kind.__struct_config__.tag}`."
    for field in structs.fields(kind):
        if field.name in kind.__annotations__:  # not those that it inherits
            doc = docs.get(field.name, "").replace("None", "`null`")
            yield f"`{field.encode_name}`", json_type(types[field.name]), doc


def json_type(hint: object) -> str:
    """Return the JSON type of a field in words, with `null` if it may be missing."""
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    is_optional = type(None) in parts
    bare = next(each for each in parts if each not in {type(None), UnsetType})
    kind = str if get_origin(bare) is Literal else get_origin(bare) or bare
    inner = [each.__name__ for each in structs_in(bare)]
    words = _JSON_TYPES.get(kind, "text")
    if inner:
        words = f"`{inner[0]}`" if isinstance(kind, type) and issubclass(kind, Struct) else words
        words += f" of `{inner[0]}`" if words in {"list", "object"} else ""
    return f"{words} or null" if is_optional else words
