"""The settings of a replay, from the command line, the environment and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickerplant.config.resolve import resolve
from tickerplant.config.settings import ReplaySettings
from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.serving.replay import replay, replayed_profile


def test_replay_settings_come_from_every_origin() -> None:
    flags = {"begin": "+90s", "speed": "0.5"}
    environment = {"TICKERPLANT_REPLAY_TO": "1795285140000", "TICKERPLANT_LOOP": "true"}
    file = {"replay": {"rebase": "now", "pace": "event", "warm_up": "24h"}}
    found = resolve("replay", ReplaySettings, flags, environment, file)
    assert found == ReplaySettings(
        begin=TimeSpec(90 * 10**9, "+"),
        end=TimeSpec(1_795_285_140_000 * 10**6),
        speed=0.5,
        loop=True,
        rebase="now",
        pace="event",
        warm_up_ms=86_400_000,
    )


@pytest.mark.parametrize(
    ("field", "value", "option", "expected"),
    [
        ("begin", "yesterday", "--from", "an ISO date such as"),
        ("end", "+5", "--to", "an offset such as"),
        ("speed", "0.0001", "--speed", "a number from 0.001 to 1,000,000"),
        ("warm_up_ms", "long", "--warm-up", "a duration such as"),
        ("pace", "slow", "--pace", "one of receive, event"),
        ("rebase", "then", "--rebase", "one of off, now"),
        ("profile", "1999", "--profile", "one of 2026q1, current, auto"),
    ],
)
def test_an_invalid_value_is_reported_with_its_option(
    field: str, value: str, option: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve("replay", ReplaySettings, {field: value}, {})
    assert refused.value.setting == option
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "recorded", "name"),
    [
        ("auto", "current", "current"),
        ("auto", "", "2026q1"),
        ("current", "2026q1", "current"),
    ],
)
def test_the_profile_is_the_one_of_the_recording_unless_another_is_wanted(
    wanted: str, recorded: str, name: str
) -> None:
    assert replayed_profile(ReplaySettings(profile=wanted), recorded) == name


def test_the_profile_of_a_recording_is_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="because the recording says 'of another century'"):
        replayed_profile(ReplaySettings(profile="auto"), "of another century")
    replayed_profile(ReplaySettings(profile="auto"), "")
    assert "does not say its profile: 2026q1 is served" in capsys.readouterr().out


def test_a_loop_cannot_exit_at_its_end(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="for --exit-at-end: "):
        replay(ReplaySettings(loop=True, exit_at_end=True), [str(tmp_path)], lambda _: None)
