"""How a command ends that goes on until somebody ends it."""

from __future__ import annotations

import asyncio
import signal


def interruption() -> asyncio.Event:
    """Return what is set by Ctrl-C, SIGTERM and the end of the terminal, from now on.

    A second one changes nothing, and the end of the terminal nothing under `nohup`.
    """
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:
            loop.add_signal_handler(number, interrupted.set)
    return interrupted


async def is_interrupted(interrupted: asyncio.Event, seconds: float | None) -> bool:
    """Wait until it is interrupted, or the time is up; return whether it was interrupted."""
    try:
        async with asyncio.timeout(seconds):
            await interrupted.wait()
    except TimeoutError:
        return False
    return True
