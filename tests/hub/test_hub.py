from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import (
    BTCUSDT,
    ETHUSDT,
    START_MS,
    WORLD,
    Listener,
    asset_index,
    happen,
    listen,
    name_of,
    open_plant,
    quote,
    sent_to,
    snapshot,
    trade,
    update,
)

from tickerplant import streams
from tickerplant.envelope import wrap
from tickerplant.events import ContractChanged, Event, Trade
from tickerplant.frames import HEADERS
from tickerplant.hub.channel import Audience
from tickerplant.hub.hub import (
    UNKNOWN_STREAM,
    UNKNOWN_SYMBOL,
    WRONG_ROUTE,
    Hub,
    Sender,
)
from tickerplant.market.interval import INTERVALS
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.streams.lookup import Lookup
from tickerplant.streams.stream import Stream
from tickerplant.venue import USDM

QUOTES = "btcusdt@bookTicker"
TRADES = "btcusdt@trade"
ETHER = "ethusdt@bookTicker"


def usdm(plant: Plant) -> Hub:
    return plant.hubs["usdm"]


def relay(plant: Plant, name: str, payload: bytes, event: Event | None) -> None:
    """Send a message of a recording, then publish its event, as a source does."""
    usdm(plant).broadcast(name, payload)
    if event is not None:
        plant.publish(event)


def ids(messages: list[Any]) -> list[int]:
    return [message.get("data", message)["u"] for message in messages]


def test_a_removed_subscriber_receives_nothing_not_even_waiting_frames() -> None:
    plant = open_plant()
    listener, other = listen(plant, QUOTES), listen(plant, QUOTES)
    plant.publish(quote(5))
    usdm(plant).remove(listener)
    usdm(plant).remove(listener)
    plant.publish(quote(6))
    usdm(plant).flush()
    assert listener.writes == []
    assert ids(other.take()) == [5, 6], "the others are not disturbed"


def test_a_flush_is_one_write_a_subscriber() -> None:
    plant = open_plant()
    listeners = [listen(plant, [QUOTES, TRADES]) for _ in range(3)]
    for number in range(10):
        plant.publish(quote(number))
        plant.publish(trade(number, START_MS))
    usdm(plant).flush()
    assert [len(listener.writes) for listener in listeners] == [1, 1, 1]
    assert [len(listener.texts()) for listener in listeners] == [20, 20, 20]
    usdm(plant).flush()
    assert [len(listener.writes) for listener in listeners] == [1, 1, 1], "nothing waits, no write"


def test_many_subscribers_of_one_stream_are_written_to_in_parts() -> None:
    plant = open_plant()
    hub = usdm(plant)
    hub.max_members = 2
    listeners = [listen(plant, QUOTES) for _ in range(5)]
    plant.publish(quote(1))
    assert hub.flush_some(1), "others still wait"
    assert [len(listener.texts()) for listener in listeners] == [1, 1, 0, 0, 0]
    plant.publish(quote(2))
    assert hub.flush_some(1)
    assert [len(listener.texts()) for listener in listeners] == [1, 1, 2, 2, 0]
    assert not hub.flush_some(3), "those that waited longest come first"
    assert [ids(listener.take()) for listener in listeners] == [[1, 2]] * 5


def test_a_subscriber_that_moves_gets_what_waits_and_the_others_wait_on() -> None:
    plant = open_plant()
    moving, staying, joining = (listen(plant, name) for name in (QUOTES, QUOTES, TRADES))
    plant.publish(quote(1))
    usdm(plant).subscribe(moving, [TRADES])
    usdm(plant).subscribe(joining, [QUOTES])
    assert (ids(moving.take()), staying.writes, joining.writes) == ([1], [], [])
    plant.publish(quote(2))
    usdm(plant).flush()
    assert [ids(each.take()) for each in (moving, staying, joining)] == [[2], [1, 2], [2]]


def test_audiences_that_have_lost_members_are_filled_up_again() -> None:
    plant = open_plant()
    hub = usdm(plant)
    hub.max_members = 10
    for _ in range(50):
        listeners = [listen(plant, QUOTES) for _ in range(40)]
        for listener in listeners[::2] + listeners[1::2]:
            hub.remove(listener)
    staying = [listen(plant, QUOTES) for _ in range(100)]
    for number in range(1_000):
        hub.remove(staying.pop(number * 7919 % 100))
        staying.append(listen(plant, QUOTES))
    assert len(set(hub.audience_of.values())) <= 20, "ten would do for a hundred"


