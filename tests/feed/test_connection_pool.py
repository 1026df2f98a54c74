from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from payloads import AGGREGATES, KINDS, QUOTES, TICKERS
from tuning import tuned
from world import START_MS, TICK_MS, WALL_MS, Consumer, World

from tickerplant.feed.connection import ClientSession
from tickerplant.feed.reconnect import ENDINGS, Backoff, Ending
from tickerplant.feed.settings import ClientSettings
from tickerplant.feed.weight import MAX_BAN_MS
from tickerplant.notices import DecodeFailed, Disconnected, Recovered, SubscriptionRejected
from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import COINM

MANY = [f"s{number}usdt@aggTrade" for number in range(400)]


def pauses(world: World) -> list[int]:
    """Between the attempts of the first connection."""
    times = [at for at, connection, _ in world.opens if connection == world.opens[0][1]]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


# Attempts


def test_attempts_are_made_for_ever_with_growing_bounded_pauses() -> None:
    world = World(retry_max_ms=8_000)
    world.refusals = lambda _: (503, 0)
    world.attach(TICKERS)
    world.run(600_000)
    waited = pauses(world)
    assert len(waited) > 70
    for number, pause_ms in enumerate(waited):
        bound_ms = min(8_000, 250 << number)
        assert bound_ms // 2 <= pause_ms <= bound_ms + 200
    assert len(set(waited)) > 10, "never the same for everybody"


def test_after_a_good_life_an_attempt_is_made_at_once_and_pauses_begin_again() -> None:
    world = World()
    world.refuse_for(60_000)
    world.attach(TICKERS)
    world.run(120_000)
    for reason, code, least_ms in [
        ("reset", None, 0),
        ("closed", 1001, 0),
        ("closed", 1008, 1_000),
    ]:
        lost_ms = world.now_ms
        world.wire(TICKERS).end(reason, code)
        world.run(20_000)
        assert least_ms <= world.opens[-1][0] - lost_ms <= least_ms + 450


def test_a_connection_that_does_not_last_counts_as_a_failure() -> None:
    world = World()
    world.attach(TICKERS, settle_ms=100)
    for _ in range(8):
        world.run(100)
        for wire in tuple(world.wires.values()):
            wire.end("closed 1001", 1001)
        world.run(31_000 if not world.wires else 0)
    waited = pauses(world)
    assert waited[-1] > 4 * waited[0]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda each: each.name)
def test_each_ending_is_followed_by_the_pause_of_its_row(ending: Ending) -> None:
    codes = {"closed": 1001, "ended": 1000, "policy": 1008, "broken": 1002, "lost": None}
    statuses = {"refused": 503, "limited": 429, "forbidden": 451}
    world = World(idle_ms=1_000, pong_timeout_ms=1_000)
    if ending.name in statuses:
        world.refuse_for(15, statuses[ending.name])
    consumer = world.attach(TICKERS, settle_ms=20)
    if ending.name in codes:
        world.run(500)
        world.wire(TICKERS).end("over", codes[ending.name])
    elif ending.name == "silent":
        world.run(500)
        world.wire(TICKERS).is_dead = True
    world.run(40_000)
    (disconnected,) = consumer.notices(Disconnected)
    lost_ms = disconnected.time_ms - WALL_MS + START_MS
    opened_ms = next(at for at, _, _ in world.opens[1:])
    waited_ms = opened_ms - lost_ms
    assert ending.min_pause_ms + 125 <= disconnected.retry_ms <= ending.min_pause_ms + 250
    assert disconnected.retry_ms <= waited_ms <= disconnected.retry_ms + 2 * TICK_MS


@pytest.mark.parametrize("status", [429, 418])
def test_a_server_that_limits_attempts_is_left_alone_as_long_as_it_says(status: int) -> None:
    world = World(max_streams=1)
    world.refuse_for(50, status, 45_000)
    world.attach(*MANY[:5])
    assert len(world.opens) == 5
    first_ms = world.opens[0][0]
    world.run(44_000)
    assert len(world.opens) == 5, "no connection tries, whoever was refused"
    world.run(30_000)
    assert world.opens[5][0] >= first_ms + 45_000
    assert len(world.wires) == 5


