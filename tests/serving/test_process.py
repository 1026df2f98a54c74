"""Signals, the end of standard input, and what of them ends a program."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from io import StringIO

import pytest
from loopback import looped_on_sockets
from programs import PATIENCE_S, hear_hangups, open_terminal

from tickerplant import logs
from tickerplant.startup import process
from tickerplant.startup.process import end_with_input, interruption, on_hangup

PROGRAM = """
import atexit, fcntl, sys, termios
from tickerplant.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
bus = "nats", "tickerplant.cluster."
atexit.register(lambda: print(*sorted(each for each in sys.modules if each.startswith(bus))))
main(sys.argv[1:])
"""
SERVES = ("simulate", "--symbols", "BTCUSDT", "--usdm-port", "0", "--coinm-port", "0", "--json")
WITHOUT_IT = "SIGHUP: there is no certificate to read again"


async def hear(number: signal.Signals) -> None:
    """Get a signal, and handle it."""
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@looped_on_sockets
async def test_a_hangup_is_only_logged_or_asks_for_work_and_another_signal_interrupts(
    number: signal.Signals,
) -> None:
    output, heard = StringIO(), list[int]()
    logs.configure("text", "info", output)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        interrupted = interruption()
        await hear(signal.SIGHUP)
        assert WITHOUT_IT in output.getvalue()
        on_hangup(lambda: heard.append(1))
        await hear(signal.SIGHUP)
        assert (heard, interrupted.done()) == ([1], False)
        os.kill(os.getpid(), number)
        await interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


@looped_on_sockets
async def test_under_nohup_a_hangup_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interruption()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@looped_on_sockets
async def test_the_end_of_a_pipe_or_a_socket_as_input_interrupts_and_that_of_a_file_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    pipe, (ours, theirs) = os.pipe(), socket.socketpair()
    for end, other in (pipe, (ours.detach(), theirs.detach())):
        monkeypatch.setattr(process, "STANDARD_INPUT", end)
        interrupted = loop.create_future()
        end_with_input(interrupted)
        os.write(other, b"ignored\n")
        await asyncio.sleep(0.01)
        assert not interrupted.done()
        os.close(other)
        await interrupted
        os.close(end)
    nothing = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(process, "STANDARD_INPUT", nothing)
    end_with_input(interrupted := loop.create_future())
    await asyncio.sleep(0.05)
    assert not interrupted.done()
    os.close(nothing)


@pytest.mark.slow("a terminal is closed")
def test_a_terminal_that_closes_ends_the_program() -> None:
    controller, terminal = open_terminal()
    with subprocess.Popen(  # noqa: S603  # our own program
        (sys.executable, "-c", PROGRAM, *SERVES),
        preexec_fn=hear_hangups,  # noqa: PLW1509  # no thread of ours starts another
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            assert program.stdout.readline(), "it prints its addresses"
            os.close(terminal)
            os.kill(program.pid, signal.SIGHUP)
            while WITHOUT_IT not in (line := program.stderr.readline()):
                assert line, "a signal alone does not end it"
            os.close(controller)
            assert program.wait(PATIENCE_S) == 0
            *_, imported = program.stdout.read().splitlines()
            assert imported == "tickerplant.cluster.options", "nothing else of a bus"
        finally:
            program.kill()
