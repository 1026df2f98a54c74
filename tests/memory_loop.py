"""An event loop whose TCP is in memory and whose clock jumps.

Servers and clients that use asyncio's own `create_server`, `create_connection` and `sock_connect` run
in it as they are: aiohttp, picows (with `use_aiofastnet=False`), `websockets`, asyncio's streams, the
plant's server through one argument (`listen`).  No address is bound or connected to.

Waiting takes no time: when nothing is ready, the clock jumps to the next timer.  So a test that waits for
what cannot happen fails at once, by its own time limit, and no test can be slower than its own work.

Rule: nothing may happen in a thread, because the clock jumps while the thread works.  What is given to an
executor therefore runs at once, in the loop; names are not looked up.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import selectors
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeVar

Address = tuple[str, int]
T = TypeVar("T")

BEGIN_S = 1_000.0
"""The time at which a loop begins."""
TURN_S = 1e-6
"""What one turn of the loop takes: who turns it until a time has come must see time pass."""
LOOK_S = 1e-7
"""What one look at the clock takes."""
MOST_TURNS = 500_000
"""Turns without waiting after which a test hangs."""
WIRE_BYTES = 1 << 16
"""What the network takes of a peer that does not read; the rest waits in the transport."""
LIMIT_S = 600.0
"""The time of the loop after which a test hangs."""
PIECE_BYTES = 1 << 18
"""Most that is received at once, as asyncio reads it."""
HIGH_BYTES = 1 << 16
NO_DESCRIPTOR = 0x3FFF_FFFF
"""A number that is never open: whatever is tried with it fails with EBADF, and is done the other way."""


class StandstillError(Exception):
    """Nothing will ever happen: there is no timer, nothing ready, and no socket to wait for."""


class JumpingSelector(selectors.DefaultSelector):
    """Lets the time that nobody has anything to do pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = BEGIN_S
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        self.now_s += TURN_S
        self._turns = 0 if timeout else self._turns + 1
        if not events and timeout is None:
            events = super().select(1)  # somebody used a thread after all
            if not events:
                raise StandstillError("nothing will ever happen")
        elif not events and timeout:
            self.now_s += timeout
        if self._turns > MOST_TURNS:
            raise StandstillError(f"{MOST_TURNS} turns of the loop without waiting")
        return events


