"""Scenarios on the command line, and at the ports of a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from programs import refusal

import tickerplant
from tickerplant.cli import commands
from tickerplant.control.client import ControlClient, ControlError
from tickerplant.errors import ConfigError
from tickerplant.scenarios.library import library_names, library_text
from tickerplant.serving.scenarios import clock_text, scenario_named

MINE = """
title = "A bad day"
duration = "2m"
[[change]]
at = "90.5s"
market = "halt"
"""


def output(*arguments: str) -> str:
    result = CliRunner().invoke(commands, ["scenarios", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_library_is_listed_as_a_table_and_as_json() -> None:
    lines = output().splitlines()
    assert lines[0].split() == ["scenario", "duration", "title", "market", "faults"]
    assert [line.split()[0] for line in lines[1:]] == list(library_names())
    rows = json.loads(output("--json"))
    crash = next(row for row in rows if row["name"] == "flash-crash")
    assert crash["duration_ms"] == 300_000
    assert crash["market"] == ["volatility", "shock", "liquidations"]
    assert crash["faults"] == []


def test_one_is_shown_with_its_changes_in_their_order() -> None:
    text = output("flash-crash")
    assert text.startswith("flash-crash: Flash crash and recovery, 5:00\n")
    assert "What happened: On 6 May 2010" in text
    assert "\n     1:00  market shock move=-0.12 over=40s" in text
    page = json.loads(output("flash-crash", "--json"))
    assert page["changes"][1]["at_ms"] == 60_000
    assert page["changes"][1]["change"].startswith("market shock move=-0.12")


def test_the_toml_of_one_is_printed_as_it_is() -> None:
    assert output("flash-crash", "--toml") == library_text("flash-crash")


def test_a_file_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    scenario = scenario_named(str(path))
    assert (scenario.name, scenario.title) == ("mine", "A bad day")
    assert " 1:30.500  market halt\n" in output(str(path))
    path.write_text(MINE.replace("halt", "hault"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"change 1 \(at 90\.5s\) of .*mine\.toml"):
        scenario_named(str(path))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("flash-crahs", "did you mean flash-crash?"),
        ("missing.toml", "No such file"),
        ("/", "expected a file that can be read"),
    ],
)
def test_what_is_no_scenario_is_refused_with_a_remedy(given: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario_named(given)
    assert words in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        scenario_named(str(path))


@pytest.mark.parametrize(
    ("time_ms", "text"), [(0, "0:00"), (90_000, "1:30"), (600_250, "10:00.250")]
)
def test_times_are_minutes_and_seconds(time_ms: int, text: str) -> None:
    assert clock_text(time_ms) == text


@pytest.mark.heavy
def test_a_command_with_a_wrong_one_ends_with_a_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.toml"
    path.write_text(MINE.replace("halt", "shok"), encoding="utf-8")
    assert re.search(
        r"'shok' for market in change 1 \(at 90\.5s\) of .*day\.toml: .*mean shock\?",
        refusal(capsys, "simulate", "--scenario", str(path)),
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("flash-crsh", "did you mean flash-crash?"),
        ("flash-crash", "a scenario that has only faults"),
    ],
)
def test_a_relay_says_what_it_cannot_perform_before_it_asks_its_upstream(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = ("--usdm-url", "ws://127.0.0.1:1")
    assert said in refusal(capsys, "relay", "--scenario", name, *nobody)


@pytest.mark.sockets
@pytest.mark.slow("a program is started")
def test_a_scenario_of_a_command_starts_when_the_clients_that_it_waits_for_are_there() -> None:
    command = [sys.executable, "-m", "tickerplant", "simulate", "--scenario", "trading-halt"]
    options = ("--symbols", "BTCUSDT", "--usdm-port", "0", "--coinm-port", "0", "--json")
    with subprocess.Popen(  # noqa: S603  # our program
        [*command, *options, "--wait-for", "1", "--start", "2026-01-31", "-q"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        streams = json.loads(process.stdout.readline())["venues"]["usdm"]["streams"]
        control = ControlClient(streams.replace("ws://", "http://"))
        assert control.scenarios()["scenarios"] == []
        with tickerplant.blocking.connect(base_url=streams) as market:
            next(iter(market.stream("btcusdt@markPrice@1s")))
            (state,) = control.scenarios()["scenarios"]
        assert (state["name"], state["state"]) == ("trading-halt", "running")
        with pytest.raises(ControlError, match="no scenario s7"):
            control.stop_scenario("s7")
        control.close()
        process.terminate()