def test_a_stream_that_is_new_while_its_connection_is_lost_is_disconnected_from_the_start() -> None:
    world = World(retry_base_ms=20_000)
    world.attach(TICKERS)
    world.refuse_for(1_000)
    world.wire(TICKERS).cut()
    world.run(5_000)  # the next attempt, which succeeds, is far
    consumer = world.attach(AGGREGATES)
    assert consumer.kinds() == ["Disconnected"]
    world.run(60_000)
    assert consumer.kinds() == ["Disconnected", "Recovered"]
    assert world.attach(AGGREGATES).kinds() == []


def test_attempts_are_paced() -> None:
    world = World(max_streams=1)
    world.attach(*MANY[:60])
    world.run(45_000)
    assert len(world.wires) == 60
    times = [at for at, _, _ in world.opens]
    for number, at in enumerate(times):
        within = sum(1 for other in times[number:] if other - at <= 10_000)
        assert within <= 20 + 10 + 1


# Paths


def test_streams_are_asked_for_on_the_path_of_their_class() -> None:
    world = World()
    world.attach(QUOTES, TICKERS)
    assert {url for _, _, url in world.opens} == {
        "ws://plant:9001/public/stream",
        "ws://plant:9001/market/stream",
    }


def test_on_a_venue_without_classes_there_is_one_path() -> None:
    world = World(venue=COINM)
    world.attach("btcusd_perp@bookTicker")
    assert {url for _, _, url in world.opens} == {"ws://plant:9001/stream"}


def test_a_server_without_such_paths_is_asked_on_its_own_at_once() -> None:
    world = World()
    world.refusals = lambda url: (404, 0) if "/public/" in url or "/market/" in url else None
    consumer = world.attach(QUOTES, TICKERS, AGGREGATES)
    assert {url for _, _, url in world.opens[2:]} == {"ws://plant:9001/stream"}
    assert world.held() == {QUOTES: 1, TICKERS: 1, AGGREGATES: 1}
    assert consumer.kinds() == ["Disconnected", "Recovered"]


def test_a_server_that_splits_its_paths_later_is_followed_at_the_next_renewal() -> None:
    world = World()
    world.refusals = lambda url: (404, 0) if "/market/" in url else None
    world.attach(TICKERS)
    world.refusals = lambda _: None
    world.renew(TICKERS)
    world.run(5_000)
    assert world.opens[-1][2] == "ws://plant:9001/market/stream"
    assert len(world.wires) == 1


# What connections carry


@pytest.mark.heavy
@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 10**6), copies=st.integers(1, 2))
def test_the_server_holds_what_is_wanted_whatever_was_wanted_before(seed: int, copies: int) -> None:
    rng = Random(seed)
    world = World(
        limits=structs.replace(LIMITS, max_streams=40),
        max_streams=40,
        names_per_request=15,
        copies=copies,
        delay_ms=rng.choice([5, 300]),
    )
    consumers: list[tuple[Consumer, list[str]]] = []
    for _ in range(120):
        if consumers and rng.random() < 0.5:
            consumer, names = consumers.pop(rng.randrange(len(consumers)))
            world.feed.detach(names, consumer)
        else:
            names = rng.sample(MANY[:150], rng.randint(1, 25))
            consumer = Consumer()
            world.feed.attach(names, consumer)
            consumers.append((consumer, names))
        world.perform()
        world.run(rng.choice([0, 0, 30, 200]))
        assert all(len(wire.session.names) <= 40 for wire in world.wires.values())
        if rng.random() < 0.02 and world.wires:
            world.wires[rng.choice([*world.wires])].cut()
    for wire in world.wires.values():
        assert_paced([at for at, _ in wire.requests])
    world.run(40_000)
    wanted = {name for _, names in consumers for name in names}
    assert world.held() == dict.fromkeys(wanted, copies)
    assert world.feed.is_delivering
    for name in wanted:
        world.publish(name, KINDS[AGGREGATES](1))
    world.run(1_000)
    for consumer, names in consumers:
        assert {each.stream for each in consumer.messages()} == set(names)
    for consumer, names in consumers:
        world.feed.detach(names, consumer)
    world.perform()
    assert not world.wires
    assert not world.feed.connections
    assert not world.feed.merged_streams


