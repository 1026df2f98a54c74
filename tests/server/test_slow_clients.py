"""Clients that stop reading and resume, by what they asked for."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loopback import (
    TICK_MS,
    Loopback,
    bare,
    loopback,
    looped,
    looped_on_sockets,
    receive,
    until,
)
from msgspec.structs import replace
from stage import payloads

from tickerplant.events import BookTicker
from tickerplant.protocol.close_reasons import ENDED, STALLED
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.endpoint import Connection

DEPTH = "btcusdt@depth@0ms"
QUOTES = "btcusdt@bookTicker"
TRADES = "btcusdt@trade"
RECEIVE_BYTES = 4096


@asynccontextmanager
async def connected(house: Loopback, path: str) -> AsyncIterator[tuple[socket.socket, Connection]]:
    """A client with small buffers, and its connection at the server."""
    async with bare(house, path, receive_bytes=RECEIVE_BYTES) as sock:
        (connection,) = house.server.endpoints[0].connections
        yield sock, connection


async def read_until_quiet(sock: socket.socket, is_over: str) -> list[Any]:
    """The messages up to one that contains `is_over`."""
    data = b""
    while not (is_over.encode() in data and data.endswith(b"}")):
        data += await receive(sock)
    return [json.loads(text) for text in payloads(data)]


def quote(house: Loopback, update_id: int) -> None:
    now_ms = house.plant.now_ms
    house.plant.publish(BookTicker("BTCUSDT", update_id, 6_527_990, 10, 6_528_000, 10, now_ms))


def fall_behind(house: Loopback, connection: Connection) -> int:
    """Publish more at once than the network takes for the client; return the number of quotes.

    The event loop has no turn before the caller lets it, so until then nothing that waits is sent.
    """
    hub, count = house.server.endpoints[0].hub, 2_000
    for number in range(1, count + 1):
        quote(house, number)
        house.trade()
    hub.flush()
    assert hub.backlogs[connection].is_held, "the network took all"
    return count


@looped
async def test_a_latest_client_that_stops_reading_resumes_with_the_newest_quote() -> None:
    async with (
        loopback() as house,
        connected(house, f"/stream?streams={QUOTES}&delivery=latest") as (sock, connection),
    ):
        behind_at = fall_behind(house, connection)
        hub, unsent_bytes = house.server.endpoints[0].hub, connection.unsent_bytes
        last = behind_at + 5_000
        for number in range(behind_at + 1, last + 1):
            quote(house, number)
            if not number % 100:
                hub.flush()
        assert connection.unsent_bytes == unsent_bytes, "what waits is conflated, not buffered"
        messages = await read_until_quiet(sock, f'"u":{last},')
        ids = [each["data"]["u"] for each in messages]
        assert ids == [*range(1, behind_at + 1), last], "of the quotes that waited, one was sent"
        await until(lambda: not hub.backlogs[connection].is_held)
        quote(house, last + 1)
        assert await read_until_quiet(sock, f'"u":{last + 1},')
        numbers = await house.metrics()
        assert numbers['tickerplant_messages_conflated_total{venue="usdm"}'] == last - len(ids)
        assert numbers['tickerplant_messages_dropped_total{venue="usdm"}'] == 0
        assert numbers['tickerplant_connections_by_delivery{delivery="latest",venue="usdm"}'] == 1


@looped
async def test_the_server_can_deliver_the_latest_to_who_does_not_ask() -> None:
    async with loopback(policy="latest") as house:
        async with house.connect(f"/ws/{QUOTES}"):
            (connection,) = house.server.endpoints[0].connections
            assert connection.policy == "latest"
        async with house.connect(f"/ws/{QUOTES}?delivery=every"):
            assert {each.policy for each in house.server.connections} >= {"every"}


@looped_on_sockets
async def test_a_latest_client_that_reads_nothing_is_closed_by_time_and_holds_up_no_source() -> (
    None
):
    async with (
        loopback(replace(LIMITS, close_grace_ms=1)) as house,
        connected(house, f"/ws/{QUOTES}/{TRADES}?delivery=latest") as (_, connection),
    ):
        number = fall_behind(house, connection)
        assert not house.server.congestion.congested, "a source that can wait does not"
        counters = house.server.endpoints[0].counters
        while not counters.closed:
            house.clock.now_ms += LIMITS.max_unread_ms // 3
            number += 1
            quote(house, number)
            await asyncio.sleep(3 * TICK_MS / 1_000)
        assert counters.closed == {STALLED.name: 1}
        assert house.server.endpoints[0].hub.backlogs == {}


@looped
async def test_what_waited_is_sent_before_the_end_of_the_streams() -> None:
    async with (
        loopback() as house,
        connected(house, f"/ws/{QUOTES}?delivery=latest") as (sock, connection),
    ):
        number = fall_behind(house, connection)
        for update_id in (number + 1, number + 2):
            quote(house, update_id)
        house.server.end_streams(ENDED)
        data = b""
        while ENDED.reason.encode() not in data:
            data += await receive(sock)
        assert f'"u":{number + 2},'.encode() in data
        assert f'"u":{number + 1},'.encode() not in data, "it was replaced"


@looped
async def test_messages_of_a_latest_client_wait_through_an_injected_stall() -> None:
    path = f"/ws/{QUOTES}?delivery=latest"
    async with loopback(faults="stall=1m@1s") as house, house.connect(path) as client:
        hub = house.server.endpoints[0].hub
        (connection,) = house.server.endpoints[0].connections
        house.clock.now_ms += 60_000
        await until(lambda: house.server.faults.counts["stall"])
        for number in range(1, 101):
            quote(house, number)
            await asyncio.sleep(0)
        await until(lambda: hub.backlogs[connection].conflated == 99)
        house.clock.now_ms += 60_000
        assert json.loads(await client.recv())["u"] == 100
        quote(house, 101)
        assert json.loads(await client.recv())["u"] == 101


@looped
async def test_the_page_of_connections_tells_who_is_behind() -> None:
    async with (
        loopback() as house,
        house.connect("/ws/btcusdt@markPrice"),
        house.connect("/ws-fapi/v1"),
        bare(
            house,
            f"/stream?streams={QUOTES}/{TRADES}&delivery=latest&stamps=1",
            receive_bytes=RECEIVE_BYTES,
        ),
    ):
        slow = list(house.server.endpoints[0].connections)[-1]
        quote(house, fall_behind(house, slow) + 1)
        hub = house.server.endpoints[0].hub
        await until(lambda: len(hub.backlogs[slow]))
        page = (await house.get("/plant/v1/connections")).json
        assert page["total"] == 3
        assert page["deliveries"] == {"every": 1, "latest": 1}
        first, *others = page["connections"]
        assert first["id"] == slow.identity
        assert (first["kind"], first["delivery"], first["stamps"]) == (
            "combined",
            "latest",
            True,
        )
        assert first["streams"] == [QUOTES, TRADES]
        assert first["held"]
        assert first["waiting_messages"] > 0
        assert first["waiting_bytes"] > 0
        assert {each["kind"] for each in others} == {"raw", "api"}
        assert not any(each["held"] for each in others)
        limited = (await house.get("/plant/v1/connections?limit=1")).json
        assert (limited["total"], len(limited["connections"])) == (3, 1)
