"""When a stream is called stale, if its messages come at given times."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tickerplant.feed.expected_interval import LOOK_MS, ExpectedInterval


class Alarm(Struct):
    """A stream was called stale, and came back by itself."""

    at_ms: float
    silent_ms: float
    patience_ms: int


class Watch(Struct):
    """What happened while a stream was looked at."""

    alarms: list[Alarm]
    patience_ms: int | None
    """At the end."""
    looked_ms: int
    """For how long it was looked at."""
    known_ms: int
    """For how long of that it would have been missed sooner than others are."""


def watch(expected_interval: ExpectedInterval, times_ms: Sequence[float]) -> Watch:
    """Look at a stream from its first message to its last, as a vigil does."""
    alarms: list[Alarm] = []
    count, known_ms, is_stale = 1, 0, False
    now_ms = times_ms[0]
    while now_ms <= times_ms[-1]:
        before = count
        while count < len(times_ms) and times_ms[count] <= now_ms:
            count += 1
        if is_stale and count > before:
            is_stale = False
            expected_interval.tolerate()
            expected_interval.restart()
        received_ms = times_ms[count - 1]
        silent_ms = round(now_ms - received_ms)
        expected_interval.observe(count, round(received_ms), silent_ms)
        patience_ms, repair_ms = expected_interval.stale_after_ms, expected_interval.repair_after_ms
        if patience_ms is not None and repair_ms is not None:
            known_ms += LOOK_MS * (patience_ms < repair_ms)
            if silent_ms >= patience_ms and not is_stale:
                is_stale = True
                alarms.append(Alarm(now_ms, silent_ms, patience_ms))
        now_ms += LOOK_MS
    return Watch(
        alarms, expected_interval.stale_after_ms, round(times_ms[-1] - times_ms[0]), known_ms
    )