def assert_paced(times: list[int]) -> None:
    for number, at in enumerate(times):
        within = sum(1 for other in times[number:] if other - at < 1_000)
        assert within <= 10, "five at once, and five a second"


@pytest.mark.heavy
def test_more_names_than_a_connection_takes_open_another() -> None:
    world = World()
    world.attach(*[f"s{number}usdt@aggTrade" for number in range(1_100)], settle_ms=20_000)
    assert sorted(len(wire.session.names) for wire in world.wires.values()) == [76, 1_024]
    assert all(wire.requests[0][1]["method"] == "SUBSCRIBE" for wire in world.wires.values())


@pytest.mark.parametrize("most", [5, 399])
def test_a_server_that_takes_fewer_streams_gets_more_connections(most: int) -> None:
    world = World(limits=structs.replace(LIMITS, max_streams=most), opens_per_s=20)
    names = MANY[: max(most + 1, 100)]
    consumer = world.attach(*names)
    world.run(50_000)
    assert world.held() == dict.fromkeys(names, 1)
    assert world.feed.is_delivering
    assert not consumer.notices(SubscriptionRejected)
    for name in names:
        world.publish(name, KINDS[AGGREGATES](1))
    world.run(1_000)
    assert len(consumer.messages()) == len(names)


@pytest.mark.heavy
def test_a_name_that_the_server_refuses_is_reported_and_harms_no_other() -> None:
    world = World()
    poison = "x" * 300 + "@aggTrade"
    names = [*MANY[:150], poison, *MANY[150:200]]
    consumer = world.attach(*names)
    world.run(120_000)
    (refused,) = consumer.notices(SubscriptionRejected)
    assert refused.streams == (poison,)
    assert refused.code == 2
    late = world.attach(poison)
    assert late.notices(SubscriptionRejected) == [refused], "who comes later is told, too"
    for name in names:
        world.publish(name, KINDS[AGGREGATES](1))
    world.run(1_000)
    assert {each.stream for each in consumer.messages()} == set(names) - {poison}
    blind = {name for each in consumer.notices(Disconnected) for name in each.streams}
    seeing = {name for each in consumer.notices(Recovered) for name in each.streams}
    assert blind - seeing <= {poison}


def test_who_is_attached_again_at_once_is_subscribed_again() -> None:
    world = World(delay_ms=300)
    for pause_ms in (0, 50, 350, 650, 1_000):
        consumer = world.attach(TICKERS, AGGREGATES, settle_ms=pause_ms)
        world.feed.detach([TICKERS], consumer)
        world.perform()
        world.run(50)
        again = world.attach(TICKERS, settle_ms=3_000)
        assert world.held()[TICKERS] == 1
        assert world.feed.is_delivering
        world.publish(TICKERS, KINDS[TICKERS](pause_ms))
        world.run(1_000)
        assert again.payloads(TICKERS) == [KINDS[TICKERS](pause_ms)]
        world.feed.detach([TICKERS], again)
        world.feed.detach([AGGREGATES], consumer)
        world.perform()


def test_an_answer_to_what_was_asked_before_says_nothing_of_what_was_asked_since() -> None:
    session = ClientSession(ClientSettings(), 0)
    session.want(["a"])
    session.due(0)
    session.unwant(["a"])
    session.due(0)
    session.want(["a"])
    session.due(0)
    answer: Any = session.on_response(1, refused=False)
    assert answer.names == ()
    session.on_response(2, refused=False)
    assert session.subscribed == set()
    answer = session.on_response(3, refused=False)
    assert answer.names == ("a",)
    assert session.is_settled


def test_an_error_without_an_id_is_about_the_oldest_message_without_an_answer() -> None:
    session = ClientSession(tuned(names_per_request=1), 0)
    session.want(["a", "b"])
    session.due(0)
    answer: Any = session.on_response(None, refused=True)
    assert answer.names == ("a",)
    assert session.on_response(None, refused=False) is None
    answer = session.on_response(2, refused=False)
    assert (answer.names, session.subscribed, session.is_settled) == (("b",), {"b"}, True)


