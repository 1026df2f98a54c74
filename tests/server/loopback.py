"""A whole server, in memory or on free ports of this machine, with a clock that the test sets."""

from __future__ import annotations

import asyncio
import functools
import http.client
import io
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec, cast

import memory_loop
import pytest
from connecting import connect
from memory_loop import WIRE_BYTES, MemoryLoop
from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect  # noqa: TID251  # its type
from websockets.exceptions import ConnectionClosed

from tickerplant.config import kinds
from tickerplant.events import Trade
from tickerplant.faults.board import FaultBoard
from tickerplant.instrument import Instrument, Scale
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.server.ports import Listen
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import Server
from tickerplant.truth.truth import Truth
from tickerplant.venue import COINM, USDM, Venue

P = ParamSpec("P")

START_MS = 1_767_225_600_000
TICK_MS = 5


def instrument(venue: Venue, symbol: str, pair: str) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=symbol,
        pair=pair,
        contract_type="PERPETUAL",
        base_asset="BTC",
        quote_asset="USDT",
        margin_asset="USDT",
        price=Scale(2),
        quantity=Scale(3),
        tick_size=10,
        step_size=1,
        min_price=1,
        max_price=100_000_000,
        min_quantity=1,
        max_quantity=1_000_000,
        max_market_quantity=1_000_000,
    )


