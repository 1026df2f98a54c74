"""Scenarios as somebody outside sees them, at the ports of a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tickerplant
from tickerplant.cli import main
from tickerplant.control.client import ControlClient, ControlError


def refusal(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which a command ends at once."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    (line,) = errors.splitlines()
    return str(line)


@pytest.mark.heavy
def test_a_command_with_a_wrong_one_ends_with_a_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.toml"
    path.write_text(
        'title = "A bad day"\nduration = "60s"\n[[change]]\nat = "10s"\nmarket = "shok"\n',
        encoding="utf-8",
    )
    assert re.search(
        r"'shok' for market in change 1 \(at 10s\) of .*day\.toml: .*mean shock\?",
        refusal("simulate", "--scenario", str(path), capsys=capsys),
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
    assert said in refusal("relay", "--scenario", name, *nobody, capsys=capsys)


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
