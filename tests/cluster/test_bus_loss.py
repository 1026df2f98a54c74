from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bus_stage import Edge, Ticker, end, open_bus, until
from loopback import looped_on_sockets
from stage import open_plant

from tickerplant.bus import nodes
from tickerplant.bus.link import STUCK
from tickerplant.bus.nodes import (
    Accepted,
    Beat,
    FromEdge,
    Interest,
    PlantDescription,
)
from tickerplant.bus.subjects import Subjects
from tickerplant.cluster.connection import BusConnection
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.timing import TIMING, Timing
from tickerplant.logs import Complaints

pytestmark = pytest.mark.slow("ways to the bus are cut, for as long as real time lasts")

NAME = Ticker.NAME
PATIENT: dict[str, Any] = {"grace_ms": 60_000, "timing": Timing(recovery_s=30)}
"""An edge that gives nothing up, however slow the machine is."""


@looped_on_sockets
async def test_an_edge_that_was_cut_off_reads_what_it_missed_from_the_memory_of_the_bus() -> None:
    async with open_bus() as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant), await bus.edge(address=address, **PATIENT)
        remote, ticker = await edge.wants(node, NAME), Ticker(plant)
        await ticker.run(60)
        wire.cut()
        await ticker.run(150)
        wire.mend()
        await ticker.run(150)
        await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
        assert edge.node.recovery_count >= 1
        assert edge.clients.told == []


@looped_on_sockets
async def test_a_quiet_stream_is_made_whole_too() -> None:
    async with open_bus() as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant), await bus.edge(address=address, **PATIENT)
        remote, ticker = await edge.wants(node, NAME), Ticker(plant)
        await until(lambda: edge.node.unaccepted_count == 0, "the plant has accepted it")
        wire.cut()
        await asyncio.sleep(0.2)
        ticker.trade()
        await asyncio.sleep(0.2)
        wire.mend()
        await until(lambda: len(edge.texts(remote)) == 1, "the only message")
        assert edge.clients.told == []


@looped_on_sockets
async def test_a_plant_that_was_cut_off_publishes_what_it_has_kept() -> None:
    async with open_bus() as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant, address=address), await bus.edge(**PATIENT)
        remote, ticker = await edge.wants(node, NAME), Ticker(plant)
        await ticker.run(90)
        wire.cut()
        await ticker.run(150)
        wire.mend()
        await ticker.run(150)
        await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
        assert edge.clients.told == []


@looped_on_sockets
async def test_a_bus_that_was_killed_and_started_again_leaves_no_hole() -> None:
    async with open_bus(is_own=True) as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge(**PATIENT)
        remote, ticker = await edge.wants(node, NAME), Ticker(plant)
        await ticker.run(90)
        assert bus.server.process
        bus.server.process.kill()
        await ticker.run(450)
        await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
        assert edge.clients.told == []


@looped_on_sockets
async def test_what_the_memory_has_lost_closes_the_subscribers() -> None:
    async with open_bus() as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant), await bus.edge(address=address, **PATIENT)
        remote, ticker = await edge.wants(node, NAME), Ticker(plant)
        await ticker.run(60)
        heard = len(edge.texts(remote))
        wire.cut()
        await ticker.run(90)
        manager = (await bus.connect("a stranger")).jetstream_manager()
        await manager.purge_stream(node.subjects.memory)
        wire.mend()
        await until(lambda: edge.clients.told, "it is told")
        (told,) = edge.clients.told
        assert told[:3] == ("outage", "usdm", (NAME,))
        assert told[4] == "bus_lost"
        assert len(edge.texts(remote)) - heard < 20
        await ticker.run(90)
        await until(lambda: edge.texts(remote)[-1] == ticker.texts()[-1], "it goes on")


@pytest.mark.parametrize("is_noticed", [True, False])
@looped_on_sockets
async def test_after_the_grace_all_clients_are_closed_until_the_bus_is_back(
    is_noticed: bool,
) -> None:
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


@looped_on_sockets
async def test_questions_that_wait_while_the_bus_is_away_are_asked_again() -> None:
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


@looped_on_sockets
async def test_another_run_of_the_plant_closes_the_subscribers() -> None:
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
        await ticker.run(60)
        await until(lambda: edge.texts(remote) == ticker.texts(), "it goes on")


@looped_on_sockets
async def test_what_an_edge_asks_while_the_plant_does_not_publish_is_answered_when_it_does_again() -> (
    None
):
    async with open_bus() as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge(**PATIENT)
        node.answerer.register("echo", lambda body, reply: reply(body))
        await until(lambda: edge.node.unaccepted_count == 0, "the edge has joined")
        node.pause()
        answers: list[object] = []
        edge.node.caller.call("echo", b"?", answers.append)
        remote, ticker = edge.subscribe(NAME), Ticker(plant)
        await until(lambda: node.interest.wanted_by, "the plant has heard it")
        ticker.trade()
        node.begin(1)
        await until(lambda: answers == [b"?"], "the answer")
        await until(lambda: edge.node.unaccepted_count == 0, "the stream is accepted")
        ticker.trade()
        await until(lambda: edge.texts(remote) == ticker.texts(), "nothing is missing")
        assert edge.clients.told == []


