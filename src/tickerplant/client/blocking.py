"""The synchronous client of one venue; public in `tickerplant.blocking`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from msgspec import structs

from tickerplant.client import books as asynchronous_books
from tickerplant.client import market as asynchronous
from tickerplant.client import subscription as consumers
from tickerplant.client.blocking_books import Books, ThreadedViews
from tickerplant.client.event_loop import check_timeout, within
from tickerplant.client.loop_thread import LoopThread, OverError, as_of, waited
from tickerplant.client.market import QUEUE_SIZE
from tickerplant.client.subscription import BATCH, check_callback, check_max_items
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.order_book import OrderBook
from tickerplant.feed.queue import QueueCounters, WhenFull
from tickerplant.formatting import names_text
from tickerplant.messages.book import BookSpeed, SnapshotLimit
from tickerplant.messages.message import Message, StreamName
from tickerplant.notices import Dropped, Notice
from tickerplant.recording.timestamps import Instant
from tickerplant.venue import VenueName

__all__ = ["Books", "Listener", "Market", "Subscription", "connect"]

M = TypeVar("M", bound=Message)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@as_of(asynchronous.connect)
def connect(market: asynchronous.Market) -> Market:
    """Return a synchronous client for one venue.  Use it with `with`, or call `close`.

    The thread starts on first use.  The arguments are those of `tickerplant.connect`.

    Raises:
        ConfigError: an argument is invalid.
    """
    return Market(market)


class Market:
    """A synchronous `tickerplant.Market`.  Thread-safe."""

    def __init__(self, market: asynchronous.Market) -> None:
        self._inner = market
        self._thread = LoopThread(market, "the market is closed; call `connect` again")
        self._was_entered = False

    @property
    def is_open(self) -> bool:
        """Whether its thread is running: from the first use until it is closed."""
        return self._thread.is_running

    @property
    def venue(self) -> VenueName:
        """The venue, `usdm` or `coinm`."""
        return self._inner.venue

    @property
    def counters(self) -> FeedCounters:
        """Counts over all streams and connections."""
        return self._thread.call(lambda: self._inner.counters)

    def is_delivered(self, name: str) -> bool:
        """Whether the stream `name` is subscribed to and delivered to all its consumers."""
        return self._thread.call(lambda: self._inner.is_delivered(name))

    @overload
    def stream(
        self,
        *names: StreamName[M],
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: Callable[[Notice], object],
        timeout_s: float | None = ...,
    ) -> Subscription[M]: ...

    @overload
    def stream(
        self,
        *names: StreamName[M],
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: None = None,
        timeout_s: float | None = ...,
    ) -> Subscription[M | Notice]: ...

    @overload
    def stream(
        self,
        *names: str,
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: Callable[[Notice], object],
        timeout_s: float | None = ...,
    ) -> Subscription[Message]: ...

    @overload
    def stream(
        self,
        *names: str,
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: None = None,
        timeout_s: float | None = ...,
    ) -> Subscription[Message | Notice]: ...

    def stream(
        self,
        *names: str,
        history: int | Instant = 0,
        backfill: bool = False,
        queue_size: int = QUEUE_SIZE,
        when_full: WhenFull = "block",
        on_notice: Callable[[Notice], object] | None = None,
        timeout_s: float | None = None,
    ) -> Subscription[Message | Notice]:
        """Subscribe to streams and return an iterator; see `tickerplant.Market.stream`.

            for trade in market.stream(Trade.of("BTCUSDT"), on_notice=print):
                print(trade.price, trade.quantity)

        Args:
            names: The streams, typed or as text.
            history: Messages to receive first, over REST: the last N, or all since a time.
            backfill: Fetch missing messages over REST.
            queue_size: Maximum number of unread messages.
            when_full: What to do when the queue is full.
            on_notice: Called with each notice when the reader reaches it, in the reader's thread.
            timeout_s: How long `next` waits for a message before it raises `TimeoutError`.

        Raises:
            ConfigError: an argument is missing or invalid.
            RuntimeError: the market is closed.
        """
        check_timeout(timeout_s)
        if on_notice is not None:
            check_callback("on_notice", on_notice)

        async def subscribe() -> consumers.Subscription[Any]:
            return self._inner.stream(
                *names,
                history=history,
                backfill=backfill,
                queue_size=queue_size,
                when_full=when_full,
            )

        subscription = self._thread.wait(subscribe())
        # With `keep_latest` an item is fetched only when it is wanted, so that it is the latest.
        most = 1 if when_full == "keep_latest" else min(BATCH, queue_size)
        return Subscription(self._thread, subscription, most, on_notice, timeout_s)

    @overload
    def on(
        self,
        *names: StreamName[M],
        callback: Callable[[M], object],
        on_notice: Callable[[Notice], object],
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: StreamName[M],
        callback: Callable[[M | Notice], object],
        on_notice: None = None,
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: str,
        callback: Callable[[Message], object],
        on_notice: Callable[[Notice], object],
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: str,
        callback: Callable[[Message | Notice], object],
        on_notice: None = None,
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    def on(
        self,
        *names: str,
        callback: Callable[..., object],
        on_notice: Callable[[Notice], object] | None = None,
        history: int | Instant = 0,
        backfill: bool = False,
    ) -> Listener:
        """Call `callback` with each message of `names` as it arrives; see `tickerplant.Market.on`.

        Both callbacks are called in the client's thread, which does nothing else until they return:
        they must be fast, and they cannot call the market.

            listener = market.on("btcusdt@trade", callback=print)
            listener.wait(timeout_s=60)

        Args:
            names: The streams, typed or as text.
            callback: Called with each message, and with each notice if there is no `on_notice`.
            on_notice: Called with each notice, at its place among the messages.
            history: Messages to receive first, over REST: the last N, or all since a time.
            backfill: Fetch missing messages over REST.

        Raises:
            ConfigError: an argument is missing or invalid.
            RuntimeError: the market is closed.
        """

        async def listen() -> consumers.Listener:
            return self._inner.on(
                *names, callback=callback, on_notice=on_notice, history=history, backfill=backfill
            )

        return Listener(self._thread, self._thread.wait(listen()))

    def books(
        self,
        *symbols: str,
        speed: BookSpeed = "100ms",
        limit: SnapshotLimit | None = None,
        on_update: Callable[[OrderBook, Message | Notice], object] | None = None,
    ) -> Books:
        """Maintain a local order book of each of `symbols`; see `Market.books`.

        Args:
            symbols: Such as `BTCUSDT`.
            speed: Interval between updates: `100ms`, `250ms` or `500ms`.
            limit: Levels per side in a snapshot.
            on_update: Called in the client's thread, as the callback of `on` is.

        Raises:
            ConfigError: no symbol is given, or an argument is invalid.
        """
        if on_update is not None:
            check_callback("on_update", on_update)
        views = ThreadedViews(self._thread)
        called = None if on_update is None else views.callback(on_update)

        async def keep() -> asynchronous_books.Books:
            return self._inner.books(*symbols, speed=speed, limit=limit, on_update=called)

        return Books(self._thread.wait(keep()), views)

    ask = waited(asynchronous.Market.ask)
    fetch_candles = waited(asynchronous.Market.fetch_candles)
    fetch_depth = waited(asynchronous.Market.fetch_depth)
    fetch_trades = waited(asynchronous.Market.fetch_trades)
    fetch_aggregate_trades = waited(asynchronous.Market.fetch_aggregate_trades)
    fetch_funding_rates = waited(asynchronous.Market.fetch_funding_rates)
    fetch_instruments = waited(asynchronous.Market.fetch_instruments)

    def close(self) -> None:
        """Close the connections and end the thread.  Messages already queued can still be read.

        Re-raises exceptions from callbacks that have not been reported yet.

        Raises:
            RuntimeError: called from a callback, which would deadlock; the market stays open.
        """
        self._thread.end()

    def __repr__(self) -> str:
        return f"<blocking.{repr(self._inner)[1:]}"

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


class Subscription(Generic[T_co]):
    """An iterator over messages and notices, fetched from the other thread in batches.

    With `on_notice` it contains messages only.
    """

    def __init__(
        self,
        thread: LoopThread,
        subscription: consumers.Subscription[Any],
        max_items: int,
        on_notice: Callable[[Notice], object] | None,
        timeout_s: float | None,
    ) -> None:
        self.names = subscription.names
        """The streams."""
        self._thread = thread
        self._subscription = subscription
        self._timeout_s = timeout_s
        self._max_items = max_items
        self._on_notice = on_notice
        self._batch: deque[T_co] = deque()
        self._read = 0

    @property
    def counters(self) -> QueueCounters:
        """Counts of its messages and notices."""
        counters = self._thread.call(lambda: self._subscription.counters)
        return structs.replace(counters, delivered=self._read)

    @property
    def pending(self) -> int:
        """Number of unread messages and notices."""
        return self._thread.call(lambda: self._subscription.pending) + len(self._batch)

    def read_batch(self, max_items: int = BATCH, *, timeout_s: float | None = None) -> list[T_co]:
        """Wait for at least one item and return up to `max_items` of them.

        Returns an empty list once the subscription has ended.  With `on_notice` a batch ends before
        a notice, so that it is called after the messages before it were handled.

        Args:
            max_items: Maximum number of messages (and notices, without `on_notice`).
            timeout_s: How long to wait for the first; None waits as long as `next` does.

        Raises:
            ConfigError: `max_items` is not a positive integer, or `timeout_s` is invalid.
            TimeoutError: nothing arrived in time; nothing is lost.
            QueueOverflow: `when_full` is `"raise"`, and the queue was full.
        """
        check_max_items(max_items)
        check_timeout(timeout_s)
        batch: list[T_co] = []
        with suppress(StopIteration):
            batch.append(self._next(max_items, timeout_s or self._timeout_s))
            while len(batch) < max_items and self._batch and not self._is_before_notice():
                batch.append(next(self))
        return batch

    def close(self) -> None:
        """Unsubscribe.  Messages already queued can still be read."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._subscription.close)

    def __repr__(self) -> str:
        return f"<blocking.{repr(self._subscription)[1:]}"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        """Return the next message, or notice if there is no `on_notice`.

        Raises:
            TimeoutError: nothing arrived in time; the next call waits again.
            QueueOverflow: `when_full` is `"raise"`, and the queue was full.
        """
        batch = self._batch
        if batch and not isinstance(batch[0], Notice):
            self._read += 1
            return batch.popleft()
        return self._next(self._max_items, self._timeout_s)

    def read_queued(self) -> list[T_co]:
        """Return the next item if one was fetched, without waiting; else an empty list."""
        while self._batch:
            item = self._batch.popleft()
            if not isinstance(item, Dropped):
                self._read += 1
            if self._on_notice is None or not isinstance(item, Notice):
                return [item]
            self._on_notice(item)
        return []

    def begin_waiting(self, ready: Future[None]) -> None:
        """Complete `ready` when there is an item or the end; called in the thread, if it runs."""
        if not self._thread.is_running:
            ready.set_result(None)
            return
        reader = asyncio.get_running_loop().create_future()
        if self._subscription.begin_waiting(reader):
            reader.add_done_callback(lambda _: ready.set_result(None))
        else:
            ready.set_result(None)

    @property
    def thread(self) -> LoopThread:
        """The thread that runs its market."""
        return self._thread

    @property
    def inner(self) -> consumers.Subscription[Any]:
        """The subscription in that thread."""
        return self._subscription

    def fetch_queued(self) -> bool:
        """Fetch what is there; return whether there was anything before the end."""
        try:
            self._fill(self._max_items, None)
        except StopIteration:
            return False
        return True

    def _next(self, max_items: int, timeout_s: float | None) -> T_co:
        while True:
            if not self._batch:
                self._fill(max_items, timeout_s)
            item = self._batch.popleft()
            if not isinstance(item, Dropped):
                self._read += 1
            if self._on_notice is None or not isinstance(item, Notice):
                return item
            self._on_notice(item)

    def _fill(self, max_items: int, timeout_s: float | None) -> None:
        """Fetch the next batch; raise `StopIteration` if there is none any more."""
        try:
            self._thread.wait(within(timeout_s, lambda: self._fetch(max_items), self._missing))
        except OverError:
            with suppress(StopIteration):
                self._fetch(max_items).send(None)  # the loop has ended: it returns at once
        if not self._batch:
            raise StopIteration

    async def _fetch(self, max_items: int) -> None:
        # Stored, not returned: a batch must not be lost when the caller stops waiting.
        self._batch.extend(await self._subscription.read_batch(max_items))

    def _is_before_notice(self) -> bool:
        return self._on_notice is not None and isinstance(self._batch[0], Notice)

    def _missing(self) -> str:
        return f"no message of {names_text(self.names)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def begin_waiting(
    subscriptions: Iterable[Subscription[T]],
) -> dict[Future[None], Subscription[T]]:
    """Wait for several subscriptions at once; call `end_waiting` then.

    Returns, for each, a future that is done when it has an item, or has ended.
    """
    waiting: dict[Future[None], Subscription[T]] = {}
    for thread, group in _by_thread(subscriptions).items():
        ready: dict[Future[None], Subscription[T]] = {Future(): each for each in group}
        waiting |= ready

        def begin(ready: dict[Future[None], Subscription[T]] = ready) -> None:
            for future, each in ready.items():
                each.begin_waiting(future)
            for each in ready.values():
                each.inner.let_through()

        try:
            thread.call(begin)
        except OverError:
            for future in ready:
                if not future.done():
                    future.set_result(None)
    return waiting


