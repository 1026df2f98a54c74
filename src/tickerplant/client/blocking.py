"""The client for programs without an event loop, and for notebooks, which have one already.

    with tickerplant.blocking.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        for message in market.stream("btcusdt@miniTicker"):
            print(message)

A thread of its own runs the event loop of the asynchronous client; every call waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from tickerplant.client import market as asynchronous
from tickerplant.client.market import QUEUE_SIZE, MarketClient
from tickerplant.client.subscription import Subscription
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.queue import Policy, QueueCounters
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice

T = TypeVar("T")

BATCH = 1_000
"""Messages that are handed from one thread to the other at once."""


def connect(
    venue: str = "usdm",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    settings: FeedSettings | None = None,
    budget: WeightBudget | None = None,
) -> BlockingMarket:
    """Return the client of a venue, to be used with `with`; see `tickerplant.connect`.

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
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tickerplant", daemon=True)

    @property
    def is_open(self) -> bool:
        """Whether it can be used: between the begin and the end of `with`."""
        return self._loop is not None

    @property
    def counters(self) -> FeedCounters:
        """What happened so far, over all streams."""

        async def count() -> FeedCounters:
            return self._market.counters

        return self.wait(count()) if self.is_open else self._market.counters

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
        batch = 1 if policy == "latest" else BATCH
        return BlockingSubscription(self, self.wait(subscribe()), batch, timeout_s)

    def ask(self, method: str, **params: Any) -> Any:
        """Ask the WebSocket API; see `MarketClient.ask`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached.
        """
        return self.wait(self._market.ask(method, **params))

    def get(self, path: str, **params: Any) -> Any:
        """Ask over REST; see `MarketClient.get`.

        Raises:
            RequestError: the server answers with an error.
            UpstreamError: the server cannot be reached.
        """
        return self.wait(self._market.get(path, **params))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what `coroutine` returns, run in the client's own event loop.

        Raises:
            RuntimeError: the market is not open, or was closed meanwhile.
        """
        loop = self._loop
        if loop is None:
            coroutine.close()
            raise RuntimeError("use the market with `with`")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the market was closed") from None
        except BaseException:
            future.cancel()
            raise

    def __enter__(self) -> Self:
        if self._has_begun.is_set():
            raise RuntimeError("a market is opened once; `connect` makes another")
        self._thread.start()
        self._has_begun.wait()
        try:
            self.wait(self._market.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.wait(self._market.__aexit__(kind, error, trace))
        finally:
            self._end()

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_begun.set()
        await self._over.wait()

    def _end(self) -> None:
        """End the event loop and its thread; what still runs there is cancelled."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


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

    @property
    def counters(self) -> QueueCounters:
        """What happened to the messages so far."""
        return self._subscription.counters

    def close(self) -> None:
        """Unsubscribe; what waits may still be read."""

        async def close() -> None:
            self._subscription.close()

        if self._market.is_open:
            self._market.wait(close())

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
        return self._batch.popleft()

    async def _fetch(self) -> None:
        # It is put here and not returned, so that it is not lost when nobody waits any more.
        async with asyncio.timeout(self._timeout_s):
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


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that does not wait for anything: what it reads from has ended."""
    with suppress(StopIteration):
        coroutine.send(None)
