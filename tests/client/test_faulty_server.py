"""What a consumer sees of each fault on demand, and of servers that are not there."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from consumers import (
    QUICK,
    TRADES,
    carried,
    client_of,
    connections,
    every,
    kinds,
    quick,
    read,
    read_until,
    url_of,
)
from loopback import Loopback, loopback, looped, looped_on_sockets, until
from misbehaving import Fault, TimeSpec, http, scripted, served
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection

import tickerplant
from tickerplant import ClientSettings, Market, RequestError, UpstreamError
from tickerplant.client import connection, runner
from tickerplant.config.kinds import read_faults
from tickerplant.faults.connection_faults import GARBAGE_FRAMES
from tickerplant.feed.reconnect import BROKEN
from tickerplant.messages import DecodeFailed, Disconnected, Gap, Recovered, Stale
from tickerplant.protocol.limits import LIMITS

LATER_MS = 60_000
"""So long that chance cannot put off a fault with a mean of a second."""
IMPATIENT = replace(LIMITS, close_grace_ms=1)
"""A server that does not wait for those whom it stalled when it stops."""


@asynccontextmanager
async def hearing(
    house: Loopback, settings: ClientSettings = QUICK, **options: Any
) -> AsyncIterator[tuple[Market, Any]]:
    """Yield a market and a subscription that heard the trades 1 to 3."""
    async with client_of(house, settings=settings) as market:
        subscription = market.stream(TRADES, **options)
        await carried(market, TRADES)
        await trade(house, 3)
        assert kinds(await read(subscription, 3)) == ["1", "2", "3"]
        yield market, subscription


async def trade(house: Loopback, count: int) -> None:
    house.trade(count=count)


async def counted(market: Market, name: str, count: int) -> None:
    """Wait until the client has counted so many."""
    await until(lambda: getattr(market.counters, name) >= count)


async def outage(house: Loopback, subscription: Any) -> None:
    """Cut the connection, and see it end and come back; trades 4 and 5 are missed."""
    connections(house)[0].abort()
    await read_until(subscription, Disconnected)
    await trade(house, 2)
    await read_until(subscription, Recovered)


async def lost_and_found(house: Loopback, subscription: Any) -> Disconnected:
    """See a connection end and trades 4 and 5 missed: what is seen is always the same."""
    before, disconnected = await read_until(subscription, Disconnected)
    assert before == []
    assert disconnected.streams == (TRADES,)
    await trade(house, 2)
    before, recovered = await read_until(subscription, Recovered)
    assert before == []
    assert recovered.streams == (TRADES,)
    assert 0 <= recovered.outage_ms < 60_000
    await trade(house, 1)
    gap, *rest = await read(subscription, 2)
    assert isinstance(gap, Gap)
    reported = (gap.symbol, gap.after_id, gap.before_id, gap.missing, gap.backfilled)
    assert reported == ("BTCUSDT", 3, 6, 2, 0)
    assert kinds(rest) == ["6"]
    return disconnected


# handshakes


@pytest.mark.parametrize(
    ("values", "status", "least_ms"),
    [
        pytest.param("refuse=1", 503, 0, id="refuse"),
        pytest.param("limit_handshakes=1", 429, 5_000, id="limit_handshakes"),
        pytest.param("ban_handshakes=1", 418, 5_000, id="ban_handshakes"),
    ],
)
@looped
async def test_who_is_refused_from_the_start_is_reported_and_waits_as_long_as_is_asked(
    values: str, status: int, least_ms: int
) -> None:
    async with loopback(faults=values) as house, client_of(house) as market:
        subscription: Any = market.stream(TRADES)
        disconnected = await anext(subscription)
        assert isinstance(disconnected, Disconnected)
        assert disconnected.reason == f"refused: HTTP {status}"
        assert disconnected.close_code is None
        assert least_ms < disconnected.retry_ms <= least_ms + QUICK.retries.retry_base_ms
        house.server.faults.switch({})
        await asyncio.sleep(0.9 * least_ms / 1_000)
        assert (market.counters.refused, market.counters.opened) == (1, 0)
        assert isinstance(await anext(subscription), Recovered)
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["1"]


@looped
async def test_who_is_refused_until_a_date_waits_until_then() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    async with (
        scripted(http(429, b"{}", Retry_After=date)) as script,
        tickerplant.connect(base_url=script.base.replace("http", "ws")) as market,
    ):
        disconnected: Any = await anext(market.stream(TRADES))
    assert 3_500_000 < disconnected.retry_ms <= 3_601_000


# connections that end


@looped
async def test_a_reset_is_reported_and_what_it_cost() -> None:
    async with loopback(faults="reset=1s") as house, hearing(house) as (market, subscription):
        house.clock.now_ms += LATER_MS
        disconnected = await lost_and_found(house, subscription)
        assert (disconnected.reason, disconnected.close_code) == ("the connection was lost", None)
        assert disconnected.retry_ms <= 100
        counted = market.counters
        assert (counted.lost, counted.gaps, counted.missing) == (1, 1, 2)


# silence


@looped
async def test_a_stalled_connection_is_given_up() -> None:
    settings = quick(idle_ms=60, pong_timeout_ms=60)
    async with (
        loopback(IMPATIENT) as house,
        hearing(house, settings) as (market, subscription),
    ):
        house.server.faults.switch(
            read_faults(f"stall connection={connections(house)[0].identity}")
        )
        disconnected = await lost_and_found(house, subscription)
        assert disconnected.reason == "silent: a ping was not answered"
        assert disconnected.close_code is None
        assert market.counters.lost == 1


@looped
async def test_a_silent_stream_is_reported_and_subscribed_to_again() -> None:
    # With the seed of the server this share silences the first subscription, and not the second.
    settings = quick(first_message_timeout_ms=50)
    async with (
        loopback(faults="silent=0.5") as house,
        client_of(house, settings=settings) as market,
    ):
        subscription: Any = market.stream(TRADES)
        await carried(market, TRADES)
        first_silent = house.server.faults.counts["silent"]
        assert first_silent == 1
        stale = await anext(subscription)
        assert isinstance(stale, Stale)
        assert stale.streams == (TRADES,)
        assert stale.silent_ms >= 50
        assert stale.expected_ms == 0
        async with every(0.005, house.trade):
            _, recovered = await read_until(subscription, Recovered)
            (message,) = await read(subscription, 1)
        assert recovered.outage_ms >= stale.silent_ms
        assert message.stream == TRADES
        assert (market.counters.stale, market.counters.lost) == (1, 0)


@looped
async def test_a_subscription_that_is_not_answered_costs_the_connection_if_it_is_silent() -> None:
    settings = quick(ack_timeout_ms=60)
    async with loopback(faults="no_ack=1") as house, client_of(house, settings=settings) as market:
        subscription: Any = market.stream(TRADES)
        disconnected = await anext(subscription)
        assert isinstance(disconnected, Disconnected)
        assert disconnected.reason == "a control message was not answered"
        house.server.faults.switch({})
        assert isinstance(await anext(subscription), Recovered)
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["1"]


# messages


@looped
async def test_garbage_is_reported_once_a_second_and_costs_nothing() -> None:
    async with loopback(faults="garbage=1s") as house, hearing(house) as (market, subscription):
        for number, frame in enumerate(GARBAGE_FRAMES):
            house.clock.now_ms += LATER_MS
            await counted(market, "unreadable", number + 1)
            await trade(house, 1)
            unreadable, message = await read(subscription, 2)
            assert isinstance(unreadable, DecodeFailed)
            assert unreadable.streams == (TRADES,)
            assert frame.endswith(unreadable.payload)
            assert unreadable.reason
            assert message.trade_id == 4 + number
            await asyncio.sleep(1.1)
        for number in range(3):
            house.clock.now_ms += LATER_MS
            await counted(market, "unreadable", len(GARBAGE_FRAMES) + number + 1)
        assert subscription.pending == 1, "the others are counted"
        assert (market.counters.lost, market.counters.gaps) == (0, 0)


@looped
async def test_text_that_is_not_utf_8_is_reported() -> None:
    async with (
        loopback(faults="invalid_utf8=1s") as house,
        hearing(house) as (market, subscription),
    ):
        house.clock.now_ms += LATER_MS
        await until(lambda: market.counters.unreadable)
        (unreadable,) = await read(subscription, 1)
        assert isinstance(unreadable, DecodeFailed)
        assert unreadable.payload == b'{"zz":"\xc3\x28\xff"}'
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["4"]


# questions


def hurry(market: Market) -> TimeSpec:
    """Let questions wait without waiting."""
    moment = TimeSpec()
    for client in (market._rest, market._api):
        client.context.clock, client.context.sleep = moment, moment.sleep
    market._rest._timeout_s = 0.05
    return moment


@looped
async def test_errors_of_the_websocket_api_are_raised() -> None:
    async with loopback(faults="api_error=0.5") as house, client_of(house) as market:
        moment = hurry(market)
        answers = []
        for _ in range(20):
            answers.append(await _outcome(market.ask("time")))
            await moment.sleep(121)  # a refusal is over by then
        assert market.budget.refusals
        assert {"dict", "RequestError 503"} < set(answers)
        assert set(answers) <= {"dict", "RequestError 503", "RequestError 429", "RequestError 418"}


async def _outcome(question: Coroutine[Any, Any, Any]) -> str:
    try:
        return type(await question).__name__
    except RequestError as error:
        return f"RequestError {error.status}"


HTTP_ROWS = [
    ("http_hang", UpstreamError, "no response within"),
    ("http_429", RequestError, "-1003"),
    ("http_418", RequestError, "-1003"),
    ("http_503", UpstreamError, "HTTP 503 Service Unavailable: -1008"),
    ("http_garbage", UpstreamError, "the response is not JSON"),
]


@pytest.mark.parametrize(("name", "error", "text"), HTTP_ROWS)
@looped
async def test_questions_that_fail_raise_in_the_end_and_are_answered_later(
    name: str, error: type[Exception], text: str
) -> None:
    async with loopback(faults=f"{name}=1") as house, client_of(house) as market:
        moment = hurry(market)
        with pytest.raises(error, match=text):
            await market.ask("/fapi/v1/time")
        house.server.faults.switch({})
        moment.now_ms += 3_600_000
        assert "serverTime" in await market.ask("/fapi/v1/time")


@pytest.mark.parametrize(
    ("name", "text"), [("http_418", "-1003"), ("http_garbage", "the response is not JSON")]
)
@looped
async def test_a_gap_that_cannot_be_filled_is_reported_with_the_reason(
    name: str, text: str
) -> None:
    async with (
        loopback(faults=f"{name}=1") as house,
        hearing(house, backfill=True) as (market, subscription),
    ):
        hurry(market)
        await outage(house, subscription)
        await trade(house, 2)
        gap, *rest = await read(subscription, 3)
        assert isinstance(gap, Gap)
        assert (gap.missing, gap.backfilled) == (2, 0)
        assert text in gap.reason
        assert kinds(rest) == ["6", "7"]


@looped
async def test_a_history_that_is_refused_is_reported_and_live_messages_follow() -> None:
    async with loopback(faults="http_429=1") as house, client_of(house) as market:
        hurry(market)
        subscription = market.stream(TRADES, history=5)
        await carried(market, TRADES)
        await trade(house, 2)
        gap, *rest = await read(subscription, 3)
        assert isinstance(gap, Gap)
        assert "-1003" in gap.reason
        assert re.search(r"HTTP 429, again in \d+ s, at ", gap.reason)
        assert kinds(rest) == ["1", "2"]


# servers


@looped
async def test_a_server_that_stops_and_starts_again_on_its_port_is_found() -> None:
    async with loopback() as house, hearing(house) as (market, subscription):
        house.server.port_numbers = {
            name: int(url.rpartition(":")[2]) for name, url in house.server.urls.items()
        }
        await house.server.stop()
        before, disconnected = await read_until(subscription, Disconnected)
        assert before == []
        assert disconnected.close_code == 1001
        await until(lambda: market.counters.refused >= 2)
        await trade(house, 2)
        assert subscription.pending == 0, "told once"
        await house.server.start()
        _, recovered = await read_until(subscription, Recovered)
        assert recovered.outage_ms > 0
        await trade(house, 1)
        gap, message = await read(subscription, 2)
        assert isinstance(gap, Gap)
        assert (gap.after_id, gap.before_id, gap.missing) == (3, 6, 2)
        assert message.trade_id == 6


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        pytest.param("ws://127.0.0.1:9", "refused: connection refused", id="nobody"),
        pytest.param("ws://no-such-host.invalid", "refused: ", id="dns"),
    ],
)
@looped
async def test_a_server_that_cannot_be_reached_is_reported(base: str, reason: str) -> None:
    async with tickerplant.connect(base_url=base, settings=QUICK) as market:
        subscription: Any = market.stream(TRADES)
        disconnected = await anext(subscription)
        assert isinstance(disconnected, Disconnected)
        assert disconnected.reason.startswith(reason)
        assert len(disconnected.reason) > len("refused: ")
        await until(lambda: market.counters.refused >= 2)
        assert subscription.pending == 0


@looped_on_sockets
async def test_tls_to_a_plain_port_is_reported() -> None:
    async with loopback() as house:
        base = url_of(house).replace("ws://", "wss://")
        async with tickerplant.connect(base_url=base, settings=QUICK) as market:
            subscription: Any = market.stream(TRADES)
            disconnected = await anext(subscription)
            assert isinstance(disconnected, Disconnected)
            assert "SSL" in disconnected.reason
            hurry(market)
            with pytest.raises(UpstreamError, match="SSL"):
                await market.ask("time")


@looped
async def test_a_server_of_before_the_split_of_paths_is_asked_for_its_own() -> None:
    paths: list[str] = []

    def route(connection: ServerConnection, request: Any) -> Any:
        paths.append(request.path)
        if request.path != "/stream":
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        return None

    async def answer(connection: ServerConnection) -> None:
        with suppress(Exception):
            async for _ in connection:
                await connection.send('{"result":null,"id":1}')

    async with (
        served(answer, process_request=route) as hosts,
        tickerplant.connect(base_url=hosts.streams, settings=QUICK) as market,
    ):
        subscription = market.stream("btcusdt@bookTicker", "btcusdt@markPrice")
        await carried(market, *subscription.names)
    assert paths[0] in {"/public/stream", "/market/stream"}
    assert paths[-1] == "/stream"


@looped
async def test_a_market_is_left_at_once_while_a_handshake_hangs() -> None:
    clock = asyncio.get_running_loop().time
    async with scripted(Fault.HANG) as script:
        async with tickerplant.connect(base_url=script.base, settings=QUICK) as market:
            subscription = market.stream(TRADES)
            await until(lambda: script.asked)
            before = clock()
        assert clock() - before < 0.1
        assert subscription.pending == 0
        assert market.counters.opened == 0


@looped
async def test_an_attempt_is_given_up_with_its_subscription() -> None:
    async with (
        scripted(Fault.HANG) as script,
        tickerplant.connect(base_url=script.base, settings=QUICK) as market,
    ):
        async with market.stream(TRADES):
            await until(lambda: script.asked)
            sockets = open_sockets()
        await until(lambda: open_sockets() == sockets - 1)


def open_sockets() -> int:
    """Return how many sockets this process has."""
    return sum("socket:" in _target(each) for each in Path("/proc/self/fd").iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (LookupError("odd"), "LookupError: odd"),
        (asyncio.CancelledError(), "the connection was lost before the handshake was answered"),
    ],
)
@looped
async def test_whatever_an_attempt_ends_with_is_reported(
    end: BaseException, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise end

    monkeypatch.setattr(connection, "ws_connect", fail)
    async with tickerplant.connect(base_url="ws://127.0.0.1:9", settings=QUICK) as market:
        subscription: Any = market.stream(TRADES)
        assert (await anext(subscription)).reason == f"refused: {said}"


@looped
async def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    async with tickerplant.connect(base_url="ws://127.0.0.1:9", settings=QUICK) as market:
        subscription: Any = market.stream(TRADES)
        disconnected = await anext(subscription)
        assert disconnected.reason == "refused: no response within 0.05 s"


@looped
async def test_a_market_is_left_while_a_connection_is_stalled() -> None:
    async with loopback(IMPATIENT, faults="stall=1h@1s") as house, hearing(house):
        house.clock.now_ms += LATER_MS
        await until(lambda: house.server.faults.counts["stall"])
        await trade(house, 1)


@looped
async def test_what_is_no_websocket_is_reported_with_its_code_and_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def break_the_protocol(connection: ServerConnection) -> None:
        connection.transport.write(b"\x83\x01a")
        await connection.wait_closed()

    async with (
        served(break_the_protocol) as hosts,
        tickerplant.connect(base_url=hosts.streams, settings=QUICK) as market,
    ):
        subscription: Any = market.stream(TRADES)
        disconnected = await anext(subscription)
        assert disconnected.close_code == 1002
        assert "opcode" in disconnected.reason
        assert disconnected.retry_ms >= BROKEN.min_pause_ms
        gc.collect()
    assert [each.name for each in caplog.records if each.name == "asyncio"] == []


@looped
async def test_a_connection_that_is_given_up_is_cut_if_the_server_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = asyncio.Event()

    async def take_nothing(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.pause_reading()
        await connection.send('{"result":null,"id":1}')
        await over.wait()
        connection.transport.abort()

    monkeypatch.setattr(runner, "CLOSE_S", 0.05)
    async with (
        served(take_nothing) as hosts,
        tickerplant.connect(base_url=hosts.streams, settings=QUICK) as market,
    ):
        subscription = market.stream(TRADES)
        await carried(market, TRADES)
        (link,) = market._runner._connections.values()
        link.send(bytes(1 << 24))  # more than the network holds
        subscription.close()
        try:
            await until(lambda: not market._runner._connections)
            assert market._runner._ending
            await until(lambda: not market._runner._ending)
        finally:
            over.set()
