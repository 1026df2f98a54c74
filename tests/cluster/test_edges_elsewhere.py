"""Plants and edges that are started on their own, on a bus of the user."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from crew import MARKET, accepts_clients, all_closed, all_hear_more, listening, readiness, started
from hosts import host_of_an_edge
from loopback import looped_on_sockets
from processes import bus, free_port

pytestmark = pytest.mark.slow("programs are started, and a plant is killed")
SECRET = "a-secret-that-nobody-may-see"  # noqa: S105  # of a server of this test
SCALE_OUT = Path(__file__).parents[2] / "docs" / "how-to" / "scale-out.md"
LEAF_NODE = re.compile(r"^```text\n# .+\n(leafnodes .+\n)```$", re.MULTILINE)
PERMISSIONS = re.compile(r"^(permissions: .+)$", re.MULTILINE)


def shown(pid: int) -> str:
    """What a process was started with."""
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


@looped_on_sockets
async def test_an_edge_waits_for_its_plant_and_serves_the_next_one_too(tmp_path: Path) -> None:
    with bus(tmp_path) as address:
        to_bus = ("--bus", f"nats://{address}", "--bus-grace", "2s")
        async with started(tmp_path, "edge", *to_bus, is_ready=False) as edge:
            await edge.said("waiting for the plant main: no plant named main is on the bus")
            async with started(tmp_path, *MARKET, *to_bus, name="plant") as plant:
                await edge.serves()
                async with listening(edge.streams, 2) as clients:
                    os.kill(plant.process.pid, signal.SIGKILL)
                    await all_closed(clients)
            async with started(tmp_path, *MARKET, *to_bus, name="next") as again:
                await edge.said("the plant is back")
                async with listening(edge.streams, 1) as clients:
                    again.process.terminate()
                    await all_closed(clients, end=(1001, "Server shutdown"))
            edge.process.terminate()
            assert (await edge.line())["event"] == "totals"
            assert await edge.ended() == 0


@looped_on_sockets
async def test_workers_of_an_edge_behind_a_leaf_node_need_what_the_page_says_and_show_no_secret(
    tmp_path: Path,
) -> None:
    page = SCALE_OUT.read_text(encoding="utf-8")
    (permissions,), (cluster, leaf) = PERMISSIONS.findall(page), LEAF_NODE.findall(page)
    permitted = permissions.replace("tickerplant.>", "team.market.>")
    user = f'{{ user: "edges", password: "{SECRET}", {permitted} }}'
    port = free_port()
    cluster = cluster.replace("port: 7422", f'host: "127.0.0.1", port: {port}')
    leaf = leaf.replace("cluster.example:7422", f"edges:{SECRET}@127.0.0.1:{port}")
    security = f"authorization {{ users: [ {user} ] }}\n"
    folders = tmp_path / "cluster", tmp_path / "leaf"
    for folder in folders:
        folder.mkdir()
    with bus(folders[0], security + cluster) as near, bus(folders[1], security + leaf) as far:
        secret = {"TICKERPLANT_BUS_PASSWORD": SECRET, "TICKERPLANT_CONTROL_TOKEN": SECRET * 2}
        options = ("--bus-user", "edges", "--plant", "night", "--bus-prefix", "team.market")
        at_plant = (*options, "--bus", f"nats://{near}", "--workers", "1")
        at_edge = (*options, "--bus", f"nats://{far}", "--workers", "2")
        async with (
            started(tmp_path, *MARKET, *at_plant, env=secret) as plant,
            started(tmp_path, "edge", *at_edge, name="edge", env=secret) as edge,
            listening(edge.streams, 4) as clients,
        ):
            await all_hear_more(clients, 10)
            for pid in (*plant.children, *edge.children):
                assert SECRET not in shown(pid)
            assert SECRET not in plant.log + edge.log
            assert (len(plant.workers), len(edge.workers)) == (1, 2)
            edge.process.send_signal(signal.SIGINT)
            assert (await edge.line())["connections"] == 4
            assert await edge.ended() == 0


@looped_on_sockets
async def test_a_cut_within_the_grace_costs_a_pause_and_a_longer_one_the_connections(
    tmp_path: Path,
) -> None:
    with host_of_an_edge() as host, bus(tmp_path, host="0.0.0.0") as address:  # noqa: S104  # two interfaces
        port = address.rpartition(":")[2]
        anywhere = ("--host", "0.0.0.0", "--bus-grace", "4s")  # noqa: S104  # as above
        at_edge = (*anywhere, "--bus", f"nats://{host.bus_address}:{port}")
        async with (
            started(tmp_path, *MARKET, "--bus", f"nats://127.0.0.1:{port}"),
            started(tmp_path, "edge", *at_edge, name="edge", prefix=host.prefix) as edge,
        ):
            at = f"//{host.address}:{urlsplit(edge.streams).port}"
            async with listening(f"ws:{at}", 4) as clients:
                host.cut()
                await asyncio.sleep(1.2)
                host.mend()
                await all_hear_more(clients, 20)
                host.cut()
                await all_closed(clients, within_s=6)
            status, reason = await readiness(f"http:{at}")
            assert (status, reason[:18]) == (503, "no plant answers: ")
            host.mend()
            await accepts_clients(f"ws:{at}")
