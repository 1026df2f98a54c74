"""The network or the bus between plants and edges fails: hosts with addresses of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hosts import Host, hosts
from msgspec import Struct
from processes import (
    Listener,
    Process,
    Processes,
    handshake_status,
    processes,
    readiness,
    wait_ready,
    wait_until,
)
from programs import PATIENCE_S

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

NAMES = (
    *("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@depth5@500ms"),
    *("btcusdt@kline_1m", "btcusdt@markPrice", "!miniTicker@arr"),
)
BUS_PORT, USDM_PORT, COINM_PORT = 4222, 9001, 9002
BUS_LOST = (1013, "Bus lost: messages may be missing")
LONG_GRACE_S, GRACE_S = 8, 3
CUT_S = 3.0
"""Shorter than the long one."""


class Network(Struct):
    """Hosts with a bus and an edge, and a plant on each of the others."""

    programs: Processes
    bus: Host
    edge: Host
    plants: list[Host]
    bus_process: Process

    def start(self, host: Host, command: str, *options: str) -> Process:
        """Start our program on a host."""
        ports = ("--usdm-port", str(USDM_PORT), "--coinm-port", str(COINM_PORT))
        return self.programs.start(
            *(command, "--host", "0.0.0.0", *ports),  # noqa: S104  # a host of the test's own
            *("--bus", f"nats://{self.bus.address}:{BUS_PORT}", "--plant", "test", *options),
            prefix=host.prefix,
            port=USDM_PORT,
        )

    def start_bus(self) -> None:
        """Start the bus again."""
        self.bus_process = self.programs.bus(BUS_PORT, "0.0.0.0", self.bus.prefix)  # noqa: S104


def url(host: Host) -> str:
    """Return the URL of what serves on a host, for clients that no cut concerns."""
    return f"ws://{host.local_address}:{USDM_PORT}"


async def until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
    """Return after how many seconds `condition` was true; clients are read meanwhile."""
    return await asyncio.to_thread(wait_until, condition, what, within_s)


async def ready(host: Host) -> float:
    return await asyncio.to_thread(wait_ready, USDM_PORT, 30.0, host.local_address)


@contextmanager
def network(folder: Path, *plants: str) -> Iterator[Network]:
    with hosts("bus", "edge", *plants) as (bus, edge, *others), processes(folder) as programs:
        bus_process = programs.bus(BUS_PORT, "0.0.0.0", bus.prefix)  # noqa: S104
        yield Network(programs, bus, edge, others, bus_process)


def run(folder: Path, check: Callable[[Network], Awaitable[None]], *plants: str) -> None:
    async def main(made: Network) -> None:
        await check(made)

    with network(folder, *plants) as made:
        asyncio.run(main(made))


async def open_all(at: str, names: Sequence[str] = NAMES) -> list[Listener]:
    """Return a combined client of `names`, and a raw one of each."""
    urls = [f"{at}/stream?streams={'/'.join(names)}", *(f"{at}/ws/{name}" for name in names)]
    return list(await asyncio.gather(*(Listener(each).open() for each in urls)))


def assert_whole(heard: Listener, told: Listener) -> int:
    """Assert that a client heard the same in one piece as one of the plant's own; return how much."""
    for name, payloads in heard.payloads.items():
        source = told.payloads[name]
        first = source.index(payloads[0])
        assert payloads == source[first : first + len(payloads)], f"{name}: not what was told"
    return heard.count


async def simulation_and_edge(made: Network, grace_s: int) -> Process:
    """Start a simulation and the edge; return the edge."""
    (plant,) = made.plants
    made.start(plant, "simulate", "--symbols", "BTCUSDT,ETHUSDT", "--intensity", "3")
    await ready(plant)
    edge = made.start(made.edge, "edge", "--bus-grace", f"{grace_s}s")
    await ready(made.edge)
    return edge


def survives(
    fail: Callable[[Network], object], mend: Callable[[Network], object]
) -> Callable[[Network], Awaitable[None]]:
    """Return a check that a failure within the grace costs nothing."""

    async def check(made: Network) -> None:
        await simulation_and_edge(made, LONG_GRACE_S)
        told = await Listener(f"{url(made.plants[0])}/stream?streams={'/'.join(NAMES)}").open()
        heard = await open_all(url(made.edge))
        await asyncio.sleep(3)
        before = [each.count for each in heard]
        fail(made)
        await asyncio.sleep(CUT_S)
        mend(made)
        await until(
            lambda: all(each.count > count + 3 for each, count in zip(heard, before, strict=True)),
            "all go on",
        )
        await asyncio.sleep(3)
        counts = [assert_whole(each, told) for each in heard]
        assert [each.close for each in heard] == [None] * len(heard)
        assert readiness(USDM_PORT, made.edge.local_address)[0] == 200
        pause_s = heard[0].longest_silence_s
        sys.stdout.write(f"away for {CUT_S} s: paused {pause_s:.1f} s, messages whole: {counts}\n")
        for each in (*heard, told):
            await each.end()

    return check


