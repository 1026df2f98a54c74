"""Suites of pytest that the tests of the plugin run in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 60
PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
    # The plugin is that of an installation, and only once, whether or not this one has its entry point.
    *("-p", "no:tickerplant", "-p", "tickerplant.testing.plugin"),
)


def command(*arguments: str) -> list[str]:
    """Return the command line of a run of pytest."""
    return [*PYTEST, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a run that is not one of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def run_suite(folder: Path, suite: str, *arguments: str) -> str:
    """Write a suite, run it, and return what pytest printed."""
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    ended = subprocess.run(  # noqa: S603  # our own program
        command(*arguments),
        cwd=folder,
        capture_output=True,
        env=environment(),
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return ended.stdout + ended.stderr


def outcome(printed: str) -> dict[str, int]:
    """Return how many tests passed, failed, … in a run."""
    last = re.findall(r"^.*\d (?:passed|failed|error).* in [\d.]+s.*$", printed, re.MULTILINE)
    assert last, printed
    found = re.findall(r"(\d+) (passed|failed|error|skipped|deselected)", last[-1])
    return {name: int(count) for count, name in found}
