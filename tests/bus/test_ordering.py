"""The order of messages at an edge, against a naive model of what a plant has published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.bus import batches, ordering
from tickerplant.bus.batches import Batch, Message
from tickerplant.bus.ordering import Ordering

EPOCH, CONTROL = "epoch", "control"
STREAMS = ("a", "b", "c")


class Arrival(NamedTuple):
    subject: str
    batch: Batch


class Publisher:
    """What a plant publishes, one turn after the other."""

    def __init__(self) -> None:
        self.number = 0
        self.of: dict[str, list[int]] = {subject: [] for subject in (*STREAMS, CONTROL)}
        """The numbers of each stream."""
        self._previous = dict.fromkeys((*STREAMS, CONTROL), 0)

    def turn(self, streams: Sequence[str]) -> list[Arrival]:
        """The batches of a turn with one message of each of `streams`, in this order."""
        numbers: dict[str, list[int]] = {}
        runs = 0
        for before, subject in zip(("", *streams), streams, strict=False):
            self.number += 1
            numbers.setdefault(subject, []).append(self.number)
            runs += subject != before
        is_interleaved = runs > len(numbers)
        found = []
        for subject, each in numbers.items():
            found.append(Arrival(subject, self._batch(subject, each, is_interleaved)))
            self._previous[subject] = each[-1]
            self.of[subject] += each
        if is_interleaved:
            found.append(Arrival(CONTROL, self._batch(CONTROL, [], is_interleaved=False)))
        return found

    def _batch(self, subject: str, numbers: list[int], is_interleaved: bool) -> Batch:
        messages = tuple(Message(number, b"%d" % number) for number in numbers)
        previous = self._previous[subject]
        batch = Batch(batches.FORMAT_VERSION, EPOCH, 0, previous, messages, is_interleaved)
        return batches.decode(batches.encode(batch))


class Client:
    """What an edge has delivered and lost, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        """Numbers by stream; 0 where messages may be missing."""
        self.wants_recovery = False

    def deliver(self, subject: str, message: Message) -> None:
        assert message.payload == b"%d" % message.number
        self.seen.append((subject, message.number))

    def lose(self, subjects: Iterable[str], reason: str) -> None:
        assert reason
        self.seen += [(subject, 0) for subject in subjects]

    def recover(self) -> None:
        self.wants_recovery = True

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.seen if number]

    def of(self, subject: str) -> list[int]:
        return [number for each, number in self.seen if each == subject]


def opened(client: Client, streams: Iterable[str] = STREAMS, number: int = 0) -> Ordering:
    """An edge whose interest in `streams` the plant has accepted at `number`."""
    order = Ordering(EPOCH, CONTROL, client)
    for subject in streams:
        order.open(subject)
    order.accept([*streams, CONTROL], number)
    return order


def assert_no_silent_hole(client: Client, published: Publisher, subject: str) -> None:
    """Each number follows the one before in the stream, or a loss was told in between."""
    following = dict(zip([0, *published.of[subject]], published.of[subject], strict=False))
    last: int | None = 0
    for number in client.of(subject):
        if number and last is not None:
            assert number == following[last], f"{subject}: {number} after {last}"
        last = number or None


turns = st.lists(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=6), max_size=8)


def arrivals_of(published: Publisher, made: list[list[str]]) -> list[Arrival]:
    return [arrival for turn in made for arrival in published.turn(turn)]


@given(turns, st.sets(st.sampled_from(STREAMS)))
def test_without_a_loss_each_message_comes_at_once_and_in_the_order_of_the_plant(
    made: list[list[str]], wanted: set[str]
) -> None:
    published, client = Publisher(), Client()
    order = opened(client, sorted(wanted))
    for turn in made:
        before = published.number
        for arrival in published.turn(turn):
            if arrival.subject in wanted or arrival.subject == CONTROL:
                order.take(*arrival)
        expected = [
            (subject, before + place) for place, subject in enumerate(turn, 1) if subject in wanted
        ]
        assert client.seen[len(client.seen) - len(expected) :] == expected
    assert sum(map(len, published.of.values())) >= len(client.seen)
    assert not client.wants_recovery


@given(st.data(), turns)
def test_whatever_is_lost_doubled_or_late_no_stream_has_a_silent_hole(
    data: st.DataObject, made: list[list[str]]
) -> None:
    """Losses, doubles and batches that overtake those of other subjects, with a memory that may not
    reach back, at any time."""
    published, client = Publisher(), Client()
    order = opened(client)
    sent = arrivals_of(published, made)
    coming = list(sent)
    for place in range(len(coming) - 1):
        here, there = coming[place], coming[place + 1]
        if here.subject != there.subject and data.draw(st.integers(0, 9), "swap") == 0:
            coming[place], coming[place + 1] = there, here
    kept_from = data.draw(st.integers(0, len(sent)), "kept from")
    for arrival in coming:
        fate = data.draw(st.sampled_from("++++++-2c"), "fate")
        if fate == "c":
            order.cut()
        elif fate != "-":
            order.take(*arrival)
        if fate == "2":
            order.take(*arrival)
        if client.wants_recovery and data.draw(st.booleans(), "recover"):
            recover(order, client, sent[kept_from:] if data.draw(st.booleans()) else sent)
    order.check([(subject, numbers[-1]) for subject, numbers in published.of.items() if numbers])
    while client.wants_recovery:
        recover(order, client, sent[kept_from:])
        order.check(
            [(subject, numbers[-1]) for subject, numbers in published.of.items() if numbers]
        )
    assert not order.is_holding
    assert client.numbers == sorted(set(client.numbers)), "in order, each once"
    for subject in STREAMS:
        assert_no_silent_hole(client, published, subject)
        seen = client.of(subject)
        assert not published.of[subject] or seen[-1:] in ([published.of[subject][-1]], [0])