# What the server says


def test_messages_before_the_acknowledgement_are_received() -> None:
    world = World()
    consumer = world.attach(TICKERS)
    world.wire(TICKERS).cut()
    world.run(310)
    wire = world.wire(TICKERS)
    wire.swallows = lambda text: b'"id"' in text
    world.run(200)
    world.publish(TICKERS, KINDS[TICKERS](1))
    world.run(100)
    assert consumer.kinds() == ["Disconnected", "Recovered", "message"]


def test_a_connection_on_which_nothing_is_acknowledged_is_given_up() -> None:
    world = World()
    consumer = Consumer()
    world.feed.attach([TICKERS], consumer)
    world.perform()
    world.run(15)
    world.wire(TICKERS).swallows = lambda _: True
    world.run(9_000)
    assert world.feed.counters.lost == 0
    world.run(2_000)
    assert world.feed.counters.lost == 1
    assert world.feed.is_delivering
    assert consumer.kinds() == ["Disconnected", "Recovered"]


def test_a_connection_that_reports_but_does_not_acknowledge_is_replaced_without_a_hole() -> None:
    world = World()
    consumer = world.attach(TICKERS)
    world.primary(TICKERS).swallows = lambda text: b'"id"' in text
    world.feed.attach([AGGREGATES], consumer)
    world.perform()
    for number in range(1, 200):
        world.publish(TICKERS, KINDS[TICKERS](number))
        world.publish(AGGREGATES, KINDS[AGGREGATES](number))
        world.run(200)
    assert consumer.payloads(TICKERS) == world.published(TICKERS)
    assert len(consumer.messages(AGGREGATES)) >= 198
    assert not consumer.notices()
    assert len(world.wires) == 1


def test_a_server_that_will_shut_down_is_left_before() -> None:
    for event in (b'{"e":"serverShutdown","E":1}', b'{"event":{"e":"serverShutdown","E":1}}'):
        world = World()
        consumer = world.attach(TICKERS)
        world.run(20_000)
        world.wire(TICKERS).say(event)
        world.run(200)
        for wire in tuple(world.wires.values()):
            wire.say(event)
        for number in range(1, 60):
            world.publish(TICKERS, KINDS[TICKERS](number))
            world.run(100)
        assert consumer.payloads(TICKERS) == world.published(TICKERS)
        assert 1 <= world.feed.counters.renewed <= 2
        world.run(60_000)
        assert len(world.opens) <= 4, "a server that always says so is not left all the time"


@pytest.mark.parametrize(
    "spell",
    [
        lambda name, data: b'{"stream": "%b", "data": %b}' % (name, data),
        lambda name, data: b'{"data":%b,"stream":"%b"}' % (data, name),
        lambda name, data: b'\n{ "stream" : "%b" , "data" : %b }\n' % (name, data),
        lambda name, data: b'{"id":7,"stream":"%b","more":[{}],"data":%b}' % (name, data),
        lambda name, data: b'{"stream":"%b","data":%b,"more":1}' % (name, data),
        lambda name, data: b'{"stream":"%b","data":%b}' % (name.replace(b"@", b"\\u0040"), data),
    ],
)
@pytest.mark.parametrize("copies", [1, 2])
def test_other_spellings_of_the_envelope_are_understood(spell: Any, copies: int) -> None:
    world = World(copies=copies)
    consumer = world.attach(*KINDS)
    for wire in world.wires.values():
        wire.garbles = lambda text: text
    for number in range(1, 6):
        for name, make in KINDS.items():
            raw = spell(name.encode(), make(number))
            for wire in world.wires.values():
                wire.say(raw)
        world.run(100)
    for name, make in KINDS.items():
        assert consumer.payloads(name) == [make(number) for number in range(1, 6)]
    assert not consumer.notices()


