from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import AGGREGATES, CANDLES, DEPTH, KINDS, QUOTES, TICKERS
from world import TICK_MS, World

from tickerplant.notices import Disconnected, Gap, Recovered, Stale

SETTLED_MS = 3_000
steps = st.lists(
    st.tuples(st.sampled_from(["cut", "die", "slow", "renew", "nothing"]), st.integers(0, 1)),
    min_size=1,
    max_size=8,
)


@pytest.mark.heavy
@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=6)
@given(steps=steps, seed=st.integers(0, 99), pace=st.integers(20, 200))
def test_the_loss_of_one_copy_at_a_time_costs_nothing(
    name: str, steps: list[tuple[str, int]], seed: int, pace: int
) -> None:
    world = World(copies=2, seed=seed, stable_after_ms=1_000, quick_stale_ms=15_000)
    consumer = world.attach(name)
    number = 0
    for step, copy in steps:
        for _ in range(20):
            number += 1
            world.publish(name, KINDS[name](number))
            world.run(pace)
        wire = world.wire(name, copy)
        if step == "cut":
            wire.cut()
        elif step == "die":
            wire.is_dead = True
        elif step == "slow":
            wire.down_ms = 400
        elif step == "renew":
            world.renew(name, copy)
        for _ in range(30):
            number += 1
            world.publish(name, KINDS[name](number))
            world.run(50)
        quiet_ms = 30_000 if step == "die" else SETTLED_MS
        for _ in range(quiet_ms // 200):
            number += 1
            world.publish(name, KINDS[name](number))
            world.run(200)
    world.run(4_000)
    assert consumer.payloads(name) == world.published(name)
    assert not consumer.notices()
    world.check_counters(consumer)


@pytest.mark.parametrize("name", KINDS)
def test_a_primary_that_sends_nothing_of_a_stream_is_replaced(name: str) -> None:
    world = World(copies=2)
    consumer = world.attach(name)
    for number in range(1, 60):
        world.publish(name, KINDS[name](number))
        if number == 20:
            world.primary(name).swallows = lambda _: True
        world.run(100)
    world.run(1_000)
    assert consumer.payloads(name) == world.published(name)


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=8)
@given(
    swallowed=st.tuples(st.frozensets(st.integers(5, 60)), st.frozensets(st.integers(5, 60))),
    slow=st.integers(0, 1),
    delay_ms=st.integers(10, 300),
)
def test_what_one_connection_loses_the_other_delivers(
    name: str, swallowed: tuple[frozenset[int], frozenset[int]], slow: int, delay_ms: int
) -> None:
    world = World(copies=2)
    consumer = world.attach(name)
    make = KINDS[name]
    both = swallowed[0] & swallowed[1]
    for copy in (0, 1):
        missing = {make(number) for number in swallowed[copy] - both}
        wire = world.wire(name, copy)
        wire.swallow(missing)
        wire.down_ms = delay_ms if copy == slow else 10
    for number in range(1, 80):
        world.publish(name, make(number))
        world.run(100)
    world.run(12_000)
    received, published = consumer.payloads(name), world.published(name)
    if name == QUOTES:
        assert received == sorted(set(received), key=published.index), "nothing old, nothing twice"
    elif name in {AGGREGATES, DEPTH}:
        assert received == published
        assert not consumer.notices(Gap)
    else:
        assert sorted(received) == sorted(published), "late, if the primary sent others before"


