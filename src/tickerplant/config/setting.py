"""One setting with its option, environment variables and file key, derived from its field."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from tickerplant.config.kinds import FLAG, Kind, choice
from tickerplant.documented_fields import docs_of_classes
from tickerplant.errors import HIDDEN, ConfigError

ENVIRONMENT_PREFIX = "TICKERPLANT_"
SHORT_OPTIONS = {"out": "-o"}
_IN_MS = "_ms"
"""What the field of a duration ends with, and its option does not."""


class Group(StrEnum):
    """The headings of help texts, in their order."""

    SELECTION = "Selection"
    MARKET = "Market"
    TIME = "Time"
    CONNECTION = "Connection"
    OUTPUT = "Output"
    RECORDING = "Recording"
    PROTOCOL = "Protocol"
    SERVER = "Server"
    PROCESSES = "Processes"
    LIMITS = "Limits and faults"
    LOGGING = "Logging"
    GENERAL = "General"
    """The heading of options that are no settings."""


class Setting(Struct, frozen=True):
    """One setting."""

    field: str
    kind: Kind
    default: object
    group: Group
    option: str
    """The option's name, without the dashes."""
    owner: type[Struct]
    """The settings that it is one of."""

    @property
    def environment(self) -> str:
        """The environment variable that sets it for every command that has it."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    def environment_of(self, command: str) -> str:
        """Return the environment variable that sets it for `command` alone."""
        word = command.replace("-", "_").upper()
        return f"{ENVIRONMENT_PREFIX}{word}_{self.key.upper()}"

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
    def is_flag(self) -> bool:
        """Whether it is a switch without a value."""
        return not self.kind.metavar

    @property
    def help_text(self) -> str:
        """The sentence about it: the one under its field."""
        found = (
            docs_of_classes(kind.__module__)[kind.__name__]
            for kind in self.owner.__mro__
            if kind.__module__ == self.owner.__module__
        )
        return next((docs[self.field] for docs in found if self.field in docs), "")

    @property
    def shown_default(self) -> str:
        """Its default as a user would type it; empty if it has none."""
        empty = self.default is None or self.default in ((), {})
        return "" if empty else self.kind.write(self.default)

    @property
    def shown_help(self) -> str:
        """Its sentence, followed by its default."""
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
            return self.kind.read(raw)
        except ValueError as error:
            # A repeatable option arrives as a tuple; show it as it was typed.
            shown = ",".join(raw) if isinstance(raw, tuple) else raw
            if self.kind.is_secret:
                shown = HIDDEN if raw else raw
            raise ConfigError(origin, shown, str(error)) from None


@cache
def settings_of(kind: type[Struct]) -> tuple[Setting, ...]:
    """Return the settings of a command in the order of their declaration."""
    return tuple(_settings_of(kind))


def _settings_of(kind: type[Struct]) -> Iterator[Setting]:
    hints = get_type_hints(kind, include_extras=True)
    for field in structs.fields(kind):
        bare, declared = hints[field.name].__origin__, hints[field.name].__metadata__
        option = field.name.removesuffix(_IN_MS).replace("_", "-")
        has_factory = field.default_factory is not msgspec.NODEFAULT
        yield Setting(
            field=field.name,
            kind=next((each for each in declared if isinstance(each, Kind)), None)
            or _kind_of(bare),
            default=field.default_factory() if has_factory else field.default,
            group=next(each for each in declared if isinstance(each, Group)),
            option=next((each for each in declared if type(each) is str), option),
            owner=kind,
        )


def _kind_of(bare: Any) -> Kind:
    """Return the kind of a type that says itself how it is written: a flag, or a few words."""
    return choice(*get_args(bare)) if get_origin(bare) is Literal else FLAG
