"""The client for programs without an event loop, and for notebooks, which have one already.

    with tickerplant.blocking.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        for message in market.stream("btcusdt@miniTicker"):
            print(message)

A thread of its own runs the event loop of the asynchronous client; every call waits for it.  It
begins with the first use, so that a market may also be used without `with`, over the cells of a
notebook, until it is closed (`market.close()`) or the program ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tickerplant.client import market as asynchronous
from tickerplant.client.blocking_books import BlockingBook, BlockingBooks
from tickerplant.client.blocking_streams import BlockingListener, BlockingSubscription
from tickerplant.client.books import Books
from tickerplant.client.listener import Listener
from tickerplant.client.loop_thread import LoopThread
from tickerplant.client.market import QUEUE_SIZE, TIMEOUT_S, MarketClient
from tickerplant.client.subscription import Subscription
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.queue import WhenFull
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice

__all__ = [
    "BlockingBook",
    "BlockingBooks",
    "BlockingListener",
    "BlockingMarket",
    "BlockingSubscription",
    "connect",
]

T = TypeVar("T")


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
        self._thread = LoopThread(market, "the market is closed; `connect` makes another")
        self._was_entered = False

    @property
    def is_open(self) -> bool:
        """Whether its thread runs: from the first use on, until it is closed."""
        return self._thread.is_running

    @property
    def counters(self) -> FeedCounters:
        """What happened so far, over all streams."""
        return self.call(lambda: self._market.counters)

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
        """Call `callback` with every message of `names` as it comes; see `MarketClient.on`.

        It is called in the client's own thread, where nothing else happens until it returns: it has
        to be quick, and cannot wait for an answer of the market.

        Raises:
            ConfigError: no name is given, or a callback that is no plain function.
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

        return BlockingBooks(self._thread, self.wait(keep()), timeout_s)

    def ask(self, method: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Ask the WebSocket API; see `MarketClient.ask`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached in time, or its answer makes no sense.
        """
        return self.wait(self._market.ask(method, timeout_s, **params))

    def get(self, path: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Ask over REST; see `MarketClient.get`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached in time, or its answer makes no sense.
        """
        return self.wait(self._market.get(path, timeout_s, **params))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what `coroutine` returns, run in the client's own event loop.

        Raises:
            RuntimeError: the market is closed, or was closed meanwhile; or a callback waits, in
                the thread that it would have to wait for.
        """
        return self._thread.wait(coroutine)

    def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns, called where nothing of the client changes meanwhile."""
        return self._thread.call(function)

    def close(self) -> None:
        """End the connections and the thread; what waits may still be read.

        Raises what callbacks raised and nobody heard of.

        Raises:
            RuntimeError: a callback closes, in the thread that it would have to wait for; the
                market stays open.
        """
        self._thread.end()

    def __repr__(self) -> str:
        return f"<BlockingMarket{repr(self._market).removeprefix('<MarketClient')}"

    def __enter__(self) -> Self:
        if self._was_entered or self._thread.is_over:
            raise RuntimeError("a market is opened once; `connect` makes another")
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
