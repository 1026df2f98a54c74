from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
from loopback import Loopback, ask, bare, ending, hear, loopback, looped, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from tickerplant.faults.fault import EXEMPT_HEADER
from tickerplant.faults.payloads import UNKNOWN_WORD
from tickerplant.faults.request_faults import HANG_MS
from tickerplant.faults.rule import parse_rule
from tickerplant.server.endpoint import Connection
from tickerplant.server.websocket import WebSocketConnection
from tickerplant.venue import VENUES

FAULTS_PATH = "/plant/v1/faults"
LATER_MS = 60_000
"""So long that chance cannot put off a fault with a mean of a second."""
EXEMPT = {EXEMPT_HEADER: "1"}
TRADES = "/ws/btcusdt@trade"
SUBSCRIBE = {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 7}
ALL_ON = (
    "refuse=1,limit_handshakes=1,ban_handshakes=1,reset=1s,close=1001@1s,stall=1s@1s,garbage=1s,"
    "invalid_utf8=1s,chain=1s,fields=1,words=1,silent=1,no_ack=1,api_error=1,http_hang=1,"
    "http_429=1,http_418=1,http_503=1,http_garbage=1"
)


def connections(house: Loopback) -> list[Connection]:
    return house.server.connections


def plain(house: Loopback) -> list[WebSocketConnection]:
    return [each for each in connections(house) if isinstance(each, WebSocketConnection)]


def add(house: Loopback, text: str) -> str:
    """Add a rule while the server runs; return its id."""
    return house.server.faults.add(parse_rule(text)).id


def done(house: Loopback) -> dict[str, int]:
    return dict(house.server.faults.counts)


@pytest.mark.parametrize(
    ("name", "status", "retry_after"),
    [("refuse", 503, None), ("limit_handshakes", 429, "1"), ("ban_handshakes", 418, "1")],
)
@looped
async def test_handshakes_are_refused(name: str, status: int, retry_after: str | None) -> None:
    async with loopback(faults=f"{name}=1") as house:
        with pytest.raises(InvalidStatus) as refused:
            async with house.connect(TRADES):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers.get("Retry-After") == retry_after
        assert done(house) == {name: 1}
        counted = await house.metrics()
    assert counted[f'tickerplant_handshakes_refused_total{{code="{status}",venue="usdm"}}'] == 1
    assert counted[f'tickerplant_faults_total{{fault="{name}"}}'] == 1


@looped
async def test_a_reset_is_one_of_tcp() -> None:
    async with loopback(faults="reset=1s") as house:
        async with bare(house, TRADES) as sock:
            house.clock.now_ms += LATER_MS
            with pytest.raises(ConnectionResetError):
                await hear(sock)
        await until(lambda: not connections(house))
        assert done(house) == {"reset": 1}


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [("close=1012@1s", 1012, "fault"), ("invalid_utf8=1s", CloseCode.INVALID_DATA, "client")],
)
@looped
async def test_a_connection_ends_with_the_code(fault: str, code: int, reason: str) -> None:
    async with loopback(faults=fault) as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        frame = ended.value.rcvd or ended.value.sent
        assert frame is not None
        assert frame.code == code
        await until(lambda: not connections(house))
        counted = await house.metrics()
    closed = f'tickerplant_connections_closed_total{{reason="{reason}",venue="usdm"}}'
    assert counted[closed] == 1
    assert counted[f'tickerplant_faults_total{{fault="{fault.partition("=")[0]}"}}'] == 1


@looped
async def test_a_stalled_connection_says_nothing_and_then_everything() -> None:
    async with loopback(faults="stall=1h@1s") as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        await until(lambda: done(house))
        house.trade()
        pong = asyncio.ensure_future(await client.ping())
        await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
        (connection,) = connections(house)
        await until(lambda: connection.unsent_bytes)
        # A connection beside it shows that the server has had all the turns it needs.
        async with house.connect("/ws", additional_headers=EXEMPT) as witness:
            await ask(witness, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0)
        assert not pong.done()
        house.clock.now_ms += 3_600_000
        assert json.loads(await client.recv())["e"] == "trade"
        assert json.loads(await client.recv())["result"] == ["btcusdt@trade"]
        await pong


