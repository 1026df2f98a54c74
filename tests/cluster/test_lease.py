from __future__ import annotations

import asyncio
import os
import signal
from functools import partial

import pytest
from bus_stage import Bus, open_bus, until
from loopback import looped_on_sockets
from programs import PATIENCE_S

from tickerplant.cluster.lease import Holder, Lease
from tickerplant.cluster.timing import Timing

TIMING = Timing(lease_s=1.0)
REAL_TIME = pytest.mark.slow("the bus forgets a lease in real time")


async def lease_on(bus: Bus, epoch: str, *, wall_ms: int = 1_000, timing: Timing = TIMING) -> Lease:
    connection = await bus.connect(epoch)
    return Lease(
        partial(connection.jetstream, timing.renew_s),
        f"{bus.prefix}=lease",
        f"{bus.prefix}.lease",
        Holder(epoch=epoch, term=0, host="here", pid=7),
        timing=timing,
        wall_ms=lambda: wall_ms,
    )


@looped_on_sockets
async def test_of_many_takers_exactly_one_succeeds_and_the_others_learn_its_name() -> None:
    async with open_bus() as bus:
        long = Timing(lease_s=PATIENCE_S)
        leases = [await lease_on(bus, f"run {number}", timing=long) for number in range(6)]
        found = await asyncio.gather(*(lease.take() for lease in leases))
        assert found.count(None) == 1
        winner = leases[found.index(None)]
        assert {each.epoch for each in found if each} == {winner.me.epoch}
        assert winner.me.where == "process 7 on here"


@REAL_TIME
@looped_on_sockets
async def test_a_lease_that_nobody_renews_can_be_taken_and_its_holder_learns_who_replaced_it() -> (
    None
):
    async with open_bus() as bus:
        sleeper = await lease_on(bus, "sleeper", wall_ms=5_000)
        heir = await lease_on(bus, "heir", wall_ms=10)
        assert await sleeper.take() is None
        assert sleeper.me.term == 5_000
        while await heir.take(above_term=5_000) is not None:  # noqa: ASYNC110  # the bus forgets it
            await asyncio.sleep(0.02)
        assert not sleeper.is_held, "it stopped before another could begin"
        assert heir.me.term == 5_001
        assert await sleeper.keep(lambda _: None) == heir.me
        assert not sleeper.is_held


@REAL_TIME
@looped_on_sockets
async def test_a_lease_that_is_renewed_is_kept_and_one_that_is_released_is_free_at_once() -> None:
    async with open_bus() as bus:
        holder, other = await lease_on(bus, "holder"), await lease_on(bus, "other")
        assert await holder.take() is None
        keeper = asyncio.create_task(holder.keep(lambda _: None))
        for _ in range(15):
            await asyncio.sleep(0.1)
            assert await other.take() == holder.me
        keeper.cancel()
        await holder.release()
        assert await other.take() is None
        assert not holder.is_held


@pytest.mark.slow("the bus is stopped, for longer than a lease lasts")
@looped_on_sockets
async def test_a_holder_that_cannot_reach_the_bus_says_so_and_goes_on_afterwards() -> None:
    async with open_bus(is_own=True) as bus:
        holder = await lease_on(bus, "holder")
        assert await holder.take() is None
        changes: list[tuple[bool, bool]] = []
        keeper = asyncio.create_task(
            holder.keep(lambda is_held: changes.append((is_held, holder.is_held)))
        )
        assert bus.server.process is not None
        os.kill(bus.server.process.pid, signal.SIGSTOP)
        await until(lambda: changes)
        os.kill(bus.server.process.pid, signal.SIGCONT)
        await until(lambda: len(changes) > 1)
        assert changes == [(False, False), (True, True)]
        keeper.cancel()
