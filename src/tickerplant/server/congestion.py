"""Backpressure: how a source that can wait learns that its clients read too slowly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED, CloseReason
from tickerplant.protocol.limits import Limits

CHECKS_PER_TIMEOUT = 20
"""How often progress is checked while a source waits."""


class Reader(Protocol):
    """A connection, as far as congestion is concerned."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to it that the network has not taken."""
        ...

    def close(self, reason: CloseReason) -> None:
        """Leave the hub at once and close."""
        ...


class Congestion:
    """The connections that have more unsent data than they should.

    A connection is congested between its transport's `pause_writing` and `resume_writing`.  One
    with more than `max_unsent_bytes` is closed as a slow consumer.  A source that can wait, such as a
    replay at full speed, awaits `wait_clear` and so keeps its readers below that bound.
    """

    def __init__(self, limits: Limits, count_subscribers: Callable[[], int]) -> None:
        self._max_unsent_bytes = limits.max_unsent_bytes
        self._stall_timeout_s = limits.stall_timeout_ms / 1_000
        self._count_subscribers = count_subscribers
        self._congested: dict[Reader, None] = {}
        self._clear = asyncio.Event()
        self._clear.set()

    @property
    def congested(self) -> bool:
        """Whether any connection has more unsent data than it should."""
        return bool(self._congested)

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over all venues."""
        return self._count_subscribers()

    def pause(self, reader: Reader) -> None:
        """Count `reader` as congested."""
        self._congested[reader] = None
        self._clear.clear()

    def resume(self, reader: Reader) -> None:
        """Count `reader` as not congested, or gone."""
        self._congested.pop(reader, None)
        if not self._congested:
            self._clear.set()

    def close_slow(self) -> None:
        """Close every connection whose unsent data exceeds the bound."""
        for reader in tuple(self._congested):
            if reader.unsent_bytes > self._max_unsent_bytes:
                reader.close(SLOW_CONSUMER)
                self.resume(reader)

    async def wait_clear(self) -> None:
        """Yield to the event loop, and return when no connection is congested.

        A connection that reads nothing for `limits.stall_timeout_ms` in that time is closed as stalled.
        """
        timeout_s = self._stall_timeout_s
        await asyncio.sleep(0)
        now_s = asyncio.get_running_loop().time
        progress: dict[Reader, tuple[int, float]] = {}
        while self._congested:
            for reader in tuple(self._congested):
                unsent_bytes = reader.unsent_bytes
                least_bytes, since_s = progress.get(reader, (unsent_bytes + 1, 0.0))
                if unsent_bytes < least_bytes:
                    progress[reader] = (unsent_bytes, now_s())
                elif now_s() - since_s >= timeout_s:
                    reader.close(STALLED)
                    self.resume(reader)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s / CHECKS_PER_TIMEOUT):
                    await self._clear.wait()
