"""How a command ends that goes on until somebody ends it."""

from __future__ import annotations

import asyncio
import signal


def interruption() -> asyncio.Event:
    """Return what is set by Ctrl-C and SIGTERM, from now on; a second one changes nothing."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
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
