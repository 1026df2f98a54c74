from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Loopback, ask, loopback, looped, shake_hands, until
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import CloseCode

from tickerplant.config.values import faults
from tickerplant.frames import payloads, text_frame
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.endpoint import Connection
from tickerplant.server.fault_injector import FaultDraws, FaultInjector
from tickerplant.server.faults import EXEMPT_HEADER, FAULT_ROWS, FAULTS_PATH, HANG_MS
from tickerplant.server.faulty_connection import (
    GARBAGE_FRAMES,
    UNKNOWN_FIELDS,
    UNKNOWN_WORD,
    FaultyConnection,
    with_unknown_fields,
)
from tickerplant.server.websocket import WebSocketConnection
from tickerplant.venue import VENUES

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


def done(house: Loopback) -> dict[str, int]:
    return dict(house.server.faults.done)


def test_a_value_of_every_fault_is_read() -> None:
    values = faults(ALL_ON)
    assert list(values) == [row.name for row in FAULT_ROWS if row.name in values]
    assert len(values) == len(FAULT_ROWS)
    close = values["close"]
    assert (close.text, close.code, close.mean_ms) == ("1001@1s", 1001, 1_000)
    stall = faults("stall=250ms@2m")["stall"]
    assert (stall.time_ms, stall.mean_ms) == (250, 120_000)
    assert faults({"refuse": 0.5})["refuse"].share == 0.5


@given(st.lists(st.integers(0, 70_000), max_size=4))
def test_joined_frames_come_apart_again(sizes: list[int]) -> None:
    messages = [b"x" * size for size in sizes]
    assert list(payloads(b"".join(map(text_frame, messages)))) == messages


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"e":"a","o":{"X":1}}', b'{"e":"a","o":{"X":1}*}'),
        (b'{"stream":"s","data":{"e":"a"}}', b'{"stream":"s","data":{"e":"a"*}}'),
        (b'[{"a":1},{"b":2}]', b'[{"a":1*},{"b":2*}]'),
        (b'{"stream":"s","data":[{"a":1}]}', b'{"stream":"s","data":[{"a":1*}]}'),
        (b'{"stream":"s","data":[]}', b'{"stream":"s","data":[]}'),
        (b"[]", b"[]"),
        (b"{}", b"{}"),
    ],
)
def test_unknown_fields_stand_at_the_end_of_a_message(before: bytes, after: bytes) -> None:
    changed = with_unknown_fields(before)
    assert changed == after.replace(b"*", UNKNOWN_FIELDS)
    json.loads(changed)


@pytest.mark.sockets
@looped
async def test_without_faults_nothing_stands_between_the_hub_and_the_transport() -> None:
    async with loopback() as house, house.connect(TRADES):
        (connection,) = connections(house)
        assert type(connection) is WebSocketConnection
        assert connection.write == connection.transport.write
        assert type(connection.transport).__module__.startswith("aiofastnet")


@pytest.mark.sockets
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


@pytest.mark.sockets
@looped
async def test_a_reset_is_one_of_tcp() -> None:
    async with loopback(faults="reset=1s") as house:
        sock = house.socket()
        await shake_hands(sock, TRADES)
        house.clock.now_ms += LATER_MS
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(sock, 4096)
        sock.close()
        await until(lambda: not connections(house))
        assert done(house) == {"reset": 1}


@pytest.mark.sockets
@looped
async def test_a_close_has_the_code() -> None:
    async with loopback(faults="close=1012@1s") as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
        counted = await house.metrics()
    assert counted['tickerplant_connections_closed_total{reason="fault",venue="usdm"}'] == 1
    assert counted['tickerplant_faults_total{fault="close"}'] == 1


@pytest.mark.sockets
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


@pytest.mark.sockets
@looped
async def test_a_stall_holds_no_more_than_may_wait_for_a_client() -> None:
    bounds = replace(LIMITS, max_unsent_bytes=2_000, close_grace_ms=1)
    async with loopback(bounds, faults="stall=1h@1s") as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        await until(lambda: done(house))
        for _ in range(20):
            house.trade()
            await asyncio.sleep(0)
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        counted = await house.metrics()
    assert counted['tickerplant_slow_consumers_total{venue="usdm"}'] == 1