def recover(order: Ordering, client: Client, kept: list[Arrival]) -> None:
    client.wants_recovery = False
    for arrival in kept:
        order.replay(*arrival)
    assert order.settle(is_final=True)


@given(st.data(), turns)
def test_a_memory_that_reaches_back_makes_everything_whole_again(
    data: st.DataObject, made: list[list[str]]
) -> None:
    """After a cut, whatever was missed: the order is that of the plant, and nothing is lost."""
    published, client = Publisher(), Client()
    order = opened(client)
    sent = arrivals_of(published, made)
    first = data.draw(st.integers(0, len(sent)), "cut at")
    again = data.draw(st.integers(first, len(sent)), "back at")
    known = data.draw(st.integers(again, len(sent)), "recovers at")
    for arrival in sent[:first]:
        order.take(*arrival)
    order.cut()
    for arrival in sent[again:known]:
        order.take(*arrival)
    for arrival in sent[:known]:
        order.replay(*arrival)
    assert order.settle(is_final=False)
    for arrival in sent[known:]:
        order.take(*arrival)
    order.cut()
    for arrival in sent:
        order.replay(*arrival)
    assert order.settle(is_final=True)
    assert client.numbers == list(range(1, published.number + 1))
    assert order.lost_count == 0


def test_a_memory_that_lags_behind_what_comes_live_is_read_again() -> None:
    published, client = Publisher(), Client()
    order = opened(client, "a")
    one, two, three = (published.turn("a")[0] for _ in range(3))
    order.take(*one)
    order.take(*three)
    assert client.wants_recovery
    order.replay(*one)
    assert not order.settle(is_final=False)
    order.replay(*two)
    assert order.settle(is_final=False)
    assert client.seen == [("a", 1), ("a", 2), ("a", 3)]


def test_a_heartbeat_tells_of_the_loss_of_the_last_message() -> None:
    published, client = Publisher(), Client()
    order = opened(client, "a")
    order.take(*published.turn("a")[0])
    order.check([("a", 1), ("b", 7)])
    assert not client.wants_recovery
    order.check([("a", 2)])
    assert client.wants_recovery


def test_a_stream_begins_when_the_plant_has_accepted_the_interest() -> None:
    published, client = Publisher(), Client()
    order = Ordering(EPOCH, CONTROL, client)
    published.turn("aaa")
    order.open("a")
    order.take(*published.turn("a")[0])
    order.accept(["a", CONTROL], 4)
    order.take(*published.turn("a")[0])
    assert client.seen == [("a", 5)]
    assert not client.wants_recovery


def test_after_a_loss_all_streams_go_on_with_whatever_comes() -> None:
    published, client = Publisher(), Client()
    order = opened(client, "a")
    published.turn("aaa")
    order.lose_all("a reason")
    order.take(*published.turn("a")[0])
    assert client.seen == [("a", 0), ("a", 4)]


def test_a_stream_that_was_published_anew_has_a_hole() -> None:
    """The plant had forgotten the interest: what happened in between was never published."""
    client = Client()
    order = opened(client, "a")
    order.take("a", Batch(batches.FORMAT_VERSION, EPOCH, 0, 0, (Message(1, b"1"),)))
    order.take("a", Batch(batches.FORMAT_VERSION, EPOCH, 0, 7, (Message(9, b"9"),)))
    assert client.wants_recovery
    assert order.settle(is_final=True)
    assert client.seen == [("a", 1), ("a", 0), ("a", 9)]


def test_batches_of_another_run_of_the_plant_are_counted_and_dropped() -> None:
    client = Client()
    order = opened(client, "a")
    order.take("a", Batch(batches.FORMAT_VERSION, "other", 0, 0, (Message(1, b"1"),)))
    order.take("b", Batch(batches.FORMAT_VERSION, EPOCH, 0, 0, (Message(1, b"1"),)))
    assert client.seen == []
    assert order.foreign_count == 2


def test_too_much_that_waits_is_given_up() -> None:
    client = Client()
    order = opened(client, "a")
    order.cut()
    piece = bytes(ordering.MAX_HELD_BYTES // 4)
    for number in range(1, 6):
        batch = Batch(batches.FORMAT_VERSION, EPOCH, 0, number - 1, (Message(number, b"", piece),))
        order.take("a", batch)
    assert client.seen[0] == ("a", 0)
    assert not order.is_holding
    assert order.held_bytes == 0


def test_a_stream_that_is_closed_while_its_batches_wait_is_not_delivered() -> None:
    published, client = Publisher(), Client()
    order = opened(client, "ab")
    order.cut()
    for arrival in published.turn("ab"):
        order.take(*arrival)
    order.close("a")
    assert order.settle(is_final=True)
    assert client.seen == [("b", 2)]
