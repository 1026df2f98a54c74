"""The process that serves: its memory, its descriptors, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_S = 1.0
"""How long a task may take to end before it is cancelled again."""
YOUNG_OBJECTS = 50_000
"""New objects before the garbage collector runs.  Nearly all are events and frames, which have no
cycles and are gone by then."""


def freeze_objects() -> None:
    """Exempt the objects that exist now from garbage collection: they stay until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def allow_many_connections() -> None:
    """Raise the limit on open files as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems do not grant their own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def interruption() -> asyncio.Future[None]:
    """Return a future that is done at the first Ctrl-C or SIGTERM, or when the terminal closes."""
    loop = asyncio.get_running_loop()
    interrupted: asyncio.Future[None] = loop.create_future()

    def interrupt() -> None:
        if not interrupted.done():
            interrupted.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:  # no `nohup`
            loop.add_signal_handler(number, interrupt)
    return interrupted


async def unless(interrupted: asyncio.Future[None], work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`; None if interrupted before it is known."""
    working = asyncio.create_task(work)
    either: list[asyncio.Future[Any]] = [working, interrupted]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not interrupted.done():
        return working.result()
    while not working.done():  # some libraries swallow a cancellation
        working.cancel()
        await asyncio.wait({working}, timeout=CANCEL_AGAIN_S)
    return None