@pytest.mark.parametrize("path", [TRADES, "/stream?streams=btcusdt@trade"])
@looped
async def test_one_message_with_ids_is_left_out_on_one_connection(path: str) -> None:
    async with (
        loopback(faults="chain=1s") as house,
        house.connect(path) as client,
        house.connect(path, additional_headers=EXEMPT) as witness,
    ):
        house.trade()
        assert _trade_of(await client.recv())["t"] == 1
        house.clock.now_ms += LATER_MS
        await until(lambda: house.server.endpoints[0].hub.filters)
        house.trade(count=3)
        assert [_trade_of(await client.recv())["t"] for _ in range(2)] == [3, 4]
        assert [_trade_of(await witness.recv())["t"] for _ in range(4)] == [1, 2, 3, 4]
        assert done(house) == {"chain": 1}


def _trade_of(text: str | bytes) -> Any:
    message = json.loads(text)
    return message.get("data", message)


@looped
async def test_messages_have_fields_and_words_that_nobody_knows() -> None:
    async with (
        loopback(faults="fields=1,words=1") as house,
        house.connect(TRADES) as raw,
        house.connect("/stream?streams=btcusdt@trade/!miniTicker@arr") as combined,
    ):
        house.trade()
        messages = [json.loads(await raw.recv()), json.loads(await combined.recv())["data"]]
        for message in messages:
            assert message.pop("zz") == 1
            assert message.pop("zy") == {"zx": ["1", None]}
            assert message["X"] == UNKNOWN_WORD.decode()
        assert done(house) == {"fields": 2, "words": 2}
        house.plant.advance(house.plant.now_ms + 1_000)
        array = json.loads(await combined.recv())["data"]
        assert [each["zz"] for each in array] == [1] * len(array) != []


@looped
async def test_a_subscription_is_acknowledged_and_silent() -> None:
    async with (
        loopback(faults="silent=1") as house,
        house.connect(TRADES) as by_url,
        house.connect("/ws") as client,
    ):
        assert await ask(client, SUBSCRIBE) == {"result": None, "id": 7}
        assert not house.server.endpoints[0].hub.channels
        house.trade()
        for each in (client, by_url):
            listed = await ask(each, {"method": "LIST_SUBSCRIPTIONS", "id": 8})
            assert listed == {"result": ["btcusdt@trade"], "id": 8}, "and no trade before it"
        await ask(client, {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 9})
        assert done(house) == {"silent": 2}


@looped
async def test_a_subscription_is_carried_out_and_not_acknowledged() -> None:
    async with loopback(faults="no_ack=1") as house, house.connect("/ws") as client:
        await client.send(json.dumps(SUBSCRIBE))
        await client.send(json.dumps(SUBSCRIBE | {"id": 8}))
        listed = await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 9})
        assert listed == {"result": ["btcusdt@trade"], "id": 9}
        house.trade()
        assert json.loads(await client.recv())["e"] == "trade"
        unsubscribed = await ask(client, SUBSCRIBE | {"method": "UNSUBSCRIBE"})
        assert unsubscribed == {"result": None, "id": 7}
        assert done(house) == {"no_ack": 2}


@looped
async def test_the_websocket_api_answers_errors() -> None:
    async with loopback(faults="api_error=1") as house, house.connect("/ws-fapi/v1") as client:
        replies = [
            await ask(client, {"id": number, "method": "ticker.price"}) for number in (1, "a", None)
        ]
        assert [reply["id"] for reply in replies] == [1, "a", None]
        assert [reply["status"] for reply in replies] == [429, 503, 418]
        assert [reply["error"]["code"] for reply in replies] == [-1003, -1008, -1003]
        retry = {"serverTime": house.clock.now_ms, "retryAfter": house.clock.now_ms + 1_000}
        assert [reply["error"].get("data") for reply in replies] == [retry, None, retry]
        assert all("result" not in reply and reply["rateLimits"] for reply in replies)


