"""Programs with workers: what only processes, signals and the kernel can show."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme
from connecting import connect
from crew import (
    MARKET,
    accepts_clients,
    all_closed,
    all_hear_more,
    is_running,
    listening,
    readiness,
    standing,
    started,
    until,
)
from loopback import looped_on_sockets

pytestmark = pytest.mark.slow("programs are killed, or stand still for seconds")

AT_ONCE_S = 3
"""Less than the usual grace of the bus."""


@looped_on_sockets
async def test_a_killed_worker_is_replaced_and_nobody_else_notices(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "3") as crew,
        listening(crew.streams, 12) as clients,
    ):
        served = re.findall(r" c\d+ = open .* worker=(\d)$", crew.log, re.MULTILINE)
        assert len(served) == len(clients), crew.log
        before = crew.workers
        os.kill(before[2], signal.SIGKILL)
        await crew.said("worker 2 ended (killed by SIGKILL); it is replaced at once")
        while len(crew.workers) < 3 or crew.workers[2] == before[2]:
            async with connect(f"{crew.streams}/ws/btcusdt@trade"):
                pass  # no attempt is refused
        await until(lambda: sum(each.task.done() for each in clients) >= served.count("2"))
        others = [each for each in clients if not each.task.done()]
        assert {each.end[0] for each in clients if each not in others} <= {1006}
        await all_hear_more(others, 10)
        assert len(others) == len(clients) - served.count("2")
        assert crew.workers | {2: 0} == before | {2: 0}
        os.kill(crew.workers[3], signal.SIGTERM)
        await crew.said("worker 3 ended (exit status 0); it is replaced at once")
        await accepts_clients(crew.streams)


@looped_on_sockets
async def test_a_killed_bus_closes_all_at_once_and_is_started_again(tmp_path: Path) -> None:
    async with started(tmp_path, *MARKET, "--workers", "2") as crew:
        async with listening(crew.streams, 8) as clients:
            os.kill(crew.bus, signal.SIGKILL)
            await all_closed(clients, within_s=AT_ONCE_S)
        status, reason = await readiness(crew.rest)
        assert (status, reason[:18]) == (503, "no plant answers: ")
        await crew.said("nats-server ended (killed by SIGKILL)")
        await accepts_clients(crew.streams)
        assert (await readiness(crew.rest))[0] == 200


@looped_on_sockets
async def test_what_stands_still_is_a_pause_and_a_bus_for_longer_than_the_grace_the_end(
    tmp_path: Path,
) -> None:
    options = ("--workers", "2", "--bus-grace", "2s")
    async with started(tmp_path, *MARKET, *options) as crew:
        async with listening(crew.streams, 6) as clients:
            async with standing(crew.bus), standing(crew.workers[1]):
                await asyncio.sleep(1)
            await all_hear_more(clients, 10)
            async with standing(crew.workers[2]):
                await asyncio.sleep(3.5)  # who stood still itself hears first
            await all_hear_more(clients, 40)  # more than what waited
            async with standing(crew.bus):
                await all_closed(clients, within_s=2 + 2)
        await accepts_clients(crew.streams)


@looped_on_sockets
async def test_workers_of_a_killed_plant_close_their_clients_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    async with started(tmp_path, *MARKET, "--workers", "2", env={"TMPDIR": str(left)}) as crew:
        async with listening(crew.streams, 6) as clients:
            children = crew.children
            assert len(children) == 3
            os.kill(crew.process.pid, signal.SIGKILL)
            await all_closed(clients, within_s=AT_ONCE_S)
        await until(lambda: not any(map(is_running, children)))
        assert list(left.iterdir()) == []


def issued(path: Path) -> ssl.SSLContext:
    """Put a certificate at `path`; return who trusts only this one."""
    authority = trustme.CA()
    new = path.with_suffix(".new")
    new.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    new.replace(path)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


@looped_on_sockets
async def test_settings_and_signals_of_a_program_reach_every_worker(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    old_trust = issued(path)
    options = ("--workers", "2", "--tls-cert", str(path), "--rest-compression", "off")
    async with (
        started(tmp_path, *MARKET, *options, "--trusted-proxy", "127.0.0.1") as crew,
        listening(crew.streams, 4, ssl=old_trust) as clients,
    ):
        children, new_trust = crew.children, issued(path)
        os.kill(crew.process.pid, signal.SIGHUP)
        await crew.said("the certificate was read again", 2)
        assert "there is no certificate" not in crew.log
        for client in ("203.0.113.7", "203.0.113.8"):
            for used in range(1, 5):  # whichever worker answers
                headers = {"X-Forwarded-For": client, "Accept-Encoding": "gzip"}
                async with (
                    aiohttp.ClientSession(auto_decompress=False, headers=headers) as session,
                    session.get(f"{crew.rest}/fapi/v1/exchangeInfo", ssl=new_trust) as answer,
                ):
                    assert answer.headers["x-mbx-used-weight-1m"] == str(used)
                    assert "Content-Encoding" not in answer.headers
        await all_hear_more(clients)
        os.kill(crew.process.pid, signal.SIGINT)
        totals = await crew.line()
        assert await crew.ended() == 0
        await all_closed(clients, end=(1001, "Server shutdown"))
        assert not any(map(is_running, children))
        assert (totals["connections"], totals["ended"]) == (4, "interrupted")
        assert totals["messages"] >= sum(each.count for each in clients)
        assert "Traceback" not in crew.log
