from __future__ import annotations

import asyncio
import re

import pytest
from loopback import looped

from tickerplant.cluster.greeting import meet
from tickerplant.errors import BusError


async def listener(greeting: bytes) -> tuple[asyncio.Server, str]:
    """A server that says one thing and closes the connection."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    return server, f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@looped
async def test_what_does_not_greet_like_a_bus_is_told_apart() -> None:
    requested, endless = b"HTTP/1.1 400 Bad Request\r\n", b"INFO " + bytes(1 << 18)
    for greeting in (requested, b"INFO what?\r\n", b"\x15\x03\x01\n", b"", endless):
        server, url = await listener(greeting)
        async with server:
            with pytest.raises(
                BusError, match=f"what listens at {url} is not a NATS server$"
            ) as at:
                await meet(url, None)
        assert not at.value.may_pass


@looped
async def test_a_bus_without_tls_is_met_as_it_is() -> None:
    server, url = await listener(b'INFO {"server_id":"A","auth_required":true}\r\n')
    async with server:
        await meet(url, None)


@looped
async def test_a_bus_that_is_not_there_may_come() -> None:
    server, url = await listener(b"")
    server.close()
    await server.wait_closed()
    expected = re.escape(f"no connection to the bus at {url}: nothing listens there")
    with pytest.raises(BusError, match=f"^{expected}$") as at:
        await meet(url, None)
    assert at.value.may_pass
