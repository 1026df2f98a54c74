"""One run of `watch` or `record`: when it stops, and its exit status."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

from msgspec import Struct

from tickerplant.client.market import Market
from tickerplant.stdio import FAILED


class WatchRun(Struct, frozen=True):
    """What to watch, and for how long."""

    market: Market
    names: tuple[str, ...]
    hints: Mapping[str, str]
    """What is wrong with names, by name."""
    seconds: float | None


def status_of(market: Market, *, is_interrupted: bool) -> int:
    """Return the exit status: a failure if nothing was received before the time was up."""
    return 0 if is_interrupted or market.counters.messages else FAILED


def seconds_of(duration_ms: int | None) -> float | None:
    """Return a duration in seconds; None without one."""
    return None if duration_ms is None else duration_ms / 1_000


def interruption() -> asyncio.Event:
    """Return an event that Ctrl-C, SIGTERM and the end of the terminal set from now on.

    Further signals change nothing; under `nohup`, the end of the terminal changes nothing either.
    """
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:
            loop.add_signal_handler(number, interrupted.set)
    return interrupted


async def is_interrupted(interrupted: asyncio.Event, seconds: float | None) -> bool:
    """Wait for the interruption or until the time is up; return whether it was interrupted."""
    try:
        async with asyncio.timeout(seconds):
            await interrupted.wait()
    except TimeoutError:
        return False
    return True