class Socket:
    """What code asks a transport for as its socket: names and options, no descriptor."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP

    def __init__(self, name: Address, peer: Address | None = None) -> None:
        self._name, self._peer = name, peer
        self.resets = False
        """Whether the end of the connection is a reset (SO_LINGER of 0 seconds)."""

    def fileno(self) -> int:
        return NO_DESCRIPTOR

    def getsockname(self) -> Address:
        return self._name

    def getpeername(self) -> Address:
        if self._peer is None:
            raise OSError(errno.ENOTCONN, "not connected")
        return self._peer

    def setsockopt(self, level: int, option: int, _value: Any, _length: int = 0) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.resets = True

    def getsockopt(self, _level: int, _option: int, buffer: int = 0) -> int:
        if buffer:  # TCP_INFO
            raise OSError(errno.EBADF, "there is no socket")
        return 0


class End(asyncio.Transport):
    """One end of a connection: pauses, water marks, `abort` and the end of the stream as asyncio has them."""

    def __init__(self, loop: MemoryLoop, protocol: asyncio.BaseProtocol, sock: Socket) -> None:
        super().__init__(
            {"socket": sock, "sockname": sock.getsockname(), "peername": sock.getpeername()}
        )
        self._loop, self._protocol, self._sock = loop, protocol, sock
        self.peer: End = self
        self.held: socket.socket | None = None
        """The real, unconnected socket that a client gave for this connection."""
        self._out = bytearray()  # written, not taken by the network
        self._wire = bytearray()  # taken by the network, on its way to this end
        self._wire_ends = False  # nothing comes after that
        self._reads, self._is_due = True, False
        self._closing = self._lost = self._ends_out = False
        self._is_full, self._high, self._low = False, HIGH_BYTES, HIGH_BYTES // 4
        self.most_bytes = WIRE_BYTES
        """What the network takes for this end while it does not read."""

    # the side that writes

    def write(self, data: Any) -> None:
        if self._ends_out:
            raise RuntimeError("Cannot call write() after write_eof()")
        if (self._closing and self._lost) or not data:
            return
        if self.peer._lost:  # nobody is there any more: the kernel answers with a reset
            self._loop.call_soon(
                self._lose, ConnectionResetError(errno.ECONNRESET, "reset by peer")
            )
            return
        if not self._closing:
            self._out += data
            self._push()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _push(self) -> None:
        """Let the network take what it can, and say whether the buffer is too full."""
        if self._lost:
            return
        peer = self.peer
        room = peer.most_bytes - len(peer._wire)
        if room > 0 and self._out:
            peer._wire += self._out[:room]
            del self._out[:room]
            peer._come()
        if not self._out and (self._closing or self._ends_out):
            if not peer._wire_ends:
                peer._wire_ends = True
                peer._come()
            if self._closing and not self._lost:
                self._loop.call_soon(self._lose, None)
        waiting = len(self._out)
        if not self._is_full and waiting > self._high:
            self._is_full = True
            self._protocol.pause_writing()
        elif self._is_full and waiting <= self._low:
            self._is_full = False
            self._protocol.resume_writing()

    def write_eof(self) -> None:
        if not (self._closing or self._ends_out):
            self._ends_out = True
            self._push()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._out)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = (
            HIGH_BYTES if high is None and low is None else 4 * (low or 0) if high is None else high
        )
        self._low = self._high // 4 if low is None else low
        self._push()

    # the side that reads

    def _come(self) -> None:
        """Receive in the next turn, as after a select."""
        if not self._is_due and self._reads and not self._lost and not self._closing:
            self._is_due = True
            self._loop.call_soon(self._receive)

    def _receive(self) -> None:
        self._is_due = False
        if not self._reads or self._lost or self._closing:
            return
        if self._wire:
            protocol = self._protocol
            try:
                if isinstance(protocol, asyncio.BufferedProtocol):
                    buffer = memoryview(protocol.get_buffer(-1)).cast("B")
                    count = min(len(buffer), len(self._wire))
                    buffer[:count] = self._wire[:count]
                    del self._wire[:count]
                    protocol.buffer_updated(count)
                else:
                    piece = bytes(self._wire[:PIECE_BYTES])
                    del self._wire[:PIECE_BYTES]
                    protocol.data_received(piece)  # type: ignore[attr-defined]
            except Exception as error:  # noqa: BLE001  # as asyncio: it ends the connection
                self._loop.call_exception_handler(
                    {
                        "message": "Fatal error: a protocol failed",
                        "exception": error,
                        "protocol": protocol,
                    }
                )
                self._lose(error)
                return
            self.peer._push()
        if self._wire:
            self._come()
        elif self._wire_ends and self._reads and not (self._lost or self._closing):
            self._wire_ends = False
            if not self._protocol.eof_received():  # type: ignore[attr-defined]
                self.close()

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        if not self._reads and not self._closing:
            self._reads = True
            if self._wire or self._wire_ends:
                self._come()

    def is_reading(self) -> bool:
        return self._reads and not self._closing

    # the end

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Read no more; the end comes when the network has taken what was written."""
        if not self._closing:
            self._closing = True
            self._push()

    def abort(self) -> None:
        if not self._lost:
            self._closing = True
            self._out.clear()
            self._loop.call_soon(self._lose, None)

    def _lose(self, error: BaseException | None) -> None:
        """End here and now; the peer sees the end of the stream, or a reset."""
        if self._lost:
            return
        is_reset = self._sock.resets or bool(self._wire)  # unread data: the kernel resets
        self._lost = self._closing = True
        if self.held is not None:
            self.held.close()
        peer, self._out = self.peer, bytearray()
        if not peer._lost:
            if is_reset:
                reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
                self._loop.call_soon(peer._be_reset, reset)
            else:
                peer._wire_ends = True
                peer._come()
                if peer._out:  # it waits for a reader that is gone
                    self._loop.call_soon(peer._lose, BrokenPipeError(errno.EPIPE, "Broken pipe"))
        self._protocol.connection_lost(error if isinstance(error, Exception) else None)

    def _be_reset(self, error: BaseException) -> None:
        """End after what had come before the reset: the kernel of a peer gives it to who reads."""
        while self._wire and self._reads and not (self._closing or self._lost):
            self._receive()
        self._lose(error)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol


