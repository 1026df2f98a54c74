"""The program as a user runs it: with its output in pipes, or on a terminal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from loopback import Loopback
from programs import open_terminal

from tickerplant.venue import USDM

NAME = "btcusdt@trade"
CLOSED = "ws://127.0.0.1:9"
SIGNS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ALTERNATE, NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"
"""What a terminal gets before and after the table that replaces its content."""


def url(server: Loopback, venue: str = USDM.name) -> str:
    return f"ws://{server.server.urls[venue]}"


@asynccontextmanager
async def running(*arguments: str, stdout: int = PIPE, **more: str) -> AsyncIterator[Process]:
    """Start the program; it is killed at the end."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TICKERPLANT_")
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tickerplant", *arguments),
        stdout=stdout,
        stderr=PIPE,
        env=environment | more,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def run(*arguments: str, **more: str) -> tuple[int, str, str]:
    async with running(*arguments, stdout=PIPE, **more) as process:
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        return process.returncode or 0, out.decode(), err.decode()


async def on_a_terminal(
    *arguments: str, errors: bytes = b"", interrupted_at: bytes = b"", term: str = "xterm"
) -> tuple[int, bytes]:
    """Run the program on a terminal; return its status and all that was written to it.

    Args:
        *arguments: What is run.
        errors: What the lines of standard error are to be, as a pattern.
        interrupted_at: It is interrupted as soon as this was drawn.
        term: The kind of terminal.
    """
    leader, follower = open_terminal()
    drawn = bytearray()
    over, seen = asyncio.Event(), asyncio.Event()

    def read() -> None:
        try:
            drawn.extend(os.read(leader, 65_536))
        except OSError:  # nobody has the other side any more
            asyncio.get_running_loop().remove_reader(leader)
            over.set()
        if interrupted_at in drawn:
            seen.set()

    asyncio.get_running_loop().add_reader(leader, read)
    try:
        more = {"TERM": term, "COLUMNS": "120", "LINES": "30"}
        async with running(*arguments, stdout=follower, **more) as process:
            os.close(follower)
            if interrupted_at:
                await seen.wait()
                process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert re.fullmatch(b"(%s)\n*" % errors, err), err
        await over.wait()
    finally:
        os.close(leader)
    return process.returncode or 0, bytes(drawn)


@asynccontextmanager
async def trading(server: Loopback) -> AsyncIterator[None]:
    """Let trades happen all the time."""

    async def trade() -> None:
        while True:
            server.trade()
            await asyncio.sleep(0.005)

    task = asyncio.create_task(trade())
    try:
        yield
    finally:
        task.cancel()
