"""Two plants of one name on a bus: one publishes, the other takes over."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from bus_stage import Bus, Edge, open_bus, until
from loopback import looped_on_sockets
from stage import Listener, open_plant

from tickerplant.cluster.plant_node import PlantNode
from tickerplant.errors import BusError
from tickerplant.plant import Plant

pytestmark = pytest.mark.slow("a lease ends in real time")

TRADES, PRICES, QUIET = "btcusdt@trade", "btcusdt@kline_1m", "!contractInfo"
NAMES = (TRADES, PRICES, QUIET)


def trade(number: int) -> bytes:
    return msgspec.json.encode({"e": "trade", "E": 100 * number, "s": "BTCUSDT", "t": number})


def candle(number: int) -> bytes:
    bar = {"t": 0, "T": 59_999, "s": "BTCUSDT", "x": False, "v": str(number)}
    return msgspec.json.encode({"e": "kline", "E": 100 * number, "s": "BTCUSDT", "k": bar})


class Relay:
    """A plant that passes on what it is told, and its node."""

    def __init__(self, plant: Plant, node: PlantNode) -> None:
        self.plant = plant
        self.node = node

    def tell(self, *numbers: int) -> None:
        """Pass on a trade and a candle of each number."""
        hub = self.plant.hubs["usdm"]
        for number in numbers:
            hub.broadcast(TRADES, trade(number))
            hub.broadcast(PRICES, candle(number))


async def relay(bus: Bus, *, is_standby: bool = False) -> Relay:
    plant = open_plant()
    plant.start_passthrough("usdm", NAMES)
    node = await bus.plant(plant, origin="relay", is_standby=is_standby)
    return Relay(plant, node)


async def settled(relay: Relay, edge: Edge) -> None:
    """Wait until a relay follows what the edge wants."""
    wanted = relay.node.interest.wanted_by
    await until(lambda: all(edge.node.identity in wanted.get(("usdm", each), ()) for each in NAMES))


async def followed(bus: Bus) -> tuple[Relay, Relay, Edge, Listener]:
    """Return a relay, its standby, and an edge with a listener, when both follow what it wants."""
    active = await relay(bus)
    standby = await relay(bus, is_standby=True)
    edge = await bus.edge()
    listener = await edge.wants(active.node, *NAMES)
    await settled(standby, edge)
    return active, standby, edge, listener


def expected(*numbers: int) -> list[bytes]:
    return [message for number in numbers for message in (trade(number), candle(number))]


@looped_on_sockets
async def test_a_standby_goes_on_where_the_edge_is_when_the_other_plant_dies() -> None:
    async with open_bus() as bus:
        active, standby, edge, listener = await followed(bus)
        assert standby.node.succession.waits_for.startswith("standby of the plant main")
        await asyncio.sleep(2.1)  # so long it has followed the quiet stream before
        active.tell(1, 2, 3)
        standby.tell(1, 2)
        await until(lambda: len(edge.texts(listener)) == 6)
        await bus.kill(active.node)
        standby.tell(3, 4)
        await until(lambda: standby.node.is_active)
        standby.tell(5)
        await until(lambda: trade(5) in edge.texts(listener))
        await asyncio.sleep(2.5)  # the quiet stream is decided, too
        standby.tell(6)
        await until(lambda: candle(6) in edge.texts(listener))
        assert edge.texts(listener) == expected(1, 2, 3, 4, 5, 6)
        assert edge.clients.told == []
        assert edge.node.description.term > 0


@looped_on_sockets
async def test_a_relay_that_was_replaced_becomes_the_standby() -> None:
    async with open_bus() as bus:
        first, second, edge, listener = await followed(bus)
        first.tell(1)
        second.tell(1)
        await bus.freeze(first.node)
        await until(lambda: second.node.is_active)
        second.tell(2)
        bus.thaw(first.node)
        await until(lambda: not first.node.is_active)
        first.tell(2, 3)
        second.tell(3)
        await until(lambda: candle(3) in edge.texts(listener))
        assert edge.texts(listener) == expected(1, 2, 3)
        assert first.node.succession.waits_for.startswith("standby of the plant main")
        await bus.stop(second.node)
        await until(lambda: first.node.is_active)
        first.tell(4)
        await until(lambda: candle(4) in edge.texts(listener))
        assert edge.texts(listener)[6:] == expected(4)


@looped_on_sockets
async def test_a_missing_message_closes_the_subscribers_of_its_stream_only() -> None:
    async with open_bus() as bus:
        active, standby, edge, listener = await followed(bus)
        await asyncio.sleep(2.1)
        active.tell(1)
        standby.tell(1)
        await until(lambda: len(edge.texts(listener)) == 2)
        await bus.kill(active.node)
        standby.tell(3)  # the trade 2 is missing
        await until(lambda: edge.clients.told)
        assert edge.clients.told == [
            (
                *("outage", "usdm", (TRADES,)),
                *("messages are missing between the two plants", "bus_lost"),
            )
        ]
        assert edge.texts(listener) == [*expected(1), candle(3)]


@looped_on_sockets
async def test_what_a_standby_has_missed_is_told_when_its_copies_are_needed() -> None:
    async with open_bus() as bus:
        active, standby, edge, listener = await followed(bus)
        active.tell(1)
        standby.tell(1)
        standby.node.start_outage("usdm", NAMES[1:], "no upstream")  # it has not heard of 2
        await until(lambda: len(edge.texts(listener)) == 2)
        assert edge.clients.told == []
        await bus.kill(active.node)
        await until(lambda: standby.node.is_active)
        standby.tell(3)
        await until(lambda: edge.clients.told)
        lost = ("outage", "usdm", NAMES[1:], "no upstream", "upstream_lost")
        assert edge.clients.told[0] == lost


@looped_on_sockets
async def test_a_second_simulation_of_a_name_is_refused_and_a_simulation_is_not_taken_over() -> (
    None
):
    async with open_bus() as bus:
        plant = open_plant()
        node = await bus.plant(plant)
        with pytest.raises(BusError, match="give this one another --plant"):
            await bus.plant(open_plant())
        edge = await bus.edge()
        await edge.wants(node, TRADES)
        await bus.kill(node)
        await until(lambda: "cannot be taken over" in edge.node.trouble)
        other = await bus.plant(open_plant())
        await until(lambda: edge.node.description.epoch == other.description.epoch)
        assert edge.clients.told == [
            (
                *("outage", "usdm", (TRADES,)),
                "the plant was started again, and a simulation or a replay cannot be taken over",
                "bus_lost",
            )
        ]
