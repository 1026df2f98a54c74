"""Numbers that somebody wrote: two parsers for all of them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from pathlib import Path

import pytest

import tickerplant
from tickerplant.config import kinds
from tickerplant.control.client import ControlClient
from tickerplant.errors import ConfigError
from tickerplant.hosted.arguments import simulation_fields, speed_of
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import parse_number, parse_whole

ONLY_OF_PYTHON = (
    *("１", "1_000", "٣", "1_0.5", "0x10", "", " ", "1 0", "--1", "1e", "."),  # noqa: RUF001  # meant
    *("inf", "-inf", "nan", "infinity", "NaN", "1e400", "9" * 5_000, "1" * 41),
)
"""What no number of ours is, though Python takes some of it for one."""
PARSERS: tuple[Callable[[str], object], ...] = (
    parse_number,
    parse_whole,
    lambda text: kinds.DURATION.read(f"{text}s"),
    lambda text: kinds.SIZE.read(f"{text}MB"),
)
"""The parsers, and those that read a unit as well."""
READERS = (
    *("cli.py", "command_line", "config", "control", "faults/params.py", "faults/rule.py"),
    *("hosted/arguments.py", "scenarios", "stream_name.py", "units.py"),
)
"""Where texts of users are read: settings, requests, rules, scenarios and names of streams."""
CALLS = {
    "config/kinds.py: float(match[1])": "a size, matched by its expression",
    "config/kinds.py: int(text)": "one of a few texts",
    "faults/params.py: float(match[1])": "a rate, matched by its expression",
    "faults/params.py: int(number)": "what the parser returned",
    "faults/params.py: int(_within(1, (1 << 40) - 1, rate))": "a rate that was read",
    "faults/params.py: int(_within(least, most, _integer(given)))": "what the parser returned",
    "stream_name.py: int(speed[1])": "at most nine digits, matched by their expression",
    "stream_name.py: int(variant['levels'] or 0)": "at most nine digits, likewise",
    "units.py: float(given)": "the parser itself",
    "units.py: float(match[1])": "a duration, matched by its expression",
    "units.py: int(given)": "the parser itself",
}
"""Calls of Python's own parsers there, and why each is right."""


@pytest.mark.parametrize("text", ONLY_OF_PYTHON, ids=lambda text: ascii(text)[:12])
def test_what_only_python_takes_for_a_number_is_refused(text: str) -> None:
    for parse in PARSERS:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # ConfigError is one
            parse(text)
        assert len(str(caught.value)) < 1_000
        assert "4300" not in str(caught.value), "this is what Python says, and nobody else"


def test_nobody_else_reads_numbers_of_users_as_python_does() -> None:
    source = Path(tickerplant.__file__).parent
    found = {
        f"{path.relative_to(source)}: {ast.unparse(node)}"
        for reader in READERS
        for path in ((source / reader).rglob("*.py") if "." not in reader else [source / reader])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"int", "float", "Decimal"}
    }
    assert found == set(CALLS), "read it by `parse_number` or `parse_whole`, or say why not"


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), (" 2.5 ", 2.5), ("-0.5", -0.5), (".5", 0.5), ("1e3", 1_000)]
)
def test_usual_numbers_are_read(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("value", [True, None, [1], math.inf, math.nan, 10**400])
def test_values_that_are_no_numbers_are_refused(value: object) -> None:
    for read in (parse_number, parse_whole):
        with pytest.raises(ValueError, match="number"):
            read(value)


def test_a_number_that_is_not_finite_is_named_and_not_missing() -> None:
    with pytest.raises(ConfigError, match="invalid value inf for intensity"):
        simulation_fields(seed=None, symbols=(), start=None, intensity=math.inf)
    with pytest.raises(ConfigError, match="invalid value inf for speed"):
        speed_of(math.inf)
    with (
        ControlClient("http://127.0.0.1:9") as client,
        pytest.raises(ConfigError, match="invalid value nan for factor"),
    ):
        client.call("POST", "levers", fields={"market": "depth", "factor": math.nan})


def test_a_wrong_value_of_60_kb_is_cut() -> None:
    error = str(ConfigError("key", "x" * 60_000, "less"))
    assert len(error) < 300
    assert error.endswith("(60,002 characters) for key: expected less")
    assert len(str(ConfigError("y" * 60_000, None, "less"))) < 300
    assert len(str(ConfigError("key", [10**5_000] * 3, "less"))) < 300


def test_a_stream_name_with_thousands_of_digits_is_one_of_no_known_form() -> None:
    parts = parse_stream_name(f"btcusdt@depth@{'9' * 5_000}ms")
    assert parts.levels == 0
    assert parts.speed_ms is None
