"""Waiting in a test: for a condition, and never in the way of an event loop that must read."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

POLL_S = 0.002
"""How often a condition is looked at."""
_PACKAGE = __name__.partition(".")[0] + "."


def check_no_loop(called: str, instead: str) -> None:
    """Do nothing unless an event loop runs in this thread, which `called` would stop.

    Raises:
        RuntimeError: one runs; the message has the place of the call and what to write there.
    """
    __tracebackhide__ = True
    asyncio = sys.modules.get("asyncio")  # a program without it has no loop
    if asyncio is None:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{place()}: {called} would stop the event loop of this test, and no client in it could read "
        f"what the exchange sends; write `{instead}`"
    )


def place() -> str:
    """Return file and line of the innermost caller outside of this package."""
    frame = sys._getframe(1)  # noqa: SLF001  # the documented way to a frame, without a traceback
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def until(
    condition: Callable[[], object], timeout_s: float, failure: Callable[[], str]
) -> Iterator[float]:
    """Yield how long to pause, until a condition is true.

    Raises:
        TimeoutError: it is not, after `timeout_s`.
    """
    __tracebackhide__ = True
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(failure())
        yield POLL_S