def test_a_hub_is_not_woken_for_frames_that_the_source_flushes_itself() -> None:
    plant = open_plant()
    woken: list[int] = []
    usdm(plant).wake = lambda: woken.append(1)
    listener = listen(plant, QUOTES)
    usdm(plant).wakes = False
    plant.publish(quote(1))
    usdm(plant).flush()
    usdm(plant).wakes = True
    assert (ids(listener.take()), woken) == ([1], [])
    plant.publish(quote(2))
    assert woken == [1]


def test_equal_subscribers_share_the_very_same_bytes() -> None:
    plant = open_plant()
    listeners = [listen(plant, [QUOTES, TRADES]) for _ in range(4)]
    for count in (1, 5):
        for number in range(count):
            plant.publish(quote(number))
        usdm(plant).flush()
        assert len({id(listener.writes[-1]) for listener in listeners}) == 1


def test_the_hub_wakes_once_for_all_that_waits_and_again_after_the_flush() -> None:
    plant = open_plant()
    woken: list[int] = []
    usdm(plant).wake = lambda: woken.append(1)
    listen(plant, QUOTES)
    listen(plant, TRADES)
    for number in range(3):
        plant.publish(quote(number))
        plant.publish(trade(number, START_MS))
    assert len(woken) == 1
    usdm(plant).flush()
    plant.publish(quote(9))
    assert len(woken) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("btcusdt@nonsense", UNKNOWN_STREAM),
        ("BTCUSDT@trade", UNKNOWN_STREAM),
        ("", UNKNOWN_STREAM),
        ("xyzusdt@trade", UNKNOWN_SYMBOL),
        ("btcusd_perp@trade", UNKNOWN_SYMBOL),
    ],
)
def test_an_unknown_name_is_silent_with_a_reason_and_counted(name: str, reason: str) -> None:
    plant = open_plant()
    hub = usdm(plant)
    assert hub.subscribe(Listener(), [name, QUOTES]) == {name: reason}
    assert hub.silent == {reason: 1}
    with_publisher = {each for each, channel in hub.channels.items() if channel.publisher}
    assert with_publisher == {QUOTES}
    if reason == UNKNOWN_STREAM:
        assert set(hub.channels) == {QUOTES}, "no channel for a stream that does not exist"


def test_a_stream_starts_when_its_symbol_is_listed() -> None:
    plant = open_plant([BTCUSDT])
    early, late = listen(plant, "ethusdt@trade"), listen(plant, TRADES)
    plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), START_MS))
    plant.publish(trade(7, START_MS, symbol="ETHUSDT"))
    usdm(plant).flush()
    assert [message["t"] for message in early.messages()] == [7]
    assert late.messages() == [], "a subscriber of another symbol receives nothing of it"


def test_a_symbol_that_is_listed_later_stays_silent_on_the_wrong_path() -> None:
    plant = open_plant([BTCUSDT], profile=CURRENT, strict_routing=True)
    listener, name = Listener(), "ethusdt@aggTrade"
    assert usdm(plant).subscribe(listener, [name], "public") == {name: WRONG_ROUTE}
    plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), START_MS))
    plant.publish(trade(7, START_MS, symbol="ETHUSDT"))
    plant.advance(START_MS + 1000)
    usdm(plant).flush()
    assert listener.messages() == []


def test_a_stream_stops_when_its_symbol_is_closed_and_resumes_when_it_is_listed_again() -> None:
    plant = open_plant([BTCUSDT, ETHUSDT])
    listener = listen(plant, "ethusdt@miniTicker")
    plant.publish(trade(7, START_MS, symbol="ETHUSDT"))
    closed = structs.replace(ETHUSDT, status="CLOSE")
    plant.publish(ContractChanged("ETHUSDT", closed, (), START_MS))
    plant.advance(START_MS + 10_000)
    usdm(plant).flush()
    assert listener.take() == [], "a closed contract sends nothing"
    plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), plant.now_ms))
    plant.publish(trade(8, plant.now_ms, symbol="ETHUSDT"))
    plant.advance(plant.now_ms + 2_000)
    usdm(plant).flush()
    assert [message["s"] for message in listener.take()] == ["ETHUSDT"]


@pytest.mark.parametrize(
    ("profile", "venue", "name", "route", "silent"),
    [
        (CURRENT, "usdm", "btcusdt@aggTrade", "", True),
        (CURRENT, "usdm", "btcusdt@aggTrade", "public", True),
        (CURRENT, "usdm", "btcusdt@aggTrade", "market", False),
        (CURRENT, "usdm", "btcusdt@aggTrade", "private", True),
        (CURRENT, "usdm", "btcusdt@depth", "", False),
        (CURRENT, "usdm", "btcusdt@depth", "public", False),
        (CURRENT, "usdm", "btcusdt@depth", "market", True),
        (P2026Q1, "usdm", "btcusdt@aggTrade", "", False),
        (P2026Q1, "usdm", "btcusdt@aggTrade", "public", False),
        (CURRENT, "coinm", "btcusd_perp@aggTrade", "", False),
        (CURRENT, "coinm", "btcusd_perp@depth", "", False),
    ],
)
def test_strict_routing_follows_the_profile_on_the_venue_that_has_routes(
    profile: Any, venue: str, name: str, route: str, silent: bool
) -> None:
    plant = open_plant(profile=profile, strict_routing=True)
    answer = plant.hubs[venue].subscribe(Listener(), [name], route)
    assert answer == ({name: WRONG_ROUTE} if silent else {})


