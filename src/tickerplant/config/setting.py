"""One setting with its option, environment variable and file key, derived from its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from tickerplant.config.values import (
    Parser,
    assignments,
    duration_ms,
    duration_setting,
    faults,
    names,
    period_ms,
    period_ms_or_off,
    size_bytes,
    size_setting,
)
from tickerplant.errors import ConfigError
from tickerplant.suggestions import one_of

ENVIRONMENT_PREFIX = "TICKERPLANT_"
OLD_AUTO = "told"
"""The former name of the value `auto`."""

_DURATIONS = {duration_ms, period_ms, period_ms_or_off}
_PLACEHOLDERS = {
    "from": "TIME",
    "out": "FOLDER",
    "record": "FOLDER",
    "tls-cert": "FILE",
    "tls-key": "FILE",
    "to": "TIME",
    "wait-for": "NUMBER",
}
"""Placeholders in help texts that are not the last word of the option."""
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
    owner: str = ""
    """The only command it belongs to, if another command uses its name differently."""

    @property
    def environment(self) -> str:
        """The name of its environment variable."""
        own = f"{self.owner}_" if self.owner else ""
        return ENVIRONMENT_PREFIX + (own + self.key).upper()

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
    def placeholder(self) -> str:
        """The placeholder for its value in help texts."""
        if self.choices:
            return "|".join(self.choices)
        if self.parse in _DURATIONS:
            return "DURATION"
        return _PLACEHOLDERS.get(self.option, self.option.split("-")[-1].upper())

    @property
    def is_flag(self) -> bool:
        """Whether it is a switch without a value."""
        return self.kind.__origin__ is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether its option may be repeated, each time with a part of the value."""
        return self.parse in {names, assignments, faults}

    @property
    def shown_default(self) -> str:
        """Its default as a user would type it; empty if it has none."""
        if self.default is None or self.default in ((), {}):
            return ""
        if self.is_flag:
            return str(self.default).lower()
        if self.parse in _DURATIONS and isinstance(self.default, int):
            return duration_setting(self.default)
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
            if raw == OLD_AUTO and "auto" in expected:
                expected = f"auto, the new name of {OLD_AUTO}"
            # A repeatable option arrives as a tuple; show it as it was typed.
            shown = ",".join(raw) if isinstance(raw, tuple) else raw
            raise ConfigError(origin, shown, expected) from None

    def _expected(self, error: ValueError, raw: object) -> str:
        if self.choices:
            return one_of(str(raw), self.choices)
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
            owner=meta.extra["owner"],
        )
