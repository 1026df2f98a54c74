from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.client.market import connect
from tickerplant.config.resolve import read_file, resolve, unknown_variables
from tickerplant.config.setting import GROUPS, settings_of
from tickerplant.config.settings import (
    COMMANDS,
    EdgeSettings,
    ExportSettings,
    RelaySettings,
    ReplaySettings,
    SimulateSettings,
)
from tickerplant.config.values import duration_ms, duration_setting, market_time_ms
from tickerplant.control.client import ControlClient
from tickerplant.errors import ConfigError
from tickerplant.replaying.plan import Plan
from tickerplant.units import NS_PER_MS


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_setting_has_a_help_sentence_and_derived_names() -> None:
    for kind in COMMANDS.values():
        for setting in settings_of(kind):
            assert setting.help_text.endswith("."), setting.option
            assert setting.environment == f"TICKERPLANT_{setting.key.upper()}"
            assert setting.environment_of("watch") == f"TICKERPLANT_WATCH_{setting.key.upper()}"
            assert setting.key == setting.option.replace("-", "_")


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "usdm_port = 1\ncoinm_port = 2\nspeed = 3\n"))
    environment = {"TICKERPLANT_COINM_PORT": "4", "TICKERPLANT_SPEED": "5"}
    settings = resolve("simulate", SimulateSettings, {"speed": "6"}, environment, file)
    assert (settings.usdm_port, settings.coinm_port, settings.speed) == (1, 4, 6.0)
    assert settings.host == ("127.0.0.1",)


def test_the_table_of_a_command_beats_the_top_of_the_file_and_applies_to_it_alone(
    tmp_path: Path,
) -> None:
    file = read_file(write(tmp_path / "a.toml", "speed = 2\nseed = 7\n[replay]\nspeed = 0\n"))
    assert resolve("replay", ReplaySettings, {}, {}, file).speed == 0.0
    simulated = resolve("simulate", SimulateSettings, {}, {}, file)
    assert (simulated.speed, simulated.seed) == (2.0, 7)


def test_values_of_every_type_are_read_from_toml(tmp_path: Path) -> None:
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
    assert [rule.text for rule in settings.fault_rules] == [
        "refuse=0.1",
        "stall=20s@5m",
        "reset=30s",
    ]


