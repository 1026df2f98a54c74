"""What the modules of the package import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[1] / "src" / "tickerplant"
PROSE = re.compile(r'"""[\s\S]*?"""')
STATEMENT = re.compile(
    r"^ *(from +[\w.]+ +import +(?:\([^)]*\)|[^\n(]+)|import +\w[^\n]*)", re.MULTILINE
)
"""Only these are parsed: the whole package would take seconds."""


class Import(NamedTuple):
    """`importer` needs `module`, at a line of a file."""

    importer: str
    module: str
    names: tuple[str, ...]
    where: str


def name_of(path: Path) -> str:
    """The module's name without the package's; empty for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {name_of(path): str(path.relative_to(SOURCE.parent)) for path in SOURCE.rglob("*.py")}


@cache
def imports() -> tuple[Import, ...]:
    """Every import: also those for type checkers alone, and those inside functions."""
    return tuple(_imports())


def _imports() -> Iterator[Import]:
    for importer, file in FILES.items():
        text = (SOURCE.parent / file).read_text(encoding="utf-8")
        text = PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)
        for found in STATEMENT.finditer(text):
            where = f"{file}:{text.count(chr(10), 0, found.start(1)) + 1}"
            (node,) = ast.parse(found[1]).body
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(importer, alias.name, (), where)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where}: a relative import; write it in full"
                names = tuple(alias.name for alias in node.names)
                yield Import(importer, node.module or "", names, where)
