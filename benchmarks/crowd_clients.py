"""A crowd of connections in a process of its own, and a witness in another.

The crowd reads through one `epoll` into one buffer and looks at nothing but the first answer.  Some
of its connections misbehave: they stop reading, read ten kilobytes a second, or connect again and
again.  The witness notes when the kernel received what it reads, so its figures do not depend on
how busy the crowd keeps its core.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Literal, Self, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.frames import Chunk, moments
from benchmarks.machine import RECEIVER_CORE, pin, processes, unpin
from benchmarks.receiver import BUFFER_BYTES, shake_hands, upgrade_request

Habit: TypeAlias = Literal["reads", "never reads", "reads slowly", "reconnects"]

SLOW_BYTES_PER_S = 10_000
SLOW_TICK_S = 0.1
IN_FLIGHT = 64
"""Handshakes that are under way at once."""
EVENTS = 4_096
"""Most sockets that one `poll` tells of."""
SEGMENT_BYTES = 1_448
"""Segments of who does not keep up: those of Ethernet, or the loopback's would hide megabytes."""
SMALL_BUFFER_BYTES = 8_192
HOSTS = 200
"""Addresses 127.0.1.1 and up, from which connections are made in turn."""
PATIENCE_S = 120.0
SO_TIMESTAMPNS = 35
"""Linux: have the kernel tell when it received what is read."""
_EVENT_TIME = rb'"E":(\d+)'


class Join(Struct, frozen=True):
    """Ask for one connection to each path; answered with None when all have shaken hands."""

    port: int
    paths: tuple[str, ...]
    habit: Habit = "reads"


class Leave(Struct, frozen=True):
    """Ask the connections with a habit to go; answered with None."""

    habit: Habit


class Tell(Struct, frozen=True):
    """Ask for `Tally`."""


class Tally(Struct, frozen=True):
    """What the crowd has seen since it began."""

    received_bytes: int
    """By those who read, handshakes not included."""
    ended: int
    """Connections that the server ended."""
    refused: int
    """Handshakes that were not answered 101, or not at all."""
    reconnects: int
    cpu_s: float
    """CPU time of the crowd itself."""


class Crowd:
    """The process with the crowd; a context.

    Args:
        is_pinned: Whether it stays on one core.
    """

    def __init__(self, *, is_pinned: bool = True) -> None:
        context = processes()
        self._connection, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, is_pinned), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()

    def join(self, port: int, paths: Iterable[str], habit: Habit = "reads") -> None:
        """Return when there is one more connection to each path."""
        assert self._ask(Join(port, tuple(paths), habit)) is None

    def leave(self, habit: Habit) -> None:
        """Return when no connection with that habit is left."""
        assert self._ask(Leave(habit)) is None

    def tally(self) -> Tally:
        """Return what the crowd has seen."""
        tally = self._ask(Tell())
        assert isinstance(tally, Tally), tally
        return tally

    def _ask(self, question: Join | Leave | Tell) -> object:
        self._connection.send(question)
        if not self._connection.poll(PATIENCE_S):
            raise TimeoutError(f"no answer in {PATIENCE_S:.0f} s to {type(question).__name__}")
        return self._connection.recv()


class _Member:
    """A connection that is not, or not only, read: it shakes hands, or has a habit."""

    def __init__(self, asked: Join, path: str, host: str) -> None:
        self.asked = asked
        self.path = path
        self.host = host
        self.is_open = False
        self.sock = socket.socket()

    @property
    def habit(self) -> Habit:
        return self.asked.habit

    def connect(self) -> None:
        """Ask for the upgrade on a new connection."""
        self.sock = sock = socket.socket()
        self.is_open = False
        if self.habit in {"never reads", "reads slowly"}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        sock.bind((self.host, 0))
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", self.asked.port))
        sock.sendall(upgrade_request(self.asked.port, self.path))
        sock.setblocking(False)


