from __future__ import annotations

import itertools

import pytest
from payloads import AGGREGATES, DEPTH, KINDS, MARKS, QUOTES, TICKERS, mark, publish
from world import World

from tickerplant.notices import Disconnected, Recovered, Stale, UnknownStream

FORCED = "btcusdt@forceOrder"


def test_a_steady_stream_is_stale_after_three_periods() -> None:
    world = World(stale_ms=1_000)
    consumer = world.attach(MARKS)
    for number in range(10):
        world.publish(MARKS, mark(number))
        world.run(1_000)
    assert not consumer.notices()
    world.run(1_900)
    assert not consumer.notices()
    world.run(700)
    (stale,) = consumer.notices()
    assert isinstance(stale, Stale)
    assert (stale.streams, stale.expected_ms) == ((MARKS,), 1_000)
    assert 3_000 <= stale.silent_ms <= 3_600
    assert not world.feed.is_delivering


def test_stale_is_reported_once_and_recovered_with_the_first_message() -> None:
    world = World()
    consumer = world.attach(MARKS)
    world.publish(MARKS, mark(1))
    world.run(40_000)
    assert consumer.kinds() == ["message", "Stale"]
    world.publish(MARKS, mark(2))
    world.run(100)
    world.publish(MARKS, mark(3))
    world.run(100)
    assert consumer.kinds() == ["message", "Stale", "Recovered", "message"]
    (recovered,) = consumer.notices(Recovered)
    assert 39_000 <= recovered.outage_ms <= 41_000
    world.run(10_000)
    assert consumer.kinds()[-1] == "Stale", "and again"


@pytest.mark.parametrize("copies", [1, 2])
def test_the_rhythm_of_a_busy_stream_is_learned_whatever_the_number_of_copies(copies: int) -> None:
    world = World(event_stream_stale_ms=2_000, first_message_timeout_ms=60_000, copies=copies)
    consumer = world.attach(AGGREGATES)
    publish(world, AGGREGATES, 1, 39, pace_ms=1_000)
    world.run(17_000)
    assert not consumer.notices()
    world.run(5_000)
    (stale,) = consumer.notices(Stale)
    assert 19_000 <= stale.silent_ms <= 21_500
    assert 900 <= stale.expected_ms <= 1_100


@pytest.mark.parametrize("name", [DEPTH, QUOTES])
def test_a_stream_that_reports_ten_times_a_second_is_missed_after_two(name: str) -> None:
    world = World()
    consumer = world.attach(name)
    publish(world, name, 1, 300)
    world.run(1_300)
    assert not consumer.notices()
    world.run(700)
    (stale,) = consumer.notices()
    assert isinstance(stale, Stale)
    assert 1_500 <= stale.silent_ms <= 2_000
    assert stale.expected_ms == 100
    publish(world, name, 301, 10)
    assert consumer.kinds() == ["message", "Stale", "Recovered", "message"]


def test_a_stream_that_was_received_only_for_a_moment_is_given_longer() -> None:
    world = World()
    consumer = world.attach(QUOTES)
    publish(world, QUOTES, 1, 100)
    world.run(14_000)
    assert not consumer.notices()
    world.run(2_000)
    assert consumer.kinds() == ["message", "Stale"]


@pytest.mark.heavy
def test_a_stream_that_comes_back_by_itself_is_given_longer_the_next_time() -> None:
    world = World()
    consumer = world.attach(QUOTES)
    publish(world, QUOTES, 1, 300)
    for number in range(301, 901, 100):
        world.run(3_000)
        publish(world, QUOTES, number, 100)
    (stale,) = consumer.notices(Stale)
    assert stale.silent_ms <= 2_000
    publish(world, QUOTES, 901, 9_000)
    world.run(3_000)
    assert len(consumer.notices(Stale)) == 2, "that was long ago"


