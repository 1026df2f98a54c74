"""When memory that clients no longer need is given back to the system.

What waits for slow clients is freed when they go, but the C library keeps it for the next ones: it gives
back by itself only what lies at the end of its heap.  `malloc_trim` gives back the rest, which takes a
millisecond for each few megabytes, in which nothing is sent.  So it waits until nobody is connected.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

QUIET_S = 5.0
"""How long nobody must have been connected: who reconnects at once would meet the pause."""


def trim() -> None:
    """Give back what is free, where the C library can."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if malloc_trim is not None:
        malloc_trim(0)


class FreedMemory:
    """Gives freed memory back once after clients were there, when they have all gone."""

    def __init__(self, trim: Callable[[], object] = trim) -> None:
        self._trim = trim
        self._left_s: float | None = None
        """When somebody was last seen; None if nobody was since the last time."""

    def tick(self, connection_count: int, now_s: float) -> None:
        """Give memory back if the last client has been gone for long enough at `now_s`."""
        if connection_count:
            self._left_s = now_s
        elif self._left_s is not None and now_s - self._left_s >= QUIET_S:
            self._left_s = None
            self._trim()
