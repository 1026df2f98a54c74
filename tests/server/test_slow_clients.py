"""Clients that stop reading and resume, by what they asked for."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from loopback import (
    TICK_MS,
    UPGRADE,
    Loopback,
    loopback,
    looped,
    looped_on_sockets,
    receive,
    receive_all,
    shake_hands,
    until,
)
from msgspec.structs import replace
from stage import payloads

from tickerplant.events import BookSnapshot, BookTicker, DepthUpdate
from tickerplant.protocol.close_reasons import ENDED, STALLED
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.endpoint import Connection
from tickerplant.venue import USDM

DEPTH = "btcusdt@depth@0ms"
QUOTES = "btcusdt@bookTicker"
TRADES = "btcusdt@trade"
RECEIVE_BYTES = 4096


@asynccontextmanager
async def connected(house: Loopback, path: str) -> AsyncIterator[tuple[socket.socket, Connection]]:
    """A client with small buffers, and its connection at the server."""
    with house.socket(receive_bytes=RECEIVE_BYTES) as sock:
        await shake_hands(sock, path)
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
async def test_a_book_kept_from_the_depth_of_a_latest_client_is_the_true_one_after_a_stall() -> (
    None
):
    async with (
        loopback() as house,
        connected(house, f"/ws/{DEPTH}?delivery=latest") as (sock, connection),
    ):
        hub, plant = house.server.endpoints[0].hub, house.plant
        plant.publish(BookSnapshot("BTCUSDT", 1, [], [], plant.now_ms))
        number, stop = 1, 1 << 60
        while number < stop:
            bids = [(6_000_000 + 10 * (number * step % 97), number % 7) for step in range(1, 40)]
            levels = sorted(dict(bids).items())
            plant.publish(
                DepthUpdate("BTCUSDT", number + 1, number + 1, number, levels, [], plant.now_ms)
            )
            number += 1
            hub.flush()
            if stop == 1 << 60 and hub.backlogs[connection].is_held:
                stop = number + 300
        messages = await read_until_quiet(sock, f'"u":{number},')
        previous_id, book = 1, dict[str, str]()
        for message in messages:
            assert message["pu"] == previous_id, "a gap"
            previous_id = message["u"]
            book |= dict(message["b"])
        instrument = plant.markets["BTCUSDT"].instrument
        bids, _ = plant.markets["BTCUSDT"].book.top(1_000)
        true = {instrument.price.text[p]: instrument.quantity.text[q] for p, q in bids}
        assert {price: size for price, size in book.items() if float(size)} == true
        conflated = hub.backlogs[connection].conflated
        assert conflated == 299, "the 300 updates after the hold were merged into one"
        assert len(messages) == number - 1 - conflated, "every update was sent or merged"


@looped
async def test_a_latest_client_resumes_with_the_newest_trades_that_fit_in_order() -> None:
    limits = replace(LIMITS, max_backlog_bytes=100_000)
    async with (
        loopback(limits) as house,
        connected(house, f"/ws/{TRADES}?delivery=latest") as (sock, connection),
    ):
        hub, count = house.server.endpoints[0].hub, 0
        while not hub.backlogs[connection].dropped > 1_000:
            house.trade(count=100)
            count += 100
            hub.flush()
        messages = await read_until_quiet(sock, f'"t":{count},')
        ids = [each["t"] for each in messages]
        assert ids == sorted(set(ids))
        dropped = hub.backlogs[connection].dropped
        assert len(ids) == count - dropped, "every message was sent or counted"
        gaps = [later - earlier for earlier, later in pairwise(ids) if later - earlier > 1]
        assert gaps == [dropped + 1], "the oldest that waited are missing, and nothing else"


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
    ):
        with house.socket(receive_bytes=RECEIVE_BYTES) as sock:
            await shake_hands(sock, f"/stream?streams={QUOTES}/{TRADES}&delivery=latest&stamps=1")
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


@pytest.mark.parametrize("limit", ["-1", "1001", "many", "", "%D9%A3"])
@looped
async def test_a_limit_of_the_page_that_makes_no_sense_is_named(limit: str) -> None:
    async with loopback() as house:
        answer = await house.get(f"/plant/v1/connections?limit={limit}")
        assert answer.status == 400
        assert answer.json["field"] == "limit"
        assert "a whole number from 0 to 1,000" in answer.json["error"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/ws/btcusdt@trade?delivery=fastest", "delivery is 'fastest', expected every or latest"),
        ("/stream?streams=btcusdt@trade&delivery=", "delivery is '', expected every"),
        ("/stream?stamps=yes", "stamps is 'yes', expected 0 or 1."),
        ("/ws/btcusdt@trade?stamps=1", "stamps=1 adds to the envelope"),
    ],
)
@looped
async def test_what_cannot_be_delivered_is_refused_with_the_choices(path: str, words: str) -> None:
    async with loopback() as house:
        loop = asyncio.get_running_loop()
        with house.socket(USDM) as sock:
            await loop.sock_sendall(sock, UPGRADE.format(path=path).encode())
            answer = await receive_all(sock)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert words in answer.decode()
