from __future__ import annotations

import pytest

from tickerplant import logs
from tickerplant.readiness import Readiness
from tickerplant.sources.speed import LATE_S, WINDOW_S, SpeedWatch

STEP_S = 0.1


class Played:
    """A source that plays at one speed and should play at another."""

    def __init__(self) -> None:
        self.watch = SpeedWatch()
        self.status = Readiness()
        self.now_s = 100.0
        self.market_s = 5_000.0
        self.late_s = 0.0

    def play(self, seconds: float, *, asked: float, held: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.late_s = max(0.0, self.late_s + STEP_S * (asked - held) / asked)
            self.market_s += STEP_S * (held if self.late_s else asked)
            self.watch.note(
                self.status,
                now_s=self.now_s,
                market_s=self.market_s,
                late_s=self.late_s,
                speed=asked,
            )

    def samples(self) -> dict[str, float]:
        return {sample.name: sample.value for sample in self.watch.samples()}


def test_a_source_that_keeps_its_speed_says_nothing() -> None:
    played = Played()
    played.play(60, asked=20, held=20)
    assert (played.status.warnings, played.watch.is_short) == ([], False)
    assert played.samples()["source_speed_short"] == 0


def test_a_speed_that_cannot_be_kept_is_named_with_one_that_can() -> None:
    played = Played()
    played.play(10, asked=20, held=12)
    (warning,) = played.status.warnings
    assert warning.startswith("speed 20 cannot be kept: about 12 market seconds per second can; ")
    samples = played.samples()
    assert samples["source_speed_short"] == 1
    assert samples["source_speed_asked"] == 20
    assert round(samples["source_speed_held"], 6) == 12


def test_the_log_says_it_once_however_long_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info")
    played = Played()
    played.play(10, asked=20, held=12)
    first = played.status.warnings
    played.play(60, asked=20, held=12)
    assert len(played.status.warnings) == 1
    assert played.status.warnings != first, "how late it is, is up to date"
    played.play(200, asked=20, held=30)
    out, err = capsys.readouterr()
    assert (out + err).count("cannot be kept") == 1
    assert (out + err).count("kept again") == 1


def test_the_warning_is_withdrawn_when_the_source_has_caught_up() -> None:
    played = Played()
    played.play(10, asked=20, held=12)
    played.play(5, asked=20, held=30)
    assert played.watch.is_short, "it is still late"
    played.play(30, asked=20, held=30)
    assert (played.status.warnings, played.watch.is_short) == ([], False)


def test_one_long_break_is_no_lack_of_speed() -> None:
    played = Played()
    played.play(10, asked=20, held=20)
    played.late_s = 3 * LATE_S
    played.now_s += 3 * LATE_S
    played.play(3 * WINDOW_S, asked=20, held=30)
    assert (played.status.warnings, played.watch.is_short) == ([], False)


def test_a_pause_and_a_new_speed_begin_anew() -> None:
    played = Played()
    played.play(2 * WINDOW_S - 0.5, asked=20, held=10)
    played.watch.restart()
    played.late_s = 0.0
    played.play(2 * WINDOW_S - 0.5, asked=20, held=10)
    assert not played.watch.is_short
    played.late_s = 0.0
    played.play(10, asked=5, held=10)
    assert played.samples()["source_speed_asked"] == 5
    assert not played.watch.is_short


def test_a_source_that_is_paused_is_not_short_of_time() -> None:
    played = Played()
    played.play(10, asked=20, held=12)
    played.watch.stop(played.status)
    assert (played.status.warnings, played.watch.is_short) == ([], False)