def closes(
    fail: Callable[[Network], object], mend: Callable[[Network], object]
) -> Callable[[Network], Awaitable[None]]:
    """Return a check that a failure for longer than the grace is told, and can be got over."""

    async def check(made: Network) -> None:
        edge = await simulation_and_edge(made, GRACE_S)
        heard = await open_all(url(made.edge), NAMES[:2])
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        fail(made)
        began_s = loop.time()
        for each in heard:
            assert await each.closed(15) == BUS_LOST
        took_s = loop.time() - began_s
        assert GRACE_S - 1 < took_s < GRACE_S + 4
        assert await handshake_status(f"{url(made.edge)}/ws/btcusdt@trade") == 503
        status, text = readiness(USDM_PORT, made.edge.local_address)
        assert status == 503
        assert "lost" in text or "silent" in text
        assert "stream connections are closed" in edge.log
        mend(made)
        back_s = await ready(made.edge)
        again = await Listener(f"{url(made.edge)}/ws/btcusdt@trade").open()
        await until(lambda: again.count > 5, "it is served again")
        await again.end()
        sys.stdout.write(f"closed after {took_s:.1f} s; ready {back_s:.1f} s after the repair\n")

    return check


CUT_EDGE = (lambda made: made.edge.cut(), lambda made: made.edge.mend())
CUT_PLANT = (lambda made: made.plants[0].cut(), lambda made: made.plants[0].mend())
KILL_BUS = (lambda made: made.bus_process.kill(), lambda made: made.start_bus())


@pytest.mark.parametrize(
    ("fail", "mend"), [CUT_EDGE, CUT_PLANT, KILL_BUS], ids=["edge cut", "plant cut", "bus killed"]
)
def test_a_failure_within_the_grace_costs_clients_nothing_but_a_pause(
    tmp_path: Path, fail: Callable[[Network], object], mend: Callable[[Network], object]
) -> None:
    run(tmp_path, survives(fail, mend), "plant")


@pytest.mark.parametrize(("fail", "mend"), [CUT_EDGE, KILL_BUS], ids=["edge cut", "bus killed"])
def test_a_failure_for_longer_than_the_grace_closes_clients_with_the_reason(
    tmp_path: Path, fail: Callable[[Network], object], mend: Callable[[Network], object]
) -> None:
    run(tmp_path, closes(fail, mend), "plant")


def test_a_relay_that_was_cut_off_is_taken_over_and_finds_itself_replaced(tmp_path: Path) -> None:
    async def check(made: Network) -> None:
        upstream, one, other = made.plants
        made.programs.start(
            *("simulate", "--symbols", "BTCUSDT,ETHUSDT", "--host", "0.0.0.0"),  # noqa: S104
            prefix=upstream.prefix,
        )
        await ready(upstream)
        source = ("--usdm-url", f"ws://{upstream.address}:{USDM_PORT}")
        first = made.start(one, "relay", *source)
        await ready(one)
        made.start(other, "relay", *source, "--standby")
        waits = "standby of the plant test"
        await until(lambda: waits in readiness(USDM_PORT, other.local_address)[1], "it waits")
        made.start(made.edge, "edge")
        await ready(made.edge)
        names = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@kline_1m")
        told = await Listener(f"{url(upstream)}/stream?streams={'/'.join(names)}").open()
        heard = await open_all(url(made.edge), names)
        await asyncio.sleep(4)
        one.cut()
        await until(lambda: readiness(USDM_PORT, other.local_address)[0] == 200, "taken over")
        await asyncio.sleep(4)
        one.mend()
        await until(lambda: waits in readiness(USDM_PORT, one.local_address)[1], "replaced")
        assert "another plant named test has replaced this one: process" in first.log
        await asyncio.sleep(2)
        counts = [assert_whole(each, told) for each in heard]
        assert [each.close for each in heard] == [None] * len(heard)
        sys.stdout.write(f"paused {heard[0].longest_silence_s:.1f} s, whole: {counts}\n")
        for each in (*heard, told):
            await each.end()

    run(tmp_path, check, "upstream", "one", "other")
