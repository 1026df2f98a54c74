"""One setting as the outside sees it: its option, its name in the environment, its key in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from tickerplant.config.values import (
    Parser,
    assignments,
    duration_ms,
    duration_text,
    faults,
    names,
    period_ms,
    period_ms_or_off,
    size_bytes,
    size_text,
)
from tickerplant.errors import ConfigError
from tickerplant.suggestions import one_of

ENVIRONMENT_PREFIX = "TICKERPLANT_"

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
"""What stands for values in help texts where it is not the last word of the option."""
_PLAIN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class Setting(Struct, frozen=True):
    """One setting as the outside sees it."""

    field: str
    kind: Any
    default: object
    help_text: str
    parse: Parser | None
    option: str
    """The option's name, without the dashes."""
    owner: str = ""
    """The only command that it is for, where its name means something else to another."""

    @property
    def environment(self) -> str:
        """Its name in the environment."""
        own = f"{self.owner}_" if self.owner else ""
        return ENVIRONMENT_PREFIX + (own + self.key).upper()

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
    def placeholder(self) -> str:
        """What stands for its value in a help text."""
        if self.choices:
            return "|".join(self.choices)
        if self.parse in _DURATIONS:
            return "DURATION"
        return _PLACEHOLDERS.get(self.option, self.option.split("-")[-1].upper())

    @property
    def is_flag(self) -> bool:
        """Whether it is either on or off."""
        return self.kind.__origin__ is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether its option may be given several times, a part of the value each time."""
        return self.parse in {names, assignments, faults}

    @property
    def shown_default(self) -> str:
        """Its default as it would be typed; empty if it has none."""
        if self.default is None or self.default in ((), {}):
            return ""
        if self.is_flag:
            return str(self.default).lower()
        if self.parse in _DURATIONS and isinstance(self.default, int):
            return duration_text(self.default)
        if self.parse is size_bytes and isinstance(self.default, int):
            return size_text(self.default)
        return str(self.default)

    @property
    def shown_help(self) -> str:
        """Its help with its default."""
        if self.is_flag or not self.shown_default:
            return self.help_text
        return f"{self.help_text[:-1]} [{self.shown_default}]."

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
            expected = self._expected(error, raw) if known else str(error)
            # An option that may be repeated arrives as a tuple; it is shown as it was typed.
            shown = ",".join(raw) if isinstance(raw, tuple) else raw
            raise ConfigError(origin, shown, expected) from None

    def _expected(self, error: ValueError, raw: object) -> str:
        if self.choices:
            return one_of(str(raw), self.choices)
        text = str(error).replace("`", "").removeprefix("Expected ").partition(", got")[0]
        # A setting that may be absent cannot be given as nothing.
        text = text.replace(" | null", "")
        kind, _, rest = text.partition(" ")
        return f"{_PLAIN_WORDS.get(kind, kind)} {rest}".rstrip()


def settings_of(kind: type[Struct]) -> Iterator[Setting]:
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
            owner=meta.extra["owner"],
        )
