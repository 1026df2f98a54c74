from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loopback import looped, looped_on_sockets, until
from misbehaving import served
from picows import WSFrame, WSListener, WSParsedURL, WSTransport, ws_connect
from picows.url import parse_url
from programs import PATIENCE_S
from websockets.asyncio.server import ServerConnection

from tickerplant.client import connection as dial
from tickerplant.client.connection import PIECE_BYTES, Dial, end_of


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


@looped_on_sockets
async def test_a_read_brings_no_more_than_a_piece_however_large_the_buffer_is() -> None:
    sent = bytes(range(256)) * (3 * PIECE_BYTES // 256)
    async with greeting(sent) as url:
        sock = await Dial(PATIENCE_S).connect(url)
        loop = asyncio.get_running_loop()
        buffer, received, sizes = bytearray(len(sent)), b"", []
        with sock:
            while len(received) < len(sent):
                size = await loop.sock_recv_into(sock, buffer)
                received += buffer[:size]
                sizes.append(size)
    assert received == sent
    assert max(sizes) <= PIECE_BYTES


@looped_on_sockets
async def test_an_attempt_that_has_its_socket_fails_when_it_is_given_up() -> None:
    async with greeting(b"") as url:
        dial = Dial(PATIENCE_S)

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
    dial = Dial(PATIENCE_S)
    trying = asyncio.create_task(dial.connect(parse_url("ws://127.0.0.1:9")))
    dial.give_up(trying)
    with pytest.raises(asyncio.CancelledError):
        await trying
    await dial.clear()


@looped
async def test_a_port_at_which_nobody_listens_raises() -> None:
    with pytest.raises(ConnectionRefusedError):
        await Dial(PATIENCE_S).connect(parse_url("ws://127.0.0.1:9"))


Place = tuple[int, int, int, str, Any]


def place(address: Any, family: int = socket.AF_INET) -> Place:
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address


def names(monkeypatch: pytest.MonkeyPatch, *places: Place) -> None:
    """Let every name have the addresses `places`."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(places))


def swallow(monkeypatch: pytest.MonkeyPatch, *ports: int) -> list[int]:
    """Let nothing be heard of connections to `ports`; return the ports that are tried."""
    loop, tried = asyncio.get_running_loop(), list[int]()
    connect = loop.sock_connect

    async def tried_connect(sock: socket.socket, address: Any) -> None:
        tried.append(address[1])
        await (asyncio.Event().wait() if address[1] in ports else connect(sock, address))

    monkeypatch.setattr(loop, "sock_connect", tried_connect)
    return tried


@looped_on_sockets
async def test_an_address_of_a_kind_that_the_machine_has_not_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with greeting(b"") as url:
        names(monkeypatch, place(("::1", 9), 12345), place(("127.0.0.1", url.port)))
        with await Dial(PATIENCE_S).connect(url) as sock:
            assert sock.getpeername() == ("127.0.0.1", url.port)


@looped_on_sockets
async def test_an_address_that_does_not_answer_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dial, "NEXT_S", 0.005)
    async with greeting(b"") as url:
        names(monkeypatch, *[place(("127.0.0.1", 9))] * 16, place(("127.0.0.1", url.port)))
        tried = swallow(monkeypatch, 9)
        with await Dial(PATIENCE_S).connect(url) as sock:
            assert sock.getpeername() == ("127.0.0.1", url.port)
    assert tried == [*[9] * 16, url.port]


@looped_on_sockets
async def test_kinds_of_addresses_are_tried_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "NEXT_S", 0.005)
    async with greeting(b"") as url:
        dead = [place(("::1", 9, 0, 0), socket.AF_INET6)] * 3
        names(monkeypatch, *dead, place(("127.0.0.1", url.port)))
        tried = swallow(monkeypatch, 9)
        with await Dial(PATIENCE_S).connect(url):
            assert tried[:2] == [9, url.port]


@looped
async def test_all_addresses_together_have_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, *[place(("127.0.0.1", 9))] * 16)
    swallow(monkeypatch, 9)
    with pytest.raises(TimeoutError):
        await Dial(0.05).connect(parse_url("ws://many.invalid"))


@pytest.mark.sockets
def test_nobody_waits_for_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(*_: object, flags: int = 0, **__: object) -> list[Place]:
        if not flags & socket.AI_NUMERICHOST:
            asked.set()
            over.wait()
        raise socket.gaierror

    async def give_up() -> None:
        dial = Dial(60)
        trying = asyncio.create_task(dial.connect(parse_url("ws://silent.invalid")))
        await until(asked.is_set)
        dial.give_up(trying)
        with pytest.raises(asyncio.CancelledError):
            await trying

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        asyncio.run(give_up())
    finally:
        over.set()


@looped
async def test_a_name_that_cannot_be_one_is_reported() -> None:
    with pytest.raises(OSError, match="not a valid host name"):
        await Dial(PATIENCE_S).connect(parse_url(f"ws://{'a' * 70}.invalid"))


@looped_on_sockets
async def test_whatever_a_connection_ended_with_is_said_and_not_raised() -> None:
    class Odd(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
            raise LookupError("odd")

    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()

    async with served(greet) as hosts:
        transport, _ = await ws_connect(Odd, hosts.streams)
        end = "the connection was lost: LookupError('odd')", None
        assert [await end_of(transport), await end_of(transport)] == [end, end]


@looped_on_sockets
async def test_who_is_cancelled_while_it_closes_a_socket_closes_it() -> None:
    async with greeting(b"") as url:
        dial = Dial(PATIENCE_S)
        sock = await dial.connect(url)
        clearing = asyncio.create_task(dial.clear())
        await asyncio.sleep(0)
        clearing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await clearing
        assert sock.fileno() == -1
