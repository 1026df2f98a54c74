"""One request over REST or the WebSocket API: request weight, refusals, retries and timeouts."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.client.proxies import unused_text
from tickerplant.errors import RateLimitError, RequestError, UpstreamError
from tickerplant.feed.weight import BANNED, WeightBudget
from tickerplant.formatting import LONGEST_MESSAGE, one_line
from tickerplant.messages.readers import UNREADABLE

_log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since the epoch."""
Sleep: TypeAlias = Callable[[float], Awaitable[object]]
"""Waits for seconds."""

PATIENCE_S = 60.0
MAX_WEIGHT_WAIT_S = 120.0
"""How long a page waits for request weight, which is replenished each minute."""
ATTEMPTS = 3
FIRST_PAUSE_S = 0.25
"""Pause after the first failure, on average; it doubles with each further one."""
TOO_MANY_REQUESTS = -1003
TOO_MANY = 429
CLOSED = "the client is closed"
NO_SUCH_HOST = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

_BUDGET_LOCK = threading.Lock()
"""Held while a budget is used: clients of several threads may share one."""
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_BANNED_UNTIL = re.compile(r"banned until (\d{13})\b")
"""How the message of a ban says when it ends, ms since the epoch (WebSocket API and REST pages)."""


class ErrorBody(Struct, frozen=True):
    """An error in the form of the exchange."""

    code: int
    msg: str


_decode_error = msgspec.json.Decoder(ErrorBody).decode


def error_of(body: bytes) -> ErrorBody | None:
    """Return the error of the exchange in `body`, None if it is something else."""
    try:
        return _decode_error(body)
    except UNREADABLE:
        return None


def wall_clock_ms() -> int:
    """Return the time by which the exchange counts minutes."""
    return time.time_ns() // 1_000_000


def retry_after_of(value: str, now_ms: int) -> int | None:
    """Return the wait in ms of a `Retry-After` header, which contains seconds or a date."""
    if value.isascii() and value.isdecimal():
        return int(value[:12]) * 1000
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(int(zoned.timestamp() * 1000) - now_ms, 0)


class RequestContext:
    """What the requests of one client share: the budget, a clock, and a way to wait."""

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
        """Whether no more requests may be sent."""
        self.sleep = sleep
        self._pauses: set[asyncio.Future[object]] = set()
        self._logged_until_ms = 0
        """The end of the last wait for request weight that was logged."""

    def log_wait(self, text: str, wait_ms: int) -> None:
        """Log that requests wait for request weight, once for all that wait for the same minute."""
        now_ms = self.clock()
        if now_ms >= self._logged_until_ms:
            self._logged_until_ms = now_ms + wait_ms
            message = "%s waits %.0f s: the request weight of this minute is spent"
            _log.warning(message, text, wait_ms / 1000)

    async def pause(self, seconds: float) -> None:
        """Wait for `seconds`, or until the client is closed."""
        pause = asyncio.ensure_future(self.sleep(seconds))
        self._pauses.add(pause)
        try:
            await pause
        except asyncio.CancelledError:
            if not (self.closed and pause.cancelled()) or is_cancelled():
                raise
        finally:
            self._pauses.discard(pause)

    def close(self) -> None:
        """End all pauses; no more requests may be sent."""
        self.closed = True
        for pause in self._pauses:
            pause.cancel()


