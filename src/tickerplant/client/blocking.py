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
    """A `MarketClient` whose calls wait."""

    def __init__(self, market: MarketClient) -> None:
        self._market = market
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def counters(self) -> FeedCounters:
        """What happened so far, over all streams."""
        return self._market.counters

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

        return BlockingSubscription(self, self.wait(subscribe()), timeout_s)

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
        """Return what `coroutine` returns, run in the client's own event loop."""
        if not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("use the market with `with`")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(self._market.__aenter__())
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
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


class BlockingSubscription:
    """An iterator over messages and notices, fetched from the other thread in batches."""

    def __init__(
        self, market: BlockingMarket, subscription: Subscription, timeout_s: float | None
    ) -> None:
        self._market = market
        self._subscription = subscription
        self._timeout_s = timeout_s
        self._batch: deque[Message | Notice] = deque()

    @property
    def counters(self) -> QueueCounters:
        """What happened to the messages so far."""
        return self._subscription.counters

    def close(self) -> None:
        """Unsubscribe; what waits may still be read."""

        async def close() -> None:
            self._subscription.close()

        self._market.wait(close())

    def __iter__(self) -> Iterator[Message | Notice]:
        return self

    def __next__(self) -> Message | Notice:
        """Return the next message or notice.

        Raises:
            TimeoutError: none came in time.
            QueueOverflow: the policy is `fail`, and it was read too slowly.
        """
        if not self._batch:
            taking = self._subscription.take(BATCH)
            self._batch.extend(self._market.wait(asyncio.wait_for(taking, self._timeout_s)))
            if not self._batch:
                raise StopIteration
        return self._batch.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
