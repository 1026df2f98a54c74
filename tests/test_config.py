"""The settings; `goldens/commands/usage.txt` has what each says of a wrong value, and from where it is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.client.market import connect
from tickerplant.config import kinds
from tickerplant.config.resolve import read_file, resolve, unknown_variables
from tickerplant.config.setting import settings_of
from tickerplant.config.settings import (
    COMMANDS,
    EdgeSettings,
    ExportSettings,
    RelaySettings,
    ReplaySettings,
    SimulateSettings,
)
from tickerplant.control.client import ControlClient
from tickerplant.errors import ConfigError
from tickerplant.replaying.plan import Plan
from tickerplant.units import NS_PER_MS

EVERY = [(command, each) for command, kind in COMMANDS.items() for each in settings_of(kind)]


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_setting_has_a_sentence_derived_names_and_a_default_that_it_reads() -> None:
    for _, setting in EVERY:
        assert setting.help_text.endswith("."), setting.option
        assert setting.environment == f"TICKERPLANT_{setting.key.upper()}"
        assert setting.environment_of("watch") == f"TICKERPLANT_WATCH_{setting.key.upper()}"
        assert setting.key == setting.option.replace("-", "_")
        if shown := setting.shown_default:
            assert setting.read(shown, "it") == setting.default


def test_a_setting_has_the_same_value_form_in_every_command() -> None:
    """But for a clock that may stand still, and a profile that may be found out."""
    forms: dict[str, set[str]] = {}
    for _, setting in EVERY:
        forms.setdefault(setting.option, set()).add(setting.kind.metavar)
    several = {option for option, metavars in forms.items() if len(metavars) > 1}
    assert several == {"speed", "profile", "out", "log-level"}


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "usdm_port = 1\ncoinm_port = 2\nspeed = 3\n"))
    environment = {"TICKERPLANT_COINM_PORT": "4", "TICKERPLANT_SPEED": "5"}
    settings = resolve("simulate", SimulateSettings, {"speed": "6"}, environment, file)
    assert (settings.usdm_port, settings.coinm_port, settings.speed) == (1, 4, 6.0)
    assert settings.host == ("127.0.0.1",)


def test_what_is_of_a_command_beats_what_is_of_all_and_applies_to_it_alone(tmp_path: Path) -> None:
    file = read_file(write(tmp_path / "a.toml", "speed = 2\nseed = 7\n[replay]\nspeed = 0\n"))
    assert resolve("replay", ReplaySettings, {}, {}, file).speed == 0.0
    simulated = resolve("simulate", SimulateSettings, {}, {}, file)
    assert (simulated.speed, simulated.seed) == (2.0, 7)
    environment = {"TICKERPLANT_SPEED": "2", "TICKERPLANT_REPLAY_SPEED": "5"}
    assert resolve("replay", ReplaySettings, {}, environment).speed == 5
    assert resolve("simulate", SimulateSettings, {}, environment).speed == 2
    assert resolve("replay", ReplaySettings, {"speed": "7"}, environment).speed == 7


def test_the_table_of_a_command_is_no_value_of_a_setting_of_the_same_name(tmp_path: Path) -> None:
    tables = "".join(f"[{command}]\n" for command in COMMANDS)
    file = read_file(write(tmp_path / "a.toml", tables))
    for command, kind in COMMANDS.items():
        assert resolve(command, kind, {}, {}, file) == kind()


def test_values_of_every_type_are_read_from_toml(tmp_path: Path) -> None:
    text = (
        'start = "2026-01-31"\nduration = "90s"\nsymbols = ["BTCUSDT", "ETHUSDT"]\n'
        'limits = "off"\npaused = true\n'
        "intensity = 0.5\n[limit]\nlifetime_ms = 5\n"
        '[fault]\nrefuse = 0.1\nstall = "20s@5m"\nreset = "30s"\n'
    )
    settings = resolve(
        "simulate", SimulateSettings, {}, {}, read_file(write(tmp_path / "a.toml", text))
    )
    assert settings.start_ms == 1_769_817_600_000
    assert settings.duration_ms == 90_000
    assert settings.symbols == ("BTCUSDT", "ETHUSDT")
    assert (settings.limits, settings.paused, settings.intensity) == ("off", True, 0.5)
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


@given(
    st.sampled_from(EVERY),
    st.one_of(
        st.text(max_size=12),
        st.integers(),
        st.booleans(),
        st.floats(),
        st.lists(st.text(max_size=3), max_size=2),
        st.just({"a": "b"}),
    ),
)
def test_any_value_is_read_or_refused_in_one_line(place: tuple[str, Any], value: object) -> None:
    _, setting = place
    if isinstance(value, str) and value.strip().startswith(("@", "-")):
        return  # a file, or standard input
    said = "expected "
    try:
        setting.read(value, "it")
    except ConfigError as error:
        said = str(error)
    assert said.isprintable()
    assert "expected " in said


def test_each_environment_variable_belongs_to_one_setting() -> None:
    """`TICKERPLANT_RECORD_STREAMS` must not be `--streams` of `record` too, for example."""
    meanings: dict[str, set[str]] = {}
    for command, each in EVERY:
        for name in (each.environment, each.environment_of(command)):
            meanings.setdefault(name, set()).add(each.option)
    assert not {name: found for name, found in meanings.items() if len(found) > 1}


def test_an_unknown_environment_variable_is_reported_and_others_are_none_of_ours() -> None:
    known = {each.environment: "1" for _, each in EVERY}
    files = {"TICKERPLANT_CONFIG": "", "TICKERPLANT_USDM_URL": "", "TICKERPLANT_COINM_URL": ""}
    assert list(unknown_variables({**known, **files, "PATH": "", "TICKER": ""})) == []
    assert len(list(unknown_variables({"TICKERPLANT_SPED": "3"}))) == 1


@given(st.integers(min_value=0, max_value=10**4), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit]
    assert kinds.DURATION.read(f"{number}{unit}") == round(number * seconds * 1_000)


@pytest.mark.parametrize("zero", ["0", "0.0", 0])
def test_a_duration_of_zero_needs_no_unit(zero: object) -> None:
    assert kinds.DURATION.read(zero) == 0
    with pytest.raises(ValueError, match="of at least 1s"):
        kinds.PERIOD.read(zero)
    assert kinds.duration("1s", has_off=True).read("off") == 0


@given(st.integers(0, 10**12))
def test_a_duration_is_written_in_the_syntax_it_is_read_from(milliseconds: int) -> None:
    assert kinds.DURATION.read(kinds.DURATION.write(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["2026-01-01", "2026-01-01T00:00", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"],
)
def test_a_time_without_a_zone_is_utc(text: str) -> None:
    assert kinds.MARKET_TIME.read(text) == 1_767_225_600_000
    assert kinds.MARKET_TIME.read("1767225600000") == kinds.MARKET_TIME.read(text)


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
    ("key", "given", "expected"),
    [
        ("trusted_proxy", "10.0.0.7", ("10.0.0.7",)),
        ("trusted_proxy", "10.0.0.0/8, fd00::/8", ("10.0.0.0/8", "fd00::/8")),
        ("trusted_proxy", ["10.0.0.7", "::1,10.0.0.7"], ("10.0.0.7", "::1")),
        ("host", "::1, localhost", ("::1", "localhost")),
        ("host", ["::1", "localhost,::1"], ("::1", "localhost")),
        ("public_name", ["Market.example,10.0.0.7", "::1"], ("Market.example", "10.0.0.7", "::1")),
    ],
)
def test_lists_are_texts_with_commas_and_each_counts_once(
    key: str, given: object, expected: tuple[str, ...]
) -> None:
    assert getattr(resolve("edge", EdgeSettings, {}, {}, {key: given}), key) == expected


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
