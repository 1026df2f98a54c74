"""Servers whose streams end: those of a replay and of a simulation that a program brings itself."""

from __future__ import annotations

from typing import Any

from payloads import AGGREGATES, KINDS, TICKERS
from world import Slow, World

from tickerplant.notices import Disconnected, Gap, Notice


def hosted(**settings: Any) -> World:
    world = World(**settings)
    world.feed.expect_end()
    return world


def ended(world: World) -> bool:
    return world.feed.has_ended


def end(world: World) -> None:
    for wire in tuple(world.wires.values()):
        wire.end("closed 1000 The market is over", 1000)
    world.run(100)


def test_code_1000_ends_the_streams_without_a_notice_and_without_another_attempt() -> None:
    world = hosted()
    consumer = world.attach(AGGREGATES, TICKERS)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.run(100)
    assert not ended(world)
    end(world)
    assert ended(world)
    world.run(60_000)
    assert consumer.payloads(AGGREGATES) == world.published(AGGREGATES)
    assert consumer.notices(Notice) == []
    assert len(world.opens) == 1
    assert world.feed.counters.lost == 0


def test_the_streams_have_ended_once_every_connection_has() -> None:
    world = hosted(max_streams=1)
    world.attach(AGGREGATES, TICKERS)
    world.wire(TICKERS).end("closed 1000", 1000)
    world.run(100)
    assert not ended(world)
    world.wire(AGGREGATES).end("closed 1000", 1000)
    world.run(100)
    assert ended(world)


def test_messages_behind_a_gap_are_delivered_before_the_end() -> None:
    world = hosted(reorder_ms=10_000)
    consumer = world.attach(AGGREGATES)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.publish(AGGREGATES, KINDS[AGGREGATES](5))
    world.run(100)
    end(world)
    assert ended(world)
    assert consumer.payloads(AGGREGATES) == world.published(AGGREGATES)
    assert len(consumer.notices(Gap)) == 1


def test_the_end_waits_for_messages_that_are_being_fetched() -> None:
    world = hosted()
    consumer = world.attach(AGGREGATES, backfills=True)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.publish(AGGREGATES, KINDS[AGGREGATES](5))
    world.run(100)
    end(world)
    assert world.fetches
    assert not ended(world)
    world.feed.unfilled(AGGREGATES, "they are not known", 1)
    assert ended(world)
    assert consumer.payloads(AGGREGATES) == world.published(AGGREGATES)


def test_other_servers_that_close_with_code_1000_are_connected_to_again() -> None:
    world = World()
    consumer = world.attach(AGGREGATES)
    end(world)
    world.run(30_000)
    assert not ended(world)
    assert len(world.opens) == 2
    assert [each.close_code for each in consumer.notices(Disconnected)] == [1000]


def test_silence_means_nothing_where_the_clock_can_be_paused() -> None:
    world = hosted()
    consumer = world.attach(TICKERS)
    for number in range(1, 20):
        world.publish(TICKERS, KINDS[TICKERS](number))
        world.run(1_000)
    world.run(3_600_000)
    assert consumer.notices(Notice) == []
    assert len(world.opens) == 1


def test_everybody_waits_for_the_slowest_reader_and_nobody_loses_anything() -> None:
    world = hosted()
    quick = world.attach(AGGREGATES, TICKERS)
    slow = Slow(world, 5)
    world.feed.attach([AGGREGATES], slow)
    for number in range(1, 101):
        world.publish(AGGREGATES, KINDS[AGGREGATES](number))
        world.run(100)
    assert len(quick.payloads(AGGREGATES)) == len(slow.payloads(AGGREGATES)) == 5
    assert not slow.crowded
    assert slow.waited_for > 0
    while slow.payloads(AGGREGATES) != world.published(AGGREGATES):
        slow.read()
        world.run(100)
    assert quick.payloads(AGGREGATES) == world.published(AGGREGATES)
    assert quick.notices(Notice) == slow.notices(Notice) == []


def test_an_outage_without_a_message_before_the_end_is_a_gap_of_unknown_size() -> None:
    world = hosted()
    consumer = world.attach(AGGREGATES, TICKERS)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.publish(AGGREGATES, KINDS[AGGREGATES](2))
    world.run(100)
    world.wire(AGGREGATES).end("the connection was lost", None)
    world.run(1_000)
    end(world)
    assert ended(world)
    gaps = consumer.notices(Gap)
    assert [(each.streams, each.after_id, each.before_id, each.missing) for each in gaps] == [
        ((AGGREGATES,), 2, -1, None)
    ]
    assert "between an outage and the end" in gaps[0].reason


def test_after_an_outage_the_next_message_shows_what_is_missing_and_the_end_adds_nothing() -> None:
    world = hosted()
    consumer = world.attach(AGGREGATES)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.run(100)
    world.wire(AGGREGATES).end("the connection was lost", None)
    world.run(1_000)
    world.publish(AGGREGATES, KINDS[AGGREGATES](2))
    world.run(1_000)
    end(world)
    assert consumer.notices(Gap) == []


def test_every_attempt_after_an_outage_comes_soon_because_the_server_waits() -> None:
    world = hosted()
    world.attach(AGGREGATES)
    for number in range(1, 9):
        world.run(400)
        assert len(world.opens) == number
        world.wire(AGGREGATES).end("the connection was lost", None)
