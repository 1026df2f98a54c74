"""The server's own clock: pings, allowances and the life of connections, never market time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Returns milliseconds since the epoch; never goes back."""

_ANCHOR_NS = time.time_ns() - time.monotonic_ns()


def connection_clock_ms() -> int:
    """Return the wall clock of the start of the program plus the time that has run since.

    A wall clock that is set while the program runs would end or prolong connections.
    """
    return (_ANCHOR_NS + time.monotonic_ns()) // 1_000_000
