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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import TypeAlias

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import WeightBudget
from tickerplant.formatting import one_line

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since the epoch."""
Sleep: TypeAlias = Callable[[float], Awaitable[object]]
"""Waits for seconds."""

PATIENCE_S = 60.0
TRIES = 3
FIRST_PAUSE_S = 0.25
"""Pause after the first failure, on average; twice as long after each further one."""
TOO_MANY_REQUESTS = -1003
TOO_MANY = 429
CLOSED = "the client is closed"
NO_SUCH_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

_SPENDING = threading.Lock()
"""Held for a moment by who uses a budget: clients of several threads may share one."""
_NUMBER = re.compile(r"\[Errno (\d+)\]")
_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b")
"""How the message of a ban says when it ends, ms since the epoch (WebSocket API and REST pages)."""


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
        rng: Random,
    ) -> None:
        self.budget = budget
        self.clock = clock
        self.rng = rng
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

    def question(
        self, url: str, what: str = "", of: str = "", timeout_s: float | None = None
    ) -> Question:
        """Return a new question to `url`; see `Question`."""
        return Question(self, url, what, of, timeout_s)


class Question:
    """One question on its way to an answer; it may need several tries.

    It waits for its turn as long as that takes, but for what the server is to blame for (refusals
    and failures) no longer than the patience.

    One with a timeout waits for nothing that is known to take longer, and for no refusal at all: it
    ends at once, and says why and until when.

    Args:
        waiting: What it has in common with others.
        url: Where it is asked.
        what: What is asked, such as `ticker.price`; empty if the URL says it.
        of: Of which market, such as `symbol=BTCUSDT`.
        timeout_s: How long all of it may take; None: as long as the patience allows.
    """

    def __init__(
        self, waiting: Waiting, url: str, what: str, of: str, timeout_s: float | None
    ) -> None:
        self._waiting = waiting
        self._url = url
        self._asked = " ".join(filter(None, (what, of)))
        """What is asked, as an error of the server names it."""
        self._asked_there = self._asked if what not in url else of
        """As an error names it that names the URL."""
        self.timeout_s = timeout_s
        """How long all of it may take; None: as long as the patience allows."""
        self._patience_ms = (waiting.patience_s if timeout_s is None else timeout_s) * 1000
        self._failures = 0
        self._failure = ""
        """Why the last try failed."""
        self._refusal: RequestError | None = None
        self._asked_ms = 0
        self._until_s: float | None = None
        """When the timeout is over, by the clock of the event loop."""

    def left_s(self) -> float | None:
        """Return how much of the timeout is left; None if there is none."""
        if self._until_s is None:
            return None
        return max(self._until_s - asyncio.get_running_loop().time(), 0.0)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """End what is done within, once the timeout is over.

        Raises:
            UpstreamError: it is; says why the last try failed, if one did.
        """
        if self.timeout_s is not None:
            self._until_s = asyncio.get_running_loop().time() + self.timeout_s
        try:
            async with asyncio.timeout(self.timeout_s):
                yield
        except TimeoutError:
            before = f"; before that: {self._failure}" if self._failure else ""
            raise self.failure(f"no answer within {self.timeout_s:g} s{before}") from None

    async def turn(self, weight: int) -> None:
        """Wait until `weight` may be spent, and spend it.

        Raises:
            RequestError: the server refuses whatever is asked for longer than the patience, or the
                turn would come after the timeout.
            UpstreamError: the client is closed.
        """
        while True:
            await self.allowed()
            self._asked_ms = self._waiting.clock()
            with _SPENDING:
                wait_ms = self._waiting.budget.reserve(weight, self._asked_ms)
            if not wait_ms:
                return
            if self.timeout_s is not None and wait_ms > self._patience_ms:
                raise self._not_asked("the request weight of this minute is spent", wait_ms)
            self._patience_ms -= wait_ms if self.timeout_s is not None else 0
            await self._waiting.pause(wait_ms / 1000)

    async def allowed(self) -> None:
        """Wait until the server refuses no more.

        Raises:
            RequestError: that takes longer than the patience, or there is a timeout.
            UpstreamError: the client is closed.
        """
        self.check_open()
        while closed_ms := self._closed_ms():
            if self.timeout_s is not None or closed_ms > self._patience_ms:
                raise self._refusal or self._not_asked(self._earlier_refusal(), closed_ms)
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
            raise self.failure(CLOSED)

    def told(self, used: int) -> None:
        """Take the weight that the whole address has used, as the answer tells."""
        with _SPENDING:
            self._waiting.budget.told(used, self._asked_ms)

    def refused(self, code: int, message: str, status: int, retry_after_ms: int | None) -> None:
        """Take a refusal (429, 418); the next turn comes when the server wants it.

        Args:
            code: Of the error.
            message: What the server says; of a ban it may say when it ends.
            status: 429, or 418 for a ban.
            retry_after_ms: What the server asks to wait besides; None if it does not say.
        """
        budget, now_ms = self._waiting.budget, self._waiting.clock()
        told = _BANNED_UNTIL.search(message)
        if retry_after_ms is None and told is not None:
            retry_after_ms = int(told[1]) - now_ms
        with _SPENDING:
            budget.refused(status, retry_after_ms, now_ms, message)
        until_ms = now_ms + self._closed_ms()
        self._refusal = self._error(code, message, status, until_ms)

    async def failed(self, reason: str, *, tries: int = TRIES) -> None:
        """Wait before the next try.

        Raises:
            UpstreamError: that was the last try, the patience is over, or the client is closed.
        """
        self.check_open()
        self._failures += 1
        self._failure = reason
        self._patience_ms -= max(self._waiting.clock() - self._asked_ms, 0)
        pause_s = FIRST_PAUSE_S * 2.0 ** (self._failures - 1) * self._waiting.rng.uniform(0.5, 1.5)
        if self._failures >= tries or pause_s * 1000 > self._patience_ms:
            tries_text = f", {self._failures} times" if self._failures > 1 else ""
            raise self.failure(reason + tries_text)
        self._patience_ms -= pause_s * 1000
        await self._waiting.pause(pause_s)

    def failure(self, reason: str) -> UpstreamError:
        """Return the error of a question that is not answered."""
        return UpstreamError(self._url, reason, asked=self._asked_there)

    def refused_as(self, error: RequestError) -> RequestError:
        """Return the refusal of another question as one of this."""
        if error.until_ms is None:
            return self.answered_with(error.code, error.message, error.status)
        return self._error(error.code, error.message, error.status, error.until_ms)

    def answered_with(self, code: int, message: str, status: int) -> RequestError:
        """Return the error with which the server answered."""
        return RequestError(code, message, status, asked=self._asked)

    def _earlier_refusal(self) -> str:
        said = one_line(self._waiting.budget.refused_message)
        return "an earlier question was refused" + (f" with: {said}" if said else "")

    def _not_asked(self, reason: str, wait_ms: int) -> RequestError:
        """Return why the question is not asked for another `wait_ms`."""
        status = self._waiting.budget.refused_status or TOO_MANY
        until_ms = self._waiting.clock() + wait_ms
        return self._error(TOO_MANY_REQUESTS, f"Not asked: {reason.rstrip('.')}.", status, until_ms)

    def _error(self, code: int, message: str, status: int, until_ms: int) -> RequestError:
        again = f"HTTP {status}, {again_text(until_ms, self._waiting.clock())}"
        return RequestError(
            code, message, status, asked=self._asked, until_ms=until_ms, again=again
        )


def again_text(until_ms: int, now_ms: int) -> str:
    """Return when something may be tried again: in how long, and at which time of UTC."""
    seconds = max(-(-(until_ms - now_ms) // 1000), 0)
    in_text = f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"
    at = datetime.fromtimestamp(until_ms / 1000, UTC)
    return f"again in {in_text}, at {at:%Y-%m-%dT%H:%M:%SZ}"


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
    return one_line(f"{type(error).__name__}: {error}".rstrip(": "))


def is_cancelled() -> bool:
    """Whether somebody cancels the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
