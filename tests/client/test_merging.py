"""Several subscriptions read as one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from consumers import TRADES, carried, client_of, hearing, kinds
from loopback import loopback, looped, until
from programs import PATIENCE_S
from test_blocking import House, stream

from tickerplant import ConfigError, Notice, QueueOverflow, blocking, merge


@looped
async def test_two_markets_are_read_in_turns_until_both_have_ended() -> None:
    async with (
        loopback() as one,
        loopback() as two,
        client_of(one) as first,
        client_of(two) as second,
    ):
        busy: Any = first.stream(TRADES)
        calm: Any = second.stream(TRADES)
        await carried(first, TRADES)
        await carried(second, TRADES)
        merged = merge(busy, calm)
        waiting = asyncio.ensure_future(anext(merged))
        await asyncio.sleep(0)
        two.trade()
        assert (await waiting) is not None
        for _ in range(3):
            one.trade()
        two.trade()
        await until(lambda: busy.pending == 3 and calm.pending == 1)
        found: list[Any] = [await anext(merged) for _ in range(4)]
        assert [each.trade_id for each in found] == [1, 2, 2, 3], "a busy one waits its turn"
        busy.close()
        two.trade()
        assert kinds([await anext(merged)]) == ["3"]
        calm.close()
        assert [each async for each in merged] == []


@looped
async def test_what_is_cancelled_while_it_waits_loses_nothing() -> None:
    async with hearing() as (house, market, subscription):
        waiting = asyncio.ensure_future(anext(merge(subscription, market.stream("ethusdt@trade"))))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        house.trade()
        assert kinds([await anext(subscription)]) == ["1"], "it can be read on"


@looped
async def test_notices_and_errors_are_those_of_each() -> None:
    noticed: list[Notice] = []
    async with loopback() as house, client_of(house) as market:
        told: Any = market.stream("btcusdt@trades", on_notice=noticed.append)
        full: Any = market.stream(TRADES, when_full="raise", queue_size=1)
        await carried(market, TRADES)
        house.trade(count=2)
        await until(lambda: market.counters.messages == 2)
        merged = merge(told, full)
        assert kinds([await anext(merged)]) == ["1"]
        assert kinds(noticed) == ["UnknownStream"]
        with pytest.raises(QueueOverflow):
            await anext(merged)


@looped
async def test_what_cannot_be_merged_is_reported() -> None:
    async with loopback() as house, client_of(house) as market:
        subscription = market.stream(TRADES)
        given: Any
        for given in ((), (subscription, subscription), (TRADES,)):
            with pytest.raises(ConfigError, match="subscriptions"):
                merge(*given)
        other: Any = 3
        with pytest.raises(ConfigError, match=r"a tickerplant\.Subscription, as `market\.stream`"):
            merge(other)
        with pytest.raises(ConfigError, match=r"a tickerplant\.blocking\.Subscription, as"):
            blocking.merge(other)
        for given in ((), (subscription, subscription), (TRADES,)):
            with pytest.raises(ConfigError, match="subscriptions"):
                blocking.merge(*given)


@pytest.mark.sockets
def test_without_async_it_is_the_same() -> None:
    with House() as house, house.connect() as first, house.connect() as second:
        one, two = stream(first, house), stream(second, house)
        merged = blocking.merge(one, two, timeout_s=PATIENCE_S)
        house.trade(3)
        found: Any = [next(merged) for _ in range(6)]
        assert sorted(each.trade_id for each in found) == [1, 1, 2, 2, 3, 3]
        with pytest.raises(TimeoutError, match=r"within 0.01 s"):
            next(blocking.merge(one, two, timeout_s=0.01))
        one.close()
        house.trade()
        assert next(merged).trade_id == 4
        second.close()
        assert list(merged) == []