@pytest.mark.sockets
@looped
async def test_a_stall_holds_up_a_source_that_can_wait() -> None:
    bounds = replace(LIMITS, max_unsent_bytes=8_000)
    async with loopback(bounds, faults="stall=1h@1s") as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        await until(lambda: done(house))
        for _ in range(10):
            house.trade()
            await asyncio.sleep(0)
        assert house.server.congestion.congested
        house.clock.now_ms += 3_600_000
        await house.server.congestion.wait_clear()
        assert [json.loads(await client.recv())["t"] for _ in range(10)] == [*range(1, 11)]


@pytest.mark.sockets
@looped
async def test_a_stalled_connection_that_is_cut_holds_up_nobody() -> None:
    bounds = replace(LIMITS, max_unsent_bytes=8_000)
    async with loopback(bounds, faults="stall=1h@1s") as house, house.connect(TRADES):
        house.clock.now_ms += LATER_MS
        await until(lambda: done(house))
        for _ in range(10):
            house.trade()
            await asyncio.sleep(0)
        assert house.server.congestion.congested
        connections(house)[0].abort()
        await house.server.congestion.wait_clear()


@pytest.mark.sockets
@looped
async def test_garbage_comes_among_the_messages() -> None:
    async with loopback(faults="garbage=1s") as house, house.connect(TRADES) as client:
        for frame in GARBAGE_FRAMES:
            house.clock.now_ms += LATER_MS
            received = await client.recv(decode=False)
            assert frame.endswith(received)
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade"
        assert done(house) == {"garbage": len(GARBAGE_FRAMES)}


@pytest.mark.sockets
@looped
async def test_text_that_is_not_utf_8_ends_a_connection() -> None:
    async with loopback(faults="invalid_utf8=1s") as house, house.connect(TRADES) as client:
        house.clock.now_ms += LATER_MS
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        assert ended.value.sent
        assert ended.value.sent.code == CloseCode.INVALID_DATA


@pytest.mark.sockets
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
        faulty = next(each for each in connections(house) if isinstance(each, FaultyConnection))
        await until(lambda: faulty.drops_next_message)
        for _ in range(3):
            house.trade()
        assert [_trade_of(await client.recv())["t"] for _ in range(2)] == [3, 4]
        assert [_trade_of(await witness.recv())["t"] for _ in range(4)] == [1, 2, 3, 4]
        assert done(house) == {"chain": 1}


def _trade_of(text: str | bytes) -> Any:
    message = json.loads(text)
    return message.get("data", message)


@pytest.mark.sockets
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


@pytest.mark.sockets
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


@pytest.mark.sockets
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


@pytest.mark.sockets
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


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("name", "status", "code", "retry_after"),
    [
        ("http_429", 429, -1003, "1"),
        ("http_418", 418, -1003, "1"),
        ("http_503", 503, -1008, None),
    ],
)
@looped
async def test_requests_are_refused_and_pages_are_not(
    name: str, status: int, code: int, retry_after: str | None
) -> None:
    async with loopback(faults=f"{name}=1") as house:
        answer = await house.get("/fapi/v1/ping")
        assert (answer.status, answer.json["code"]) == (status, code)
        assert answer.headers.get("retry-after") == retry_after
        for path in ("/", "/healthz", "/metrics", "/plant/v1/limits", FAULTS_PATH):
            assert (await house.get(path)).status == 200
        assert (await house.get("/nothing/here")).status == 404
        assert done(house) == {name: 1}


@pytest.mark.sockets
@looped
async def test_a_request_is_answered_with_invalid_json() -> None:
    async with loopback(faults="http_garbage=1") as house:
        answer = await house.get("/fapi/v1/ping")
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        assert answer.json


@pytest.mark.sockets
@looped
async def test_a_request_hangs_until_its_time() -> None:
    async with loopback(faults="http_hang=1") as house:
        asked = asyncio.create_task(house.get("/fapi/v1/ping"))
        await until(lambda: done(house))
        house.clock.now_ms += HANG_MS - 1
        assert (await house.get("/fapi/v1/ping", headers=EXEMPT)).status == 200
        assert not asked.done()
        house.clock.now_ms += 1
        assert (await asked).status == 200


