"""Connections that read too slowly: when they are closed, and how a source learns to wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from tickerplant.logs import logger
from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED, CloseReason
from tickerplant.protocol.limits import Limits

CHECKS_PER_TIMEOUT = 20
"""How often progress is checked while a source waits."""
RETURN_S = 10.0
"""How long a source waits for a client that was cut off to subscribe again."""
RETURN_CHECK_S = 0.5
"""How often it is checked whether it has waited for so long."""


class Reader(Protocol):
    """A connection, as far as congestion is concerned."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to it that the network has not taken."""

    def close(self, reason: CloseReason) -> None:
        """Leave the hub at once and close."""


class CheckedReader(Reader, Protocol):
    """A connection that is checked for reading at all."""

    @property
    def taken_bytes(self) -> int | None:
        """Bytes that the client has acknowledged so far; None if the system does not tell."""


class Congestion:
    """The connections that have more unsent data than they should.

    A connection is congested between its transport's `pause_writing` and `resume_writing`.  One
    with more than `max_unsent_bytes` is closed as a slow consumer, one that takes nothing of what waits
    for it for `max_unread_ms` as stalled.  A source that can wait, such as a replay at full speed, awaits
    `wait_clear` and so keeps its readers below the first bound.

    With `awaits_returns` it also waits there for clients that were cut off, until they have subscribed
    again, or for `RETURN_S`.
    """

    def __init__(self, limits: Limits, count_subscribers: Callable[[], int]) -> None:
        self._max_unsent_bytes = limits.max_unsent_bytes
        self._max_unread_ms = limits.max_unread_ms
        self._stall_timeout_s = limits.stall_timeout_ms / 1_000
        self._count_subscribers = count_subscribers
        self._congested: dict[Reader, None] = {}
        self._behind: dict[Reader, tuple[int, int]] = {}
        """The readers for which data waits: what they have taken, and since when no more."""
        self._clear = asyncio.Event()
        self._clear.set()
        self.awaits_returns = False
        """Whether a source waits for clients that were cut off."""
        self._missing = 0
        """Subscriptions of clients that were cut off."""
        self._missing_until_s = 0.0

    def cut_off(self, subscriptions: int) -> None:
        """Note that a client has lost its connection, and how many subscriptions it had there."""
        if self.awaits_returns and subscriptions:
            self._missing += subscriptions
            self._missing_until_s = asyncio.get_running_loop().time() + RETURN_S
            self._clear.clear()

    def subscribed(self, subscriptions: int) -> None:
        """Note that a client has subscribed, perhaps again."""
        if self._missing:
            self._missing = max(0, self._missing - subscriptions)
            self._set_if_clear()

    @property
    def is_incomplete(self) -> bool:
        """Whether a source is to wait for a client that was cut off."""
        if self._missing and asyncio.get_running_loop().time() >= self._missing_until_s:
            logger().warning(
                "a client that was cut off has not come back; the market goes on without it",
                waited_s=RETURN_S,
                subscriptions=self._missing,
            )
            self._missing = 0
            self._set_if_clear()
        return self._missing > 0

    def _set_if_clear(self) -> None:
        if not self._congested and not self._missing:
            self._clear.set()

    @property
    def congested(self) -> bool:
        """Whether any connection has more unsent data than it should."""
        return bool(self._congested)

    @property
    def behind_count(self) -> int:
        """Connections for which data waited when they were last checked."""
        return len(self._behind)

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over all venues."""
        return self._count_subscribers()

    def pause(self, reader: Reader) -> None:
        """Count `reader` as congested."""
        self._congested[reader] = None
        self._clear.clear()

    def forget(self, reader: Reader) -> None:
        """Count `reader` as gone."""
        self.resume(reader)
        self._behind.pop(reader, None)

    def resume(self, reader: Reader) -> None:
        """Count `reader` as not congested."""
        self._congested.pop(reader, None)
        self._set_if_clear()

    def close_slow(self) -> None:
        """Close every connection whose unsent data exceeds the bound."""
        for reader in tuple(self._congested):
            if reader.unsent_bytes > self._max_unsent_bytes:
                reader.close(SLOW_CONSUMER)
                self.forget(reader)

    def check(self, reader: CheckedReader, now_ms: int) -> None:
        """Close `reader`, checked several times in `max_unread_ms`, if it has taken nothing in that."""
        taken_bytes = reader.taken_bytes if reader.unsent_bytes else None
        if taken_bytes is None:
            self._behind.pop(reader, None)
            return
        before_bytes, since_ms = self._behind.get(reader, (-1, now_ms))
        if taken_bytes != before_bytes:
            self._behind[reader] = (taken_bytes, now_ms)
        elif now_ms - since_ms >= self._max_unread_ms:
            reader.close(STALLED)
            self.forget(reader)

    async def wait_clear(self) -> None:
        """Yield to the event loop, and return when no connection is congested, and nobody missing.

        A connection that reads nothing for `limits.stall_timeout_ms` in that time is closed as stalled.
        """
        timeout_s = self._stall_timeout_s
        await asyncio.sleep(0)
        now_s = asyncio.get_running_loop().time
        progress: dict[Reader, tuple[int, float]] = {}
        while self._congested or self.is_incomplete:
            for reader in tuple(self._congested):
                unsent_bytes = reader.unsent_bytes
                least_bytes, since_s = progress.get(reader, (unsent_bytes + 1, 0.0))
                if unsent_bytes < least_bytes:
                    progress[reader] = (unsent_bytes, now_s())
                elif now_s() - since_s >= timeout_s:
                    reader.close(STALLED)
                    self.forget(reader)
            with contextlib.suppress(TimeoutError):
                check_s = timeout_s / CHECKS_PER_TIMEOUT
                async with asyncio.timeout(
                    min(check_s, RETURN_CHECK_S) if self._missing else check_s
                ):
                    await self._clear.wait()
