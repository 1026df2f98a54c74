from __future__ import annotations

import asyncio
from io import StringIO

from loopback import loopback, looped

from tickerplant import logs
from tickerplant.readiness import MAX_WARNINGS, Readiness


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


def test_the_beginning_of_a_source_is_told_once_and_not_while_it_waits() -> None:
    readiness, told = Readiness(), []
    readiness.on_start = lambda: told.append(readiness.is_ready)
    readiness.ready(False, "warming up")
    readiness.ready(True, "waiting for 1 subscriber")
    assert told == []
    readiness.ready(True)
    readiness.ready(True)
    assert told == [True]


@looped
async def test_a_clock_that_is_set_is_told_once_a_step_and_the_date_follows_it() -> None:
    output = StringIO()
    logs.configure("text", "info", output)
    async with loopback() as house:
        readiness, endpoint = house.server.readiness, house.server.endpoints[0]
        readiness.ready(True)
        readiness.follow_machine(follows=True)
        for at_ms, step in ((3_600_250, "forward by 3600.250 s"), (0, "back by 3600.250 s")):
            endpoint.wall_clock = lambda at_ms=at_ms: house.clock.now_ms + at_ms  # type: ignore[misc]
            await asyncio.sleep(10)
            lines = output.getvalue().splitlines()
            assert len(lines) == 1
            assert lines[0].endswith(step)
            output.truncate(0)
            output.seek(0)
            state = await house.get("/readyz")
            assert state.status == 200
            metrics = await house.metrics()
            assert metrics["tickerplant_source_clock_offset_seconds"] == at_ms / 1_000
            assert metrics["tickerplant_source_warnings"] == 0, "it has an alert of its own"
            assert len(state.json["warnings"]) == (at_ms > 0)
            if at_ms:
                assert state.json["warnings"][0].startswith("the clock of the machine was set")
                assert state.headers["date"] == "Thu, 01 Jan 2026 01:00:00 GMT"
        readiness.follow_machine(follows=False)
        endpoint.wall_clock = lambda: house.clock.now_ms - 90_000
        assert (await house.get("/readyz")).json["warnings"] == [], "market time is its own"
