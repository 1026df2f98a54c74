"""The event loop of a server: one whose timers are as exact as the system's."""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MOST_DESCRIPTORS = 1024
"""`select` takes only descriptors below this."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` as `asyncio.run` does, with timers that are late by parts of a millisecond only."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(work)


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
