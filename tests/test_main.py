from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow("programs are run")

INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "tickerplant.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from tickerplant.__main__ import main

main()
"""


def test_an_interrupt_during_startup_exits_silently() -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_program_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "tickerplant", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.startswith("tickerplant")
