"""What an edge tells its plant arrives in the end, whatever is lost on the way and whenever it stands still."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tickerplant.bus.interest import InterestTable, Name
from tickerplant.bus.nodes import Interest, Report
from tickerplant.bus.telling import ACCEPT_MS, NAMES_AT_ONCE, Telling

EDGE = "e1"
NAMES = tuple(("usdm", each) for each in "abcd")


class Published:
    """The streams that are published."""

    def __init__(self) -> None:
        self.open: set[Name] = set()

    def open_stream(self, name: Name) -> None:
        self.open.add(name)

    def close_stream(self, name: Name) -> None:
        self.open.remove(name)


def test_what_is_not_accepted_in_time_is_told_again_and_waits_since_the_first_time() -> None:
    told: list[Interest] = []
    telling = Telling(EDGE, told.append)
    telling.change([NAMES[0]], [], 100)
    assert not telling.is_overdue(99 + ACCEPT_MS)
    assert telling.is_overdue(100 + ACCEPT_MS)
    telling.everything([NAMES[0]], 100 + ACCEPT_MS)
    assert [each.is_full for each in told] == [False, True]
    assert not telling.is_overdue(100 + ACCEPT_MS)
    assert telling.waits_ms(100 + 2 * ACCEPT_MS) == 2 * ACCEPT_MS
    assert telling.accept(1, 9_000) == [], "it was told anew since then"
    assert telling.waits_ms(100 + 2 * ACCEPT_MS) == 2 * ACCEPT_MS
    assert telling.accept(2, 9_000) == [NAMES[0]]
    assert telling.waits_ms(100_000) == 0


def test_many_names_are_told_in_parts() -> None:
    told: list[Interest] = []
    telling = Telling(EDGE, told.append)
    names = [("usdm", str(number)) for number in range(2 * NAMES_AT_ONCE + 1)]
    telling.change(names, names, 0)
    telling.everything(names, 0)
    assert [sum(map(len, each.opened.values())) for each in told] == [
        *(0, 0, NAMES_AT_ONCE, NAMES_AT_ONCE, 1),
        *(NAMES_AT_ONCE, NAMES_AT_ONCE, 1),
    ]
    assert [(each.is_full, each.has_more) for each in told[-3:]] == [
        (True, True),
        (True, True),
        (True, False),
    ]


class Machine(RuleBasedStateMachine):
    """An edge and a plant; what they tell each other is lost now and then, and waits in between.

    The plant publishes only while it holds its lease.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.wanted: set[Name] = set()
        self.waiting: list[Interest | Report] = []
        """What the bus has taken and not delivered."""
        self.is_bus_there = True
        self.is_publishing = True
        self.published = Published()
        self.table = InterestTable(self.published)
        self.telling = Telling(EDGE, self.send)

    def send(self, told: Interest | Report) -> None:
        if self.is_bus_there:
            self.waiting.append(told)

    @rule(name=st.sampled_from(NAMES))
    def want_or_not(self, name: Name) -> None:
        is_wanted = name in self.wanted
        self.wanted ^= {name}
        self.telling.change([] if is_wanted else [name], [name] if is_wanted else [], self.now_ms)

    @rule()
    def bus_is_lost_with_all_that_waits(self) -> None:
        self.is_bus_there = False
        self.waiting.clear()

    @rule()
    def bus_is_back(self) -> None:
        if not self.is_bus_there:
            self.is_bus_there = True
            self.telling.everything(sorted(self.wanted), self.now_ms)

    @rule()
    def lease_is_lost(self) -> None:
        self.is_publishing = False

    @rule()
    def lease_is_taken_again(self) -> None:
        if not self.is_publishing:
            self.is_publishing = True
            for _ in self.table.take_unanswered():
                self.asked_for_everything(version=0)

    @rule(is_lost=st.booleans())
    def deliver(self, is_lost: bool) -> None:
        """Let the plant hear what waits; its answers may be lost."""
        waiting, self.waiting = self.waiting, []
        for told in waiting:
            if isinstance(told, Report):
                if not self.table.report(told, self.now_ms) and not is_lost:
                    self.asked_for_everything(self.table.edges[EDGE].version)
            elif not self.table.change(told, self.now_ms, 0):
                if not is_lost:
                    self.asked_for_everything(self.table.edges[EDGE].version)
            elif not self.is_publishing:
                self.table.leave_unanswered(EDGE)
            elif not is_lost:
                self.telling.accept(told.version, self.now_ms)

    def asked_for_everything(self, version: int) -> None:
        if version != self.telling.version or self.telling.unaccepted_count:
            self.telling.everything(sorted(self.wanted), self.now_ms)

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ms += 1_000
            if self.telling.is_overdue(self.now_ms):
                self.telling.everything(sorted(self.wanted), self.now_ms)
            self.send(Report(edge=EDGE, version=self.telling.version))

    def teardown(self) -> None:
        """When all is well again, the plant soon publishes what is wanted, and has said so."""
        self.bus_is_back()
        self.lease_is_taken_again()
        for _ in range(4):
            self.time_passes(1)
            self.deliver(is_lost=False)
        assert self.telling.unaccepted_count == 0
        assert self.telling.waits_ms(self.now_ms) == 0
        assert self.published.open == self.wanted


TestTelling = Machine.TestCase
