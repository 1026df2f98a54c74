"""Several subscriptions as one iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from tickerplant.client import blocking
from tickerplant.client.event_loop import check_timeout, running_loop
from tickerplant.client.subscription import Subscription
from tickerplant.errors import ConfigError
from tickerplant.formatting import names_text

T = TypeVar("T")


def merge(*subscriptions: Subscription[T]) -> AsyncIterator[T]:
    """Return one iterator over several subscriptions, also of several markets.

        async for message in merge(usdm.stream("btcusdt@trade"), coinm.stream("btcusd_perp@trade")):
            print(message.symbol)

    They take turns, one item each, so that a busy one does not hold up the others.  Each keeps its
    own queue, and nothing else is queued.  The iterator ends when all have ended.  An error of one
    is raised, and the iteration can then go on with a new `merge` of the others.  It closes none of
    them: they belong to the caller.

    Raises:
        ConfigError: there is no subscription, one is given twice, or an argument is not one.
    """
    _check(subscriptions, Subscription)
    return _merged(subscriptions)


async def _merged(subscriptions: Sequence[Subscription[T]]) -> AsyncIterator[T]:
    going = list(subscriptions)
    while going:
        is_idle = True
        for subscription in tuple(going):
            if subscription.is_over:
                going.remove(subscription)
            else:
                for item in await subscription.read_queued():
                    is_idle = False
                    yield item
        if is_idle and going:
            await _wait_for_any(going)


async def _wait_for_any(subscriptions: Sequence[Subscription[Any]]) -> None:
    """Wait until one of `subscriptions` has an item, or has ended."""
    reader = running_loop().create_future()
    waiting: list[Subscription[Any]] = []
    try:
        for subscription in subscriptions:
            if not subscription.begin_waiting(reader):
                return
            waiting.append(subscription)
        for subscription in waiting:
            subscription.let_through()
        if not reader.done():
            await reader
    finally:
        for subscription in waiting:
            subscription.end_waiting(is_woken=reader.done() and not reader.cancelled())


def merge_blocking(
    *subscriptions: blocking.Subscription[T], timeout_s: float | None = None
) -> Iterator[T]:
    """Return one iterator over several subscriptions, also of several markets.

        for message in blocking.merge(usdm.stream("btcusdt@trade"), coinm.stream("btcusd_perp@trade")):
            print(message.symbol)

    See `tickerplant.merge`.

    Args:
        subscriptions: The subscriptions; it closes none of them.
        timeout_s: How long `next` waits for a message before it raises `TimeoutError`.

    Raises:
        ConfigError: there is no subscription, one is given twice, or an argument is invalid.
    """
    _check(subscriptions, blocking.Subscription)
    check_timeout(timeout_s)
    return _MergedBlocking(subscriptions, timeout_s)


class _MergedBlocking(Iterator[T]):
    """Takes turns; a class, because a generator would end with the first `TimeoutError`."""

    def __init__(
        self, subscriptions: Sequence[blocking.Subscription[T]], timeout_s: float | None
    ) -> None:
        self._going = list(subscriptions)
        self._timeout_s = timeout_s

    def __next__(self) -> T:
        while self._going:
            for subscription in tuple(self._going):
                for item in subscription.read_queued():
                    self._going.remove(subscription)  # its next turn is after the others
                    self._going.append(subscription)
                    return item
            self._fill()
        raise StopIteration

    def _fill(self) -> None:
        """Wait for any subscription, and fetch what those have that are ready."""
        waiting: dict[Future[None], blocking.Subscription[T]] = {}
        done: set[Future[None]] = set()
        try:
            waiting = blocking.begin_waiting(self._going)
            done, _ = wait(waiting, self._timeout_s, FIRST_COMPLETED)
        finally:  # so that the caller may read the subscriptions, too
            blocking.end_waiting(waiting.values(), is_woken=bool(done))
        if not done:
            names = tuple(name for each in self._going for name in each.names)
            raise TimeoutError(f"no message of {names_text(names)} within {self._timeout_s:g} s")
        for future in done:
            if not waiting[future].fetch_queued():
                self._going.remove(waiting[future])


def _check(subscriptions: Sequence[object], kind: type) -> None:
    if not subscriptions:
        raise ConfigError("subscriptions", None, "at least one subscription")
    for subscription in subscriptions:
        if not isinstance(subscription, kind):
            where = kind.__module__.replace(".client.subscription", "").replace(".client", "")
            expected = f"a {where}.{kind.__name__}, as `market.stream` returns"
            raise ConfigError("subscriptions", subscription, expected)
    if len(set(map(id, subscriptions))) < len(subscriptions):
        raise ConfigError("subscriptions", subscriptions, "each of them once")
