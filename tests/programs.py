"""Programs that tests start: the command line, examples, and the programs of pages."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Timer

import pytest

from tickerplant.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A complete program in a page; one that needs further packages begins with "```python needs="."""
USDM, COINM = "127.0.0.1:9001", "127.0.0.1:9002"
"""The addresses in the pages; a test puts those of its own server in their place."""
PATIENCE_S = 90
"""How long a test waits for what must happen, on a busy machine too."""

Addresses = dict[str, str]


def open_terminal() -> tuple[int, int]:
    """Return both ends of a pseudo-terminal; a test ends here where there are none."""
    try:
        return pty.openpty()
    except OSError:
        pytest.skip("there are no pseudo-terminals here")


def hear_hangups() -> None:
    """Let a program that is started end when its terminal does, also if the tests run under `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_open(process: int, path: str) -> None:
    """Return when a process reads a file."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):  # a file that it has just closed
            if any(str(each.readlink()) == path for each in Path(f"/proc/{process}/fd").iterdir()):
                return
        assert time.monotonic() < deadline_s, f"{path} was not opened"
        time.sleep(0.001)


def without_settings(*prefixes: str) -> dict[str, str]:
    """Return the environment without settings of the program, and without what begins otherwise so."""
    left_out = ("TICKERPLANT_", *prefixes)
    return {name: text for name, text in os.environ.items() if not name.startswith(left_out)}


@contextlib.contextmanager
def started(*arguments: str, encoding: str = "utf-8") -> Iterator[subprocess.Popen[str]]:
    """Start the program as a user does, on a terminal of some encoding; it is killed at the end."""
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "tickerplant", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding=encoding,
        preexec_fn=hear_hangups,  # noqa: PLW1509  # no thread of ours starts another
        env=without_settings() | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": encoding},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a Python program to whatever end; return how it ended, and what it printed."""
    return subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=cwd,
        env=without_settings() | {"PYTHONUNBUFFERED": "1"},
    )


@contextlib.contextmanager
def serving(*arguments: str, prefix: Sequence[str] = ()) -> Iterator[Addresses]:
    """Start the program on free ports; yield the addresses that stand for those in the pages.

    Args:
        arguments: Its command line without ports.
        prefix: What to write before the command.
    """
    command = [*prefix, sys.executable, "-m", "tickerplant", *arguments]
    with subprocess.Popen(  # noqa: S603  # our own program
        [*command, "--usdm-port", "0", "--coinm-port", "0", "--log-level", "error"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            usdm, coinm = (
                process.stdout.readline().partition("//")[2].split()[0] for _ in ("usdm", "coinm")
            )
            yield {USDM: usdm, COINM: coinm}
        finally:
            process.kill()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the sentence with which a command ends at once, in this process."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    (line,) = errors.splitlines()
    return line


def environment(addresses: Addresses) -> dict[str, str]:
    """Return the environment of a program that connects to `addresses` by default."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "TICKERPLANT_USDM_URL": f"ws://{addresses[USDM]}",
        "TICKERPLANT_COINM_URL": f"ws://{addresses[COINM]}",
    }


def run(program: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a Python program to its end; return what it printed."""
    ended = subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, *program],
        cwd=folder,
        capture_output=True,
        env=env,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, f"{program[0]} failed:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def first_lines(
    program: Sequence[str], folder: Path, count: int, env: Mapping[str, str]
) -> list[str]:
    """Return the first lines that a Python program prints, and stop it."""
    with subprocess.Popen(  # noqa: S603  # a program of this repository
        [sys.executable, *program], cwd=folder, stdout=subprocess.PIPE, env=env, text=True
    ) as process:
        guard = Timer(PATIENCE_S, process.kill)
        guard.start()
        try:
            assert process.stdout is not None
            lines = [line.rstrip("\n") for line in islice(process.stdout, count)]
        finally:
            guard.cancel()
            process.kill()
    assert len(lines) == count, f"{program[0]} printed only {lines}"
    return lines