def test_a_busy_stream_is_not_asked_for_again_for_a_short_silence() -> None:
    world = World()
    world.attach(QUOTES)
    publish(world, QUOTES, 1, 900)
    wire = world.wire(QUOTES)
    world.run(10_000)
    assert world.feed.counters.stale == 1
    assert [request["method"] for _, request in wire.requests] == ["SUBSCRIBE"]
    assert len(world.opens) == 1, "though it is all that its connection carries"
    world.run(10_000)
    assert len(world.opens) == 2


def test_a_busy_stream_of_which_nothing_was_received_has_a_minute() -> None:
    world = World()
    consumer = world.attach(AGGREGATES)
    world.run(58_000)
    assert not consumer.notices()
    world.run(2_000)
    assert consumer.kinds() == ["Stale"]


def test_a_rare_stream_is_never_stale() -> None:
    world = World()
    consumer = world.attach(FORCED)
    world.run(1_200_000)
    assert not consumer.notices()
    assert len(world.opens) == 1


def test_a_stream_that_is_silent_on_a_connection_that_is_not_is_subscribed_to_again() -> None:
    world = World()
    consumer = world.attach(MARKS, TICKERS)
    wire = world.wire(MARKS)
    world.hub.unsubscribe(wire, [MARKS])  # the server forgets it
    for number in range(1, 20):
        world.publish(MARKS, mark(number))
        world.publish(TICKERS, KINDS[TICKERS](number))
        world.run(1_000)
    spoken = [request["method"] for _, request in wire.requests]
    assert spoken == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
    assert consumer.kinds()[-2:] == ["Recovered", "message"]
    assert [each.streams for each in consumer.notices()] == [(MARKS,), (MARKS,)]


def test_a_connection_on_which_all_is_stale_is_replaced_with_doubling_patience() -> None:
    world = World()
    world.attach(MARKS)
    world.run(1_200_000)
    times = [at for at, _, _ in world.opens]
    ages = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 3 <= len(ages) <= 5
    for number, age_ms in enumerate(ages):
        assert (60_000 << number) <= age_ms <= (60_000 << number) + 15_000
    assert len(world.wires) == 1


def test_a_connection_that_answers_no_ping_is_given_up() -> None:
    world = World()
    consumer = world.attach(FORCED)
    world.run(120_000)
    assert world.feed.counters.lost == 0, "pongs are answers"
    world.wire(FORCED).is_dead = True
    world.run(26_000)
    assert world.feed.counters.lost == 1
    world.run(2_000)
    assert consumer.kinds() == ["Disconnected", "Recovered"]


def test_what_is_not_read_is_neither_stale_nor_silent() -> None:
    world = World()
    consumer = world.attach(MARKS, QUOTES)
    wires = tuple(world.wires.values())
    for wire in wires:
        wire.down_ms = 10_000_000  # it waits in the socket
    world.feed.pool.pause({wire.number for wire in wires})
    world.run(200_000)
    assert not consumer.notices()
    assert world.feed.counters.lost == 0
    world.feed.pool.pause(set())
    world.run(4_000)
    assert not consumer.notices(), "patience begins anew"
    world.run(30_000)
    assert set(consumer.kinds()) == {"Stale", "Disconnected", "Recovered"}


def test_control_messages_on_a_connection_that_is_not_read_are_not_overdue() -> None:
    world = World(delay_ms=50)
    consumer = world.attach(MARKS)
    wire = world.wire(MARKS)
    wire.down_ms = 20_000
    world.feed.attach([AGGREGATES], consumer)
    world.perform()
    world.feed.pool.pause({wire.number})
    world.run(15_000)
    world.feed.pool.pause(set())
    world.run(6_000)
    assert world.feed.counters.lost == 0
    assert world.feed.merged_streams[AGGREGATES].primary is not None


