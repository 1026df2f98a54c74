"""Plants and edges that are started on their own, on a bus of the user."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from buses import accounts, bus, certificates
from crew import (
    MARKET,
    Crew,
    accepts_clients,
    all_closed,
    all_hear_more,
    listening,
    readiness,
    started,
    until,
)
from hosts import host_of_an_edge
from loopback import looped_on_sockets

pytestmark = pytest.mark.slow("programs are started, and a plant is killed")
SECRET = "a-secret-that-nobody-may-see"  # noqa: S105  # of a server of this test
SCALE_OUT = Path(__file__).parents[2] / "docs" / "how-to" / "scale-out.md"
LEAF_NODE = re.compile(r"^```text\n# .+\n(leafnodes .+\n)```$", re.MULTILINE)
PERMISSIONS = re.compile(r"^(permissions: .+)$", re.MULTILINE)
PASSWORD = f'authorization {{ user: "edges", password: "{SECRET}" }}'


async def refusal(folder: Path, *arguments: str, name: str = "refused") -> str:
    """What the program says that ends at once, with exit status 2."""
    async with started(folder, *arguments, is_ready=False, name=name) as crew:
        assert await crew.ended() == 2
        (line,) = crew.log.splitlines()
        return line


def shown(pid: int) -> str:
    """What a process was started with."""
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


@looped_on_sockets
async def test_an_edge_waits_for_its_plant_and_serves_the_next_one_too(tmp_path: Path) -> None:
    async with bus(tmp_path) as address:
        to_bus = ("--bus", f"nats://{address}", "--bus-grace", "2s")
        async with started(tmp_path, "edge", *to_bus, is_ready=False) as edge:
            await edge.said("waiting for the plant main: no plant named main is on the bus")
            async with started(tmp_path, *MARKET, *to_bus, name="plant") as plant:
                await _serves(edge)
                async with listening(edge.streams, 2) as clients:
                    await all_hear_more(clients)
                    os.kill(plant.process.pid, signal.SIGKILL)
                    await until(lambda: all(each.task.done() for each in clients))
                    assert {(each.code, each.holes) for each in clients} == {(1013, 0)}
            async with started(tmp_path, *MARKET, *to_bus, name="next") as again:
                await edge.said("the plant is back")
                async with listening(edge.streams, 1) as (client,):
                    await client.hears_more()
                    again.process.terminate()
                    await until(client.task.done)
                    assert (client.code, client.reason) == (1001, "Server shutdown")
            edge.process.terminate()
            assert (await edge.line())["event"] == "totals"
            assert await edge.ended() == 0


async def _serves(edge: Crew) -> None:
    edge.streams = (await edge.line())["venues"]["usdm"]["streams"]


@looped_on_sockets
async def test_workers_of_an_edge_need_the_permissions_of_the_page_and_show_no_secret(
    tmp_path: Path,
) -> None:
    (permissions,) = PERMISSIONS.findall(SCALE_OUT.read_text(encoding="utf-8"))
    user = PASSWORD[len("authorization") :].replace(" }", f", {permissions} }}")
    users = user.replace("tickerplant.>", "team.market.>")
    async with bus(tmp_path, f"authorization {{ users: [ {users} ] }}") as address:
        secret = {"TICKERPLANT_BUS_PASSWORD": SECRET, "TICKERPLANT_CONTROL_TOKEN": SECRET * 2}
        options = [
            *("--bus", f"nats://{address}", "--bus-user", "edges", "--plant", "night"),
            *("--bus-prefix", "team.market"),
        ]
        async with (
            started(tmp_path, *MARKET, *options, "--workers", "1", env=secret) as plant,
            started(tmp_path, "edge", *options, "--workers", "2", env=secret, name="edge") as edge,
            listening(edge.streams, 4) as clients,
        ):
            await all_hear_more(clients)
            for pid in (*plant.children, *edge.children):
                assert SECRET not in shown(pid)
            assert SECRET not in plant.log + edge.log
            assert len(plant.workers) == 1
            assert len(edge.workers) == 2
            edge.process.send_signal(signal.SIGINT)
            assert (await edge.line())["connections"] == 4
            assert await edge.ended() == 0


@looped_on_sockets
async def test_each_way_to_be_refused_by_a_bus_is_one_sentence(tmp_path: Path) -> None:
    async with bus(tmp_path, PASSWORD) as address:
        url = f"nats://{address}"
        wrong = ("--bus-user", "edges", "--bus-password", "guess")
        for number, command in enumerate((("edge",), (*MARKET, "--workers", "2"))):
            line = await refusal(tmp_path, *command, "--bus", url, *wrong, name=str(number))
            assert line.startswith(f"tickerplant: no connection to the bus at {url}: ")
            assert "Authorization Violation" in line
        line = await refusal(tmp_path, *MARKET, "--bus", "nats://127.0.0.1:1")
        assert line.startswith("tickerplant: no connection to the bus at nats://127.0.0.1:1: ")
        given = ("--bus", f"tls://{address}", "--bus-user", "edges", "--bus-password", SECRET)
        assert "TLS" in await refusal(tmp_path, "edge", *given)


@looped_on_sockets
async def test_a_second_plant_of_a_name_is_refused(tmp_path: Path) -> None:
    async with bus(tmp_path) as address:
        to_bus = ("--bus", f"nats://{address}", "--plant", "day")
        async with started(tmp_path, *MARKET, *to_bus):
            line = await refusal(tmp_path, *MARKET, *to_bus)
            assert f"a plant named day is on the bus already, on {socket.gethostname()}" in line
            assert "--plant" in line


@looped_on_sockets
async def test_an_edge_behind_a_leaf_node_of_the_page_hears_the_plant(tmp_path: Path) -> None:
    cluster, leaf = LEAF_NODE.findall(SCALE_OUT.read_text(encoding="utf-8"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster = cluster.replace("port: 7422", f'host: "127.0.0.1", port: {port}')
    leaf = leaf.replace("cluster.example:7422", f"127.0.0.1:{port}")
    folders = tmp_path / "cluster", tmp_path / "leaf"
    for folder in folders:
        folder.mkdir()
    async with (
        bus(folders[0], cluster) as near,
        bus(folders[1], leaf) as far,
        started(tmp_path, *MARKET, "--bus", f"nats://{near}"),
        started(tmp_path, "edge", "--bus", f"nats://{far}", name="edge") as edge,
        listening(edge.streams, 2) as clients,
    ):
        await all_hear_more(clients, 10)
        assert not any(each.holes for each in clients)


@looped_on_sockets
async def test_a_cut_within_the_grace_costs_a_pause_and_a_longer_one_the_connections(
    tmp_path: Path,
) -> None:
    with host_of_an_edge() as host:
        async with bus(tmp_path, host="0.0.0.0") as address:  # noqa: S104  # two interfaces
            port = address.rpartition(":")[2]
            options = ("--host", "0.0.0.0", "--bus-grace", "4s")  # noqa: S104  # as above
            to_bus = ("--bus", f"nats://{host.bus_address}:{port}")
            async with (
                started(tmp_path, *MARKET, "--bus", f"nats://127.0.0.1:{port}"),
                started(
                    tmp_path, "edge", *options, *to_bus, name="edge", prefix=host.prefix
                ) as edge,
            ):
                at = f"{host.address}:{urlsplit(edge.streams).port}"
                async with listening(f"ws://{at}", 4) as clients:
                    await all_hear_more(clients)
                    host.cut()
                    await asyncio.sleep(1.2)
                    host.mend()
                    await all_hear_more(clients, 20)
                    assert not any(each.holes for each in clients)
                    host.cut()
                    await all_closed(clients, within_s=6)
                status, reason = await asyncio.to_thread(readiness, f"http://{at}")
                assert (status, reason[:18]) == (503, "no plant answers: ")
                host.mend()
                await accepts_clients(f"ws://{at}")
                async with listening(f"ws://{at}", 2) as clients:
                    await all_hear_more(clients)


@looped_on_sockets
async def test_a_bus_is_reached_with_credentials_and_with_certificates(tmp_path: Path) -> None:
    security, credentials = accounts(tmp_path)
    async with (
        bus(tmp_path, security) as address,
        started(
            tmp_path,
            *(*MARKET, "--workers", "1", "--bus", f"nats://{address}"),
            *("--bus-credentials", str(credentials)),
        ) as crew,
        listening(crew.streams, 1) as (client,),
    ):
        await client.hears_more()

    security, ca, certificate = certificates(tmp_path)
    async with bus(tmp_path, security) as address:
        options = ("--bus", f"tls://{address}", "--bus-ca", str(ca))
        line = await refusal(tmp_path, "edge", *options)
        assert line.startswith(f"tickerplant: no TLS to the bus at tls://{address}: ")
        async with (
            started(
                tmp_path,
                *(*MARKET, "--workers", "1", *options, "--bus-cert", str(certificate)),
            ) as crew,
            listening(crew.streams, 1) as (client,),
        ):
            await client.hears_more()


def test_without_a_bus_nothing_of_it_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys, threading, _thread\n"
        "from tickerplant import cli\n"
        "from tickerplant.startup import ready\n"
        "import click\n"
        "cli.click.echo = lambda text, **_: _thread.interrupt_main()\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as end: status = end.code\n"
        "print(status, *sorted(name for name in sys.modules if name.split('.')[0] == 'nats'\n"
        "    or name.startswith('tickerplant.cluster.')))\n"
    )

    @looped_on_sockets
    async def test() -> None:
        ended = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *MARKET, "--usdm-port", "0", "--coinm-port", "0"),
            stdout=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        out, _ = await ended.communicate()
        # It is interrupted when it is ready.
        assert out.decode().split() == ["0", "tickerplant.cluster.options"]

    test()
