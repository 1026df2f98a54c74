"""A history before the live messages, from a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from consumers import carried, client_of, quick, read
from loopback import START_MS, Loopback, loopback, looped, until

import tickerplant
from tickerplant import ConfigError
from tickerplant.client.history import MAX_HISTORY, HistoryRange, parse_history
from tickerplant.messages import AggregateTrade, ContinuousKline, Kline, Message, Trade
from tickerplant.notices import Gap
from tickerplant.units import MINUTE_MS, NS_PER_MS
from tickerplant.venue import COINM

TRADES, AGGREGATES, MINUTES = "btcusdt@trade", "btcusdt@aggTrade", "btcusdt@kline_1m"


def aggregates(house: Loopback, count: int) -> None:
    """Let aggregate trades happen, each of one trade."""
    for _ in range(count):
        house.trade()
        house.plant.advance(house.plant.now_ms + 1_000)


def minutes(house: Loopback, count: int, symbol: str = "BTCUSDT") -> None:
    """Let a trade happen in each minute; the last one is open."""
    for number in range(count):
        house.trade(symbol)
        last = number == count - 1
        house.plant.advance(house.plant.now_ms + (MINUTE_MS // 2 if last else MINUTE_MS))


@looped
async def test_candles_are_joined_to_the_live_stream() -> None:
    async with loopback() as house, client_of(house) as market:
        minutes(house, 30)
        subscription = market.stream(Kline.of("BTCUSDT", "1m"), history=20, on_notice=print)
        first = await read(subscription, 20)
        assert [(each.open_time_ms - START_MS) // MINUTE_MS for each in first] == list(
            range(10, 30)
        )
        assert [each.is_closed for each in first] == [True] * 19 + [False]
        assert all(each.backfilled and each.stream == MINUTES for each in first)
        minutes(house, 2)
        closed = [each for each in await read(subscription, 3) if each.is_closed]
        assert [(each.open_time_ms - START_MS) // MINUTE_MS for each in closed] == [29]
        assert not any(each.backfilled for each in closed)


@looped
async def test_trades_since_a_time_are_joined_without_a_hole() -> None:
    async with loopback() as house, client_of(house) as market:
        aggregates(house, 50)
        since_ns = (START_MS + 40_000) * NS_PER_MS
        subscription: Any = market.stream(AGGREGATES, TRADES, history=since_ns)
        await carried(market, AGGREGATES, TRADES)
        aggregates(house, 5)
        items = await read(subscription, 30)
        assert ids(items, AggregateTrade) == list(range(41, 56))
        assert ids(items, Trade) == list(range(41, 56))
        times = [each.event_time_ms for each in items if each.backfilled]
        assert times == sorted(times)


@looped
async def test_a_listener_gets_a_history_too() -> None:
    async with loopback() as house, client_of(house) as market:
        aggregates(house, 20)
        seen: list[Any] = []
        market.on(AGGREGATES, callback=seen.append, on_notice=print, history=5)
        await until(lambda: len(seen) == 5)
        aggregates(house, 3)
        await until(lambda: len(seen) == 8)
        assert ids(seen, AggregateTrade) == list(range(16, 24))


@looped
async def test_a_history_has_room_in_any_queue() -> None:
    async with loopback() as house, client_of(house) as market:
        aggregates(house, 50)
        for when_full in ("block", "raise", "drop_oldest"):
            subscription: Any = market.stream(
                AGGREGATES,
                history=50,
                queue_size=3,
                when_full=when_full,
            )
            await _queued(subscription, 50)
            assert ids(await read(subscription, 50), AggregateTrade) == list(range(1, 51))
            subscription.close()


@looped
async def test_candles_of_a_pair_and_of_coin_m_have_a_history() -> None:
    async with loopback() as house, client_of(house, COINM) as market:
        minutes(house, 10, "BTCUSD_PERP")
        name = ContinuousKline.of("BTCUSD", "1m")
        subscription = market.stream(name, history=5, on_notice=print)
        found = await read(subscription, 5)
        assert [type(each) for each in found] == [ContinuousKline] * 5
        assert (found[0].pair, found[0].contract_type) == ("BTCUSD", "PERPETUAL")


@looped
async def test_a_server_without_rest_is_reported_and_live_messages_come() -> None:
    async with loopback(faults="") as house, client_of(house) as market:
        subscription: Any = market.stream("nosuch@aggTrade", AGGREGATES, history=5)
        items: list[Any] = [await anext(subscription)]
        assert isinstance(items[0], Gap)
        assert items[0].streams == ("nosuch@aggTrade",)
        assert "-1121 Invalid symbol." in items[0].reason
        aggregates(house, 2)
        assert ids(await read(subscription, 1), AggregateTrade) == [1]


@looped
async def test_a_subscription_may_be_closed_before_its_history_comes() -> None:
    async with loopback() as house, client_of(house, settings=quick()) as market:
        aggregates(house, 5)
        subscription: Any = market.stream(AGGREGATES, history=5)
        subscription.close()
        assert [item async for item in subscription] == []
        listener = market.on(AGGREGATES, callback=_fail, history=5)
        with pytest.raises(RuntimeError, match="odd"):
            await listener


@looped
async def test_what_is_held_is_delivered_when_the_streams_end() -> None:
    async with loopback() as house, client_of(house) as market:
        aggregates(house, 5)
        subscription: Any = market.stream(AGGREGATES, history=5)
        seen: list[Any] = []
        listener = market.on(AGGREGATES, callback=seen.append, history=5)
        market._runner.end()
        items = [item async for item in subscription]
        await listener
        assert [each.reason for each in (*items, *seen)] == ["the market ended before it came"] * 2


def ids(items: list[Any], kind: type[Message]) -> list[int]:
    """Return the ids of the messages of a kind."""
    field = "trade_id" if kind is Trade else "aggregate_id"
    return [getattr(each, field) for each in items if isinstance(each, kind)]


async def _queued(subscription: Any, count: int) -> None:
    await until(lambda: subscription.pending == count)


def _fail(_: object) -> None:
    raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (0, None),
        (20, HistoryRange(20)),
        (MAX_HISTORY, HistoryRange(MAX_HISTORY)),
        ("2026-01-01", HistoryRange(since_ms=START_MS)),
        (START_MS * NS_PER_MS + 1, HistoryRange(since_ms=START_MS + 1)),
    ],
)
def test_a_history_is_a_number_or_a_time(history: Any, expected: HistoryRange | None) -> None:
    assert parse_history(history, [AGGREGATES, MINUTES], has_key=False) == expected


@pytest.mark.parametrize(
    ("history", "name", "expected"),
    [
        (
            -1,
            AGGREGATES,
            "-1 for history: expected a number of messages from 0 to 10,000, or a tim",
        ),
        (True, AGGREGATES, "True for history: expected a number"),
        (MAX_HISTORY + 1, AGGREGATES, "10001 for history: expected a number"),
        ("noon", AGGREGATES, "'noon' for history: expected an ISO date"),
        (1.5, AGGREGATES, "1.5 for history: expected a number of messages from 0"),
        (
            20,
            "btcusdt@bookTicker",
            "expected 0 for btcusdt@bookTicker: only streams of trade, aggT",
        ),
        (1_001, TRADES, "expected at most 1,000 for btcusdt@trade: without an API key"),
    ],
)
def test_any_other_history_is_reported(history: Any, name: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_history(history, [MINUTES, name], has_key=False)
    assert expected in str(error.value)


def test_with_a_key_more_trades_may_be_wanted() -> None:
    assert parse_history(1_001, [TRADES], has_key=True) == HistoryRange(1_001)


@looped
async def test_the_latest_message_alone_cannot_have_a_history() -> None:
    async with tickerplant.connect(base_url="ws://127.0.0.1:9") as market:
        with pytest.raises(ConfigError, match="'keep_latest' for when_full"):
            market.stream(AGGREGATES, history=5, when_full="keep_latest")
        with pytest.raises(ConfigError, match="history"):
            market.on("btcusdt@bookTicker", callback=print, history=5)
        assert not market._runner.feed.merged_streams
    assert not [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
