"""A plant without ports and edges of it over a real bus, beside one process that serves the same market."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import msgspec
from bus_stage import PATIENT, PATIENT_MS, Bus, Wire, end, open_bus, until
from loopback import START_MS, TICK_MS, Clock, Loopback, instrument

from tickerplant.bus.nodes import PlantDescription
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.config import kinds
from tickerplant.edge.answers import EdgeAnswers
from tickerplant.edge.server import EdgeServer
from tickerplant.faults.board import passed_on
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.server.operations.control_plane import Steering
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import Server
from tickerplant.venue import COINM, USDM

FAR_S = 1e9
"""The time of a scan that shall not happen."""
NO_PORTS: Mapping[str, int] = {USDM.name: 0, COINM.name: 0}


class Whole:
    """A plant and its edges; `edges` are as a client sees them."""

    def __init__(
        self, bus: Bus, plant: Plant, server: Server, node: PlantNode, answers: EdgeAnswers
    ) -> None:
        self.bus = bus
        self.plant = plant
        self.server = server
        self.node = node
        self.answers = answers
        self.clock = Clock()
        self.trusted_proxies: Sequence[str] = ()
        self.are_beside_plant = True
        self.address = ""
        """That of `wire`, if there is one."""
        self.wire: Wire
        self.edges: list[Loopback] = []
        self.servers: list[EdgeServer] = []
        self.nodes: list[EdgeNode] = []
        self.running: dict[str, asyncio.Task[None]] = {}
        """What runs each edge; the error of one counts, unless a test takes it out."""
        self._stack = contextlib.AsyncExitStack()

    async def add_edge(self, *, grace_ms: int = PATIENT_MS, worker: str = "") -> Loopback:
        """An edge that runs and has reported."""
        number = len(self.edges) + 1
        complaints = Complaints()
        connection = await self.bus.connect(f"edge {number}", complaints, self.address)
        node = EdgeNode(
            connection,
            "main",
            identity=f"edge-{number}",
            grace_ms=grace_ms,
            complaints=complaints,
            timing=PATIENT,
        )
        server = EdgeServer(
            node,
            await node.hello(),
            ports=NO_PORTS,
            worker=worker or str(number),
            complaints=complaints,
            clock=self.clock,
            tick_ms=TICK_MS,
            trusted_proxies=self.trusted_proxies,
            is_beside_plant=self.are_beside_plant,
        )
        await server.start()
        running = asyncio.create_task(server.run())
        self._stack.push_async_callback(node.close)
        self.running[node.identity] = running
        self._stack.push_async_callback(server.stop)
        await until(lambda: node.identity in self.node.edges, "the plant knows the edge")
        # A client only needs to know where it is served.
        loop = Loopback(self.plant, cast("Server", server), self.clock)
        self.edges.append(loop)
        self.servers.append(server)
        self.nodes.append(node)
        return loop

    async def bus_knows(self, name: str, venue: str = "usdm") -> None:
        """Wait until the plant publishes a stream."""
        await until(lambda: (venue, name) in self.node.interest.wanted_by, f"{name} is wanted")

    async def reported(self) -> None:
        """Let every edge report what it has counted so far, and wait until the plant has heard it."""
        answers: list[object] = []
        for server, node in zip(self.servers, self.nodes, strict=True):
            if server._next_scan_s < FAR_S:
                server._next_scan_s = 0.0
            node.send_report()
            node.caller.call("heard", b"", answers.append)  # what was sent before comes before
        await until(lambda: len(answers) == len(self.nodes), "every edge has reported")

    async def close(self) -> None:
        for task in self.running.values():
            await end(task)
        await self._stack.aclose()


def little_plant(profile: Profile = P2026Q1, *, strict_routing: bool = False) -> Plant:
    """One market per venue."""
    return Plant(
        [instrument(USDM, "BTCUSDT", "BTCUSDT"), instrument(COINM, "BTCUSD_PERP", "BTCUSD")],
        start_ms=START_MS,
        strict_routing=strict_routing,
        profile=profile,
    )


@asynccontextmanager
async def whole(
    edges: int = 1,
    limits: Limits = LIMITS,
    *,
    profile: Profile = P2026Q1,
    strict_routing: bool = False,
    faults: str = "",
    forwarder: Forwarder | None = None,
    steering: Steering | None = None,
    grace_ms: int = PATIENT_MS,
    control_token: str = "",
    trusted_proxies: Sequence[str] = (),
    are_beside_plant: bool = True,
    is_wired: bool = False,
) -> AsyncIterator[Whole]:
    """Serve one market per venue through edges, until the end of the block.

    Args:
        are_beside_plant: Whether they are workers, and not on other machines.
        is_wired: Whether the edges reach the bus by `wire`, which can be cut.
    """
    plant = little_plant(profile, strict_routing=strict_routing)
    clock = Clock()
    server = Server(
        plant,
        limits=limits,
        forwarders={USDM.name: forwarder} if forwarder else None,
        steering=steering,
        clock=clock,
        tick_ms=TICK_MS,
        listens=False,
        control_token=control_token,
    )
    server.faults.switch(kinds.read_faults(faults) if faults else ())
    async with open_bus() as bus:
        connection = await bus.connect("plant main", server.complaints)
        description = PlantDescription(
            name="main",
            epoch="1",
            profile=profile.name,
            strict_routing=strict_routing,
            limits=msgspec.structs.asdict(limits),
            venues=tuple(plant.hubs),
            faults=passed_on(server.faults),
            fault_seed=1,
            has_clock=steering is not None,
        )
        node = PlantNode(connection, plant, description, timing=PATIENT)
        answers = EdgeAnswers(server, node, connection)
        await server.start()
        await node.start()
        running = asyncio.create_task(node.run())
        house = Whole(bus, plant, server, node, answers)
        house.clock = clock
        house.trusted_proxies, house.are_beside_plant = trusted_proxies, are_beside_plant
        node.answerer.register("heard", lambda body, reply: reply(body))
        if is_wired:
            house.wire, house.address = await bus.wire()
        try:
            for _ in range(edges):
                await house.add_edge(grace_ms=grace_ms)
            yield house
        finally:
            await house.close()
            await server.stop()
            await end(running)
            await node.close()
