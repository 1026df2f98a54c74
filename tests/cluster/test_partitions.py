"""The network between a plant and an edge fails: hosts with addresses of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hosts import Host, hosts
from loopback import looped_on_sockets
from processes import (
    Listener,
    all_hear_more,
    assert_same,
    handshake_status,
    processes,
    readiness,
    until,
    wait_ready,
)

NAMES = (
    *("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@depth5@500ms"),
    "btcusdt@kline_1m",
)
BUS_PORT, USDM_PORT = 4222, 9001
PORTS = ("--host", "0.0.0.0", "--usdm-port", "9001", "--coinm-port", "9002")  # noqa: S104  # hosts of the test's own
GRACE_S = 5
CUT_S = 2
"""Long enough to be noticed, and shorter than the grace."""


def url(host: Host) -> str:
    """Return the URL of what serves on a host, for clients that no cut concerns."""
    return f"ws://{host.local_address}:{USDM_PORT}"


async def ready(host: Host) -> None:
    await asyncio.to_thread(wait_ready, USDM_PORT, host=host.local_address)


@pytest.mark.slow("hosts are cut off, for shorter and longer than the grace")
@pytest.mark.parametrize("name", ["edge", "bus"])
@looped_on_sockets
async def test_a_cut_within_the_grace_costs_a_pause_and_a_longer_one_the_connections(
    tmp_path: Path, name: str
) -> None:
    with hosts("bus", "edge", "plant") as (bus, edge, plant), processes(tmp_path) as programs:
        cut_off = {"bus": bus, "edge": edge}[name]
        programs.bus(BUS_PORT, "0.0.0.0", bus.prefix)  # noqa: S104  # a host of the test's own
        on_bus = ("--bus", f"nats://{bus.address}:{BUS_PORT}")
        market = ("--symbols", "BTCUSDT", "--quoting", "0.5")
        programs.start("simulate", *market, *PORTS, *on_bus, prefix=plant.prefix)
        await ready(plant)
        grace = ("--bus-grace", f"{GRACE_S}s")
        program = programs.start("edge", *PORTS, *on_bus, *grace, prefix=edge.prefix)
        await ready(edge)
        streams = f"/stream?streams={'/'.join(NAMES)}"
        told = await Listener(f"{url(plant)}{streams}").open()
        heard = [await Listener(f"{url(edge)}/ws/{each}").open() for each in NAMES]
        heard.append(await Listener(f"{url(edge)}{streams}").open())
        await all_hear_more(heard)

        cut_off.cut()
        await asyncio.sleep(CUT_S)
        cut_off.mend()
        await all_hear_more(heard)
        assert [each.close for each in heard] == [None] * len(heard)
        await until(lambda: readiness(USDM_PORT, edge.local_address)[0] == 200, "it is ready")

        loop = asyncio.get_running_loop()
        began_s = loop.time()
        cut_off.cut()
        for each in heard:
            assert await each.closed() == (1013, "Bus lost: messages may be missing")
        assert loop.time() - began_s > GRACE_S - 1
        for each in heard:
            await assert_same(each, told)
        assert await handshake_status(f"{url(edge)}/ws/btcusdt@trade") == 503
        status, text = readiness(USDM_PORT, edge.local_address)
        assert status == 503
        assert "lost" in text or "silent" in text
        assert "stream connections are closed" in program.log

        cut_off.mend()
        await ready(edge)
        again = await Listener(f"{url(edge)}/ws/btcusdt@trade").open()
        await again.hears_more()
        await again.end()
        await told.end()
