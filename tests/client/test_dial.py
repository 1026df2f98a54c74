from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loopback import looped, until
from picows import WSParsedURL
from picows.url import parse_url

from tickerplant.client.dial import PIECE_BYTES, Dial


@asynccontextmanager
async def greeting(data: bytes) -> AsyncIterator[WSParsedURL]:
    """Serve a port that says `data` to the one who comes, and nothing else."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield parse_url(f"ws://127.0.0.1:{port}")
        await gone.wait()


@looped
async def test_a_read_brings_no_more_than_a_piece_however_large_the_buffer_is() -> None:
    sent = bytes(range(256)) * (3 * PIECE_BYTES // 256)
    async with greeting(sent) as url:
        sock = await Dial(5).connect(url)
        loop = asyncio.get_running_loop()
        buffer, received, sizes = bytearray(len(sent)), b"", []
        with sock:
            while len(received) < len(sent):
                size = await loop.sock_recv_into(sock, buffer)
                received += buffer[:size]
                sizes.append(size)
    assert received == sent
    assert max(sizes) <= PIECE_BYTES


@looped
async def test_an_attempt_that_has_its_socket_fails_when_it_is_given_up() -> None:
    async with greeting(b"") as url:
        dial = Dial(5)

        async def attempt() -> bytes:
            sock = await dial.connect(url)
            return await asyncio.get_running_loop().sock_recv(sock, 1)

        trying = asyncio.create_task(attempt())
        await until(lambda: dial._socket is not None)
        dial.give_up(trying)
        assert await trying == b"", "the end of the stream"
        await dial.clear()
        assert dial._socket is not None
        assert dial._socket.fileno() == -1


@looped
async def test_an_attempt_without_a_socket_is_cancelled_when_it_is_given_up() -> None:
    dial = Dial(5)
    trying = asyncio.create_task(dial.connect(parse_url("ws://127.0.0.1:9")))
    dial.give_up(trying)
    with pytest.raises(asyncio.CancelledError):
        await trying
    await dial.clear()


@looped
async def test_a_port_at_which_nobody_listens_raises() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await Dial(5).connect(parse_url(f"ws://127.0.0.1:{port}"))
