from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.config.resolve import read_file, resolve, unknown_variables
from tickerplant.config.setting import settings_of
from tickerplant.config.settings import (
    COMMANDS,
    ExportSettings,
    RelaySettings,
    ReplaySettings,
    SimulateSettings,
)
from tickerplant.config.values import duration_ms, duration_text, instant_ms
from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.server.faults import Fault


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_setting_has_help_that_is_one_sentence_and_names_that_derive_from_it() -> None:
    for kind in COMMANDS.values():
        for setting in settings_of(kind):
            assert setting.help_text.endswith("."), setting.option
            own = f"{setting.owner}-" if setting.owner else ""
            name = f"tickerplant-{own}{setting.option}".replace("-", "_").upper()
            assert setting.environment == name
            assert setting.key == setting.option.replace("-", "_")


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "usdm_port = 1\ncoinm_port = 2\nspeed = 3\n"))
    environment = {"TICKERPLANT_COINM_PORT": "4", "TICKERPLANT_SPEED": "5"}
    settings = resolve("simulate", SimulateSettings, {"speed": "6"}, environment, file)
    assert (settings.usdm_port, settings.coinm_port, settings.speed) == (1, 4, 6.0)
    assert settings.host == "127.0.0.1"


def test_a_table_of_the_command_beats_the_top_of_the_file_and_is_for_it_alone(
    tmp_path: Path,
) -> None:
    file = read_file(write(tmp_path / "a.toml", "speed = 2\nseed = 7\n[replay]\nspeed = 0\n"))
    assert resolve("replay", ReplaySettings, {}, {}, file).speed == 0.0
    simulated = resolve("simulate", SimulateSettings, {}, {}, file)
    assert (simulated.speed, simulated.seed) == (2.0, 7)


def test_values_of_every_kind_are_read_from_toml(tmp_path: Path) -> None:
    text = (
        'start = "2026-01-31"\nduration = "90s"\nsymbols = ["BTCUSDT", "ETHUSDT"]\n'
        'limits = "off"\n'
        "intensity = 0.5\n[limit]\nlifetime_ms = 5\n"
        '[fault]\nrefuse = 0.1\nstall = "20s@5m"\nreset = "30s"\n'
    )
    settings = resolve(
        "simulate", SimulateSettings, {}, {}, read_file(write(tmp_path / "a.toml", text))
    )
    assert settings.start_ms == 1_769_817_600_000
    assert settings.duration_ms == 90_000
    assert settings.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.limits == "off"
    assert settings.limit_numbers == {"lifetime_ms": 5}
    assert settings.fault_values == {
        "refuse": Fault(text="0.1", share=0.1),
        "stall": Fault(text="20s@5m", time_ms=20_000, mean_ms=300_000),
        "reset": Fault(text="30s", mean_ms=30_000),
    }