@pytest.mark.parametrize(
    ("name", "status", "code", "retry_after"),
    [
        ("http_429", 429, -1003, "1"),
        ("http_418", 418, -1003, "1"),
        ("http_503", 503, -1008, None),
        ("http_garbage", 200, None, None),
    ],
)
@looped
async def test_requests_meet_the_fault_and_pages_do_not(
    name: str, status: int, code: int | None, retry_after: str | None
) -> None:
    async with loopback(faults=f"{name}=1") as house:
        answer = await house.get("/fapi/v1/ping")
        assert answer.status == status
        if code is None:
            with pytest.raises(json.JSONDecodeError):
                assert answer.json
        else:
            assert answer.json["code"] == code
        assert answer.headers.get("retry-after") == retry_after
        for path in ("/", "/healthz", "/metrics", "/plant/v1/limits", FAULTS_PATH):
            assert (await house.get(path)).status == 200
        assert (await house.get("/nothing/here")).status == 404
        assert done(house) == {name: 1}


@pytest.mark.parametrize(("fault", "late_ms"), [("http_hang=1", HANG_MS), ("http_delay=5s", 5_000)])
@looped
async def test_a_request_is_answered_when_it_is_time(fault: str, late_ms: int) -> None:
    async with loopback(faults=fault) as house:
        asked = asyncio.create_task(house.get("/fapi/v1/ping"))
        await until(lambda: done(house))
        house.clock.now_ms += late_ms - 1
        assert (await house.get("/fapi/v1/ping", headers=EXEMPT)).status == 200
        assert not asked.done()
        house.clock.now_ms += 1
        assert (await asked).status == 200


@looped
async def test_an_exempt_client_meets_no_fault() -> None:
    async with (
        loopback(faults=ALL_ON) as house,
        house.connect("/ws", additional_headers=EXEMPT) as client,
        house.connect("/ws-fapi/v1", additional_headers=EXEMPT) as api,
    ):
        assert [each.faults for each in plain(house)] == [None, None]
        house.clock.now_ms += LATER_MS
        assert await ask(client, SUBSCRIBE) == {"result": None, "id": 7}
        house.trade()
        message = json.loads(await client.recv())
        assert message["X"] == "MARKET"
        assert "zz" not in message
        assert (await ask(api, {"id": 1, "method": "ticker.price"}))["status"] == 200
        assert (await house.get("/fapi/v1/ping", headers=EXEMPT)).json == {}
        assert done(house) == {}


@looped
async def test_a_page_on_both_ports_lists_the_rules() -> None:
    async with loopback(faults="http_429=1,reset=90s venue=coinm") as house:
        await house.get("/fapi/v1/ping")
        pages = [(await house.get(FAULTS_PATH, venue)).json for venue in VENUES]
        welcome = (await house.get("/")).body.decode()
        counted = await house.metrics()
    assert pages[0] == pages[1]
    rules = [(each["id"], each["text"], each["state"], each["hits"]) for each in pages[0]["rules"]]
    assert rules == [("f1", "http_429=1", "on", 1), ("f2", "reset=90s venue=coinm", "on", 0)]
    assert pages[0]["rules"][1]["rule"] == {"kind": "reset", "mean": "90s", "venue": "coinm"}
    assert pages[0]["counts"] == {"http_429": 1}
    assert "Faults on demand: http_429=1, reset=90s venue=coinm." in welcome
    assert counted['tickerplant_fault_rules{state="on"}'] == 2
    assert counted['tickerplant_faults_total{fault="http_429"}'] == 1


@looped
async def test_a_connection_is_plain_again_to_the_hub_when_its_faults_are_removed() -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        (connection,) = plain(house)
        hub = house.server.endpoints[0].hub
        assert connection.faults is None
        fields = add(house, "fields stream=btcusdt@trade")
        add(house, "fields stream=btcusdt@aggTrade")
        house.trade()
        assert "zz" in json.loads(await client.recv())
        assert connection in hub.filters
        house.server.faults.remove(fields)
        house.trade()
        assert "zz" not in json.loads(await client.recv())
        house.server.faults.clear()
        assert not hub.filters
        house.trade()
        assert json.loads(await client.recv())["t"] == 3


