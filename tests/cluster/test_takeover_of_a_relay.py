"""A plant is killed or stopped: real processes, and clients of every kind at an edge."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from processes import (
    Cluster,
    Listener,
    cluster,
    handshake_status,
    readiness,
    wait_ready,
    wait_until,
)
from programs import PATIENCE_S

import tickerplant
from tickerplant import BookState, Message, Notice
from tickerplant.messages import Trade

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

FORWARDED = (
    *("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms"),
    *("btcusdt@kline_1m", "btcusdt@markPrice@1s", "ethusdt@trade", "!miniTicker@arr"),
)
"""Streams that a relay passes on as they are."""
MADE = ("btcusdt@depth@500ms", "ethusdt@depth5@500ms", "ethusdt@markPrice")
"""Streams that a relay makes itself."""
NAMES = (*FORWARDED, *MADE)
GRACE_S = 5.0
BUS_LOST = (1013, "Bus lost: messages may be missing")


def run(folder: Path, check: Callable[[Cluster], Awaitable[None]]) -> None:
    with cluster(folder) as made:
        asyncio.run(_run(made, check))


async def _run(made: Cluster, check: Callable[[Cluster], Awaitable[None]]) -> None:
    await check(made)


async def until(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
    """Return after how many seconds `condition` was true; clients are read meanwhile."""
    return await asyncio.to_thread(wait_until, condition, what, within_s)


async def ready(port: int, within_s: float = PATIENCE_S) -> float:
    return await asyncio.to_thread(wait_ready, port, within_s)


async def listeners(url: str, names: Sequence[str]) -> list[Listener]:
    """Return clients of `names`: one combined, and a raw one of each."""
    urls = [f"{url}/stream?streams={'/'.join(names)}", *(f"{url}/ws/{name}" for name in names)]
    return list(await asyncio.gather(*(Listener(each).open() for each in urls)))


def assert_whole(heard: Listener, told: Listener) -> dict[str, int]:
    """Assert that a client heard what the upstream told, in one piece; return how many messages."""
    counts = {}
    for name, payloads in heard.payloads.items():
        counts[name] = len(payloads)
        if name in FORWARDED:
            source = told.payloads[name]
            first = source.index(payloads[0])
            assert payloads == source[first : first + len(payloads)], f"{name}: not what was told"
            continue
        messages = [msgspec.json.decode(each) for each in payloads]
        for one, following in pairwise(messages):
            if "@depth" in name:
                assert following["pu"] == one["u"], f"{name}: {one['u']}, then {following['pu']}"
            else:
                assert following["E"] == one["E"] + 3_000, f"{name}: {one['E']}, {following['E']}"
    return counts


def say(text: str) -> None:
    """Print a figure for the reader of `pytest -s`."""
    sys.stdout.write(f"{text}\n")


async def heard_through(
    made: Cluster, happens: Callable[[], Awaitable[str]], *, seconds: float = 4.0
) -> None:
    """Assert that clients of every kind hear everything once while something happens."""
    told = await Listener(f"{made.upstream}/stream?streams={'/'.join(FORWARDED)}").open()
    heard = await listeners(made.edge, NAMES)
    seen: list[Message | Notice] = []
    async with (
        tickerplant.connect("usdm", base_url=made.edge) as market,
        market.books("BTCUSDT") as books,
    ):
        market.on(Trade.of("BTCUSDT"), callback=seen.append)
        await asyncio.sleep(seconds)
        assert books["BTCUSDT"].state is BookState.LIVE
        before = {each.url: each.count for each in heard}
        how = await happens()
        await asyncio.sleep(seconds)
        assert books["BTCUSDT"].state is BookState.LIVE
        audit = await books.audit("BTCUSDT")
        assert audit.score == 1
    counts: dict[str, int] = {}
    for each in heard:
        assert each.close is None, (each.url, each.close)
        counts |= assert_whole(each, told)
        assert each.count > before[each.url], each.url
        await each.end()
    await told.end()
    assert counts.keys() == set(NAMES)
    assert not [each for each in seen if isinstance(each, Notice)]
    ids = [each.trade_id for each in seen if isinstance(each, Trade)]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    pause_s = max(each.longest_silence_s for each in heard[:1])
    say(f"{how}; longest pause {pause_s:.1f} s; each message once: {counts}; trades {len(ids)}")


def test_a_killed_relay_is_taken_over_and_no_client_loses_or_repeats_anything(
    tmp_path: Path,
) -> None:
    async def check(made: Cluster) -> None:
        active = made.start_relay()
        await ready(active.port)
        standby = made.start_relay("--standby")
        await until(lambda: "standby of the plant test" in readiness(standby.port)[1], "standby")
        assert readiness(standby.port)[0] == 503
        edge = made.start_edge()
        await ready(made.edge_port)

        async def kill() -> str:
            active.kill()
            took_s = await until(lambda: readiness(standby.port)[0] == 200, "it took over")
            assert took_s < GRACE_S
            return f"killed: taken over after {took_s:.1f} s"

        await heard_through(made, kill)
        assert "the plant test is gone; this standby has taken over" in standby.log
        assert "another run of the plant test publishes from now on" in edge.log

    run(tmp_path, check)


def test_a_relay_that_is_ended_is_taken_over_at_once(tmp_path: Path) -> None:
    async def check(made: Cluster) -> None:
        active = made.start_relay()
        await ready(active.port)
        standby = made.start_relay("--standby")
        await until(lambda: "standby of the plant test" in readiness(standby.port)[1], "standby")
        made.start_edge()
        await ready(made.edge_port)

        async def end() -> str:
            active.signal(signal.SIGINT)
            took_s = await until(lambda: readiness(standby.port)[0] == 200, "it took over")
            assert took_s < 2
            return f"ended: taken over after {took_s:.1f} s"

        await heard_through(made, end)

    run(tmp_path, check)


def test_a_relay_that_slept_finds_itself_replaced_and_stands_by(tmp_path: Path) -> None:
    async def check(made: Cluster) -> None:
        first = made.start_relay()
        await ready(first.port)
        second = made.start_relay("--standby")
        await until(lambda: "standby of the plant test" in readiness(second.port)[1], "standby")
        made.start_edge()
        await ready(made.edge_port)

        async def sleep() -> str:
            first.signal(signal.SIGSTOP)
            await until(lambda: readiness(second.port)[0] == 200, "it took over")
            first.signal(signal.SIGCONT)
            await until(lambda: "has replaced this one" in first.log, "it says so")
            await until(lambda: "standby of the plant" in readiness(first.port)[1], "it waits")
            return "stopped and continued"

        await heard_through(made, sleep)
        assert first.log.count("another plant named test has replaced this one") == 1
        assert first.popen.poll() is None

    run(tmp_path, check)


def test_without_a_standby_clients_are_closed_after_the_grace_and_served_when_it_is_back(
    tmp_path: Path,
) -> None:
    async def check(made: Cluster) -> None:
        relay = made.start_relay()
        await ready(relay.port)
        edge = made.start_edge("--bus-grace", "3s")
        await ready(made.edge_port)
        heard = await listeners(made.edge, ("btcusdt@trade", "btcusdt@depth@100ms"))
        await asyncio.sleep(2)
        relay.kill()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for each in heard:
            assert await each.closed(10) == BUS_LOST
        took_s = loop.time() - began_s
        assert 2 < took_s < 5
        assert await handshake_status(f"{made.edge}/ws/btcusdt@trade") == 503
        assert readiness(made.edge_port)[0] == 503
        assert "the plant is silent" in edge.log
        relay = made.start_relay()
        back_s = await ready(made.edge_port)
        again = await Listener(f"{made.edge}/ws/btcusdt@trade").open()
        await until(lambda: again.count > 5, "it is served again")
        await again.end()
        say(f"closed with {BUS_LOST} after {took_s:.1f} s; ready {back_s:.1f} s after the restart")

    run(tmp_path, check)


def test_a_simulation_cannot_be_taken_over_and_the_edge_says_so(tmp_path: Path) -> None:
    async def check(made: Cluster) -> None:
        simulation = made.start_simulation()
        await ready(simulation.port)
        edge = made.start_edge("--bus-grace", "3s")
        await ready(made.edge_port)
        heard = await Listener(f"{made.edge}/ws/btcusdt@trade").open()
        await asyncio.sleep(1)
        simulation.kill()
        assert await heard.closed(10) == BUS_LOST
        assert "a simulation or a replay cannot be taken over" in edge.log
        status, text = readiness(made.edge_port)
        assert status == 503
        assert "a simulation or a replay cannot be taken over" in text
        made.start_simulation()
        await ready(made.edge_port)
        again = await Listener(f"{made.edge}/ws/btcusdt@trade").open()
        await until(lambda: again.count > 5, "it is served again")
        await again.end()

    run(tmp_path, check)


def test_a_simulation_that_ends_says_so_and_the_next_one_is_served(tmp_path: Path) -> None:
    async def check(made: Cluster) -> None:
        simulation = made.start_simulation()
        await ready(simulation.port)
        made.start_edge()
        await ready(made.edge_port)
        heard = await Listener(f"{made.edge}/ws/btcusdt@trade").open()
        await asyncio.sleep(1)
        simulation.signal(signal.SIGTERM)
        assert await heard.closed(3) == (1001, "Server shutdown")
        await until(lambda: simulation.popen.poll() is not None, "it ends")
        made.start_simulation()
        await ready(made.edge_port)
        again = await Listener(f"{made.edge}/ws/btcusdt@trade").open()
        await until(lambda: again.count > 5, "it is served again")
        await again.end()

    run(tmp_path, check)


def test_a_second_plant_of_a_name_and_a_standby_without_a_bus_end_with_one_sentence(
    tmp_path: Path,
) -> None:
    async def check(made: Cluster) -> None:
        relay = made.start_relay()
        await ready(relay.port)
        twin = made.start_simulation()
        await until(lambda: twin.popen.poll() is not None, "it ends")
        assert twin.popen.returncode == 2
        (line,) = twin.log.splitlines()
        assert "a plant named test is on the bus already: process " in line
        assert "relay --standby" in line
        alone = made.programs.start("relay", "--standby")
        await until(lambda: alone.popen.poll() is not None, "it ends")
        (line,) = alone.log.splitlines()
        assert "--bus" in line
        assert alone.popen.returncode == 2

    run(tmp_path, check)