class Request:
    """One request, which may need several attempts.

    It waits for its share of the weight as long as necessary, but for refusals and failures of the
    server no longer than the patience.

    A request with a timeout does not wait for anything that is known to take longer, nor for the end
    of a refusal: it fails at once with an error that says until when.

    Args:
        context: What it shares with other requests.
        url: Where it is sent.
        name: What is requested, such as `ticker.price`; empty if the URL says so.
        subject: The market, such as `symbol=BTCUSDT`.
        timeout_s: Total timeout; None: limited by the patience only.
        is_page: Whether it first waits for its turn and for request weight, up to
            `MAX_WEIGHT_WAIT_S`, which does not count towards the timeout.
    """

    def __init__(
        self,
        context: RequestContext,
        url: str,
        name: str = "",
        subject: str = "",
        timeout_s: float | None = None,
        *,
        is_page: bool = False,
    ) -> None:
        self._context = context
        self._url = url
        self._text = " ".join(filter(None, (name, subject)))
        """Names the request in an error of the server."""
        self._text_with_url = self._text if name not in url else subject
        """Names the request in an error that contains the URL."""
        self.timeout_s = timeout_s
        """Total timeout; None: limited by the patience only."""
        self._patience_ms = (context.patience_s if timeout_s is None else timeout_s) * 1000
        self._is_page = is_page
        self._weight_wait_ms = MAX_WEIGHT_WAIT_S * 1000
        self._limit: asyncio.Timeout | None = None
        self._failures = 0
        self._failure = ""
        """Why the last attempt failed."""
        self._refusal: RateLimitError | None = None
        self._sent_ms = 0
        self._until_s: float | None = None
        """When the timeout expires, by the clock of the event loop."""

    def remaining_s(self) -> float | None:
        """Return how much of the timeout is left; None without a timeout."""
        if self._until_s is None:
            return None
        return max(self._until_s - asyncio.get_running_loop().time(), 0.0)

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Cancel the body when the timeout expires."""
        if self.timeout_s is not None:
            self._until_s = asyncio.get_running_loop().time() + self.timeout_s
        try:
            async with asyncio.timeout(self.timeout_s) as self._limit:
                yield
        except TimeoutError:
            before = f"; before that: {self._failure}" if self._failure else ""
            reason = f"no response within {self.timeout_s:g} s{before}{unused_text(self._url)}"
            raise self.failure(reason) from None

    @asynccontextmanager
    async def waiting_for_turn(self) -> AsyncIterator[None]:
        """Do not count the body towards the timeout of a page."""
        left_s = self.remaining_s()
        if not self._is_page or left_s is None or self._limit is None:
            yield
            return
        self._limit.reschedule(None)
        yield
        self._until_s = asyncio.get_running_loop().time() + left_s
        self._limit.reschedule(self._until_s)

    async def spend(self, weight: int) -> None:
        """Wait until `weight` may be spent, and spend it."""
        context = self._context
        while True:
            await self.wait_for_refusal()
            self._sent_ms = context.clock()
            with _BUDGET_LOCK:
                wait_ms = context.budget.reserve(weight, self._sent_ms)
            if not wait_ms:
                return
            if self._is_page:
                await self._wait_for_weight(wait_ms)
                continue
            if self.timeout_s is not None and wait_ms > self._patience_ms:
                raise self._not_sent("the request weight of this minute is spent", wait_ms)
            self._patience_ms -= wait_ms if self.timeout_s is not None else 0
            await context.pause(wait_ms / 1000)

    async def _wait_for_weight(self, wait_ms: int) -> None:
        """Wait for the next minute, as a page."""
        if wait_ms > self._weight_wait_ms:
            raise self._not_sent("the request weight of this minute is spent", wait_ms)
        self._weight_wait_ms -= wait_ms
        self._context.log_wait(self._text, wait_ms)
        await self._context.pause(wait_ms / 1000)

    async def wait_for_refusal(self) -> None:
        """Wait until the server no longer refuses all requests."""
        self.check_open()
        while refused_ms := self._refused_ms():
            if self.timeout_s is not None or refused_ms > self._patience_ms:
                raise self._refusal or self._not_sent(self._earlier_refusal(), refused_ms)
            self._patience_ms -= refused_ms
            self._context.budget.waited_ms += refused_ms
            await self._context.pause(refused_ms / 1000)
            self.check_open()

    def _refused_ms(self) -> int:
        with _BUDGET_LOCK:
            return self._context.budget.refused_ms(self._context.clock())

    def check_open(self) -> None:
        """Raise `UpstreamError` if the client is closed."""
        if self._context.closed:
            raise self.failure(CLOSED)

    def note_used(self, weight: int) -> None:
        """Take the weight that this IP address has used, as reported in the response."""
        with _BUDGET_LOCK:
            self._context.budget.note_used(weight, self._sent_ms)

    def refused(self, code: int, message: str, status: int, retry_after_ms: int | None) -> None:
        """Take a refusal of this IP address."""
        message = one_line(message, LONGEST_MESSAGE)
        budget, now_ms = self._context.budget, self._context.clock()
        banned_until = _BANNED_UNTIL.search(message)
        if retry_after_ms is None and banned_until is not None:
            retry_after_ms = int(banned_until[1]) - now_ms
        with _BUDGET_LOCK:
            budget.refused(status, retry_after_ms, now_ms, message)
        self._refusal = self._limited(code, message, status, now_ms + self._refused_ms())

    def refused_by_http(
        self, status: int, reason: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Take an HTTP response that refuses this IP address; see `refused`."""
        error = error_of(body) or ErrorBody(TOO_MANY_REQUESTS, reason or "Too many requests.")
        retry_after_ms = retry_after_of(headers.get("Retry-After", ""), self._context.clock())
        self.refused(error.code, error.msg, status, retry_after_ms)

    async def wait_after_failure(self, reason: str, *, attempts: int = ATTEMPTS) -> None:
        """Wait before the next attempt."""
        self.check_open()
        context = self._context
        self._failures += 1
        self._failure = reason
        self._patience_ms -= max(context.clock() - self._sent_ms, 0)
        pause_s = FIRST_PAUSE_S * 2.0 ** (self._failures - 1) * context.rng.uniform(0.5, 1.5)
        if self._failures >= attempts or pause_s * 1000 > self._patience_ms:
            times = f", {self._failures} times" if self._failures > 1 else ""
            raise self.failure(f"{reason}{times}{unused_text(self._url)}")
        self._patience_ms -= pause_s * 1000
        await context.pause(pause_s)

    def failure(self, reason: str) -> UpstreamError:
        """Return the error for a request without a valid response."""
        return UpstreamError(self._url, reason, request=self._text_with_url)

    def rejected(self, code: int, message: str, status: int) -> RequestError:
        """Return the error with which the server responded."""
        return RequestError(code, one_line(message, LONGEST_MESSAGE), status, request=self._text)

    def rejected_like(self, error: RequestError) -> RequestError:
        """Return the error of another request as one of this request."""
        if not isinstance(error, RateLimitError):
            return self.rejected(error.code, error.message, error.status)
        return self._limited(error.code, error.message, error.status, error.retry_at_ms)

    def _earlier_refusal(self) -> str:
        message = one_line(self._context.budget.refused_message)
        return "an earlier request was refused" + (f" with: {message}" if message else "")

    def _not_sent(self, reason: str, wait_ms: int) -> RateLimitError:
        """Return the error for a request that may not be sent for another `wait_ms`."""
        status = self._context.budget.refused_status or TOO_MANY
        retry_at_ms = self._context.clock() + wait_ms
        message = f"Not sent: {reason.rstrip('.')}."
        return self._limited(TOO_MANY_REQUESTS, message, status, retry_at_ms)

    def _limited(self, code: int, message: str, status: int, retry_at_ms: int) -> RateLimitError:
        now_ms = self._context.clock()
        return RateLimitError(
            code,
            message,
            status,
            retry_at_ms=retry_at_ms,
            now_ms=now_ms,
            is_ban=status == BANNED,
            request=self._text,
            note=f"HTTP {status}, {again_text(retry_at_ms, now_ms)}",
        )


