"""A bus that stands still for a while: no client is left silent, and none misses a message unknowingly."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest
from connecting import connect
from crew import MARKET, Crew, Listener, all_hear_more, listening, started, until
from loopback import looped_on_sockets
from programs import PATIENCE_S
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.slow("processes stand still for seconds")

GRACE = ("--bus-grace", "2s")
STANDSTILLS_S = (1.8, 4.0)
"""Shorter than the grace, and longer."""
MORE = int(os.environ.get("STANDSTILLS", "0"))
"""How many more are tried, of 0.5 to 12 s: `STANDSTILLS=100` looks longer."""
LOST = (1013, "Bus lost: messages may be missing")


@looped_on_sockets
async def test_a_bus_that_stands_still_leaves_no_client_silent(tmp_path: Path) -> None:
    chance = random.Random(15)
    more = [chance.uniform(0.5, 12) for _ in range(MORE)]
    async with started(tmp_path, *MARKET, "--workers", "2", *GRACE) as crew:
        for seconds in (*STANDSTILLS_S, *more):
            await accepts_clients(crew)
            async with listening(crew.streams, 6) as clients:
                await all_hear_more(clients)
                await stand_still(crew, seconds)
                await asyncio.gather(*(goes_on_or_is_closed(each, seconds) for each in clients))


@looped_on_sockets
async def test_a_worker_that_stood_still_for_longer_than_the_grace_tells_all_that_came_meanwhile(
    tmp_path: Path,
) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "1", *GRACE) as crew,
        listening(crew.streams, 3) as clients,
    ):
        await all_hear_more(clients)
        worker = crew.workers[1]
        os.kill(worker, signal.SIGSTOP)
        await asyncio.sleep(3.5)
        os.kill(worker, signal.SIGCONT)
        await all_hear_more(clients, 40)  # more than what waited
        assert not any(each.holes for each in clients)


async def accepts_clients(crew: Crew) -> None:
    """Wait until every worker does; one of a few attempts meets each."""
    accepted = 0
    async with asyncio.timeout(PATIENCE_S):
        while accepted < 12:
            try:
                async with connect(f"{crew.streams}/ws"):
                    accepted += 1
            except InvalidStatus:
                accepted = 0
                await asyncio.sleep(0.1)


async def stand_still(crew: Crew, seconds: float) -> None:
    os.kill(crew.bus, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(crew.bus, signal.SIGCONT)


async def goes_on_or_is_closed(client: Listener, seconds: float) -> None:
    before = client.count
    try:
        await until(lambda: client.count > before + 5 or client.task.done())
    except TimeoutError:
        pytest.fail(f"a client is silent after the bus stood still for {seconds:.2f} s")
    assert client.holes == 0, f"messages are missing after {seconds:.2f} s without the bus"
    if client.task.done():
        assert (client.code, client.reason) == LOST, f"after {seconds:.2f} s without the bus"
