"""An edge behind a leaf node of NATS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hearing import Ear, step
from processes import free_port, processes
from programs import PATIENCE_S, USDM, serving
from tickerplant.bus.subjects import Subjects
from tickerplant.cluster.connection import BusConnection, BusSettings
from tickerplant.cluster.memory import BusMemory

from tickerplant.logs import Complaints

CLUSTER = """
jetstream { domain: "market", max_memory_store: 1GB }
leafnodes { port: 7422 }
"""
LEAF = """
leafnodes { remotes: [ { url: "nats-leaf://cluster.example:7422" } ] }
mappings { "$JS.API.>": "$JS.market.API.>" }
"""


@pytest.mark.sockets
@pytest.mark.slow("programs are started")
def test_an_edge_behind_a_leaf_node_hears_the_plant_and_reaches_the_memory_of_the_bus(
    tmp_path: Path,
) -> None:
    port = free_port()
    cluster = CLUSTER.replace("port: 7422", f'host: "127.0.0.1", port: {port}')
    cluster = cluster.replace("jetstream {", f'jetstream {{ store_dir: "{tmp_path}/js",')
    leaf = LEAF.replace("cluster.example:7422", f"127.0.0.1:{port}")
    with processes(tmp_path) as programs:
        ports = free_port(), free_port()
        for number, settings in zip(ports, (cluster, leaf), strict=True):
            programs.bus(number, settings=settings)
        hub_url, leaf_url = (f"nats://127.0.0.1:{each}" for each in ports)
        with (
            serving("simulate", "--symbols", "BTCUSDT", "--paused", "--bus", hub_url) as plant,
            serving("edge", "--bus", leaf_url) as edge,
        ):
            asyncio.run(hear(plant[USDM], edge[USDM], leaf_url))


async def hear(plant: str, edge: str, bus_url: str) -> None:
    ear = Ear()
    await ear.connect(edge, "/ws/btcusdt@bookTicker")
    await ear.ask(1, "LIST_SUBSCRIPTIONS", [])
    size = len(ear.heard)
    async with asyncio.timeout(PATIENCE_S):
        while len(ear.heard) == size:  # until the plant knows that the stream is wanted
            await asyncio.to_thread(step, plant, 1_000)
    await ear.leave()
    bus = await BusConnection.open(
        BusSettings(servers=(bus_url,)), identity="test", complaints=Complaints()
    )
    state = await BusMemory(bus, Subjects(bus.settings.prefix, "main")).state()
    assert state.last > 0
    await bus.close()
