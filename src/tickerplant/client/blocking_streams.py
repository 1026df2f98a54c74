"""What is heard without an event loop: read in batches, or by a callback in the other thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from msgspec import structs

from tickerplant.client.listener import Listener
from tickerplant.client.loop_thread import LoopThread, OverError, within
from tickerplant.client.subscription import Subscription, streams_text
from tickerplant.feed.queue import Policy, QueueCounters
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Dropped, Notice

BATCH = 1_000
"""Messages that are handed from one thread to the other at once."""


class BlockingSubscription:
    """An iterator over messages and notices, fetched from the other thread in batches."""

    def __init__(
        self,
        thread: LoopThread,
        subscription: Subscription,
        policy: Policy,
        size: int,
        timeout_s: float | None,
    ) -> None:
        self.names = subscription.names
        """The streams."""
        self._thread = thread
        self._subscription = subscription
        self._timeout_s = timeout_s
        # Of what is to be fresh nothing is taken before it is wanted.
        self._most = 1 if policy == "latest" else min(BATCH, size)
        self._batch: deque[Message | Notice] = deque()
        self._read = 0

    @property
    def counters(self) -> QueueCounters:
        """What happened to the messages so far."""
        counters = self._thread.call(lambda: self._subscription.counters)
        return structs.replace(counters, handed_out=self._read)

    def close(self) -> None:
        """Unsubscribe; what waits may still be read."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._subscription.close)

    def __repr__(self) -> str:
        return f"<BlockingSubscription{repr(self._subscription).removeprefix('<Subscription')}"

    def __iter__(self) -> Iterator[Message | Notice]:
        return self

    def __next__(self) -> Message | Notice:
        """Return the next message or notice.

        Raises:
            TimeoutError: none came in time; the next call waits again.
            QueueOverflow: the policy is `fail`, and it was read too slowly.
        """
        if not self._batch:
            try:
                self._thread.wait(within(self._timeout_s, self._take, self._missing))
            except OverError:
                with suppress(StopIteration):
                    self._take().send(None)  # it has ended, and waits for nothing
            if not self._batch:
                raise StopIteration
        item = self._batch.popleft()
        if not isinstance(item, Dropped):
            self._read += 1
        return item

    async def _take(self) -> None:
        # It is put here and not returned, so that it is not lost when nobody waits any more.
        self._batch.extend(await self._subscription.take(self._most))

    def _missing(self) -> str:
        return f"no message of {streams_text(self.names)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BlockingListener:
    """A callback that is subscribed to streams, until it is closed or raises."""

    def __init__(self, thread: LoopThread, listener: Listener) -> None:
        self.names = listener.names
        """The streams."""
        self._thread = thread
        self._listener = listener

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is closed; raise what the callback raised.

        Raises:
            TimeoutError: it is not closed within `timeout_s`.
        """
        self._thread.wait(
            within(timeout_s, lambda: self._listener, lambda: f"{self._listener} was not closed")
        )

    def close(self) -> None:
        """Unsubscribe; the callback is not called any more."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._listener.close)

    def __repr__(self) -> str:
        return f"<BlockingListener{repr(self._listener).removeprefix('<Listener')}"