def end_waiting(subscriptions: Iterable[Subscription[T]], *, is_woken: bool) -> None:
    """Stop waiting: another reader may begin as soon as this returns.

    Args:
        subscriptions: Those that were waited for.
        is_woken: Whether one of them has an item, which is handled now.
    """
    for thread, group in _by_thread(subscriptions).items():

        def end(group: list[Subscription[T]] = group) -> None:
            for each in group:
                each.inner.end_waiting(is_woken=is_woken)

        with suppress(OverError):
            thread.call(end)


def _by_thread(
    subscriptions: Iterable[Subscription[T]],
) -> dict[LoopThread, list[Subscription[T]]]:
    """Return the subscriptions of each thread: those of a market change together."""
    groups: dict[LoopThread, list[Subscription[T]]] = {}
    for each in subscriptions:
        groups.setdefault(each.thread, []).append(each)
    return groups


class Listener:
    """A callback that receives the messages of its streams until it is closed or raises."""

    def __init__(self, thread: LoopThread, listener: consumers.Listener) -> None:
        self.names = listener.names
        """The streams."""
        self._thread = thread
        self._inner = listener

    @property
    def is_done(self) -> bool:
        """Whether it is closed and any exception from a callback has been reported."""
        return self._inner.is_done

    wait = waited(consumers.Listener.wait)

    def close(self) -> None:
        """Unsubscribe; the callback is no longer called."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._inner.close)

    def __repr__(self) -> str:
        return f"<blocking.{repr(self._inner)[1:]}"
