"""Raw messages for a consumer: it gets the same as any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from payloads import AGGREGATES, ARRAY, KINDS, aggregate
from world import Consumer, World

from tickerplant.envelope import prefix_of
from tickerplant.messages.message import Message
from tickerplant.notices import DecodeFailed, Gap, Notice, Recovered, Stale


class Keeper:
    """Records all messages, raw or decoded."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.kept = 0

    def sink(self, item: Message | Notice) -> None:
        if isinstance(item, Notice):
            self.received.append(item)
        else:
            self.received.append((item.stream, item.payload, item.received_ns))

    def keeper(self, stream: str) -> Callable[[int, bytes, Any], None]:
        begin = prefix_of(stream)

        def keep(received_ns: int, raw: bytes, item: Message) -> None:
            assert raw.startswith(begin)
            assert raw.endswith(b"}")
            assert (item.stream, item.payload, item.received_ns) == ("", b"", 0)
            self.received.append((stream, raw[len(begin) : -1], received_ns))
            self.kept += 1

        return keep


def world_of(name: str, *, keeps: bool, **settings: Any) -> tuple[World, Keeper]:
    """Return a world with one consumer, which takes raw messages or does not."""
    world, keeper = World(**settings), Keeper()
    world.feed.attach([name], keeper.sink, keeper=keeper.keeper if keeps else None)
    world.run(1_000)
    return world, keeper


def say(world: World, name: str, *payloads: bytes) -> None:
    """Let every connection send messages of a stream."""
    for wire in tuple(world.wires.values()):
        for payload in payloads:
            wire.say(prefix_of(name) + payload + b"}")
    world.run(20)


def both(name: str, story: Callable[[World], None], **settings: Any) -> tuple[Keeper, World]:
    """Let the same happen to a consumer with and one without raw messages, and compare."""
    plain_world, plain = world_of(name, keeps=False, **settings)
    world, keeper = world_of(name, keeps=True, **settings)
    for each in (plain_world, world):
        story(each)
    assert keeper.received == plain.received
    assert world.feed.counters == plain_world.feed.counters
    assert plain.kept == 0
    return keeper, world


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("copies", [1, 2])
def test_all_kinds_are_delivered_through_gaps_renewals_and_losses(name: str, copies: int) -> None:
    made = KINDS[name]

    def story(world: World) -> None:
        say(world, name, *map(made, range(1, 20)))
        say(world, name, *map(made, (25, 26, 24, 28)))
        world.run(3_000)
        say(world, name, *map(made, range(29, 33)))
        world.renew(name)
        for number in range(33, 90):
            say(world, name, made(number))
            world.run(100)
        next(iter(world.wires.values())).cut()
        world.run(5_000)
        say(world, name, *map(made, range(95, 99)))
        say(world, name, *map(made, range(1, 5)))  # the ids restart
        world.run(2_000)

    keeper, _ = both(name, story, copies=copies)
    messages = [each for each in keeper.received if isinstance(each, tuple)]
    assert len(messages) > 80
    if copies == 1 and name != ARRAY:
        assert len(messages) > keeper.kept > 40


def test_a_stream_that_was_silent_is_recovered_before_it_is_kept() -> None:
    def story(world: World) -> None:
        say(world, AGGREGATES, *map(aggregate, range(1, 50)))
        world.run(600_000)
        say(world, AGGREGATES, *map(aggregate, range(50, 60)))

    keeper, _ = both(AGGREGATES, story)
    kinds = [type(each) for each in keeper.received if not isinstance(each, tuple)]
    assert kinds == [Stale, Recovered]
    assert 50 < keeper.kept < 59, (
        "the first of all and the first after the silence are no usual ones"
    )


def test_what_is_not_in_the_usual_form_goes_the_long_way() -> None:
    name = AGGREGATES

    def story(world: World) -> None:
        (wire,) = world.wires.values()
        say(world, name, aggregate(1), aggregate(2))
        wire.say(b'{"stream": "%b", "data": %b}' % (name.encode(), aggregate(3)))
        wire.say(b'{"data":%b,"stream":"%b"}' % (aggregate(4), name.encode()))
        wire.say(prefix_of(name) + aggregate(5) + b"]")
        wire.say(prefix_of(name) + aggregate(6) + b"} ")
        say(world, name, b"{", b'{"a":"seven"}', b"[]", b'"\xff"', aggregate(8))
        world.run(2_000)

    keeper, world = both(name, story)
    payloads = [each[1] for each in keeper.received if isinstance(each, tuple)]
    assert payloads == [aggregate(number) for number in (1, 2, 3, 4, 5, 6, 8)]
    assert keeper.kept == 1
    kinds = [type(each) for each in keeper.received if not isinstance(each, tuple)]
    assert kinds == [DecodeFailed, DecodeFailed, Gap], "of the stream, and of who knows which"
    assert world.feed.counters.unreadable == 4


def test_it_keeps_only_what_no_other_consumer_wants() -> None:
    world, keeper = world_of(AGGREGATES, keeps=True)
    say(world, AGGREGATES, aggregate(1), aggregate(2))
    assert keeper.kept == 1
    other = Consumer()
    world.feed.attach([AGGREGATES], other)
    say(world, AGGREGATES, aggregate(3))
    assert (keeper.kept, len(other.messages())) == (1, 1)
    world.feed.detach([AGGREGATES], other)
    say(world, AGGREGATES, aggregate(4))
    assert keeper.kept == 2
    world.feed.detach([AGGREGATES], keeper.sink)
    world.feed.attach([AGGREGATES], other)
    world.run(1_000)
    say(world, AGGREGATES, aggregate(5), aggregate(6))
    assert (keeper.kept, len(keeper.received)) == (2, 4)
    assert [each.aggregate_id for each in other.messages()] == [3, 5, 6]
