"""How much later a message arrives through a relay than from the plant itself.

A plant sends book tickers whose update id is the moment of their making, in nanoseconds of the
clock that all processes of a system share.  A hundred clients read them there, then at a relay that
is the plant's only client, and so on in turns.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from multiprocessing.connection import Connection
from statistics import median
from types import TracebackType
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.frames import Chunk, moments
from benchmarks.machine import RECEIVER_CORE, allow_files, pin, processes, unpace
from benchmarks.program import Program
from benchmarks.receiver import BUFFER_BYTES, shake_hands
from benchmarks.table import Cell, Table, spread
from tickerplant import logs
from tickerplant.events import BookTicker
from tickerplant.plant import Plant
from tickerplant.server.listener import Listener
from tickerplant.server.server import Server
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import COINM, USDM

CLIENTS = 100
DELIVERED_PER_S = 10_000
REPETITIONS = 3
SECONDS = 3.0
WARM_UP_S = 1.0
"""What is made in it does not count: the relay has to subscribe first."""
GRACE_S = 0.5
"""Time for the last messages to arrive."""
STEP_S = 0.001
SHOWN = (50, 99)
"""Percentiles."""

_MADE_NS = rb'"u":(\d+)'


class Traffic(Struct, frozen=True):
    """What is sent: each of `streams` goes to an equal share of the clients."""

    name: str
    streams: int
    events_per_s: int


TRAFFIC = (
    Traffic("100 events/s of one stream, each to all clients", 1, DELIVERED_PER_S // CLIENTS),
    Traffic("10,000 events/s of 100 streams, one for each client", CLIENTS, DELIVERED_PER_S),
)


class Heard(Struct, frozen=True):
    """What the clients heard in one repetition."""

    percentiles_ms: tuple[float, ...]
    """Those of `SHOWN`."""
    share: float
    """Messages received, of those that should have been."""


def run(*, quick: bool = False) -> list[Table]:
    """Measure both ways, interleaved."""
    repetitions, seconds = (1, SECONDS / 3) if quick else (REPETITIONS, SECONDS)
    return [asyncio.run(_measure(repetitions, seconds))]


async def _measure(repetitions: int, seconds: float) -> Table:
    pin(RECEIVER_CORE)
    logs.configure("text", "warning")
    rows: list[tuple[Cell, ...]] = []
    notes = [
        f"{CLIENTS} clients, {DELIVERED_PER_S:,} messages/s delivered to them altogether: from the making of an",
        "event to the moment its message has been read.  Plant and clients share a core, the relay",
        "has the other.  Added: median of the differences within a repetition.",
    ]
    source = Source()
    await source.open()
    with ExitStack() as stack:
        clients = stack.enter_context(Clients())
        ports = [source.port]
        try:
            url = f"ws://127.0.0.1:{source.port}"
            relay = await asyncio.to_thread(Program, "relay", f"--usdm-url={url}")
        except RuntimeError as error:
            notes.append(f"No relay: {error}.")
        else:
            stack.callback(relay.__exit__, None, None, None)
            ports.append(relay.port)
        gc.collect()
        gc.freeze()  # as the program does when it is ready
        for traffic in TRAFFIC:
            runs = [
                [await _repeat(source, clients, port, traffic, seconds) for port in ports]
                for _ in range(repetitions)
            ]
            rows += _rows(traffic, runs)
        gc.unfreeze()
    await source.close()
    return Table(
        title="relay: what it adds to the way of a message",
        columns=("traffic", "percentile", "direct, ms", "by relay, ms", "added, ms", "delivered"),
        rows=rows,
        notes=notes,
    )


def _rows(traffic: Traffic, runs: Sequence[Sequence[Heard]]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    direct, *others = (list(column) for column in zip(*runs, strict=True))
    for index, percentile in enumerate(SHOWN):
        figures = [[heard.percentiles_ms[index] for heard in way] for way in (direct, *others)]
        relayed = figures[1] if others else None
        rows.append(
            (
                traffic.name,
                f"p{percentile}",
                spread(figures[0]),
                spread(relayed) if relayed else None,
                _added(figures[0], relayed) if relayed else None,
                min(heard.share for way in (direct, *others) for heard in way),
            )
        )
    return rows


def _added(direct_ms: Sequence[float], relayed_ms: Sequence[float]) -> float:
    """Return the median of the differences within each repetition."""
    return median(b - a for a, b in zip(direct_ms, relayed_ms, strict=True))


async def _repeat(
    source: Source, clients: Clients, port: int, traffic: Traffic, seconds: float
) -> Heard:
    """Let the clients hear the traffic at a port."""
    names = [f"{symbol.lower()}@bookTicker" for symbol in source.symbols[: traffic.streams]]
    await clients.listen(port, [f"/ws/{names[n % traffic.streams]}" for n in range(CLIENTS)])
    await source.send(traffic, WARM_UP_S)
    counted_ns = time.monotonic_ns()
    events = await source.send(traffic, seconds)
    await asyncio.sleep(GRACE_S)
    made_ns, read_ns = await clients.heard()
    counts = made_ns >= counted_ns
    late_ms = (read_ns[counts] - made_ns[counts]) / 1e6
    share = len(late_ms) / (events * CLIENTS / traffic.streams)
    shown = np.percentile(late_ms, SHOWN) if len(late_ms) else [float("nan")] * len(SHOWN)
    return Heard(tuple(float(value) for value in shown), share)


class Source:
    """The plant, with its server, in this process."""

    def __init__(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        listed = instruments(now_ms, symbol_count=4 * CLIENTS)
        traded = [each for each in listed if each.venue is USDM and each.perpetual][:CLIENTS]
        self.symbols = [each.symbol for each in traded]
        self.port = 0
        self._middles = {each.symbol: each.max_price // 60 for each in traded}
        self._plant = Plant(traded, start_ms=now_ms)
        self._server = Server(self._plant, ports={USDM.name: 0, COINM.name: 0})
        self._numbers = count()

    async def open(self) -> None:
        """Begin to listen on `port`."""
        await self._server.start()
        for port in self._server.ports:
            assert isinstance(port.listener, Listener)
            unpace(port.listener.sockets[0])
        self.port = int(self._server.urls[USDM.name].rpartition(":")[2])

    async def send(self, traffic: Traffic, seconds: float) -> int:
        """Send steadily for so long, the streams in turn; return how many events were made."""
        plant, sent = self._plant, 0
        total = int(seconds * traffic.events_per_s)
        began_s = time.monotonic()
        while sent < total:
            due = min(total, int((time.monotonic() - began_s) * traffic.events_per_s) + 1)
            plant.advance(max(plant.now_ms, time.time_ns() // 1_000_000))
            for _ in range(due - sent):
                plant.publish(self._event(self.symbols[next(self._numbers) % traffic.streams]))
            sent = max(sent, due)
            await asyncio.sleep(
                max(STEP_S, began_s + sent / traffic.events_per_s - time.monotonic())
            )
        return sent

    def _event(self, symbol: str) -> BookTicker:
        middle, now_ms = self._middles[symbol], self._plant.now_ms
        return BookTicker(symbol, time.monotonic_ns(), middle, 1_000, middle + 1, 2_000, now_ms)

    async def close(self) -> None:
        """Hang up."""
        await self._server.stop()


# The clients, in a process of their own


class Listen(Struct, frozen=True):
    """Ask for one connection to each path; answered with None when all have shaken hands."""

    port: int
    paths: list[str]


class Clients:
    """The process with the clients; a context."""

    def __init__(self) -> None:
        context = processes()
        self._connection, remote = context.Pipe()
        self._process = context.Process(target=_listen, args=(remote,), daemon=True)

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

    async def listen(self, port: int, paths: list[str]) -> None:
        """Return when all clients are connected."""
        self._connection.send(Listen(port, paths))
        await asyncio.to_thread(self._connection.recv)

    async def heard(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hang up; return when the messages were made, and when they were read."""
        self._connection.send(None)
        made, read = await asyncio.to_thread(self._connection.recv)
        return np.frombuffer(made, np.int64), np.frombuffer(read, np.int64)


def _listen(remote: Connection) -> None:
    """Listen whenever `remote` asks for it."""
    pin(RECEIVER_CORE)
    allow_files(CLIENTS)
    while True:
        asked: Listen = remote.recv()
        chunks: list[Chunk] = []
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for index, path in enumerate(asked.paths):
                sock = stack.enter_context(shake_hands(asked.port, path))
                selector.register(sock, selectors.EVENT_READ, index)
            selector.register(remote, selectors.EVENT_READ)
            remote.send(None)
            while _read(selector, remote, chunks):
                pass
        remote.recv()
        _, made, read = moments(chunks, {}, _MADE_NS)
        remote.send((made, read))


def _read(selector: selectors.BaseSelector, remote: Connection, chunks: list[Chunk]) -> bool:
    """Keep what can be read, with the time and the client; return whether to go on."""
    for key, _ in selector.select():
        if key.fileobj is remote:
            return False
        data = key.fileobj.recv(BUFFER_BYTES)  # type: ignore[union-attr]
        if not data:
            selector.unregister(key.fileobj)
        chunks.append((time.monotonic_ns(), key.data, data))
    return True
