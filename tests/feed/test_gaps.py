from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import AGGREGATES, CANDLES, DEPTH, KINDS, TICKERS, aggregate, candle_of
from world import Consumer, World

from tickerplant.feed.context import Fetch
from tickerplant.messages.readers import reader
from tickerplant.notices import Gap

LATE = "no response in time"


def rows(*numbers: int, stream: str = AGGREGATES) -> list[Any]:
    """What REST returns."""
    found = [reader(stream).decode(KINDS[stream](number)) for number in numbers]
    for each in found:
        each.backfilled = True
    return found


def ids(consumer: Consumer) -> list[int]:
    return [each.aggregate_id for each in consumer.messages(AGGREGATES)]


def say(world: World, *numbers: int, wire: int | None = None) -> None:
    """Let one connection, or all, send aggregate trades."""
    for number, each in world.wires.items():
        if wire in {None, number}:
            for said in numbers:
                each.say(b'{"stream":"%b","data":%b}' % (AGGREGATES.encode(), aggregate(said)))
    world.run(20)


def doubled() -> tuple[World, Consumer, int, int]:
    """A consumer over two connections, and the numbers of the one that leads and of the other."""
    world = World(copies=2)
    consumer = world.attach(AGGREGATES)
    return world, consumer, world.primary(AGGREGATES).number, world.secondary(AGGREGATES).number


def test_missing_messages_are_fetched_and_delivered_in_order_and_marked() -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 2, 6, 7)
    assert world.fetches == [Fetch(AGGREGATES, 2, 6)]
    assert ids(consumer) == [1, 2]
    say(world, 8)
    world.feed.filled(AGGREGATES, rows(3, 4, 5), 2)
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [each.aggregate_id for each in consumer.messages() if each.backfilled] == [3, 4, 5]
    assert {each.stream for each in consumer.messages()} == {AGGREGATES}
    (gap,) = consumer.notices()
    assert (gap.after_id, gap.before_id, gap.missing, gap.backfilled) == (2, 6, 3, 3)
    assert (gap.reason, gap.streams, gap.symbol) == ("", (AGGREGATES,), "BTCUSDT")
    assert consumer.kinds() == ["message", "Gap", "message"]
    counters = world.feed.counters
    assert (counters.gaps, counters.missing, counters.backfilled) == (1, 0, 3)


def test_a_part_of_what_is_missing_is_better_than_nothing() -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 6)
    world.feed.filled(AGGREGATES, rows(5, 4, 4, 1, 6, 9), 1)
    say(world, 7)
    assert ids(consumer) == [1, 4, 5, 6, 7], "sorted, and nothing twice"
    (gap,) = consumer.notices(Gap)
    assert (gap.missing, gap.backfilled) == (4, 2)
    assert gap.reason


@pytest.mark.parametrize("answer", ["unfilled", "timeout"])
def test_messages_that_cannot_be_fetched_are_reported(answer: str) -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 3, 4)
    if answer == "unfilled":
        world.feed.unfilled(AGGREGATES, "banned", 1)
    else:
        world.run(16_000)
        say(world, 5)
    assert ids(consumer)[:3] == [1, 3, 4]
    (gap,) = consumer.notices(Gap)
    assert (gap.after_id, gap.before_id, gap.missing, gap.backfilled) == (1, 3, 1, 0)
    assert gap.reason == ("banned" if answer == "unfilled" else LATE)
    world.feed.filled(AGGREGATES, rows(2), 1)
    assert ids(consumer)[:3] == [1, 3, 4], "too late"


def test_an_answer_that_is_late_is_not_taken_for_the_answer_to_the_next_question() -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 3)
    for _ in range(16):
        world.run(1_000)
    say(world, 6)
    assert [fetch.after_id for fetch in world.fetches] == [1, 3]
    world.feed.unfilled(AGGREGATES, "too late", 1)
    world.feed.filled(AGGREGATES, rows(2), 1)
    world.feed.filled(AGGREGATES, rows(4, 5), 3)
    assert ids(consumer) == [1, 3, 4, 5, 6]