def test_without_strict_routing_every_route_delivers_everything() -> None:
    plant = open_plant(profile=CURRENT)
    for route in ("", "public", "market", "private"):
        assert usdm(plant).subscribe(Listener(), ["btcusdt@aggTrade", QUOTES], route) == {}


class Counting:
    """Counts how often messages of a kind are built."""

    def __init__(self) -> None:
        self.built: list[str] = []
        rows = tuple(
            msgspec.structs.replace(row, build=self._counting(row)) for row in streams.CATALOGUE
        )
        lookup = Lookup(row for row in rows if USDM in row.venues)
        self.plant = open_plant(lookups={**streams.LOOKUPS, USDM.name: lookup})

    def _counting(self, row: Stream) -> Any:
        def build(*args: Any) -> Any:
            self.built.append(row.pattern.text)
            return row.build(*args)

        return build


def everything_happens(plant: Plant, number: int) -> None:
    plant.publish(trade(number, plant.now_ms))
    plant.publish(quote(number))
    plant.publish(update(2 * number, 2 * number + 2, [(100, number + 1)], [], plant.now_ms))
    plant.advance(plant.now_ms + 1000)


def test_no_message_is_built_without_subscribers() -> None:
    counting = Counting()
    plant = counting.plant
    plant.publish(snapshot(0, [], []))
    everything_happens(plant, 0)
    assert counting.built == [], "nobody is subscribed yet"
    listener = listen(plant, [TRADES, QUOTES, "btcusdt@depth5", "!ticker@arr", "btcusdt@kline_1m"])
    everything_happens(plant, 1)
    assert set(counting.built) > {"<symbol>@trade", "!ticker@arr"}
    usdm(plant).unsubscribe(listener, list(usdm(plant).channels))
    counting.built.clear()
    everything_happens(plant, 2)
    assert counting.built == [], "nobody is subscribed any more"
    assert usdm(plant).channels == {}
    assert not usdm(plant).publishers.has_subscribers(Trade, "BTCUSDT")


def test_a_message_is_built_once_for_all_subscribers() -> None:
    counting = Counting()
    plant = counting.plant
    for number in range(5):
        listener = listen(plant, [QUOTES] if number % 2 else [QUOTES, TRADES])
        usdm(plant).set_combined(listener, number > 2)
    plant.publish(quote(1))
    assert counting.built == ["<symbol>@bookTicker"]


def test_a_channel_that_closes_and_opens_again_in_one_period_sends_once() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@markPrice@1s")
    listener_of_depth = listen(plant, "btcusdt@depth")
    plant.publish(snapshot(0, [], []))
    for number in range(5):
        plant.publish(update(2 * number, 2 * number + 2, [(100, number)], []))
        usdm(plant).unsubscribe(listener_of_depth, ["btcusdt@depth"])
        usdm(plant).subscribe(listener_of_depth, ["btcusdt@depth"])
        usdm(plant).unsubscribe(listener, ["btcusdt@markPrice@1s"])
        usdm(plant).subscribe(listener, ["btcusdt@markPrice@1s"])
    plant.publish(update(10, 12, [(100, 9)], []))
    plant.advance(START_MS + 900)
    (message,) = sent_to(plant, listener_of_depth)
    assert (message["pu"], message["u"], len(message["b"])) == (10, 12, 1)


# Recorded messages


def test_a_recorded_message_is_sent_byte_for_byte() -> None:
    plant = open_plant()
    plant.start_passthrough("usdm", [TRADES, "btcusdt@forceOrder"])
    raw, combined = listen(plant, [TRADES, "btcusdt@forceOrder"]), listen(plant, TRADES)
    usdm(plant).set_combined(combined, True)
    payload = b'{ "e":"trade" ,"odd":1.50, "s":"BTCUSDT"}'
    relay(plant, TRADES, payload, trade(1, START_MS))
    relay(plant, "btcusdt@forceOrder", b'{"e":"forceOrder"}', None)
    usdm(plant).flush()
    assert raw.texts() == [payload, b'{"e":"forceOrder"}'], "and no derived message"
    assert combined.texts() == [b'{"stream":"btcusdt@trade","data":' + payload + b"}"]
    assert plant.markets["BTCUSDT"].last_price == 6_528_000, "and its event is applied"


