from __future__ import annotations

import asyncio

import msgspec
import pytest
from bus_stage import open_bus, until
from loopback import looped, looped_on_sockets
from programs import PATIENCE_S
from stage import Listener, happen, open_plant, quote, trade

from tickerplant.bus import batches, nodes
from tickerplant.bus.batches import Batch
from tickerplant.bus.interest import InterestTable, Name
from tickerplant.bus.nodes import Reached, Report
from tickerplant.bus.telling import NAMES_AT_ONCE
from tickerplant.cluster.plant_readers import WINDOW_BYTES, PlantReaders
from tickerplant.cluster.timing import Timing
from tickerplant.errors import BusError
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL

QUOTES, TRADES = "btcusdt@bookTicker", "btcusdt@trade"


@looped_on_sockets
async def test_an_edge_hears_the_same_messages_in_the_same_order_as_a_local_subscriber() -> None:
    async with open_bus(is_patient=True) as bus:
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


@looped_on_sockets
async def test_nothing_is_published_while_no_edge_wants_it() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge()
        await edge.wants(node, TRADES)
        before = node.published_count
        plant.publish(quote(1, time_ms=plant.now_ms))
        await asyncio.sleep(0)
        assert node.published_count == before
        assert QUOTES not in plant.hubs["usdm"].channels


@looped_on_sockets
async def test_names_that_the_plant_does_not_know_stay_silent_with_its_reason() -> None:
    async with open_bus(is_patient=True) as bus:
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


@pytest.mark.slow("plants answer within a second of real time")
@looped_on_sockets
async def test_an_edge_names_the_plants_that_are_there_if_its_own_is_not() -> None:
    async with open_bus(is_patient=True) as bus:
        await bus.plant(open_plant(), "other")
        await bus.plant(open_plant(), "another")
        with pytest.raises(BusError, match=r"no plant named main .* there: another, other"):
            await bus.edge(timing=Timing(hello_s=0, others_s=1))


@looped_on_sockets
async def test_a_second_plant_of_a_name_does_not_start() -> None:
    async with open_bus(is_patient=True) as bus:
        await bus.plant(open_plant())
        with pytest.raises(
            BusError, match=r"a plant named main is on the bus already: process .* on"
        ):
            await bus.plant(open_plant())


@looped_on_sockets
async def test_questions_are_answered_in_parts_if_they_are_long() -> None:
    async with open_bus(is_patient=True) as bus:
        node, edge = await bus.plant(open_plant()), await bus.edge()
        node.answerer.register("echo", lambda body, reply: reply(body[::-1]))
        answers: list[object] = []
        edge.node.caller.call("echo", b"short", answers.append)
        long = bytes(range(256)) * 40_000
        edge.node.caller.call("echo", long, answers.append)
        edge.node.caller.call("what", b"", answers.append)
        await until(lambda: len(answers) == 3, "three answers")
        assert answers[:2] == [b"trohs", long[::-1]]
        assert "answers no questions of the kind what" in str(answers[2])


@looped_on_sockets
async def test_a_plant_of_every_event_is_heard_through_an_edge() -> None:
    async with open_bus(is_patient=True) as bus:
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


@looped_on_sockets
async def test_a_stream_that_is_left_and_joined_again_begins_anew_at_the_plant() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge()
        hub, plants_hub = edge.plant.hubs["usdm"], plant.hubs["usdm"]
        listener = await edge.wants(node, TRADES)
        first = plants_hub.channels[TRADES]
        hub.unsubscribe(listener, [TRADES])
        hub.subscribe(listener, [TRADES])
        await until(lambda: plants_hub.channels.get(TRADES) not in {None, first}, "anew")
        hub.remove(listener)
        await until(lambda: TRADES not in plants_hub.channels, "it is closed at once")
        assert edge.node.wanted_count == 1


@looped_on_sockets
async def test_a_stream_that_two_clients_of_an_edge_want_is_asked_for_once() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        node, edge, other = await bus.plant(plant), await bus.edge(), await bus.edge("e2")
        await edge.wants(node, TRADES)
        await edge.wants(node, TRADES)
        assert node.edges["e1"].version == 2, "the full list, and one change"
        await other.wants(node, TRADES)
        assert node.stream_count == 1
        await other.stop()
        await until(lambda: set(node.edges) == {"e1"}, "it said goodbye")
        assert node.stream_count == 1


@looped_on_sockets
async def test_a_plant_forgets_an_edge_that_has_fallen_silent() -> None:
    async with open_bus(is_patient=True) as bus:
        plant, now_ms = open_plant(), [0]
        wire, address = await bus.wire()
        node, edge = (
            await bus.plant(plant, clock=lambda: now_ms[0]),
            await bus.edge(address=address, grace_ms=5_000),
        )
        await edge.wants(node, TRADES)
        wire.cut(is_noticed=False)
        now_ms[0] += 7_000
        await asyncio.sleep(0.6)
        assert node.stream_count == 1, "its lease lasts longer than its grace"
        now_ms[0] += 7_000
        await until(lambda: not node.edges, "its lease is over")
        assert TRADES not in plant.hubs["usdm"].channels
        wire.mend()
        await until(lambda: node.edges, "it is back")


