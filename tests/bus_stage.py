"""A bus, plants and edges on it, and what their clients saw."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
from programs import PATIENCE_S
from stage import Listener, open_plant, trade

from tickerplant.bus.nodes import PlantDescription
from tickerplant.cluster.connection import BusConnection
from tickerplant.cluster.connection import end as end_surely
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.nats_server import NatsServer
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.cluster.timing import TIMING, Timing, loop_ms
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import GOING_AWAY, UPSTREAM_LOST, CloseReason

_epochs = itertools.count(1)
_prefixes = itertools.count(1)
PATIENT = Timing(
    lease_s=2 * PATIENCE_S,
    renew_s=PATIENCE_S / 2,
    start_s=PATIENCE_S,
    hello_s=PATIENCE_S,
    recovery_s=PATIENCE_S,
)
"""The times of a cluster in which nothing ends by itself within a test, however slow the machine is."""
PATIENT_MS = 2_000 * PATIENCE_S
"""A grace that no test outlasts."""
SHARED_BYTES = 1 << 40
"""Limit of what the streams of a server for many tests hold; each forgets its messages in time."""


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Return when `condition` holds."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # any condition
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"did not happen: {what or condition}") from None


class Clients:
    """What an edge is told about its clients: in order, as tuples."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.silenced: dict[str, str] = {}
        self.has_ended = False
        self.faults: Mapping[str, Mapping[str, Any]] = {}

    def start_outage(
        self,
        venue_name: str,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        listed = None if names is None else tuple(names)
        self.told.append(("outage", venue_name, listed, reason, close_reason.name))

    def end_outage(self, venue_name: str) -> None:
        self.told.append(("outage ended", venue_name))

    def end_streams(self, reason: CloseReason) -> None:
        self.told.append(("streams ended", reason.name))
        self.has_ended = True

    def begin_streams(self) -> None:
        self.has_ended = False

    def set_faults(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        if rules != self.faults:
            self.faults = rules
            self.told.append(("faults", rules))

    def close_connection(self, worker: str, connection_id: str) -> None:
        self.told.append(("close", worker, connection_id))

    def silent(self, venue_name: str, reasons: Mapping[str, str]) -> None:
        del venue_name
        self.silenced.update(reasons)


class Readers:
    """The connections of an edge, as congested as a test wants."""

    def __init__(self) -> None:
        self.subscriber_count = 0
        self.is_incomplete = False
        self.clear = asyncio.Event()
        self.clear.set()

    @property
    def congested(self) -> bool:
        return not self.clear.is_set()

    async def wait_clear(self) -> None:
        await self.clear.wait()


class Edge:
    """An edge without ports: its subscribers are lists."""

    def __init__(self, node: EdgeNode, bus: BusConnection, complaints: Complaints) -> None:
        self.node = node
        self.bus = bus
        self.complaints = complaints
        self.clients = Clients()
        self.readers = Readers()
        self.plant = open_plant([])
        """Only its hubs are used."""
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.node.hello()
        self.node.attach(
            self.plant.hubs, clients=self.clients, readers=self.readers, report=lambda: b"figures"
        )
        self.task = asyncio.create_task(self.node.run())

    def subscribe(self, *names: str, venue: str = "usdm") -> Listener:
        listener = Listener()
        self.plant.hubs[venue].subscribe(listener, names)
        return listener

    def texts(self, listener: Listener) -> list[bytes]:
        for hub in self.plant.hubs.values():
            hub.flush()
        return listener.texts()

    async def wants(self, plant: PlantNode, *names: str, venue: str = "usdm") -> Listener:
        """Somebody who is subscribed to `names`, of which the plant knows."""
        listener = self.subscribe(*names, venue=venue)
        await until(
            lambda: all(
                self.node.identity in plant.interest.wanted_by.get((venue, name), ())
                for name in names
            ),
            f"the plant knows of {names}",
        )
        return listener

    async def stop(self) -> None:
        await end(self.task)
        await self.node.close()
        await self.bus.close()


class Wire:
    """A way to the bus that can be cut without a word to either side, and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._listening: asyncio.Server
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        """Return its address."""
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    def cut(self, *, is_noticed: bool = True) -> None:
        """Let nothing through until `mend`; both sides notice it at once, or by silence."""
        self._whole.clear()
        if is_noticed:
            for writer in self._writers:
                writer.transport.abort()

    def mend(self) -> None:
        """Let new connections through; those that were cut silently end."""
        for writer in self._writers:
            writer.transport.abort()
        self._whole.set()

    async def close(self) -> None:
        self._listening.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._whole.wait()
            there, away = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(away)
            await asyncio.gather(self._pass(reader, away), self._pass(there, writer))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._whole.wait()
            if not writer.is_closing():
                writer.write(data)
        writer.transport.abort()


class Bus:
    """A server, and what is on it under a prefix that nobody else has."""

    def __init__(self, server: NatsServer, *, is_own: bool, is_patient: bool) -> None:
        self.server = server
        self.timing, self.grace_ms = (PATIENT, PATIENT_MS) if is_patient else (TIMING, 5_000)
        self.settings = server.settings
        if not is_own:
            self.settings = msgspec.structs.replace(
                server.settings, prefix=f"test{next(_prefixes)}"
            )
        self.prefix = self.settings.prefix
        self.edges: list[Edge] = []
        self._runs: dict[PlantNode, asyncio.Task[None]] = {}
        self._buses: dict[PlantNode, BusConnection] = {}
        self._stack = contextlib.AsyncExitStack()

    async def wire(self) -> tuple[Wire, str]:
        """A way to the bus that can be cut, and its address."""
        wire = Wire(int(self.settings.servers[0].rpartition(":")[2]))
        address = await wire.open()
        self._stack.push_async_callback(wire.close)
        return wire, address

    async def connect(
        self, identity: str, complaints: Complaints | None = None, address: str = ""
    ) -> BusConnection:
        settings = self.settings
        if address:
            settings = msgspec.structs.replace(settings, servers=(address,))
        connection = await BusConnection.open(
            settings, identity=identity, complaints=complaints or Complaints()
        )
        self._stack.push_async_callback(connection.close)
        return connection

    async def plant(
        self,
        plant: Plant,
        name: str = "main",
        address: str = "",
        *,
        origin: Literal["simulation", "relay"] = "simulation",
        is_standby: bool = False,
        timing: Timing | None = None,
        clock: Callable[[], int] = loop_ms,
    ) -> PlantNode:
        """A plant on the bus, which runs; `clock` decides about the leases of its edges."""
        bus = await self.connect(f"plant {name}", address=address)
        description = PlantDescription(
            name=name,
            epoch=f"epoch {next(_epochs)}",
            profile=plant.profile.name,
            venues=tuple(plant.hubs),
            origin=origin,
            can_be_taken_over=origin == "relay",
        )
        timing = timing or self.timing
        node = PlantNode(bus, plant, description, is_standby=is_standby, timing=timing, clock=clock)
        await node.start()
        self._runs[node] = asyncio.create_task(node.run())
        self._buses[node] = bus
        self._stack.push_async_callback(node.close)
        self._stack.push_async_callback(self._end, node)
        return node

    async def _end(self, node: PlantNode) -> None:
        await end(self._runs[node])

    def complaints_of(self, node: PlantNode) -> Complaints:
        """Return what the connection of a plant complained about."""
        return self._buses[node].complaints

    async def stop(self, node: PlantNode) -> None:
        """End a plant as Ctrl-C does."""
        await self._end(node)
        node.go(GOING_AWAY)
        await node.close()

    async def freeze(self, node: PlantNode) -> None:
        """Let a plant do nothing, and send nothing, as SIGSTOP does."""
        await self._end(node)

    def thaw(self, node: PlantNode) -> None:
        """Undo `freeze`."""
        self._runs[node] = asyncio.create_task(node.run())

    async def kill(self, node: PlantNode) -> None:
        """End a plant without a word."""
        await self._end(node)
        await self._buses[node].close()

    async def edge(
        self,
        identity: str = "e1",
        plant_name: str = "main",
        *,
        grace_ms: int = 0,
        address: str = "",
        timing: Timing | None = None,
    ) -> Edge:
        """An edge that runs; its times are those of the bus unless they are given."""
        complaints = Complaints()
        bus = await self.connect(identity, complaints, address)
        node = EdgeNode(
            bus,
            plant_name,
            identity=identity,
            grace_ms=grace_ms or self.grace_ms,
            complaints=complaints,
            timing=timing or self.timing,
        )
        edge = Edge(node, bus, complaints)
        await edge.start()
        self._stack.push_async_callback(edge.stop)
        self.edges.append(edge)
        return edge

    async def close(self) -> None:
        await self._stack.aclose()


async def end(task: asyncio.Task[None] | None) -> None:
    """End a task, whose error counts if it has one."""
    if task is not None:
        await end_surely(task)  # nats-py may swallow that it is cancelled
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Ticker:
    """Trades at a plant, again and again, and somebody local who is subscribed to them."""

    NAME = "btcusdt@trade"

    def __init__(self, plant: Plant) -> None:
        self.local = Listener()
        self._plant = plant
        self._hub = plant.hubs["usdm"]
        self._hub.subscribe(self.local, [self.NAME])
        self._number = 0

    async def run(self, count: int) -> None:
        """Trade so often, with short pauses."""
        for _ in range(count):
            self.trade()
            await asyncio.sleep(0.002)

    def trade(self) -> None:
        """Trade once."""
        self._number += 1
        self._plant.publish(trade(self._number, self._plant.now_ms))

    def texts(self) -> list[bytes]:
        """What a client of one process gets."""
        self._hub.flush()
        return self.local.texts()


@functools.cache
def shared_server() -> NatsServer:
    """Return the server of all tests of this process, in a loop of its own; both end with it."""
    server, loop = NatsServer(Complaints(), memory_bytes=SHARED_BYTES), asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE_S)
    return server


@asynccontextmanager
async def open_bus(*, is_own: bool = False, is_patient: bool = False) -> AsyncIterator[Bus]:
    """A bus, until the end of the block.

    Args:
        is_own: Whether its server is for this test alone, which may kill it.
        is_patient: Whether leases and graces on it outlast every test.
    """
    server = NatsServer(Complaints()) if is_own else shared_server()
    if is_own:
        await server.start()
    bus = Bus(server, is_own=is_own, is_patient=is_patient)
    try:
        yield bus
    finally:
        await bus.close()
        if is_own:
            await server.stop()