def test_a_recorded_stream_of_an_unknown_symbol_is_sent() -> None:
    plant = open_plant()
    name = "dogeusd@markPrice"  # of a pair of which no contract is listed
    early = Listener()
    assert plant.hubs["coinm"].subscribe(early, [name]) == {name: UNKNOWN_SYMBOL}
    plant.start_passthrough("coinm", [name])
    listener = Listener()
    assert plant.hubs["coinm"].subscribe(listener, [name]) == {}, "the source delivers it"
    plant.hubs["coinm"].broadcast(name, b"[{}]")
    plant.hubs["coinm"].flush()
    assert listener.texts() == [b"[{}]"]


def test_a_recorded_envelope_is_sent_unchanged_to_combined_subscribers_only() -> None:
    plant = open_plant()
    plant.start_passthrough("usdm", [TRADES])
    raw, combined = listen(plant, TRADES), listen(plant, TRADES)
    usdm(plant).set_combined(combined, True)
    envelope = b'{"stream":"btcusdt@trade", "data":{"e":"trade"}}'
    usdm(plant).broadcast(TRADES, b'{"e":"trade"}', envelope)
    usdm(plant).flush()
    assert (raw.texts(), combined.texts()) == ([b'{"e":"trade"}'], [envelope])


SENDS = st.lists(
    st.tuples(
        st.sampled_from(
            [*("send",) * 6, "subscribe", "unsubscribe", "combined", "drop", "flush", "mute"]
        ),
        st.integers(0, 2),
        st.sampled_from([QUOTES, TRADES]),
    ),
    max_size=40,
)


def send_through(sender: Sender, payload: bytes) -> None:
    """Send as a replay does: queue the frame directly if the hub allows it."""
    envelope = wrap(sender.name, payload)
    if sender.queue is None:
        sender.send(payload, envelope)
    else:
        sender.queue(HEADERS[len(envelope)] + envelope)


@given(acts=SENDS)
def test_a_sender_delivers_the_same_bytes_as_pass_on(acts: list[tuple[str, int, str]]) -> None:
    fast, slow = usdm(open_plant()), usdm(open_plant())
    listeners = {hub: [Listener() for _ in range(3)] for hub in (fast, slow)}
    senders = {name: fast.sender(name) for name in (QUOTES, TRADES)}
    for number, (act, who, name) in enumerate(acts):
        payload = b"%d" % number
        if act == "send":
            send_through(senders[name], payload)
            slow.broadcast(name, payload)
        for hub in (fast, slow):
            listener = listeners[hub][who]
            if act in ("subscribe", "unsubscribe"):
                getattr(hub, act)(listener, [name])
            elif act == "combined":
                hub.set_combined(listener, name is QUOTES)
            elif act == "drop":
                hub.remove(listener)
            elif act == "flush":
                hub.flush()
            elif act == "mute":
                (hub.unmute if hub.is_muted else hub.mute)()
    for hub in (fast, slow):
        hub.flush()
    assert [each.writes for each in listeners[fast]] == [each.writes for each in listeners[slow]]


def test_a_sender_queues_frames_directly_while_one_combined_audience_is_subscribed() -> None:
    hub = usdm(open_plant())
    sender, listener = hub.sender(TRADES), Listener()
    queues = []
    for act in (
        lambda: send_through(sender, b"1"),
        lambda: hub.set_combined(listener, True),
        lambda: hub.subscribe(listener, [TRADES]),
        lambda: send_through(sender, b"2"),
        hub.flush,
    ):
        act()
        queues.append(sender.queue is not None)
    assert queues == [True, False, False, True, False], "directly to nobody, and to one audience"


def test_a_message_that_is_sent_during_a_flush_is_delivered_by_the_next_one() -> None:
    hub = usdm(open_plant())
    sender, late = hub.sender(TRADES), Listener()
    hub.set_combined(late, True)

    class Sending(Listener):
        """Sends a message while the hub writes to it."""

        def write(self, data: bytes) -> None:
            super().write(data)
            send_through(sender, b"2")

    first = Sending()
    hub.subscribe(first, [QUOTES])
    hub.subscribe(late, [TRADES])
    hub.broadcast(QUOTES, b"{}")
    send_through(sender, b"1")
    for _ in range(3):
        hub.flush()
    assert late.texts() == [wrap(TRADES, b"1"), wrap(TRADES, b"2")]