@pytest.mark.sockets
@looped
async def test_a_request_that_hangs_is_answered_when_the_server_stops() -> None:
    async with loopback(faults="http_hang=1") as house:
        asked = asyncio.create_task(house.get("/fapi/v1/ping"))
        await until(lambda: done(house))
    assert (await asked).status == 200


@pytest.mark.sockets
@looped
async def test_an_exempt_client_meets_no_fault() -> None:
    async with (
        loopback(faults=ALL_ON) as house,
        house.connect("/ws", additional_headers=EXEMPT) as client,
        house.connect("/ws-fapi/v1", additional_headers=EXEMPT) as api,
    ):
        assert [type(each) for each in connections(house)] == [WebSocketConnection] * 2
        house.clock.now_ms += LATER_MS
        assert await ask(client, SUBSCRIBE) == {"result": None, "id": 7}
        house.trade()
        message = json.loads(await client.recv())
        assert message["X"] == "MARKET"
        assert "zz" not in message
        assert (await ask(api, {"id": 1, "method": "ticker.price"}))["status"] == 200
        assert (await house.get("/fapi/v1/ping", headers=EXEMPT)).json == {}
        assert done(house) == {}


@pytest.mark.sockets
@looped
async def test_a_page_on_both_ports_lists_the_faults() -> None:
    async with loopback(faults="http_429=1,reset=90s") as house:
        await house.get("/fapi/v1/ping")
        pages = [(await house.get(FAULTS_PATH, venue)).json for venue in VENUES]
        welcome = (await house.get("/")).body.decode()
    assert pages[0] == pages[1]
    reported = pages[0]["faults"]
    assert list(reported) == [row.name for row in FAULT_ROWS]
    assert {
        name: (each["value"], each["count"]) for name, each in reported.items() if each["value"]
    } == {
        "reset": ("90s", 0),
        "http_429": ("1", 1),
    }
    assert "Faults on demand: http_429=1, reset=90s." in welcome


@pytest.mark.sockets
@looped
async def test_other_faults_can_be_switched_on_for_later_clients() -> None:
    async with loopback(faults="refuse=1") as house:
        with pytest.raises(InvalidStatus):
            async with house.connect(TRADES):
                pass
        house.server.faults.switch(faults("http_503=1,fields=1"))
        async with house.connect(TRADES) as client:
            assert (await house.get("/fapi/v1/ping")).status == 503
            house.server.faults.switch({})
            assert (await house.get("/fapi/v1/ping")).status == 200
            house.trade()
            assert "zz" in json.loads(await client.recv())


def choices(seed: int, values: str, connection: int) -> tuple[int, ...]:
    """What is decided for one of several connections, with further draws of another fault."""
    drawn = FaultInjector(faults(values), seed)
    chances = [drawn.next_connection() for _ in range(connection)][-1]
    return tuple(_wait_and_draw(chances) for _ in range(5))


def _wait_and_draw(chances: FaultDraws) -> int:
    rows = {row.name: row for row in FAULT_ROWS}
    chances.happens(rows["fields"])
    return chances.wait_ms(rows["reset"])


def test_chance_follows_from_the_seed_the_connection_and_the_fault_alone() -> None:
    first = choices(1, "reset=30s", 2)
    assert first == choices(1, "reset=30s", 2) == choices(1, "reset=30s,fields=0.5", 2)
    assert len({first, choices(2, "reset=30s", 2), choices(1, "reset=30s", 3)}) == 3


def test_random_times_have_the_mean_and_shares_are_shares() -> None:
    drawn = FaultInjector(faults("reset=30s,refuse=0.25"))
    rows = {row.name: row for row in FAULT_ROWS}
    chances = [drawn.next_connection() for _ in range(2_000)]
    waits = [each.wait_ms(rows["reset"]) for each in chances]
    assert 28_000 < sum(waits) / len(waits) < 32_000
    refused = sum(each.happens(rows["refuse"]) for each in chances)
    assert 430 < refused < 570
    assert drawn.done["refuse"] == refused
