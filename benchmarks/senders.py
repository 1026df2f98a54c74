"""The contenders: whatever sends the same bookTicker to many subscribers in one process.

`PlantSender` is the real plant behind the real server.  `BareSender` is the limit it is held
against: a plain loop of `socket.send()` of frames that were made beforehand.  Both have the same
discipline: a subscriber that falls behind stops the sender until it has caught up.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from itertools import cycle, islice

import msgspec

from benchmarks.crowd_clients import Crowd
from benchmarks.machine import unpace
from tickerplant.events import BookTicker
from tickerplant.faults.rule import parse_rule
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.listener import BACKLOG, Listener
from tickerplant.server.server import Server
from tickerplant.server.websocket import CONGESTED_SHARE
from tickerplant.simulation.instruments import instruments
from tickerplant.truth.truth import Truth
from tickerplant.venue import COINM, USDM

SYMBOL = "BTCUSDT"
STREAM = "btcusdt@bookTicker"
PATH = f"/stream?streams={STREAM}"
START_MS = 1_772_323_200_000
"""2026-03-01 00:00 UTC; any moment would do."""
UNSENT_BYTES = 1 << 16
"""Unsent data that makes a subscriber one that has fallen behind."""
POLL_S = 0.001
PATIENCE_S = 30.0
"""Longest time a subscriber may be behind; a receiver that reads nothing for so long is broken."""
VARIETY = 500
"""Different book tickers that are sent in turn; their messages are of one size."""


def book_tickers() -> list[BookTicker]:
    """Return book tickers whose messages are equally long."""
    return [
        BookTicker(
            SYMBOL, 4_000_000_000_000 + 2 * n, 652_801, 1_000 + n, 652_802, 2_000 + n, START_MS
        )
        for n in range(VARIETY)
    ]


def new_plant() -> Plant:
    """Return a plant with one market."""
    return Plant(instruments(START_MS, [SYMBOL]), start_ms=START_MS)


class _Collector:
    """A subscriber that keeps what it is sent."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)


def frames() -> list[bytes]:
    """Return the frames that a plant makes of `book_tickers`."""
    plant, collector = new_plant(), _Collector()
    hub = plant.hubs[USDM.name]
    hub.set_combined(collector, True)
    hub.subscribe(collector, [STREAM])
    for ticker in book_tickers():
        plant.publish(ticker)
        hub.flush()
    assert len(collector.writes) == VARIETY, "a message is missing"
    assert len({len(frame) for frame in collector.writes}) == 1, "frames differ in size"
    return collector.writes


class PlantSender:
    """Events through the plant, its hub and its server.

    Args:
        name: What it is called.
        truth: Keeps what was, if anything does.
        faults: Rules of faults that are there from the start.
    """

    def __init__(
        self,
        name: str = "tickerplant",
        truth: Truth | None = None,
        faults: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.port = 0
        self._plant = new_plant()
        limits = msgspec.structs.replace(LIMITS, max_unsent_bytes=CONGESTED_SHARE * UNSENT_BYTES)
        self._server = Server(
            self._plant, ports={USDM.name: 0, COINM.name: 0}, limits=limits, truth=truth
        )
        self._faults = tuple(map(parse_rule, faults))
        self._tickers = cycle(book_tickers())
        self._now_ms = START_MS

    async def open(self) -> None:
        self._server.faults.switch(self._faults)
        await self._server.start()
        for port in self._server.ports:
            assert isinstance(port.listener, Listener)
            unpace(port.listener.sockets[0])
        self.port = int(self._server.urls[USDM.name].rpartition(":")[2])

    async def ready(self, subscribers: int) -> None:
        while self._server.congestion.subscriber_count < subscribers:  # noqa: ASYNC110  # soon, or a timeout
            await asyncio.sleep(POLL_S)

    def send(self, count: int) -> None:
        self._now_ms += 1
        self._plant.advance(self._now_ms)
        publish = self._plant.publish
        for ticker in islice(self._tickers, count):
            publish(ticker)

    async def turn(self) -> None:
        await asyncio.sleep(0)
        if self._server.congestion.congested:
            await self._server.congestion.wait_clear()

    async def close(self) -> None:
        await self._server.stop()


class BareSender:
    """A loop over the sockets with one `send()` of ready-made bytes each, and nothing else.

    The messages of a turn are sent in one piece.
    """

    def __init__(self) -> None:
        self.name = "bare send()"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._frames = cycle(frames())
        self._pieces: dict[int, cycle[bytes]] = {}

    async def open(self) -> None:
        unpace(self._listener)

    async def ready(self, subscribers: int) -> None:
        while len(self._sockets) < subscribers:
            self._sockets.append(await asyncio.to_thread(self._accept))

    def _accept(self) -> socket.socket:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not sock.recv(4096).endswith(b"\r\n\r\n"):
            pass
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        sock.setblocking(False)
        return sock

    def send(self, count: int) -> None:
        if count not in self._pieces:
            ready_made = [b"".join(islice(self._frames, count)) for _ in range(VARIETY)]
            self._pieces[count] = cycle(ready_made)
        self._send(next(self._pieces[count]))

    def _send(self, data: bytes) -> None:
        size = len(data)
        for sock in self._sockets:
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            if sent < size:
                _send_rest(sock, data[sent:])

    async def turn(self) -> None:
        """There is no loop to turn, and nobody is ever behind."""

    async def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._listener.close()


def _send_rest(sock: socket.socket, rest: bytes) -> None:
    """Send what a full socket did not take, as soon as it does."""
    sock.settimeout(PATIENCE_S)
    sock.sendall(rest)
    sock.setblocking(False)


Sender = PlantSender | BareSender
"""A contender: `open`, wait until subscribers are `ready`, then `send` and `turn`, `close`."""


class Bout:
    """A sender and the subscribers that receive from it and from nobody else.

    Args:
        sender: Who sends; closed when the bout is.
        crowd: Where the subscribers are.
        subscribers: How many there are.
    """

    def __init__(self, sender: Sender, crowd: Crowd, subscribers: int) -> None:
        self.sender = sender
        self.subscribers = subscribers
        self.frame_bytes = len(frames()[0])
        self._crowd = crowd
        self._sent_bytes = 0

    async def open(self) -> None:
        """Listen, and wait until everybody has subscribed."""
        sender = self.sender
        await sender.open()
        joined = asyncio.to_thread(self._crowd.join, sender.port, [PATH] * self.subscribers)
        await asyncio.gather(sender.ready(self.subscribers), joined)

    def expect(self, messages: int) -> None:
        """Say how many messages are sent to each subscriber until `received` is awaited."""
        self._sent_bytes += messages * self.frame_bytes * self.subscribers
        self._crowd.expect(self._sent_bytes)

    async def received(self) -> None:
        """Return when everybody has received what was to be expected."""
        await self._crowd.received()


@asynccontextmanager
async def opened(senders: Iterable[Sender], subscribers: int) -> AsyncIterator[list[Bout]]:
    """Open a bout for each sender, each with so many subscribers; all are closed in the end.

    What is there by then is kept out of garbage collections, as the program does when it is ready.
    """
    with ExitStack() as stack:
        bouts = [Bout(sender, stack.enter_context(Crowd()), subscribers) for sender in senders]
        for bout in bouts:
            await bout.open()
        gc.collect()
        gc.freeze()
        yield bouts
    for bout in bouts:  # after the subscribers, who answer no close frames
        await bout.sender.close()
    gc.unfreeze()
