from __future__ import annotations

from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from stage import Listener, open_plant
from test_filter import Odd, Withhold

from tickerplant.protocol.delivery import POLICIES, Delivery

NAMES = ("btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade")
SUBSCRIBERS = st.integers(0, 3)


class CountingHub(RuleBasedStateMachine):
    """What the hub says of each subscriber is what it was given, whatever shared a count."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = open_plant().hubs["usdm"]
        self.hub.accepts_unknown = True
        self.subscribers = [Listener() for _ in range(4)]
        self.writes_before = [0] * 4
        """Writes to each before it joined."""
        self.numbers = count(1)

    @rule(who=SUBSCRIBERS, name=st.sampled_from(NAMES))
    def subscribe(self, who: int, name: str) -> None:
        self.hub.subscribe(self.subscribers[who], [name])

    @rule(name=st.sampled_from(NAMES))
    def subscribe_all(self, name: str) -> None:
        for each in self.subscribers:
            self.hub.subscribe(each, [name])

    @rule(who=SUBSCRIBERS, name=st.sampled_from(NAMES))
    def unsubscribe(self, who: int, name: str) -> None:
        self.hub.unsubscribe(self.subscribers[who], [name])

    @rule(who=SUBSCRIBERS, combined=st.booleans())
    def set_combined(self, who: int, combined: bool) -> None:
        self.hub.set_combined(self.subscribers[who], combined)

    @rule(who=SUBSCRIBERS, policy=st.sampled_from(list(POLICIES)), stamped=st.booleans())
    def set_delivery(self, who: int, policy: str, stamped: bool) -> None:
        delivery = Delivery(next(each for each in POLICIES if each == policy), stamped)
        self.hub.set_delivery(self.subscribers[who], delivery, max_backlog_bytes=600)

    @rule(who=SUBSCRIBERS, kind=st.sampled_from([Odd, Withhold, None]))
    def set_filter(self, who: int, kind: type[Odd | Withhold] | None) -> None:
        self.hub.set_filter(self.subscribers[who], None if kind is None else kind())

    @rule(who=SUBSCRIBERS)
    def let_pass(self, who: int) -> None:
        withheld = self.hub.filters.get(self.subscribers[who])
        if isinstance(withheld, Withhold):
            held, withheld.held = withheld.held, []
            self.hub.write_past_filter(self.subscribers[who], held)

    @rule(who=SUBSCRIBERS)
    def hold(self, who: int) -> None:
        self.hub.hold(self.subscribers[who])

    @rule(who=SUBSCRIBERS)
    def release(self, who: int) -> None:
        self.hub.release(self.subscribers[who])

    @rule(who=SUBSCRIBERS)
    def leave(self, who: int) -> None:
        self.hub.remove(self.subscribers[who])
        self.writes_before[who] = len(self.subscribers[who].writes)

    @rule(name=st.sampled_from(NAMES))
    def broadcast(self, name: str) -> None:
        self.hub.broadcast(name, b'{"n":%d}' % next(self.numbers))

    @rule()
    def flush(self) -> None:
        self.hub.flush()

    @rule()
    def flush_some(self) -> None:
        self.hub.flush_some(1)

    @invariant()
    def each_count_is_what_was_written(self) -> None:
        for before, subscriber in zip(self.writes_before, self.subscribers, strict=True):
            sent = self.hub.sent_to(subscriber)
            since = Listener()
            since.writes = subscriber.writes[before:]
            assert sent.messages == len(since.texts())
            assert sent.size_bytes == len(b"".join(since.writes))

    @invariant()
    def the_count_of_all_is_the_sum(self) -> None:
        writes = [each for subscriber in self.subscribers for each in subscriber.writes]
        assert self.hub.bytes_sent == len(b"".join(writes))
        assert self.hub.writes == len(writes)


TestCountingHub = CountingHub.TestCase
