from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import AGGREGATES, KINDS, QUOTES, TICKERS, aggregate, publish
from world import Slow, World

from tickerplant.notices import Disconnected


def envelope(name: str, payload: bytes) -> bytes:
    return b'{"stream":"%b","data":%b}' % (name.encode(), payload)


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_who_is_full_stops_nobody_and_loses_nothing(name: str, copies: int) -> None:
    world = World(copies=copies)
    quick = world.attach(name)
    slow = Slow(world, 5)
    world.feed.attach([name], slow)
    publish(world, name, 1, 100)
    for consumer in (quick, slow):
        assert consumer.payloads(name) == world.published(name)
        assert not consumer.notices()
    assert slow.crowded, "it is told, as its spare room is used"
    assert world.held() == {name: copies}
    assert len(world.opens) == copies


@pytest.mark.heavy
@settings(deadline=None, max_examples=12)
@given(
    name=st.sampled_from([*KINDS]),
    copies=st.integers(1, 2),
    seed=st.integers(0, 10**9),
    size=st.integers(1, 30),
)
def test_however_slowly_each_one_reads_everybody_gets_everything(
    name: str, copies: int, seed: int, size: int
) -> None:
    rng = Random(seed)
    world = World(copies=copies, seed=seed)
    quick = world.attach(name)
    several = [Slow(world, size) for _ in range(3)]
    for slow in several:
        world.feed.attach([name], slow)
        world.run(rng.randrange(2_000))
    for number in range(1, 100):
        world.publish(name, KINDS[name](number))
        for wire in world.wires.values():
            wire.down_ms = rng.choice([1, 10, 10, 400])
        world.run(rng.choice([0, 20, 100, 300]))
        if rng.random() < 0.05:
            rng.choice(several).read()
        if rng.random() < 0.02 and world.wires:
            connection = world.feed.connections.get(rng.choice([*world.wires]))
            if connection is not None:
                connection.renew_by(world.now_ms)
    world.run(30_000)
    for _ in range(3):
        for slow in several:
            slow.read()
        world.run(5_000)
    for consumer in (quick, *several):
        assert consumer.payloads(name) == world.published(name)
        assert set(consumer.kinds()) <= {"message", "Stale", "Recovered"}, "silent at the end"


def test_who_is_full_of_what_nobody_else_wants_stops_nobody() -> None:
    other = "ethusdt@bookTicker"
    world = World()
    quick = world.attach(QUOTES)
    slow = Slow(world, 5)
    world.feed.attach([other], slow)
    world.run(1_000)
    for number in range(1, 101):
        world.publish(other, KINDS[QUOTES](number))
        publish(world, QUOTES, number, 1)
    assert quick.payloads(QUOTES) == world.published(QUOTES)
    assert slow.payloads(other) == world.published(other)
    assert slow.crowded
    assert len(world.opens) == 1


def test_who_is_full_and_alone_is_not_read() -> None:
    world = World()
    slow = Slow(world, 5)
    world.feed.attach([QUOTES], slow)
    world.run(1_000)
    publish(world, QUOTES, 1, 100)
    assert len(slow.received) == 5
    assert not slow.crowded
    slow.read()
    publish(world, QUOTES, 101, 1)
    assert slow.payloads(QUOTES)[:100] == world.published(QUOTES)[:100]


def test_who_comes_while_nothing_is_read_is_not_stopped() -> None:
    world = World()
    slow = Slow(world, 5)
    world.feed.attach([QUOTES], slow)
    world.run(1_000)
    publish(world, QUOTES, 1, 20)
    other, same = world.attach("ethusdt@bookTicker"), world.attach(QUOTES)
    world.publish("ethusdt@bookTicker", KINDS[QUOTES](1))
    publish(world, QUOTES, 21, 30)
    assert len(other.messages()) == 1
    assert same.payloads(QUOTES)[-30:] == world.published(QUOTES)[-30:]
    slow.read()
    world.run(1_000)
    slow.read()
    assert slow.payloads(QUOTES) == world.published(QUOTES)


def test_of_a_short_rush_nobody_is_told() -> None:
    world = World()
    quick = world.attach(QUOTES)
    slow = Slow(world, 5)
    world.feed.attach([QUOTES], slow)
    for number in range(0, 200, 10):
        publish(world, QUOTES, number + 1, 10, pace_ms=1)
        world.run(300)
        slow.read()
    assert not slow.crowded
    assert slow.payloads(QUOTES) == quick.payloads(QUOTES) == world.published(QUOTES)


@pytest.mark.heavy
def test_what_nobody_reads_is_not_connected_again_and_again() -> None:
    world = World()
    slow = Slow(world, 5)
    world.feed.attach([QUOTES], slow)
    publish(world, QUOTES, 1, 60)
    waiting = len(slow.received)
    world.wire(QUOTES).end("closed 1008 Pong timeout", 1008)
    publish(world, QUOTES, 61, 120, pace_ms=5_000)
    assert len(world.opens) == 1
    assert len(slow.received) == waiting + 1
    (lost,) = slow.notices(Disconnected)
    assert lost.reason == "closed 1008 Pong timeout"
    slow.read()
    world.run(5_000)
    publish(world, QUOTES, 181, 5)
    slow.read()
    publish(world, QUOTES, 186, 5)
    assert slow.payloads(QUOTES)[-5:] == world.published(QUOTES)[-5:]
    assert slow.kinds()[-3:] == ["Disconnected", "Recovered", "message"]


def test_a_gap_waits_for_a_follower_that_is_not_read_but_not_for_ever() -> None:
    world = World(copies=2)
    consumer = world.attach(AGGREGATES)
    primary, other = world.primary(AGGREGATES), world.secondary(AGGREGATES)
    for wire in world.wires.values():
        wire.say(envelope(AGGREGATES, aggregate(1)))
    world.run(100)
    world.feed.pool.pause({other.number})
    for number in (3, 4):
        primary.say(envelope(AGGREGATES, aggregate(number)))
    world.run(9_000)
    assert [each.aggregate_id for each in consumer.messages()] == [1]
    world.run(2_000)
    assert [each.aggregate_id for each in consumer.messages()] == [1, 3, 4]
    assert consumer.kinds() == ["message", "Gap", "message"]


def test_what_a_connection_repeats_after_a_long_pause_is_known() -> None:
    for name in (AGGREGATES, TICKERS):
        world = World(copies=2)
        consumer = world.attach(name)
        primary, other = world.primary(name), world.secondary(name)
        for number in range(1, 6):
            primary.say(envelope(name, KINDS[name](number)))
        other.say(envelope(name, KINDS[name](1)))
        world.run(100)
        primary.cut()
        world.run(1)
        world.feed.pool.pause({other.number})
        world.run(30_000)
        world.feed.pool.pause(set())
        for number in range(2, 7):
            other.say(envelope(name, KINDS[name](number)))
        world.run(100)
        received = consumer.payloads(name)
        assert received == [KINDS[name](number) for number in range(1, 7)], name
