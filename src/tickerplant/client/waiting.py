"""How a question waits: for its share of the request weight, after a refusal, and between tries."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random
from typing import TypeAlias

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import WeightBudget

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since the epoch."""
Sleep: TypeAlias = Callable[[float], Awaitable[object]]
"""Waits for seconds."""

PATIENCE_S = 60.0
TRIES = 3
FIRST_PAUSE_S = 0.25
"""Pause after the first failure, on average; twice as long after each further one."""
TOO_MANY_REQUESTS = -1003
CLOSED = "the client is closed"
NO_SUCH_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

_SPENDING = threading.Lock()
"""Held for a moment by who uses a budget: clients of several threads may share one."""
_NUMBER = re.compile(r"\[Errno (\d+)\]")


def wall_clock_ms() -> int:
    """Return the time by which the exchange counts minutes."""
    return time.time_ns() // 1_000_000


def retry_after_of(value: str, now_ms: int) -> int | None:
    """Return how long a `Retry-After` header asks to wait, ms: it has seconds, or a date."""
    if value.isascii() and value.isdecimal():
        return int(value[:12]) * 1000
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(int(zoned.timestamp() * 1000) - now_ms, 0)


class Waiting:
    """What the questions of one client have in common: the budget, a clock, and a way to wait."""

    def __init__(
        self,
        budget: WeightBudget,
        *,
        patience_s: float,
        clock: Clock,
        sleep: Sleep,
        chance: Random,
    ) -> None:
        self.budget = budget
        self.clock = clock
        self.chance = chance
        self.patience_s = patience_s
        self.closed = False
        """Whether nothing may be asked any more."""
        self._sleep = sleep
        self._pauses: set[asyncio.Future[object]] = set()

    async def pause(self, seconds: float) -> None:
        """Wait for `seconds`, or until the client is closed."""
        pause = asyncio.ensure_future(self._sleep(seconds))
        self._pauses.add(pause)
        try:
            await pause
        except asyncio.CancelledError:
            if not (self.closed and pause.cancelled()) or is_cancelled():
                raise
        finally:
            self._pauses.discard(pause)

    def close(self) -> None:
        """Let nothing be asked any more, and nobody wait."""
        self.closed = True
        for pause in self._pauses:
            pause.cancel()

    def question(self, url: str) -> Question:
        """Return a new question to `url`."""
        return Question(self, url)


class Question:
    """One question on its way to an answer; it may need several tries.

    It waits for its turn as long as that takes, but for what the server is to blame for (refusals
    and failures) no longer than the patience.
    """

    def __init__(self, waiting: Waiting, url: str) -> None:
        self._waiting = waiting
        self._url = url
        self._patience_ms = waiting.patience_s * 1000
        self._failures = 0
        self._refusal: RequestError | None = None
        self._asked_ms = 0

    async def turn(self, weight: int) -> None:
        """Wait until `weight` may be spent, and spend it.

        Raises:
            RequestError: the server refuses whatever is asked for longer than the patience.
            UpstreamError: the client is closed.
        """
        while True:
            await self.allowed()
            self._asked_ms = self._waiting.clock()
            with _SPENDING:
                wait_ms = self._waiting.budget.reserve(weight, self._asked_ms)
            if not wait_ms:
                return
            await self._waiting.pause(wait_ms / 1000)

    async def allowed(self) -> None:
        """Wait until the server refuses no more.

        Raises:
            RequestError: that takes longer than the patience.
            UpstreamError: the client is closed.
        """
        self.check_open()
        while closed_ms := self._closed_ms():
            if closed_ms > self._patience_ms:
                raise self._refusal or self._refused_elsewhere(closed_ms)
            self._patience_ms -= closed_ms
            self._waiting.budget.waited_ms += closed_ms
            await self._waiting.pause(closed_ms / 1000)
            self.check_open()

    def _closed_ms(self) -> int:
        with _SPENDING:
            return self._waiting.budget.closed_ms(self._waiting.clock())

    def check_open(self) -> None:
        """Raise `UpstreamError` if the client is closed."""
        if self._waiting.closed:
            raise UpstreamError(self._url, CLOSED)

    def told(self, used: int) -> None:
        """Take the weight that the whole address has used, as the answer tells."""
        with _SPENDING:
            self._waiting.budget.told(used, self._asked_ms)

    def refused(self, refusal: RequestError, retry_after_ms: int | None) -> None:
        """Take a refusal (429, 418); the next turn comes when the server wants it."""
        self._refusal = refusal
        budget, clock = self._waiting.budget, self._waiting.clock
        with _SPENDING:
            budget.refused(refusal.status, retry_after_ms, clock())

    async def failed(self, reason: str, *, tries: int = TRIES) -> None:
        """Wait before the next try.

        Raises:
            UpstreamError: that was the last try, the patience is over, or the client is closed.
        """
        self.check_open()
        self._failures += 1
        self._patience_ms -= max(self._waiting.clock() - self._asked_ms, 0)
        pause_s = (
            FIRST_PAUSE_S * 2.0 ** (self._failures - 1) * self._waiting.chance.uniform(0.5, 1.5)
        )
        if self._failures >= tries or pause_s * 1000 > self._patience_ms:
            tries_text = f", {self._failures} times" if self._failures > 1 else ""
            raise UpstreamError(self._url, reason + tries_text)
        self._patience_ms -= pause_s * 1000
        await self._waiting.pause(pause_s)

    def _refused_elsewhere(self, closed_ms: int) -> RequestError:
        """Return the refusal of another question that holds for this one too."""
        return RequestError(
            TOO_MANY_REQUESTS,
            f"Not asked: an earlier question was refused for another {closed_ms} ms.",
            self._waiting.budget.refused_status,
        )


def plain_reason(error: Exception) -> str:
    """Return in plain words why a connection failed, such as `connection refused`."""
    cause = getattr(error, "os_error", error)  # aiohttp wraps it
    if isinstance(cause, socket.gaierror):
        known = cause.errno in NO_SUCH_HOST
        return "no such host" if known else "the name of the host could not be looked up"
    distrust = getattr(error, "certificate_error", cause)
    if isinstance(distrust, ssl.SSLCertVerificationError):
        return f"the certificate cannot be trusted: {distrust.verify_message}"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        told = _NUMBER.search(str(cause))  # of several addresses, the first says it
        number = cause.errno or (int(told[1]) if told else 0)
        if number in errno.errorcode:
            return os.strerror(number).lower()
    return f"{type(error).__name__}: {error}".rstrip(": ")


def is_cancelled() -> bool:
    """Whether somebody cancels the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