def looped(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine in a loop whose TCP is in memory and whose clock jumps."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        memory_loop.run(test(*args, **kwargs))

    return pytest.mark.looped(run)


def looped_on_sockets(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine in a loop with the sockets and the clock of the machine.

    One that hangs is cancelled shortly before its time is over, so that the failure shows its `await`.
    """

    async def within_its_time(*args: P.args, **kwargs: P.kwargs) -> None:
        left_s, _ = signal.getitimer(signal.ITIMER_REAL)
        async with asyncio.timeout(left_s * 0.9 or None):
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(within_its_time(*args, **kwargs))

    return pytest.mark.sockets(run)


def has_ipv6() -> bool:
    """Return whether this machine has the loopback address of IPv6."""
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def listen() -> Listen | None:
    """Return what binds the ports of a server: None, the system, unless the loop is one in memory."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, MemoryLoop):
        return None
    return lambda _endpoint, host, number: loop.listen(host, number)


class Clock:
    """The connection clock of a test; it moves when told."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Answer(Struct):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Loopback:
    """The server of a test and what it serves."""

    source_task: asyncio.Task[None]
    """What runs the source of the market, if it has one."""

    def __init__(self, plant: Plant, server: Server, clock: Clock) -> None:
        self.plant = plant
        self.server = server
        self.clock = clock
        self._trade_id = 0

    def trade(self, symbol: str = "BTCUSDT", quantity: int = 1, *, count: int = 1) -> None:
        """Let trades happen."""
        for _ in range(count):
            self._trade_id += 1
            self.plant.publish(
                Trade(symbol, self._trade_id, 6_528_010, quantity, False, self.plant.now_ms)
            )

    def connect(self, path: str, venue: Venue = USDM, **options: Any) -> websockets_connect:
        """Return an asynchronous context manager of a client connection."""
        address = self.server.urls[venue.name]
        return connect(f"{self.server.schemes[0]}://{address}{path}", **options)

    async def get(
        self,
        path: str,
        venue: Venue = USDM,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Ask over HTTP."""
        return await ask_http(self.server.urls[venue.name], method, path, headers, body)

    def socket(self, venue: Venue = USDM, receive_bytes: int = 0) -> socket.socket:
        """Return a connected socket that does not block; small buffers make a slow reader."""
        host, _, port = self.server.urls[venue.name].rpartition(":")
        loop = asyncio.get_running_loop()
        if isinstance(loop, MemoryLoop):
            bare = loop.bare(host, int(port), receive_bytes or WIRE_BYTES)
            return cast("socket.socket", bare)
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect((host, int(port)))
        sock.setblocking(False)
        return sock

    async def metrics(self) -> dict[str, float]:
        """Return the samples of `/metrics` by name with labels."""
        text = (await self.get("/metrics")).body.decode()
        lines = (line for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class _Pipe:
    """Stands for the socket of an HTTP connection: keeps what is sent, and gives what was received."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.received = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self.received)

    def close(self) -> None:
        """Keep what was received."""


async def ask_http(
    address: str,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    peer: str = "",
) -> Answer:
    """Send one HTTP request over a connection of its own, in the running loop; `peer` sends it."""
    host, _, port = address.rpartition(":")
    connection, pipe = http.client.HTTPConnection(address), _Pipe()
    connection.sock = cast("socket.socket", pipe)
    connection.request(method, path, body, {"Connection": "close", **(headers or {})})
    source: Any = {"local_addr": (peer, 0)} if peer else {}
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), **source)
    try:
        writer.write(pipe.sent)
        pipe.received = await reader.read()
    finally:
        writer.close()
    response = connection.getresponse()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, names, response.read())


UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def say(sock: socket.socket, data: bytes) -> None:
    """Send all of `data`."""
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def hear(sock: socket.socket, most: int = 1 << 16) -> bytes:
    """Return what comes next, or nothing at the end of the stream."""
    return await asyncio.get_running_loop().sock_recv(sock, most)


@asynccontextmanager
async def bare(house: Loopback, path: str = "", receive_bytes: int = 0) -> AsyncIterator[Any]:
    """Yield a socket that is connected, and upgraded if there is a path."""
    with house.socket(receive_bytes=receive_bytes) as sock:
        if path:
            await shake_hands(sock, path)
        yield sock


async def receive(sock: socket.socket) -> bytes:
    """Return what comes next, and let the event loop have a turn, in which the time limit acts.

    Raises:
        ConnectionError: The server has closed the connection.
    """
    await asyncio.sleep(0)
    data = await hear(sock, 1 << 18)
    if not data:
        raise ConnectionError("expected more data, and the server has closed the connection")
    return data


async def receive_all(sock: socket.socket) -> bytes:
    """Return all that comes until the server ends the connection, in whatever way."""
    received = bytearray()
    with suppress(ConnectionError):
        while True:
            received += await receive(sock)
    return bytes(received)


async def shake_hands(sock: socket.socket, path: str) -> bytes:
    """Upgrade a bare socket; return what follows the answer's head at once."""
    await say(sock, UPGRADE.format(path=path).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await receive(sock)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return head.partition(b"\r\n\r\n")[2]


async def until(condition: Callable[[], object]) -> None:
    """Turn the event loop until `condition()` holds; the test's time limit bounds it."""
    while not condition():  # noqa: ASYNC110  # what is waited for is seen from outside
        await asyncio.sleep(0.001)


async def ask(client: ClientConnection, message: Any) -> Any:
    """Send a JSON message and return the next one received."""
    await client.send(json.dumps(message))
    return json.loads(await client.recv())


@asynccontextmanager
async def serving(
    plant: Plant, source: Any = None, *, faults: FaultBoard | str = "", **options: Any
) -> AsyncIterator[Loopback]:
    """Serve `plant`, and run its source, until the block ends.

    Args:
        plant: What is served.
        source: What moves it, unless the test does.
        faults: The board of faults, or the faults on demand that are on.
        options: Those of `Server`.
    """
    clock = Clock()
    usual: dict[str, Any] = {
        "ports": dict.fromkeys((USDM.name, COINM.name), 0),
        "clock": clock,
        "tick_ms": TICK_MS,
    }
    board: dict[str, Any] = {"faults": faults} if isinstance(faults, FaultBoard) else {}
    server = Server(plant, listen=listen(), **usual | board | options)
    if isinstance(faults, str) and faults:
        server.faults.switch(kinds.read_faults(faults))
    house = Loopback(plant, server, clock)
    await server.start()
    if source is not None:
        house.source_task = asyncio.create_task(source.run(server.congestion, server.readiness))
    try:
        yield house
    finally:
        if source is not None:
            house.source_task.cancel()
            await asyncio.wait({house.source_task})
        await server.stop()


@asynccontextmanager
async def loopback(
    limits: Limits = LIMITS,
    *,
    strict_routing: bool = False,
    profile: Profile = P2026Q1,
    forwarder: Forwarder | None = None,
    truth: Truth | None = None,
    **options: Any,
) -> AsyncIterator[Loopback]:
    """Serve one market per venue, in which happens what the test says, until the block ends."""
    plant = Plant(
        [instrument(USDM, "BTCUSDT", "BTCUSDT"), instrument(COINM, "BTCUSD_PERP", "BTCUSD")],
        start_ms=START_MS,
        strict_routing=strict_routing,
        profile=profile,
        witness=None if truth is None else truth.market.on_event,
    )
    if truth is not None:
        truth.sent.now_ms = lambda: plant.now_ms
    options |= {"forwarders": {USDM.name: forwarder}} if forwarder else {}
    async with serving(plant, limits=limits, truth=truth, **options) as house:
        yield house


async def ending(client: ClientConnection) -> tuple[int, str]:
    """Return the close frame that ends `client`, after whatever comes before it."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    frame = client.protocol.close_rcvd
    assert frame is not None, "the server sent no close frame"
    return frame.code, frame.reason