class BareEnd(End):
    """What a test that speaks for itself has in its hand: for `sock_sendall` and `sock_recv` of the loop."""

    _waiter: asyncio.Future[None] | None = None
    error: BaseException | None = None
    """Why the connection was lost; None if it was closed or is open."""

    def _come(self) -> None:
        self._wake()

    def _lose(self, error: BaseException | None) -> None:
        super()._lose(error)
        self.error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def recv(self, size: int) -> bytes:
        """Return what is there, as a socket that does not block."""
        if not self._wire:
            if self.error is not None:
                raise self.error
            if self._wire_ends or self._lost:
                return b""
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        piece = bytes(self._wire[:size])
        del self._wire[:size]
        self.peer._push()
        return piece

    async def received(self, size: int) -> bytes:
        while True:
            with suppress(BlockingIOError):
                return self.recv(size)
            self._waiter = self._loop.create_future()
            await self._waiter

    async def sent(self, data: bytes) -> None:
        if self._lost or self.peer._lost:
            raise self.error or BrokenPipeError(errno.EPIPE, "Broken pipe")
        self.write(data)
        while self._out and not self._lost:  # noqa: ASYNC110  # the network takes it
            await asyncio.sleep(0.001)

    def fileno(self) -> int:
        return -1 if self._closing else NO_DESCRIPTOR

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self._sock.setsockopt(level, option, value)

    def getsockname(self) -> Address:
        return self._sock.getsockname()

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD:
            self.write_eof()

    def close(self) -> None:
        """As the kernel does: a reset if something was not read."""
        if not self._closing:
            super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Listening:
    """A server of the loop, as `asyncio.Server` and as `server.ports.Listening` look from outside."""

    def __init__(self, loop: MemoryLoop, at: Address) -> None:
        self._loop, self.address = loop, at
        self.factory: Callable[[], asyncio.BaseProtocol]
        self.sockets: tuple[Socket, ...] = (Socket(at),)

    def start(self, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self.factory = protocol_factory

    def close(self) -> None:
        self._loop.listening.pop(self.address, None)
        self.sockets = ()

    async def wait_closed(self) -> None:
        await asyncio.sleep(0)

    def is_serving(self) -> bool:
        return self._loop.listening.get(self.address) is self

    async def start_serving(self) -> None:
        await asyncio.sleep(0)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def a_look() -> float:
    return LOOK_S


class MemoryLoop(asyncio.SelectorEventLoop):
    """Connections are pairs of transports in memory; waiting takes no time."""

    def __init__(self, passed_s: Callable[[], float] = a_look) -> None:
        self.clock = JumpingSelector()
        super().__init__(self.clock)
        self._passed_s = passed_s
        self.listening: dict[Address, Listening] = {}
        self._dialled: dict[socket.socket, Address] = {}
        self._ports = itertools.count(1)
        """Low numbers: what asks the machine for one of them by mistake is refused at once."""

    def time(self) -> float:
        """Return the time, which passes for who looks at it again and again."""
        self.clock.now_s += self._passed_s()
        return self.clock.now_s

    def listen(self, host: str, port: int) -> Listening:
        """Bind an address, whose `factory` makes a protocol for each connection; 0 picks a free port.

        Raises:
            OSError: somebody listens there.
        """
        at = host, port or next(self._ports)
        if at in self.listening:
            raise OSError(errno.EADDRINUSE, f"address in use: {at}")
        self.listening[at] = Listening(self, at)
        return self.listening[at]

    def _server_at(self, address: Address) -> Listening:
        for host in (address[0], "0.0.0.0", "::"):  # noqa: S104  # nothing is bound
            if (found := self.listening.get((host, address[1]))) is not None:
                return found
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await asyncio.sleep(0)
        self._server_at(address[:2])
        self._dialled[sock] = address[:2]
        with suppress(AttributeError):  # a subclass: who asks it whether it is connected hears yes
            sock.getpeername = lambda: address  # type: ignore[method-assign]

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        local_addr: Address = ("127.0.0.1", 0),
        **_options: Any,
    ) -> tuple[End, asyncio.BaseProtocol]:
        if ssl:
            raise NotImplementedError("TLS needs sockets: leave this test on them")
        if sock is None:
            assert host is not None
            to = ("127.0.0.1" if host == "localhost" else host, int(port or 0))
        else:
            to = self._dialled.pop(sock)
        await asyncio.sleep(0)
        server, here = self._server_at(to), (local_addr[0], next(self._ports))
        client = End(self, protocol_factory(), Socket(here, to))
        there = End(self, server.factory(), Socket(to, here))
        client.peer, there.peer = there, client
        if sock is not None:
            client.held = sock
            with suppress(AttributeError):  # a subclass: who shuts it down ends the connection
                sock.shutdown = lambda _how: client.abort()  # type: ignore[method-assign]
        self.call_soon(there._protocol.connection_made, there)
        client._protocol.connection_made(client)
        await asyncio.sleep(0)
        return client, client._protocol

    def bare(self, host: str, port: int, most_bytes: int = WIRE_BYTES) -> BareEnd:
        """Return a connection to a server, for a test that reads and writes bytes by itself.

        Args:
            host: The address of the server.
            port: Its port.
            most_bytes: What the network takes for it while it does not read.
        """
        to, here = (host, port), ("127.0.0.1", next(self._ports))
        client = BareEnd(self, asyncio.Protocol(), Socket(here, to))
        client.most_bytes = most_bytes
        there = End(self, self._server_at(to).factory(), Socket(to, here))
        client.peer, there.peer = there, client
        self.call_soon(there._protocol.connection_made, there)
        return client

    async def sock_recv(self, sock: Any, n: int) -> bytes:
        return await (sock.received(n) if isinstance(sock, BareEnd) else super().sock_recv(sock, n))

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        await (sock.sent(data) if isinstance(sock, BareEnd) else super().sock_sendall(sock, data))

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        **_options: Any,
    ) -> Listening:
        if ssl or sock is not None:
            raise NotImplementedError("TLS and open sockets: leave this test on sockets")
        listening = self.listen(host if isinstance(host, str) and host else "127.0.0.1", port or 0)
        listening.factory = protocol_factory
        return listening

    async def getaddrinfo(self, host: Any, port: Any, **_options: Any) -> Any:
        """Know literal addresses and this machine; no name is looked up."""
        host = {"localhost": "127.0.0.1", None: "127.0.0.1"}.get(host, host)
        try:
            return socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Do it now: the clock would jump while a thread works."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
            done.set_exception(error)
        return done


def run(main: Coroutine[Any, Any, T], passed_s: Callable[[], float] = a_look) -> T:
    """Run a coroutine in a loop of its own, as `asyncio.run` does.

    Args:
        main: What is run.
        passed_s: Returns how much time passes with each look at the clock: a machine that is slow, or
            sometimes.

    Raises:
        TimeoutError: It is not over after `LIMIT_S` of its time, which costs little of ours.
    """

    async def limited() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await main

    with asyncio.Runner(loop_factory=partial(MemoryLoop, passed_s)) as runner:
        return runner.run(limited())
