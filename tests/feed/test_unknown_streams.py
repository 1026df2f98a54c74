"""Streams of which nothing will come: what is asked about them, and what is said."""

from __future__ import annotations

from payloads import AGGREGATES, KINDS
from world import World

from tickerplant.feed.context import Observer
from tickerplant.notices import Recovered, Stale, UnknownStream

NAME = "nosuchusdt@trade"
REASON = "it is not listed"


class Doubted(Observer):
    """Writes down what is doubted."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def unknown(self, stream: str, reason: str) -> None:
        self.said.append((stream, reason))


def observed() -> tuple[World, Doubted]:
    world, doubted = World(), Doubted()
    world.feed.context.observer = doubted
    return world, doubted


def test_a_name_that_no_stream_has_is_doubted_at_once() -> None:
    world, doubted = observed()
    world.feed.attach(["btcusdt@trades", "BTCUSDT@trade", "btcusd_perp@trade"], print)
    assert [(name, reason.split(":")[0]) for name, reason in doubted.said] == [
        ("btcusdt@trades", "no stream has this name; did you mean btcusdt@trade?"),
        ("BTCUSDT@trade", "names are case-sensitive"),
        ("btcusd_perp@trade", "its symbol has the form of one of COIN-M, not of USDⓈ-M"),
    ]
    world.perform()
    world.run(60_000)
    assert world.verified == [], "what is wrong is known"


def test_a_stream_that_stays_silent_for_five_seconds_is_asked_about_once() -> None:
    world, doubted = observed()
    consumer = world.attach(NAME, settle_ms=4_000)
    assert world.verified == []
    world.run(2_000)
    assert world.verified == [(NAME,)]
    world.feed.verified((NAME,), {NAME: REASON})
    assert doubted.said == [(NAME, REASON)]
    (notice,) = consumer.notices(UnknownStream)
    assert isinstance(notice, UnknownStream)
    assert (notice.streams, notice.reason) == ((NAME,), REASON)
    world.run(120_000)
    assert world.verified == [(NAME,)]
    late = world.attach(NAME)
    assert late.kinds()[0] == "UnknownStream", "who comes later hears it, too"
    assert doubted.said == [(NAME, REASON)]


def test_a_stream_that_is_listed_is_asked_about_once_and_not_doubted() -> None:
    world, doubted = observed()
    consumer = world.attach("btcusdt@forceOrder")
    world.run(10_000)
    world.feed.verified(("btcusdt@forceOrder",), {})
    world.run(600_000)
    assert (world.verified, doubted.said) == ([("btcusdt@forceOrder",)], [])
    assert consumer.kinds() == []


def test_what_is_received_is_not_asked_about() -> None:
    world, _ = observed()
    world.attach(AGGREGATES)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.run(30_000)
    assert world.verified == []


def test_what_is_received_meanwhile_is_not_doubted() -> None:
    world, doubted = observed()
    consumer = world.attach(AGGREGATES, settle_ms=7_000)
    world.publish(AGGREGATES, KINDS[AGGREGATES](1))
    world.run(100)
    world.feed.verified((AGGREGATES,), {AGGREGATES: REASON})
    assert doubted.said == []
    assert not consumer.notices(UnknownStream)


def test_silence_does_not_count_while_nothing_could_be_received() -> None:
    world, _ = observed()
    world.refuse_for(30_000)
    consumer = world.attach(NAME, settle_ms=30_000)
    assert world.verified == [], "nobody is asked while there is no connection"
    assert not consumer.notices(Stale)
    world.run(40_000)
    assert world.verified == [(NAME,)]
    assert consumer.notices(Recovered)


def test_what_is_not_wanted_any_more_is_not_doubted() -> None:
    world, doubted = observed()
    consumer = world.attach(NAME, settle_ms=7_000)
    world.feed.detach((NAME,), consumer)
    world.feed.verified((NAME,), {NAME: REASON})
    assert doubted.said == []


def test_a_question_without_an_answer_is_asked_three_times_at_most() -> None:
    world, _ = observed()
    world.attach(NAME)
    for _ in range(10):
        world.run(70_000)
        if world.verified:
            world.feed.verified(world.verified[-1], None)
    assert world.verified == [(NAME,)] * 3
