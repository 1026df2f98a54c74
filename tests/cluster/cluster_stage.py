"""A plant and edges of it over a bus in memory, without ports: their clients are lists."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from memory_bus import MemoryBroker, MemoryBus
from stage import Listener, open_plant

from tickerplant.cluster.edge import EdgeNode
from tickerplant.cluster.messages import Asked, PlantDescription, Report, Rules, Told
from tickerplant.cluster.plant import PlantNode
from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import UPSTREAM_LOST, CloseReason

TRADE, QUOTE = "btcusdt@trade", "btcusdt@bookTicker"
GRACE_MS = 5_000
SHORT_S = 0.01
"""Long enough for everything to arrive, and shorter than anything that is waited for."""


def plant_node(
    bus: MemoryBus,
    market: Plant,
    described: PlantDescription,
    complaints: Complaints,
    *,
    is_alone: bool,
) -> PlantNode:
    """A plant that has not joined the bus yet."""
    return PlantNode(
        partial(bus.open, described.name),
        market,
        described,
        prefix="t",
        local=Readers(),
        complaints=complaints,
        is_alone=is_alone,
    )


def edge_node(
    bus: MemoryBus,
    identity: str,
    complaints: Complaints,
    plant: str = "main",
    grace_ms: int = GRACE_MS,
) -> EdgeNode:
    """An edge that has not joined its plant yet."""
    return EdgeNode(
        partial(bus.open, identity),
        plant,
        identity=identity,
        prefix="t",
        grace_ms=grace_ms,
        complaints=complaints,
    )


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


class Client(Listener):
    """A subscriber of an edge."""

    def __init__(self, hub: Hub, names: Iterable[str]) -> None:
        super().__init__()
        self.hub, self.names = hub, list(names)
        self.closed = ""
        """Why it was closed; empty while it is not."""
        hub.subscribe(self, self.names)

    def close(self, reason: str) -> None:
        """Hear what waits, and nothing after that."""
        if not self.closed:
            self.hub.flush()
            self.closed = reason
            self.hub.remove(self)


class Clients:
    """The clients of an edge, and what it is told about them: the interface `edge.EdgeClients`."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.members: list[Client] = []
        self.refused: set[str] = set()
        """Venues whose clients are refused."""
        self.runs: list[str] = []
        self.faults: Rules = {}
        self.silenced: dict[str, str] = {}
        self.figures = Report()

    def accept(self) -> bool:
        """Return whether clients of USDⓈ-M are accepted."""
        return "usdm" not in self.refused

    def start_outage(
        self,
        venue_name: str,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        listed = None if names is None else tuple(names)
        self.told.append(("outage", venue_name, listed, reason, close_reason.name))
        if listed is None:
            self.refused.add(venue_name)
        for each in self.members:
            if listed is None or not set(listed).isdisjoint(each.names):
                each.close(reason)

    def end_outage(self, venue_name: str) -> None:
        self.refused.discard(venue_name)

    def end_streams(self, reason: CloseReason) -> None:
        self.told.append(("streams ended", reason.name))
        for each in self.members:
            each.close(reason.name)

    def follow(self, description: PlantDescription) -> None:
        self.runs.append(description.run)

    def set_faults(self, rules: Rules) -> None:
        self.faults = rules

    def silent(self, venue_name: str, reasons: Mapping[str, str]) -> None:
        del venue_name
        self.silenced.update(reasons)

    def report(self) -> Report:
        return self.figures

    def tell(self, asked: Asked) -> Told:
        self.told.append(("asked", asked))
        return Told()


class Edge:
    """An edge that runs."""

    def __init__(self, node: EdgeNode, complaints: Complaints) -> None:
        self.node, self.complaints = node, complaints
        self.clients, self.readers = Clients(), Readers()
        self.hubs = open_plant([]).hubs
        self.task: asyncio.Task[None]

    @property
    def broker(self) -> MemoryBroker:
        """The connection of the session."""
        assert self.node.session is not None
        broker = self.node.session.broker
        assert isinstance(broker, MemoryBroker)
        return broker

    async def start(self) -> None:
        """Join, and follow the plant."""
        await self.node.join()
        self.node.attach(self.hubs, clients=self.clients, readers=self.readers)
        self.task = asyncio.create_task(self.node.run())

    def listen(self, *names: str, venue: str = "usdm") -> Client:
        """Add a client."""
        client = Client(self.hubs[venue], names)
        self.clients.members.append(client)
        return client

    async def stop(self) -> None:
        """End as a program does."""
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.node.close()

    @property
    def closings(self) -> list[tuple[object, ...]]:
        """Which streams were lost, and why."""
        return [told[2:4] for told in self.clients.told if told[0] == "outage"]


class World:
    """A bus, the market of a plant, and who is on the bus."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.market = open_plant()
        self.hub = self.market.hubs["usdm"]
        self.edges: list[Edge] = []
        self.plants: list[PlantNode] = []
        self.keeping: list[asyncio.Task[None]] = []
        """Keeps each plant on the bus; its exception ends the program."""
        self._numbers = itertools.count()

    async def plant(
        self, started_ns: int = 1, *, name: str = "main", is_alone: bool = False, **fields: Any
    ) -> PlantNode:
        """Let a plant join the bus."""
        described = PlantDescription(
            name=name, started_ns=started_ns, profile="2026q1", venues=("usdm",), **fields
        )
        node = plant_node(self.bus, self.market, described, Complaints(), is_alone=is_alone)
        await node.start()
        self.plants.append(node)
        self.keeping.append(asyncio.create_task(node.keep()))
        return node

    @property
    def node(self) -> PlantNode:
        """The first plant."""
        return self.plants[0]

    async def edge(self, name: str = "main", grace_ms: int = GRACE_MS) -> Edge:
        """Let an edge join the plant."""
        complaints, identity = Complaints(), f"e{next(self._numbers)}"
        node = edge_node(self.bus, identity, complaints, name, grace_ms)
        edge = Edge(node, complaints)
        await edge.start()
        self.edges.append(edge)
        return edge

    def say(self, name: str, *payloads: bytes) -> None:
        """Let the plant publish messages of a stream."""
        for each in payloads:
            self.hub.broadcast(name, each)

    async def hear(self, seconds: float = SHORT_S) -> None:
        """Let time pass and everything arrive."""
        await asyncio.sleep(seconds)
        for edge in self.edges:
            for hub in edge.hubs.values():
                hub.flush()

    async def close(self) -> None:
        """End everybody."""
        for edge in self.edges:
            await edge.stop()
        for task in self.keeping:
            task.cancel()
        await asyncio.gather(*self.keeping, return_exceptions=True)
        for node in self.plants:
            await node.close()
        for broker in tuple(self.bus.brokers):
            broker.lose("the test is over")


@asynccontextmanager
async def world(edges: int = 1) -> AsyncIterator[World]:
    """A plant and edges that have joined it; no handler may raise until the end of the block."""
    made = World()
    await made.plant(is_alone=True)
    for _ in range(edges):
        await made.edge()
    await made.hear()
    try:
        yield made
        assert made.bus.faults == []
    finally:
        await made.close()