@looped_on_sockets
async def test_an_edge_that_takes_long_to_open_its_ports_does_not_count_that_as_silence() -> None:
    async with open_bus() as bus:
        await bus.plant(open_plant())
        complaints, now_ms = Complaints(), [0]
        connection = await bus.connect("e1", complaints)
        node = EdgeNode(
            connection,
            "main",
            identity="e1",
            grace_ms=200,
            complaints=complaints,
            clock=lambda: now_ms[0],
        )
        await node.hello()
        now_ms[0] += 60_000
        edge = Edge(node, connection, complaints)
        node.attach(edge.plant.hubs, clients=edge.clients, readers=edge.readers, report=lambda: b"")
        edge.task = asyncio.create_task(node.run())
        await asyncio.sleep(3 * TIMING.tick_s)
        assert edge.clients.told == []
        await edge.stop()


class Beating:
    """A plant that is heard, and accepts nothing unless a test wants it."""

    def __init__(self, bus: BusConnection) -> None:
        self.accepts = False
        self.description = PlantDescription(
            name="main", epoch="1", profile="2026q1", venues=("usdm", "coinm")
        )
        self._bus = bus
        self._subjects = Subjects(bus.settings.prefix, "main")
        bus.subscribe(self._subjects.hello, self._greet)
        bus.subscribe(self._subjects.interest, self._hear)

    async def beat(self) -> None:
        while True:
            beat = Beat(epoch="1", term=0, number=1)
            self._bus.publish(self._subjects.beat, nodes.encode(beat))
            await asyncio.sleep(0.1)

    def _greet(self, _subject: str, _data: bytes, reply: str) -> None:
        self._bus.publish(reply, nodes.encode(self.description))

    def _hear(self, _subject: str, data: bytes, _reply: str) -> None:
        told = nodes.decode(data, FromEdge)
        if self.accepts and isinstance(told, Interest):
            state = self.description if told.is_full else None
            accepted = Accepted(epoch="1", version=told.version, number=1, state=state)
            self._bus.publish(self._subjects.edge(told.edge), nodes.encode(accepted))


@looped_on_sockets
async def test_an_edge_whose_plant_accepts_nothing_closes_its_clients_and_says_so() -> None:
    async with open_bus() as bus:
        plant = Beating(await bus.connect("plant"))
        beating = asyncio.create_task(plant.beat())
        edge = await bus.edge(grace_ms=200)
        edge.subscribe(NAME)
        await until(lambda: edge.node.trouble == STUCK, "it is not ready")
        await until(lambda: len(edge.clients.told) >= 2, "the clients are closed")
        assert edge.clients.told == [
            ("outage", "usdm", None, STUCK, "bus_lost"),
            ("outage", "coinm", None, STUCK, "bus_lost"),
        ]
        assert edge.node.link.reason == STUCK, "heartbeats alone do not bring it back"
        edge.clients.told.clear()
        plant.accepts = True
        await until(lambda: len(edge.clients.told) >= 2, "clients may come again")
        assert edge.clients.told == [("outage ended", "usdm"), ("outage ended", "coinm")]
        assert edge.node.trouble == ""
        await end(beating)


@looped_on_sockets
async def test_an_edge_that_was_lost_learns_which_outages_began_and_ended_meanwhile() -> None:
    async with open_bus() as bus:
        wire, address = await bus.wire()
        node = await bus.plant(open_plant())
        edge = await bus.edge(address=address, grace_ms=200)
        node.start_outage("usdm", None, "no upstream")
        await until(lambda: edge.clients.told, "the outage is told")
        wire.cut()
        await until(lambda: edge.clients.told[-1][4] == "bus_lost", "the clients are closed")
        node.end_outage("usdm")
        node.start_outage("coinm", None, "no upstream")
        edge.clients.told.clear()
        wire.mend()
        await until(lambda: not edge.node.trouble, "it is back")
        assert {told[:2] for told in edge.clients.told if told[0] == "outage ended"} == {
            ("outage ended", "usdm")
        }
        assert ("outage", "coinm", None, "no upstream", "upstream_lost") in edge.clients.told


@looped_on_sockets
async def test_a_server_that_reads_nothing_is_noticed_although_much_waits_to_be_written() -> None:
    async with open_bus() as bus:
        wire, address = await bus.wire()
        connection = await bus.connect("a publisher", address=address)
        wire.cut(is_noticed=False)
        for _ in range(40):
            connection.publish("much", bytes(1 << 20))
            await asyncio.sleep(0)
        await until(lambda: not connection.is_connected, "the loss is noticed")
        wire.mend()
        await until(lambda: connection.is_connected, "it is connected again")
        assert await connection.flush()
