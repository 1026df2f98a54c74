from __future__ import annotations

from pathlib import Path

from played import NS, Replay, recorded, trade

from tickerplant.recording.line import Line
from tickerplant.replaying.source import Lateness

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


def test_a_replay_at_a_pace_tells_how_late_each_message_is_and_without_one_nothing(
    tmp_path: Path,
) -> None:
    lines = [(n, "btcusdt@trade", trade(n)) for n in range(1, 200)]
    path = recorded(tmp_path / "r", lines)
    for speed, is_paced in ((1.0, True), (0.0, False)):
        replay = Replay([path], {"usdm": ["btcusdt@trade"]}, speed=speed)
        found: list[int | None] = []
        hub = replay.plant.hubs["usdm"]
        hub.on_written = lambda _, replay=replay, found=found: found.append(  # type: ignore[misc]
            replay.readiness.late_ns()
        )
        replay.run()
        paced = [each for each in found if each is not None]
        assert bool(paced) is is_paced
        assert all(-NS < each < NS for each in paced), "within a millisecond, on a machine in time"
        assert (replay.readiness.event_to_publish.count > 100) is is_paced
