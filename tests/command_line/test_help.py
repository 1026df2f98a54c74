from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest

from tickerplant.cli import LOOK_UP, PROGRAM, READ, RECORDINGS, SERVE, commands, main
from tickerplant.command_line.command import Command
from tickerplant.command_line.versions import versions
from tickerplant.config.resolve import resolve
from tickerplant.config.setting import Group, settings_of
from tickerplant.config.settings import COMMANDS

ALL = {name: each for name, each in commands.commands.items() if isinstance(each, Command)}


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


@pytest.mark.heavy
def test_every_example_is_a_valid_command_line() -> None:
    for _, line in (example for each in ALL.values() for example in each.examples):
        name, values = given(line)
        if name in COMMANDS:
            known = {each.field for each in settings_of(COMMANDS[name])}
            flags = {field: value for field, value in values.items() if field in known and value}
            resolve(name, COMMANDS[name], flags, {})


@pytest.mark.parametrize(
    ("flags", "expected"), [("", None), ("--paused", True), ("--paused --no-paused", False)]
)
def test_a_flag_can_be_turned_off_again(flags: str, expected: bool | None) -> None:
    assert given(f"tickerplant simulate {flags}")[1]["paused"] is expected


def test_every_command_has_examples_settings_and_a_section(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = printed("--help", capsys=capsys)
    assert set(ALL) == set(commands.commands) == {*COMMANDS, "completions"}
    for name, each in ALL.items():
        assert each.examples
        assert each.section in {SERVE, READ, RECORDINGS, LOOK_UP, PROGRAM}
        assert out.count(f"\n  {name} ") == 1


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_shows_each_option_once_in_its_group_and_the_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = printed(command, "-h", capsys=capsys)
    assert status == 0, err
    sections = re.split(r"^(\w[\w ]+):$", out, flags=re.MULTILINE)
    shown = dict(zip(sections[1::2], sections[2::2], strict=True))
    for setting in settings_of(COMMANDS[command]):
        assert re.findall(rf"^  (?:-\w, )?--{setting.option}\b(?!-)", out, re.MULTILINE)
        assert f"--{setting.option}" in shown[setting.group]
    groups = [each for each in shown if each in [*Group]]
    assert groups == [each for each in Group if each in groups], "in their order"
    assert "--no-" not in out
    assert max(map(len, out.splitlines())) <= 100
    for purpose, line in ALL[command].examples:
        assert f"  # {purpose}\n  {line}\n" in out


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
