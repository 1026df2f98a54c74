from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from stage import START_MS, Listener, open_plant, trade

from tickerplant.hub.delivery import Message, Published
from tickerplant.hub.hub import Hub
from tickerplant.protocol.delivery import LATEST, Delivery

NAMES = ("btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade")
SUBSCRIBERS = st.integers(0, 2)


def number_of(message: Message) -> int:
    return int(json.loads(message.payload)["n"])


class Odd:
    """Lets messages with odd numbers pass, twice each."""

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        return [each for each in messages if number_of(each) % 2 for _ in range(2)]


class Withhold:
    """Lets nothing pass."""

    def __init__(self) -> None:
        self.held: list[Message] = []

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.held += messages
        return ()


class FilteredHub(RuleBasedStateMachine):
    """Each subscriber gets what a naive model delivers at once, whatever waits in the hub."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = open_plant().hubs["usdm"]
        self.hub.accepts_unknown = True
        self.subscribers = [Listener() for _ in range(3)]
        self.names: list[set[str]] = [set() for _ in range(3)]
        self.filters: list[Odd | Withhold | None] = [None] * 3
        self.combined = [False] * 3
        self.withheld: list[list[tuple[str, int]]] = [[] for _ in range(3)]
        self.expected: list[list[tuple[str, int, bool]]] = [[] for _ in range(3)]
        self.numbers = count(1)

    @rule(who=SUBSCRIBERS, name=st.sampled_from(NAMES))
    def subscribe(self, who: int, name: str) -> None:
        self.hub.subscribe(self.subscribers[who], [name])
        self.names[who].add(name)

    @rule(who=SUBSCRIBERS, name=st.sampled_from(NAMES))
    def unsubscribe(self, who: int, name: str) -> None:
        self.hub.unsubscribe(self.subscribers[who], [name])
        self.names[who].discard(name)

    @rule(who=SUBSCRIBERS, combined=st.booleans())
    def set_combined(self, who: int, combined: bool) -> None:
        self.hub.set_combined(self.subscribers[who], combined)
        self.combined[who] = combined

    @rule(who=SUBSCRIBERS, kind=st.sampled_from([Odd, Withhold, None]))
    def set_filter(self, who: int, kind: type[Odd | Withhold] | None) -> None:
        self.filters[who] = None if kind is None else kind()
        self.hub.set_filter(self.subscribers[who], self.filters[who])
        self.withheld[who].clear()

    @rule(who=SUBSCRIBERS)
    def release(self, who: int) -> None:
        """Deliver what was withheld, of streams that are still subscribed to."""
        chosen = self.filters[who]
        if not isinstance(chosen, Withhold):
            return
        self.hub.flush()
        held, chosen.held = chosen.held, []
        self.hub.write_past_filter(self.subscribers[who], held)
        self.expected[who] += [
            (name, number, self.combined[who])
            for name, number in self.withheld[who]
            if name in self.names[who]
        ]
        self.withheld[who].clear()

    @rule(who=SUBSCRIBERS)
    def leave(self, who: int) -> None:
        self.hub.flush()
        self.hub.remove(self.subscribers[who])
        self.names[who].clear()
        self.filters[who], self.combined[who] = None, False

    @rule(name=st.sampled_from(NAMES))
    def broadcast(self, name: str) -> None:
        number = next(self.numbers)
        self.hub.broadcast(name, b'{"n":%d}' % number)
        for who in range(3):
            if name not in self.names[who]:
                continue
            match self.filters[who]:
                case None:
                    times = 1
                case Odd():
                    times = 2 * (number % 2)
                case Withhold():
                    times = 0
                    self.withheld[who].append((name, number))
            self.expected[who] += [(name, number, self.combined[who])] * times

    @rule()
    def flush(self) -> None:
        self.hub.flush()

    @rule(who=SUBSCRIBERS)
    def rewire(self, who: int) -> None:
        self.hub.rewire(self.subscribers[who])

    @invariant()
    def all_that_does_not_wait_was_delivered_in_order(self) -> None:
        for who, subscriber in enumerate(self.subscribers):
            seen = subscriber.messages()
            expected = [
                {"stream": name, "data": {"n": number}} if combined else {"n": number}
                for name, number, combined in self.expected[who]
            ]
            assert seen == expected[: len(seen)]

    def teardown(self) -> None:
        self.hub.flush()
        for who, subscriber in enumerate(self.subscribers):
            assert len(subscriber.messages()) == len(self.expected[who]), "all was delivered"
        filters = {self.subscribers[who] for who in range(3) if self.filters[who] is not None}
        assert set(self.hub.filters) == filters


test_filtered_subscribers_get_what_their_filter_leaves = FilteredHub.TestCase


def test_the_messages_of_a_filtered_subscriber_wait_and_are_replaced_as_its_policy_says() -> None:
    hub: Hub = open_plant().hubs["usdm"]
    subscriber = Listener()
    hub.set_filter(subscriber, Odd())
    hub.set_delivery(subscriber, Delivery(LATEST))
    hub.subscribe(subscriber, ["btcusdt@bookTicker"])
    hub.hold(subscriber)
    for number in range(1, 5):
        hub.broadcast("btcusdt@bookTicker", b'{"n":%d}' % number)
        hub.flush()
    assert subscriber.messages() == []
    hub.release(subscriber)
    assert subscriber.messages() == [{"n": 3}], "the newest that passed the filter"


def test_others_share_their_frames_while_one_is_filtered() -> None:
    plant = open_plant()
    hub = plant.hubs["usdm"]
    usual, filtered = Listener(), Listener()
    for each in (usual, filtered):
        hub.subscribe(each, ["btcusdt@trade"])
    assert hub.audience_of[usual] is hub.audience_of[filtered]
    hub.set_filter(filtered, Withhold())
    assert hub.audience_of[usual] is not hub.audience_of[filtered]
    plant.publish(trade(1, START_MS))
    hub.flush()
    assert len(usual.messages()) == 1
    assert filtered.messages() == []
    hub.set_filter(filtered, None)
    assert hub.audience_of[usual] is hub.audience_of[filtered]


def test_a_message_that_was_withheld_keeps_its_bytes() -> None:
    hub = open_plant().hubs["usdm"]
    subscriber = Listener()
    hub.subscribe(subscriber, ["btcusdt@trade"])
    channel = hub.channels["btcusdt@trade"]
    late = Message(channel, b'{"n":7}', b"", Published())
    hub.write_past_filter(subscriber, [late])
    assert subscriber.texts() == [b'{"n":7}']


def test_later_frames_go_to_what_takes_them_now() -> None:
    hub = open_plant().hubs["usdm"]
    subscriber = Listener()
    hub.subscribe(subscriber, ["btcusdt@trade"])
    hub.broadcast("btcusdt@trade", b'{"n":1}')
    taken = Listener()
    setattr(subscriber, "write", taken.write)  # noqa: B010  # as a connection does
    hub.rewire(subscriber)
    assert subscriber.messages() == [{"n": 1}], "what waited goes to what took it before"
    hub.broadcast("btcusdt@trade", b'{"n":2}')
    hub.flush()
    assert taken.messages() == [{"n": 2}]
