from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from contextlib import suppress

import pytest
from connecting import connect
from loopback import START_MS, ask, ending, has_ipv6, loopback, looped, looped_on_sockets, until
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosedOK

from tickerplant.errors import ConfigError
from tickerplant.frames import text_frame
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.ports import Hosts, address_text
from tickerplant.server.server import Server
from tickerplant.server.websocket import WebSocketConnection


def a_server(host: Hosts = "127.0.0.1", usdm: int = 0, coinm: int = 0) -> Server:
    plant = Plant([], start_ms=START_MS)
    return Server(plant, host=host, ports={"usdm": usdm, "coinm": coinm})


@looped_on_sockets
async def test_a_port_in_use_is_named_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = a_server(coinm=port)
        with pytest.raises(
            ConfigError, match=f"invalid value {port} for --coinm-port: .* listens on 127.0.0.1"
        ):
            await server.start()
        assert server.urls == {}


@looped_on_sockets
async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"invalid value '192\.0\.2\.1' for --host"):
        await a_server(host=["127.0.0.1", "192.0.2.1"]).start()


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
@pytest.mark.parametrize(
    ("hosts", "reached", "said"),
    [
        ("::", ["127.0.0.1", "::1"], "[::]"),
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"], "127.0.0.1"),
        (["::1", "127.0.0.1", "::1", "0.0.0.0"], ["127.0.0.1", "::1"], "0.0.0.0"),  # noqa: S104
        ("::1", ["::1"], "[::1]"),
    ],
)
@looped_on_sockets
async def test_a_server_listens_on_each_address_once(
    hosts: Hosts, reached: list[str], said: str
) -> None:
    server = a_server(host=hosts)
    await server.start()
    try:
        host, _, port = server.urls["usdm"].rpartition(":")
        assert host == said, "the first address that others reach"
        answered = []
        for address in ("127.0.0.1", "::1"):
            with suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection(address, int(port))
                own = address_text(address, int(port)).encode()
                writer.write(b"GET /plant/v1/nodes HTTP/1.1\r\nHost: %b\r\n\r\n" % own)
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n", "it is from here"
                writer.close()
                answered.append(address)
        assert answered == reached
    finally:
        await server.stop()


@looped
async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="invalid value 'no address' for --host"):
        await a_server(host="no address").start()


@looped_on_sockets
async def test_the_same_port_can_be_opened_again_at_once() -> None:
    async with loopback() as house, house.connect("/ws"):
        port = int(house.server.urls["usdm"].rpartition(":")[2])
        await house.server.stop()
        again = a_server(usdm=port)
        await again.start()
        assert again.urls["usdm"] == f"127.0.0.1:{port}"
        await again.stop()


@looped_on_sockets
async def test_a_short_life_ends_on_time_by_the_clock_of_the_wall() -> None:
    plant = Plant([], start_ms=START_MS)
    limits, tick_ms = replace(LIMITS, lifetime_ms=50), 24 * 3_600_000
    server = Server(plant, ports={"usdm": 0, "coinm": 0}, limits=limits, tick_ms=tick_ms)
    await server.start()
    try:
        async with connect(f"ws://{server.urls['usdm']}/ws") as client:
            # Without a watch that fits the limit it takes the day of the usual one.
            with pytest.raises(ConnectionClosedOK, match="Connection expired"):
                await client.recv()
    finally:
        await server.stop()


@looped
async def test_totals_count_deliveries_to_every_connection() -> None:
    async with (
        loopback() as house,
        house.connect("/ws/btcusdt@trade") as first,
        house.connect("/ws/btcusdt@trade") as second,
    ):
        house.trade()
        size = len(text_frame(await first.recv(decode=False)))
        await second.recv()
        totals = house.server.totals
        assert (totals.messages, totals.sent_bytes, totals.connections) == (2, 2 * size, 2)


@looped_on_sockets
async def test_small_messages_do_not_wait_for_each_other() -> None:
    async with loopback() as house, house.connect("/ws/btcusdt@trade"):
        (connection,) = house.server.connections
        assert isinstance(connection, WebSocketConnection)
        assert type(connection.transport).__module__.startswith("aiofastnet")
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "TCP_NODELAY is on"


@looped
async def test_a_client_that_vanishes_costs_the_others_nothing() -> None:
    async with (
        loopback() as house,
        house.connect("/ws/btcusdt@trade") as vanishing,
        house.connect("/ws/btcusdt@trade") as staying,
    ):
        sock = vanishing.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        vanishing.transport.abort()
        for _ in range(20):  # the server learns of it while it writes
            house.trade()
            await asyncio.sleep(0)
        ids = [json.loads(await staying.recv())["t"] for _ in range(20)]
    assert ids == list(range(1, 21)), "every trade, in order"


@looped
async def test_both_venues_on_one_port_are_called_that() -> None:
    port = 9_001
    server = a_server(usdm=port, coinm=port)
    with pytest.raises(
        ConfigError, match=rf"invalid value {port} for --coinm-port: .*: USDⓈ-M is on {port} too"
    ):
        await server.start()
    assert server.urls == {}


@looped_on_sockets
async def test_tls_to_a_plain_port_is_called_that_and_counted() -> None:
    async with loopback() as house:
        address, port = house.server.urls["usdm"].split(":")
        for _ in range(2):
            with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number|record layer"):
                await asyncio.open_connection(address, port, ssl=ssl.create_default_context())
        complaints = house.server.complaints.counts
        assert complaints["TLS to a plain port"] == 2
        assert "malformed http" not in complaints
        name = (
            'tickerplant_connections_turned_away_total{reason="TLS to a plain port",venue="usdm"}'
        )
        assert (await house.metrics())[name] == 2


@looped
async def test_addresses_are_known_until_the_last_connection_has_ended() -> None:
    async with loopback(replace(LIMITS, close_grace_ms=200)) as house:
        urls = dict(house.server.urls)
        reader, writer = await asyncio.open_connection(*urls["usdm"].split(":"))
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.create_task(house.server.stop())
        await reader.readexactly(2)  # the head of a close frame, which is never answered
        assert not stopping.done()
        assert house.server.urls == urls
        await stopping
        assert house.server.urls == {}
        writer.close()


@looped
async def test_streams_that_are_over_are_closed_normally_after_their_last_message() -> None:
    async with loopback() as house, house.connect("/ws/btcusdt@trade") as client:
        await until(lambda: house.server.congestion.subscriber_count)
        house.trade()
        house.server.end_streams(ENDED)
        assert json.loads(await client.recv())["e"] == "trade"
        assert await ending(client) == (1000, "The market is over")
        async with house.connect("/ws/btcusdt@trade") as late:
            assert await ending(late) == (1000, "The market is over")
        assert (await house.get("/fapi/v1/time")).status == 200
        async with house.connect("/ws-fapi/v1") as api:
            assert (await ask(api, {"id": 1, "method": "time"}))["status"] == 200
