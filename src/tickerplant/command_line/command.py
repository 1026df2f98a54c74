"""A command: an option for each of its settings, its arguments, its help with examples."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from tickerplant.config.setting import Setting

HELP_NAMES = ("-h", "--help")
QUIET, VERBOSE = "quiet", "verbose"
"""Flags of commands that log: shorthands for two levels."""
PATHS = {"FILE": "file", "FOLDER": "dir", "NAME|FILE": "file", "PATH": "file", "PATH...": "file"}
"""What a shell completes for the values that are paths, by metavar."""
Examples: TypeAlias = Sequence[tuple[str, str]]
"""What for, and the command line."""


class Argument(click.Argument):
    """An argument: its name in help texts, which ends with dots if it may be repeated."""

    def __init__(self, name: str, metavar: str, *, choices: Sequence[str] = ()) -> None:
        is_optional = metavar.startswith("[")
        super().__init__(
            [name],
            metavar=metavar,
            required=not is_optional,
            nargs=-1 if metavar.endswith("...") else 1,
            shell_complete=completed(choices, metavar),
        )


class _Option(click.Option):
    """An option that the help lists under a heading.

    The sentence about a setting is read from its source, which takes longer than all the rest: only
    when it is asked for.
    """

    def __init__(self, *args: Any, group: str, setting: Setting | None = None, **more: Any) -> None:
        self.group, self._setting = group, setting
        super().__init__(*args, **more)

    @property
    def help(self) -> str | None:
        """The sentence about it."""
        return self._help if self._setting is None else self._setting.shown_help

    @help.setter  # noqa: A003  # as click has it
    def help(self, text: str | None) -> None:
        self._help = text


class Command(click.Command):
    """A command with `--config` and an option for each of its settings, if it has any.

    The settings are imported when the command is used, and not for the help of the program.

    Args:
        section: The heading under which the help of the program lists it.
        examples: Those in its help.
    """

    def __init__(self, *args: Any, section: str, examples: Examples, **more: Any) -> None:
        super().__init__(*args, **more)
        self.section = section
        self.examples = examples

    @cached_property
    def options(self) -> list[click.Parameter]:
        """The options of its settings."""
        from tickerplant.config.setting import Group, settings_of  # noqa: PLC0415
        from tickerplant.config.settings import COMMANDS  # noqa: PLC0415

        kind = COMMANDS.get(str(self.name))
        if kind is None:
            return []
        options: list[click.Parameter] = [
            _Option(
                ["--config"],
                metavar="FILE",
                help="TOML file with settings.",
                group=Group.GENERAL,
                shell_complete=completed((), "FILE"),
            )
        ]
        for setting in settings_of(kind):
            if setting.is_flag:
                off = [f"--no-{setting.option}", setting.field]
                options.append(_Option(off, group="", flag_value=False, hidden=True, default=None))
            options.append(
                _Option(
                    [*setting.names, setting.field],
                    group=setting.group,
                    is_flag=setting.is_flag,
                    default=None,
                    metavar=setting.kind.metavar or None,
                    multiple=setting.kind.repeats,
                    setting=setting,
                    shell_complete=completed(setting.kind.choices, setting.kind.metavar),
                )
            )
            if setting.option == "log-level":
                options += _level_options(setting.group, setting.kind.choices)
        return options

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its arguments and options."""
        *own, the_help = super().get_params(ctx)
        return [*own, *self.options, the_help]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading."""
        from tickerplant.config.setting import Group  # noqa: PLC0415

        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in Group}
        for option in (each for each in self.get_params(ctx) if isinstance(each, click.Option)):
            if (record := option.get_help_record(ctx)) is not None:
                groups[getattr(option, "group", Group.GENERAL)].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        write_examples(self.examples, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it with its settings and its arguments."""
        values = dict(ctx.params)
        arguments = {
            str(each.name): values.pop(str(each.name))
            for each in self.params
            if isinstance(each, click.Argument)
        }
        assert self.callback is not None  # noqa: S101  # tells the type checker
        if not self.options:
            return ctx.invoke(self.callback, **arguments)
        return ctx.invoke(self.callback, read_settings(str(self.name), values), **arguments)


def write_examples(examples: Examples, formatter: click.HelpFormatter) -> None:
    """Write examples at the end of a help text."""
    formatter.write_paragraph()
    formatter.write("Examples:\n")
    for purpose, line in examples:
        formatter.write(f"  # {purpose}\n  {line}\n")


def _level_options(group: str, levels: Sequence[str]) -> Iterator[click.Option]:
    """Yield the shorthands for log levels."""
    help_text = "Log warnings only and show no progress: --log-level warning."
    yield _Option(["-q", f"--{QUIET}"], is_flag=True, group=group, help=help_text)
    if "debug" in levels:
        help_text = "Log every detail: --log-level debug."
        yield _Option(["-v", f"--{VERBOSE}"], is_flag=True, group=group, help=help_text)


def completed(
    choices: Sequence[str], metavar: str
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]:
    """Return what completes a value: one of a few, or a path."""
    kind = PATHS.get(metavar.strip("[]"), "")

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        del ctx, param
        paths = [CompletionItem(incomplete, type=kind)] if kind else []
        return paths + [CompletionItem(each) for each in choices if each.startswith(incomplete)]

    return complete


def read_settings(command: str, options: dict[str, Any]) -> Any:
    """Return the settings of a command, given its options; the environment is without them then.

    Raises:
        ConfigError: a value is invalid, or there is something unknown in the settings file.
        UsageError: several options say how much is logged.
    """
    from tickerplant.config import resolve  # noqa: PLC0415
    from tickerplant.config.settings import COMMANDS  # noqa: PLC0415
    from tickerplant.output import print_error  # noqa: PLC0415

    given = {name: value for name, value in options.items() if value not in {None, ()}}
    config = given.pop("config", None)
    for name, level in ((QUIET, "warning"), (VERBOSE, "debug")):
        if given.pop(name, False):
            if "log_level" in given:
                exclusive = "--quiet, --verbose and --log-level exclude each other"
                raise click.UsageError(exclusive, click.get_current_context())
            given["log_level"] = level
    for sentence in resolve.unknown_variables(os.environ):
        print_error(sentence)
    path = os.environ.get(resolve.CONFIG_VARIABLE) if config is None else config
    file = None if path is None else resolve.read_file(path)
    settings = resolve.resolve(command, COMMANDS[command], given, os.environ, file)
    for name in (resolve.known_variables() - resolve.OTHER_VARIABLES) & os.environ.keys():
        del os.environ[name]  # some are secret, and children would get them
    return settings