def test_streams_that_the_source_does_not_deliver_are_derived() -> None:
    plant = open_plant()
    plant.start_passthrough("usdm", ["btcusdt@depth@100ms"])
    quotes, tops = listen(plant, QUOTES), listen(plant, "btcusdt@depth5@100ms")
    plant.publish(snapshot(10, [(100, 1)], [(200, 1)]))
    relay(plant, "btcusdt@depth@100ms", b"{}", update(10, 12, [(101, 5)], []))
    plant.advance(START_MS + 100)
    assert ids(sent_to(plant, quotes)) == [10, 12]
    assert ids(sent_to(plant, tops)) == [12]


@pytest.mark.parametrize("name", [QUOTES, "!bookTicker"])
def test_recorded_quotes_are_not_doubled_by_derived_ones(name: str) -> None:
    plant = open_plant([BTCUSDT])
    plant.start_passthrough("usdm", ["btcusdt@depth@100ms", name])
    listener = listen(plant, [each for each in (QUOTES, "!bookTicker") if each != name])
    plant.publish(snapshot(10, [(100, 1)], [(200, 1)]))
    relay(plant, "btcusdt@depth@100ms", b"{}", update(10, 12, [(101, 5)], []))
    relay(plant, name, b"{}", quote(12))
    plant.advance(START_MS + 5000)
    assert ids(sent_to(plant, listener)) == [12]


def test_a_passthrough_replaces_derived_messages() -> None:
    plant = open_plant()
    listener = listen(plant, TRADES)
    plant.start_passthrough("usdm", [TRADES])
    relay(plant, TRADES, b'{"recorded":true}', trade(1, START_MS))
    assert sent_to(plant, listener) == [{"recorded": True}]


# A source that delivers the streams with subscribers


class RecordingDemand:
    """A source that notes the calls of the hub, and delivers some of the streams."""

    def __init__(self, plant: Plant, delivers: set[str]) -> None:
        self.calls: list[str] = []
        self._plant = plant
        self._delivers = delivers
        usdm(plant).demand = self

    def opened(self, name: str) -> None:
        self.calls.append(f"+ {name}")
        self._plant.start_passthrough("usdm", self._delivers & {name})

    def closed(self, name: str) -> None:
        self.calls.append(f"- {name}")
        self._plant.stop_passthrough("usdm", [name])


def test_a_source_is_notified_of_the_first_and_of_the_last_subscriber() -> None:
    plant = open_plant()
    demand = RecordingDemand(plant, set())
    first, second = listen(plant, [QUOTES, TRADES]), listen(plant, QUOTES)
    usdm(plant).set_combined(first, True)
    usdm(plant).unsubscribe(second, [QUOTES])
    usdm(plant).unsubscribe(second, [QUOTES])
    assert demand.calls == [f"+ {QUOTES}", f"+ {TRADES}"], (
        "one each, as every stream still has a subscriber"
    )
    usdm(plant).subscribe(first, ["btcusdt@depth"])
    usdm(plant).unsubscribe(first, [QUOTES])
    usdm(plant).remove(first)
    assert demand.calls[2] == "+ btcusdt@depth"
    assert demand.calls[3] == f"- {QUOTES}"
    assert sorted(demand.calls[4:]) == ["- btcusdt@depth", f"- {TRADES}"]


def test_a_passthrough_that_starts_with_the_subscription_is_never_derived() -> None:
    counting = Counting()
    plant = counting.plant
    RecordingDemand(plant, {TRADES})
    listener = listen(plant, [TRADES, QUOTES])
    plant.publish(quote(5))
    relay(plant, TRADES, b'{"upstream":true}', trade(1, START_MS))
    received = sent_to(plant, listener)
    assert [message.get("e") for message in received] == ["bookTicker", None]
    assert received[1] == {"upstream": True}
    assert counting.built == ["<symbol>@bookTicker"]


def test_a_stream_is_derived_again_when_its_passthrough_stops() -> None:
    plant = open_plant()
    plant.start_passthrough("usdm", [TRADES, "strange"])
    listener = listen(plant, [TRADES, "strange"])
    plant.publish(trade(1, START_MS))
    assert sent_to(plant, listener) == [], "the source sends these messages"
    plant.stop_passthrough("usdm", [TRADES, "strange", QUOTES])
    plant.publish(trade(2, START_MS))
    usdm(plant).broadcast("strange", b'{"late":true}')
    assert [message.get("t") for message in sent_to(plant, listener)] == [2, None]
    assert usdm(plant).subscribe(Listener(), ["strange"]) == {"strange": UNKNOWN_STREAM}


def test_a_hub_that_accepts_unknown_names_opens_a_channel_for_any_name() -> None:
    plant = open_plant()
    names = ["btcusdt@nonsense", "xyzusdt@trade"]
    hub, demand = usdm(plant), RecordingDemand(plant, set(names))
    hub.accepts_unknown = True
    listener = Listener()
    assert hub.subscribe(listener, names) == {}, "the source may know them"
    assert not hub.silent
    assert demand.calls == [f"+ {name}" for name in names]
    hub.broadcast("btcusdt@nonsense", b'{"new":1}')
    assert sent_to(plant, listener) == [{"new": 1}]
    hub.remove(listener)
    assert hub.channels == {}
    assert hub.publishers.passthrough == set()


