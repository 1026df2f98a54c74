"""A plant without ports and edges of it over a bus in memory, as clients at the edges see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from loopback import START_MS, TICK_MS, Clock, Loopback, instrument, listen
from memory_bus import MemoryBus

from tickerplant.cluster.answers import EdgeAnswers
from tickerplant.cluster.edge import EdgeNode
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
GRACE_MS = 5_000
REPORTED_S = 1.5


class Whole:
    """A plant and its edges; `edges` are as a client sees them."""

    def __init__(self, bus: MemoryBus, server: Server, node: PlantNode, plant: Plant) -> None:
        self.bus, self.plant, self.server, self.node = bus, plant, server, node
        self.answers = EdgeAnswers(server, node, BUS)
        self.clock = Clock()
        self.trusted_proxies: Sequence[str] = ()
        self.is_beside_plant = True
        self.edges: list[Loopback] = []
        self.served: list[Served] = []
        self._stack = contextlib.AsyncExitStack()

    async def add_edge(self, worker: str = "") -> Loopback:
        """Let an edge join that serves at ports of its own."""
        number, complaints = len(self.edges) + 1, Complaints()
        node = EdgeNode(
            partial(self.bus.open, f"edge {number}"),
            "main",
            identity=f"edge {number}",
            prefix="t",
            grace_ms=GRACE_MS,
            complaints=complaints,
        )
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
        self._stack.push_async_callback(served.stop)
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

    async def stop_edge(self) -> None:
        """End the edge that joined last."""
        await self.served[-1].stop()

    async def close(self) -> None:
        await self._stack.aclose()


def little_plant(profile: Profile = P2026Q1, *, strict_routing: bool = False) -> Plant:
    """One market per venue."""
    return Plant(
        [instrument(USDM, "BTCUSDT", "BTCUSDT"), instrument(COINM, "BTCUSD_PERP", "BTCUSD")],
        start_ms=START_MS,
        strict_routing=strict_routing,
        profile=profile,
    )


def described(server: Server, plant: Plant, limits: Limits) -> PlantDescription:
    """What edges are told of a plant."""
    return PlantDescription(
        name="main",
        started_ns=1,
        profile=plant.profile.name,
        limits=msgspec.structs.asdict(limits),
        venues=tuple(plant.hubs),
        faults=passed_on(server.faults),
        has_token=server.plane.token.is_needed,
    )


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
    plant, clock, bus = little_plant(profile), Clock(), MemoryBus()
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
    node = PlantNode(
        partial(bus.open, "main"),
        plant,
        described(server, plant, limits),
        prefix="t",
        complaints=server.complaints,
        is_alone=True,
    )
    made = Whole(bus, server, node, plant)
    made.clock, made.trusted_proxies = clock, trusted_proxies
    made.is_beside_plant = is_beside_plant
    await server.start()
    await node.start()
    keeping = asyncio.create_task(node.keep())
    try:
        for _ in range(edges):
            await made.add_edge()
        yield made
        assert bus.faults == []
    finally:
        await made.close()
        await server.stop()
        keeping.cancel()
        await asyncio.wait({keeping})
        await node.close()
