from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Struct
from stage import BTCUSDT, START_MS, frames, open_plant, payloads, quote, snapshot, trade, update

from tickerplant.envelope import prefix_of
from tickerplant.events import Level
from tickerplant.hub.delivery import (
    ENTRY_BYTES,
    Backlog,
    DeliveryCounters,
    Message,
    Published,
    push_all,
)
from tickerplant.hub.hub import CHUNK_BYTES, Hub
from tickerplant.plant import Plant
from tickerplant.protocol.delivery import LATEST, Delivery
from tickerplant.streams.conflation import Conflation

QUOTES = "btcusdt@bookTicker"
TRADES = "btcusdt@trade"
DEPTH = "btcusdt@depth@0ms"
PLENTY_BYTES = 1 << 30


class Stream(Struct, frozen=True):
    """A stream whose messages wait."""

    name: str
    conflation: Conflation

    @property
    def prefix(self) -> bytes:
        return prefix_of(self.name)


QUOTE_STREAM = Stream("a@bookTicker", Conflation.NEWEST)
ALL_STREAM = Stream("!bookTicker", Conflation.NEWEST_OF_SYMBOL)
TRADE_STREAM = Stream("a@trade", Conflation.NONE)
CANDLE_STREAM = Stream("a@kline_1m", Conflation.NEWEST_CANDLE)
DEPTH_STREAM = Stream("a@depth@0ms", Conflation.MERGED_LEVELS)


def message(stream: Stream, payload: dict[str, Any] | bytes) -> Message:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message(stream, text, b"", Published())


def backlog(max_bytes: int = PLENTY_BYTES) -> Backlog:
    return Backlog(max_bytes, DeliveryCounters())


def taken(waiting: Backlog) -> list[Any]:
    data, count = waiting.take(PLENTY_BYTES, is_combined=True, write_ns=None)
    texts = payloads(data)
    assert len(texts) == count
    return [json.loads(text) for text in texts]


# A naive model: all messages in a list, of which those are sent that nothing later replaces.

