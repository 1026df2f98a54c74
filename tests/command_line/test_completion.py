from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from archived import TRADE, line_of, recording

from tickerplant.cli import commands
from tickerplant.command_line.completion import SCRIPTS, completion_lines
from tickerplant.config.settings import COMMANDS
from tickerplant.faults.rows import FAULT_ROWS
from tickerplant.protocol.limits import LIMIT_ROWS
from tickerplant.streams import resolve
from tickerplant.venue import COINM, USDM


def words(line: str, shell: str = "fish", word: str | None = None) -> list[str]:
    """Return what a command line can be completed to."""
    found = completion_lines(commands, shell, f"tickerplant {line}", word)
    return [each.split("\t")[1] for each in found]


def kinds(line: str) -> list[str]:
    return [
        each.split("\t")[0] for each in completion_lines(commands, "zsh", f"tickerplant {line}")
    ]


def test_commands_and_options_are_completed() -> None:
    assert set(COMMANDS) < set(words(""))
    assert words("wat") == ["watch"]
    assert words("simulate --symb") == ["--symbols", "--symbol-count"]
    assert words("simulate --no-js") == ["--no-json"]


def test_choices_and_profiles_are_completed() -> None:
    assert words("simulate --limits ") == ["exchange", "off"]
    assert words("simulate --limits=o") == ["--limits=off"]
    assert words("relay --profile ") == ["2026q1", "current", "auto"]
    assert words("export tape --numbers f") == ["float"]
    assert words("completions z") == ["zsh"]


def test_a_stream_is_completed_in_two_steps() -> None:
    assert "btcusdt@" in words("watch btc")
    assert kinds("watch btc") == ["prefix"] * len(words("watch btc"))
    names = words("watch btcusdt@")
    assert {"btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@kline_1m"} < set(names)
    assert all(resolve(USDM, name) for name in names)
    assert all(resolve(COINM, name) for name in words("record btcusd_perp@"))
    assert "btcusdt_perpetual@continuousKline_1m" in words("watch btcusdt_perpetual@")


def test_streams_of_all_symbols_and_typed_case_are_completed() -> None:
    assert words("watch !miniT") == ["!miniTicker@arr"]
    assert words("watch btcusdt@AGG") == ["btcusdt@aggTrade"]
    assert words("simulate --symbols sol") == ["SOLUSDT"]


def test_the_last_part_of_a_list_is_completed() -> None:
    assert words("simulate --symbols BTCUSDT,XRP") == ["BTCUSDT,XRPUSDT"]
    assert words("export tape --tables trades,book_t") == ["trades,book_tickers"]
    assert "btcusdt@trade,ethusdt@" in words("verify tape --streams btcusdt@trade,ethusdt")


def test_scenarios_are_completed() -> None:
    assert words("simulate --scenario fl")[0] == "flash-crash"
    assert words("simulate --scenario flash-crash,tr")[0] == "flash-crash,trading-halt"
    assert words("scenarios mass")[0] == "mass-disconnect"


def test_limits_and_faults_are_completed() -> None:
    assert words("simulate --limit ") == [f"{row.name}=" for row in LIMIT_ROWS]
    assert words("replay tape --fault ") == [f"{row.name}=" for row in FAULT_ROWS]


def test_files_and_folders_are_left_to_the_shell_where_they_are_meant() -> None:
    assert kinds("simulate --config ") == ["files"]
    assert kinds("verify ") == ["files"]
    assert kinds("record btcusdt@trade --out ") == ["folders"]


def test_a_symbol_to_plot_is_one_of_the_recording(tmp_path: Path) -> None:
    lines = [line_of("oddusdt@trade", TRADE), line_of("btcusdt@trade", TRADE)]
    path = recording(tmp_path / "tape", lines)
    assert words(f"plot {path} ") == ["BTCUSDT", "ODDUSDT"]
    assert words(f"plot {path} odd") == ["ODDUSDT"]
    assert "ETHUSDT" in words(f"plot {tmp_path}/missing ETH"), "of the simulated market, then"
    assert kinds("plot ") == ["files"]
    assert kinds("plot tape BTCUSDT --out ") == ["files"]


def test_a_file_of_names_is_completed(tmp_path: Path) -> None:
    (tmp_path / "streams.txt").touch()
    (tmp_path / "stored").mkdir()
    (tmp_path / ".hidden").touch()
    found = words(f"watch @{tmp_path}/st")
    assert found == [f"@{tmp_path}/stored/", f"@{tmp_path}/streams.txt"]
    assert words(f"watch @{tmp_path}/no/such/") == []


def test_requests_are_completed() -> None:
    assert words("ask ticker.p") == ["ticker.price"]
    assert words("ask kl") == ["klines"]
    assert "/fapi/v1/klines" in words("ask /fapi/v1/k")
    assert words("ask klines inter") == ["interval="]
    assert words("ask klines symbol=solusdt") == ["symbol=SOLUSDT"]


@pytest.mark.parametrize(
    ("line", "word", "replaced"),
    [
        ("watch btcusdt@tr", "@tr", ["@trade"]),
        ("watch btcusdt@tr", "tr", ["trade"]),
        ("watch !mini", "!mini", ["\\!miniTicker@arr"]),
        ("watch '!mini", "!mini", ["!miniTicker@arr"]),
        ("simulate --limits=o", "o", ["off"]),
        ("simulate --symbols sol", "sol", ["SOLUSDT"]),
        ("simulate --symbols=sol", "sol", []),
    ],
)
def test_bash_is_given_what_replaces_its_part_of_the_word(
    line: str, word: str, replaced: list[str]
) -> None:
    assert words(line, "bash", word) == replaced


@pytest.mark.parametrize(
    "line", ["nonsense ", "watch --nonsense ", "simulate --fault x=", "ask x y="]
)
def test_what_cannot_be_completed_is_no_error(line: str) -> None:
    assert words(line) == words(line, "zsh")


@pytest.mark.slow("shells are run")
@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_accepted_by_its_shell(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(  # noqa: S603  # the shell itself
        [program, "-n"],
        input=SCRIPTS[shell],
        text=True,
        capture_output=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_can_be_done_with_a_running_server_is_completed() -> None:
    assert words("control st") == ["step", "stop"]
    assert words("control fault re") == ["refuse", "reset", "reorder"]
    assert words("control lever sh") == ["shock"]
    assert "flash-crash" in words("control scenario fl")
    assert words("control clock paused=") == ["paused=true", "paused=false"]