@looped_on_sockets
async def test_what_does_not_belong_on_the_bus_is_counted_and_nothing_else() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge()
        listener = await edge.wants(node, TRADES)
        stranger = await bus.connect("stranger")
        subjects = node.subjects
        batch = Batch(batches.FORMAT_VERSION, node.description.epoch, 0, 0, ())
        for garbage in (
            b"",
            b"\\xff\\x00",
            b"{}",
            nodes.encode([2, "later", 0]),
            b"\\x90" * 500,
        ):
            for subject in (
                *(subjects.stream("usdm", TRADES), subjects.control, subjects.beat),
                *(subjects.interest, subjects.call, subjects.hello),
                *(subjects.all_plants, subjects.edge("e1")),
            ):
                stranger.publish(subject, garbage)
        stranger.publish(subjects.stream("usdm", TRADES), nodes.encode(batch))
        other = msgspec.structs.replace(batch, epoch="of another plant")
        stranger.publish(subjects.stream("usdm", TRADES), nodes.encode(other))
        await stranger.flush()
        plant.publish(trade(1, plant.now_ms))
        await until(lambda: edge.texts(listener), "it goes on")
        assert edge.node.bad_batch_count >= 8
        assert edge.node.ordering.foreign_count >= 1
        assert not any(kind.startswith("fault") for kind in edge.complaints.counts)
        assert edge.clients.told == []


@looped_on_sockets
async def test_a_source_that_waits_is_held_up_by_a_congested_edge() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        node, edge = await bus.plant(plant), await bus.edge()
        await edge.wants(node, TRADES)
        assert not node.readers.congested
        edge.readers.clear.clear()
        await until(lambda: node.readers.congested, "a report")
        waiting = asyncio.create_task(node.readers.wait_clear())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        edge.readers.clear.set()
        await asyncio.wait_for(waiting, PATIENCE_S)
        assert not node.readers.congested


@looped_on_sockets
async def test_a_source_that_waits_publishes_no_more_than_a_window_ahead_of_its_edges() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant), await bus.edge(address=address)
        listener = await edge.wants(node, TRADES)
        wire.cut(is_noticed=False)
        payload, count = b"x" * 100_000, 0
        while not node.readers.congested:
            plant.hubs["usdm"].broadcast(TRADES, payload)
            count += 1
            await asyncio.sleep(0)
        assert WINDOW_BYTES < node.readers.unreached_bytes < WINDOW_BYTES * 1.1
        waiting = asyncio.create_task(node.readers.wait_clear())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        wire.mend()
        await asyncio.wait_for(waiting, PATIENCE_S)
        assert node.readers.unreached_bytes <= WINDOW_BYTES
        await until(lambda: len(edge.texts(listener)) == count, "all arrived")


@pytest.mark.slow("the way to the bus is cut, and ten thousand names are told again")
@looped_on_sockets
async def test_a_list_of_interest_of_many_parts_is_accepted_after_the_bus_was_away() -> None:
    async with open_bus(is_patient=True) as bus:
        plant = open_plant()
        wire, address = await bus.wire()
        node, edge = await bus.plant(plant), await bus.edge(address=address, grace_ms=60_000)
        names = [f"x{number}usdt@trade" for number in range(NAMES_AT_ONCE * 2)]
        listener = await edge.wants(node, *names, TRADES)
        wire.cut()
        await until(lambda: not edge.bus.is_connected, "it is noticed")
        wire.mend()
        plant.publish(trade(1, plant.now_ms))
        await until(lambda: edge.texts(listener), "it goes on")
        assert edge.node.unaccepted_count == 0
        assert node.stream_count == len(names) + 1
        assert edge.clients.told == []


@looped
async def test_a_source_that_waits_asks_again_how_far_the_edges_are() -> None:
    table = InterestTable(Nobody())
    table.report(Report(edge="e1", version=0, is_congested=True), 0)
    marks: list[int] = []
    readers = PlantReaders(table, lambda mark, _waits: marks.append(mark))
    waiting = asyncio.create_task(readers.wait_clear())
    await until(lambda: len(marks) == 2, "the first answer was lost")
    assert not waiting.done()
    readers.reached(Reached(edge="e1", mark=marks[-1]))
    await asyncio.wait_for(waiting, PATIENCE_S)


class Nobody:
    """Publishes nothing."""

    def open_stream(self, name: Name) -> None:
        raise AssertionError(name)

    def close_stream(self, name: Name) -> None:
        raise AssertionError(name)
