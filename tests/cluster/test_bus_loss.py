from __future__ import annotations

import asyncio

import pytest
from bus_stage import Ticker, open_bus, until
from stage import open_plant

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

NAME = Ticker.NAME


def test_an_edge_that_was_cut_off_reads_what_it_missed_from_the_memory_of_the_bus() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            wire, address = await bus.wire()
            node, edge = await bus.plant(plant), await bus.edge(address=address)
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            await ticker.run(0.2)
            wire.cut()
            await ticker.run(0.5)
            wire.mend()
            await ticker.run(0.5)
            await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
            assert edge.node.recovery_count >= 1
            assert edge.clients.told == []

    asyncio.run(run())


def test_a_quiet_stream_is_made_whole_too() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            wire, address = await bus.wire()
            node, edge = await bus.plant(plant), await bus.edge(address=address)
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            await until(lambda: edge.node.unaccepted_count == 0, "the plant has accepted it")
            wire.cut()
            await asyncio.sleep(0.2)
            ticker.trade()
            await asyncio.sleep(0.2)
            wire.mend()
            await until(lambda: len(edge.texts(remote)) == 1, "the only message")
            assert edge.clients.told == []

    asyncio.run(run())


def test_a_plant_that_was_cut_off_publishes_what_it_has_kept() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            wire, address = await bus.wire()
            node, edge = await bus.plant(plant, address=address), await bus.edge()
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            await ticker.run(0.3)
            wire.cut()
            await ticker.run(0.5)
            wire.mend()
            await ticker.run(0.5)
            await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
            assert edge.clients.told == []

    asyncio.run(run())


def test_a_bus_that_was_killed_and_started_again_leaves_no_hole() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            node, edge = await bus.plant(plant), await bus.edge()
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            await ticker.run(0.3)
            assert bus.server.process
            bus.server.process.kill()
            await ticker.run(1.5)
            await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
            assert edge.clients.told == []

    asyncio.run(run())


def test_what_the_memory_has_lost_closes_the_subscribers() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            wire, address = await bus.wire()
            node, edge = await bus.plant(plant), await bus.edge(address=address)
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            await ticker.run(0.2)
            heard = len(edge.texts(remote))
            wire.cut()
            await ticker.run(0.3)
            manager = (await bus.connect("a stranger")).jetstream_manager()
            await manager.purge_stream(node.subjects.memory)
            wire.mend()
            await until(lambda: edge.clients.told, "it is told")
            (told,) = edge.clients.told
            assert told[:3] == ("outage", "usdm", (NAME,))
            assert told[4] == "bus_lost"
            assert len(edge.texts(remote)) - heard < 20
            await ticker.run(0.3)
            await until(lambda: edge.texts(remote)[-1] == ticker.texts()[-1], "it goes on")

    asyncio.run(run())


@pytest.mark.parametrize("is_noticed", [True, False])
def test_after_the_grace_all_clients_are_closed_until_the_bus_is_back(is_noticed: bool) -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            wire, address = await bus.wire()
            node = await bus.plant(plant)
            edge = await bus.edge(address=address, grace_ms=500)
            await edge.wants(node, NAME)
            failures: list[object] = []
            wire.cut(is_noticed=is_noticed)
            edge.node.caller.call("what", b"", failures.append)
            await until(lambda: len(edge.clients.told) >= 2, "the clients are closed")
            assert [told[:3] for told in edge.clients.told] == [
                ("outage", "usdm", None),
                ("outage", "coinm", None),
            ]
            assert {told[4] for told in edge.clients.told} == {"bus_lost"}
            assert len(failures) == 1
            edge.clients.told.clear()
            wire.mend()
            await until(lambda: len(edge.clients.told) >= 2, "clients may come again")
            assert edge.clients.told == [("outage ended", "usdm"), ("outage ended", "coinm")]
            remote, ticker = await edge.wants(node, NAME), Ticker(plant)
            ticker.trade()
            await until(lambda: edge.texts(remote) == ticker.texts(), "it goes on")

    asyncio.run(run())


def test_questions_that_wait_while_the_bus_is_away_are_asked_again() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            wire, address = await bus.wire()
            node, edge = await bus.plant(open_plant()), await bus.edge(address=address)
            node.answerer.register("echo", lambda body, reply: reply(body))
            wire.cut()
            await until(lambda: not edge.bus.is_connected, "it is noticed")
            answers: list[object] = []
            edge.node.caller.call("echo", b"?", answers.append)
            wire.mend()
            await until(lambda: answers == [b"?"], "the answer")

    asyncio.run(run())


def test_another_run_of_the_plant_closes_the_subscribers() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            wire, address = await bus.wire()
            node = await bus.plant(open_plant(), address=address)
            edge = await bus.edge(grace_ms=60_000)
            await edge.wants(node, NAME)
            wire.cut()
            await until(lambda: edge.node.link.reason == "the plant is silent", "it is noticed")
            plant = open_plant()
            again = await bus.plant(plant)
            await until(lambda: edge.clients.told, "the clients are told")
            (told,) = edge.clients.told
            assert told[:3] == ("outage", "usdm", (NAME,))
            remote, ticker = await edge.wants(again, NAME), Ticker(plant)
            await ticker.run(0.2)
            await until(lambda: edge.texts(remote) == ticker.texts(), "it goes on")

    asyncio.run(run())
