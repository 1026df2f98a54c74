"""Plants and edges that are started on their own, on a bus of the user."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from buses import accounts, bus, certificates
from crew import MARKET, Crew, all_hear_more, listening, started, until
from loopback import looped_on_sockets

pytestmark = pytest.mark.slow("programs are started, and a plant is killed")
SECRET = "a-secret-that-nobody-may-see"  # noqa: S105  # of a server of this test
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
async def test_workers_of_an_edge_share_its_ports_and_show_no_secret(tmp_path: Path) -> None:
    async with bus(tmp_path, PASSWORD) as address:
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
async def test_a_plant_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    async with bus(tmp_path) as address:
        to_bus = ("--bus", f"nats://{address}")
        async with (
            started(tmp_path, *MARKET, *to_bus, "--plant", "day"),
            started(
                tmp_path, "edge", *to_bus, "--plant", "nigth", name="edge", is_ready=False
            ) as edge,
        ):
            await edge.said("no plant named nigth is on the bus")
            assert "plants that are there: day" in edge.log
            line = await refusal(tmp_path, *MARKET, *to_bus, "--plant", "day")
            assert "a plant named" in line
            assert "--plant" in line


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
