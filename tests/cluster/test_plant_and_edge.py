from __future__ import annotations

import asyncio

import pytest
from bus_stage import open_bus, until
from stage import Listener, happen, open_plant, quote, trade

from tickerplant.errors import BusError
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

QUOTES, TRADES = "btcusdt@bookTicker", "btcusdt@trade"


def test_an_edge_hears_the_same_messages_in_the_same_order_as_a_local_subscriber() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            node, edge = await bus.plant(plant), await bus.edge()
            names = (QUOTES, TRADES, "!bookTicker", "btcusdt@aggTrade", "btcusdt@depth@0ms")
            remote, local = await edge.wants(node, *names), Listener()
            plant.hubs["usdm"].subscribe(local, names)
            for turn in range(20):
                for event in range(turn):
                    number = turn * 100 + event
                    plant.publish(trade(number, plant.now_ms))
                    plant.publish(quote(number, time_ms=plant.now_ms))
                await asyncio.sleep(0)

            plant.hubs["usdm"].flush()
            expected = local.texts()
            await until(lambda: len(edge.texts(remote)) >= len(expected), "all arrived")
            assert edge.texts(remote) == expected
            assert edge.node.ordering.late_count == 0

    asyncio.run(run())


def test_nothing_is_published_while_no_edge_wants_it() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            node, edge = await bus.plant(plant), await bus.edge()
            await edge.wants(node, TRADES)
            before = node.published_count
            plant.publish(quote(1, time_ms=plant.now_ms))
            await asyncio.sleep(0)
            assert node.published_count == before
            assert QUOTES not in plant.hubs["usdm"].channels

    asyncio.run(run())


def test_names_that_the_plant_does_not_know_stay_silent_with_its_reason() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            node, edge = await bus.plant(plant), await bus.edge()
            hub = edge.plant.hubs["usdm"]
            assert hub.subscribe(Listener(), ["nonsense", "\ud800.> *"]) == {
                "nonsense": UNKNOWN_STREAM,
                "\ud800.> *": UNKNOWN_STREAM,
            }
            await edge.wants(node, "xyzusdt@trade", TRADES)
            await until(lambda: edge.clients.silenced, "the reason")
            assert edge.clients.silenced == {"xyzusdt@trade": UNKNOWN_SYMBOL}
            assert hub.subscribe(Listener(), ["xyzusdt@trade"]) == {"xyzusdt@trade": UNKNOWN_SYMBOL}

    asyncio.run(run())


def test_an_edge_names_the_plants_that_are_there_if_its_own_is_not() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            await bus.plant(open_plant(), "other")
            await bus.plant(open_plant(), "another")
            with pytest.raises(BusError, match=r"no plant named main .* there: another, other"):
                await bus.edge()

    asyncio.run(run())


def test_a_second_plant_of_a_name_does_not_start() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            await bus.plant(open_plant())
            with pytest.raises(
                BusError, match=r"a plant named main is on the bus already: process .* on"
            ):
                await bus.plant(open_plant())

    asyncio.run(run())


def test_questions_are_answered_in_parts_if_they_are_long() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            node, edge = await bus.plant(open_plant()), await bus.edge()
            node.answerer.register("echo", lambda body, reply: reply(body[::-1]))
            answers: list[object] = []
            edge.node.caller.call("echo", b"short", answers.append)
            long = bytes(range(256)) * 80_000
            edge.node.caller.call("echo", long, answers.append)
            edge.node.caller.call("what", b"", answers.append)
            await until(lambda: len(answers) == 3, "three answers")
            assert answers[:2] == [b"trohs", long[::-1]]
            assert "answers no questions of the kind what" in str(answers[2])

    asyncio.run(run())


def test_a_plant_of_every_event_is_heard_through_an_edge() -> None:
    async def run() -> None:
        async with open_bus() as bus:
            plant = open_plant()
            node, edge = await bus.plant(plant), await bus.edge()
            remote = await edge.wants(node, "!markPrice@arr", "!forceOrder@arr", QUOTES)
            local = Listener()
            plant.hubs["usdm"].subscribe(local, ["!markPrice@arr", "!forceOrder@arr", QUOTES])
            for second in range(1, 8):
                happen(plant)
                plant.advance(plant.now_ms + 1_000 * second)
                await asyncio.sleep(0)
            plant.hubs["usdm"].flush()
            await until(lambda: len(edge.texts(remote)) >= len(local.texts()), "all arrived")
            assert edge.texts(remote) == local.texts()

    asyncio.run(run())