def test_a_hub_that_accepts_unknown_names_keeps_the_routes_of_known_streams() -> None:
    plant = open_plant(profile=CURRENT, strict_routing=True)
    usdm(plant).accepts_unknown = True
    names = ["btcusdt@aggTrade", "btcusdt@nonsense"]
    answer = usdm(plant).subscribe(Listener(), names, "public")
    assert answer == {"btcusdt@aggTrade": WRONG_ROUTE}


# Listeners in this process


def test_a_listener_receives_names_and_payloads_of_its_streams_in_order_at_a_flush() -> None:
    plant, received = open_plant(), list[tuple[str, bytes]]()
    listener = listen(plant, [QUOTES, TRADES])
    for name in (TRADES, QUOTES):
        usdm(plant).listen(name, lambda *message: received.append(message))
    for number in range(3):
        plant.publish(quote(number))
        plant.publish(trade(number, START_MS))
    assert received == []
    usdm(plant).flush()
    assert [name for name, _ in received] == [QUOTES, TRADES] * 3
    assert [payload for _, payload in received] == listener.texts()
    assert usdm(plant).messages_sent == 6, "of which none is the listener's"


def test_a_listener_wakes_the_hub_and_keeps_a_channel_open_until_it_is_closed() -> None:
    plant, received, woken = open_plant(), list[bytes](), list[int]()
    hub, demand = usdm(plant), RecordingDemand(plant, set())
    hub.wake = lambda: woken.append(1)
    closing = hub.listen(TRADES, lambda _, payload: received.append(payload))
    plant.publish(trade(1, START_MS))
    plant.publish(trade(2, START_MS))
    assert woken == [1]
    hub.flush()
    plant.publish(trade(3, START_MS))
    closing.close()
    closing.close()
    hub.flush()
    assert len(received) == 2, "queued messages are not delivered after a close"
    assert demand.calls == [f"+ {TRADES}", f"- {TRADES}"]
    assert hub.channels == {}


def test_a_listener_receives_every_message_of_a_sender() -> None:
    hub, received = usdm(open_plant()), list[bytes]()
    sender, subscriber = hub.sender(TRADES), Listener()
    hub.set_combined(subscriber, True)
    hub.subscribe(subscriber, [TRADES])
    send_through(sender, b"1")
    listener = hub.listen(TRADES, lambda _, payload: received.append(payload))
    send_through(sender, b"2")
    send_through(sender, b"3")
    hub.flush()
    listener.close()
    send_through(sender, b"4")
    hub.flush()
    assert received == [b"2", b"3"]
    assert len(subscriber.texts()) == 4


def test_a_listener_that_flushes_receives_the_other_messages_first() -> None:
    plant, received = open_plant(), list[str]()
    hub = usdm(plant)

    def flush_first(name: str, _: bytes) -> None:
        hub.flush()
        received.append(name)

    hub.listen(QUOTES, flush_first)
    hub.listen(TRADES, lambda name, _: received.append(name))
    plant.publish(quote(1))
    plant.publish(trade(1, START_MS))
    hub.flush()
    assert received == [TRADES, QUOTES]


def test_a_listener_receives_a_stream_whatever_path_it_belongs_to() -> None:
    plant, received = open_plant(profile=CURRENT, strict_routing=True), list[bytes]()
    for name in (QUOTES, "btcusdt@aggTrade"):
        usdm(plant).listen(name, lambda _, payload: received.append(payload))
    plant.publish(quote(1))
    plant.publish(trade(1, START_MS))
    plant.advance(START_MS + 1_000)
    usdm(plant).flush()
    assert len(received) == 2


def test_a_tap_hears_each_message_at_once_with_the_envelope_of_the_source() -> None:
    plant, heard = open_plant(), list[tuple[bytes, bytes]]()
    hub, demand = usdm(plant), RecordingDemand(plant, set())
    tap = hub.tap(TRADES, lambda *message: heard.append(message))
    plant.publish(trade(1, START_MS))
    hub.broadcast(TRADES, b"{}", b"{ envelope }")
    tap.close()
    tap.close()
    hub.broadcast(TRADES, b"{}")
    assert [envelope for _, envelope in heard] == [b"", b"{ envelope }"]
    assert json.loads(heard[0][0])["t"] == 1
    assert demand.calls == [f"+ {TRADES}", f"- {TRADES}"]
    assert hub.messages_sent == 0