@looped
async def test_faults_find_the_connections_that_they_are_aimed_at() -> None:
    async with (
        loopback() as house,
        house.connect(TRADES) as trades,
        house.connect("/ws/btcusdt@aggTrade") as aggregates,
        house.connect("/ws") as late,
        house.connect("/ws/btcusd_perp@trade", VENUES[1]) as other,
    ):
        add(house, "close=1012 stream=*@trade venue=usdm for=1h")
        assert (await ending(trades))[0] == 1012
        await late.send(json.dumps(SUBSCRIBE))
        assert (await ending(late))[0] == 1012
        house.server.faults.clear()
        identity = next(each.identity for each in plain(house) if each.endpoint.venue is VENUES[1])
        add(house, f"close=1013 connection={identity}")
        assert (await ending(other))[0] == 1013
        assert (await ask(aggregates, {"method": "LIST_SUBSCRIPTIONS", "id": 8}))["id"] == 8
        assert done(house) == {"close": 3}


@looped
async def test_a_share_of_the_connections_is_hit() -> None:
    async with loopback() as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.connect("/ws")) for _ in range(12)]
        add(house, "close=1012 connections=0.5")
        await until(lambda: len(connections(house)) == 12 - done(house)["close"])
        assert 1 < done(house)["close"] < 11
        assert len(clients) == 12


@pytest.mark.parametrize("kind", ["reset", "close=1012", "stall", "half_open"])
@looped
async def test_a_fault_comes_after_exactly_so_many_messages(kind: str) -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        rule = add(house, f"{kind} after=3 stream=btcusdt@trade")
        house.trade(count=7)
        received = [json.loads(await client.recv())["t"] for _ in range(3)]
        await until(lambda: done(house))
        if kind in {"stall", "half_open"}:
            house.server.faults.remove(rule)
        with suppress(ConnectionClosed):
            received += [json.loads(await client.recv())["t"] for _ in range(4)]
        assert received == ([1, 2, 3, 4, 5, 6, 7] if kind == "stall" else [1, 2, 3])


@looped
async def test_what_ends_with_a_fault_ends_cleanly() -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        for text in ("stall", "latency=1h", "bandwidth=1B"):
            rule = add(house, text)
            house.trade()
            await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
            (connection,) = connections(house)
            await until(lambda: connection.unsent_bytes)  # noqa: B023  # awaited here
            house.server.faults.remove(rule)
            received = [json.loads(await client.recv()) for _ in range(2)]
            assert {"result": ["btcusdt@trade"], "id": 1} in received
            assert connection.unsent_bytes == 0
        assert done(house) == {"stall": 1, "latency": 1, "bandwidth": 1}


@looped
async def test_messages_are_late_in_both_directions() -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        add(house, "latency=200ms@50ms")
        house.trade()
        await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
        (connection,) = connections(house)
        await until(lambda: connection.unsent_bytes)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.02)
        house.clock.now_ms += 250
        assert json.loads(await client.recv())["t"] == 1
        answered = asyncio.ensure_future(client.recv())
        steps = 0
        while not answered.done():
            house.clock.now_ms += 125
            steps += 1
            await asyncio.sleep(0.02)
        assert json.loads(await answered)["id"] == 1
        assert steps >= 2, "the answer was late, and perhaps the request"


@looped
async def test_a_line_takes_so_many_bytes_a_second() -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        add(house, "bandwidth=1000B")
        house.trade(count=10)
        (connection,) = connections(house)
        await until(lambda: connection.unsent_bytes)
        before = connection.unsent_bytes
        house.clock.now_ms += 1_000
        await until(lambda: connection.unsent_bytes < before)
        assert connection.unsent_bytes >= before - 1_000
        house.server.faults.clear()
        assert [json.loads(await client.recv())["t"] for _ in range(10)] == [*range(1, 11)]


