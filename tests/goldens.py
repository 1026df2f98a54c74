"""Goldens: text that is kept beside the tests and compared as a whole.

`REWRITE_GOLDENS=1` in the environment writes them anew; what changed is then read in the diff.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

GOLDENS = Path(__file__).parent / "goldens"
REWRITE = "REWRITE_GOLDENS"
COMMAND = "$ tickerplant"

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

    A golden has lines such as `$ tickerplant ask depth`; under each are its output, its errors
    after `!`, and its status.  To add a command, write its line and write the golden anew.
    """
    lines = (GOLDENS / name).read_text(encoding="utf-8").splitlines()
    played = []
    for line in lines:
        if not line.startswith(COMMAND):
            continue
        status, out, err = run(*shlex.split(line.removeprefix(COMMAND)))
        errors = "".join(f"! {each}\n" for each in err.splitlines())
        played.append(f"{line}\n{out}{errors}[{status}]\n")
    assert played, f"{name} has no command"
    compare(name, "\n".join(played))
