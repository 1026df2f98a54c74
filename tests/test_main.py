from __future__ import annotations

import pytest
from programs import ended

pytestmark = pytest.mark.slow("programs are run")

RAISING = """
import asyncio
import sys

class Left:
    def __del__(self):
        raise OSError

class Raising:
    def find_spec(self, name, path, target=None):
        if name == "tickerplant.{module}":
            left = asyncio.sleep(0), Left()
            raise {error}

sys.meta_path.insert(0, Raising())
from tickerplant.__main__ import main

main()
"""


def run(module: str, error: str, *words: str) -> tuple[int, str, str]:
    """Run the program with a module that raises when it is imported."""
    program = RAISING.format(module=module, error=error)
    done = ended("-c", program, *words)
    return done.returncode, done.stdout, done.stderr


def test_an_interrupt_during_startup_exits_silently() -> None:
    assert run("cli", "KeyboardInterrupt") == (130, "", "")


@pytest.mark.parametrize("module", ["cli", "serving.run"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("PermissionError(13, 'Permission denied', '/srv/a\\nb')", "/srv/a b: Permission denied"),
        ("KeyError('getpwuid(): uid not found: 12345')", "KeyError: 'getpwuid(): uid not"),
        ("RuntimeError('one\\ntwo')", "RuntimeError: one two"),
    ],
)
def test_an_error_that_nobody_listed_is_one_line(module: str, error: str, said: str) -> None:
    status, out, err = run(module, error, "simulate", "--usdm-port", "0", "--coinm-port", "0")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tickerplant: simulate failed: {said}")
    assert "Traceback" in run(module, error, "simulate", "-v")[2]


def test_the_program_can_be_run_as_a_module() -> None:
    done = ended("-m", "tickerplant", "--version")
    assert done.stdout.startswith("tickerplant")