def test_faults_are_read_alike_from_options_the_environment_and_the_file(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", 'fault = ["reset=30s", "close=1001@5m"]\n'))
    flags = {"fault_values": ("reset=30s", "close=1001@5m")}
    environment = {"TICKERPLANT_FAULT": "reset=30s, close=1001@5m"}
    read = [
        resolve("replay", ReplaySettings, flags, {}).fault_values,
        resolve("replay", ReplaySettings, {}, environment).fault_values,
        resolve("replay", ReplaySettings, {}, {}, file).fault_values,
    ]
    assert read[0] == read[1] == read[2] != {}
    assert resolve("replay", ReplaySettings, {}, {}).fault_values == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("usdm_port", "x", "--usdm-port: 'x' is not usable, expected a whole number"),
        ("usdm_port", "65536", "expected a whole number <= 65535"),
        ("speed", "-1", "--speed: '-1' is not usable, expected a number >= 0"),
        ("speed", "fast", "expected a number"),
        ("speed", "inf", "--speed: 'inf' is not usable, expected a number <= 1000000"),
        ("seed", "-1", "expected a whole number >= 0"),
        ("intensity", "0", "expected a number > 0"),
        ("symbol_count", "0", "expected a whole number >= 1"),
        ("symbol_count", "abc", "--symbol-count: 'abc' is not usable, expected a whole number"),
        ("host", "\udcff", "--host: '\\udcff' is not usable, expected an address"),
        ("host", "a..b", "--host: 'a..b' is not usable, expected an address or the name of a host"),
        ("routing", "loose", "--routing: 'loose' is not usable, expected one of lenient, strict"),
        ("log_format", "xml", "expected one of text, json"),
        ("limits", "perhaps", "--limits: 'perhaps' is not usable, expected one of exchange, off"),
        ("start_ms", "soon", "--start: 'soon' is not usable, expected an ISO date"),
        ("start_ms", "1999-12-31", "between 2010 and 2100"),
        ("start_ms", "9" * 400, "between 2010 and 2100"),
        ("duration_ms", "9" * 400 + "d", "at most a century"),
        (
            "duration_ms",
            "1 week",
            "--duration: '1 week' is not usable, expected a duration such as",
        ),
        (
            "limit_numbers",
            "lifetime_ms",
            "--limit: 'lifetime_ms' is not usable, expected NAME=NUMBER",
        ),
        ("limit_numbers", ("a=1", "b=x"), "--limit: 'a=1,b=x' is not usable, expected NAME=NUMBER"),
        (
            "fault_values",
            ("refuse=0.1", "reset=soon"),
            "--fault: 'refuse=0.1,reset=soon' is not usable, expected reset=MEAN, a mean time of",
        ),
        ("fault_values", ("rest=1s",), "'rest=1s' is not usable, expected NAME=VALUE, several"),
        ("fault_values", ("rest=1s",), "with NAME one of refuse, limit_handshakes, "),
        ("fault_values", ("rest=1s",), "not 'rest'; did you mean reset?"),
        (
            "fault_values",
            ("reset=30",),
            "expected reset=MEAN, a mean time of at least 1ms such as 30s",
        ),
        (
            "duration_ms",
            "10",
            "--duration: '10' is not usable, expected a number with a unit, such as",
        ),
        ("duration_ms", "1.5", "expected a number with a unit, such as 10s"),
        ("limits", "of", "expected one of exchange, off; did you mean off?"),
        ("profile", "2026q3", "one of 2026q1, 2026q2, current; did you mean 2026q"),
        ("fault_values", ("reset",), "'reset' is not usable, expected reset=MEAN"),
        ("fault_values", ("",), "--fault: '' is not usable, expected NAME=VALUE"),
        ("fault_values", ("reset=0s",), "a mean time of at least 1ms"),
        ("fault_values", ("refuse=1.1",), "expected refuse=SHARE, a share from 0 to 1"),
        ("fault_values", ("refuse=nan",), "expected refuse=SHARE, a share from 0 to 1"),
        ("fault_values", ("refuse=10%",), "expected refuse=SHARE, a share from 0 to 1"),
        ("fault_values", ("close=1006@1m",), "expected close=CODE@MEAN, a close code (1000-1003,"),
        (
            "fault_values",
            ("close=1m@1001",),
            "and a mean time of at least 1ms such as 30s, not '1m",
        ),
        ("fault_values", ("stall=5s",), "expected stall=TIME@MEAN, a time of at least 1ms"),
        ("fault_seed", "-1", "--fault-seed: '-1' is not usable, expected a whole number >= 0"),
        ("symbols", ("",), "--symbols: '' is not usable, expected at least one name"),
        ("profile", "2019", "--profile: '2019' is not usable, expected one of 2026q1, "),
    ],
)
def test_a_bad_value_says_which_where_and_what_was_expected(
    field: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("simulate", SimulateSettings, {field: value}, {})
    assert message in str(error.value)
    assert " | null" not in str(error.value), "a type of Python is no help"


@pytest.mark.parametrize(
    ("key", "value"),
    [("speed", "x"), ("routing", "nope"), ("profile", "nope"), ("host", "a..b")],
)
def test_a_bad_value_says_where_it_came_from(key: str, value: str, tmp_path: Path) -> None:
    in_table = read_file(write(tmp_path / "a.toml", f'[replay]\n{key} = "{value}"\n'))
    at_top = read_file(write(tmp_path / "b.toml", f'{key} = "{value}"\n'))
    in_environment = {f"TICKERPLANT_{key.upper()}": value}
    places: tuple[tuple[str, dict[str, object], dict[str, str], dict[str, object]], ...] = (
        (f"--{key}", {key: value}, in_environment, in_table),
        (f"TICKERPLANT_{key.upper()}", {}, in_environment, in_table),
        (f"{key} in [replay] of the file", {}, {}, in_table),
        (f"{key} in the file", {}, {}, at_top),
    )
    for origin, flags, environment, file in places:
        with pytest.raises(ConfigError) as error:
            resolve("replay", ReplaySettings, flags, environment, file)
        assert str(error.value).startswith(f"{origin}: '{value}' is not usable, expected ")


@pytest.mark.parametrize("value", ["5", "true", "[]", "{}"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [("host", "an address or the name of a host"), ("profile", "one of 2026q1, ")],
)
def test_what_is_no_text_in_the_file_is_refused_with_words(
    key: str, expected: str, value: str, tmp_path: Path
) -> None:
    file = read_file(write(tmp_path / "a.toml", f"{key} = {value}\n"))
    with pytest.raises(ConfigError, match=f"^{key} in the file: .* expected {expected}"):
        resolve("simulate", SimulateSettings, {}, {}, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sped = 1", "'sped' is not usable, expected a setting: "),
        ("[replay]\nseed = 1", r"[replay] in "),
        ("[explain]\nspeed = 1", r"[explain] in "),
        ("[relay]\nspeed = 1", r"[relay] in "),
        (
            "[relais]\nlinger = 1",
            "'[relais]' is not usable, expected a table of a command: [simulate]",
        ),
        ("[relais]\nlinger = 1", "; did you mean [relay]?"),
        ("[other]\nlinger = 1", "[verify]"),
        ("[relay]\nlinge = 1", "; did you mean linger?"),
        ("sped = 1", "; did you mean speed?"),
        ("speed = ", "expected a TOML file"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_file(write(tmp_path / "a.toml", text))
    assert message in str(error.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"--config: 'none\.toml' is not usable"):
        read_file("none.toml")


def test_what_means_different_things_to_commands_is_set_for_each_of_them(tmp_path: Path) -> None:
    """`--to` is a format of files to `export`, and a moment to `replay`."""
    environment = {"TICKERPLANT_TO": "csv", "TICKERPLANT_EXPORT_TO": "hftbacktest"}
    assert resolve("export", ExportSettings, {}, environment).to == "hftbacktest"
    assert resolve("replay", ReplaySettings, {}, environment).end is None
    file = read_file(write(tmp_path / "a.toml", '[export]\nto = "csv"\n[replay]\nto = "-5m"\n'))
    assert resolve("export", ExportSettings, {}, {}, file).to == "csv"
    assert resolve("replay", ReplaySettings, {}, {}, file).end == TimeSpec(300 * 10**9, "-")
    path = write(tmp_path / "b.toml", 'to = "csv"\n')
    with pytest.raises(ConfigError, match=r"'to' is not .* to be in \[replay\] or \[export\]"):
        read_file(path)


def test_no_two_settings_have_one_name() -> None:
    meanings: dict[str, set[tuple[str, str]]] = {}
    for command, kind in COMMANDS.items():
        for each in settings_of(kind):
            owner = command if each.owner else ""
            meanings.setdefault(each.environment, set()).add((owner, each.key))
    ambiguous = {name: found for name, found in meanings.items() if len(found) > 1}
    assert not ambiguous, "expected each name in the environment to stand for one setting"


@pytest.mark.parametrize("zero", ["0", "0.0", 0])
def test_nothing_is_as_long_in_every_unit(zero: object) -> None:
    assert duration_ms(zero) == 0


def test_a_duration_without_a_unit_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "linger = 90\n"))
    for flags, environment, content in (
        ({"linger_ms": "90"}, {}, None),
        ({}, {"TICKERPLANT_LINGER": "90"}, None),
        ({}, {}, file),
    ):
        with pytest.raises(ConfigError, match="expected a number with a unit, such as 10s"):
            resolve("relay", RelaySettings, flags, environment, content)


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_is_like_it() -> None:
    known = {each.environment: "1" for kind in COMMANDS.values() for each in settings_of(kind)}
    files = {"TICKERPLANT_CONFIG": "", "TICKERPLANT_USDM_URL": "", "TICKERPLANT_COINM_URL": ""}
    assert list(unknown_variables({**known, **files, "PATH": "", "TICKER": ""})) == []
    assert list(unknown_variables({"TICKERPLANT_SPED": "3", "TICKERPLANT_ZZZZZZZZZZ": ""})) == [
        "TICKERPLANT_SPED in the environment is no setting; did you mean TICKERPLANT_SPEED?",
        "TICKERPLANT_ZZZZZZZZZZ in the environment is no setting",
    ]


@given(st.integers(min_value=0, max_value=10**4), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit]
    assert duration_ms(f"{number}{unit}") == round(number * seconds * 1_000)


@pytest.mark.parametrize(
    "text",
    ["2026-01-01", "2026-01-01T00:00", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"],
)
def test_an_instant_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert instant_ms(text) == 1_767_225_600_000
    assert instant_ms("1767225600000") == instant_ms(text)


@given(st.integers(0, 10**12))
def test_a_duration_is_written_as_it_is_read(milliseconds: int) -> None:
    assert duration_ms(duration_text(milliseconds)) == milliseconds


def test_a_default_is_shown_as_it_would_be_typed() -> None:
    shown = {each.option: each.shown_default for each in settings_of(RelaySettings)}
    assert (shown["linger"], shown["grace"]) == ("1m", "5s")
    assert shown["usdm-url"] == ""


@given(st.text(max_size=20))
def test_any_text_is_an_instant_and_a_duration_or_is_refused_with_words(text: str) -> None:
    for parse in (instant_ms, duration_ms):
        try:
            refusal = "such as" if parse(text) >= 0 else ""
        except ValueError as error:
            refusal = str(error)
        assert "such as" in refusal, "the refusal does not say what was expected"


def test_a_placeholder_says_what_kind_of_value_an_option_takes() -> None:
    placeholders = {each.option: each.placeholder for each in settings_of(ReplaySettings)}
    assert placeholders["warm-up"] == "DURATION"
    assert placeholders["wait-for"] == "NUMBER"
    assert placeholders["from"] == placeholders["to"] == "TIME"
    assert placeholders["pace"] == "receive|event"
    assert placeholders["usdm-port"] == "PORT"


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_a_folder_has_a_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--record: .* expected the name of a folder"):
        resolve("simulate", SimulateSettings, {"record": name}, {})