def test_one_gap_after_the_other_is_asked_for() -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 3, 5, 7)
    for missing in (2, 4, 6):
        (fetch,) = world.fetches
        world.fetches.clear()
        world.feed.filled(AGGREGATES, rows(missing), fetch.after_id)
        world.perform()
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7]
    assert [gap.after_id for gap in consumer.notices(Gap)] == [1, 3, 5]


def test_without_backfill_every_gap_is_reported_at_once() -> None:
    world = World()
    consumer = world.attach(AGGREGATES)
    say(world, 1, 3, 5, 9)
    assert ids(consumer) == [1, 3, 5, 9]
    bounds = [(gap.after_id, gap.before_id, gap.missing) for gap in consumer.notices(Gap)]
    assert bounds == [(1, 3, 1), (3, 5, 1), (5, 9, 3)]
    assert not world.fetches


def test_gaps_in_a_chain_have_bounds_but_no_count() -> None:
    world = World()
    consumer = world.attach(DEPTH)
    for number in (1, 2, 5):
        world.publish(DEPTH, KINDS[DEPTH](number))
    world.run(100)
    (gap,) = consumer.notices(Gap)
    assert (gap.after_id, gap.before_id, gap.missing) == (14, 35, None)


def test_what_waits_behind_a_gap_is_bounded() -> None:
    world = World(held_messages=50)
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1)
    for number in range(3, 200, 2):
        say(world, number)
    merged: Any = world.feed.merged_streams[AGGREGATES]
    assert merged.held_count <= 50
    assert ids(consumer)[:40] == [1, *range(3, 81, 2)]
    assert consumer.notices(Gap)[0].reason == "too many messages waited behind the gap"


def test_many_gaps_are_reported_without_deep_recursion() -> None:
    world = World(copies=2, held_messages=20_000)
    consumer = world.attach(AGGREGATES)
    say(world, 1)
    for number in range(3, 6_000, 2):
        for wire in world.wires.values():
            wire.say(b'{"stream":"%b","data":%b}' % (AGGREGATES.encode(), aggregate(number)))
    world.run(5_000)
    assert ids(consumer) == [1, *range(3, 6_000, 2)]
    assert len(consumer.notices(Gap)) == 2_999


def test_a_secondary_fills_what_the_primary_left_out() -> None:
    world, consumer, primary, other = doubled()
    say(world, 1, 2, 3)
    say(world, 6, 7, wire=primary)
    assert ids(consumer) == [1, 2, 3]
    say(world, 4, wire=other)
    assert ids(consumer) == [1, 2, 3, 4]
    say(world, 5, 6, 7, 8, wire=other)
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7]
    say(world, 8, 9, wire=primary)
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert not consumer.notices()


def test_what_a_secondary_has_of_a_gap_is_delivered_and_shrinks_the_gap() -> None:
    world, consumer, primary, other = doubled()
    say(world, 1, 8, wire=primary)
    say(world, 4, 5, wire=other)
    assert ids(consumer) == [1, 4, 5]  # 2 and 3 cannot come any more
    world.run(600)
    assert ids(consumer) == [1, 4, 5, 8]
    bounds = [(gap.after_id, gap.before_id, gap.missing) for gap in consumer.notices(Gap)]
    assert bounds == [(1, 4, 2), (5, 8, 2)]


def test_a_secondary_that_lags_fills_the_gap_when_it_becomes_primary() -> None:
    world, consumer, primary, other = doubled()
    say(world, 1, 2, wire=primary)
    say(world, 5, 6, wire=primary)
    world.wires[primary].cut()
    say(world, 1, 2, 3, 4, 5, wire=other)
    say(world, 6, 7, wire=other)
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7]
    assert not consumer.notices()


