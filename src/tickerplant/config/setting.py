"""One setting with its option, environment variable and file key, derived from its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from tickerplant.config.values import (
    SECRETS,
    Parser,
    api_url,
    assignments,
    base_url,
    bus_prefix,
    bus_urls,
    control_token,
    control_url,
    duration_ms,
    duration_setting,
    faults,
    file_path,
    folder_path,
    host_names,
    market_time_ms,
    names,
    networks,
    period_ms,
    period_ms_or_off,
    picture_size,
    picture_size_setting,
    plant_name,
    profile_name,
    profile_name_or_auto,
    public_names,
    run_length_ms,
    scenarios,
    secret,
    size_bytes,
    size_setting,
    step_or_speed,
)
from tickerplant.errors import HIDDEN, ConfigError
from tickerplant.recording.timestamps import parse_time_spec
from tickerplant.suggestions import one_of

ENVIRONMENT_PREFIX = "TICKERPLANT_"

GROUPS = {
    "Selection": (*("streams", "symbols", "symbol-count", "tables", "verbatim"),),
    "Market": ("seed", "intensity", "quoting", "scenario"),
    "Time": (
        *("start", "from", "to", "duration", "speed", "pace", "warm-up", "loop", "exit-at-end"),
        *("rebase", "paused", "wait-for", "timeout"),
    ),
    "Connection": (
        *("url", "stream-url", "rest-url", "api-url", "venue", "rest", "copies"),
        *("usdm-url", "usdm-stream-url", "usdm-rest-url", "usdm-api-url"),
        *("coinm-url", "coinm-stream-url", "coinm-rest-url", "coinm-api-url"),
        *("max-connection-age", "linger", "grace"),
    ),
    "Output": (
        "out",
        "size",
        "format",
        "numbers",
        "base-latency-ns",
        "gaps",
        "json",
        "toml",
    ),
    "Recording": (
        *("record", "record-streams", "snapshots", "snapshot-levels", "segment", "segment-size"),
        "compression-level",
    ),
    "Protocol": ("profile", "routing"),
    "Server": (
        "host",
        "usdm-port",
        "coinm-port",
        "tls",
        "tls-cert",
        "tls-key",
        "trusted-proxy",
        "public-name",
        "slow-readers",
        "delivery",
        "rest-compression",
        "control-token",
    ),
    "Processes": (
        *("workers", "bus", "plant", "standby", "bus-grace", "bus-prefix"),
        *("bus-user", "bus-password", "bus-token", "bus-credentials"),
        *("bus-ca", "bus-cert", "bus-key"),
    ),
    "Limits and faults": ("limits", "limit", "fault", "fault-seed"),
    "Logging": ("log-format", "log-level"),
}
"""The options by group, in the order of help texts."""
SHORT_OPTIONS = {"out": "-o"}

_DURATIONS = {duration_ms, period_ms, period_ms_or_off, run_length_ms}
_METAVARS: dict[Parser, str] = {
    api_url: "URL",
    assignments: "NAME=NUMBER",
    base_url: "URL",
    bus_prefix: "WORD",
    bus_urls: "URL,…",
    control_token: "TEXT",
    control_url: "URL",
    duration_ms: "DURATION",
    faults: "NAME=VALUE",
    file_path: "FILE",
    folder_path: "FOLDER",
    host_names: "HOST,…",
    market_time_ms: "TIME",
    names: "NAME,…",
    networks: "NETWORK,…",
    public_names: "NAME,…",
    period_ms: "DURATION",
    period_ms_or_off: "DURATION|off",
    picture_size: "WIDTHxHEIGHT",
    plant_name: "NAME",
    profile_name: "PROFILE",
    profile_name_or_auto: "PROFILE",
    run_length_ms: "DURATION",
    scenarios: "NAME|FILE",
    secret: "TEXT",
    size_bytes: "SIZE",
    step_or_speed: "NUMBER|step",
    parse_time_spec: "TIME",
}
"""What an option wants, by the parser of its value."""
_REPEATABLE = {names, networks, host_names, public_names, assignments, faults, scenarios}
_METAVARS_OF_NAMES = {
    "coinm-port": "PORT",
    "record-streams": "STREAM,…",
    "streams": "STREAM,…",
    "symbols": "SYMBOL,…",
    "tables": "TABLE,…",
    "usdm-port": "PORT",
}
_TYPE_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class Setting(Struct, frozen=True):
    """One setting."""

    field: str
    kind: Any
    default: object
    help_text: str
    parse: Parser | None
    option: str
    """The option's name, without the dashes."""

    @property
    def environment(self) -> str:
        """The environment variable that sets it for every command that has it."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    def environment_of(self, command: str) -> str:
        """Return the environment variable that sets it for `command` alone."""
        word = command.replace("-", "_").upper()
        return f"{ENVIRONMENT_PREFIX}{word}_{self.key.upper()}"

    @property
    def group(self) -> str:
        """The heading it is listed under in help texts."""
        return next((name for name, options in GROUPS.items() if self.option in options), "Options")

    @property
    def names(self) -> tuple[str, ...]:
        """What may be written on the command line: a short option if there is one, and its name."""
        short = SHORT_OPTIONS.get(self.option)
        return (short, f"--{self.option}") if short else (f"--{self.option}",)

    @property
    def key(self) -> str:
        """Its key in a settings file."""
        return self.option.replace("-", "_")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it accepts; empty if they cannot be listed."""
        bare = self.kind.__origin__
        return tuple(bare.__args__) if get_origin(bare) is Literal else ()

    @property
    def metavar(self) -> str:
        """What its value is, for help texts: `N` for a whole number."""
        if self.choices:
            return "|".join(self.choices)
        if special := _METAVARS_OF_NAMES.get(self.option):
            return special
        if self.parse in _METAVARS:
            return _METAVARS[self.parse]
        return "NUMBER" if "float" in str(self.kind) else "N"

    @property
    def completions(self) -> tuple[str, ...]:
        """What a shell completes: the choices, or `file` or `dir`."""
        kinds = {"FILE": ("file",), "FOLDER": ("dir",), "NAME|FILE": ("file",)}
        return self.choices or kinds.get(self.metavar, ())

    @property
    def is_flag(self) -> bool:
        """Whether it is a switch without a value."""
        return self.kind.__origin__ is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether its option may be repeated, each time with a part of the value."""
        return self.parse in _REPEATABLE

    @property
    def shown_default(self) -> str:
        """Its default as a user would type it; empty if it has none."""
        if self.default is None or self.default in ((), {}):
            return ""
        if self.is_flag:
            return str(self.default).lower()
        if self.parse in _DURATIONS and isinstance(self.default, int):
            return duration_setting(self.default)
        if isinstance(self.default, tuple):
            is_size = self.parse is picture_size
            return picture_size_setting(self.default) if is_size else ",".join(self.default)
        if self.parse is size_bytes and isinstance(self.default, int):
            return size_setting(self.default)
        return str(self.default)

    @property
    def shown_help(self) -> str:
        """Its help text, followed by its default."""
        if self.is_flag or not self.shown_default:
            return self.help_text
        return f"{self.help_text[:-1]} [{self.shown_default}]."

    def read(self, raw: object, origin: str) -> object:
        """Return the parsed value of `raw`.

        Args:
            raw: The value as the user wrote it.
            origin: The option, variable or key that it was given as.

        Raises:
            ConfigError: `raw` is not a value of this setting.
        """
        try:
            value = raw if self.parse is None else self.parse(raw)
            return msgspec.convert(value, self.kind, strict=False)
        except ValueError as error:
            is_type_error = isinstance(error, msgspec.ValidationError)
            expected = self._expected(error, raw) if is_type_error else str(error)
            # A repeatable option arrives as a tuple; show it as it was typed.
            shown = ",".join(raw) if isinstance(raw, tuple) else raw
            if self.parse in SECRETS:
                shown = HIDDEN if raw else raw
            raise ConfigError(origin, shown, expected) from None

    def _expected(self, error: ValueError, raw: object) -> str:
        if self.choices:
            return one_of(str(raw), self.choices)
        if "out of range" in str(error):
            return "a smaller number"
        text = str(error).replace("`", "").removeprefix("Expected ").partition(", got")[0]
        text = text.replace(" | null", "")  # None is a default, but not a value to give
        kind, _, rest = text.partition(" ")
        return f"{_TYPE_NAMES.get(kind, kind)} {rest}".rstrip()


def settings_of(kind: type[Struct]) -> Iterator[Setting]:
    """Yield the settings of a command in the order of their declaration."""
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
