from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PATIENCE_S

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BUILD = DOCS / "build_site.py"
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
INDEXES = sorted(DOCS.glob("*/index.md"))
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in DOCS.rglob("*.md")
    if path.name != "index.md" and path.parent.name != "decisions"
)


def links(page: Path) -> set[str]:
    """The files that a page links to, as paths in the repository."""
    folder = page.parent.relative_to(ROOT).as_posix()
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return {posixpath.normpath(posixpath.join(folder, link)) for link in found}


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, str(BUILD), "--root", str(root), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A repository with a few pages."""
    root = tmp_path / "repository"
    shutil.copytree(DOCS / "explanation", root / "docs" / "explanation")
    for name in ("tutorial", "how-to", "scenarios", "reference", "contributing"):
        (root / "docs" / name).mkdir()
        (root / "docs" / name / "index.md").write_text(f"# {name}\n", encoding="utf-8")
    (root / "docs" / "index.md").write_text("# Here\n", encoding="utf-8")
    for page in (root / "docs" / "explanation").glob("*.md"):
        # Links to other sections, which are not here.
        text = re.sub(r"\[([^]]*)\]\(\.\.[^)]*\)", r"\1", page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    for name in ("mkdocs.yml", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        (root / name).write_text("# A file\n", encoding="utf-8")
    shutil.copy(ROOT / "mkdocs.yml", root)
    return root


@pytest.mark.sockets
@pytest.mark.heavy
def test_the_site_has_no_broken_link_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    out = tmp_path / "site"
    built = build(ROOT, out)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (out / "index.html").is_file()
    assert "Record streams" in (out / "search.js").read_text(encoding="utf-8")
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
    pages = list(out.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert not [found for page in pages for found in loaded.findall(page.read_text("utf-8"))]


@pytest.mark.sockets
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("", ""),
        ("[missing](missing.md)", "page does not exist"),
        ("[anchor](time.md#nowhere)", "anchor does not exist"),
        ("[outside](../../setup.cfg)", "../../setup.cfg has no page in the site"),
    ],
)
def test_a_broken_link_ends_the_build(
    added: str, problem: str, copied: Path, tmp_path: Path
) -> None:
    with (copied / "docs" / "explanation" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{added}\n")
    built = build(copied, tmp_path / "site")
    assert built.returncode == (1 if problem else 0), built.stdout + built.stderr
    assert problem in built.stdout + built.stderr
    assert (tmp_path / "site" / "index.html").is_file() == (not problem)


def test_every_page_is_listed_in_one_index() -> None:
    listed = [target for index in INDEXES for target in links(index) if target in PAGES]
    unlisted = sorted(set(PAGES) - set(listed) - {"docs/index.md"})
    assert not unlisted, "list it, with a sentence, in the index.md of its section"
    for page in PAGES:
        assert f"{posixpath.dirname(page)}/index.md" in {
            index.relative_to(ROOT).as_posix() for index in INDEXES
        }


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_way_on_and_a_page_that_leads_to_it(page: str) -> None:
    assert links(ROOT / page) - {page}, "link to what a reader wants next"
    leading = [
        other.name for other in DOCS.rglob("*.md") if other != ROOT / page and page in links(other)
    ]
    assert leading, "a page that mentions this should link to it"
