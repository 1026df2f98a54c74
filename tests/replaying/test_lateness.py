from __future__ import annotations

from tickerplant.recording.line import Line
from tickerplant.replaying.lateness import Lateness

MS = 1_000_000


def test_messages_are_counted_by_how_late_they_are() -> None:
    lateness = Lateness()
    lines: list[Line] = [(at_ms * MS, b"") for at_ms in (0, 88, 97, 98, 99, 100)]
    lateness.count(lines, 100 * MS, 1.0)
    assert lateness.messages == 6
    assert lateness.late == {1: 5, 2: 4, 10: 2, 100: 1}


def test_at_another_speed_a_millisecond_is_of_the_clock_on_the_wall() -> None:
    lateness = Lateness()
    lateness.count([(0, b""), (95 * MS, b"")], 100 * MS, 10.0)
    assert lateness.late == {1: 1, 2: 1, 10: 1, 100: 0}
    names = {(sample.name, *sample.labels.values()) for sample in lateness.samples()}
    assert names == {("replay_paced",), *(("replay_late", f"{ms}ms") for ms in (1, 2, 10, 100))}
