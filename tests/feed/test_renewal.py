from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import AGGREGATES, ARRAY, KINDS, TICKERS
from world import World

delays = st.lists(st.integers(0, 900), min_size=1, max_size=6)


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=12)
@given(
    old=delays, new=delays, at=st.integers(1, 30), pace=st.integers(20, 300), seed=st.integers(0, 9)
)
def test_nothing_is_lost_or_repeated_when_a_connection_is_renewed(
    name: str, old: list[int], new: list[int], at: int, pace: int, seed: int
) -> None:
    world = World(seed=seed)
    consumer = world.attach(name)
    first = world.wire(name)
    for number in range(1, 120):
        world.publish(name, KINDS[name](number))
        if number == at:
            world.renew(name)
        for wire in world.wires.values():
            pauses = old if wire is first else new
            wire.down_ms = pauses[number % len(pauses)]
        world.run(pace)
    world.run(10_000)
    assert consumer.payloads(name) == world.published(name)
    assert world.feed.counters.renewed == 1
    assert set(consumer.kinds()) <= {"message", "Stale"}, "silent at the end"
    world.check_counters(consumer)


def test_a_renewal_opens_one_connection_and_ends_the_old_one() -> None:
    world = World()
    world.attach(TICKERS)
    world.renew(TICKERS)
    world.run(1_000)
    assert len(world.wires) == 2
    world.run(5_000)
    assert len(world.wires) == 1
    assert world.held() == {TICKERS: 1}


@pytest.mark.heavy
def test_a_connection_is_renewed_before_the_server_ends_it() -> None:
    world = World(max_connection_age_ms=15_000)
    consumer = world.attach(*KINDS)
    for number in range(1, 1_000):
        for name, make in KINDS.items():
            world.publish(name, make(number))
        world.run(50)
    world.run(1_000)
    for name in KINDS:
        assert consumer.payloads(name) == world.published(name)
    assert world.feed.counters.renewed >= 6
    assert world.feed.counters.lost == 0
    assert not consumer.notices()


def test_equal_messages_are_delivered_as_often_as_they_were_published() -> None:
    world = World(copies=2)
    consumer = world.attach(TICKERS, ARRAY)
    for number in range(1, 40):
        for name in (TICKERS, ARRAY):
            world.publish(name, KINDS[name](number), KINDS[name](number))
        if number == 10:
            world.renew(TICKERS, copy=1)
        if number == 20:
            world.renew(TICKERS)
        world.run(300)
    world.run(5_000)
    for name in (TICKERS, ARRAY):
        assert consumer.payloads(name) == world.published(name)


def test_a_detached_stream_is_renewed_no_more() -> None:
    world = World()
    consumer, other = world.attach(TICKERS), world.attach(AGGREGATES)
    world.renew(TICKERS)
    world.run(500)
    world.feed.detach([TICKERS], consumer)
    world.run(10_000)
    assert world.held() == {AGGREGATES: 1}
    world.feed.detach([AGGREGATES], other)
    world.perform()
    assert not world.wires
    assert not world.feed.connections