@pytest.mark.heavy
@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=8)
@given(
    outage_ms=st.integers(0, 40_000),
    copies=st.integers(1, 2),
    on_the_way_ms=st.sampled_from([5, 200]),
    seed=st.integers(0, 9),
)
def test_what_all_connections_lose_is_reported(
    name: str, outage_ms: int, copies: int, on_the_way_ms: int, seed: int
) -> None:
    world = World(copies=copies, seed=seed)
    consumer = world.attach(name)
    for wire in world.wires.values():
        wire.down_ms = on_the_way_ms
    for number in range(1, 200):
        world.publish(name, KINDS[name](number))
        if number == 30:
            world.refuse_for(outage_ms)
            for wire in tuple(world.wires.values()):
                wire.cut()
        world.run(outage_ms // 50 + 100 if 30 <= number < 80 else 100)
    world.run(31_000)
    world.publish(name, KINDS[name](200), KINDS[name](201))
    world.run(1_000)
    received, published = consumer.payloads(name), world.published(name)
    assert received == sorted(set(received), key=published.index)
    assert received[-1] == published[-1]
    first_missing = next(
        (n for n, each in enumerate(received) if each != published[n]), len(received)
    )
    missing = published[first_missing : published.index(received[first_missing])]
    assert received == [each for each in published if each not in missing], "one gap"
    disconnected, *later = consumer.notices()
    while isinstance(later[0], Disconnected):
        later = later[1:]  # another notice, for another reason
    recovered, *later = later
    gaps = consumer.notices(Gap)
    assert {type(each) for each in later} <= {Gap, Stale, Recovered}, "nothing comes at the end"
    assert isinstance(disconnected, Disconnected)
    assert isinstance(recovered, Recovered)
    assert disconnected.streams == recovered.streams == (name,)
    assert recovered.outage_ms >= outage_ms - TICK_MS
    if name == AGGREGATES and missing:
        (gap,) = gaps
        assert (gap.after_id, gap.before_id) == (first_missing, first_missing + len(missing) + 1)
        assert (gap.missing, gap.backfilled) == (len(missing), 0)
        assert world.feed.counters.missing == len(missing)
    elif name == DEPTH and missing:
        (gap,) = gaps
        assert gap.after_id == first_missing * 7
        assert gap.before_id == (first_missing + len(missing) + 1) * 7
        assert gap.missing is None
    elif name != CANDLES:
        assert gaps == []


def test_messages_of_a_restarted_server_are_delivered_at_once() -> None:
    for copies in (1, 2):
        world = World(copies=copies)
        consumer = world.attach(AGGREGATES, DEPTH, QUOTES, TICKERS)
        for number in range(100, 130):
            for name in (AGGREGATES, DEPTH, QUOTES, TICKERS):
                world.publish(name, KINDS[name](number))
            world.run(50)
        world.restart()
        world.run(3_000)
        for number in range(1, 50):
            for name in (AGGREGATES, DEPTH, QUOTES, TICKERS):
                world.publish(name, KINDS[name](number))
            world.run(50)
        world.run(1_000)
        for name in (AGGREGATES, DEPTH, QUOTES, TICKERS):
            assert consumer.payloads(name) == world.published(name)
        gaps = {gap.streams[0]: gap for gap in consumer.notices(Gap)}
        assert gaps.keys() == {AGGREGATES, DEPTH}
        assert {gap.reason for gap in gaps.values()} == {"ids restarted"}
        assert gaps[AGGREGATES].after_id == 129
        assert gaps[AGGREGATES].before_id == 1


def test_a_copy_at_a_new_server_takes_over_from_one_whose_server_is_gone() -> None:
    world = World(copies=2)
    consumer = world.attach(AGGREGATES)
    make = KINDS[AGGREGATES]
    for number in range(100, 130):
        world.publish(AGGREGATES, make(number))
        world.run(100)
    primary, secondary = world.primary(AGGREGATES), world.secondary(AGGREGATES)
    primary.is_dead = True  # half open: neither side notices
    primary.leave()
    world.start_server()
    secondary.cut()
    world.run(3_000)
    for number in range(1, 100):
        # newer than before the restart
        payload = make(number).replace(b'"E":1772', b'"E":1773')
        world.publish(AGGREGATES, payload)
        world.run(300)
    world.run(1_000)
    assert consumer.payloads(AGGREGATES) == world.published(AGGREGATES)
    (gap,) = consumer.notices(Gap)
    assert (gap.after_id, gap.before_id) == (129, 1)


def test_two_consumers_get_the_same() -> None:
    world = World(copies=2)
    first = world.attach(TICKERS, AGGREGATES)
    second = world.attach(TICKERS, AGGREGATES)
    for number in range(1, 40):
        for name in (TICKERS, AGGREGATES):
            world.publish(name, KINDS[name](number))
        if number == 20:
            for wire in tuple(world.wires.values()):
                wire.cut()
        world.run(100)
    assert first.received == second.received
    assert len(first.notices(Disconnected)) == 1, "one notice, about both streams"
    assert first.notices(Disconnected)[0].streams == (TICKERS, AGGREGATES)


def test_a_primary_that_is_paused_is_not_stale() -> None:
    world = World(copies=2)
    consumer = world.attach(TICKERS)
    world.publish(TICKERS, KINDS[TICKERS](1))
    world.run(1_000)
    primary, other = world.primary(TICKERS), world.secondary(TICKERS)
    said = b'{"stream":"%b","data":%b}' % (TICKERS.encode(), KINDS[TICKERS](2))
    other.say(said)
    world.run(20)
    world.feed.pool.pause(set(world.wires))
    world.run(20_000)
    world.feed.pool.pause(set())
    primary.say(said)
    world.run(1_000)
    assert consumer.payloads(TICKERS) == [KINDS[TICKERS](1), KINDS[TICKERS](2)]
    assert not consumer.notices()


def test_a_later_consumer_is_notified_of_an_outage() -> None:
    world = World()
    world.attach(TICKERS)
    world.refusals = lambda _: (503, 0)
    world.wire(TICKERS).cut()
    world.run(1_000)
    late = world.attach(TICKERS)
    assert late.kinds() == ["Disconnected"]
    world.refusals = lambda _: None
    world.run(60_000)
    assert late.kinds()[:2] == ["Disconnected", "Recovered"]
