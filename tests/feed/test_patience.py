"""How long one connection is waited for while another tells."""

from __future__ import annotations

import pytest
from payloads import AGGREGATES, DEPTH, KINDS, QUOTES, publish
from world import World

from tickerplant.notices import Gap


@pytest.mark.parametrize("name", [AGGREGATES, DEPTH])
def test_a_gap_waits_for_a_copy_that_stands_still(name: str) -> None:
    world = World(copies=2, reorder_ms=6_000)
    consumer = world.attach(name)
    publish(world, name, 1, 10)
    primary, other = world.primary(name), world.secondary(name)
    other.down_ms = 4_000
    primary.swallow([KINDS[name](20)])
    publish(world, name, 11, 40)
    other.down_ms = 10
    publish(world, name, 51, 40)
    assert consumer.payloads(name) == world.published(name)
    assert not consumer.notices()


@pytest.mark.parametrize("name", [AGGREGATES, DEPTH])
def test_a_gap_waits_for_nobody_who_reported_what_comes_after_it(name: str) -> None:
    world = World(copies=3, reorder_ms=6_000)
    consumer = world.attach(name)
    publish(world, name, 1, 10)
    for wire in world.wires.values():
        wire.swallow([KINDS[name](20)])
    publish(world, name, 11, 11)
    assert len(consumer.notices(Gap)) == 1
    assert consumer.payloads(name)[-1] == KINDS[name](21)


@pytest.mark.parametrize("name", [AGGREGATES, DEPTH, QUOTES])
def test_a_leader_that_stands_still_is_not_waited_for_as_long_as_a_gap(name: str) -> None:
    world = World(copies=2, reorder_ms=6_000)
    consumer = world.attach(name)
    publish(world, name, 1, 10)
    primary = world.primary(name)
    primary.down_ms = 5_000
    publish(world, name, 11, 10)
    assert world.primary(name) is not primary
    assert consumer.payloads(name)[-1] == KINDS[name](20)
    primary.down_ms = 10
    publish(world, name, 21, 60)
    assert consumer.payloads(name) == world.published(name)
    assert not consumer.notices()
