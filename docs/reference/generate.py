"""Fills the tables of the pages from the rows of the program; with `--check`, compares only.

A table stands in a page between `<!-- table: NAME -->` and `<!-- end -->`; everything else in the
page is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import conformance_tables
import program_tables
import protocol_tables

DOCS = Path(__file__).parent.parent
BLOCK = re.compile(r"^<!-- table: ([\w-]+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
STALE = 1

TABLES: dict[str, Callable[[], str]] = {
    **protocol_tables.TABLES,
    **program_tables.TABLES,
    "conformance": conformance_tables.conformance,
}
"""What fills a block, by its name."""


def filled(text: str) -> str:
    """Return a page with its tables as they should be.

    Raises:
        KeyError: there is no such table.
    """

    def block(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n\n{TABLES[found[1]]()}\n\n<!-- end -->"

    return BLOCK.sub(block, text)


def stale_pages() -> dict[Path, str]:
    """Return the pages whose tables are not as they should be, with their new text."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
    return {path: new for path, text in texts.items() if (new := filled(text)) != text}


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or with `--check` say which pages are stale; return the exit status."""
    stale = stale_pages()
    for path, text in stale.items():
        name = f"docs/{path.relative_to(DOCS)}"
        if arguments == ["--check"]:
            sys.stderr.write(f"{name} is stale: make docs\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}\n")
    return STALE if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
