"""What is received waits while a reader is at work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from threading import Thread
from typing import Any

import pytest
from programs import PATIENCE_S

from tickerplant.client import lockstep as module
from tickerplant.client.lockstep import Lockstep, reading_thread
from tickerplant.client.market import Market
from tickerplant.client.merging import merge
from tickerplant.client.subscription import Subscription
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.settings import ClientSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages import Message
from tickerplant.notices import Notice, Recovered
from tickerplant.venue import USDM


class World:
    """A market of numbers: consumers by name, each with a queue of one reader."""

    def __init__(self) -> None:
        self.delivered: list[int] = []
        self.readings: list[bool] = []
        self.lockstep = Lockstep(lambda: self.readings.append(not self.lockstep.stops_reading))
        self.futures: dict[str, asyncio.Future[int]] = {}

    def receive(self, number: int, consumer: str = "") -> None:
        """Take what was received, for a consumer or only for a callback."""
        if self.lockstep.is_held:
            self.lockstep.hold(self.deliver, number, consumer)
        else:
            self.deliver(number, consumer)

    def deliver(self, number: int, consumer: str) -> None:
        self.delivered.append(number)
        future = self.futures.get(consumer)
        if future is not None and not future.done():
            future.set_result(number)

    async def read(self, consumer: str) -> int:
        future = self.futures[consumer] = asyncio.get_running_loop().create_future()
        await self.lockstep.wait(consumer, future)
        item: int = future.result()
        self.lockstep.handed(consumer, item, consumer)
        return item


def looped(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        async def with_world() -> None:
            await test(World())

        asyncio.run(with_world())

    del run.__wrapped__  # pytest would look for its argument
    return run


@looped
async def test_a_reader_sees_nothing_later_until_it_waits_again(world: World) -> None:
    seen = []

    async def read() -> None:
        for _ in range(3):
            number = await world.read("a")
            await asyncio.sleep(0)
            seen.append((number, world.delivered[-1]))

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    for number in range(1, 10):
        world.receive(number, "a" if number % 3 == 0 else "")
    await reading
    assert seen == [(3, 3), (6, 6), (9, 9)]


@looped
async def test_of_two_readers_both_are_waited_for(world: World) -> None:
    release = asyncio.Event()

    async def read_slowly() -> None:
        await world.read("slow")
        await release.wait()

    async def read() -> None:
        while True:
            await world.read("quick")

    tasks = [asyncio.create_task(each()) for each in (read_slowly, read)]
    await asyncio.sleep(0)
    for number, consumer in enumerate(["quick", "slow", "quick", "quick"]):
        world.receive(number, consumer)
    await asyncio.sleep(0.01)
    assert world.delivered == [0, 1]
    release.set()
    await tasks[0]
    await asyncio.sleep(0.01)
    assert world.delivered == [0, 1, 2, 3], "a task that has ended is not waited for"
    tasks[1].cancel()


@looped
async def test_a_reader_that_waits_for_something_else_is_not_waited_for(world: World) -> None:
    waiting = asyncio.create_task(world.read("a"))
    await asyncio.sleep(0)
    world.receive(1, "a")
    await waiting
    world.lockstep.handed("a", 1, "a")
    world.receive(2)
    assert world.delivered == [1]
    with world.lockstep.waiting():
        assert world.delivered == [1, 2]
        world.receive(3)
    world.receive(4)
    assert world.delivered == [1, 2, 3]
    world.lockstep.forget("a")
    assert world.delivered == [1, 2, 3, 4]


@looped
async def test_what_a_task_only_hands_on_is_at_work_until_somebody_asks_again(world: World) -> None:
    waiting = asyncio.create_task(world.read("a"))
    await asyncio.sleep(0)
    world.receive(1, "a")
    assert await waiting == 1
    world.receive(2, "a")
    await asyncio.sleep(0)
    assert world.delivered == [1]
    assert await world.read("a") == 2


@looped
async def test_the_market_waits_for_requests_and_full_queues(world: World) -> None:
    answer = asyncio.Event()

    async def ask() -> None:
        await answer.wait()

    request = asyncio.create_task(world.lockstep.during(ask()))
    world.receive(1)
    assert world.delivered == []
    answer.set()
    await request
    assert world.delivered == [1]
    world.lockstep.is_full = True
    world.receive(2)
    world.lockstep.release()
    assert world.delivered == [1]
    world.lockstep.is_full = False
    world.lockstep.release()
    assert world.delivered == [1, 2]


@looped
async def test_what_is_held_is_bounded_by_not_reading(world: World) -> None:
    world.lockstep.handed("a", 0, "a")
    for number in range(module.MOST_HELD):
        world.receive(number)
    assert world.readings == [False]
    world.lockstep.forget("a")
    assert world.readings == [False, True]
    assert len(world.delivered) == module.MOST_HELD


def test_a_reader_that_does_not_come_back_is_given_up_once_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> list[int]:
        world, ticks = World(), []
        for _ in range(3):
            world.lockstep.handed("a", 0, "btcusdt@trade")
            world.receive(1)
            count = len(world.delivered)
            ticks.append(0)
            while len(world.delivered) == count:
                world.lockstep.tick()
                ticks[-1] += 1
        return ticks

    with caplog.at_level(logging.WARNING, module.__name__):
        assert asyncio.run(run()) == [201, 101, 51]
    assert len(caplog.records) == 1
    assert "the reader of btcusdt@trade" in caplog.text


def test_a_thread_is_waited_for_until_it_ends() -> None:
    async def run() -> None:
        world = World()
        thread = Thread(target=lambda: None)
        token = reading_thread.set(thread)
        world.lockstep.handed("a", 0, "a")
        reading_thread.reset(token)
        world.receive(1)
        assert world.delivered == []
        world.lockstep.tick()
        assert world.delivered == [1]

    asyncio.run(run())


@pytest.mark.parametrize("iterate", [aiter, merge])
def test_a_reader_ends_when_it_makes_room_for_the_end(
    iterate: Callable[[Subscription[Any]], AsyncIterator[Any]],
) -> None:
    """The end waits behind a full queue, and comes through while the reader looks whether to wait."""

    async def run() -> list[Any]:
        market = Market(hosts_of(USDM, "ws://127.0.0.1:1"), ClientSettings(), WeightBudget())
        runner = market._runner
        runner.keep_in_step()
        subscription: Subscription[Message | Notice] = Subscription(
            runner,
            ("btcusdt@trade",),
            when_full="block",
            queue_size=2,
            on_notice=None,
            backfill=False,
        )
        for number in range(2):
            subscription._inbox.put(Recovered(streams=(), time_ms=number, outage_ms=0))
        lockstep = runner.lockstep
        assert lockstep is not None
        assert lockstep.is_full
        lockstep.hold(runner.end)
        async with asyncio.timeout(PATIENCE_S):
            found = [item async for item in iterate(subscription)]
        await runner.stop()
        return found

    assert [item.time_ms for item in asyncio.run(run())] == [0, 1]
