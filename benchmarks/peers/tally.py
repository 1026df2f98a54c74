"""What a client does with messages here: count them, with clocks from the first to the last."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import SERVER_CORE, pin

SCHEDULE = Path("/proc/self/schedstat")
"""Where Linux says how long the main thread has run, and how long it has waited for a core."""


class _Clocks(NamedTuple):
    wall_s: float
    cpu_s: float
    queued_s: float
    """Time ready to run on a core that was taken; 0 where the system does not tell."""


def _clocks() -> _Clocks:
    queued_ns = int(SCHEDULE.read_text().split()[1]) if SCHEDULE.exists() else 0
    return _Clocks(time.perf_counter(), time.process_time(), queued_ns / 1e9)


class Tally:
    """Counts messages until all are there.

    Args:
        expected: How many messages there will be.
    """

    __slots__ = ("_began", "_ended", "_seen", "all", "expected")

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.all = asyncio.Event()
        """Set when the last message has been taken."""
        self._seen = 0
        self._began = self._ended = _clocks()

    def take(self, message: object) -> bool:
        """Count a message, whatever it is; return whether it was the last one."""
        del message
        if not self._seen:
            self._began = _clocks()
        self._seen += 1
        if self._seen < self.expected:
            return False
        self._ended = _clocks()
        self.all.set()
        return True

    def result(self) -> str:
        """Return what was counted and how long it took, as JSON."""
        taken = {
            field: getattr(self._ended, field) - getattr(self._began, field)
            for field in _Clocks._fields
        }
        return json.dumps({"messages": self._seen} | taken)


def run(client: Callable[[str, Tally], Awaitable[None]]) -> None:
    """Let a client, on one core, take what the server at the URL of the command line sends."""

    async def measured() -> Tally:
        url, count = sys.argv[1:]
        tally = Tally(int(count))
        await client(url, tally)
        return tally

    pin(SERVER_CORE)
    print(asyncio.run(measured()).result())
