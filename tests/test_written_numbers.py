"""Numbers that somebody wrote: one reader for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tickerplant.config import values
from tickerplant.config.resolve import read_file, resolve
from tickerplant.config.settings import SimulateSettings
from tickerplant.control.client import ControlClient
from tickerplant.control.clock import parse_clock_request, parse_speed
from tickerplant.errors import ConfigError
from tickerplant.faults.rule import parse_rule
from tickerplant.hosted.arguments import simulation_fields, speed_of
from tickerplant.scenarios.parse import parse_scenario
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import parse_number, parse_whole

ONLY_OF_PYTHON = (
    *("１", "1_000", "٣", "1_0.5", "0x10", "", " ", "1 0", "--1", "1e", "."),  # noqa: RUF001  # meant
    *("inf", "-inf", "nan", "infinity", "NaN", "1e400", "9" * 5_000, "1" * 41),
)
"""What no number of ours is, though Python takes some of it for one."""
READERS: tuple[Callable[[str], object], ...] = (
    parse_number,
    parse_whole,
    parse_speed,
    values.step_or_speed,
    values.size_bytes,
    values.duration_ms,
    lambda text: values.picture_size(f"{text}x1000"),
    lambda text: values.size_bytes(f"{text}MB"),
    lambda text: values.duration_ms(f"{text}s"),
    lambda text: values.assignments(f"max_streams={text}"),
    lambda text: values.time_spec(f"+{text}s"),
    lambda text: parse_clock_request({"speed": text}),
    lambda text: parse_clock_request({"step": text}),
    lambda text: parse_clock_request({"seek": f"+{text}s"}),
    lambda text: parse_rule({"kind": "drop", "share": text}),
    lambda text: parse_rule({"kind": "drop", "share": "1", "connections": text}),
    lambda text: parse_rule({"kind": "drop", "share": "1", "times": text}),
    lambda text: parse_rule({"kind": "bandwidth", "rate": f"{text}KB"}),
    lambda text: parse_rule({"kind": "latency", "time": f"{text}ms"}),
    lambda text: resolve("simulate", SimulateSettings, {"speed": text}, {}),
    lambda text: resolve("simulate", SimulateSettings, {}, {"TICKERPLANT_INTENSITY": text}),
    lambda text: resolve("simulate", SimulateSettings, {"usdm_port": text}, {}),
)


@pytest.mark.parametrize("text", ONLY_OF_PYTHON, ids=lambda text: ascii(text)[:12])
@pytest.mark.parametrize("read", READERS)
def test_what_only_python_takes_for_a_number_is_refused(
    read: Callable[[str], object], text: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # ConfigError is one
        read(text)
    assert len(str(caught.value)) < 1_000
    assert "4300" not in str(caught.value), "this is what Python says, and nobody else"


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


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_a_number_that_is_not_finite_is_named_and_not_missing(value: float) -> None:
    with pytest.raises(ConfigError, match=f"invalid value {value} for intensity"):
        simulation_fields(seed=None, symbols=(), start=None, intensity=value)
    with pytest.raises(ConfigError, match=f"invalid value {value} for speed"):
        speed_of(value)
    with (
        ControlClient("http://127.0.0.1:9") as client,
        pytest.raises(ConfigError, match=f"invalid value {value} for factor"),
    ):
        client.call("POST", "levers", fields={"market": "depth", "factor": value})


@pytest.mark.parametrize(
    "text",
    ["seed = " + "9" * 5_000, "seed = 0x" + "F" * 5_000, "[simulate]\nseed = -" + "9" * 5_000],
)
def test_a_number_of_thousands_of_digits_in_a_file_is_a_clear_error(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve("simulate", SimulateSettings, {}, {}, read_file(str(path)))
    assert len(str(caught.value)) < 1_000
    scenario = f'title = "a"\nduration = "1m"\n[[change]]\nat = "1s"\nmarket = "depth"\n{text}'
    with pytest.raises(ConfigError) as caught:
        parse_scenario(scenario, "the text")
    assert len(str(caught.value)) < 2_000


def test_a_wrong_value_of_60_kb_is_cut() -> None:
    error = str(ConfigError("key", "x" * 60_000, "less"))
    assert len(error) < 300
    assert error.endswith("(60,002 characters) for key: expected less")
    assert len(str(ConfigError("y" * 60_000, None, "less"))) < 300
    assert len(str(ConfigError("key", [10**5_000] * 3, "less"))) < 300


@pytest.mark.parametrize("name", ["btcusdt@depth", "btcusdt@kline_", "btcusdt@depth@"])
def test_a_stream_name_with_thousands_of_digits_is_one_of_no_known_form(name: str) -> None:
    parts = parse_stream_name(f"{name}{'9' * 5_000}ms")
    assert parts.levels == 0
    assert parts.speed_ms is None
