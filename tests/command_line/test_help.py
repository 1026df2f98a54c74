from __future__ import annotations

import json
import re
import shlex
from typing import Any

import click
import pytest

from tickerplant.cli import SECTIONS, commands, main
from tickerplant.command_line.examples import EXAMPLES
from tickerplant.command_line.versions import versions
from tickerplant.config.resolve import resolve
from tickerplant.config.setting import GROUPS, settings_of
from tickerplant.config.settings import COMMANDS

LINES = [line for examples in EXAMPLES.values() for _, line in examples]


def printed(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out, output.err


def given(line: str) -> tuple[str, dict[str, Any]]:
    """Return the command of a command line, and the values of its parameters."""
    (own,) = re.findall(r"tickerplant [^|)]+", line)
    name, *arguments = shlex.split(own)[1:]
    program = commands.make_context("tickerplant", [], resilient_parsing=True)
    with commands.commands[name].make_context(name, arguments, parent=program) as context:
        return name, context.params


@pytest.mark.parametrize("line", LINES)
def test_every_example_is_a_valid_command_line(line: str) -> None:
    name, values = given(line)
    if name in COMMANDS:
        known = {each.field for each in settings_of(COMMANDS[name])}
        flags = {field: value for field, value in values.items() if field in known and value}
        resolve(name, COMMANDS[name], flags, {})


def test_every_command_has_examples_and_a_section() -> None:
    assert set(EXAMPLES) == {"", *commands.commands}
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(
        commands.commands
    )


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_shows_options_in_groups_and_the_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = printed(command, "-h", capsys=capsys)
    assert status == 0, err
    expected = [
        group for group, names in GROUPS.items() if re.search(rf"--({'|'.join(names)})\b", out)
    ]
    assert [
        each for each in re.findall(r"^(\w[\w ]+):$", out, re.MULTILINE) if each in GROUPS
    ] == expected
    assert "--no-" not in out
    for purpose, line in EXAMPLES[command]:
        assert f"  # {purpose}\n  {line}\n" in out


@pytest.mark.parametrize(("flag", "level"), [("-q", "warning"), ("--verbose", "debug")])
def test_quiet_and_verbose_are_levels_of_the_log(
    flag: str, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("simulate", flag, "--log-level", level)
    status, _, err = printed(*arguments, capsys=capsys)
    assert status == 2
    assert "--quiet, --verbose and --log-level exclude each other" in err


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_has_a_short_option(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = printed(flag, capsys=capsys)
    assert out == f"tickerplant {versions().version}\n"
    assert printed("version", capsys=capsys) == (0, out, "")


def test_reports_are_json_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("streams",), ("queries",), ("version",), ("explain", "btcusdt@trade")):
        status, out, err = printed(*arguments, "--json", capsys=capsys)
        assert (status, err) == (0, "")
        assert json.loads(out)
    _, out, _ = printed("streams", "--json", capsys=capsys)
    rows = json.loads(out)
    known = {"stream", "parts", "speeds", "route", "events", "carries", "conflation"}
    assert known == set(rows[0])
    assert "<symbol>@trade" in {row["stream"] for row in rows}
    _, out, _ = printed("queries", "--json", capsys=capsys)
    assert "/fapi/v1/klines" in {row["rest_path"] for row in json.loads(out)}


def test_names_on_standard_input_are_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    path = tmp_path / "streams.txt"
    path.write_text("btcusdt@trade\nethusdt@trade\n")
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        status, out, _ = printed("explain", "-", f"@{path}", "--json", capsys=capsys)
    assert status == 0
    assert {each["stream"] for each in json.loads(out)["streams"]} == {
        "btcusdt@trade",
        "ethusdt@trade",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("watch",), "STREAM is missing: expected a stream such as btcusdt@trade, @FILE"),
        (("completions",), "SHELL is missing: expected one of bash, zsh, fish"),
        (("simulate", "--symbols", "NONE"), "invalid value 'NONE' for --symbols: expected some"),
        (("simulate", "-q", "-v"), "--quiet, --verbose and --log-level exclude each other"),
        (("ask",), "METHOD is missing: expected a method such as ticker.price"),
        (("record", "x", "--out"), "--out is missing its value"),
        (("watch", "x", "--seconds", "5"), "--seconds is now --duration DURATION"),
        (("export", "x", "--to-time", "1"), "--to-time is now --to TIME"),
        (("export", "x", "--to", "csv"), "; the format is now --format csv"),
        (
            ("completions", "tcsh"),
            "invalid value 'tcsh' for SHELL: expected one of bash, zsh, fish",
        ),
        (
            ("simulate", "--limts", "off"),
            "no such option '--limts'; did you mean --limits",
        ),
    ],
)
def test_a_usage_error_names_what_was_expected(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = printed(*arguments, capsys=capsys)
    assert (status, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


def test_a_command_can_be_described_without_its_settings() -> None:
    assert isinstance(commands.commands["simulate"].get_short_help_str(), str)
    assert isinstance(commands, click.Group)
