"""The client for programs without an event loop, and for notebooks, which have one already.

    with tickerplant.blocking.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        for message in market.stream("btcusdt@miniTicker"):
            print(message)

A thread of its own runs the event loop of the asynchronous client; every call waits for it.  It
begins with the first use, so that a market may also be used without `with`, over the cells of a
notebook, until it is closed (`market.close()`) or the program ends.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import structs

from tickerplant.client import market as asynchronous
from tickerplant.client.books import Books
from tickerplant.client.listener import Listener
from tickerplant.client.market import QUEUE_SIZE, MarketClient
from tickerplant.client.subscription import Subscription, streams_text
from tickerplant.feed.audit import AuditResult
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.feed.queue import Policy, QueueCounters
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Dropped, Notice
from tickerplant.printed import PrintedLevel

T = TypeVar("T")

BATCH = 1_000
"""Messages that are handed from one thread to the other at once."""
CLOSED = "the market is closed; `connect` makes another"


def connect(
    venue: str = "usdm",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    settings: FeedSettings | None = None,
    budget: WeightBudget | None = None,
) -> BlockingMarket:
    """Return the client of a venue, to be used with `with` or until `close`.

    Nothing runs before it is used.  The arguments are those of `tickerplant.connect`.

    Raises:
        ConfigError: an argument cannot be used.
    """
    return BlockingMarket(
        asynchronous.connect(
            venue, base_url=base_url, api_key=api_key, settings=settings, budget=budget
        )
    )


class BlockingMarket:
    """A `MarketClient` whose calls wait; they may come from several threads."""

    def __init__(self, market: MarketClient) -> None:
        self._market = market
        self._loop: asyncio.AbstractEventLoop | None = None
        """The client's event loop, while there is one."""
        self._over = asyncio.Event()
        self._begun: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._beginning = threading.Lock()
        self._scheduling = threading.Lock()
        """Held by who schedules or ends: what is scheduled last is still begun, and cancelled."""
        self._was_entered = False
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether its thread runs: from the first use on, until it is closed."""
        return self._loop is not None

    @property
    def counters(self) -> FeedCounters:
        """What happened so far, over all streams."""
        return self.call(lambda: self._market.counters)

    def stream(
        self,
        *names: str,
        policy: Policy = "every",
        size: int = QUEUE_SIZE,
        notices: bool = True,
        backfill: bool = False,
        timeout_s: float | None = None,
    ) -> BlockingSubscription:
        """Subscribe to streams; see `MarketClient.stream`.

        Args:
            names: The streams.
            policy: What happens when messages wait.
            size: How many may wait.
            notices: Whether notices are wanted.
            backfill: Ask over REST for what is missing.
            timeout_s: How long to wait for the next message; `TimeoutError` is raised then.

        Raises:
            ConfigError: no name, or a policy or size that is none.
        """

        async def subscribe() -> Subscription:
            return self._market.stream(
                *names, policy=policy, size=size, notices=notices, backfill=backfill
            )

        # Of what is to be fresh nothing is taken before it is wanted.
        batch = 1 if policy == "latest" else min(BATCH, size)
        return BlockingSubscription(self, self.wait(subscribe()), batch, timeout_s)

    def on(
        self,
        callback: Callable[[Message | Notice], object],
        *names: str,
        notices: bool = True,
        backfill: bool = False,
    ) -> BlockingListener:
        """Call `callback` with every message of `names` as it comes; see `MarketClient.on`.

        It is called in the client's own thread, where nothing else happens until it returns: it has
        to be quick, and cannot wait for an answer of the market.

        Raises:
            ConfigError: no name is given, or a callback that is no plain function.
        """

        async def listen() -> Listener:
            return self._market.on(callback, *names, notices=notices, backfill=backfill)

        return BlockingListener(self, self.wait(listen()))

    def books(
        self,
        *symbols: str,
        speed: str = "100ms",
        limit: int | None = None,
        on_update: Callable[[LocalBook, Message | Notice], object] | None = None,
        timeout_s: float | None = None,
    ) -> BlockingBooks:
        """Keep a local order book of each of `symbols`; see `MarketClient.books`.

        Args:
            symbols: Such as `BTCUSDT`.
            speed: How often updates come: `100ms`, `250ms` or `500ms`.
            limit: Levels of a side in a snapshot.
            on_update: Called in the client's own thread, as the callback of `on` is.
            timeout_s: How long to wait for the next change; `TimeoutError` is raised then.

        Raises:
            ConfigError: no symbol is given, or an argument that cannot be used.
        """

        async def keep() -> Books:
            return self._market.books(*symbols, speed=speed, limit=limit, on_update=on_update)

        return BlockingBooks(self, self.wait(keep()), timeout_s)

    def ask(self, method: str, /, **params: Any) -> Any:
        """Ask the WebSocket API; see `MarketClient.ask`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached.
        """
        return self.wait(self._market.ask(method, **params))

    def get(self, path: str, /, **params: Any) -> Any:
        """Ask over REST; see `MarketClient.get`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached.
        """
        return self.wait(self._market.get(path, **params))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what `coroutine` returns, run in the client's own event loop.

        Raises:
            RuntimeError: the market is closed, or was closed meanwhile; or a callback waits, in
                the thread that it would have to wait for.
        """
        try:
            self._check_thread()
        except RuntimeError:
            coroutine.close()
            raise
        try:
            if self._loop is None:
                self._begin()
            future = self._schedule(coroutine)
        except Exception as error:
            coroutine.close()
            if self._is_closed and isinstance(error, RuntimeError):
                raise RuntimeError(CLOSED) from None
            raise
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns, called where nothing of the client changes meanwhile."""
        if self._loop is None or threading.current_thread() is self._thread:
            return function()

        async def call() -> T:
            return function()

        return self.wait(call())

    def close(self) -> None:
        """End the connections and the thread; what waits may still be read.

        Raises what callbacks raised and nobody heard of.
        """
        self.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<BlockingMarket{repr(self._market).removeprefix('<MarketClient')}"

    def __enter__(self) -> Self:
        if self._was_entered or self._is_closed:
            raise RuntimeError("a market is opened once; `connect` makes another")
        self._was_entered = True
        try:
            self._begin()
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
        self._check_thread()
        with self._beginning:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed or self._thread is None:
            return
        try:
            if self._begun.exception() is None:
                self.wait(self._market.__aexit__(kind, error, trace))
        finally:
            self._end(self._thread)

    def _check_thread(self) -> None:
        """Raise `RuntimeError` in the client's own thread, which cannot wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback cannot wait: it is called in the client's own thread")

    def _schedule(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._scheduling:
            if self._loop is None:
                raise RuntimeError(CLOSED)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _begin(self) -> None:
        """Start the thread unless it runs, and wait for its event loop."""
        with self._beginning:
            if self._is_closed and self._loop is None:
                raise RuntimeError(CLOSED)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tickerplant", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)
        self._begun.result()

    def _run(self) -> None:
        living = self._live()
        try:
            asyncio.run(living)
        except BaseException as error:
            living.close()
            if self._begun.done():
                raise
            self._begun.set_exception(error)  # there was no loop, as without a free file number

    async def _live(self) -> None:
        try:
            await self._market.__aenter__()
        except BaseException as error:  # noqa: BLE001  # it is raised to who used the market
            self._begun.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        self._begun.set_result(None)
        await self._over.wait()

    def _end(self, thread: threading.Thread) -> None:
        """End the event loop and its thread; what still runs there is cancelled."""
        atexit.unregister(self.close)
        with self._scheduling:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(self._over.set)
        thread.join()


class BlockingSubscription:
    """An iterator over messages and notices, fetched from the other thread in batches."""

    def __init__(
        self,
        market: BlockingMarket,
        subscription: Subscription,
        batch: int,
        timeout_s: float | None,
    ) -> None:
        self.names = subscription.names
        """The streams."""
        self._market = market
        self._subscription = subscription
        self._timeout_s = timeout_s
        self._size = batch
        self._batch: deque[Message | Notice] = deque()
        self._read = 0

    @property
    def counters(self) -> QueueCounters:
        """What happened to the messages so far."""
        counters = self._market.call(lambda: self._subscription.counters)
        return structs.replace(counters, handed_out=self._read)

    def close(self) -> None:
        """Unsubscribe; what waits may still be read."""
        if self._market.is_open:
            self._market.call(self._subscription.close)

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
            if self._market.is_open:
                self._market.wait(self._fetch())
            else:
                _finish(self._fetch_rest())
            if not self._batch:
                raise StopIteration
        item = self._batch.popleft()
        if not isinstance(item, Dropped):
            self._read += 1
        return item

    async def _fetch(self) -> None:
        # It is put here and not returned, so that it is not lost when nobody waits any more.
        async with _within(self._timeout_s, f"no message of {streams_text(self.names)}"):
            self._batch.extend(await self._subscription.take(self._size))

    async def _fetch_rest(self) -> None:
        self._batch.extend(await self._subscription.take(self._size))

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

    def __init__(self, market: BlockingMarket, listener: Listener) -> None:
        self.names = listener.names
        """The streams."""
        self._market = market
        self._listener = listener

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is closed; raise what the callback raised.

        Raises:
            TimeoutError: it is not closed within `timeout_s`.
        """

        async def wait() -> None:
            async with _within(timeout_s, f"{self._listener} was not closed"):
                await self._listener

        self._market.wait(wait())

    def close(self) -> None:
        """Unsubscribe; the callback is not called any more."""
        if self._market.is_open:
            self._market.call(self._listener.close)

    def __repr__(self) -> str:
        return f"<BlockingListener{repr(self._listener).removeprefix('<Listener')}"


class BlockingBook:
    """One of the `BlockingBooks`; what is read of it is read while nothing changes it."""

    def __init__(self, market: BlockingMarket, book: LocalBook) -> None:
        self.symbol = book.symbol
        self._market = market
        self._book = book

    def read(self, function: Callable[[LocalBook], T]) -> T:
        """Return what `function` makes of the `LocalBook`: all that it reads belongs together."""
        return self._market.call(lambda: function(self._book))

    @property
    def state(self) -> State:
        """How far the book can be trusted."""
        return self.read(lambda book: book.state)

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        return self.read(lambda book: book.reason)

    @property
    def best_bid(self) -> PrintedLevel | None:
        """The highest bid, price and quantity, None if there is none."""
        return self.read(lambda book: book.best_bid)

    @property
    def best_ask(self) -> PrintedLevel | None:
        """The lowest ask, price and quantity, None if there is none."""
        return self.read(lambda book: book.best_ask)

    def bids(self, count: int) -> list[PrintedLevel]:
        """Return the best `count` bids, the best first."""
        return self.read(lambda book: book.bids(count))

    def asks(self, count: int) -> list[PrintedLevel]:
        """Return the best `count` asks, the best first."""
        return self.read(lambda book: book.asks(count))

    def __repr__(self) -> str:
        return f"<BlockingBook {self.read(repr)}>"


class BlockingBooks:
    """The books of some symbols, by symbol; an iterator over those that changed, as `Books` is."""

    def __init__(self, market: BlockingMarket, books: Books, timeout_s: float | None) -> None:
        self._market = market
        self._books = books
        self._timeout_s = timeout_s

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of which there are books."""
        return self._market.call(lambda: tuple(self._books))

    def wait_live(self, timeout_s: float | None = None) -> None:
        """Return when every book is live; see `Books.wait_live`.

        Raises:
            RequestError: the server refuses the snapshot of a book.
            TimeoutError: some book is not live within `timeout_s`.
        """

        async def wait() -> None:
            async with _within(timeout_s, f"not all books are live of {self._text}"):
                await self._books.wait_live()

        self._market.wait(wait())

    def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot; see `Books.audit`.

        Raises:
            KeyError: there is no such book here.
            RequestError: the server refuses the snapshot.
            UpstreamError: the server cannot be reached.
        """
        return self._market.wait(self._books.audit(symbol))

    def close(self) -> None:
        """Unsubscribe; the books keep their levels, and are stale."""
        if self._market.is_open:
            self._market.call(self._books.close)

    def __getitem__(self, symbol: str) -> BlockingBook:
        return BlockingBook(self._market, self._market.call(lambda: self._books[symbol]))

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.symbols

    def __len__(self) -> int:
        return len(self.symbols)

    def __iter__(self) -> Iterator[BlockingBook]:
        return self

    def __next__(self) -> BlockingBook:
        """Return the next book that changed.

        Raises:
            TimeoutError: none did in time; the next call waits again.
        """
        book = self._market.wait(self._next()) if self._market.is_open else None
        if book is None:
            raise StopIteration
        return BlockingBook(self._market, book)

    async def _next(self) -> LocalBook | None:
        async with _within(self._timeout_s, f"no change of {self._text}"):
            return await anext(self._books, None)

    @property
    def _text(self) -> str:
        return streams_text(tuple(self._books))

    def __repr__(self) -> str:
        return f"<BlockingBooks {streams_text(self.symbols)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._market.is_open:
            self._market.wait(self._books.__aexit__(kind, error, trace))


@asynccontextmanager
async def _within(timeout_s: float | None, what: str) -> AsyncIterator[None]:
    """Raise a `TimeoutError` that says what did not happen in time."""
    try:
        async with asyncio.timeout(timeout_s) as limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{what} within {timeout_s:g} s") from None
        raise


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that does not wait for anything: what it reads from has ended."""
    with suppress(StopIteration):
        coroutine.send(None)
