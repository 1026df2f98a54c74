"""The synchronous client, for programs without an event loop and for notebooks.

    with tickerplant.blocking.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        for message in market.stream("btcusdt@miniTicker"):
            print(message)

The asynchronous client runs in a background thread, which starts on first use.  A market can
therefore be used without `with`, for example across notebook cells, until `market.close()` or the
end of the program.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import structs

from tickerplant.client import market as asynchronous
from tickerplant.client.blocking_books import BlockingBook, BlockingBooks
from tickerplant.client.books import Books
from tickerplant.client.loop_thread import LoopThread, OverError, within
from tickerplant.client.market import QUEUE_SIZE, TIMEOUT_S, MarketClient
from tickerplant.client.subscription import Listener, Subscription, streams_text
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.queue import QueueCounters, WhenFull
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.notices import Dropped, Notice

__all__ = [
    "BlockingBook",
    "BlockingBooks",
    "BlockingListener",
    "BlockingMarket",
    "BlockingSubscription",
    "connect",
]

T = TypeVar("T")

BATCH = 1_000
"""Maximum number of messages handed from one thread to the other at once."""


def connect(
    venue: str = "usdm",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    settings: FeedSettings | None = None,
    budget: WeightBudget | None = None,
) -> BlockingMarket:
    """Return a synchronous client for one venue.  Use it with `with`, or call `close`.

    The thread starts on first use.  The arguments are those of `tickerplant.connect`.

    Raises:
        ConfigError: an argument is invalid.
    """
    return BlockingMarket(
        asynchronous.connect(
            venue, base_url=base_url, api_key=api_key, settings=settings, budget=budget
        )
    )


class BlockingMarket:
    """A synchronous `MarketClient`.  Thread-safe."""

    def __init__(self, market: MarketClient) -> None:
        self._market = market
        self._thread = LoopThread(market, "the market is closed; call `connect` again")
        self._was_entered = False

    @property
    def is_open(self) -> bool:
        """Whether its thread is running: from the first use until it is closed."""
        return self._thread.is_running

    @property
    def counters(self) -> FeedCounters:
        """Counts over all streams and connections."""
        return self.call(lambda: self._market.counters)

    def is_delivered(self, name: str) -> bool:
        """Whether the stream `name` is subscribed to and delivered to all its consumers."""
        return self.call(lambda: self._market.is_delivered(name))

    def stream(
        self,
        *names: str,
        when_full: WhenFull = "block",
        queue_size: int = QUEUE_SIZE,
        notices: bool = True,
        backfill: bool = False,
        timeout_s: float | None = None,
    ) -> BlockingSubscription:
        """Subscribe to streams; see `MarketClient.stream`.

        Args:
            names: The streams.
            when_full: What to do when the queue is full.
            queue_size: Maximum number of unread messages.
            notices: Whether to receive notices.
            backfill: Fetch missing messages over REST.
            timeout_s: How long `next` waits for a message before it raises `TimeoutError`.

        Raises:
            ConfigError: a stream name, `when_full` or `queue_size` is missing or invalid.
        """

        async def subscribe() -> Subscription:
            return self._market.stream(
                *names,
                when_full=when_full,
                queue_size=queue_size,
                notices=notices,
                backfill=backfill,
            )

        return BlockingSubscription(
            self._thread, self.wait(subscribe()), when_full, queue_size, timeout_s
        )

    def on(
        self,
        callback: Callable[[Message | Notice], object],
        *names: str,
        notices: bool = True,
        backfill: bool = False,
    ) -> BlockingListener:
        """Call `callback` with each message of `names` as it arrives; see `MarketClient.on`.

        It is called in the client's thread, which does nothing else until it returns: it must be
        fast, and it cannot call the market.

        Raises:
            ConfigError: no name is given, or `callback` is not a plain function.
        """

        async def listen() -> Listener:
            return self._market.on(callback, *names, notices=notices, backfill=backfill)

        return BlockingListener(self._thread, self.wait(listen()))

    def books(
        self,
        *symbols: str,
        speed: str = "100ms",
        limit: int | None = None,
        on_update: Callable[[LocalBook, Message | Notice], object] | None = None,
        timeout_s: float | None = None,
    ) -> BlockingBooks:
        """Maintain a local order book of each of `symbols`; see `MarketClient.books`.

        Args:
            symbols: Such as `BTCUSDT`.
            speed: Interval between updates: `100ms`, `250ms` or `500ms`.
            limit: Levels per side in a snapshot.
            on_update: Called in the client's thread, as the callback of `on` is.
            timeout_s: How long `next` waits for a change before it raises `TimeoutError`.

        Raises:
            ConfigError: no symbol is given, or an argument is invalid.
        """

        async def keep() -> Books:
            return self._market.books(*symbols, speed=speed, limit=limit, on_update=on_update)

        return BlockingBooks(self._thread, self.wait(keep()), timeout_s)

    def ask(self, method: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Call a WebSocket API method; see `MarketClient.ask`.

        Raises:
            RequestError: the server responds with an error.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        return self.wait(self._market.ask(method, timeout_s, **params))

    def get(self, path: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Send a REST request; see `MarketClient.get`.

        Raises:
            RequestError: the server responds with an error.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        return self.wait(self._market.get(path, timeout_s, **params))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` in the client's event loop and return its result.

        Raises:
            RuntimeError: the market is or was closed, or this was called from a callback, which
                would deadlock.
        """
        return self._thread.wait(coroutine)

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` in the client's thread, where nothing else changes the client, and return its result."""
        return self._thread.call(function)

    def close(self) -> None:
        """Close the connections and end the thread.  Messages already queued can still be read.

        Re-raises exceptions from callbacks that have not been reported yet.

        Raises:
            RuntimeError: called from a callback, which would deadlock; the market stays open.
        """
        self._thread.end()

    def __repr__(self) -> str:
        return f"<BlockingMarket{repr(self._market).removeprefix('<MarketClient')}"

    def __enter__(self) -> Self:
        if self._was_entered or self._thread.is_over:
            raise RuntimeError("a market is opened once; call `connect` again")
        self._was_entered = True
        try:
            self._thread.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.end(kind, error, trace)


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
