"""What happens to unread messages: each value of `when_full`, from the socket to the reader."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from consumers import (
    TRADES,
    carried,
    client_of,
    connections,
    hearing,
    kinds,
    quick,
    read,
    received,
)
from loopback import Loopback, loopback, looped, until

from tickerplant import ConfigError, QueueOverflow, messages
from tickerplant.messages import Dropped

SIZE = 5


async def trade(house: Loopback, count: int) -> None:
    """Let trades happen, in several turns of the event loop."""
    for number in range(count):
        house.trade()
        if number % 50 == 49:
            await asyncio.sleep(0)


@looped
async def test_block_makes_the_server_wait_and_loses_nothing() -> None:
    async with hearing(queue_size=SIZE) as (house, market, subscription):
        (connection,) = connections(house)
        count = 0
        while not connection.unsent_bytes:
            await trade(house, 100)
            count += 100
            await asyncio.sleep(0.001)
        assert SIZE <= subscription.pending < count
        assert subscription.counters.pauses == 1
        assert kinds(await read(subscription, count)) == [str(1 + each) for each in range(count)]
        assert not connection.unsent_bytes
        assert subscription.counters.delivered == count
        assert (subscription.counters.dropped, market.counters.lost) == (0, 0)


@looped
async def test_a_pause_longer_than_all_timeouts_costs_no_connection() -> None:
    settings = quick(
        idle_ms=20,
        pong_timeout_ms=20,
        ack_timeout_ms=20,
        stale_ms=300,
        event_stream_stale_ms=300,
        all_stale_reconnect_ms=20,
    )
    async with hearing(queue_size=SIZE, settings=settings) as (house, market, subscription):
        await trade(house, 200)
        await until(lambda: subscription.counters.pauses)
        await asyncio.sleep(10)
        await trade(house, 100)
        assert kinds(await read(subscription, 300)) == [str(1 + each) for each in range(300)]
        await asyncio.sleep(0.1)
        assert (market.counters.lost, market.counters.opened) == (0, 1)
        assert subscription.pending == 0, "and no notice"


@looped
async def test_the_connection_is_read_again_when_who_is_full_goes() -> None:
    async with hearing(queue_size=1) as (house, market, slow):
        await trade(house, 3)
        await until(lambda: slow.counters.pauses)
        quick_one = market.stream(TRADES)
        slow.close()
        await trade(house, 10)
        await until(lambda: quick_one.pending >= 10)
        assert market.counters.opened == 1


@looped
async def test_who_is_full_beside_others_keeps_some_and_says_how_many_it_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = quick(spare_messages=20)
    async with loopback() as house, client_of(house, settings=settings) as market:
        slow = market.stream(TRADES, queue_size=SIZE)
        other = market.stream(TRADES)
        await carried(market, TRADES)
        await trade(house, 100)
        await until(lambda: other.pending == 100)
        assert slow.pending == SIZE + 20
        *kept, dropped = await read(slow, SIZE + 21)
        assert kinds(kept) == [str(1 + each) for each in range(SIZE + 20)]
        assert isinstance(dropped, Dropped)
        assert (dropped.count, dropped.streams) == (75, (TRADES,))
        await trade(house, 1)
        assert kinds(await read(slow, 1)) == ["101"]
        assert slow.counters.dropped == 75
        assert market.counters.opened == 1
    (warning,) = [each.message for each in caplog.records if "drops" in each.message]
    assert TRADES in warning


@looped
async def test_other_connections_are_read_while_one_is_not() -> None:
    settings = quick(max_streams=1)
    async with loopback() as house, client_of(house, settings=settings) as market:
        slow = market.stream(TRADES, queue_size=1)
        other = market.stream("btcusdt@aggTrade")
        await carried(market, TRADES, "btcusdt@aggTrade")
        await trade(house, 3)
        await until(lambda: slow.counters.pauses)
        house.plant.advance(house.plant.now_ms + 1_000)
        await until(lambda: other.pending)


@looped
async def test_the_market_is_left_while_nothing_is_read() -> None:
    async with loopback() as house:
        async with client_of(house) as market:
            subscription = market.stream(TRADES, queue_size=1)
            await carried(market, TRADES)
            (connection,) = connections(house)
            while not connection.unsent_bytes:
                await trade(house, 100)
                await asyncio.sleep(0.001)
            assert subscription.counters.pauses
        await until(lambda: not connections(house))
        assert isinstance(await anext(subscription), messages.Trade), "what waits may be read"


@looped
async def test_keep_latest_delivers_the_last_of_each_stream() -> None:
    async with hearing(TRADES, "btcusdt@bookTicker", when_full="keep_latest") as (
        house,
        market,
        subscription,
    ):
        await trade(house, 20)
        await until(lambda: market.counters.messages == 20)
        assert subscription.pending == 1
        assert kinds(await read(subscription, 1)) == ["20"]
        assert subscription.counters.conflated == 19
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["21"]
        assert (subscription.counters.dropped, subscription.counters.pauses) == (0, 0)


@pytest.mark.parametrize("apart", [False, True])
@looped
async def test_drop_oldest_reports_how_many_went_and_keeps_the_newest(apart: bool) -> None:
    told: list[Any] = []
    options: dict[str, Any] = {"on_notice": told.append} if apart else {}
    async with hearing(when_full="drop_oldest", queue_size=SIZE, **options) as (
        house,
        market,
        subscription,
    ):
        await trade(house, 20)
        await until(lambda: market.counters.messages == 20)
        if not apart:
            told += await read(subscription, 1)
        assert kinds(await read(subscription, SIZE)) == ["16", "17", "18", "19", "20"]
        (dropped,) = told
        assert isinstance(dropped, Dropped)
        assert (dropped.count, dropped.streams) == (15, (TRADES,))
        assert (subscription.counters.dropped, subscription.counters.delivered) == (15, SIZE)
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["21"]


@pytest.mark.parametrize("in_batches", [False, True])
@looped
async def test_raise_raises_after_the_queued_messages(in_batches: bool) -> None:
    async with hearing(when_full="raise", queue_size=SIZE) as (house, market, subscription):
        await trade(house, 20)
        await until(lambda: market.counters.messages == 20)
        if in_batches:
            queued = await subscription.read_batch(100)
        else:
            queued = await read(subscription, SIZE)
        assert kinds(queued) == ["1", "2", "3", "4", "5"]
        with pytest.raises(QueueOverflow, match="5 messages are unread") as raised:
            await (subscription.read_batch(100) if in_batches else anext(subscription))
        assert raised.value.queue_size == SIZE
        await received(house)
        with pytest.raises(QueueOverflow):
            await anext(subscription)
        assert subscription.counters.dropped == 15


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"when_full": "newest"}, "when_full"),
        ({"queue_size": 0}, "queue_size"),
        ({"queue_size": -1}, "queue_size"),
        ({"queue_size": "5"}, "'5' for queue_size: expected a whole number, at least 1"),
        ({"queue_size": None}, "queue_size"),
        ({"queue_size": 1.5}, "queue_size"),
        ({"queue_size": True}, "queue_size"),
    ],
)
@looped
async def test_what_cannot_be_a_queue_is_rejected_and_nothing_subscribed(
    options: dict[str, Any], named: str
) -> None:
    async with loopback() as house, client_of(house) as market:
        with pytest.raises(ConfigError, match=named):
            market.stream(TRADES, **options)
        await asyncio.sleep(0.01)
        assert not connections(house)


@pytest.mark.parametrize("max_items", [0, -1, "x", None])
@looped
async def test_what_is_no_number_of_items_is_reported(max_items: Any) -> None:
    async with loopback() as house, client_of(house) as market:
        with pytest.raises(ConfigError, match=r"max_items.*: expected a whole number"):
            await market.stream(TRADES).read_batch(max_items)
