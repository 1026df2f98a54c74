"""What clients of edges are answered, beside what one process answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from loopback import UPGRADE, Loopback, ending, loopback, looped, until
from msgspec.structs import replace
from stage import quote
from whole import whole

from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import COINM, USDM, Venue

QUOTES = "btcusdt@bookTicker"
REQUESTS: tuple[tuple[str, Venue, str, dict[str, str], bytes | None], ...] = (
    ("/fapi/v1/ping", USDM, "GET", {}, None),
    ("/fapi/v1/exchangeInfo", USDM, "HEAD", {}, None),
    ("/fapi/v1/exchangeInfo", USDM, "GET", {}, None),
    ("/dapi/v1/exchangeInfo", COINM, "GET", {}, None),
    ("/fapi/v1/depth?symbol=BTCUSDT&limit=5", USDM, "GET", {}, None),
    ("/fapi/v1/trades?symbol=BTCUSDT", USDM, "GET", {}, None),
    ("/fapi/v1/historicalTrades?symbol=BTCUSDT", USDM, "GET", {}, None),
    ("/fapi/v1/historicalTrades?symbol=BTCUSDT", USDM, "GET", {"X-MBX-APIKEY": "k"}, None),
    ("/fapi/v1/fundingRate", USDM, "GET", {}, None),
    ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m", USDM, "GET", {}, None),
    ("/fapi/v1/klines?symbol=NONESUCH&interval=1m", USDM, "GET", {}, None),
    ("/fapi/v1/klines?symbol=%FF&interval=1m", USDM, "GET", {}, None),
    ("/fapi/v1/klines", USDM, "GET", {}, None),
    ("/fapi/v1/exchangeInfo", USDM, "GET", {"Accept-Encoding": "gzip"}, None),
    ("/plant/v1/openapi.json", USDM, "GET", {"Accept-Encoding": "gzip"}, None),
    ("/fapi/v1/klines", USDM, "OPTIONS", {"Access-Control-Request-Headers": "x-a"}, None),
    ("/plant/v1/faults", USDM, "OPTIONS", {"Origin": "http://evil.example"}, None),
    ("/fapi/v1/ping", USDM, "POST", {}, b"{}"),
    ("/fapi/v1/ping", USDM, "DELETE", {}, None),
    ("/fapi/v1/nothing", USDM, "GET", {}, None),
    ("/dapi/v1/ping", USDM, "GET", {}, None),
    ("/ws/btcusdt@trade", USDM, "GET", {}, None),
    ("/" + "a" * 8_001, USDM, "GET", {}, None),
    ("/healthz", USDM, "GET", {}, None),
    ("/healthz", USDM, "POST", {}, None),
    ("/plant/v1/profile", USDM, "GET", {}, None),
    ("/plant/v1/profile", USDM, "GET", {"Host": "evil.example"}, None),
    ("/plant/v1/faults", USDM, "GET", {}, None),
    ("/plant/v1/clock", USDM, "GET", {}, None),
    ("/plant/v1/clock", USDM, "POST", {"Content-Type": "application/json"}, b'{"paused":true}'),
    ("/plant/v1/clock", USDM, "POST", {"Origin": "http://evil.example"}, b"{}"),
    ("/plant/v1/clock", USDM, "POST", {"Content-Type": "text/plain"}, b"{}"),
    ("/plant/v1/clock", USDM, "POST", {"Content-Type": "application/json"}, b"x" * 5_000),
    ("/plant/v1/limits", USDM, "POST", {"Content-Type": "application/json"}, b"{}"),
    ("/plant/v1/nothing", USDM, "GET", {}, None),
    ("/plant/v1/limits", USDM, "GET", {}, None),
    ("/plant/v1/limits", COINM, "GET", {}, None),
)

CALLS: tuple[str | bytes, ...] = (
    '{"id":1,"method":"ticker.price","params":{"symbol":"BTCUSDT"}}',
    '{"id":"a","method":"v1/depth","params":{"symbol":"BTCUSDT","limit":5}}',
    '{"id":null,"method":"depth","params":{"symbol":"NONESUCH"}}',
    '{"id":2,"method":"depth","params":{"symbol":"BTCUSDT","returnRateLimits":false}}',
    '{"id":3,"method":"no.such.method"}',
    '{"id":4,"method":"session.status"}',
    '{"id":5,"method":"session.logon"}',
    '{"id":6}',
    "not JSON",
    "[]",
    b"binary",
)


@looped
async def test_weight_refusals_and_bans_are_one_truth_over_two_edges() -> None:
    limits = replace(LIMITS, request_weight_per_minute=20, refusals_before_ban=2)
    async with whole(2, limits) as many, loopback(limits) as one:
        for turn in range(24):
            house = many.edges[turn % 2]
            seen, expected = await house.get("/fapi/v1/ping"), await one.get("/fapi/v1/ping")
            assert seen == expected
        assert seen.status == 418
        assert "retry-after" in seen.headers
        async with many.edges[0].connect("/ws-fapi/v1") as client:
            assert await ending(client) == (1008, "IP banned")
        many.clock.now_ms += 120_000 + 60_000
        assert (await many.edges[1].get("/fapi/v1/ping")).headers["x-mbx-used-weight-1m"] == "1"


@looped
async def test_connection_attempts_are_counted_over_all_edges() -> None:
    limits = replace(LIMITS, connection_attempts=2)
    async with (
        whole(2, limits) as many,
        many.edges[0].connect("/ws"),
        many.edges[1].connect("/ws"),
    ):
        answer = await _written(many.edges[0], UPGRADE.format(path="/ws").encode())
        assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"Retry-After: 300" in answer


PIPELINED = (
    b"GET /fapi/v1/ping HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /fapi/v1/time HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /fapi/v1/depth?symbol=BTCUSDT HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
)
RAW = (
    b"GET /fapi/v1/ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    b"GET /fapi/v1/time HTTP/1.0\r\n\r\n",
    b"HEAD /fapi/v1/exchangeInfo HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    b"".join(PIPELINED),
    b"PUT /fapi/v1/ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    b"GET /ws?x HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    UPGRADE.format(path="/nowhere").encode(),
    b"nonsense\r\n\r\n",
)


@looped
async def test_requests_are_answered_at_an_edge_as_by_one_process_byte_for_byte() -> None:
    async def talk(house: Loopback) -> list[Any]:
        house.trade(count=3)
        seen: list[Any] = [await house.get(*request) for request in REQUESTS]
        seen += [await _written(house, request) for request in RAW]
        async with house.connect("/ws-fapi/v1") as client:
            for call in CALLS:
                await client.send(call)
            seen += [await client.recv() for _ in CALLS]
            await client.send('{"id":1.5,"method":"ticker.price"}')
            await client.send('{"id":7,"method":"ticker.price"}')
            seen += [await client.recv(), await ending(client)]
        # What follows a bad id is not charged.
        return [*seen, await house.get("/fapi/v1/ping")]

    async with loopback() as one, whole() as many:
        for seen, expected in zip(await talk(many.edges[0]), await talk(one), strict=True):
            assert seen == expected
        packed = await many.edges[0].get("/fapi/v1/exchangeInfo", headers={"Accept-Encoding": "*"})
        assert packed.headers["content-encoding"] == "gzip", "the plant has compressed it"


@pytest.mark.sockets
def test_an_edge_needs_neither_a_source_nor_a_recorder() -> None:
    code = (
        "import sys, tickerplant.cluster.program\n"
        "print(*{name[12:] for name in sys.modules if name.startswith('tickerplant.')})"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    modules = set(shown.stdout.split())
    rooms = {name.partition(".")[0] for name in modules}
    assert rooms >= {"hub", "cluster"}
    assert not rooms & {"replaying", "recorder", "archive", "client"}
    of_simulation = {name for name in modules if name.startswith("simulation.")}
    assert of_simulation == {"simulation.levers"}, "their rows are part of the operations"


async def _written(house: Loopback, request: bytes) -> bytes:
    """Return all that the USDⓈ-M port writes until it closes."""
    host, _, port = house.server.urls[USDM.name].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@looped
async def test_a_banned_address_meets_the_same_close_on_an_open_api_connection() -> None:
    limits = replace(LIMITS, request_weight_per_minute=10, refusals_before_ban=1)

    async def talk(house: Loopback) -> list[Any]:
        async with house.connect("/ws-fapi/v1") as client:
            for number in range(12):
                await client.send(json.dumps({"id": number, "method": "ticker.price"}))
            return [await ending(client), (await house.get("/fapi/v1/ping")).body]

    async with whole(1, limits) as many, loopback(limits) as one:
        assert await talk(many.edges[0]) == await talk(one)


@looped
async def test_a_client_of_an_edge_that_was_behind_gets_the_newest_quote() -> None:
    async with (
        whole(1) as many,
        many.edges[0].connect(f"/ws/{QUOTES}?delivery=latest") as client,
    ):
        await many.heard()
        endpoint = many.served[0].server.endpoints[0]
        (connection,) = endpoint.connections
        endpoint.hub.hold(connection)
        for number in range(1, 51):
            many.plant.publish(quote(number))
            await asyncio.sleep(0)
        await until(lambda: endpoint.hub.delivery_counters.conflated == 49)
        endpoint.hub.release(connection)
        assert json.loads(await client.recv())["u"] == 50


@looped
async def test_stamps_at_an_edge_tell_when_the_plant_published() -> None:
    path = f"/stream?streams={QUOTES}&stamps=1"
    async with whole(1) as many, many.edges[0].connect(path) as client:
        await many.heard()
        before_ns = time.time_ns()
        many.plant.publish(quote(1))
        stamps = json.loads(await client.recv())["stamps"]
        assert before_ns <= stamps["publish_ns"] <= stamps["write_ns"] <= time.time_ns()
        assert stamps["event_ns"] is None, "only the plant knows"