def test_faults_have_the_same_syntax_in_options_environment_and_file(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", 'fault = ["reset=30s", "close=1001@5m"]\n'))
    flags = {"fault_rules": ("reset=30s", "close=1001@5m")}
    environment = {"TICKERPLANT_FAULT": "reset=30s, close=1001@5m"}
    read = [
        resolve("replay", ReplaySettings, flags, {}).fault_rules,
        resolve("replay", ReplaySettings, {}, environment).fault_rules,
        resolve("replay", ReplaySettings, {}, {}, file).fault_rules,
    ]
    assert read[0] == read[1] == read[2] != ()
    assert resolve("replay", ReplaySettings, {}, {}).fault_rules == ()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("usdm_port", "x", "invalid value 'x' for --usdm-port: expected a whole number"),
        ("usdm_port", "65536", "expected a whole number <= 65535"),
        ("speed", "-1", "invalid value '-1' for --speed: expected a number >= 0"),
        ("speed", "fast", "expected a number"),
        ("speed", "inf", "invalid value 'inf' for --speed: expected a number <= 1000000"),
        ("seed", "-1", "expected a whole number >= 0"),
        ("intensity", "0", "expected a number > 0"),
        ("symbol_count", "0", "expected a whole number >= 1"),
        ("symbol_count", "abc", "invalid value 'abc' for --symbol-count: expected a whole number"),
        ("host", "\udcff", "invalid value '\\udcff' for --host: expected an address"),
        ("host", "a..b", "invalid value 'a..b' for --host: expected an address or a host name"),
        (
            "routing",
            "loose",
            "invalid value 'loose' for --routing: expected one of lenient, strict",
        ),
        ("log_format", "xml", "expected one of text, json"),
        (
            "limits",
            "perhaps",
            "invalid value 'perhaps' for --limits: expected one of exchange, off",
        ),
        ("start_ms", "soon", "invalid value 'soon' for --start: expected an ISO date"),
        ("start_ms", "1999-12-31", "between 2010 and 2100"),
        ("start_ms", "9" * 400, "between 2010 and 2100"),
        ("duration_ms", "9" * 400 + "d", "at most a century"),
        (
            "duration_ms",
            "1 week",
            "invalid value '1 week' for --duration: expected a duration such as",
        ),
        (
            "limit_numbers",
            "lifetime_ms",
            "invalid value 'lifetime_ms' for --limit: expected NAME=NUMBER",
        ),
        (
            "limit_numbers",
            ("a=1", "b=x"),
            "invalid value 'a=1,b=x' for --limit: expected NAME=NUMBER",
        ),
        (
            "fault_rules",
            ("refuse=0.1", "reset=soon"),
            "invalid value 'refuse=0.1,reset=soon' for --fault: expected KIND=VALUE, followed by",
        ),
        ("fault_rules", ("refuse=0.1", "reset=soon"), "invalid value 'soon' for mean: expected a"),
        ("fault_rules", ("rest=1s",), "invalid value 'rest' for kind: expected one of refuse, "),
        ("fault_rules", ("rest=1s",), "did you mean reset?"),
        ("fault_rules", ("reset=30",), "invalid value '30' for mean: expected a duration such as"),
        (
            "duration_ms",
            "10",
            "invalid value '10' for --duration: expected a duration such as",
        ),
        ("duration_ms", "1.5", "such as 90s, 15m, 2h or 1d, with its unit"),
        ("limits", "of", "expected one of exchange, off; did you mean off?"),
        ("profile", "2026q3", "one of 2026q1, current; did you mean 2026q"),
        ("fault_rules", ("reset",), "reset happens at once, when there is no connection yet"),
        ("fault_rules", ("",), "invalid value '' for --fault: expected KIND=VALUE"),
        ("fault_rules", ("reset=0s",), "of at least 1ms"),
        ("fault_rules", ("refuse=1.1",), "'1.1' for share: expected a share from 0 to 1"),
        ("fault_rules", ("refuse=nan",), "'nan' for share: expected a share from 0 to 1"),
        ("fault_rules", ("refuse=10%",), "'10%' for share: expected a share from 0 to 1"),
        ("fault_rules", ("close=1006@1m",), "'1006' for code: expected a close code (1000-1003,"),
        ("fault_rules", ("close=1m@1001",), "'1m' for code: expected a close code"),
        ("fault_rules", ("refuse=1 stream=a",), "refuse acts on handshakes and can be aimed at"),
        ("fault_seed", "-1", "invalid value '-1' for --fault-seed: expected a whole number >= 0"),
        ("symbols", ("",), "invalid value '' for --symbols: expected at least one name"),
        ("profile", "2019", "invalid value '2019' for --profile: expected one of 2026q1, "),
        ("workers", "-1", "invalid value '-1' for --workers: expected a whole number >= 0"),
        ("workers", "257", "invalid value '257' for --workers: expected a whole number <= 256"),
        (
            "bus",
            "http://x",
            "invalid value 'http://x' for --bus: expected the URL of a NATS server",
        ),
        (
            "bus",
            "nats://a,b",
            "for --bus: expected the URL of a NATS server such as nats://127.0.0",
        ),
        ("bus", "nats://a:99999", "for --bus: expected the URL of a NATS server"),
        ("bus", "nats://a/x", "for --bus: expected the URL of a NATS server"),
        ("bus", "nats://", "for --bus: expected the URL of a NATS server"),
        ("bus", "nats://me:pw@a", "'nats://…@a' for --bus: expected the URL of a NATS server"),
        ("bus", "nats://me:pw@a", "without a user: --bus-user and --bus-password name it"),
        ("bus", ",", "for --bus: expected the URL of a NATS server"),
        (
            "plant",
            "my plant",
            "invalid value 'my plant' for --plant: expected a name of at most 64",
        ),
        ("plant", "a.b", "invalid value 'a.b' for --plant: expected a name of at most 64 letters"),
        (
            "bus_prefix",
            "a..b",
            "'a..b' for --bus-prefix: expected words of letters, digits, - and _",
        ),
        ("bus_prefix", "a.>", "for --bus-prefix: expected words of letters"),
        ("bus_grace_ms", "10ms", "'10ms' for --bus-grace: expected a duration such as 90s, 15m"),
    ],
)
def test_an_invalid_value_is_reported_with_its_option_and_what_was_expected(
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
def test_an_invalid_value_is_reported_with_its_origin(key: str, value: str, tmp_path: Path) -> None:
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
        assert str(error.value).startswith(f"invalid value '{value}' for {origin}: expected ")


@pytest.mark.parametrize("value", ["5", "true", "[]", "{}"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [("host", "an address or a host name"), ("profile", "one of 2026q1, ")],
)
def test_a_value_of_the_wrong_type_in_the_file_is_rejected(
    key: str, expected: str, value: str, tmp_path: Path
) -> None:
    file = read_file(write(tmp_path / "a.toml", f"{key} = {value}\n"))
    with pytest.raises(ConfigError, match=f"for {key} in the file: expected {expected}"):
        resolve("simulate", SimulateSettings, {}, {}, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sped = 1", "invalid value 'sped' for a key in /"),
        ("[replay]\nseed = 1", r"[replay] of "),
        ("[explain]\nspeed = 1", r"[explain] of "),
        ("[relay]\nspeed = 1", r"[relay] of "),
        (
            "[relais]\nlinger = 1",
            ": expected the table of a command: [simulate]",
        ),
        ("[relais]\nlinger = 1", "; did you mean [relay] or [replay]?"),
        ("[other]\nlinger = 1", "[verify]"),
        ("[relay]\nlinge = 1", "; did you mean linger?"),
        ("[relay]\nlevel = 1", "invalid value 'level' for a key in [relay] of /"),
        ("sped = 1", "; did you mean speed?"),
        ("speed = ", "expected a TOML file"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_file(write(tmp_path / "a.toml", text))
    assert message in str(error.value)


def test_a_missing_file_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"invalid value 'none\.toml' for --config"):
        read_file("none.toml")


def test_a_variable_of_a_command_beats_that_of_all_commands() -> None:
    environment = {"TICKERPLANT_SPEED": "2", "TICKERPLANT_REPLAY_SPEED": "5"}
    assert resolve("replay", ReplaySettings, {}, environment).speed == 5
    assert resolve("simulate", SimulateSettings, {}, environment).speed == 2
    assert resolve("replay", ReplaySettings, {"speed": "7"}, environment).speed == 7


def test_each_environment_variable_belongs_to_one_setting() -> None:
    """`TICKERPLANT_RECORD_STREAMS` must not be `--streams` of `record` too, for example."""
    meanings: dict[str, set[str]] = {}
    for command, kind in COMMANDS.items():
        for each in settings_of(kind):
            for name in (each.environment, each.environment_of(command)):
                meanings.setdefault(name, set()).add(each.option)
    assert not {name: found for name, found in meanings.items() if len(found) > 1}


@pytest.mark.parametrize("zero", ["0", "0.0", 0])
def test_a_duration_of_zero_needs_no_unit(zero: object) -> None:
    assert duration_ms(zero) == 0


def test_a_duration_without_a_unit_is_rejected_from_every_origin(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "linger = 90\n"))
    for flags, environment, content in (
        ({"linger_ms": "90"}, {}, None),
        ({}, {"TICKERPLANT_LINGER": "90"}, None),
        ({}, {}, file),
    ):
        with pytest.raises(ConfigError, match="such as 90s, 15m, 2h or 1d, with its unit"):
            resolve("relay", RelaySettings, flags, environment, content)


def test_an_unknown_environment_variable_is_reported_with_a_suggestion() -> None:
    known = {each.environment: "1" for kind in COMMANDS.values() for each in settings_of(kind)}
    files = {"TICKERPLANT_CONFIG": "", "TICKERPLANT_USDM_URL": "", "TICKERPLANT_COINM_URL": ""}
    assert list(unknown_variables({**known, **files, "PATH": "", "TICKER": ""})) == []
    assert list(unknown_variables({"TICKERPLANT_SPED": "3", "TICKERPLANT_ZZZZZZZZZZ": ""})) == [
        "TICKERPLANT_SPED in the environment is not a setting; did you mean TICKERPLANT_SPEED?",
        "TICKERPLANT_ZZZZZZZZZZ in the environment is not a setting",
    ]


@given(st.integers(min_value=0, max_value=10**4), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit]
    assert duration_ms(f"{number}{unit}") == round(number * seconds * 1_000)


@pytest.mark.parametrize(
    "text",
    ["2026-01-01", "2026-01-01T00:00", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"],
)
def test_a_time_without_a_zone_is_utc(text: str) -> None:
    assert market_time_ms(text) == 1_767_225_600_000
    assert market_time_ms("1767225600000") == market_time_ms(text)


@given(st.integers(0, 10**12))
def test_a_duration_is_written_in_the_syntax_it_is_parsed_from(milliseconds: int) -> None:
    assert duration_ms(duration_setting(milliseconds)) == milliseconds


def test_a_default_is_shown_as_a_user_would_type_it() -> None:
    shown = {each.option: each.shown_default for each in settings_of(RelaySettings)}
    assert (shown["linger"], shown["grace"]) == ("1m", "5s")
    assert shown["usdm-url"] == ""


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_rejected_as_time_and_duration(text: str) -> None:
    for parse in (market_time_ms, duration_ms):
        try:
            refusal = "such as" if parse(text) >= 0 else ""
        except ValueError as error:
            refusal = str(error)
        assert "such as" in refusal, "the refusal does not say what was expected"


def test_urls_of_a_bus_get_their_port_and_are_named_once() -> None:
    given = "nats://a, tls://b:5222,nats://a:4222,nats://[::1]"
    read = resolve("edge", EdgeSettings, {"bus": given}, {})
    assert read.bus == ("nats://a:4222", "tls://b:5222", "nats://[::1]:4222")
    assert resolve("edge", EdgeSettings, {}, {}, {"bus": ["nats://a", "nats://b"]}).bus == (
        "nats://a:4222",
        "nats://b:4222",
    )


def test_a_replay_warms_up_as_long_by_default_as_its_plan() -> None:
    assert ReplaySettings().warm_up_ms * NS_PER_MS == Plan().warm_up_ns


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        ("10.0.0.7", ("10.0.0.7",)),
        ("10.0.0.0/8, fd00::/8", ("10.0.0.0/8", "fd00::/8")),
        (["10.0.0.7", "::1,10.0.0.7"], ("10.0.0.7", "::1")),
    ],
)
def test_trusted_proxies_are_addresses_and_networks(
    given: object, networks: tuple[str, ...]
) -> None:
    read = resolve("edge", EdgeSettings, {}, {}, {"trusted_proxy": given})
    assert read.trusted_proxy == networks


@pytest.mark.parametrize("given", ["::1, localhost", ["::1", "localhost,::1"]])
def test_hosts_are_one_or_several(given: object) -> None:
    assert resolve("edge", EdgeSettings, {}, {}, {"host": given}).host == ("::1", "localhost")


@pytest.mark.parametrize("wrong", ["", "http://a", "a:443", "a/b", "*.example", 7])
def test_a_public_name_is_that_of_a_host(wrong: object) -> None:
    names = {"public_name": ["Market.example,10.0.0.7", "::1"]}
    read = resolve("edge", EdgeSettings, {}, {}, names)
    assert read.public_name == ("Market.example", "10.0.0.7", "::1")
    with pytest.raises(ConfigError, match="--public-name"):
        resolve("edge", EdgeSettings, {"public_name": wrong}, {})


@pytest.mark.parametrize(
    "wrong", ["", ",", "balancer", "10.0.0.7/24", "10.0.0.0/33", "*", 7, "a,::"]
)
def test_what_is_no_network_is_not_trusted(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"an address or a network such as 10\.0\.0\.7"):
        resolve("relay", RelaySettings, {}, {}, {"trusted_proxy": wrong})


def test_a_secret_of_digits_needs_no_quotes() -> None:
    read = resolve("simulate", SimulateSettings, {}, {}, {"bus_password": 1234, "control_token": 5})
    assert (read.bus_password, read.control_token) == ("1234", "5")


@pytest.mark.parametrize("option", ["bus-user", "bus-password", "bus-token", "control-token"])
@pytest.mark.parametrize("wrong", ["", "kept\n", "kept\x00", "\tkept", ["kept"], True, {"kept": 1}])
def test_a_secret_that_is_empty_or_cannot_be_sent_is_refused_and_not_quoted(
    option: str, wrong: object
) -> None:
    key = option.replace("-", "_")
    places: list[tuple[dict[str, Any], dict[str, str], dict[str, Any]]] = [({}, {}, {key: wrong})]
    if isinstance(wrong, str):
        places += [({key: wrong}, {}, {}), ({}, {f"TICKERPLANT_{key.upper()}": wrong}, {})]
    for flags, environment, file in places:
        with pytest.raises(ConfigError, match="leave the setting out to have none") as refused:
            resolve("simulate", SimulateSettings, flags, environment, file)
        assert "kept" not in str(refused.value)


@pytest.mark.parametrize("wrong", [" a", "a ", "é", "a\x7f", "\u2003", "x" * 1_025])
def test_a_token_that_no_header_can_carry_is_refused(wrong: str) -> None:
    for command in ("simulate", "test-server", "control"):
        with pytest.raises(ConfigError, match=r"1 to 1,024 printable ASCII characters") as refused:
            resolve(command, COMMANDS[command], {}, {"TICKERPLANT_CONTROL_TOKEN": wrong})
        assert repr(wrong) not in str(refused.value)
    with pytest.raises(ConfigError, match=r"1 to 1,024 printable ASCII characters"):
        ControlClient("127.0.0.1:1", wrong)
    with pytest.raises(ConfigError, match="value '…' for api_key"):
        connect("usdm", api_key=wrong)


@pytest.mark.parametrize("fine", ["a", "correct horse", "~" * 1_024, "a=b,c"])
def test_a_token_that_a_header_can_carry_is_taken_as_it_is(fine: str) -> None:
    environment = {"TICKERPLANT_CONTROL_TOKEN": fine}
    assert resolve("relay", RelaySettings, {}, environment).control_token == fine


def test_a_metavar_says_what_is_wanted() -> None:
    metavars = {
        each.option: each.metavar for kind in COMMANDS.values() for each in settings_of(kind)
    }
    assert metavars["warm-up"] == metavars["duration"] == "DURATION"
    assert metavars["wait-for"] == metavars["seed"] == metavars["symbol-count"] == "N"
    assert metavars["speed"] == metavars["intensity"] == "NUMBER"
    assert metavars["from"] == metavars["to"] == metavars["start"] == "TIME"
    assert metavars["pace"] == "receive|event"
    assert metavars["usdm-port"] == "PORT"
    assert metavars["limit"] == "NAME=NUMBER"
    assert metavars["streams"] == "STREAM,…"
    assert (metavars["bus"], metavars["plant"]) == ("URL,…", "NAME")


def test_every_setting_is_in_one_group_of_the_help() -> None:
    options = [option for group in GROUPS.values() for option in group]
    assert len(options) == len(set(options))
    for kind in COMMANDS.values():
        assert {each.option for each in settings_of(kind)} <= set(options)


def test_names_come_from_options_files_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "symbols.txt", "# majors\nBTCUSDT\n\nETHUSDT,XRPUSDT # two\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"SOLUSDT\nBTCUSDT\n")))
    settings = resolve("simulate", SimulateSettings, {"symbols": (f"BNBUSDT,@{path}", "-")}, {})
    assert settings.symbols == ("BNBUSDT", "BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT")
    file = read_file(write(tmp_path / "a.toml", f'symbols = ["@{path}"]\n'))
    assert len(resolve("export", ExportSettings, {}, {}, file).symbols) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\xff", "not UTF-8"), (b"# nothing\n", "at least one name")],
)
def test_a_file_of_names_that_cannot_be_used_is_reported(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "names"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"'@.*names' for --symbols: expected .*{reason}"):
        resolve("simulate", SimulateSettings, {"symbols": (f"@{path}",)}, {})


def test_a_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ConfigError, match="standard input is closed"):
        resolve("simulate", SimulateSettings, {"symbols": "-"}, {})


@pytest.mark.parametrize("name", ["", "  ", "a\0b"])
def test_an_empty_or_unprintable_folder_path_is_rejected(name: str) -> None:
    with pytest.raises(ConfigError, match=r"for --record: expected a folder path"):
        resolve("simulate", SimulateSettings, {"record": name}, {})
