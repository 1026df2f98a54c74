from __future__ import annotations

from made import AGGREGATES, KINDS, QUOTES, TICKERS, aggregate
from wires import Consumer, World

from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice, Recovered, Stale


def envelope(name: str, payload: bytes) -> bytes:
    return b'{"stream":"%b","data":%b}' % (name.encode(), payload)


def test_who_has_room_is_told_that_others_hold_the_connection_up() -> None:
    world = World()
    slow, quick = world.attach(QUOTES), world.attach(QUOTES)
    world.publish(QUOTES, KINDS[QUOTES](1))
    world.run(3_000)
    number = world.wire(QUOTES).number
    world.feed.held_up({number}, {slow})
    world.run(900)
    assert quick.kinds() == ["message"], "a short pause is nothing to be told of"
    world.run(1_100)
    late = world.attach(QUOTES, settle_ms=1_000)
    (stale,) = quick.notices()
    assert isinstance(stale, Stale)
    assert stale.reason == "not read: another consumer on its connection has no room"
    assert 4_000 <= stale.silent_ms <= 5_000
    assert late.kinds() == ["Stale"], "who comes while it lasts, too"
    world.feed.held_up(set())
    assert [type(each) for each in quick.notices()] == [Stale, Recovered], "before any message"
    assert quick.notices(Recovered)[0].blind_ms == 6_000
    assert late.kinds() == ["Stale", "Recovered"]
    assert slow.kinds() == ["message"], "it is not blind, but slow"
    world.run(5_000)
    assert len(quick.told) == 3


def test_who_hears_of_a_pause_and_then_of_a_loss_hears_once_that_it_is_over() -> None:
    world = World()
    slow, quick = world.attach(QUOTES), world.attach(QUOTES)
    wire = world.wire(QUOTES)
    world.feed.held_up({wire.number}, {slow})
    world.run(2_000)
    wire.cut()
    world.feed.held_up(set())
    world.run(5_000)
    assert quick.kinds() == ["Stale", "Disconnected", "Recovered"]
    assert slow.kinds() == ["Disconnected", "Recovered"]


def test_who_leaves_during_a_pause_is_told_nothing_any_more() -> None:
    world = World()
    slow, quick = world.attach(QUOTES), world.attach(QUOTES)
    number = world.wire(QUOTES).number
    world.feed.held_up({number}, {slow})
    world.run(2_000)
    world.feed.detach([QUOTES], quick)
    world.feed.held_up(set())
    world.run(1_000)
    assert quick.kinds() == ["Stale"]


def test_who_leaves_and_comes_back_during_a_pause_is_told_again() -> None:
    world = World()
    slow, quick = world.attach(QUOTES), world.attach(QUOTES)
    world.feed.held_up({world.wire(QUOTES).number}, {slow})
    world.run(2_000)
    world.feed.detach([QUOTES], quick)
    world.feed.attach([QUOTES], quick)
    world.run(1_000)
    assert quick.kinds() == ["Stale"]
    assert len(quick.told) == 2


def test_a_stream_whose_subscription_is_not_read_is_told_of() -> None:
    world = World()
    slow = world.attach(QUOTES)
    number = world.wire(QUOTES).number
    world.wires[number].down_ms = 3_000  # it waits in the socket
    world.feed.held_up({number}, {slow})
    late = world.attach("ethusdt@bookTicker", settle_ms=2_000)
    assert late.kinds() == ["Stale"]
    world.feed.held_up(set())
    assert late.kinds() == ["Stale"], "the answer is still on its way"
    world.run(3_000)
    assert late.kinds() == ["Stale", "Recovered"]


class Closing(Consumer):
    """Ends something as soon as it is told anything."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def __call__(self, item: Message | Notice) -> None:
        super().__call__(item)
        self.world.feed.held_up(set())


def test_who_ends_the_pause_when_it_is_told_of_it_is_told_once_and_others_nothing() -> None:
    world = World()
    slow = world.attach(QUOTES)
    closing = Closing(world)
    world.feed.attach([QUOTES], closing)
    other = world.attach(QUOTES)
    world.feed.held_up({world.wire(QUOTES).number}, {slow})
    world.run(3_000)
    assert closing.kinds() == ["Stale", "Recovered"]
    assert len(closing.told) == 2
    assert not other.told


class Leaving(Consumer):
    """Unsubscribes from everything when it is told that something is heard again."""

    def __init__(self, world: World, names: list[str]) -> None:
        super().__init__()
        self.world, self.names = world, names

    def __call__(self, item: Message | Notice) -> None:
        super().__call__(item)
        if isinstance(item, Recovered):
            self.world.feed.detach(self.names, self)
            self.world.feed.held_up(set())


def test_who_leaves_when_a_pause_is_over_is_told_no_more() -> None:
    world = World()
    names = [QUOTES, "ethusdt@bookTicker"]
    slow = world.attach(*names)
    leaving = Leaving(world, names)
    world.feed.attach(names, leaving)
    world.feed.held_up({world.wire(QUOTES).number}, {slow})
    world.run(2_000)
    world.feed.held_up(set())
    assert leaving.kinds() == ["Stale", "Recovered"]
    assert len(leaving.notices(Recovered)) == 1


def test_a_gap_waits_for_a_follower_that_is_not_read_but_not_for_ever() -> None:
    world = World(copies=2)
    consumer = world.attach(AGGREGATES)
    lead = world.lead(AGGREGATES)
    other = next(wire for wire in world.wires.values() if wire is not lead)
    for wire in world.wires.values():
        wire.say(envelope(AGGREGATES, aggregate(1)))
    world.run(100)
    world.feed.held_up({other.number}, {Consumer()})
    for number in (3, 4):
        lead.say(envelope(AGGREGATES, aggregate(number)))
    world.run(9_000)
    assert [each.aggregate_id for each in consumer.messages()] == [1]
    world.run(2_000)
    assert [each.aggregate_id for each in consumer.messages()] == [1, 3, 4]
    assert consumer.kinds() == ["message", "Gap", "message"]


def test_what_a_connection_repeats_after_a_long_pause_is_known() -> None:
    for name in (AGGREGATES, TICKERS):
        world = World(copies=2)
        consumer = world.attach(name)
        lead = world.lead(name)
        other = next(wire for wire in world.wires.values() if wire is not lead)
        for number in range(1, 6):
            lead.say(envelope(name, KINDS[name](number)))
        other.say(envelope(name, KINDS[name](1)))
        world.run(100)
        lead.cut()
        world.run(1)
        world.feed.held_up({other.number}, {consumer})
        world.run(30_000)
        world.feed.held_up(set())
        for number in range(2, 7):
            other.say(envelope(name, KINDS[name](number)))
        world.run(100)
        told = consumer.payloads(name)
        assert told == [KINDS[name](number) for number in range(1, 7)], name
