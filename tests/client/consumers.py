"""What a user of the client has: a market at the server of a test, and ways to read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from loopback import Loopback, loopback, until
from memory_loop import MemoryLoop
from tuning import tuned

import tickerplant
from tickerplant import ClientSettings, Listener, Market, Message, Notice, Subscription, VenueName
from tickerplant.server.endpoint import Connection
from tickerplant.venue import USDM, Venue

T = TypeVar("T")

TRADES = "btcusdt@trade"
QUICK = tuned(
    retry_base_ms=10, retry_max_ms=40, stable_after_ms=0, reorder_ms=50, backfill_ms=2_000
)
"""A client that loses no time with pauses."""


def quick(**changes: Any) -> ClientSettings:
    return tuned(QUICK, **changes)


def url_of(house: Loopback, venue: Venue = USDM) -> str:
    return f"ws://{house.server.urls[venue.name]}"


def client_of(house: Loopback, venue: Venue = USDM, **options: Any) -> Market:
    options.setdefault("settings", QUICK)
    return tickerplant.connect(
        cast("VenueName", venue.name), base_url=url_of(house, venue), **options
    )


@asynccontextmanager
async def hearing(
    *names: str, settings: ClientSettings = QUICK, **options: Any
) -> AsyncIterator[tuple[Loopback, Market, Any]]:
    """Yield a server, its client, and a subscription (to trades) that is delivered."""
    async with loopback() as house, client_of(house, settings=settings) as market:
        subscription = market.stream(*(names or (TRADES,)), **options)
        await carried(market, *subscription.names)
        yield house, market, subscription


@asynccontextmanager
async def listening(
    callback: Callable[[Any], object], name: str = TRADES, **options: Any
) -> AsyncIterator[tuple[Loopback, Market, Listener]]:
    """Yield a server, its client, and a listener (to trades) that is delivered."""
    async with loopback() as house, client_of(house) as market:
        listener = market.on(name, callback=callback, **options)
        await carried(market, name)
        yield house, market, listener


def connections(house: Loopback) -> list[Connection]:
    return house.server.connections


def listed(house: Loopback) -> set[str]:
    """What anybody is subscribed to at the server, as LIST_SUBSCRIPTIONS tells it."""
    return {name for connection in connections(house) for name in connection.names or ()}


async def received(house: Loopback, *names: str) -> None:
    """Wait until the server has exactly these subscriptions."""
    await until(lambda: listed(house) == set(names))


async def carried(market: Market, *names: str) -> None:
    """Wait until the market has heard that it is subscribed to `names`."""
    await until(lambda: all(market.is_delivered(name) for name in names))


async def cut(
    house: Loopback, market: Market, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Cut every connection; return when the market has noticed and has one again.

    Args:
        house: The server.
        market: The only client.
        meanwhile: Happens while there is no connection.
    """
    opened = market.counters.opened
    for connection in connections(house):
        connection.abort()
    meanwhile()
    await until(lambda: market.counters.opened > opened)


async def read(subscription: Subscription[Message | Notice], count: int) -> list[Any]:
    return [await anext(subscription) for _ in range(count)]


async def read_until(
    subscription: Subscription[Message | Notice], kind: type[T], most: int = 10_000
) -> tuple[list[Message | Notice], T]:
    """Return what came before the first item of a kind, and that item."""
    before: list[Message | Notice] = []
    for _ in range(most):
        item = await anext(subscription)
        if isinstance(item, kind):
            return before, item
        before.append(item)
    raise AssertionError(f"expected a {kind.__name__} among {before}")


def kinds(items: list[Any]) -> list[str]:
    """What a consumer saw, in short: trades by id, notices by name."""
    return [
        type(item).__name__ if isinstance(item, Notice) else str(item.trade_id) for item in items
    ]


@asynccontextmanager
async def every(
    seconds: float, happens: Callable[[], object | Awaitable[object]]
) -> AsyncIterator[None]:
    """Let something happen again and again."""

    async def go_on() -> None:
        while True:
            happens()
            await asyncio.sleep(seconds)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()


async def ticked(market: Market) -> None:
    """Wait until the clock of the feed has ticked."""
    feed = market._runner.feed
    now_ms = feed.context.now_ms
    await until(lambda: feed.context.now_ms > now_ms)


def stand_still(seconds: float) -> None:
    """Let time pass in which the event loop gets no turn, as while a callback computes."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MemoryLoop)
    loop.clock.now_s += seconds
