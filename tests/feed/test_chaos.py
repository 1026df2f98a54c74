from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from payloads import AGGREGATES, CANDLES, DEPTH, KINDS
from world import Consumer, Wire, World

from tickerplant.messages.message import Message
from tickerplant.notices import Disconnected, Gap, Notice, Recovered

NAMES = [*KINDS]
QUIET_MS = 90_000


def spoil(wire: Wire, rng: Random) -> None:
    """Let something happen to one connection."""
    connection = wire.world.feed.connections.get(wire.number)
    match rng.randrange(6):
        case 0:
            wire.cut()
        case 1:
            wire.is_dead = True
        case 2:
            wire.end("closed", rng.choice([1000, 1001, 1002, 1008, 1011]))
        case 3:
            wire.down_ms = rng.choice([1, 50, 300, 1_500])
        case 4:
            wire.say(rng.choice([b"{", b'{"e":"serverShutdown"}', b"[]"]))
        case _ if connection is not None:
            connection.renew_by(wire.world.now_ms)


def misfortune(world: World, rng: Random) -> None:
    """Let one thing go wrong, or change."""
    match rng.randrange(10):
        case 0:
            world.refuse_for(rng.randrange(5_000), rng.choice([None, 503, 429, 404]))
        case 1:
            world.delay_ms = rng.choice([1, 20, 250])
        case 2:
            for each in tuple(world.wires.values()):
                each.cut()
        case 3:
            pass
        case _ if world.wires:
            spoil(world.wires[rng.choice([*world.wires])], rng)


@pytest.mark.heavy
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**9), copies=st.integers(1, 3))
@example(seed=622218, copies=1)  # cut before the first message
def test_whatever_happens_it_is_reported_and_ends_well(seed: int, copies: int) -> None:
    rng = Random(seed)
    world = World(copies=copies, seed=seed, max_connection_age_ms=120_000)
    consumer = world.attach(*NAMES)
    visitor, visited = Consumer(), rng.sample(NAMES, 2)
    number = 0
    for _ in range(rng.randrange(15, 40)):
        for _ in range(rng.randrange(1, 30)):
            number += 1
            for name in NAMES:
                world.publish(name, KINDS[name](number))
            world.run(rng.choice([5, 50, 200]))
        misfortune(world, rng)
        if rng.random() < 0.2:
            if visited:
                world.feed.attach(visited, visitor)
            world.feed.detach(visited, visitor)
            world.perform()
    world.refusals = lambda _: None
    for _ in range(QUIET_MS // 300):
        number += 1
        for name in NAMES:
            world.publish(name, KINDS[name](number))
        world.run(300)
    world.run(11_000)
    for name in NAMES:
        received = [
            each
            for each in consumer.received
            if (each.stream == name if isinstance(each, Message) else name in each.streams)
        ]
        check(name, received, world.published(name))
    assert world.held().keys() == set(NAMES)
    assert all(copies <= held <= 2 * copies for held in world.held().values())
    world.check_counters(consumer)


def check(name: str, received: list[Message | Notice], published: list[bytes]) -> None:
    """What was received is in order, without repetitions, and every loss has a notice."""
    place = {payload: number for number, payload in enumerate(published)}
    last, reason = -1, ""
    is_disconnected = was_disconnected = is_gap = False
    for item in received:
        if isinstance(item, Message):
            assert not is_disconnected, "a message before the notice of recovery"
            number = place[item.payload]
            assert number > last, "in order, nothing twice"
            if number > last + 1:
                assert was_disconnected or is_gap, f"{name}: lost without a notice"
                # Before the first message there is no id by which a gap could be known.
                assert name not in {AGGREGATES, DEPTH} or is_gap or last < 0
            last, was_disconnected, is_gap = number, False, False
        elif isinstance(item, Disconnected):
            assert not is_disconnected or item.reason != reason, (
                "another notice for another reason only"
            )
            is_disconnected = was_disconnected = True
            reason = item.reason
        elif isinstance(item, Recovered):
            is_disconnected = False
        elif isinstance(item, Gap):
            assert name in {AGGREGATES, DEPTH, CANDLES}
            is_gap = True
    assert last == len(published) - 1, f"{name}: delivered in the end"
