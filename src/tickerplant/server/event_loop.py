"""The event loop of a server, with timers as exact as the system's, and the connection clock."""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from tickerplant.logs import Complaints

Clock: TypeAlias = Callable[[], int]
"""Returns milliseconds since the epoch; never goes back."""

_anchor_ns = time.time_ns() - time.monotonic_ns()


def anchor_connection_clock() -> None:
    """Let the connection clock continue from the present wall clock."""
    global _anchor_ns  # noqa: PLW0603  # one clock for the process
    _anchor_ns = time.time_ns() - time.monotonic_ns()


def connection_clock_ms() -> int:
    """Return the wall clock at the start of the program plus the time elapsed since, in ms.

    So setting the wall clock does not end or prolong connections.
    """
    return (_anchor_ns + time.monotonic_ns()) // 1_000_000


def wall_clock_ms() -> int:
    """Return the time of the machine in ms; setting its clock moves it."""
    return time.time_ns() // 1_000_000


T = TypeVar("T")

MAX_SELECT_DESCRIPTOR = 1024
"""`select` accepts only descriptors below this."""


def run(work: Coroutine[Any, Any, T], *, select_below: int = MAX_SELECT_DESCRIPTOR) -> T:
    """Run `work` as `asyncio.run` does, with timers that are late by less than a millisecond."""
    with asyncio.Runner(loop_factory=_factory(select_below)) as runner:
        return runner.run(work)


def report_faults(complaints: Complaints) -> None:
    """Log errors in callbacks of the running loop, and in libraries, once per kind.

    Otherwise an error that a client can cause repeatedly would fill the disk.
    """

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context["message"] == "SSL handshake failed":
            return  # the listener counts it
        given = context.get("exception")  # some libraries pass its class
        error = given if isinstance(given, BaseException) else None
        kind = type(error).__name__ if error else "no exception"
        complaints.add(f"fault: {kind}", f"! {context['message']}", exc_info=error)

    asyncio.get_running_loop().set_exception_handler(report)
    complaints.take_libraries()


if sys.platform == "linux":

    class ExactSelector(selectors.EpollSelector):
        """Waits for microseconds, where epoll rounds up to milliseconds.

        An epoll object can be waited for like a file, and `select` takes microseconds.
        """

        def __init__(self, select_below: int = MAX_SELECT_DESCRIPTOR) -> None:
            super().__init__()
            self._select_below = select_below

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """Return what is ready, at once or after at most `timeout` seconds."""
            if timeout is not None and timeout > 0 and self.fileno() < self._select_below:
                if not select.select([self], (), (), timeout)[0]:
                    return []
                timeout = 0
            return super().select(timeout)


def _factory(select_below: int) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return a factory of loops; None where the default one is exact."""
    if sys.platform == "linux":
        return lambda: asyncio.SelectorEventLoop(ExactSelector(select_below))
    else:  # noqa: RET505  # a type checker knows only this form
        return None
