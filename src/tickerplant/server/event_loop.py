"""The event loop of a server, with timers as exact as the system's, and the connection clock."""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from tickerplant.logs import Complaints

Clock: TypeAlias = Callable[[], int]
"""Returns milliseconds since the epoch; never goes back."""

_ANCHOR_NS = time.time_ns() - time.monotonic_ns()


def connection_clock_ms() -> int:
    """Return the wall clock of the start of the program plus the time that has run since.

    A wall clock that is set while the program runs would end or prolong connections.
    """
    return (_ANCHOR_NS + time.monotonic_ns()) // 1_000_000


T = TypeVar("T")

MOST_DESCRIPTORS = 1024
"""`select` takes only descriptors below this."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` as `asyncio.run` does, with timers that are late by parts of a millisecond only."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(work)


def report_faults(complaints: Complaints) -> None:
    """Log what goes wrong in callbacks of the running loop, and in libraries, once per kind.

    A fault that a client can cause again and again would fill the disk otherwise.
    """

    def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context["message"] == "SSL handshake failed":
            return  # the listener counts it
        given = context.get("exception")  # some libraries give its class
        error = given if isinstance(given, BaseException) else None
        kind = type(error).__name__ if error else "no exception"
        complaints.add(f"fault: {kind}", f"! {context['message']}", exc_info=error)

    asyncio.get_running_loop().set_exception_handler(report)
    complaints.take_libraries()


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop; None where the usual one is exact."""
    if not hasattr(selectors, "EpollSelector"):
        return None
    return lambda: asyncio.SelectorEventLoop(ExactSelector())


class ExactSelector(selectors.EpollSelector):
    """Waits for microseconds where epoll knows only whole milliseconds, and waits for the next one.

    An epoll object can be waited for as a file can, and `select` knows microseconds.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, at once or after `timeout` seconds at most."""
        if timeout is not None and timeout > 0 and self.fileno() < MOST_DESCRIPTORS:
            select.select([self], (), (), timeout)
            timeout = 0
        return super().select(timeout)
