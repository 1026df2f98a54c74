"""An edge behind a leaf node of NATS, set up as `docs/explanation/scaling.md` says."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hearing import Ear, step
from processes import free_port
from programs import PATIENCE_S, USDM, serving

from tickerplant.bus.subjects import Subjects
from tickerplant.cluster.connection import BusConnection, BusSettings
from tickerplant.cluster.memory import BusMemory
from tickerplant.cluster.nats_server import program
from tickerplant.logs import Complaints

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scaling.md"
SETTINGS = re.compile(r"^```text\n# (.+)\n((?:.+\n)+)```$", re.MULTILINE)


@contextlib.contextmanager
def nats(folder: Path, settings: str) -> Iterator[str]:
    """Run a NATS server with the settings of the page; yield its URL."""
    folder.mkdir()
    port, log = free_port(), folder / "log"
    (folder / "conf").write_text(f"host: 127.0.0.1\nport: {port}\n{settings}", encoding="utf-8")
    with subprocess.Popen([program(), "-c", str(folder / "conf"), "-l", str(log)]) as server:  # noqa: S603  # our own
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not log.exists() or "Server is ready" not in log.read_text(encoding="utf-8"):
                assert time.monotonic() < until_s
                time.sleep(0.05)
            yield f"nats://127.0.0.1:{port}"
        finally:
            server.kill()


def test_an_edge_behind_a_leaf_node_hears_the_plant_and_reaches_the_memory_of_the_bus(
    tmp_path: Path,
) -> None:
    (_, cluster), (_, leaf) = SETTINGS.findall(PAGE.read_text(encoding="utf-8"))
    port = free_port()
    cluster = cluster.replace("port: 7422", f'host: "127.0.0.1", port: {port}')
    cluster = cluster.replace("jetstream {", f'jetstream {{ store_dir: "{tmp_path}/js",')
    leaf = leaf.replace("cluster.example:7422", f"127.0.0.1:{port}")
    with (
        nats(tmp_path / "cluster", cluster) as hub_url,
        nats(tmp_path / "leaf", leaf) as leaf_url,
        serving("simulate", "--symbols", "BTCUSDT", "--paused", "--bus", hub_url) as plant,
        serving("edge", "--bus", leaf_url) as edge,
    ):

        async def check() -> None:
            ear = Ear()
            await ear.connect(edge[USDM], "/ws/btcusdt@bookTicker")
            await ear.ask(1, "LIST_SUBSCRIPTIONS", [])
            size = len(ear.heard)
            async with asyncio.timeout(PATIENCE_S):
                while len(ear.heard) == size:  # until the plant knows that the stream is wanted
                    await asyncio.to_thread(step, plant[USDM], 1_000)
            await ear.leave()
            bus = await BusConnection.open(
                BusSettings(servers=(leaf_url,)), identity="test", complaints=Complaints()
            )
            state = await BusMemory(bus, Subjects(bus.settings.prefix, "main")).state()
            assert state.last > 0
            await bus.close()

        asyncio.run(check())