KINDS = st.sampled_from([QUOTE_STREAM, ALL_STREAM, TRADE_STREAM, CANDLE_STREAM])


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Messages of several streams, numbered in order."""
    sent = []
    for number in range(draw(st.integers(0, 30))):
        stream = draw(KINDS)
        body: dict[str, Any] = {"e": "x", "n": number, "s": draw(st.sampled_from("AB"))}
        if stream is CANDLE_STREAM:
            body["k"] = {"x": draw(st.booleans())}
        sent.append(message(stream, body))
    return sent


def is_replaced(earlier: Message, later: Iterable[Message]) -> bool:
    name, body = earlier.stream.name, json.loads(earlier.payload)
    if name == TRADE_STREAM.name or (name == CANDLE_STREAM.name and body["k"]["x"]):
        return False
    return any(
        each.stream.name == name
        and (name != ALL_STREAM.name or json.loads(each.payload)["s"] == body["s"])
        for each in later
    )


@given(conversations())
def test_of_what_waits_the_latest_is_sent_in_the_order_of_the_latest(sent: list[Message]) -> None:
    waiting = backlog()
    push_all(waiting, sent)
    expected = [
        {"stream": each.stream.name, "data": json.loads(each.payload)}
        for place, each in enumerate(sent)
        if not is_replaced(each, sent[place + 1 :])
    ]
    assert taken(waiting) == expected
    assert waiting.conflated == len(sent) - len(expected)
    assert (waiting.dropped, waiting.size_bytes) == (0, 0)


@given(st.lists(st.binary(max_size=200).map(bytes.hex), max_size=30), st.integers(0, 3_000))
def test_of_messages_that_are_all_kept_the_newest_that_fit_are_sent_in_order(
    texts: list[str], max_bytes: int
) -> None:
    sent = [message(TRADE_STREAM, {"x": text}) for text in texts]
    waiting = backlog(max_bytes)
    push_all(waiting, sent)
    kept: list[Message] = []
    for each in sent:
        kept.append(each)
        while len(kept) > 1 and sum(ENTRY_BYTES + len(m.payload) for m in kept) > max_bytes:
            del kept[0]
    assert [each["data"] for each in taken(waiting)] == [json.loads(m.payload) for m in kept]
    assert (waiting.dropped, waiting.conflated) == (len(sent) - len(kept), 0)


@given(conversations(), st.integers(0, 3_000), st.lists(st.integers(1, 600), max_size=5))
def test_every_message_is_sent_conflated_or_dropped_whatever_the_bound(
    sent: list[Message], max_bytes: int, takes: list[int]
) -> None:
    waiting = backlog(max_bytes)
    count = 0
    for number, each in enumerate(sent):
        waiting.push(each)
        assert waiting.size_bytes <= max_bytes or len(waiting) == 1
        if number < len(takes):
            count += waiting.take(takes[number], is_combined=False, write_ns=None)[1]
    count += len(taken(waiting))
    assert count + waiting.conflated + waiting.dropped == len(sent)
    assert waiting.take(1, is_combined=False, write_ns=None) == (b"", 0)


def test_above_the_bound_trades_are_dropped_before_quotes() -> None:
    waiting = backlog(3 * (ENTRY_BYTES + 20))
    waiting.push(message(QUOTE_STREAM, {"u": 1}))
    push_all(waiting, [message(TRADE_STREAM, {"t": number}) for number in range(5)])
    assert [each["data"] for each in taken(waiting)] == [{"u": 1}, {"t": 3}, {"t": 4}]
    assert waiting.dropped == 3


def test_a_message_that_cannot_be_read_is_sent_in_its_place_and_ends_what_can_be_merged() -> None:
    def depth(previous_id: int) -> Message:
        ids = {"U": previous_id + 1, "u": previous_id + 1, "pu": previous_id}
        return message(DEPTH_STREAM, {**ids, "b": [], "a": []})

    waiting = backlog()
    odd = message(DEPTH_STREAM, {"news": "a new kind of message"})
    push_all(waiting, [depth(1), depth(2), odd, depth(3), depth(4)])
    first, second, third = (each["data"] for each in taken(waiting))
    assert (first["pu"], first["u"]) == (1, 3)
    assert second == {"news": "a new kind of message"}
    assert (third["pu"], third["u"]) == (3, 5)


def test_messages_of_a_stream_that_is_left_are_forgotten_and_the_others_stay() -> None:
    waiting = backlog()
    push_all(waiting, [message(TRADE_STREAM, {"t": number}) for number in range(3)])
    waiting.push(message(QUOTE_STREAM, {"u": 1}))
    waiting.push(message(TRADE_STREAM, {"t": 4}))
    waiting.forget({TRADE_STREAM.name})
    waiting.push(message(QUOTE_STREAM, {"u": 2}))
    assert [each["data"] for each in taken(waiting)] == [{"u": 2}]
    assert (waiting.size_bytes, waiting.dropped) == (0, 0)


def test_an_envelope_of_the_source_is_sent_as_it_is_unless_the_message_was_merged() -> None:
    theirs = b'{"data": {"U":1,"u":1,"pu":0,"b":[],"a":[]}, "stream": "a@depth@0ms"}'
    first = Message(DEPTH_STREAM, b'{"U":1,"u":1,"pu":0,"b":[],"a":[]}', theirs, Published())
    waiting = backlog()
    waiting.push(first)
    assert payloads(waiting.take(1, is_combined=True, write_ns=None)[0]) == [theirs]
    push_all(waiting, [first, message(DEPTH_STREAM, {"U": 2, "u": 2, "pu": 1, "b": [], "a": []})])
    ((merged,)) = taken(waiting)
    assert (merged["stream"], merged["data"]["U"], merged["data"]["u"]) == ("a@depth@0ms", 1, 2)


# Through the hub.


class Slow:
    """A subscriber that is told when to be held, as a connection is by its transport."""

    def __init__(self, hub: Hub, room_bytes: int = PLENTY_BYTES) -> None:
        self.hub = hub
        self.room_bytes = room_bytes
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data
        self.room_bytes -= len(data)
        if self.room_bytes < 0:
            self.hub.hold(self)

    def read(self, room_bytes: int = PLENTY_BYTES) -> None:
        """Make room, as a client that reads."""
        self.room_bytes = room_bytes
        self.hub.release(self)

    def messages(self) -> list[Any]:
        """The messages since the last time."""
        texts, self.data = payloads(self.data), b""
        return [json.loads(text) for text in texts]


def slow(
    plant: Plant, names: Sequence[str], delivery: Delivery, room_bytes: int = PLENTY_BYTES
) -> Slow:
    hub = plant.hubs["usdm"]
    subscriber = Slow(hub, room_bytes)
    hub.set_delivery(subscriber, delivery)
    hub.subscribe(subscriber, names)
    return subscriber


def turn(plant: Plant) -> None:
    plant.hubs["usdm"].flush()


LATEST_ONLY = Delivery(LATEST)


def test_a_client_that_keeps_up_gets_every_message_byte_for_byte() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    fast, usual = slow(plant, [QUOTES, TRADES], LATEST_ONLY), Slow(hub)
    hub.subscribe(usual, [QUOTES, TRADES])
    for number in range(5):
        plant.publish(quote(number))
        plant.publish(trade(number, START_MS))
        if number % 2:
            turn(plant)
    turn(plant)
    assert fast.data == usual.data != b""
    assert len(hub.audiences) == 2, "they share no audience"


def test_a_client_that_is_behind_gets_the_newest_quote_and_every_trade_when_it_reads() -> None:
    plant = open_plant()
    client = slow(plant, [QUOTES, TRADES], LATEST_ONLY, room_bytes=0)
    for number in range(1, 6):
        plant.publish(quote(number))
        plant.publish(trade(number, START_MS))
        turn(plant)
    first = client.messages()
    assert [each["e"] for each in first] == ["bookTicker", "trade"], "written before it was held"
    client.read()
    later = client.messages()
    assert [each.get("u") or each["t"] for each in later] == [2, 3, 4, 5, 5]
    assert [each["e"] for each in later] == [*["trade"] * 3, "bookTicker", "trade"]
    plant.publish(quote(6))
    turn(plant)
    assert [each["u"] for each in client.messages()] == [6], "at once again"


def test_what_waited_is_written_in_parts_as_far_as_there_is_room() -> None:
    plant = open_plant()
    client = slow(plant, [TRADES], LATEST_ONLY, room_bytes=0)
    plant.publish(trade(0, START_MS))
    turn(plant)
    for number in range(1, 1_000):
        plant.publish(trade(number, START_MS))
    turn(plant)
    client.messages()
    seen: list[int] = []
    writes = 0
    while len(seen) < 999:
        client.read(room_bytes=0)
        assert len(client.data) < 2 * CHUNK_BYTES
        seen += [each["t"] for each in client.messages()]
        writes += 1
    assert seen == list(range(1, 1_000))
    assert writes > 3


def test_a_change_of_the_envelope_holds_for_what_waits_too() -> None:
    plant = open_plant()
    client = slow(plant, [QUOTES], LATEST_ONLY, room_bytes=0)
    for number in (1, 2):
        plant.publish(quote(number))
        turn(plant)
    plant.hubs["usdm"].set_combined(client, True)
    client.messages()
    client.read()
    ((message,)) = client.messages()
    assert (message["stream"], message["data"]["u"]) == (QUOTES, 2)


def test_nothing_of_a_stream_follows_its_unsubscription_even_if_it_waited() -> None:
    plant = open_plant()
    client = slow(plant, [QUOTES, TRADES], LATEST_ONLY, room_bytes=0)
    plant.publish(quote(1))
    turn(plant)
    plant.publish(quote(2))
    plant.publish(trade(1, START_MS))
    plant.hubs["usdm"].unsubscribe(client, [QUOTES])
    client.messages()
    client.read()
    assert [each["e"] for each in client.messages()] == ["trade"]


@pytest.mark.parametrize("step", ["mute", "restart"])
def test_nothing_from_before_a_seek_is_delivered_after_it(step: str) -> None:
    plant = open_plant()
    client = slow(plant, [QUOTES], LATEST_ONLY, room_bytes=0)
    for number in (1, 2):
        plant.publish(quote(number))
        turn(plant)
    client.messages()
    if step == "mute":
        plant.mute()
        plant.publish(quote(3))
        plant.unmute()
    else:
        plant.restart([BTCUSDT], start_ms=START_MS - 60_000)
    client.read()
    assert client.messages() == []
    plant.publish(quote(4, time_ms=plant.now_ms))
    turn(plant)
    assert [each["u"] for each in client.messages()] == [4]


def test_what_waits_for_a_client_is_sent_before_it_leaves_at_the_end() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    client = slow(plant, [QUOTES], LATEST_ONLY, room_bytes=0)
    for number in (1, 2, 3):
        plant.publish(quote(number))
        turn(plant)
    hub.drain(client)
    hub.remove(client)
    assert [each["u"] for each in client.messages()] == [1, 3]
    assert hub.backlogs == {}
    assert not hub.channels
    assert (hub.messages_sent, hub.delivery_counters.conflated) == (2, 1)


def test_a_subscriber_that_left_is_not_held_nor_released() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    client = slow(plant, [QUOTES], LATEST_ONLY)
    hub.remove(client)
    hub.hold(client)
    hub.release(client)
    hub.drain(client)
    assert client.data == b""


def test_stamps_tell_when_a_message_was_due_published_and_written() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    times = iter((1_000, 2_000, 9_000))
    hub.published = lambda: Published(700, next(times))
    hub.now_ns = lambda: 5_000
    stamped, usual = slow(plant, [QUOTES], Delivery(is_stamped=True)), Slow(hub)
    hub.subscribe(usual, [QUOTES])
    hub.set_combined(stamped, True)
    hub.set_combined(usual, True)
    plant.publish(quote(1))
    plant.publish(quote(2))
    turn(plant)
    first, second = stamped.messages()
    assert list(first) == ["stream", "data", "stamps"]
    assert first["stamps"] == {"event_ns": 700, "publish_ns": 1_000, "write_ns": 5_000}
    assert second["stamps"]["publish_ns"] == 2_000
    assert [list(each) for each in usual.messages()] == [["stream", "data"]] * 2
    hub.published = Published
    plant.publish(quote(3))
    turn(plant)
    assert stamped.messages()[0]["stamps"]["event_ns"] is None


def test_stamps_of_a_message_that_waited_are_those_of_its_last_part() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    times = iter(range(1, 10))
    hub.published = lambda: Published(None, next(times))
    hub.now_ns = lambda: 50
    client = slow(plant, [QUOTES], Delivery(LATEST, is_stamped=True), room_bytes=0)
    hub.set_combined(client, True)
    for number in range(3):
        plant.publish(quote(number))
        turn(plant)
    client.messages()
    hub.now_ns = lambda: 70
    client.read()
    ((message,)) = client.messages()
    assert message["stamps"] == {"event_ns": None, "publish_ns": 3, "write_ns": 70}


def test_raw_messages_have_no_stamps() -> None:
    plant = open_plant()
    client = slow(plant, [QUOTES], Delivery(is_stamped=True))
    plant.publish(quote(1))
    turn(plant)
    ((frame,)) = frames(client.data)
    assert b"stamps" not in frame.data


# A book of a client that is held at times, against the true one.

PRICES = st.integers(1, 8)
CHANGES = st.lists(
    st.tuples(PRICES, st.integers(0, 3)), max_size=4, unique_by=lambda level: level[0]
)


class HeldBook(RuleBasedStateMachine):
    """Two clients of a depth stream, one of which reads when it likes, and the true book."""

    @initialize()
    def begin(self) -> None:
        self.plant = open_plant()
        self.plant.publish(snapshot(1, [], []))
        self.client = slow(self.plant, [DEPTH], LATEST_ONLY, room_bytes=0)
        self.true_at: dict[int, dict[tuple[str, str], str]] = {1: {}}
        self.true: dict[tuple[str, str], str] = {}
        self.book: dict[tuple[str, str], str] = {}
        self.last_id = self.seen_id = 1

    @rule(bids=CHANGES, asks=CHANGES, step=st.integers(1, 3))
    def change(self, bids: list[Level], asks: list[Level], step: int) -> None:
        bids = [(price * 10, quantity) for price, quantity in sorted(bids)]
        asks = [(price * 10 + 1_000, quantity) for price, quantity in sorted(asks)]
        self.plant.publish(update(self.last_id, self.last_id + step, bids, asks))
        self.last_id += step
        price, quantity = BTCUSDT.price.text, BTCUSDT.quantity.text
        for side, levels in (("b", bids), ("a", asks)):
            self.true |= {(side, price[each]): quantity[size] for each, size in levels}
        self.true_at[self.last_id] = dict(self.true)

    @rule()
    def turn(self) -> None:
        turn(self.plant)

    @rule(room_bytes=st.integers(0, 600))
    def read(self, room_bytes: int) -> None:
        self.client.read(room_bytes)

    @rule()
    def catch_up(self) -> None:
        turn(self.plant)
        self.client.read()
        self.check()
        assert self.seen_id == self.last_id

    @invariant()
    def check(self) -> None:
        """Every message chains with the one before, and leads to the true book of its time."""
        for message in self.client.messages():
            assert message["pu"] == self.seen_id
            assert message["U"] == message["pu"] + 1 <= message["u"]
            self.seen_id = message["u"]
            for side in "ba":
                self.book |= {(side, price): size for price, size in message[side]}
            assert self.book == self.true_at[self.seen_id]


TestHeldBook = HeldBook.TestCase
