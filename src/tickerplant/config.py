"""The settings of the program, each declared once.

A field of a settings Struct is a setting: its name, its type with the bounds, its default and one
sentence of help.  From that declaration come the command-line option (`--usdm-port`), the name in
the environment (`TICKERPLANT_USDM_PORT`) and the key in a TOML file (`usdm_port`).

Flags beat the environment, which beats the file given by `--config`, which beats the defaults.  In
the file a key at the top holds for every command that has the setting; a key in a table named
after the command, such as `[replay]`, holds for that command and wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any, Literal, TypeVar, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

from tickerplant.errors import ConfigError
from tickerplant.profile import P2026Q1, PROFILES
from tickerplant.venue import COINM, USDM

ENVIRONMENT_PREFIX = "TICKERPLANT_"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_NAMES = "at least one name, several separated by commas"
_ASSIGNMENTS = "NAME=NUMBER, several separated by commas"
_EARLIEST_MS = 1_262_304_000_000
_LATEST_MS = 4_102_444_800_000
_LONGEST_MS = 36_525 * 86_400_000
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: object) -> int:
    """Return a duration such as `90s`, `15m`, `2h` or `1d` in milliseconds; bare numbers are seconds.

    Raises:
        ValueError: `text` is not a duration.
    """
    match = _DURATION.fullmatch(str(text).strip())
    milliseconds = float(match[1]) * _UNIT_MS[match[2] or "s"] if match else inf
    if milliseconds > _LONGEST_MS:
        raise ValueError("a duration such as 90s, 15m, 2h or 1d, of at most a century")
    return round(milliseconds)


def instant_ms(text: object) -> int:
    """Return a moment, an ISO date (UTC unless it says otherwise) or milliseconds, as milliseconds.

    Raises:
        ValueError: `text` is neither.
    """
    plain = str(text).strip()
    try:
        if plain.isdecimal() and len(plain) > len("20260101"):
            milliseconds = int(plain)
        else:
            moment = datetime.fromisoformat(plain)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            milliseconds = round(moment.timestamp() * 1_000)
    except (ValueError, OverflowError):
        milliseconds = -1
    if not _EARLIEST_MS <= milliseconds < _LATEST_MS:
        raise ValueError(
            "an ISO date such as 2026-01-31T12:00:00 (UTC), or milliseconds since 1970, "
            "between 2010 and 2100"
        )
    return milliseconds


def names(text: object) -> tuple[str, ...]:
    """Return a comma-separated text, or a list of such texts, as a tuple without blanks.

    Raises:
        ValueError: `text` is neither, or has no name.
    """
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list | tuple) or not all(isinstance(each, str) for each in texts):
        raise ValueError(_NAMES)
    parts = (part.strip() for each in texts for part in each.split(","))
    if not (named := tuple(part for part in parts if part)):
        raise ValueError(_NAMES)
    return named


def assignments(text: object) -> dict[str, int]:
    """Return `a=1,b=2`, a list of such texts, or a table, as a dictionary of integers.

    Raises:
        ValueError: `text` is none of them.
    """
    if isinstance(text, Mapping):
        pairs = [(str(name), str(value)) for name, value in text.items()]
    else:
        pairs = [(name, value) for name, _, value in (part.partition("=") for part in names(text))]
    try:
        return {name.strip(): int(value) for name, value in pairs}
    except ValueError:
        raise ValueError(_ASSIGNMENTS) from None


Parser = Callable[[object], object]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Count = Annotated[int, Meta(ge=0)]
Speed = Annotated[float, Meta(ge=0, le=1_000_000)]
Intensity = Annotated[float, Meta(gt=0, le=1_000)]
SymbolCount = Annotated[int, Meta(ge=1, le=2_000)]


def _setting(help_text: str, parse: Parser | None = None, option: str = "") -> Meta:
    """Return what a field says about itself besides its type and default."""
    return Meta(description=help_text, extra={"parse": parse, "option": option})


class ServeSettings(Struct, frozen=True, kw_only=True):
    """What every command that serves has."""

    host: Annotated[str, _setting("Address to listen on; 0.0.0.0 is every interface.")] = (
        "127.0.0.1"
    )
    usdm_port: Annotated[Port, _setting(f"Port of {USDM.title}; 0 picks a free one.")] = (
        USDM.default_port
    )
    coinm_port: Annotated[Port, _setting(f"Port of {COINM.title}; 0 picks a free one.")] = (
        COINM.default_port
    )
    profile: Annotated[str, _setting(f"Period of the protocol: {', '.join(PROFILES)}.")] = (
        P2026Q1.name
    )
    routing: Annotated[
        Literal["lenient", "strict"],
        _setting("Deliver every stream on every path, or be silent where the exchange is."),
    ] = "lenient"
    speed: Annotated[Speed, _setting("Market seconds per second; 0 is as fast as it goes.")] = 1.0
    limits: Annotated[
        Literal["exchange", "off"],
        _setting("Refuse what goes beyond a limit, as the exchange does, or only count it."),
    ] = "exchange"
    limit_numbers: Annotated[
        dict[str, int],
        _setting("Other numbers for the protocol's limits, as NAME=NUMBER.", assignments, "limit"),
    ] = {}
    log_format: Annotated[
        Literal["text", "json"], _setting("Log lines for people or for programs.")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _setting("The least that is logged.")
    ] = "info"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError("profile", self.profile, f"one of {', '.join(PROFILES)}")


_WAIT_FOR = "Start the clock when this many connections have subscribed."


class SimulateSettings(ServeSettings, frozen=True, kw_only=True):
    """Serve the simulated market."""

    seed: Annotated[Seed, _setting("With --start, decides every byte of the market.")] = 1
    start_ms: Annotated[
        int | None,
        _setting("First moment of the market, an ISO date (UTC) or ms [now].", instant_ms, "start"),
    ] = None
    symbols: Annotated[
        tuple[str, ...], _setting("Only these symbols, separated by commas [all].", names)
    ] = ()
    symbol_count: Annotated[
        SymbolCount | None, _setting("This many symbols, up to a full exchange.")
    ] = None
    intensity: Annotated[Intensity, _setting("Factor on the order flow.")] = 1.0
    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 0
    duration_ms: Annotated[
        int | None,
        _setting("Stop after this much market time, such as 10m [never].", duration_ms, "duration"),
    ] = None


class ReplaySettings(ServeSettings, frozen=True, kw_only=True):
    """Serve a recording."""

    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 1
    exit_at_end: Annotated[bool, _setting("Leave when the recording is over.")] = False


_PLAIN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}

COMMANDS: dict[str, type[ServeSettings]] = {
    "simulate": SimulateSettings,
    "replay": ReplaySettings,
}
"""The commands that have settings, by name."""

SettingsT = TypeVar("SettingsT", bound=ServeSettings)


class Setting(Struct, frozen=True):
    """One setting as the outside sees it."""

    field: str
    kind: Any
    default: object
    help_text: str
    parse: Parser | None
    option: str
    """The option's name, without the dashes."""

    @property
    def environment(self) -> str:
        """Its name in the environment."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    @property
    def key(self) -> str:
        """Its key in a TOML file."""
        return self.option.replace("-", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values it can have; empty where there are others."""
        bare = self.kind.__origin__
        return tuple(bare.__args__) if get_origin(bare) is Literal else ()

    @property
    def is_flag(self) -> bool:
        """Whether it is either on or off."""
        return self.kind.__origin__ is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether its option may be given several times, a part of the value each time."""
        return self.parse in {names, assignments}

    @property
    def shown_help(self) -> str:
        """Its help with its default."""
        if self.default is None or self.default in ((), {}) or self.is_flag:
            return self.help_text
        return f"{self.help_text[:-1]} [{self.default}]."

    def read(self, raw: object, origin: str) -> object:
        """Return the value that `raw`, found at `origin`, stands for.

        Raises:
            ConfigError: `raw` is not a value of this setting.
        """
        try:
            value = raw if self.parse is None else self.parse(raw)
            return msgspec.convert(value, self.kind, strict=False)
        except ValueError as error:
            known = isinstance(error, msgspec.ValidationError)
            expected = self._expected(error) if known else str(error)
            # An option that may be repeated arrives as a tuple; it is shown as it was typed.
            shown = ",".join(raw) if isinstance(raw, tuple) else raw
            raise ConfigError(origin, shown, expected) from None

    def _expected(self, error: ValueError) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        text = str(error).replace("`", "").removeprefix("Expected ").partition(", got")[0]
        kind, _, rest = text.partition(" ")
        return f"{_PLAIN_WORDS.get(kind, kind)} {rest}".rstrip()


def settings_of(kind: type[ServeSettings]) -> Iterator[Setting]:
    """Yield the settings of a command in the order they are declared."""
    hints = get_type_hints(kind, include_extras=True)
    for field in structs.fields(kind):
        hint = hints[field.name]
        meta = hint.__metadata__[-1]
        has_factory = field.default_factory is not msgspec.NODEFAULT
        yield Setting(
            field=field.name,
            kind=hint,
            default=field.default_factory() if has_factory else field.default,
            help_text=meta.description,
            parse=meta.extra["parse"],
            option=meta.extra["option"] or field.name.replace("_", "-"),
        )


def read_file(path: str) -> dict[str, object]:
    """Return the contents of a TOML file.

    Raises:
        ConfigError: there is no such file, it is not TOML, or it has a key that no command knows.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # one file by the name the user gave
            content = tomllib.load(file)
    except OSError as error:
        raise ConfigError("--config", path, f"a file that can be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("--config", path, f"a TOML file ({error})") from None
    known = {setting.key for kind in COMMANDS.values() for setting in settings_of(kind)}
    for key, value in content.items():
        if key in COMMANDS and isinstance(value, dict):
            _refuse_unknown(value, {each.key for each in settings_of(COMMANDS[key])}, path, key)
        else:
            _refuse_unknown({key: value}, known, path, "")
    return content


def _refuse_unknown(table: Mapping[str, object], known: set[str], path: str, name: str) -> None:
    for key in table.keys() - known:
        where = f"[{name}] in {path}" if name else path
        raise ConfigError(where, key, f"a setting: {', '.join(sorted(known))}")


def resolve(
    command: str,
    kind: type[SettingsT],
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object] | None = None,
) -> SettingsT:
    """Return the settings of `command`, each from the strongest place that gives it.

    Args:
        command: Name of the command, which is also the name of its table in `file`.
        kind: The Struct of its settings.
        flags: Values of the command line by field name; None is not given.
        environment: The environment.
        file: What `read_file` returned.

    Raises:
        ConfigError: a value cannot be used; says which, where it came from and what was expected.
    """
    shared: Mapping[str, object] = file or {}
    own = shared.get(command, {})
    table: Mapping[str, object] = own if isinstance(own, dict) else {}
    values: dict[str, Any] = {}
    for setting in settings_of(kind):
        places = (
            (flags.get(setting.field), f"--{setting.option}"),
            (environment.get(setting.environment), setting.environment),
            (table.get(setting.key), f"{setting.key} in [{command}] of the file"),
            (shared.get(setting.key), f"{setting.key} in the file"),
        )
        for raw, origin in places:
            if raw is not None:
                values[setting.field] = setting.read(raw, origin)
                break
    return kind(**values)