def test_why_a_name_is_silent_can_be_asked_without_a_subscription() -> None:
    hub = usdm(open_plant())
    names = (TRADES, "xyzusdt@trade", "nonsense")
    assert [hub.why_silent(name) for name in names] == [None, UNKNOWN_SYMBOL, UNKNOWN_STREAM]
    hub.tap("xyzusdt@trade", lambda *_: None)
    assert hub.why_silent("xyzusdt@trade") == UNKNOWN_SYMBOL
    assert hub.silent == {}


def test_a_hub_whose_contracts_are_elsewhere_says_what_it_has_been_told() -> None:
    hub = usdm(open_plant([]))
    hub.silent_elsewhere = {"xyzusdt@trade": UNKNOWN_SYMBOL}
    listener = Listener()
    assert hub.subscribe(listener, [TRADES, "xyzusdt@trade", "nonsense"]) == {
        "xyzusdt@trade": UNKNOWN_SYMBOL,
        "nonsense": UNKNOWN_STREAM,
    }
    hub.broadcast(TRADES, b"{}")
    hub.flush()
    assert listener.texts() == [b"{}"]


# What a change costs


def calls_of(act: Callable[[], object]) -> int:
    """How many functions are called by `act`: a measure of its work that is always the same."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # garbage of earlier work does not count
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


MANY = [f"btcusdt@kline_{interval}" for interval in INTERVALS] + [
    f"{symbol}@{tail}"
    for symbol in ("btcusdt", "ethusdt", *(f"zz{number}usdt" for number in range(96)))
    for tail in ("trade", "aggTrade", "forceOrder", "depth", "depth@100ms", "miniTicker", "ticker")
]


def subscribed(plant: Plant, names: list[str]) -> Listener:
    listener = Listener()
    usdm(plant).subscribe(listener, names)
    return listener


@pytest.mark.parametrize("act", [Hub.subscribe, Hub.unsubscribe])
def test_a_change_of_one_stream_costs_the_same_next_to_one_and_to_hundreds(
    act: Callable[[Hub, Listener, list[str]], object],
) -> None:
    costs = []
    for beside in (MANY[:1], MANY):
        plant = open_plant()
        present = [ETHER] if act is Hub.unsubscribe else []
        listener = subscribed(plant, [*beside, *present])
        costs.append(calls_of(partial(act, usdm(plant), listener, [ETHER])))
    assert costs[0] == costs[1]
    assert costs[0] < 60


@pytest.mark.parametrize(
    ("names", "most_calls"),
    [
        pytest.param(MANY, 24, id="streams, most of symbols that are not listed"),
        pytest.param([f"btcusdt@nope{number}" for number in range(700)], 10, id="no streams"),
        pytest.param(
            [f"pair{number}_perpetual@continuousKline_1m" for number in range(700)],
            48,
            id="pairs that are not listed",
        ),
    ],
)
def test_a_name_costs_a_few_calls_whatever_it_is(names: list[str], most_calls: int) -> None:
    plant = open_plant()
    cold = calls_of(lambda: subscribed(plant, names))
    assert cold < most_calls * len(names)
    again = calls_of(lambda: subscribed(plant, names))
    assert again <= cold, "open channels cost no more"


# All at once

LATER = "xyzusdt@trade"
NAMES = [
    QUOTES,
    TRADES,
    ETHER,
    "!bookTicker",
    "btcusdt@depth",
    "btcusdt@kline_1m",
    LATER,
    "no@such",
]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("subscribe", "unsubscribe") * 3,
                *("combined", "drop", "happen", "happen", "flush", "mute", "unmute"),
                *("flush_some", "flush_some"),
            ]
        ),
        st.integers(0, 3),
        st.lists(st.sampled_from(NAMES), max_size=4),
        st.booleans(),
    ),
    max_size=40,
)


class Model:
    """What each of some subscribers has to be sent, found out the simplest way."""

    def __init__(self, count: int) -> None:
        self.wanted: list[set[str]] = [set() for _ in range(count)]
        self.combined = [False] * count
        self.expected: list[list[tuple[str, int, bool]]] = [[] for _ in range(count)]
        self.muted = False

    def happen(self, name: str, number: int) -> None:
        for expected, wanted, wrapped in zip(
            self.expected, self.wanted, self.combined, strict=True
        ):
            if name in wanted and not self.muted:
                expected.append((name, number, wrapped))

    @property
    def channels(self) -> set[str]:
        return set().union(*self.wanted)


def sent(listener: Listener) -> list[tuple[str, int, bool]]:
    """What a listener got: the stream, the number of the event, and whether in its envelope."""
    found = []
    for message in listener.messages():
        data = message.get("data", message)
        is_trade = data["e"] == "trade"
        name = TRADES if is_trade else QUOTES if data["s"] == "BTCUSDT" else ETHER
        assert message.get("stream", name) == name
        found.append((name, data["t" if is_trade else "u"], "stream" in message))
    return found


def apply_act(
    hub: Hub, model: Model, listener: Listener, who: int, act: str, names: list[str], flag: bool
) -> None:
    """One act of a subscriber, at the hub and in the model."""
    if act == "subscribe":
        hub.subscribe(listener, names)
        model.wanted[who] |= set(names) - {"no@such"}
    elif act == "unsubscribe":
        hub.unsubscribe(listener, names)
        model.wanted[who] -= set(names)
    elif act == "combined":
        hub.set_combined(listener, flag)
        model.combined[who] = flag
    elif act == "drop":
        hub.flush()
        hub.remove(listener)
        model.wanted[who], model.combined[who] = set(), False


@pytest.mark.parametrize("max_members", [256, 1, 2])
@pytest.mark.parametrize("alike", [False, True], ids=["digests differ", "digests are the same"])
@given(acts=ACTS)
def test_each_subscriber_receives_exactly_its_streams(
    alike: bool, max_members: int, acts: list[tuple[str, int, list[str], bool]]
) -> None:
    plant = open_plant()
    hub = usdm(plant)
    hub.max_members = max_members
    plant.publish(snapshot(0, [], []))
    listeners = [Listener() for _ in range(4)]
    model = Model(4)
    if alike:
        hub.hash_name = lambda _: 0
    for number, (act, who, names, flag) in enumerate(acts):
        apply_act(hub, model, listeners[who], who, act, names, flag)
        if act == "happen":
            plant.publish(quote(number))
            plant.publish(trade(number, START_MS))
            plant.publish(quote(number, symbol="ETHUSDT"))
            for name in (QUOTES, TRADES, ETHER):
                model.happen(name, number)
        elif act in ("mute", "unmute"):
            getattr(hub, act)()
            model.muted = act == "mute"
        elif act == "flush":
            hub.flush()
        elif act == "flush_some":
            hub.flush_some(1)
        check_audiences(hub, listeners, model, alike=alike)
    while hub.flush_some(1):
        pass
    for listener, expected in zip(listeners, model.expected, strict=True):
        assert sent(listener) == expected
    assert hub.messages_sent == sum(len(listener.texts()) for listener in listeners)
    assert hub.bytes_sent == sum(len(b"".join(listener.writes)) for listener in listeners)
    assert hub.writes == sum(len(listener.writes) for listener in listeners)


def check_audiences(hub: Hub, listeners: list[Listener], model: Model, *, alike: bool) -> None:
    """Channels exist while they have subscribers; equal subscriptions share an audience."""
    assert set(hub.channels) == model.channels, "a channel exists while it has subscribers"
    audiences: dict[tuple[frozenset[str], bool], Audience] = {}
    for listener, wanted, combined in zip(listeners, model.wanted, model.combined, strict=True):
        audience = hub.audience_of.get(listener)
        if audience is None:
            assert not wanted
            continue
        assert (set(audience.channels), audience.combined) == (wanted, combined)
        assert listener in audience.members
        assert len(audience.members) <= hub.max_members
        same = audiences.setdefault((frozenset(wanted), combined), audience)
        if not alike and hub.max_members > len(listeners):
            assert same is audience, "the same subscriptions, the same audience"
    members = set(hub.audience_of.values())
    assert set(hub.audiences.values()) <= members, "an audience exists while it has a member"
    for name, channel in hub.channels.items():
        assert set(channel.raw) | set(channel.combined) == {
            audience for audience in members if name in audience.channels
        }
        assert all(audience.combined for audience in channel.combined)
        assert not any(audience.combined for audience in channel.raw)


@pytest.mark.parametrize("venue", ["usdm", "coinm"])
def test_every_stream_speaks_valid_json_in_valid_frames(venue: str) -> None:
    plant = open_plant(WORLD, profile=CURRENT)
    plant.publish(asset_index())
    spoken = [name_of(plant, row, venue) for row in streams.CATALOGUE]
    names = [name for name in spoken if name is not None]
    listener = listen(plant, names, venue)
    plant.hubs[venue].set_combined(listener, True)
    happen(plant)
    if venue == "usdm":
        plant.publish(update(102, 112, [(price, 5) for price in range(100, 2100)], []))
    plant.advance(START_MS + 6000)
    plant.hubs[venue].flush()
    texts = listener.texts()
    assert {json.loads(text)["stream"] for text in texts} == set(names)
    if venue == "usdm":
        assert len(names) == len(streams.CATALOGUE) - 2, "all but the index price of a pair"
        assert max(len(text) for text in texts) > 1 << 15, "with a long frame among them"
