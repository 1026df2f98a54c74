"""Which streams a plant publishes, against a naive model of what its edges have said."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tickerplant.bus import interest
from tickerplant.bus.interest import InterestTable, Name
from tickerplant.bus.nodes import LEASE_MS, Interest, Report

NAMES = ("a", "b", "c")
EDGES = ("e1", "e2")
some = st.lists(st.sampled_from(NAMES), unique=True)


class Published:
    """The streams that are published, and how often each began."""

    def __init__(self) -> None:
        self.open: dict[Name, None] = {}
        self.begun: list[Name] = []

    def open_stream(self, name: Name) -> None:
        assert name not in self.open
        self.open[name] = None
        self.begun.append(name)

    def close_stream(self, name: Name) -> None:
        del self.open[name]


class Machine(RuleBasedStateMachine):
    """Edges that say what they want, of which some words are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.published = Published()
        self.table = InterestTable(self.published)
        self.now_ms = 0
        self.model: dict[str, set[str]] = {}
        self.seen_ms: dict[str, int] = {}
        self.versions = dict.fromkeys(EDGES, 0)

    @rule(edge=st.sampled_from(EDGES), opened=some, closed=some, is_lost=st.booleans())
    def change(self, edge: str, opened: list[str], closed: list[str], is_lost: bool) -> None:
        self.versions[edge] += 1
        if is_lost:
            return
        state = self.table.edges.get(edge)
        follows = self.versions[edge] == (0 if state is None else state.version) + 1
        told = Interest(
            edge=edge,
            version=self.versions[edge],
            opened={"usdm": opened},
            closed={"usdm": closed},
        )
        assert self.table.change(told, self.now_ms, 0) is follows
        self.seen_ms[edge] = self.now_ms
        wanted = self.model.setdefault(edge, set())
        if follows:
            wanted -= set(closed)
            wanted |= set(opened)

    @rule(edge=st.sampled_from(EDGES), parts=st.lists(some, min_size=1, max_size=3))
    def full_list(self, edge: str, parts: list[list[str]]) -> None:
        for place, opened in enumerate(parts, 1):
            self.versions[edge] += 1
            told = Interest(
                edge=edge,
                version=self.versions[edge],
                is_full=True,
                has_more=place < len(parts),
                opened={"usdm": opened},
            )
            assert self.table.change(told, self.now_ms, 0)
        self.seen_ms[edge] = self.now_ms
        self.model[edge] = {name for part in parts for name in part}

    @rule(edge=st.sampled_from(EDGES))
    def report(self, edge: str) -> None:
        state = self.table.edges.get(edge)
        is_known = self.versions[edge] == (0 if state is None else state.version)
        told = Report(edge=edge, version=self.versions[edge])
        assert self.table.report(told, self.now_ms) is is_known
        self.seen_ms[edge] = self.now_ms
        self.model.setdefault(edge, set())

    @rule(edge=st.sampled_from(EDGES))
    def leave(self, edge: str) -> None:
        assert (self.table.leave(edge) is not None) is (edge in self.model)
        self.model.pop(edge, None)
        self.seen_ms.pop(edge, None)

    @rule(passed_ms=st.integers(1, LEASE_MS))
    def expire(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        late = {edge for edge, seen in self.seen_ms.items() if self.now_ms - seen > LEASE_MS}
        assert {edge.identity for edge in self.table.expire(self.now_ms)} == late
        for edge in late:
            del self.model[edge], self.seen_ms[edge]

    @invariant()
    def what_somebody_wants_is_published(self) -> None:
        wanted = {("usdm", name) for names in self.model.values() for name in names}
        assert set(self.published.open) == wanted
        assert {name: set(edges) for name, edges in self.table.wanted_by.items()} == {
            name: {edge for edge, names in self.model.items() if name[1] in names}
            for name in wanted
        }


TestInterest = Machine.TestCase


def test_what_is_closed_and_opened_in_one_change_begins_anew_unless_another_edge_wants_it() -> None:
    published = Published()
    table = InterestTable(published)
    table.change(Interest(edge="e1", version=1, opened={"usdm": ["b", "a"]}), 0, 3)
    table.change(Interest(edge="e2", version=1, opened={"usdm": ["b"]}), 0, 4)
    assert published.begun == [("usdm", "b"), ("usdm", "a")], "in the order of the edge"
    again = {"usdm": ["a", "b"]}
    table.change(Interest(edge="e1", version=2, opened=again, closed=again), 0, 9)
    assert published.begun[2:] == [("usdm", "a")]
    assert table.edges["e1"].wanted == {("usdm", "a"): 9, ("usdm", "b"): 9}


def test_an_edge_too_many_is_refused_and_counted() -> None:
    table = InterestTable(Published())
    for number in range(interest.MAX_EDGES):
        assert table.report(Report(edge=f"e{number}", version=0), 0)
    assert table.report(Report(edge="another", version=0), 0) is None
    assert table.change(Interest(edge="another", version=1), 0, 0) is None
    assert table.refused_count == 2
