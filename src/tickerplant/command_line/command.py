"""A command with an option for each of its settings, listed in groups, and examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import click
from click.shell_completion import CompletionItem

from tickerplant.command_line.examples import EXAMPLES

GENERAL = "General"
"""The heading of options that are no settings."""
HELP_NAMES = ("-h", "--help")
QUIET, VERBOSE = "quiet", "verbose"
"""Flags of commands that log: shorthands for two levels."""


class GroupedOption(click.Option):
    """An option that the help lists under a heading, without its `--no-…`."""

    def __init__(self, *args: Any, group: str = GENERAL, **more: Any) -> None:
        super().__init__(*args, **more)
        self.group = group

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option as it is written, and its help text."""
        negations, self.secondary_opts = self.secondary_opts, []
        try:
            return super().get_help_record(ctx)
        finally:
            self.secondary_opts = negations


class SettingsCommand(click.Command):
    """A command with `--config` and an option for each of its settings.

    The settings are imported when the command is used, and not for the help of the program.
    """

    @cached_property
    def options(self) -> list[click.Parameter]:
        """The options of its settings."""
        from tickerplant.config.setting import settings_of  # noqa: PLC0415
        from tickerplant.config.settings import COMMANDS  # noqa: PLC0415

        options: list[click.Parameter] = [
            GroupedOption(
                ["--config"],
                metavar="FILE",
                help="TOML file with settings.",
                shell_complete=completed_as("file"),
            )
        ]
        for setting in settings_of(COMMANDS[str(self.name)]):
            option = f"--{setting.option}"
            names = [f"{option}/--no-{setting.option}"] if setting.is_flag else [*setting.names]
            options.append(
                GroupedOption(
                    [*names, setting.field],
                    group=setting.group,
                    is_flag=setting.is_flag,
                    default=None,
                    metavar=None if setting.is_flag else setting.metavar,
                    multiple=setting.is_repeatable,
                    help=setting.shown_help,
                    shell_complete=completed_as(*setting.completions),
                )
            )
            if setting.option == "log-level":
                options += _level_options(setting.group, has_debug="debug" in setting.choices)
        return options

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its arguments and options."""
        *own, the_help = super().get_params(ctx)
        return [*own, *self.options, the_help]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each group under its heading."""
        from tickerplant.config.setting import GROUPS  # noqa: PLC0415

        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in (*GROUPS, GENERAL)}
        for option in (each for each in self.get_params(ctx) if isinstance(each, click.Option)):
            if (record := option.get_help_record(ctx)) is not None:
                groups[getattr(option, "group", GENERAL)].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        write_examples(str(self.name), formatter)


def write_examples(command: str, formatter: click.HelpFormatter) -> None:
    """Write the examples of a command; of the program for an empty name."""
    formatter.write_paragraph()
    formatter.write("Examples:\n")
    for purpose, line in EXAMPLES[command]:
        formatter.write(f"  # {purpose}\n  {line}\n")


def _level_options(group: str, *, has_debug: bool) -> Iterator[click.Option]:
    """Yield the shorthands for log levels."""
    help_text = "Log warnings only and show no progress: --log-level warning."
    yield GroupedOption(["-q", f"--{QUIET}"], is_flag=True, group=group, help=help_text)
    if has_debug:
        help_text = "Log every detail: --log-level debug."
        yield GroupedOption(["-v", f"--{VERBOSE}"], is_flag=True, group=group, help=help_text)


def completed_as(*values: str) -> Callable[..., list[CompletionItem[str]]]:
    """Return what completes a parameter: choices, or one of the words `file` and `dir`."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        del ctx, param
        if values in {("file",), ("dir",)}:
            return [CompletionItem(incomplete, type=values[0])]
        return [CompletionItem(each) for each in values if each.startswith(incomplete)]

    return complete
