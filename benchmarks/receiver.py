"""Subscribers in a process of their own, that read as fast as sockets give.

The process holds groups of connections, one group for each contender, and reads them all through
one selector into one buffer.  It looks at nothing: bytes are counted, and since the frames of a
group have one size, so are the frames.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from array import array
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self, TypeAlias

from msgspec import Struct

from benchmarks.machine import RECEIVER_CORE, allow_files, pin, processes

BUFFER_BYTES = 1 << 18
PATIENCE_S = 30.0
"""Longest time the receiver may take for what it was asked."""

Arrivals: TypeAlias = "tuple[array[int], array[int], array[int]]"
"""Of every read: its time in monotonic nanoseconds, its socket, and the bytes read from it so far."""


class Connect(Struct, frozen=True):
    """Ask for connections; answered with None when all of them have shaken hands."""

    group: str
    port: int
    path: str
    count: int


class Expect(Struct, frozen=True):
    """Ask to be told (`Received`) when a group has received so many bytes in all."""

    group: str
    total_bytes: int


class Record(Struct, frozen=True):
    """Ask to note every read of a group from now on (`Arrivals`), counting from nothing."""

    group: str


class Received(Struct, frozen=True):
    """What was expected has come."""

    surplus_bytes: int
    arrivals: Arrivals | None


class Receiver:
    """The other process, as the one that is measured sees it; a context."""

    def __init__(self, subscribers: int) -> None:
        context = processes()
        self._connection, remote = context.Pipe()
        self._process = context.Process(target=_receive, args=(remote, subscribers))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.send(None)
        self._process.join(PATIENCE_S)

    async def connect(self, group: str, port: int, path: str, count: int) -> None:
        """Return when `count` connections to `path` are open."""
        await self._ask(Connect(group, port, path, count))

    async def record(self, group: str) -> None:
        """Begin to note every read of `group`."""
        await self._ask(Record(group))

    def expect(self, group: str, total_bytes: int) -> None:
        """Ask to be told when `group` has received `total_bytes` since it was connected."""
        self._connection.send(Expect(group, total_bytes))

    async def received(self) -> Arrivals | None:
        """Return when what was expected has been received: every read of it, if they are noted."""
        answer = await self._answer()
        assert isinstance(answer, Received), answer
        assert not answer.surplus_bytes, f"{answer.surplus_bytes} bytes more than were sent"
        return answer.arrivals

    async def _ask(self, question: Connect | Record) -> None:
        self._connection.send(question)
        await self._answer()

    async def _answer(self) -> object:
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        descriptor = self._connection.fileno()
        loop.add_reader(descriptor, answered.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await answered.wait()
        finally:
            loop.remove_reader(descriptor)
        return self._connection.recv()


class _Group:
    """Connections to one contender."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.total_bytes = 0
        self.expected_bytes = -1
        self.arrivals: Arrivals | None = None
        self.read_bytes: list[int] = []


def _receive(remote: Connection, subscribers: int) -> None:
    """Serve the questions of `remote` until it asks None."""
    pin(RECEIVER_CORE)
    allow_files(subscribers)
    groups: dict[str, _Group] = {}
    buffer = bytearray(BUFFER_BYTES)
    with selectors.DefaultSelector() as selector:
        selector.register(remote, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    question = remote.recv()
                    if question is None:
                        return
                    _answer(question, remote, groups, selector)
                    continue
                group, index, sock = key.data
                size = sock.recv_into(buffer)
                if not size:
                    selector.unregister(sock)
                    continue
                group.total_bytes += size
                if group.arrivals is not None:
                    _note(group, index, size)
                if group.total_bytes >= group.expected_bytes >= 0:
                    _tell(group, remote)


def _answer(
    question: Connect | Expect | Record,
    remote: Connection,
    groups: dict[str, _Group],
    selector: selectors.BaseSelector,
) -> None:
    group = groups.setdefault(question.group, _Group())
    match question:
        case Connect(port=port, path=path, count=count):
            for index in range(count):
                sock = shake_hands(port, path)
                sock.setblocking(False)
                group.sockets.append(sock)
                selector.register(sock, selectors.EVENT_READ, (group, index, sock))
            remote.send(None)
        case Record():
            group.arrivals = (array("q"), array("q"), array("q"))
            group.read_bytes = [0] * len(group.sockets)
            remote.send(None)
        case Expect(total_bytes=total_bytes):
            group.expected_bytes = total_bytes
            if group.total_bytes >= total_bytes:
                _tell(group, remote)


def _note(group: _Group, index: int, size: int) -> None:
    assert group.arrivals is not None
    group.read_bytes[index] += size
    for column, value in zip(
        group.arrivals, (time.monotonic_ns(), index, group.read_bytes[index]), strict=True
    ):
        column.append(value)


def _tell(group: _Group, remote: Connection) -> None:
    surplus_bytes, group.expected_bytes = group.total_bytes - group.expected_bytes, -1
    remote.send(Received(surplus_bytes, group.arrivals))


def upgrade_request(port: int, path: str) -> bytes:
    """Return what a client sends to open a WebSocket connection."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def shake_hands(port: int, path: str) -> socket.socket:
    """Return a WebSocket connection on which only frames will follow.

    Raises:
        ConnectionError: the server answers anything but 101.
    """
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(upgrade_request(port, path))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows the answer belongs to whoever reads the frames.
        byte = sock.recv(1)
        if not byte:
            break
        answer += byte
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"{path} answered {answer[:80]!r}")
    return sock
