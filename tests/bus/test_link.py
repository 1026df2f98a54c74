from __future__ import annotations

from tickerplant.bus.link import SILENT_MS, Link, LinkState

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
    assert link.heard(10_000_000), "it is back"
    assert (link.state, link.reason) == (LinkState.HERE, "")


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
