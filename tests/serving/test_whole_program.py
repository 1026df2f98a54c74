"""Programs with workers: what their clients see when a process is killed, or stands still."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from connecting import connect
from crew import (
    MARKET,
    accepts_clients,
    all_closed,
    all_hear_more,
    is_running,
    listening,
    readiness,
    started,
    until,
)
from loopback import looped_on_sockets

pytestmark = pytest.mark.slow("programs are killed, or stand still for seconds")

GRACE_S = 3


@asynccontextmanager
async def standing(process: int) -> AsyncIterator[None]:
    """Let a process stand still until the end of the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@looped_on_sockets
async def test_a_killed_worker_is_replaced_and_nobody_else_notices(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "3") as crew,
        listening(crew.streams, 12) as clients,
    ):
        await all_hear_more(clients)
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
        assert {each.code for each in clients if each not in others} <= {1006}
        await all_hear_more(others, 10)
        assert len(others) == len(clients) - served.count("2")
        assert not any(each.holes for each in others)
        assert {number: crew.workers[number] for number in (1, 3)} == {
            number: before[number] for number in (1, 3)
        }
        os.kill(crew.workers[3], signal.SIGTERM)
        await crew.said("worker 3 ended (exit status 0); it is replaced at once")
        async with listening(crew.streams, 12) as later:  # also at the new ones
            await all_hear_more(later)


@looped_on_sockets
async def test_a_killed_bus_closes_all_at_once_and_is_started_again(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 8) as clients,
    ):
        await all_hear_more(clients)
        os.kill(crew.bus, signal.SIGKILL)
        await all_closed(clients, within_s=GRACE_S)
        status, reason = await asyncio.to_thread(readiness, crew.rest)
        assert status == 503
        assert reason.startswith("no plant answers: ")
        await crew.said("nats-server ended (killed by SIGKILL)")
        await accepts_clients(crew.streams)
        async with listening(crew.streams, 4) as others:
            await all_hear_more(others)
        assert (await asyncio.to_thread(readiness, crew.rest))[0] == 200


@looped_on_sockets
async def test_a_bus_that_stands_still_is_a_pause_and_for_longer_than_the_grace_the_end(
    tmp_path: Path,
) -> None:
    options = ("--workers", "2", "--bus-grace", f"{GRACE_S}s")
    async with started(tmp_path, *MARKET, *options) as crew:
        async with listening(crew.streams, 6) as clients:
            await all_hear_more(clients)
            async with standing(crew.bus):
                await asyncio.sleep(GRACE_S - 1)
                silent = (503, "no plant answers: the plant is silent")
                assert await asyncio.to_thread(readiness, crew.rest) == silent
            await all_hear_more(clients, 10)
            assert not any(each.holes for each in clients)
            async with standing(crew.bus):
                await all_closed(clients, within_s=GRACE_S + 2)
        await accepts_clients(crew.streams)
        async with listening(crew.streams, 4) as others:
            await all_hear_more(others)


@looped_on_sockets
async def test_a_worker_that_stood_still_for_longer_than_the_grace_tells_all_that_came_meanwhile(
    tmp_path: Path,
) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "1", "--bus-grace", "2s") as crew,
        listening(crew.streams, 3) as clients,
    ):
        await all_hear_more(clients)
        async with standing(crew.workers[1]):
            await asyncio.sleep(3.5)
        await all_hear_more(clients, 40)  # more than what waited
        assert not any(each.holes for each in clients)


@looped_on_sockets
async def test_workers_of_a_killed_plant_close_their_clients_and_end(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 6) as clients,
    ):
        await all_hear_more(clients)
        children = crew.children
        assert len(children) == 3
        os.kill(crew.process.pid, signal.SIGKILL)
        await all_closed(clients, within_s=GRACE_S)
        await until(lambda: not any(map(is_running, children)))


@looped_on_sockets
async def test_a_signal_ends_everything_once(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 4) as clients,
    ):
        await all_hear_more(clients)
        children = crew.children
        os.kill(crew.process.pid, signal.SIGINT)
        totals = await crew.line()
        assert await crew.ended() == 0
        assert {each.code for each in clients if each.task.done()} == {1001}
        assert not any(map(is_running, children))
        assert totals["connections"] == 4
        assert totals["messages"] >= sum(each.count for each in clients)
        assert totals["ended"] == "interrupted"
        assert "Traceback" not in crew.log
