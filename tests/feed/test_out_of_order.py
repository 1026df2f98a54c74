"""Messages that come twice or late on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import AGGREGATES, DEPTH, EVENT_MS, KINDS, QUOTES
from world import Consumer, World

from tickerplant.feed.identified import LATE_MS, MAX_LATE
from tickerplant.notices import Gap

LONG = 10 * LATE_MS // EVENT_MS
"""So many messages take much longer than a message may be late."""


def heard(stream: str, numbers: Sequence[int], **options: bool) -> tuple[World, Consumer]:
    """Let one connection send messages by number."""
    world = World()
    consumer = world.attach(stream, **options)
    for number in numbers:
        world.publish(stream, KINDS[stream](number))
    world.run(100)
    return world, consumer


def numbers(consumer: Consumer, stream: str) -> list[int]:
    """What a consumer got, by the time in it."""
    start = heard(stream, [0])[1].messages(stream)[0].event_time_ms
    return [(each.event_time_ms - start) // EVENT_MS for each in consumer.messages(stream)]


@pytest.mark.parametrize("stream", [AGGREGATES, DEPTH, QUOTES])
def test_a_message_that_comes_twice_is_delivered_once(stream: str) -> None:
    world, consumer = heard(stream, [1, 2, 2, 2, 3])
    assert numbers(consumer, stream) == [1, 2, 3]
    assert consumer.notices() == []
    assert world.feed.counters.duplicates == 2


@pytest.mark.parametrize("stream", [AGGREGATES, DEPTH])
@pytest.mark.parametrize("later", [1, 5, LONG])
def test_a_message_that_was_overtaken_is_reported_as_missing_and_nothing_else(
    stream: str, later: int
) -> None:
    world, consumer = heard(stream, [1, 2, *range(4, 4 + later), 3, *range(4 + later, 9 + later)])
    assert numbers(consumer, stream) == [1, 2, *range(4, 9 + later)]
    (gap,) = consumer.notices(Gap)
    assert gap.reason == ""
    assert world.feed.counters.out_of_order == 1


def test_a_quote_that_was_overtaken_is_not_delivered_after_a_newer_one() -> None:
    world, consumer = heard(QUOTES, [1, 3, 2, 4])
    assert numbers(consumer, QUOTES) == [1, 3, 4]
    assert consumer.notices() == []
    assert world.feed.counters.out_of_order == 1


def test_with_backfill_messages_that_changed_places_are_delivered_in_order() -> None:
    world, consumer = heard(AGGREGATES, [1, 3, 2, 4], backfills=True)
    assert numbers(consumer, AGGREGATES) == [1, 2, 3, 4]
    assert consumer.notices() == []
    assert world.feed.counters.out_of_order == 0


@pytest.mark.parametrize("stream", [AGGREGATES, DEPTH, QUOTES])
def test_a_replay_that_goes_back_is_followed(stream: str) -> None:
    world, consumer = heard(stream, [*range(1, LONG), *range(3, 9)])
    assert numbers(consumer, stream) == [*range(1, LONG), *range(3, 9)]
    assert [each.reason for each in consumer.notices(Gap)] == (
        [] if stream == QUOTES else ["ids restarted"]
    )
    assert world.feed.counters.out_of_order == 0


def test_a_replay_that_goes_back_by_less_goes_on_where_it_was() -> None:
    _, consumer = heard(AGGREGATES, [*range(1, LONG), *range(LONG - 3, LONG + 3)])
    assert numbers(consumer, AGGREGATES) == [*range(1, LONG + 3)]
    assert consumer.notices() == []


def test_so_many_late_messages_in_a_row_are_a_restart() -> None:
    world, consumer = heard(AGGREGATES, [1, 3, 3 + 2 * MAX_LATE, *[2] * (MAX_LATE + 2)])
    assert world.feed.counters.out_of_order == MAX_LATE
    assert [each.reason for each in consumer.notices(Gap)][-1] == "ids restarted"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=25))
def test_whatever_the_order_ids_rise_until_a_restart_is_reported(sent: list[int]) -> None:
    _, consumer = heard(AGGREGATES, sent)
    last = 0
    item: Any
    for item in consumer.received:
        if isinstance(item, Gap):
            last = 0 if item.reason else last
            continue
        assert item.aggregate_id > last
        last = item.aggregate_id
