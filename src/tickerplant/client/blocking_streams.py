"""Subscriptions and listeners for programs without an event loop."""

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
from tickerplant.feed.queue import QueueCounters, WhenFull
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Dropped, Notice

BATCH = 1_000
"""Maximum number of messages handed from one thread to the other at once."""


class BlockingSubscription:
    """An iterator over messages and notices, fetched from the other thread in batches."""

    def __init__(
        self,
        thread: LoopThread,
        subscription: Subscription,
        when_full: WhenFull,
        queue_size: int,
        timeout_s: float | None,
    ) -> None:
        self.names = subscription.names
        """The streams."""
        self._thread = thread
        self._subscription = subscription
        self._timeout_s = timeout_s
        # With `keep_latest` an item is fetched only when it is wanted, so that it is the latest.
        self._max_items = 1 if when_full == "keep_latest" else min(BATCH, queue_size)
        self._batch: deque[Message | Notice] = deque()
        self._read = 0

    @property
    def counters(self) -> QueueCounters:
        """Counts of its messages and notices."""
        counters = self._thread.call(lambda: self._subscription.counters)
        return structs.replace(counters, delivered=self._read)

    def close(self) -> None:
        """Unsubscribe.  Messages already queued can still be read."""
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
            TimeoutError: nothing arrived in time; the next call waits again.
            QueueOverflow: `when_full` is `"raise"`, and the queue was full.
        """
        if not self._batch:
            try:
                self._thread.wait(within(self._timeout_s, self._fetch, self._missing))
            except OverError:
                with suppress(StopIteration):
                    self._fetch().send(None)  # the loop has ended: it returns at once
            if not self._batch:
                raise StopIteration
        item = self._batch.popleft()
        if not isinstance(item, Dropped):
            self._read += 1
        return item

    async def _fetch(self) -> None:
        # Stored, not returned: a batch must not be lost when the caller stops waiting.
        self._batch.extend(await self._subscription.read_batch(self._max_items))

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
    """A callback that receives the messages of its streams until it is closed or raises."""

    def __init__(self, thread: LoopThread, listener: Listener) -> None:
        self.names = listener.names
        """The streams."""
        self._thread = thread
        self._listener = listener

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is closed; re-raise an exception of the callback.

        Raises:
            TimeoutError: it is not closed within `timeout_s`.
        """
        self._thread.wait(
            within(timeout_s, lambda: self._listener, lambda: f"{self._listener} was not closed")
        )

    def close(self) -> None:
        """Unsubscribe; the callback is no longer called."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._listener.close)

    def __repr__(self) -> str:
        return f"<BlockingListener{repr(self._listener).removeprefix('<Listener')}"
