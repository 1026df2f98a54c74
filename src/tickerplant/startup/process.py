"""The process that serves: its memory, its descriptors, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import stat
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from tickerplant.logs import logger

T = TypeVar("T")

CANCEL_AGAIN_S = 1.0
"""How long a task may take to end before it is cancelled again."""
STANDARD_INPUT = 0
"""Its descriptor."""
YOUNG_OBJECTS = 50_000
"""New objects before the garbage collector runs.  Nearly all are events and frames, which have no
cycles and are gone by then."""


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: nearly everything that a market makes when it opens stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
    """Return a future that is done at the first Ctrl-C or SIGTERM, or when the terminal closes.

    A SIGHUP for another reason than a closed terminal is ignored, until `on_hangup` says what it means.
    """
    loop = asyncio.get_running_loop()
    interrupted: asyncio.Future[None] = loop.create_future()
    had_terminal = _has_terminal()

    def interrupt() -> None:
        if not interrupted.done():
            interrupted.set_result(None)

    def hang_up() -> None:
        if had_terminal and not _has_terminal():
            interrupt()
        elif asked := _hangup_work.get(loop):
            for work in asked:
                work()
        else:
            logger().info("= SIGHUP: there is no certificate to read again")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # no `nohup`
        loop.add_signal_handler(signal.SIGHUP, hang_up)
    return interrupted


_hangup_work: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[], object]]] = (
    WeakKeyDictionary()
)
"""What a SIGHUP asks for, by the loop that handles it."""


def on_hangup(work: Callable[[], object]) -> None:
    """Let a SIGHUP that is no closed terminal ask for `work`, until the end of the running loop."""
    _hangup_work.setdefault(asyncio.get_running_loop(), []).append(work)


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal, which is lost when that is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def end_with_input(interrupted: asyncio.Future[None]) -> None:
    """Let the end of standard input interrupt, if that is a pipe: whoever held it is gone.

    A terminal, a file and `/dev/null` do not count.
    """
    try:
        mode = os.fstat(STANDARD_INPUT).st_mode
    except OSError:
        return  # it is closed
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):  # Node uses sockets as pipes
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            is_over = not os.read(STANDARD_INPUT, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            loop.remove_reader(STANDARD_INPUT)
            if not interrupted.done():
                interrupted.set_result(None)

    loop.add_reader(STANDARD_INPUT, read)


async def either(interrupted: asyncio.Future[None], running: asyncio.Future[None]) -> None:
    """Return when interrupted, or when what is `running` ends; raise the exception of that."""
    await asyncio.wait({interrupted, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()


async def unless(interrupted: asyncio.Future[None], work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`; None if interrupted before it is known."""
    working = asyncio.create_task(work)
    ends: list[asyncio.Future[Any]] = [working, interrupted]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not interrupted.done():
        return working.result()
    while not working.done():  # some libraries swallow a cancellation
        working.cancel()
        await asyncio.wait({working}, timeout=CANCEL_AGAIN_S)
    return None
