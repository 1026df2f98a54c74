"""A plant without ports and edges of it over a bus in memory, as clients at the edges see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from cluster_stage import edge_node, plant_node
from loopback import START_MS, TICK_MS, Clock, Loopback, instrument, listen
from memory_bus import MemoryBus

from tickerplant.cluster.answers import EdgeAnswers
from tickerplant.cluster.messages import PlantDescription
from tickerplant.cluster.options import BusSettings
from tickerplant.cluster.plant import PlantNode
from tickerplant.cluster.served import Served
from tickerplant.config import kinds
from tickerplant.config.settings import EdgeSettings
from tickerplant.faults.board import passed_on
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import Server
from tickerplant.venue import COINM, USDM

BUS = BusSettings(servers=("nats://127.0.0.1:4222",))
REPORTED_S = 1.5


class Whole:
    """A plant and its edges; `edges` are as a client sees them."""

    def __init__(
        self,
        bus: MemoryBus,
        server: Server,
        node: PlantNode,
        plant: Plant,
        clock: Clock,
        trusted_proxies: Sequence[str],
        *,
        is_beside_plant: bool,
    ) -> None:
        self.bus, self.plant, self.server, self.node = bus, plant, server, node
        self.answers = EdgeAnswers(server, node, BUS)
        self.trusted_proxies, self.is_beside_plant = trusted_proxies, is_beside_plant
        self.clock = clock
        self.edges: list[Loopback] = []
        self.served: list[Served] = []
        self.stack = contextlib.AsyncExitStack()

    async def add_edge(self, worker: str = "") -> Loopback:
        """Let an edge join that serves at ports of its own."""
        number, complaints = len(self.edges) + 1, Complaints()
        node = edge_node(self.bus, f"edge {number}", complaints)
        await node.join()
        served = Served(
            EdgeSettings(usdm_port=0, coinm_port=0, trusted_proxy=tuple(self.trusted_proxies)),
            node,
            complaints,
            worker=worker or str(number),
            is_beside_plant=self.is_beside_plant,
            clock=self.clock,
            listen=listen(),
            tick_ms=TICK_MS,
        )
        await served.start()
        self.stack.push_async_callback(served.stop)
        self.served.append(served)
        self.edges.append(Loopback(self.plant, served.server, self.clock))
        await self.heard()
        return self.edges[-1]

    async def heard(self) -> None:
        """Let everything arrive that was said before."""
        await asyncio.sleep(0.01)

    async def reported(self) -> None:
        """Let so much time pass that every edge has reported."""
        await asyncio.sleep(REPORTED_S)


@asynccontextmanager
async def whole(
    edges: int = 1,
    limits: Limits = LIMITS,
    *,
    profile: Profile = P2026Q1,
    faults: str = "",
    forwarder: Forwarder | None = None,
    control_token: str = "",
    trusted_proxies: Sequence[str] = (),
    is_beside_plant: bool = True,
) -> AsyncIterator[Whole]:
    """Serve one market per venue through edges, until the end of the block.

    Args:
        is_beside_plant: Whether the edges are workers, and not on other machines.
    """
    traded = [instrument(USDM, "BTCUSDT", "BTCUSDT"), instrument(COINM, "BTCUSD_PERP", "BTCUSD")]
    plant, clock, bus = Plant(traded, start_ms=START_MS, profile=profile), Clock(), MemoryBus()
    server = Server(
        plant,
        limits=limits,
        forwarders={USDM.name: forwarder} if forwarder else None,
        clock=clock,
        tick_ms=TICK_MS,
        listens=False,
        control_token=control_token,
    )
    server.faults.switch(kinds.read_faults(faults) if faults else ())
    description = PlantDescription(
        name="main",
        started_ns=1,
        profile=profile.name,
        limits=msgspec.structs.asdict(limits),
        venues=tuple(plant.hubs),
        faults=passed_on(server.faults),
        has_token=server.plane.token.is_needed,
    )
    node = plant_node(bus, plant, description, server.complaints, is_alone=True)
    made = Whole(bus, server, node, plant, clock, trusted_proxies, is_beside_plant=is_beside_plant)
    await server.start()
    await node.start()
    keeping = asyncio.create_task(node.keep())
    try:
        for _ in range(edges):
            await made.add_edge()
        yield made
        assert bus.faults == []
    finally:
        await made.stack.aclose()
        await server.stop()
        keeping.cancel()
        await asyncio.wait({keeping})
        await node.close()
