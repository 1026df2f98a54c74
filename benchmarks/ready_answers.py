"""The baselines of questions: servers that have the answer ready, each in a process of its own.

`serve_http` is uvicorn with a plain ASGI application, `serve_socket` the server of the `websockets`
library, and `serve_bare` a protocol that knows one handshake and nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from msgspec import Struct
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from benchmarks.machine import SERVER_CORE, pin
from tickerplant.server.listener import BACKLOG

_KEY = re.compile(rb"(?i)sec-websocket-key: *([^\r]+)")


class Ready(Struct, frozen=True):
    """A response as it is sent."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


def serve_http(told: Connection, answers: Mapping[str, Ready]) -> None:
    """Answer requests by their target until the process ends; tell the port first."""

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        answer = answers[(scope["raw_path"] + b"?" + scope["query_string"]).decode()]
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    config = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # at its lowest level uvicorn would log complete requests
        access_log=False,
        server_header=False,
        date_header=False,
    )

    async def run() -> None:
        sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as when uvicorn opens it
        told.send(sock.getsockname()[1])
        await uvicorn.Server(config).serve([sock])

    _run(run)


def serve_socket(told: Connection, answer: bytes) -> None:
    """Answer every message until the process ends; tell the port first."""

    async def converse(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for _ in connection:
                await connection.send(answer, text=True)

    async def run() -> None:
        server = await serve(converse, "127.0.0.1", 0, compression=None, backlog=BACKLOG)
        told.send(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()

    _run(run)


class _Bare(asyncio.Protocol):
    """Accepts the upgrade that is the first thing it reads, and hangs up at the second."""

    def __init__(self) -> None:
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            self._transport.close()
            return
        self._is_open = True
        found = _KEY.search(data)
        assert found is not None, "not an upgrade"
        accept = accept_key(found[1].decode())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )


def serve_bare(told: Connection) -> None:
    """Accept handshakes until the process ends; tell the port first."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Bare, "127.0.0.1", 0, backlog=BACKLOG)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    _run(run)


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    pin(SERVER_CORE)

    async def run() -> None:
        gc.collect()
        gc.freeze()
        await work()

    asyncio.run(run())