def test_a_gap_waits_for_a_secondary_that_is_paused() -> None:
    world, consumer, primary, other = doubled()
    say(world, 1)
    say(world, 3, wire=primary)
    world.feed.pool.pause(set(world.wires))
    world.run(60_000)
    assert ids(consumer) == [1]
    world.feed.pool.pause(set())
    say(world, 2, 3, wire=other)
    assert ids(consumer) == [1, 2, 3]
    assert not consumer.notices()


def test_what_one_consumer_asks_for_is_not_asked_for_when_it_has_left() -> None:
    world = World()
    consumer = world.attach(AGGREGATES)
    curious = world.attach(AGGREGATES, backfills=True)
    say(world, 1)
    world.feed.detach([AGGREGATES], curious)
    say(world, 3, 4)
    assert ids(consumer) == [1, 3, 4]
    assert not world.fetches


def test_a_gap_that_waits_for_rest_outlives_the_connection() -> None:
    world = World()
    consumer = world.attach(AGGREGATES, backfills=True)
    say(world, 1, 4, 5)
    world.wire(AGGREGATES).cut()
    world.run(1_000)
    say(world, 9)
    world.feed.filled(AGGREGATES, rows(2, 3), 1)
    world.perform()
    assert ids(consumer) == [1, 2, 3, 4, 5]
    world.feed.filled(AGGREGATES, rows(6, 7, 8), 5)
    assert ids(consumer) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_gap_that_waits_for_a_secondary_does_not_outlive_it() -> None:
    world, consumer, primary, other = doubled()
    say(world, 1, 4, wire=primary)
    assert ids(consumer) == [1]
    world.wires[other].cut()
    assert ids(consumer) == [1, 4]


@pytest.mark.heavy
def test_a_secondary_may_be_far_ahead_and_nothing_is_lost() -> None:
    for name in (AGGREGATES, TICKERS, DEPTH):
        world = World(copies=2, idle_ms=600_000)
        consumer = world.attach(name)
        world.publish(name, *(KINDS[name](number) for number in range(1, 10)))
        world.run(100)
        primary = world.primary(name)
        primary.down_ms = 8_000
        for number in range(10, 5_500):
            world.publish(name, KINDS[name](number))
            if number % 100 == 0:
                world.run(2)
        world.run(20_000)
        assert consumer.payloads(name) == world.published(name)
        merged = world.feed.merged_streams[name]
        assert all(len(each.waiting) == 0 for each in merged.secondaries.values())


@given(
    sent=st.lists(st.tuples(st.integers(1, 25), st.integers(0, 2)), min_size=5, max_size=60),
    backfills=st.booleans(),
    copies=st.integers(1, 2),
)
def test_ids_rise_and_every_gap_is_reported(
    sent: list[tuple[int, int]], backfills: bool, copies: int
) -> None:
    """Whatever each connection sends, ids rise, with a gap between two that do not follow."""
    world = World(copies=copies)
    consumer = world.attach(AGGREGATES, backfills=backfills)
    wires = [*world.wires]
    at = dict.fromkeys(wires, 0)
    for step, which in sent:
        number = wires[which % len(wires)]
        at[number] += step if step > 20 else 1
        say(world, at[number], wire=number)
        while world.fetches:
            fetch = world.fetches.pop()
            if step % 2:
                world.feed.filled(
                    AGGREGATES, rows(*range(fetch.after_id + 1, fetch.before_id)), fetch.after_id
                )
            elif step % 3:
                world.feed.unfilled(AGGREGATES, "no", fetch.after_id)
            world.perform()
    world.run(30_000)
    while world.fetches:
        fetch = world.fetches.pop()
        world.feed.unfilled(AGGREGATES, "no", fetch.after_id)
    last: int | None = None
    bounds: tuple[int, int, int] | None = None
    for item in consumer.received:
        if isinstance(item, Gap):
            bounds = (item.after_id, item.before_id, item.backfilled)
        elif hasattr(item, "aggregate_id"):
            number = item.aggregate_id
            if last is not None and number != last + 1:
                assert bounds is not None
                assert bounds[0] <= last < number <= bounds[1]
            assert last is None or number > last
            last = number
    world.check_counters(consumer)


