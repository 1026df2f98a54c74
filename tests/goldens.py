"""Goldens: text that is kept beside the tests and compared as a whole.

`REWRITE_GOLDENS=1` in the environment writes them anew; what changed is then read in the diff.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDENS = Path(__file__).parent / "goldens"
REWRITE = "REWRITE_GOLDENS"
PROMPT = "$ "

Ended = tuple[int, str, str]
"""The status of a command, and what it printed to standard output and standard error."""


def compare(name: str, text: str) -> None:
    """Fail unless `text` is that of a golden."""
    path = GOLDENS / name
    if os.environ.get(REWRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"see {REWRITE} in tests/goldens.py"


def play(name: str, run: Callable[..., Ended]) -> None:
    """Run the command lines of a golden, and compare what each printed and how it ended.

    A golden has lines such as `$ tickerplant ask depth`, perhaps after variables; under each are
    its output, its errors after `!`, and its status.  `printf` writes a file; `#` begins a comment.
    To add a command, write its line and write the golden anew.
    """
    played = []
    for line in (GOLDENS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            played.append(f"{line}\n")
        elif line.startswith(PROMPT):
            played.append(f"{line}\n{_said(line.removeprefix(PROMPT), run)}")
    assert played, f"{name} has no command"
    compare(name, "\n".join(played))


def _said(line: str, run: Callable[..., Ended]) -> str:
    program, *words = shlex.split(line)
    if program == "printf":
        Path(words[-1]).write_text(words[0].replace("\\n", "\n"), encoding="utf-8")
        return ""
    with pytest.MonkeyPatch.context() as patch:
        while "=" in program:
            patch.setenv(*program.split("=", 1))
            program, *words = words
        status, out, err = run(*words)
    errors = "".join(f"! {each}\n" for each in err.splitlines())
    return f"{out}{errors}[{status}]\n"
