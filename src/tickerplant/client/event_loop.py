"""The event loop in which a market was opened, and in which alone it works."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar, cast

from tickerplant.errors import ConfigError


def running_loop(
    called: str = "a market",
    instead: str = "use tickerplant.blocking, under trio with `trio.to_thread.run_sync`",
) -> AbstractEventLoop:
    """Return the event loop that runs in this thread."""
    try:
        return get_running_loop()
    except RuntimeError:
        text = f"{called} needs an event loop of asyncio, and none runs here: {instead}"
        raise RuntimeError(text) from None


def check_loop(opened_in: AbstractEventLoop) -> None:
    """Do nothing in the event loop in which a market was opened."""
    if running_loop() is not opened_in:
        raise RuntimeError(
            "the market was opened in another event loop, and works only there: open it in the loop "
            "that uses it; with pytest-asyncio, give its fixture and its tests the same loop_scope"
        )


T = TypeVar("T")


def check_timeout(timeout_s: object) -> None:
    """Raise `ConfigError` unless `timeout_s` is None or a positive number."""
    is_number = type(timeout_s) is int or type(timeout_s) is float
    if timeout_s is not None and not (is_number and 0 < cast("float", timeout_s) < inf):
        raise ConfigError("timeout_s", timeout_s, "seconds, more than 0")


async def within(
    timeout_s: float | None, function: Callable[[], Awaitable[T]], what: Callable[[], str]
) -> T:
    """Await what `function` returns; the `TimeoutError` says what did not happen in time."""
    if timeout_s is None:
        return await function()
    running_loop()
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await function()
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{what()} within {timeout_s:g} s") from None
        raise
