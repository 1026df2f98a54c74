"""The settings of one run, each from the strongest place that gives it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from tickerplant.config.setting import ENVIRONMENT_PREFIX, Setting, settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import environment_name
from tickerplant.regular_files import read_regular
from tickerplant.suggestions import suggestion
from tickerplant.venue import VENUES

MOST_BYTES = 1 << 20
"""Of a file of settings."""
SettingsT = TypeVar("SettingsT", bound=Struct)

CONFIG_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"
"""Names the file of settings, as `--config` does."""
_OTHER_VARIABLES = {CONFIG_VARIABLE, *(environment_name(venue) for venue in VENUES)}
"""Variables that are not those of one setting."""


def read_file(path: str) -> dict[str, object]:
    """Return the contents of a TOML file.

    Raises:
        ConfigError: there is no such file, it is not TOML, or it has a key that no command knows.
    """
    try:
        content = tomllib.loads(read_regular(path, MOST_BYTES, pipes=True).decode())
    except OSError as error:
        raise ConfigError("--config", path, f"a file that can be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("--config", path, f"a TOML file ({error})") from None
    except RecursionError:
        raise ConfigError("--config", path, "a TOML file that is not nested so deeply") from None
    settings = _all_settings()
    known = {setting.key for setting in settings if not setting.owner}
    owned = {setting.key for setting in settings if setting.owner}
    for key, value in content.items():
        if key in COMMANDS and isinstance(value, dict):
            _refuse_unknown(value, {each.key for each in settings_of(COMMANDS[key])}, path, key)
        elif key in owned:
            tables = [f"[{each.owner}]" for each in settings if each.key == key]
            expected = f"to be in {' or '.join(tables)}, where it means different things"
            raise ConfigError(path, key, expected)
        elif isinstance(value, dict) and key not in known:
            commands = ", ".join(f"[{name}]" for name in COMMANDS)
            meant = suggestion(key, COMMANDS, "[{}]")
            raise ConfigError(path, f"[{key}]", f"a table of a command: {commands}{meant}")
        else:
            _refuse_unknown({key: value}, known, path, "")
    return content


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each variable of `environment` that looks like a setting and is none."""
    known = {setting.environment for setting in _all_settings()} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            words = [each.removeprefix(ENVIRONMENT_PREFIX) for each in known]
            word = name.removeprefix(ENVIRONMENT_PREFIX)
            meant = suggestion(word, sorted(words), ENVIRONMENT_PREFIX + "{}")
            yield f"{name} in the environment is no setting{meant}"


def _all_settings() -> list[Setting]:
    return [setting for kind in COMMANDS.values() for setting in settings_of(kind)]


def _refuse_unknown(table: Mapping[str, object], known: set[str], path: str, name: str) -> None:
    for key in table.keys() - known:
        where = f"[{name}] in {path}" if name else path
        expected = f"a setting: {', '.join(sorted(known))}{suggestion(key, known)}"
        raise ConfigError(where, key, expected)


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
            (None if setting.owner else shared.get(setting.key), f"{setting.key} in the file"),
        )
        for raw, origin in places:
            if raw is not None:
                values[setting.field] = setting.read(raw, origin)
                break
    return kind(**values)
