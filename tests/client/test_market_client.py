"""The client as a program has it: connect, stream, listen, ask."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from typing import Any

import pytest
from consumers import (
    TRADES,
    carried,
    client_of,
    connections,
    cut,
    hearing,
    kinds,
    listening,
    quick,
    read,
    received,
    stand_still,
    ticked,
)
from loopback import START_MS, loopback, looped, until
from misbehaving import http, scripted

import tickerplant
from tickerplant import (
    ConfigError,
    Message,
    Notice,
    RequestError,
    Subscription,
    UpstreamError,
    messages,
)
from tickerplant.events import BookTicker, MarkPrice
from tickerplant.venue import COINM

ARRAY = "!miniTicker@arr"
CLOSED = "ws://127.0.0.1:9"
"""Nobody listens at this port."""


class _OddError(Exception):
    pass


def _fail(_: object) -> None:
    raise _OddError


# connect


def test_a_venue_that_is_none_is_reported() -> None:
    with pytest.raises(ConfigError, match="invalid value 'spot' for venue: expected usdm or coinm"):
        tickerplant.connect("spot")  # type: ignore[arg-type]


@pytest.mark.parametrize("base", ["ws://host/path", "", 5])
def test_a_base_that_is_none_is_reported(base: Any) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        tickerplant.connect(base_url=base)
    with pytest.raises(ConfigError, match=r"0 for settings\.connections\.copies: expected"):
        tickerplant.connect(base_url=CLOSED, settings=quick(copies=0))


def test_the_environment_says_where_each_venue_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tickerplant.connect().hosts.streams == "wss://fstream.binance.com"
    monkeypatch.setenv("TICKERPLANT_USDM_URL", "ws://here:9001")
    monkeypatch.setenv("TICKERPLANT_COINM_URL", "https://there")
    assert tickerplant.connect().hosts.streams == "ws://here:9001"
    assert tickerplant.connect("coinm").hosts.streams == "wss://there"
    assert tickerplant.connect(base_url="ws://else").hosts.rest == "http://else"
    monkeypatch.setenv("TICKERPLANT_USDM_URL", "here")
    with pytest.raises(ConfigError, match="invalid value 'here' for TICKERPLANT_USDM_URL"):
        tickerplant.connect()


@looped
async def test_nothing_is_connected_before_something_is_wanted() -> None:
    async with loopback() as house, client_of(house):
        await asyncio.sleep(0.1)
        assert not connections(house)


def test_it_is_used_with_async_with() -> None:
    market = tickerplant.connect(base_url=CLOSED)
    for use in (market.stream, partial(market.on, callback=print), market.books):
        with pytest.raises(RuntimeError, match="`async with`"):
            use("btcusdt@trade")


@pytest.mark.parametrize("name", ["time", "/fapi/v1/time"])
@looped
async def test_a_question_outside_of_async_with_leaves_nothing_open(name: str) -> None:
    async with loopback() as house:
        market = client_of(house)
        with pytest.raises(RuntimeError, match="`async with`"):
            await market.ask(name)
        async with await market:  # as well as without the `await`
            assert await market.ask(name) == {"serverTime": START_MS}
        for use in (market.ask, market.stream, partial(market.fetch_candles, interval="1m")):
            with pytest.raises(RuntimeError, match="the market is closed; call `connect` again"):
                await use(name)  # type: ignore[misc]


# stream


@looped
async def test_messages_are_typed_and_have_their_payload() -> None:
    async with hearing() as (house, _, subscription):
        house.trade(quantity=5)
        trade = await anext(subscription)
        assert isinstance(trade, messages.Trade)
        assert (trade.symbol, trade.trade_id) == ("BTCUSDT", 1)
        assert (trade.price, trade.quantity) == ("65280.10", "0.005")
        assert (trade.stream, trade.backfilled) == (TRADES, False)
        assert trade.payload.startswith(b'{"e":"trade","E":')
        assert trade.payload.endswith(b"}")
        assert trade.event_time_ms == START_MS
        assert trade.received_ns > START_MS * 1_000_000


@looped
async def test_streams_of_both_venues_are_received() -> None:
    async with (
        loopback() as house,
        client_of(house) as linear,
        client_of(house, COINM) as inverse,
    ):
        one: Any = linear.stream(TRADES)
        other: Any = inverse.stream("btcusd_perp@trade", "btcusd_perp@bookTicker")
        await received(house, TRADES, "btcusd_perp@trade", "btcusd_perp@bookTicker")
        house.trade()
        house.trade("BTCUSD_PERP")
        house.plant.publish(BookTicker("BTCUSD_PERP", 7, 6_528_000, 1, 6_528_010, 2, START_MS))
        assert [each.symbol for each in await read(one, 1)] == ["BTCUSDT"]
        trade, best = await read(other, 2)
        assert (trade.stream, trade.symbol) == ("btcusd_perp@trade", "BTCUSD_PERP")
        assert isinstance(best, messages.BookTicker)
        assert (best.bid_price, best.ask_quantity) == ("65280.00", "0.002")


@looped
async def test_several_streams_come_in_the_order_in_which_they_happen() -> None:
    names = (TRADES, "btcusdt@bookTicker", "!markPrice@arr@1s")
    async with hearing(*names) as (house, _, subscription):
        house.trade()
        house.plant.publish(BookTicker("BTCUSDT", 1, 6_528_000, 1, 6_528_010, 2, START_MS))
        house.trade()
        first = await read(subscription, 3)
        assert [each.stream for each in first] == [TRADES, "btcusdt@bookTicker", TRADES]
        house.plant.publish(
            MarkPrice("BTCUSDT", START_MS, 6_528_000_000_000, 6_528_000_000_000, None, 0, 0)
        )
        house.plant.advance(START_MS + 1_000)
        (mark,) = await read(subscription, 1)
        assert isinstance(mark, messages.MarkPrice)
        assert mark.payload.startswith(b'[{"e":"markPriceUpdate"'), "that of the whole array"


@looped
async def test_an_unknown_kind_of_stream_is_subscribed_to_all_the_same() -> None:
    async with loopback() as house, client_of(house) as market:
        market_names = market.stream("btcusdt@news"), market.stream("nonsense")
        await received(house, "btcusdt@news", "nonsense")
        assert [each.names for each in market_names] == [("btcusdt@news",), ("nonsense",)]


NO_NAMES = [(), ("",), (TRADES, ""), (7,), ("x" * 257,), ("\ud800@trade",), ("\ud800" * 300,)]


@pytest.mark.parametrize("names", NO_NAMES)
@looped
async def test_names_that_are_none_are_reported(names: tuple[Any, ...]) -> None:
    async with tickerplant.connect(base_url=CLOSED) as market:
        with pytest.raises(ConfigError, match="stream"):
            market.stream(*names)
        with pytest.raises(ConfigError, match="stream"):
            market.on(*names, callback=print)


@looped
async def test_a_name_given_twice_is_received_once() -> None:
    async with hearing(TRADES, TRADES) as (house, _, subscription):
        house.trade(count=2)
        assert [each.trade_id for each in await read(subscription, 2)] == [1, 2]
        assert subscription.names == (TRADES,)
        subscription.close()
        await received(house)


@looped
async def test_two_subscriptions_of_a_stream_both_get_everything_over_one_connection() -> None:
    async with loopback() as house, client_of(house) as market:
        one: Any = market.stream(TRADES)
        other: Any = market.stream(TRADES)
        await carried(market, TRADES)
        house.trade()
        first = (await read(one, 1), await read(other, 1))
        assert [[each.trade_id for each in items] for items in first] == [[1], [1]]
        assert len(connections(house)) == 1
        one.close()
        house.trade()
        assert (await anext(other)).trade_id == 2
        with pytest.raises(StopAsyncIteration):
            await anext(one)


@looped
async def test_what_waits_is_read_in_batches_also_after_close() -> None:
    async with hearing() as (house, _, subscription):
        house.trade(count=5)
        await until(lambda: subscription.pending == 5)
        taken = await subscription.read_batch(3)
        assert [each.trade_id for each in taken] == [1, 2, 3]
        subscription.close()
        subscription.close()
        await received(house)
        house.trade()
        assert [each.trade_id async for each in subscription] == [4, 5]
        assert await subscription.read_batch(3) == []


@pytest.mark.parametrize("what", ["subscription", "market"])
@looped
async def test_a_reader_that_waits_is_woken_by_close(what: str) -> None:
    async with hearing() as (house, market, subscription):
        reading = asyncio.create_task(_all_of(subscription))
        house.trade()
        await until(lambda: subscription.counters.delivered == 1)
        if what == "market":
            await market.close()
        else:
            subscription.close()
        assert [each.trade_id for each in await reading] == [1]
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


@looped
async def test_async_with_unsubscribes() -> None:
    async with loopback() as house, client_of(house) as market, market.stream("btcusdt@depth"):
        async with market.stream(TRADES) as subscription:
            await carried(market, TRADES)
            house.trade()
            async for message in subscription:
                assert isinstance(message, Message)
                break
        await received(house, "btcusdt@depth")
    await until(lambda: not connections(house))


@looped
async def test_who_breaks_out_of_a_loop_and_forgets_is_unsubscribed() -> None:
    async with loopback() as house, client_of(house) as market, market.stream("btcusdt@depth"):
        async with asyncio.TaskGroup() as group:
            group.create_task(_trade_when_heard(house, market))
            async for message in market.stream(TRADES):
                assert isinstance(message, Message)
                break
        gc.collect()
        await received(house, "btcusdt@depth")


@looped
async def test_a_subscription_that_was_never_read_is_unsubscribed_when_it_is_collected() -> None:
    async with loopback() as house, client_of(house) as market:
        subscription: Any = market.stream(TRADES)
        await received(house, TRADES)
        del subscription
        gc.collect()
        await received(house)
        await until(lambda: not connections(house))


@looped
async def test_an_error_in_the_loop_ends_the_market() -> None:
    async with loopback() as house:

        async def read_badly() -> None:
            async with client_of(house) as market:
                trading.append(asyncio.create_task(_trade_when_heard(house, market)))
                async for message in market.stream(TRADES):
                    _fail(message)

        trading: list[asyncio.Task[None]] = []
        with pytest.raises(_OddError):
            await read_badly()
        await asyncio.gather(*trading)
        await until(lambda: not connections(house))


@looped
async def test_a_market_is_awaited_once_and_closed() -> None:
    async with loopback() as house:
        market = await client_of(house)
        await market.__aenter__()  # as `async with await connect()` does
        with pytest.raises(RuntimeError, match="opened once"):
            await market.__aenter__()
        assert (market.is_open, market.venue) == (True, "usdm")
        subscription: Any = market.stream(TRADES)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: subscription.pending)
        await asyncio.gather(market.close(), market.close())
        assert not market.is_open
        assert [each.trade_id for each in await _all_of(subscription)] == [1]
        await until(lambda: not connections(house))
        for open_again in (market, market.__aenter__()):
            with pytest.raises(RuntimeError, match="opened once"):
                await open_again


@looped
async def test_a_market_that_was_closed_before_it_was_opened_stays_closed() -> None:
    market = tickerplant.connect(base_url=CLOSED)
    await market.close()
    with pytest.raises(RuntimeError, match="opened once"):
        await market
    with pytest.raises(RuntimeError, match="the market is closed"):
        market.stream(TRADES)


@looped
async def test_what_on_notice_raises_leaves_the_iteration_and_loses_nothing() -> None:
    async with hearing(on_notice=_fail) as (house, market, subscription):
        await cut(house, market)
        await until(lambda: subscription.pending == 2)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: subscription.pending == 3)
        for _ in range(2):
            with pytest.raises(_OddError):
                await anext(subscription)
        assert kinds(await read(subscription, 1)) == ["1"]


@looped
async def test_a_batch_ends_before_a_notice_for_on_notice() -> None:
    async with loopback() as house, client_of(house) as market:
        noticed: list[Notice] = []
        subscription = market.stream(TRADES, on_notice=noticed.append)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: subscription.pending == 1)
        await cut(house, market)
        await until(lambda: subscription.pending == 3)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: subscription.pending == 4)
        assert kinds(await subscription.read_batch()) == ["1"]
        assert not noticed
        assert kinds(await subscription.read_batch(timeout_s=1)) == ["2"]
        assert kinds(noticed) == ["Disconnected", "Recovered"]
        with pytest.raises(TimeoutError, match=f"no message of {TRADES} within 0.01 s"):
            await subscription.read_batch(timeout_s=0.01)
        with pytest.raises(ConfigError, match="invalid value 0 for timeout_s"):
            await subscription.read_batch(timeout_s=0)


@looped
async def test_on_notice_is_called_at_the_place_of_each_notice() -> None:
    async with loopback() as house, client_of(house) as market:
        noticed: list[Notice] = []
        apart = market.stream(TRADES, on_notice=noticed.append)
        among = market.stream(TRADES)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: among.pending == 1)
        await cut(house, market)
        await until(lambda: among.pending == 3)
        house.trade()
        await until(lambda: apart.pending == among.pending == 4)
        assert kinds(await read(apart, 1)) == ["1"]
        assert not noticed, "their place is behind the first message"
        assert kinds(await read(apart, 1)) == ["2"]
        assert kinds(noticed) == ["Disconnected", "Recovered"]
        assert (apart.pending, apart.counters.delivered) == (0, 4)
        assert kinds(await read(among, 4)) == ["1", "Disconnected", "Recovered", "2"]


@looped
async def test_two_readers_of_one_subscription_are_reported() -> None:
    async with loopback() as house, client_of(house) as market:
        subscription: Any = market.stream(TRADES)
        reading = asyncio.create_task(_all_of(subscription))
        await carried(market, TRADES)
        with pytest.raises(RuntimeError, match="two readers at once"):
            await anext(subscription)
        house.trade()
        await until(lambda: subscription.counters.delivered == 1)
        subscription.close()
        assert len(await reading) == 1, "the first reader goes on"


@looped
async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    async with hearing() as (house, _, subscription):
        found: list[int] = []

        async def trade() -> None:
            for number in range(300):
                house.trade()
                await asyncio.sleep(0 if number % 3 else 0.001)

        trading = asyncio.create_task(trade())
        cancelled = 0
        while len(found) < 300:
            try:
                item: Any = await asyncio.wait_for(anext(subscription), 0.0005)
            except TimeoutError:
                cancelled += 1
            else:
                found.append(item.trade_id)
        await trading
        assert found == [*range(1, 301)]
        assert cancelled


@looped
async def test_a_message_that_woke_a_cancelled_reader_is_for_the_next() -> None:
    async with hearing() as (house, market, subscription):
        reading = asyncio.create_task(_first_of(subscription))
        market.on(TRADES, callback=lambda _: reading.cancel())  # right after it was woken
        house.trade()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert [each.trade_id for each in await read(subscription, 1)] == [1]


# on


@looped
async def test_a_callback_gets_every_message() -> None:
    found: list[Any] = []
    async with listening(found.append) as (house, _, listener):
        house.trade(count=3)
        await until(lambda: len(found) == 3)
        listener.close()
        listener.close()
        await listener
        await received(house)
        assert [each.trade_id for each in found] == [1, 2, 3]


@looped
async def test_a_callback_gets_notices_unless_on_notice_does() -> None:
    all_of_it: list[Any] = []
    only_messages: list[Any] = []
    only_notices: list[Notice] = []
    async with loopback() as house, client_of(house) as market:
        market.on(TRADES, callback=all_of_it.append)
        market.on(TRADES, callback=only_messages.append, on_notice=only_notices.append)
        await carried(market, TRADES)
        house.trade()
        await until(lambda: only_messages)
        await cut(house, market)
        await until(lambda: len(all_of_it) == 3)
        assert len(only_messages) == 1
        assert all_of_it[1:] == only_notices
        assert isinstance(all_of_it[2], messages.Recovered)


@looped
async def test_what_a_callback_raises_ends_it_is_logged_and_raised_where_it_is_awaited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with hearing() as (house, market, subscription):
        listener = market.on(TRADES, callback=_fail)
        house.trade(count=2)
        await until(lambda: caplog.records)
        await asyncio.sleep(0.02)
        (record,) = caplog.records
        assert (record.levelname, record.name) == ("ERROR", "tickerplant.client.subscription")
        assert TRADES in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[0] is _OddError
        with pytest.raises(_OddError):
            await listener
        house.trade()
        assert [each.trade_id for each in await read(subscription, 3)] == [1, 2, 3]
        await listener


@pytest.mark.parametrize(
    ("callbacks", "error", "raised"),
    [(1, None, _OddError), (1, KeyError(), KeyError), (2, None, ExceptionGroup)],
)
@looped
async def test_what_callbacks_raise_is_raised_at_the_end_of_the_market(
    callbacks: int, error: Exception | None, raised: type[Exception]
) -> None:
    async def listen() -> None:
        async with client_of(house) as market:
            for _ in range(callbacks):
                market.on(TRADES, callback=_fail)
            await received(house, TRADES)
            house.trade()
            await received(house)
            if error is not None:
                raise error

    async with loopback() as house:
        with pytest.raises(raised) as caught:
            await listen()
        if isinstance(caught.value, ExceptionGroup):
            assert [type(each) for each in caught.value.exceptions] == [_OddError, _OddError]


@looped
async def test_closing_a_market_raises_what_a_callback_raised() -> None:
    async with listening(_fail) as (house, market, _):
        house.trade()
        await received(house)
        with pytest.raises(_OddError):
            await market.close()
        await market.close()
        await until(lambda: not connections(house))


@pytest.mark.parametrize("what", ["listener", "market"])
@looped
async def test_a_listener_is_waited_for_as_long_as_wanted_and_survives_it(what: str) -> None:
    found: list[Any] = []
    async with listening(found.append) as (house, market, listener):
        with pytest.raises(TimeoutError, match=f"<Listener {TRADES}> was not closed within 0.01 s"):
            await listener.wait(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_wait_for(listener), 0.001)
        house.trade()
        await until(lambda: found)
        waiting = asyncio.ensure_future(_wait_for(listener))
        await asyncio.sleep(0)
        if what == "market":
            await market.close()
        else:
            listener.close()
        await waiting


@looped
async def test_a_callback_may_subscribe_and_close() -> None:
    async with loopback() as house, client_of(house) as market:
        found: list[Any] = []

        def react(message: Message | Notice) -> None:
            found.append(message)
            listener.close()
            market.on("btcusdt@aggTrade", callback=found.append)

        listener = market.on(TRADES, callback=react)
        await carried(market, TRADES)
        house.trade()
        await received(house, "btcusdt@aggTrade")
        house.trade()
        await until(lambda: len(found) == 1)


@looped
async def test_a_callback_is_not_called_with_the_rest_of_an_array_once_it_failed() -> None:
    called: list[Any] = []

    def fail(message: object) -> None:
        called.append(message)
        raise _OddError

    async with listening(fail, ARRAY) as (house, _, listener):
        house.server.endpoints[0].hub.channels[ARRAY].broadcast(
            b'[{"e":"24hrMiniTicker","E":1,"s":"A","c":"1","o":"1","h":"1","l":"1","v":"1","q":"1"},'
            b'{"e":"24hrMiniTicker","E":1,"s":"B","c":"1","o":"1","h":"1","l":"1","v":"1","q":"1"}]'
        )
        with pytest.raises(_OddError):
            await listener
        assert len(called) == 1


@looped
async def test_listeners_that_are_done_are_forgotten() -> None:
    async with loopback() as house, client_of(house) as market:
        for _ in range(5):
            market.on(TRADES, callback=print).close()
        assert len(market._listeners) == 1


# ask and get


@looped
async def test_questions_are_answered_as_python_objects() -> None:
    async with loopback() as house, client_of(house) as market:
        house.trade()
        for name in ("time", "/fapi/v1/time"):
            assert await market.ask(name, path="x", method="y") == {"serverTime": START_MS}
        price = await market.ask("ticker.price?symbol=NONE", symbol="BTCUSDT")
        assert (price["symbol"], price["price"]) == ("BTCUSDT", "65280.10")
        for path in ("trades?symbol=BTCUSDT&limit=5", "/fapi/v1/trades?symbol=NONE"):
            assert len(await market.ask(path, symbol="BTCUSDT")) == 1
        assert len(await market.ask("/fapi/v1/trades?symbol=BTCUSDT")) == 1
        with pytest.raises(RequestError):
            await market.ask("/fapi/v1/trades?symbol=NONE")


@looped
async def test_rest_is_typed_too() -> None:
    async with loopback() as house, client_of(house) as market:
        house.trade()
        (candle,) = await market.fetch_candles("BTCUSDT", "1m", limit=1)
        assert (candle.close_price, candle.is_closed) == ("65280.10", False)
        (trade,) = await market.fetch_trades("BTCUSDT")
        assert trade.price == "65280.10"
        assert not await market.fetch_aggregate_trades("BTCUSDT")
        assert not await market.fetch_funding_rates("BTCUSDT")
        assert [each.symbol for each in await market.fetch_instruments()] == ["BTCUSDT"]
        with pytest.raises(UpstreamError, match="depth symbol=BTCUSDT: HTTP 503"):
            await market.fetch_depth("BTCUSDT", limit=5)
        with pytest.raises(ConfigError, match="timeout_s"):
            await market.fetch_instruments(timeout_s=0)


@looped
async def test_an_error_of_the_exchange_is_raised() -> None:
    async with (
        loopback() as house,
        client_of(house) as market,
        client_of(house, COINM) as inverse,
    ):
        for question in (
            market.ask("depth", symbol="NONE"),
            market.ask("/fapi/v1/depth", symbol="NONE"),
        ):
            with pytest.raises(RequestError) as refused:
                await question
            assert (refused.value.code, refused.value.status) == (-1121, 400)
        with pytest.raises(RequestError):
            await inverse.ask("ticker.price", symbol="BTCUSD_PERP")
        with pytest.raises(UpstreamError, match="/dapi/v1/depth symbol=BTCUSD_PERP: HTTP 503"):
            await inverse.ask("depth", symbol="BTCUSD_PERP")  # only REST has it on this venue
        assert await inverse.ask("/dapi/v1/ping") == {}


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("a..b:9001", "a..b is not a valid host name"),
        (f"{'a' * 70}:9001", f"{'a' * 70} is not a valid host name"),
    ],
)
@looped
async def test_a_server_that_cannot_be_reached_is_reported(host: str, why: str) -> None:
    async with tickerplant.connect(base_url=f"ws://{host}", settings=quick()) as market:
        for asking in (market.ask("/fapi/v1/time"), market.ask("time")):
            with pytest.raises(UpstreamError, match=why):
                await asking


@pytest.mark.parametrize("answer", [b'{"x":"\xff"}', b'{"x":1e400}'])
@looped
async def test_an_answer_that_is_no_python_object_is_reported(answer: bytes) -> None:
    async with (
        scripted(http(200, answer)) as script,
        tickerplant.connect(base_url=script.base, settings=quick()) as market,
    ):
        with pytest.raises(UpstreamError, match=r"/v1/time: the response cannot be decoded: ."):
            await market.ask("/fapi/v1/time")


# counters


@looped
async def test_counters_report_what_happened_before_and_after() -> None:
    async with loopback() as house:
        market = client_of(house)
        assert market.counters.messages == 0
        async with market:
            subscription: Any = market.stream(TRADES)
            reading = asyncio.create_task(_first_of(subscription))
            await carried(market, TRADES)
            house.trade(count=3)
            await reading
            await until(lambda: subscription.pending == 2)
            house.trade(count=2)
            await until(lambda: subscription.pending == 4)
            await read(subscription, 4)
            counted = subscription.counters
            assert (counted.delivered, counted.dropped, counted.pauses) == (5, 0, 0)
            assert counted.peak == 4, "the most that waited, however it is read"
            assert (market.counters.messages, market.counters.opened) == (5, 1)
            await cut(house, market)
            await until(lambda: market.counters.lost == 1)
            await carried(market, TRADES)
            assert (market.counters.opened, market.counters.refused) == (2, 0)
            subscription.close()
            assert market.counters.messages == 5, "what a stream counted is kept when it is closed"
        assert (market.counters.messages, market.counters.lost) == (5, 1)


@looped
async def test_everything_says_what_it_is() -> None:
    async with loopback() as house:
        market = client_of(house)
        at = f"<Market usdm {market.hosts.streams}"
        assert repr(market) == f"{at}, 0 streams>"
        async with market:
            names = [f"{symbol}usdt@trade" for symbol in "abcde"]
            subscription = market.stream(*names)
            assert repr(market) == f"{at}, 5 streams>"
            listed = "ausdt@trade, busdt@trade, cusdt@trade and 2 more"
            assert repr(subscription) == f"<Subscription {listed}, 0 pending>"
            listener = market.on(TRADES, callback=print)
            assert repr(listener) == f"<Listener {TRADES}>"
            listener.close()
            assert repr(listener) == f"<Listener {TRADES}, closed>"
            subscription.close()
            assert repr(subscription) == f"<Subscription {listed}, 0 pending, closed>"
        assert repr(market).endswith(", closed>")
    assert repr(tickerplant.WeightBudget()) == "<WeightBudget 1920 of 2400 a minute, 0 spent>"


# what would go wrong without a word


@looped
async def test_a_callback_that_meets_a_cancelled_future_fails_as_with_any_error() -> None:
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    async with loopback() as house, client_of(house) as market:
        subscription: Any = market.stream(TRADES)
        listener = market.on(TRADES, callback=lambda _: cancelled.result())
        await carried(market, TRADES)
        house.trade()
        with pytest.raises(RuntimeError, match="CancelledError") as raised:
            await listener
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        house.trade()
        assert [each.trade_id for each in await read(subscription, 2)] == [1, 2]


@looped
async def test_the_clock_goes_on_whatever_a_consumer_raises() -> None:
    class Escaped(BaseException):
        pass

    def take(item: Message | Notice) -> None:
        if isinstance(item, messages.Stale):
            raise Escaped

    escaped: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: escaped.append(context["exception"]))
    async with (
        loopback() as house,
        client_of(house, settings=quick(first_message_timeout_ms=50)) as market,
    ):
        market._runner.attach((TRADES,), take)
        await until(lambda: escaped)
        await ticked(market)
    assert isinstance(escaped[0], Escaped)


@looped
async def test_a_callback_that_stops_the_program_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with loopback() as house, client_of(house) as market:
        called: list[Message | Notice] = []

        def stop(item: Message | Notice) -> None:
            called.append(item)
            stand_still(2.1)

        market.on(TRADES, callback=stop)
        await carried(market, TRADES)
        house.trade(count=2)
        await until(lambda: len(called) == 2)
        await until(lambda: caplog.records)
        await ticked(market)
    (warning,) = [each.message for each in caplog.records if "was blocked" in each.message]
    assert "a callback or other code of this program" in warning


async def _nobody_awaits(*_: object) -> None: ...


class _Awaited:
    async def __call__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    "callback", [_nobody_awaits, partial(_nobody_awaits, 1), _Awaited(), "callback"]
)
@looped
async def test_a_callback_that_would_have_to_be_awaited_is_reported(callback: Any) -> None:
    async with loopback() as house, client_of(house) as market:
        with pytest.raises(ConfigError, match=r"callback: .* a plain \(non-async\) function"):
            market.on(TRADES, callback=callback)
        with pytest.raises(ConfigError, match=r"on_update: .* a plain \(non-async\) function"):
            market.books("BTCUSDT", on_update=callback)


@looped
async def test_a_typed_stream_of_the_other_venue_is_reported_at_once() -> None:
    async with loopback() as house, client_of(house) as market:
        name = messages.Trade.of("BTCUSD_PERP")
        for subscribe in (market.stream, lambda each: market.on(each, callback=print)):
            with pytest.raises(
                ConfigError,
                match=r"^invalid value 'btcusd_perp@trade' for stream: expected a stream of "
                r"USDⓈ-M; it is one of connect\('coinm'\)$",
            ):
                subscribe(name)
        market.stream(messages.Trade.of("BTCUSDT"), str(name)).close()
        assert market.counters.opened <= 1


@looped
async def test_a_list_of_names_is_reported_how_names_are_given() -> None:
    async with loopback() as house, client_of(house) as market:
        for names in ([TRADES], (TRADES, "b"), {TRADES}):
            with pytest.raises(
                ConfigError, match=r"names as separate arguments: stream\(\*names\)"
            ):
                market.stream(names)  # type: ignore[call-overload]
        with pytest.raises(ConfigError, match=r"names as separate arguments: books\(\*symbols\)"):
            market.books(["BTCUSDT"])  # type: ignore[arg-type]


async def _all_of(subscription: Subscription[Message | Notice]) -> list[Any]:
    return [item async for item in subscription]


async def _first_of(subscription: Subscription[Message | Notice]) -> Any:
    return await anext(subscription)


async def _wait_for(listener: Any) -> None:
    await listener


async def _trade_when_heard(house: Any, market: Any, count: int = 1) -> None:
    await carried(market, TRADES)
    for _ in range(count):
        house.trade()
        await asyncio.sleep(0)


@pytest.mark.parametrize("asked", [5, "", None, "http://127.0.0.1:9001/fapi/v1/depth"])
@looped
async def test_what_cannot_be_asked_is_reported(asked: Any) -> None:
    async with tickerplant.connect(base_url=CLOSED) as market:
        with pytest.raises(ConfigError, match=r"method_or_path.*: expected a method such as"):
            await market.ask(asked)
