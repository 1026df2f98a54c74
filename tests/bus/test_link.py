from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tickerplant.bus.link import SETTLE_MS, SILENT_MS, STUCK, Link, LinkState
from tickerplant.bus.nodes import HEARTBEAT_MS

GRACE_MS = 5_000


def test_a_plant_that_falls_silent_is_away_and_then_lost() -> None:
    link = Link(GRACE_MS, 0)
    assert not link.heard(100)
    assert not link.tick(100 + SILENT_MS)
    assert link.state is LinkState.HERE
    assert not link.tick(101 + SILENT_MS)
    assert (link.state, link.reason) == (LinkState.AWAY, "the plant is silent")
    assert not link.tick(99 + GRACE_MS), "it counts from when it was heard last"
    assert link.tick(100 + GRACE_MS)
    assert not link.tick(10_000_000), "it is told once"
    assert not link.heard(10_000_000)
    assert link.reason == "the plant is silent", "it has not accepted yet what is wanted"
    assert link.accepted(10_000_000), "it is back"
    assert link.reason == ""


def test_a_lost_bus_counts_from_when_it_was_lost() -> None:
    link = Link(GRACE_MS, 0)
    link.heard(1_000)
    link.bus_lost(1_200)
    assert (link.state, link.reason) == (LinkState.AWAY, "the bus is lost")
    link.bus_back()
    assert link.reason == "the plant is silent"
    assert not link.tick(1_199 + GRACE_MS)
    assert link.tick(1_200 + GRACE_MS)


def test_a_bus_that_is_lost_again_prolongs_nothing() -> None:
    link = Link(GRACE_MS, 0)
    link.bus_lost(0)
    link.bus_back()
    link.bus_lost(4_000)
    assert link.tick(GRACE_MS)
    assert link.away_count == 1


def test_a_short_loss_is_none() -> None:
    link = Link(GRACE_MS, 0)
    link.bus_lost(0)
    assert link.heard(GRACE_MS - 1)
    assert not link.tick(GRACE_MS)


def test_streams_that_wait_too_long_are_lost_although_the_plant_is_heard() -> None:
    link = Link(GRACE_MS, 0)
    for now_ms in range(0, GRACE_MS + SETTLE_MS, HEARTBEAT_MS):
        link.heard(now_ms)
        assert not link.tick(now_ms, now_ms)
    assert link.tick(GRACE_MS + SETTLE_MS, GRACE_MS + SETTLE_MS)
    assert (link.state, link.reason) == (LinkState.LOST, STUCK)
    assert not link.heard(GRACE_MS + SETTLE_MS)
    assert link.reason == STUCK, "a heartbeat alone is not enough"
    assert link.accepted(GRACE_MS + SETTLE_MS)
    assert link.reason == ""


TICK_MS = 250


class Machine(RuleBasedStateMachine):
    """A bus and a plant that come and go, and streams that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.link = Link(GRACE_MS, 0)
        self.heard_ms = 0
        self.waits_since_ms: int | None = None

    @rule(ticks=st.integers(1, 60), beats=st.booleans())
    def time_passes(self, ticks: int, beats: bool) -> None:
        for _ in range(ticks):
            self.now_ms += TICK_MS
            if beats:
                self.beat()
            waits_ms = 0 if self.waits_since_ms is None else self.now_ms - self.waits_since_ms
            if self.link.tick(self.now_ms, waits_ms):
                assert self.link.state is LinkState.LOST
                self.waits_since_ms = None  # the clients are closed

    @rule()
    def beat(self) -> None:
        self.heard_ms = self.now_ms
        self.link.heard(self.now_ms)

    @rule()
    def bus_lost(self) -> None:
        self.link.bus_lost(self.now_ms)

    @rule()
    def bus_back(self) -> None:
        self.link.bus_back()

    @rule()
    def begin_to_wait(self) -> None:
        if self.link.state is not LinkState.LOST and self.waits_since_ms is None:
            self.waits_since_ms = self.now_ms

    @rule()
    def accepted(self) -> None:
        self.waits_since_ms = None
        self.heard_ms = self.now_ms
        self.link.accepted(self.now_ms)
        if self.link.state is not LinkState.HERE:
            self.link.heard(self.now_ms)
        assert self.link.state is LinkState.HERE

    @invariant()
    def nobody_waits_without_end(self) -> None:
        if self.link.state is not LinkState.LOST:
            limit_ms = 2 * (GRACE_MS + SETTLE_MS)
            assert self.now_ms - self.heard_ms < GRACE_MS + TICK_MS
            assert self.waits_since_ms is None or self.now_ms - self.waits_since_ms < limit_ms

    @invariant()
    def whoever_is_not_here_says_why(self) -> None:
        assert bool(self.link.reason) is (self.link.state is not LinkState.HERE)


TestLink = Machine.TestCase