def test_a_program_that_stood_still_does_not_blame_its_connections() -> None:
    world = World()
    consumer = world.attach(MARKS)
    world.is_stalled = True
    world.run(60_000)
    world.is_stalled = False
    world.run(100)
    assert not consumer.notices()
    assert world.feed.counters.lost == 0
    world.publish(MARKS, mark(1))
    world.run(2_000)
    assert consumer.kinds() == ["message"]
    world.wire(MARKS).is_dead = True
    world.is_stalled = True
    world.run(60_000)
    world.is_stalled = False
    world.run(11_000)
    assert world.feed.counters.lost == 1, "but asks at once whether they are there"


def test_what_was_stale_and_then_lost_is_stale_no_more() -> None:
    world = World()
    consumer = world.attach(MARKS, AGGREGATES)
    world.run(8_000)
    world.wire(MARKS).cut()
    world.run(2_000)
    assert consumer.kinds() == ["Stale", "Disconnected", "Recovered"]
    world.publish(MARKS, mark(1))
    world.run(100)
    assert consumer.kinds() == ["Stale", "Disconnected", "Recovered", "message"]


def test_what_was_stale_and_then_lost_was_not_received_since_its_last_message() -> None:
    world = World()
    consumer = world.attach(MARKS)
    world.publish(MARKS, mark(1))
    world.run(25_000)
    world.wire(MARKS).cut()
    world.run(2_000)
    assert consumer.kinds() == ["message", "Stale", "Disconnected", "Recovered"]
    (recovered,) = consumer.notices(Recovered)
    assert 25_000 <= recovered.outage_ms <= 27_000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("BTCUSDT@aggTrade", "names are case-sensitive: btcusdt@aggTrade"),
        ("btcusdt@depth7", "one of 5, 10, 20, not 7"),
        ("btcusdt@nothing", "no stream has this name"),
        ("btcusd_perp@aggTrade", "its symbol has the form of one of COIN-M, not of USDⓈ-M"),
    ],
)
def test_a_name_that_is_known_to_be_wrong_is_reported_at_once_and_asked_for(
    name: str, said: str
) -> None:
    world = World()
    consumer = world.attach(name, settle_ms=0)
    (doubtful,) = consumer.notices()
    assert isinstance(doubtful, UnknownStream)
    assert doubtful.streams == (name,)
    assert said in doubtful.reason
    world.run(1_000)
    assert consumer.kinds() == ["UnknownStream"]
    assert world.held()[name] == 1
    assert world.attach(name).kinds() == ["UnknownStream"], "each who subscribes"


@pytest.mark.parametrize("others", [[], [FORCED], [MARKS]])
def test_no_connection_is_renewed_for_a_name_that_is_wrong(others: list[str]) -> None:
    world = World()
    world.attach("BTCUSDT@aggTrade", *others)
    for number in range(300):
        for name in {*others} & {MARKS}:
            world.publish(name, mark(number))
        world.run(1_000)
    assert len(world.opens) == 1


def test_no_connection_is_renewed_for_what_was_never_received_while_others_are() -> None:
    world = World()
    world.attach("nonsuchusdt@aggTrade", FORCED)
    order = (
        b'{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"1","p":"1","ap":"1",'
        b'"X":"FILLED","l":"1","z":"1","T":1}'
    )
    world.publish(FORCED, b'{"e":"forceOrder","E":1,"o":' + order + b"}")
    world.run(300_000)
    assert world.feed.counters.messages == 1
    assert len(world.opens) == 1


def test_another_reason_is_reported_but_not_more_often_than_every_ten_seconds() -> None:
    world = World(retry_max_ms=2_000)
    consumer = world.attach(FORCED)
    world.run(20_000)
    world.refuse_for(60_000)
    world.wire(FORCED).end("closed 1001", 1001)
    world.run(9_000)
    assert [each.reason for each in consumer.notices(Disconnected)] == ["closed 1001"]
    world.run(50_000)
    first, again = consumer.notices(Disconnected)
    assert (first.reason, again.reason) == ("closed 1001", "refused: HTTP 503")
    assert 10_000 <= again.time_ms - first.time_ms <= 13_000
    world.run(10_000)
    assert consumer.kinds() == ["Disconnected", "Recovered"]
