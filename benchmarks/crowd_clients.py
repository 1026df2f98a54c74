"""A crowd of connections in a process of its own, and a witness in another.

The crowd reads through one `epoll` into one buffer and counts bytes; some of its connections are
never read.  The witness notes when the kernel received what it reads, so its figures do not depend
on how busy the crowd keeps its core.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterable
from itertools import count, islice
from multiprocessing.connection import Connection, wait
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.frames import Chunk, moments
from benchmarks.handshake import (
    BUFFER_BYTES,
    PATIENCE_S,
    ask_for_frames,
    finish_handshake,
    shake_hands,
)
from benchmarks.machine import RECEIVER_CORE, Remote, pin, unpin

EVENTS = 4_096
"""Most sockets that one `poll` tells of."""
IN_FLIGHT = 64
"""Handshakes that are under way at once."""
HOSTS = 200
"""Addresses 127.0.1.1 and up, from which connections are made in turn: each has its own ports."""
SO_TIMESTAMPNS = 35
"""Linux: have the kernel tell when it received what is read."""
_EVENT_TIME = rb'"E":(\d+)'


class Join(Struct, frozen=True):
    """Ask for one connection to each path; answered with None when all have shaken hands."""

    port: int
    paths: tuple[str, ...]
    reads: bool


class Expect(Struct, frozen=True):
    """Ask to be told when so many bytes have been read in all, and how many more it were."""

    total_bytes: int


class Crowd(Remote):
    """The process with the crowd; a context.

    Args:
        is_pinned: Whether it stays on one core.
    """

    def __init__(self, *, is_pinned: bool = True) -> None:
        super().__init__(_serve, is_pinned)

    def join(self, port: int, paths: Iterable[str], *, reads: bool = True) -> None:
        """Return when there is one more connection to each path."""
        self.ask(Join(port, tuple(paths), reads))

    def expect(self, total_bytes: int) -> None:
        """Ask to be told when so many bytes have been read since the beginning."""
        self.connection.send(Expect(total_bytes))

    async def received(self) -> None:
        """Return when what was expected has been read."""
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        loop.add_reader(self.connection.fileno(), answered.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await answered.wait()
        finally:
            loop.remove_reader(self.connection.fileno())
        surplus_bytes = self.connection.recv()
        assert not surplus_bytes, f"{surplus_bytes} bytes more than were sent"


class _Members:
    """All connections of the crowd."""

    def __init__(self, remote: Connection) -> None:
        self._remote = remote
        self._poll = select.epoll()
        self._poll.register(remote.fileno(), select.EPOLLIN)
        self._readers: dict[int, socket.socket] = {}
        """Who is read, by descriptor."""
        self._others: list[socket.socket] = []
        self._hosts = count()
        self._buffer = bytearray(BUFFER_BYTES)
        self._read_bytes = 0
        self._expected_bytes: int | None = None

    def run(self) -> None:
        """Read whatever comes, and answer the other process, until it is gone."""
        while True:
            if self._is_asked(None):
                self._answer(self._remote.recv())
            if self._expected_bytes is not None and self._read_bytes >= self._expected_bytes:
                self._remote.send(self._read_bytes - self._expected_bytes)
                self._expected_bytes = None

    def _answer(self, question: Join | Expect) -> None:
        match question:
            case Join():
                self._join(question)
                self._remote.send(None)
            case Expect(total_bytes=total_bytes):
                self._expected_bytes = total_bytes

    def _join(self, asked: Join) -> None:
        paths = iter(asked.paths)
        while some := list(islice(paths, IN_FLIGHT)):
            socks = [
                ask_for_frames(asked.port, path, self._host(), is_small=not asked.reads)
                for path in some
            ]
            for sock in socks:
                finish_handshake(sock)
                if asked.reads:
                    sock.setblocking(False)
                    self._readers[sock.fileno()] = sock
                    self._poll.register(sock.fileno(), select.EPOLLIN)
                else:
                    self._others.append(sock)
            self._is_asked(0)

    def _host(self) -> str:
        return f"127.0.1.{1 + next(self._hosts) % HOSTS}"

    def _is_asked(self, timeout_s: float | None) -> bool:
        """Read what has come; return whether the other process asks something."""
        readers, buffer, remote = self._readers, self._buffer, self._remote.fileno()
        is_asked = False
        for descriptor, _ in self._poll.poll(timeout_s, EVENTS):
            if descriptor == remote:
                is_asked = True
                continue
            try:
                size = readers[descriptor].recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            self._read_bytes += size
            if not size:
                self._forget(descriptor)
        return is_asked

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._readers.pop(descriptor).close()


def _serve(remote: Connection, is_pinned: bool) -> None:
    _stay(is_pinned)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        _Members(remote).run()


def _stay(is_pinned: bool) -> None:
    if is_pinned:
        pin(RECEIVER_CORE)
    else:
        unpin(0)


# The witness


class Witness(Remote):
    """A process with connections whose messages are timed; a context.

    Args:
        port: The port of the venue.
        paths: What it listens to: one connection for each.
        pattern: Finds the time of the event in a message, as its first group.
        is_pinned: Whether it stays on one core.
    """

    def __init__(
        self,
        port: int,
        paths: Iterable[str],
        *,
        pattern: bytes = _EVENT_TIME,
        is_pinned: bool = True,
    ) -> None:
        super().__init__(_witness, port, tuple(paths), pattern, is_pinned)

    def __enter__(self) -> Self:
        super().__enter__()
        self.told()
        return self

    def heard(self) -> tuple[NDArray[np.int64], ...]:
        """Return what was heard since the last call.

        Returns:
            Of every message the number of its connection, the time in it, and the wall clock in
            nanoseconds when the kernel received its last byte.
        """
        return tuple(np.frombuffer(column, np.int64) for column in self.ask(None))

    def latencies_ms(self) -> list[NDArray[np.float64]]:
        """Return, for each connection, how late its messages were since the last call."""
        number, event_ms, received_ns = self.heard()
        late_ms = received_ns / 1e6 - event_ms
        return [late_ms[number == each] for each in range(int(number.max(initial=-1)) + 1)]


def _witness(
    remote: Connection, port: int, paths: tuple[str, ...], pattern: bytes, is_pinned: bool
) -> None:
    _stay(is_pinned)
    chunks: list[Chunk] = []
    rests: dict[int, bytes] = {}
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(shake_hands(port, path)) for path in paths]
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        numbers = {sock: number for number, sock in enumerate(socks)}
        remote.send(None)
        while True:
            for ready in wait([remote, *numbers]):
                if ready is remote:
                    remote.recv()
                    remote.send(moments(chunks, rests, pattern))
                    chunks.clear()
                    continue
                assert isinstance(ready, socket.socket)
                data, received_ns = _timed(ready)
                if not data:
                    del numbers[ready]
                    continue
                chunks.append((received_ns, numbers[ready], data))


def _timed(sock: socket.socket) -> tuple[bytes, int]:
    """Return what a socket has, with the wall clock when the kernel received it."""
    data, notes, _, _ = sock.recvmsg(BUFFER_BYTES, socket.CMSG_SPACE(16))
    for _, kind, value in notes:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", value)
            return data, seconds * 1_000_000_000 + nanoseconds
    return data, time.time_ns()