def candles(consumer: Consumer) -> list[tuple[int, int, bool]]:
    opened = [
        (each.open_time_ms // 60_000 % 1_000, each.candle.trade_count, each.is_closed)
        for each in consumer.messages(CANDLES)
    ]
    first = opened[0][0]
    return [(minute - first, second, closed) for minute, second, closed in opened]


def closed_row(minute: int) -> Any:
    row = reader(CANDLES).decode(candle_of(minute, 0, is_closed=True))
    row.backfilled = True
    return row


@pytest.mark.parametrize("backfills", [True, False])
def test_candles_that_closed_during_an_outage_are_missing(backfills: bool) -> None:
    world = World()
    consumer = world.attach(CANDLES, backfills=backfills)
    world.publish(CANDLES, candle_of(0, 1), candle_of(0, 2))
    world.run(100)
    world.wire(CANDLES).cut()
    world.run(1_000)
    world.publish(CANDLES, candle_of(3, 1), candle_of(3, 2))
    world.run(100)
    if backfills:
        (fetch,) = world.fetches
        opened = msgspec.json.decode(candle_of(0, 0))["k"]["t"]
        assert fetch == Fetch(CANDLES, opened, opened + 180_000)
        assert len(consumer.messages()) == 2
        world.feed.filled(CANDLES, [closed_row(0), closed_row(1), closed_row(2)], fetch.after_id)
        expected = [(0, 1, False), (0, 2, False), (0, 0, True), (1, 0, True), (2, 0, True)]
    else:
        expected = [(0, 1, False), (0, 2, False)]
    assert candles(consumer) == [*expected, (3, 1, False), (3, 2, False)]
    (gap,) = consumer.notices(Gap)
    assert (gap.missing, gap.backfilled) == (3, 3 if backfills else 0)


@pytest.mark.parametrize("close_time_ms", [0, 59_999, 10**400])
def test_candles_that_end_before_they_begin_or_never_are_missing_all_the_same(
    close_time_ms: int,
) -> None:
    odd = msgspec.json.decode(candle_of(0, 1))
    odd["k"] |= {"t": 60_000, "T": close_time_ms}
    world = World()
    consumer = world.attach(CANDLES, backfills=False)
    world.publish(CANDLES, msgspec.json.encode(odd))
    world.run(100)
    world.wire(CANDLES).cut()
    world.run(1_000)
    odd["E"] += 1_000_000
    odd["k"] |= {"t": 10**500}
    world.publish(CANDLES, msgspec.json.encode(odd))
    world.run(100)
    assert len(consumer.messages(CANDLES)) == 2
    assert [gap.missing is not None for gap in consumer.notices(Gap)] == [True]


@pytest.mark.parametrize("is_closed", [True, False])
def test_no_candle_is_missing_if_the_next_follows(is_closed: bool) -> None:
    world = World()
    consumer = world.attach(CANDLES)
    world.publish(CANDLES, candle_of(0, 1, is_closed=is_closed))
    world.run(100)
    world.wire(CANDLES).cut()
    world.run(1_000)
    world.publish(CANDLES, candle_of(1 if is_closed else 0, 2))
    world.run(100)
    assert not consumer.notices(Gap)
    assert len(consumer.messages()) == 2


def test_a_second_loss_while_candles_are_fetched_is_reported_too() -> None:
    world = World()
    consumer = world.attach(CANDLES, backfills=True)
    for minute in (0, 2, 5):
        world.publish(CANDLES, candle_of(minute, 1))
        world.run(100)
        world.wire(CANDLES).cut()
        world.run(1_000)
    world.feed.unfilled(CANDLES, "no")
    world.perform()
    assert [minute for minute, _, _ in candles(consumer)] == [0, 2, 5]
    assert len(consumer.notices(Gap)) == 2