@looped
async def test_a_half_open_socket_loses_everything_and_ends_with_a_reset() -> None:
    async with loopback() as house, bare(house, TRADES) as sock:
        rule = add(house, "half_open")
        house.trade()
        async with house.connect(TRADES, additional_headers=EXEMPT) as witness:
            await ask(witness, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
        house.server.faults.remove(rule)
        with pytest.raises(ConnectionResetError):
            await hear(sock)


@looped
async def test_a_notice_of_a_shutdown_is_a_message() -> None:
    async with loopback() as house, house.connect(TRADES) as client:
        add(house, "shutdown_notice")
        assert json.loads(await client.recv()) == {
            "e": "serverShutdown",
            "E": house.plant.now_ms,
        }


@looped
async def test_a_maintenance_closes_and_refuses_everybody_for_its_time() -> None:
    async with (
        loopback() as house,
        house.connect(TRADES) as client,
        house.connect("/ws", additional_headers=EXEMPT) as exempt,
    ):
        add(house, "maintenance for=10m")
        assert (await ending(client))[0] == 1001
        with pytest.raises(InvalidStatus) as refused:
            await house.connect(TRADES)
        assert refused.value.response.status_code == 503
        assert (await house.get("/fapi/v1/ping")).status == 503
        assert (await house.get("/healthz")).status == 200
        assert (await ask(exempt, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1
        house.clock.now_ms += 600_000
        await until(lambda: not len(house.server.faults))
        assert (await house.get("/fapi/v1/ping")).status == 200
        async with house.connect(TRADES):
            pass


@looped
async def test_a_maintenance_after_messages_refuses_at_once_and_closes_each_when_it_has_them() -> (
    None
):
    async with (
        loopback() as house,
        house.connect(TRADES) as busy,
        house.connect("/ws/btcusdt@bookTicker") as idle,
    ):
        rule = add(house, "maintenance after=3")
        with pytest.raises(InvalidStatus) as refused:
            await house.connect(TRADES)
        assert refused.value.response.status_code == 503
        assert (await house.get("/fapi/v1/ping")).status == 503
        house.trade(count=5)
        code, *_ = await ending(busy)
        assert code == 1001
        assert (await ask(idle, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1
        house.server.faults.remove(rule)
        async with house.connect(TRADES):
            pass


@looped
async def test_statuses_of_handshakes_and_requests_are_free_to_choose() -> None:
    async with loopback() as house:
        for status in (403, 451, 500, 502, 504):
            add(house, f"handshake={status} times=1")
            add(house, f"http={status} path=/fapi/v1/p* times=1")
            with pytest.raises(InvalidStatus) as refused:
                await house.connect(TRADES)
            assert refused.value.response.status_code == status
            assert (await house.get("/fapi/v1/time")).status == 200
            answer = await house.get("/fapi/v1/ping")
            assert (answer.status, answer.headers["content-type"]) == (status, "text/html")
            assert (await house.get("/fapi/v1/ping")).status == 200
        assert {each.state for each in house.server.faults} == {"over"}


@looped
async def test_answers_that_are_late_come_at_the_end_of_the_rule() -> None:
    async with loopback() as house, house.connect("/ws-fapi/v1") as client:
        late = add(house, "api_delay=5s method=ticker.*")
        await client.send(json.dumps({"id": 1, "method": "ticker.price"}))
        assert (await ask(client, {"id": 2, "method": "session.status"}))["id"] == 2
        house.server.faults.remove(late)
        assert json.loads(await client.recv())["id"] == 1


@pytest.mark.parametrize("late", ["http_hang", "http_delay=1h"])
@looped
async def test_a_server_that_stops_while_faults_are_on_ends_at_once(late: str) -> None:
    async with loopback() as house, house.connect(TRADES), house.connect(TRADES):
        for text in ("stall", "half_open", "latency=1h", "bandwidth=1B", "fields", late):
            add(house, text)
        asked = asyncio.create_task(house.get("/fapi/v1/ping"))
        await until(lambda: done(house).get(late.partition("=")[0]))
        house.trade()
        began_s = asyncio.get_running_loop().time()
        limits = house.server.limits
        await house.server.stop()
        assert asyncio.get_running_loop().time() - began_s < limits.close_grace_ms / 1_000 + 5
        assert (await asked).status == 200
