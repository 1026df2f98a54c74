from __future__ import annotations

from tickerplant.server.readiness import MAX_WARNINGS, Readiness


def test_warnings_beyond_the_bound_are_counted_and_find_room_when_others_are_withdrawn() -> None:
    readiness = Readiness()
    for number in range(MAX_WARNINGS):
        assert readiness.warn(str(number), f"symbol {number}"), "there is room"
    assert not readiness.warn("late", "one too many")
    assert readiness.dropped_warnings == 1
    assert readiness.warn("0", "another reason"), "a listed subject may change its text"
    assert readiness.clear("7")
    assert not readiness.clear("7"), "it is clear already"
    assert readiness.warn("late", "now there is room")
    assert len(readiness.warnings) == MAX_WARNINGS
    assert readiness.warnings[0] == "another reason"
    assert readiness.warnings[-1] == "now there is room"


def test_a_readiness_that_is_held_says_why_whatever_the_source_reports() -> None:
    readiness = Readiness()
    readiness.ready(True)
    readiness.hold("standby of the plant main")
    assert not readiness.is_ready
    assert readiness.reason == "standby of the plant main"
    readiness.ready(False, "connecting")
    assert readiness.reason == "standby of the plant main; connecting"
    readiness.hold("")
    assert (readiness.is_ready, readiness.reason) == (False, "connecting")
    readiness.ready(True)
    assert readiness.is_ready


def test_the_beginning_of_a_source_is_told_once_and_not_while_it_waits() -> None:
    readiness, told = Readiness(), []
    readiness.on_start = lambda: told.append(readiness.is_ready)
    readiness.ready(False, "warming up")
    readiness.ready(True, "waiting for 1 subscriber")
    assert told == []
    readiness.ready(True)
    readiness.ready(True)
    assert told == [True]