def again_text(until_ms: int, now_ms: int) -> str:
    """Return when something may be tried again: in how long, and at which time of UTC."""
    seconds = max(-(-(until_ms - now_ms) // 1000), 0)
    in_text = f"{seconds} s" if seconds < 600 else f"{seconds // 60} min"
    at = datetime.fromtimestamp(until_ms / 1000, UTC)
    return f"again in {in_text}, at {at:%Y-%m-%dT%H:%M:%SZ}"


def plain_reason(error: Exception) -> str:
    """Return why a connection failed, such as `connection refused`."""
    cause = getattr(error, "os_error", error)  # aiohttp wraps it
    if isinstance(cause, socket.gaierror):
        is_unknown = cause.errno in NO_SUCH_HOST
        return "no such host" if is_unknown else "the host name could not be looked up"
    distrust = getattr(error, "certificate_error", cause)
    if isinstance(distrust, ssl.SSLCertVerificationError):
        return f"the certificate cannot be trusted: {distrust.verify_message}"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        found = _ERRNO.search(str(cause))  # of several addresses, that of the first
        number = cause.errno or (int(found[1]) if found else 0)
        if number in errno.errorcode:
            return os.strerror(number).lower()
    return one_line(f"{type(error).__name__}: {error}".rstrip(": "))


def is_cancelled() -> bool:
    """Whether the current task is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
