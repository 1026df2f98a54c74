"""Waiting in a test: for a condition, and never in the way of an event loop that must read."""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections.abc import Callable, Iterator

from tickerplant.originals import Original

POLL_S = 0.002
"""How often a condition is looked at."""
_PACKAGE = __name__.partition(".")[0] + "."


def check_no_loop(called: str, instead: str) -> None:
    """Do nothing unless an event loop runs in this thread, which `called` would stop.

    Raises:
        RuntimeError: one of asyncio or trio runs; the message has the place of the call and what to
            write there.
    """
    __tracebackhide__ = True
    if _works(get_running_loop):
        pass
    elif (trio := sys.modules.get("trio")) and _works(trio.lowlevel.current_task):
        instead = f"await trio.to_thread.run_sync({called.removesuffix('()')}, …)"
    else:
        return
    raise RuntimeError(
        f"{place()}: {called} would stop the event loop of this test, and no client in it could read "
        f"what the exchange sends; write `{instead}`"
    )


def _works(function: Callable[[], object]) -> bool:
    try:
        function()
    except RuntimeError:
        return False
    return True


def place() -> str:
    """Return file and line of the innermost caller outside of this package."""
    frame = sys._getframe(1)  # noqa: SLF001  # the documented way to a frame, without a traceback
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def asked(question: Callable[[], list[str]]) -> list[str]:
    """Return the lines of an answer, or one that there is none, and why."""
    try:
        return question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # what a test has replaced may raise `Failed`
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return [f"it does not answer, or what it says cannot be read: {why}"]


def until(
    condition: Callable[[], object], timeout_s: float, failure: Callable[[], str]
) -> Iterator[float]:
    """Yield how long to pause, until a condition is true.

    Raises:
        TimeoutError: it is not, after `timeout_s`.
    """
    __tracebackhide__ = True
    until_s = Original.monotonic() + timeout_s
    while not condition():
        if Original.monotonic() > until_s:
            raise TimeoutError(failure())
        yield POLL_S
