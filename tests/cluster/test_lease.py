from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import nats
import pytest
from nats.aio.client import Client
from programs import PATIENCE_S

from tickerplant.cluster.lease import RENEW_S, Holder, Lease
from tickerplant.cluster.nats_server import NatsServer
from tickerplant.logs import Complaints

pytestmark = pytest.mark.sockets

LENGTH_S = 1.0


class Bus:
    """A server, and one client for each lease."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.clients: list[Client] = []

    async def lease(self, epoch: str, *, wall_ms: int = 1_000) -> Lease:
        client = await nats.connect(
            self.server.url,
            user=self.server.user,
            password=self.server.password,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
            error_cb=_ignore,
        )
        self.clients.append(client)
        return Lease(
            partial(client.jetstream, timeout=RENEW_S),
            "test=main=lease",
            "test.main.lease",
            Holder(epoch=epoch, term=0, host="here", pid=7),
            length_s=LENGTH_S,
            wall_ms=lambda: wall_ms,
        )


async def _ignore(_: Exception) -> None:
    """The tests look at the leases."""


@asynccontextmanager
async def bus() -> AsyncIterator[Bus]:
    server = NatsServer(Complaints())
    await server.start()
    made = Bus(server)
    try:
        yield made
    finally:
        for client in made.clients:
            await client.close()
        await server.stop()


def run(check: Callable[[Bus], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bus() as made:
            await check(made)

    asyncio.run(main())


async def until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # a server and tasks of others do it
            await asyncio.sleep(0.01)


async def taken(lease: Lease, above_term: int) -> None:
    while await lease.take(above_term) is not None:  # noqa: ASYNC110  # the bus forgets it
        await asyncio.sleep(0.02)


def test_of_many_takers_exactly_one_succeeds_and_the_others_learn_its_name() -> None:
    async def check(bus: Bus) -> None:
        leases = [await bus.lease(f"run {number}") for number in range(6)]
        found = await asyncio.gather(*(lease.take() for lease in leases))
        (winner,) = [lease for lease in leases if lease.is_held]
        assert found.count(None) == 1
        assert {each.epoch for each in found if each} == {winner.me.epoch}
        assert winner.me.where == "process 7 on here"

    run(check)


@pytest.mark.heavy
def test_a_lease_that_nobody_renews_can_be_taken_after_its_time_and_its_term_rises() -> None:
    async def check(bus: Bus) -> None:
        dead, heir = await bus.lease("dead", wall_ms=5_000), await bus.lease("heir", wall_ms=10)
        assert await dead.take() is None
        assert dead.me.term == 5_000
        assert await heir.take() == dead.me
        await until(lambda: not dead.is_held)
        await asyncio.wait_for(taken(heir, above_term=5_000), PATIENCE_S)
        assert not dead.is_held, "it stopped before another could begin"
        assert heir.me.term == 5_001

    run(check)


@pytest.mark.heavy
def test_a_lease_that_is_renewed_is_kept_and_one_that_is_released_is_free_at_once() -> None:
    async def check(bus: Bus) -> None:
        holder, other = await bus.lease("holder"), await bus.lease("other")
        assert await holder.take() is None
        keeper = asyncio.create_task(holder.keep(lambda _: None))
        for _ in range(15):
            await asyncio.sleep(0.1)
            assert holder.is_held
            assert await other.take() == holder.me
        keeper.cancel()
        await holder.release()
        assert await other.take() is None
        assert not holder.is_held

    run(check)


@pytest.mark.heavy
def test_a_holder_that_slept_too_long_learns_who_has_replaced_it() -> None:
    async def check(bus: Bus) -> None:
        sleeper, heir = await bus.lease("sleeper"), await bus.lease("heir")
        assert await sleeper.take() is None
        await asyncio.sleep(LENGTH_S)
        assert not sleeper.is_held
        await taken(heir, above_term=sleeper.me.term)
        assert await sleeper.keep(lambda _: None) == heir.me
        assert not sleeper.is_held

    run(check)


@pytest.mark.heavy
def test_after_a_restart_of_the_bus_the_holder_has_its_lease_again() -> None:
    async def check(bus: Bus) -> None:
        holder, other = await bus.lease("holder"), await bus.lease("other")
        assert await holder.take() is None
        keeper = asyncio.create_task(holder.keep(lambda _: None))
        assert bus.server.process is not None
        os.kill(bus.server.process.pid, signal.SIGKILL)
        await until(lambda: bool(bus.server.restart_count))
        await asyncio.sleep(2 * LENGTH_S)
        assert holder.is_held
        assert await other.take() == holder.me
        keeper.cancel()

    run(check)


@pytest.mark.heavy
def test_a_holder_that_cannot_reach_the_bus_says_so_in_time_and_goes_on_afterwards() -> None:
    async def check(bus: Bus) -> None:
        holder = await bus.lease("holder")
        assert await holder.take() is None
        changes: list[tuple[bool, bool]] = []
        keeper = asyncio.create_task(
            holder.keep(lambda is_held: changes.append((is_held, holder.is_held)))
        )
        assert bus.server.process is not None
        os.kill(bus.server.process.pid, signal.SIGSTOP)
        await until(lambda: bool(changes), LENGTH_S + 2 * RENEW_S + 1)
        os.kill(bus.server.process.pid, signal.SIGCONT)
        await until(lambda: len(changes) > 1)
        assert changes == [(False, False), (True, True)]
        keeper.cancel()

    run(check)
