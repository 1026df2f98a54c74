"""Builds the site from the pages of this folder; any problem in them ends it with exit status 1.

The pages are copied to a folder of their own first, so that they need nothing of the tool that
builds the site.  Three things are done to the copy.  The index page of each section is the one home
of its order: the links in it, under their headings, become the navigation.  Links to files outside
this folder are pointed to pages that are made from these files.  And the pages of
`reference/site_pages.py` are added, where `<!-- site: NAME, … -->` stands in a page of the reference.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "reference"))
from site_pages import PAGES as SITE_PAGES  # its folder has to be known first

FOLDER = "docs"
CONFIG = "mkdocs.yml"
PAGES, BUILT = "pages", "site"
SECTIONS = {
    "Tutorials": "tutorial",
    "How-to": "how-to",
    "Reference": "reference",
    "Explanation": "explanation",
    "Contributing": "contributing",
}
"""The tabs of the site and their folders."""
REFERENCE = "reference"
SOURCE = "src"
FILES = ("assets", "images")
"""Folders that are copied as they are."""
EXAMPLES = "examples"
LANGUAGES = {".py": "python", ".mjs": "javascript", ".sh": "bash"}
SHOWN = {*LANGUAGES, ".md", ".ipynb"}
"""What has a page of the examples, by its end."""
OUTSIDE = {
    "ARCHITECTURE.md": "contributing/architecture.md",
    "CONTRIBUTING.md": "contributing/how-to-contribute.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "LICENSE": "contributing/licence.md",
}
"""Files outside docs/ that have a page in the site; each of the examples has one, too."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_ENTRY = re.compile(
    r"^(?:[-|] *\[(?P<title>.*?)\]\((?P<target>[^)#\s]+)\)|## (?P<heading>.+))", re.MULTILINE
)
_ADDED = re.compile(r"^<!-- site: (.+) -->$", re.MULTILINE)
_NEEDS = re.compile(r"^```(\w+) needs=\S+$", re.MULTILINE)
_LAST_HEADING = "See also"


class BadLinkError(Exception):
    """A link that leads to no page of the site."""


class Site:
    """The pages of the site and where their text comes from."""

    def __init__(self, root: Path) -> None:
        found = (root / EXAMPLES).rglob("*.*")
        examples = sorted(path.relative_to(root) for path in found if path.suffix in SHOWN)
        self.root = root
        self.outside = OUTSIDE | {
            path.as_posix(): path.with_suffix(".md").as_posix() for path in examples
        }

    def sources(self) -> dict[str, str]:
        """Return each page with its file, both as relative paths."""
        folder = self.root / FOLDER
        inside = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
        pages = {page: f"{FOLDER}/{page}" for page in inside}
        return pages | {page: path for path, page in self.outside.items()}

    def write(self, folder: Path) -> None:
        """Write the pages, their assets and the configuration into an empty folder.

        Raises:
            BadLinkError: a page links to a file that has no page.
        """
        pages = folder / PAGES
        for page, source in self.sources().items():
            (pages / page).parent.mkdir(parents=True, exist_ok=True)
            (pages / page).write_text(self.text(page, source), encoding="utf-8")
        for name, (_, make) in SITE_PAGES.items():
            added = pages / REFERENCE / f"{name}.md"
            added.parent.mkdir(exist_ok=True)
            added.write_text(make(), encoding="utf-8")
        (folder / SOURCE).symlink_to(self.root / SOURCE)
        for name in FILES:
            if (self.root / FOLDER / name).is_dir():
                shutil.copytree(self.root / FOLDER / name, pages / name)
        config = (self.root / CONFIG).read_text(encoding="utf-8")
        nav = json.dumps(["index.md", *({it: self.navigation(SECTIONS[it])} for it in SECTIONS)])
        (folder / CONFIG).write_text(f"{config}nav: {nav}\n", encoding="utf-8")

    def text(self, page: str, source: str) -> str:
        """Return the text of a page, with links that lead to pages."""
        text = self.read(source)
        if language := LANGUAGES.get(posixpath.splitext(source)[1]):
            return f"# {source}\n\n```{language}\n{text}```\n"
        if source.endswith(".ipynb"):
            return "\n\n".join(map(_cell, json.loads(text)["cells"])) + "\n"
        if not source.endswith(".md"):
            return f"# Licence\n\n```text\n{text}```\n"

        def moved(link: re.Match[str]) -> str:
            target = self.page_of(posixpath.join(posixpath.dirname(source), link[1]))
            if target is None:
                raise BadLinkError(f"{source}: {link[1]} has no page in the site")
            return os.path.relpath(target, posixpath.dirname(page) or ".") + (link[2] or "")

        return _NEEDS.sub(r"```\1", _LINK.sub(moved, text))

    def read(self, source: str) -> str:
        """Return the text of a file, with links to the pages that are added to the site."""
        return _ADDED.sub(_links, (self.root / source).read_text(encoding="utf-8"))

    def page_of(self, path: str) -> str | None:
        """Return the page of a file or folder of the repository, None if it has none."""
        path = posixpath.normpath(path)
        if not path.startswith(f"{FOLDER}/"):
            return self.outside.get(path)
        inside = path.removeprefix(f"{FOLDER}/")
        # What is not there is left for the tool to report, with its line.
        return f"{inside}/index.md" if (self.root / path).is_dir() else inside

    def navigation(self, section: str) -> list[Any]:
        """Return the pages that an index page lists, grouped by its headings."""
        index = f"{section}/index.md"
        text = self.read(f"{FOLDER}/{index}")
        groups: list[Any] = [index]
        into = groups
        for entry in _ENTRY.finditer(text.partition(f"## {_LAST_HEADING}")[0]):
            if entry["heading"]:
                into = []
                groups.append({entry["heading"]: into})
                continue
            page = self.page_of(f"{FOLDER}/{section}/{entry['target']}")
            if page is None:
                raise BadLinkError(f"{FOLDER}/{index}: {entry['target']} has no page in the site")
            part, name = posixpath.split(page)
            into.append({entry["title"]: self.navigation(part)} if name == "index.md" else page)
        return groups


def _links(added: re.Match[str]) -> str:
    """Return a list of links to the pages that a comment names."""
    names = added[1].split(", ")
    return "\n".join(f"- [{SITE_PAGES[name][0]}]({name}.md)" for name in names)


def _cell(cell: Any) -> str:
    """Return a cell of a notebook as Markdown."""
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def main(arguments: Sequence[str]) -> int:
    """Build the site; return the exit status."""
    root = Path(__file__).parent.parent
    parser = argparse.ArgumentParser(description="Build the site from docs/.")
    parser.add_argument("--out", type=Path, default=root / BUILT, metavar="FOLDER")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        copied = Path(name)
        try:
            Site(root).write(copied)
        except BadLinkError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file"]
        built = subprocess.run([*command, copied / CONFIG], check=False)  # noqa: S603  # our tool
        if built.returncode == 0:
            shutil.rmtree(options.out, ignore_errors=True)
            shutil.move(copied / BUILT, options.out)
    return built.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