def test_a_name_with_a_quote_in_it_is_a_name() -> None:
    world = World()
    consumer = world.attach('a"b@aggTrade')
    world.publish('a"b@aggTrade', KINDS[AGGREGATES](1))
    world.run(100)
    assert len(consumer.messages()) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'"',
        b"\xff\xfe",
        b'{"stream":1}',
        b'{"id":[]}',
        b"[" * 3_000,
    ],
)
def test_garbage_is_reported_and_counted_and_harms_nothing(garbage: bytes) -> None:
    world = World()
    consumer = world.attach(TICKERS, AGGREGATES)
    for _ in range(50):
        world.wire(TICKERS).say(garbage)
    world.run(20)
    world.publish(TICKERS, KINDS[TICKERS](1))
    world.run(100)
    (unreadable,) = consumer.notices()
    assert isinstance(unreadable, DecodeFailed)
    assert unreadable.streams == (TICKERS, AGGREGATES)
    assert unreadable.payload == garbage[:200]
    assert world.feed.counters.unreadable == 50
    assert consumer.payloads(TICKERS) == [KINDS[TICKERS](1)]


def test_what_is_not_of_its_kind_is_reported_of_its_stream() -> None:
    world = World()
    consumer = world.attach(TICKERS, AGGREGATES)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1), b'{"no":"trade"}', KINDS[AGGREGATES](3))
    world.publish(TICKERS, b"7")
    world.run(100)
    assert [each.streams for each in consumer.notices(DecodeFailed)] == [(AGGREGATES,), (TICKERS,)]
    assert consumer.kinds() == ["message", "DecodeFailed", "Gap", "message", "DecodeFailed"]


def test_messages_of_streams_that_nobody_wants_are_counted() -> None:
    world = World()
    world.attach(TICKERS)
    world.wire(TICKERS).say(b'{"stream":"other@trade","data":{}}')
    world.run(100)
    assert world.feed.counters.late == 1


def test_an_empty_array_is_a_sign_of_life_and_nothing_else() -> None:
    world = World()
    consumer = world.attach("!miniTicker@arr")
    world.publish("!miniTicker@arr", b"[]")
    world.run(100)
    assert not consumer.received
    assert world.feed.counters.messages == 0


# Consumers


def test_a_consumer_may_leave_in_the_middle_of_what_it_is_reported() -> None:
    """Detaching from within a notice or a message disturbs nobody else."""
    for kind in ("message", "Disconnected", "Stale", "Recovered", "Gap"):
        world = World()
        names = [TICKERS, AGGREGATES, *MANY[:5]]
        other = world.attach(*names)

        class Leaver(Consumer):
            def __init__(self, world: World, kind: str) -> None:
                super().__init__()
                self.world, self.kind = world, kind

            def __call__(self, item: Any) -> None:
                super().__call__(item)
                if self.kinds()[-1] == self.kind:
                    self.world.feed.detach([TICKERS, AGGREGATES, *MANY[:5]], self)

        leaver = Leaver(world, kind)
        world.feed.attach(names, leaver)
        world.feed.detach(names[2:], other)
        for number in (1, 2, 5, 6):
            world.publish(TICKERS, KINDS[TICKERS](number))
            world.publish(AGGREGATES, KINDS[AGGREGATES](number))
            world.run(100)
        world.run(20_000)
        world.wire(TICKERS).cut()
        world.run(5_000)
        world.feed.detach(names, leaver)
        world.perform()
        assert other.payloads(TICKERS) == world.published(TICKERS)
        assert world.feed.merged_streams.keys() == {TICKERS, AGGREGATES}


def test_pauses_never_leave_their_bounds() -> None:
    backoff = Backoff(250, 30_000, Random(1))
    for number in range(2_000):
        bound = min(30_000, 250 * 2 ** min(number, 20))
        assert 7_000 + bound // 2 <= backoff.pause_ms(7_000) <= 7_000 + bound
    backoff.restart()
    assert backoff.pause_ms() <= 250


def test_no_server_can_ask_for_a_pause_of_years() -> None:
    world = World()
    world.attach(QUOTES, settle_ms=0)
    (connection,) = world.feed.connections.values()
    world.feed.refused(connection.number, "HTTP 429", 429, 10**14)
    assert connection.retry_ms - world.now_ms <= MAX_BAN_MS + 60_000
