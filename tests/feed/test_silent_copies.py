"""Connections that acknowledge a stream and send nothing of it, beside one that does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from payloads import KINDS, MARKS, QUOTES, TICKERS, mark
from world import Consumer, Wire, World

from tickerplant.notices import Disconnected, Gap, Recovered, Stale

TELLING = (Disconnected, Gap, Recovered)


def companion(name: str) -> str:
    """Another stream that the connections of `name` carry."""
    return TICKERS if name.startswith("!") else name.replace("btc", "eth")


def listen(world: World, name: str) -> Consumer:
    world.attach(companion(name), settle_ms=0)
    return world.attach(name)


def publish(world: World, name: str, first: int, count: int, pace_ms: int = 100) -> None:
    """Publish messages of both streams."""
    other = companion(name)
    for number in range(first, first + count):
        world.publish(name, KINDS[name](number))
        world.publish(other, KINDS[TICKERS if name.startswith("!") else name](number))
        world.run(pace_ms)


def mute_of(world: World, name: str) -> Wire:
    """The secondary; it sends nothing of `name` until the stream is subscribed to again."""
    wire = world.secondary(name)
    asked = len(wire.requests)

    def swallows(text: bytes) -> bool:
        again = any(
            request["method"] == "SUBSCRIBE" and name in request["params"]
            for _, request in wire.requests[asked:]
        )
        return f'"stream":"{name}"'.encode() in text and not again

    wire.swallows = swallows
    return wire


@pytest.mark.parametrize("name", KINDS)
def test_a_silent_secondary_is_resubscribed_without_a_notice(name: str) -> None:
    world = World(copies=2)
    consumer = listen(world, name)
    mute = mute_of(world, name)
    publish(world, name, 1, 100)
    assert [request["method"] for _, request in mute.requests] == [
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "SUBSCRIBE",
    ]
    world.primary(name).cut()
    publish(world, name, 101, 50)
    world.run(1_000)
    assert consumer.payloads(name) == world.published(name)
    assert not consumer.notices()


@pytest.mark.parametrize("name", KINDS)
def test_what_is_lost_because_the_secondary_is_silent_is_reported(name: str) -> None:
    world = World(copies=2)
    consumer = listen(world, name)
    mute_of(world, name)
    publish(world, name, 1, 35)
    world.primary(name).cut()
    world.publish(name, *map(KINDS[name], range(36, 40)))
    world.run(1_000)
    publish(world, name, 40, 5)
    assert consumer.payloads(name)[-1] == world.published(name)[-1]
    publish(world, name, 45, 150)
    delivered = consumer.payloads(name)
    assert delivered[:35] == world.published(name)[:35]
    assert set(delivered) <= set(world.published(name))
    before = consumer.received.index(consumer.messages(name)[34])
    after = consumer.received.index(consumer.messages(name)[35])
    between = consumer.received[before + 1 : after]
    assert any(isinstance(each, TELLING) for each in between)


def test_a_secondary_that_stays_silent_is_resubscribed_ever_more_rarely() -> None:
    world = World(copies=2)
    listen(world, QUOTES)
    mute = mute_of(world, QUOTES)
    mute.swallow([f'"stream":"{QUOTES}"'.encode()])
    publish(world, QUOTES, 1, 1_200)
    times = [ms for ms, request in mute.requests if request["method"] == "UNSUBSCRIBE"]
    pauses = [b - a for a, b in pairwise(times)]
    assert len(times) >= 3
    assert all(b >= 1.8 * a for a, b in pairwise(pauses))


def test_a_stream_on_which_nothing_happens_is_not_asked_for_again() -> None:
    world = World(copies=2)
    consumer = world.attach(TICKERS)
    world.publish(TICKERS, KINDS[TICKERS](1))
    world.run(40_000)
    world.primary(TICKERS).cut()
    world.run(2_000)
    assert all(
        request["method"] == "SUBSCRIBE"
        for wire in world.wires.values()
        for _, request in wire.requests
    )
    assert not consumer.notices(Disconnected)


def test_a_secondary_that_delivers_becomes_primary_as_soon_as_the_stream_is_stale() -> None:
    world = World(copies=2)
    consumer = world.attach(MARKS)
    primary = world.primary(MARKS)
    primary.swallow([f'"stream":"{MARKS}"'.encode()])
    for number in range(1, 20):
        world.publish(MARKS, mark(number))
        world.run(1_000)
    assert world.primary(MARKS) is not primary
    (stale,) = consumer.notices(Stale)
    assert consumer.notices(Recovered)[0].time_ms - stale.time_ms < 1_000
    assert consumer.payloads(MARKS) == world.published(MARKS)


@pytest.mark.parametrize("name", KINDS)
def test_a_connection_that_is_paused_with_all_its_streams_is_relied_on(name: str) -> None:
    world = World(copies=2)
    consumer = listen(world, name)
    publish(world, name, 1, 10)
    paused, other = world.primary(name), world.secondary(name)
    paused.down_ms = 6_000
    publish(world, name, 11, 35)
    assert world.primary(name) is other
    other.cut()
    world.publish(name, *map(KINDS[name], range(46, 49)))
    paused.down_ms = 10
    publish(world, name, 49, 150)
    world.run(1_000)
    assert consumer.payloads(name) == world.published(name)
    assert not consumer.notices()
