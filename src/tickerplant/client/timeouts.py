"""Waiting with a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar, cast

from tickerplant.client.event_loop import running_loop
from tickerplant.errors import ConfigError

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
