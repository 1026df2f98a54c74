from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE_S, hear_hangups, open_terminal

pytestmark = [pytest.mark.sockets, pytest.mark.slow("programs get signals")]

SERVES = [
    *(sys.executable, "-m", "tickerplant", "simulate", "--symbols", "BTCUSDT"),
    *("--usdm-port", "0", "--coinm-port", "0", "--json"),
]
WITHOUT_IT = "SIGHUP: there is no certificate to read again"


@contextmanager
def serving(
    *before: str, stdin: int = subprocess.DEVNULL, **options: bool
) -> Iterator[subprocess.Popen[str]]:
    """A program that serves, in a session of its own."""
    process = subprocess.Popen(  # noqa: S603  # our own program
        [*before, *SERVES],
        preexec_fn=hear_hangups,  # noqa: PLW1509  # no thread of ours starts another
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "it prints its addresses"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_hangup_without_a_terminal_and_a_certificate_is_only_logged() -> None:
    with serving() as process:
        assert process.stderr is not None
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            while WITHOUT_IT not in (line := process.stderr.readline()):
                assert line, "it serves on"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_under_nohup_a_hangup_is_ignored(tmp_path: Path) -> None:
    with serving("nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert WITHOUT_IT not in err


def test_a_terminal_that_closes_ends_the_program() -> None:
    controller, terminal = open_terminal()
    takes_terminal = "import fcntl,os,sys,termios\nfcntl.ioctl(0,termios.TIOCSCTTY,0)\nos.execv(sys.argv[1],sys.argv[1:])"
    with serving(sys.executable, "-c", takes_terminal, stdin=terminal) as process:
        os.close(terminal)
        os.kill(process.pid, signal.SIGHUP)
        assert process.stderr is not None
        while WITHOUT_IT not in (line := process.stderr.readline()):
            assert line, "a signal alone does not end it"
        os.close(controller)
        assert process.wait(PATIENCE_S) == 0
