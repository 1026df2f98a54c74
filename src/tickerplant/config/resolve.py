"""Resolves the settings of a run from flags, environment, file and defaults, in this order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from msgspec import Struct

from tickerplant.config.setting import ENVIRONMENT_PREFIX, settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import environment_names
from tickerplant.regular_files import read_regular
from tickerplant.suggestions import suggestion
from tickerplant.toml_text import parse_toml
from tickerplant.venue import VENUES

MOST_BYTES = 1 << 20
"""Size limit of a settings file."""
SettingsT = TypeVar("SettingsT", bound=Struct)

CONFIG_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"
"""Gives the path of the settings file, as `--config` does."""
OTHER_VARIABLES = {
    CONFIG_VARIABLE,
    *(name for venue in VENUES for name in environment_names(venue)),
}
"""Variables that do not belong to one setting."""


def read_file(path: str) -> dict[str, object]:
    """Return the contents of a TOML file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a key that no command knows.
    """
    try:
        content = parse_toml(read_regular(path, MOST_BYTES, pipes=True).decode())
    except OSError as error:
        raise ConfigError("--config", path, f"a file that can be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError("--config", path, f"a TOML file ({error})") from None
    for key, value in content.items():
        is_table = isinstance(value, dict)
        if key in COMMANDS and isinstance(value, dict):
            own = frozenset(each.key for each in settings_of(COMMANDS[key]))
            for each in value.keys() - own:
                raise _unknown(f"a key in [{key}] of {path}", each, own)
        elif is_table and key not in known_keys():
            expected = f"the table of a command: {', '.join(f'[{name}]' for name in COMMANDS)}"
            hint = suggestion(key, COMMANDS, "[{}]")
            raise ConfigError(f"a table in {path}", f"[{key}]", f"{expected}{hint}")
        elif key not in known_keys():
            raise _unknown(f"a key in {path}", key, known_keys())
    return content


def _unknown(where: str, key: str, known: frozenset[str]) -> ConfigError:
    expected = f"a setting: {', '.join(sorted(known))}{suggestion(key, known)}"
    return ConfigError(where, key, expected)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that has the prefix of settings and is not one."""
    known = known_variables() | OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            word = name.removeprefix(ENVIRONMENT_PREFIX)
            words = sorted(each.removeprefix(ENVIRONMENT_PREFIX) for each in known)
            hint = suggestion(word, words, ENVIRONMENT_PREFIX + "{}")
            yield f"{name} in the environment is not a setting{hint}"


@cache
def known_variables() -> frozenset[str]:
    """Return the environment variables of all settings: of all commands, and of one."""
    return frozenset(
        name
        for command, kind in COMMANDS.items()
        for setting in settings_of(kind)
        for name in (setting.environment, setting.environment_of(command))
    )


@cache
def known_keys() -> frozenset[str]:
    """Return the keys of all settings of all commands."""
    return frozenset(setting.key for kind in COMMANDS.values() for setting in settings_of(kind))


def resolve(
    command: str,
    kind: type[SettingsT],
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object] | None = None,
) -> SettingsT:
    """Return the settings of `command`: flags beat the environment, which beats the file.

    Args:
        command: The name of the command, of its table in `file` and of its environment variables.
        kind: The Struct of its settings.
        flags: Command-line values by field name; None if not given.
        environment: The environment variables.
        file: The result of `read_file`.

    Raises:
        ConfigError: a value is invalid; names its origin and what was expected.
    """
    shared: dict[str, Any] = dict(file or {})
    tables = {name: shared.pop(name) for name in COMMANDS if isinstance(shared.get(name), dict)}
    table = tables.get(command, {})
    values: dict[str, Any] = {}
    for setting in settings_of(kind):
        places = (
            (flags.get(setting.field), f"--{setting.option}"),
            (environment.get(setting.environment_of(command)), setting.environment_of(command)),
            (environment.get(setting.environment), setting.environment),
            (table.get(setting.key), f"{setting.key} in [{command}] of the file"),
            (shared.get(setting.key), f"{setting.key} in the file"),
        )
        for raw, origin in places:
            if raw is not None:
                values[setting.field] = setting.read(raw, origin)
                break
    return kind(**values)