class _Members:
    """All connections of the crowd."""

    def __init__(self, remote: Connection) -> None:
        self._remote = remote
        self._poll = select.epoll()
        self._poll.register(remote.fileno(), select.EPOLLIN)
        self._readers: dict[int, Callable[[bytearray], int]] = {}
        """How to read the next bytes of each who reads, by descriptor."""
        self._others: dict[int, _Member] = {}
        """Who is read differently, by descriptor."""
        self._kept: dict[int, _Member] = {}
        """Everybody with a connection, by descriptor."""
        self._waiting: deque[_Member] = deque()
        self._in_flight: dict[_Member, None] = {}
        """Who shakes hands for the first time."""
        self._is_joining = False
        self._hosts = count()
        self._slow: dict[_Member, None] = {}
        self._slow_at_s = 0.0
        self._received_bytes = self._ended = self._refused = self._reconnects = 0

    def run(self) -> None:
        """Read whatever comes, and answer the other process, until it is gone."""
        buffer = bytearray(BUFFER_BYTES)
        readers, poll, remote = self._readers, self._poll.poll, self._remote.fileno()
        while True:
            for descriptor, _ in poll(self._timeout_s(), EVENTS):
                read = readers.get(descriptor)
                if read is None:
                    if descriptor == remote:
                        self._answer(self._remote.recv())
                    elif descriptor in self._others:
                        self._attend(self._others[descriptor], buffer)
                    continue
                try:
                    size = read(buffer)
                except BlockingIOError:
                    continue
                except OSError:
                    size = 0
                if size:
                    self._received_bytes += size
                else:
                    self._end(self._kept[descriptor])
            self._read_slowly(buffer)
            self._connect_next()

    def _timeout_s(self) -> float | None:
        if self._waiting and len(self._in_flight) < IN_FLIGHT:
            return 0
        return SLOW_TICK_S if self._slow else None

    def _answer(self, question: Join | Leave | Tell) -> None:
        match question:
            case Join():
                self._is_joining = True
                for path in question.paths:
                    host = f"127.0.1.{1 + next(self._hosts) % HOSTS}"
                    self._waiting.append(_Member(question, path, host))
            case Leave(habit=habit):
                for member in [each for each in self._kept.values() if each.habit == habit]:
                    self._forget(member)
                self._remote.send(None)
            case Tell():
                self._remote.send(
                    Tally(
                        self._received_bytes,
                        self._ended,
                        self._refused,
                        self._reconnects,
                        time.process_time(),
                    )
                )

    def _connect_next(self) -> None:
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            member = self._waiting.popleft()
            self._in_flight[member] = None
            self._connect(member)
        if self._is_joining and not self._waiting and not self._in_flight:
            self._is_joining = False
            self._remote.send(None)

    def _connect(self, member: _Member) -> None:
        try:
            member.connect()
        except OSError:
            self._refused += 1
            self._in_flight.pop(member, None)
            return
        descriptor = member.sock.fileno()
        self._kept[descriptor] = self._others[descriptor] = member
        self._poll.register(descriptor, select.EPOLLIN)

    def _attend(self, member: _Member, buffer: bytearray) -> None:
        """Read the answer to a handshake, or the first message of who then connects again."""
        try:
            size = member.sock.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if member.is_open:
            if size:
                self._reconnects += 1
                self._forget(member)
                self._connect(member)
            else:
                self._end(member)
            return
        self._in_flight.pop(member, None)
        if not buffer.startswith(b"HTTP/1.1 101 ") or not size:
            self._refused += 1
            self._forget(member)
            return
        member.is_open = True
        if member.habit == "reads":
            descriptor = member.sock.fileno()
            self._readers[descriptor] = member.sock.recv_into
            del self._others[descriptor]
        elif member.habit != "reconnects":
            self._poll.unregister(member.sock.fileno())
        if member.habit == "reads slowly":
            self._slow[member] = None

    def _read_slowly(self, buffer: bytearray) -> None:
        now_s = time.monotonic()
        if not self._slow or now_s < self._slow_at_s:
            return
        self._slow_at_s = now_s + SLOW_TICK_S
        piece = memoryview(buffer)[: round(SLOW_BYTES_PER_S * SLOW_TICK_S)]
        for member in list(self._slow):
            try:
                size = member.sock.recv_into(piece)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            if not size:
                self._end(member)

    def _end(self, member: _Member) -> None:
        """Forget a connection that the server has ended; who reconnects does so."""
        self._ended += 1
        self._forget(member)
        if member.habit == "reconnects":
            self._connect(member)

    def _forget(self, member: _Member) -> None:
        descriptor = member.sock.fileno()
        for known in (self._kept, self._others, self._readers):
            known.pop(descriptor, None)
        self._slow.pop(member, None)
        with contextlib.suppress(OSError, ValueError):
            self._poll.unregister(descriptor)
        member.sock.close()


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


class Witness:
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
        context = processes()
        self._connection, remote = context.Pipe()
        self._process = context.Process(
            target=_witness, args=(remote, port, tuple(paths), pattern, is_pinned), daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        assert self._connection.recv() is None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()

    def heard(self) -> tuple[NDArray[np.int64], ...]:
        """Return what was heard since the last call.

        Returns:
            Of every message the number of its connection, the time in it, and the wall clock in
            nanoseconds when the kernel received its last byte.
        """
        self._connection.send(None)
        columns: tuple[bytes, ...] = self._connection.recv()
        return tuple(np.frombuffer(column, np.int64) for column in columns)

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
