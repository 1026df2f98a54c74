"""Tests run the same for everybody: their examples, and what they leave out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PATIENCE_S, ROOT

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

TESTS = """
from hypothesis import given, strategies as st
import pytest
{more}

@given(st.integers(), st.text())
def test_what_is_drawn_is_written_down(number, text):
    with open("drawn", "a", encoding="utf-8") as file:
        print(repr((number, text)), file=file)

@pytest.mark.parametrize("n", range(3))
def test_something_else(n):
    pytest.skip("there is no such thing" if n else "it rains")
"""


def drawn(folder: Path, *options: str, more: str = "") -> list[str]:
    """Run the tests in a folder of their own; return the examples and the last line."""
    folder.mkdir()
    (folder / "test_it.py").write_text(TESTS.format(more=more))
    run = subprocess.run(  # noqa: S603  # our own tests
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "test_it.py", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return [*(folder / "drawn").read_text().splitlines(), run.stdout.splitlines()[-1]]


def test_examples_depend_on_nothing_but_their_test(tmp_path: Path) -> None:
    more = "import tickerplant.config.settings, tickerplant.messages.readers"
    first = drawn(tmp_path / "one")
    assert drawn(tmp_path / "two", more=more) == first
    assert drawn(tmp_path / "three", "--hypothesis-profile", "fresh") != first
    assert not (tmp_path / "one" / ".hypothesis" / "examples").exists()


def test_the_last_line_says_what_was_skipped_and_why(tmp_path: Path) -> None:
    for number, options in enumerate([(), ("--numprocesses", "2")]):
        last = drawn(tmp_path / str(number), *options)[-1]
        assert last == "3 skipped (2: there is no such thing; 1: it rains)"
