"""The command line: one function per command.

Options come from the settings of the command (`config/`), help and errors from `command_line/`;
the work is done by `serving.py`, `verifying/`, `plotting/`, `explain/`, `watching/` and
`exporting/`, each imported by the command that needs it.  Every usage error prints one line on standard error and
exits with status 2.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tickerplant import __version__
from tickerplant.command_line.command import (
    HELP_NAMES,
    QUIET,
    VERBOSE,
    SettingsCommand,
    completed_as,
    write_examples,
)
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.stdio import FAILED, CannotPrint, cannot_print

if TYPE_CHECKING:
    from tickerplant.config.resolve import SettingsT

USAGE_ERROR = 2
SHELLS = ("bash", "zsh", "fish")
SECTIONS = {
    "Serve a market": ("simulate", "replay", "relay", "edge", "test-server", "control"),
    "Read a market": ("watch", "record", "ask"),
    "Recordings": ("verify", "plot", "export"),
    "Look up": ("explain", "streams", "queries", "scenarios"),
    "Program": ("completions", "version"),
}
"""The commands as the help of the program lists them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    try:
        status = commands.main(arguments, prog_name="tickerplant", standalone_mode=False)
    except click.ClickException as error:
        from tickerplant.command_line.usage_errors import usage_text

        _print_error(usage_text(error))
        sys.exit(USAGE_ERROR)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except ConfigError as error:
        from tickerplant.command_line.usage_errors import setting_text

        _print_error(setting_text(error))
        sys.exit(USAGE_ERROR)
    except TickerplantError as error:
        _print_error(str(error))
        sys.exit(USAGE_ERROR)
    except ModuleNotFoundError as error:
        from tickerplant.libraries import is_optional, missing_library

        if not is_optional(error):
            raise
        command = next(filter(commands.commands.get, arguments or sys.argv[1:]), "it")
        _print_error(str(missing_library(error, command)))
        sys.exit(USAGE_ERROR)
    except CannotPrint as error:
        sys.exit(cannot_print(error.failure))
    sys.exit(status or 0)


def _print_error(text: str) -> None:
    """Print one line on standard error."""
    from tickerplant.formatting import printable  # it may quote an upstream or the environment

    click.echo(printable(f"tickerplant: {text}"), err=True)


class _Program(click.Group):
    """The program: lists its commands in sections, and suggests similar ones."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each section under its heading."""
        for title, names in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, each.get_short_help_str(80)) for name, each in found if each]
                )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        write_examples("", formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named first.

        Raises:
            UsageError: there is no such command.
        """
        if not (ctx.resilient_parsing or args[0] in self.commands or args[0].startswith("-")):
            from tickerplant.command_line.usage_errors import no_such_command

            raise no_such_command(args[0], ctx, list(self.commands))
        return super().resolve_command(ctx, args)


def _print_version(context: click.Context, param: click.Parameter, value: Any) -> None:
    del param
    if value and not context.resilient_parsing:
        click.echo(f"tickerplant {__version__}")
        context.exit()


@click.group(
    cls=_Program,
    context_settings={"help_option_names": list(HELP_NAMES)},
    invoke_without_command=True,
    subcommand_metavar="COMMAND ...",
)
@click.option(
    *("-V", "--version"),
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.pass_context
def commands(context: click.Context) -> None:
    """Market data of futures exchanges: simulated, replayed, relayed, recorded and checked."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE_ERROR)


def _settings(command: str, kind: type[SettingsT], options: dict[str, Any]) -> SettingsT:
    """Return the settings of a command, given its options."""
    from tickerplant.config.resolve import (
        CONFIG_VARIABLE,
        OTHER_VARIABLES,
        known_variables,
        read_file,
        resolve,
        unknown_variables,
    )

    given = {name: value for name, value in options.items() if value not in {None, ()}}
    config = given.pop("config", None)
    for name, level in ((QUIET, "warning"), (VERBOSE, "debug")):
        if given.pop(name, False):
            if "log_level" in given:
                raise click.UsageError("--quiet, --verbose and --log-level exclude each other")
            given["log_level"] = level
    for sentence in unknown_variables(os.environ):
        _print_error(sentence)
    path = config or os.environ.get(CONFIG_VARIABLE)
    file = read_file(path) if path else None
    settings = resolve(command, kind, given, os.environ, file)
    for name in (known_variables() - OTHER_VARIABLES) & os.environ.keys():
        del os.environ[name]  # some are secret, and children would get them
    return settings


PATHS = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, shell_complete=completed_as("file")
)
STREAMS = click.argument("given", metavar="STREAM...", nargs=-1, required=True)


@commands.command(cls=SettingsCommand)
def simulate(**options: Any) -> int:
    """Serve a simulated market."""
    from tickerplant.config.settings import SimulateSettings

    settings = _settings("simulate", SimulateSettings, options)
    from tickerplant.serving import simulate as serving

    return serving.simulate(settings, click.echo)


@commands.command(cls=SettingsCommand)
@PATHS
def replay(paths: tuple[str, ...], **options: Any) -> int:
    """Serve recordings as a live feed, merged by time.

    PATH is the folder of a recording, a folder of such folders, a segment, or a file
    of `<receive time> <message>` lines, plain, gzip or zstd.
    """
    from tickerplant.config.settings import ReplaySettings

    settings = _settings("replay", ReplaySettings, options)
    from tickerplant.serving import replay as serving

    return serving.replay(settings, paths, click.echo)


@commands.command(cls=SettingsCommand)
def relay(**options: Any) -> int:
    """Serve a live upstream: the exchange, or another plant.

    Each stream is subscribed to upstream once and shared by all clients.
    """
    from tickerplant.config.settings import RelaySettings

    settings = _settings("relay", RelaySettings, options)
    from tickerplant.serving import relay as serving

    return serving.relay(settings, click.echo)


@commands.command(cls=SettingsCommand)
def edge(**options: Any) -> int:
    """Serve the clients of a plant on another host.

    The plant runs with --bus and the same NATS server.  An edge has no market: it passes streams
    on, and asks the plant everything else.
    """
    from tickerplant.config.settings import EdgeSettings

    settings = _settings("edge", EdgeSettings, options)
    from tickerplant.serving import edge as serving

    return serving.edge(settings, click.echo)


@commands.command("test-server", cls=SettingsCommand)
def test_server(**options: Any) -> int:
    """Serve a simulated market for tests.

    A few symbols on free ports, from a fixed time, with a clock that stands still until it makes a
    step, and a control plane with a token that keeps what was (/plant/v1/truth/).  With --json one
    line has the addresses and the token.  It ends with its standard input, if that is a pipe.
    """
    from tickerplant.config.settings import TestServerSettings

    settings = _settings("test-server", TestServerSettings, options)
    from tickerplant.serving import test_server as serving

    return serving.test_server(settings, click.echo)


@commands.command(cls=SettingsCommand)
@PATHS
def verify(paths: tuple[str, ...], **options: Any) -> int:
    """Check recordings for gaps and damage.

    Checks ids, times and checksums against the manifest.  Each folder is one recording; files
    named together are one recording.  The exit status is 0 if all are complete, 1 if there is a
    gap or damage, 2 if nothing can be read.
    """
    from tickerplant.config.settings import VerifySettings

    settings = _settings("verify", VerifySettings, options)
    from tickerplant.verifying import verify as verifying

    return verifying.verify(settings, paths, click.echo)


@commands.command(cls=SettingsCommand)
def streams(**options: Any) -> None:
    """List the streams that can be subscribed to."""
    from tickerplant.config.settings import ListSettings
    from tickerplant.explain.catalogue import STREAM_TITLES, stream_cells, stream_rows

    rows = stream_rows()
    if _settings("streams", ListSettings, options).json:
        _print_json(rows)
    else:
        _print_table(STREAM_TITLES, [stream_cells(row) for row in rows])


@commands.command(cls=SettingsCommand)
def queries(**options: Any) -> None:
    """List the REST endpoints and WebSocket API methods."""
    from tickerplant.config.settings import ListSettings
    from tickerplant.explain.catalogue import QUERY_TITLES, query_cells, query_rows

    rows = query_rows()
    if _settings("queries", ListSettings, options).json:
        _print_json(rows)
    else:
        _print_table(QUERY_TITLES, [query_cells(row) for row in rows])


@commands.command(cls=SettingsCommand)
@click.argument("given", metavar="[NAME|FILE]", required=False)
def scenarios(given: str | None, **options: Any) -> None:
    """List scenarios, show one, or check a file.

    A scenario is a TOML file of timed changes: to the simulated market, such as a crash or a halt,
    and to what clients get, such as lost connections.  Without NAME the library is listed.  With
    the name of one, or a file, it is read and checked, and its changes are shown in their order;
    the exit status is 2 if there is an error in it.
    """
    from tickerplant.config.settings import ScenariosSettings
    from tickerplant.serving import scenarios as found

    settings = _settings("scenarios", ScenariosSettings, options)
    if given is None:
        if settings.toml:
            raise click.UsageError("--toml prints one scenario: name it")
        rows = found.scenario_rows()
        if settings.json:
            _print_json(rows)
        else:
            _print_table(found.SCENARIO_TITLES, [found.scenario_cells(row) for row in rows])
        return
    scenario = found.scenario_named(given, "NAME|FILE")
    if settings.toml:
        click.echo(found.scenario_text(given), nl=False)
    elif settings.json:
        _print_json(found.scenario_page(scenario))
    else:
        for line in found.scenario_lines(scenario):
            click.echo(line)


@commands.command(cls=SettingsCommand)
@click.argument("given", metavar="URL-OR-STREAM...", nargs=-1, required=True)
def explain(given: tuple[str, ...], **options: Any) -> int:
    """Show what a URL, stream or request would do, offline.

    For a WebSocket URL or path, and for stream names: what each stream sends, at which speed and on
    which route, or why it stays silent.  For a REST URL or path, or a WebSocket API method: its
    weight, or why it is refused.  @FILE and - read a file and standard input, one in each line.  The
    exit status is 1 if anything would be refused or stay silent, 2 if nothing can be explained.
    """
    from tickerplant.config.settings import ExplainSettings

    settings = _settings("explain", ExplainSettings, options)
    from tickerplant.explain.verdict import explain as explained
    from tickerplant.profile import PROFILES
    from tickerplant.watching.arguments import listed, venue_named

    found = explained(
        [name for name, _ in listed("URL-OR-STREAM", given)],
        PROFILES[settings.profile],
        strict=settings.routing == "strict",
        venue=venue_named(settings.venue),
    )
    if found.is_nothing:
        raise TickerplantError("; ".join(each.reason for each in found.verdicts))
    if settings.json:
        _print_json(found)
    else:
        for line in found.lines():
            click.echo(line)
    return 0 if found.is_ok else FAILED


@commands.command(cls=SettingsCommand)
@STREAMS
def watch(given: tuple[str, ...], **options: Any) -> int:
    """Watch streams in a table or line by line.

    STREAM is a name such as btcusdt@trade; @FILE and - read names from a file and from standard
    input, one in each line.  A terminal shows a table with the latest message of each stream and
    symbol, its age and delay, gaps and missing messages.  Otherwise each message is a line with
    receive time, stream and payload; notices go to standard error.  Press Ctrl-C to stop.
    """
    from tickerplant.config.settings import WatchSettings

    settings = _settings("watch", WatchSettings, options)
    from tickerplant.watching import watch as watching

    return watching.watch(settings, given)


@commands.command(cls=SettingsCommand)
@STREAMS
def record(given: tuple[str, ...], **options: Any) -> int:
    """Record streams to a folder.

    STREAM is a name such as btcusdt@trade; @FILE and - read names from a file and from standard
    input, one in each line.  Books of recorded depth streams are recorded as snapshots too.
    Press Ctrl-C to stop; the same command continues the recording.
    """
    from tickerplant.config.settings import RecordSettings

    settings = _settings("record", RecordSettings, options)
    from tickerplant.watching import record as recording

    return recording.record(settings, given)


@commands.command(cls=SettingsCommand)
@click.argument("name", metavar="METHOD")
@click.argument("given", metavar="[KEY=VALUE]...", nargs=-1)
def ask(name: str, given: tuple[str, ...], **options: Any) -> int:
    """Send one request and print the response.

    METHOD is a method of the WebSocket API, such as ticker.price, or a REST path, such as
    /fapi/v1/klines or just klines.
    """
    from tickerplant.config.settings import AskSettings

    settings = _settings("ask", AskSettings, options)
    from tickerplant.watching import ask as asking

    return asking.ask(settings, name, given)


class _Control(SettingsCommand):
    """The command whose first argument is one of the actions, which its help lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse words; an offset to seek back by, such as -10s, is an argument and no option."""
        if "seek" in args[:-1] and "--" not in args:
            at = args.index("seek") + 1
            offset = args[at]
            if offset[0:1] == "-" and offset[1:2].isdigit():
                args = [*args[:at], *args[at + 1 :], "--", offset]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the actions, then the options."""
        from tickerplant.control.actions import ACTIONS

        with formatter.section("Actions"):
            formatter.write_dl(
                [(f"{each.name} {each.usage}".strip(), each.doc) for each in ACTIONS]
            )
        super().format_options(ctx, formatter)


@commands.command(cls=_Control)
@click.argument("action", metavar="ACTION")
@click.argument("given", metavar="[ARGUMENT]...", nargs=-1)
def control(action: str, given: tuple[str, ...], **options: Any) -> int:
    """Control a running server: its clock, faults, scenarios, levers and connections."""
    from tickerplant.config.settings import ControlSettings

    settings = _settings("control", ControlSettings, options)
    from tickerplant.watching import control as controlling

    return controlling.control(settings, action, given)


@commands.command(cls=SettingsCommand)
@PATHS
def export(paths: tuple[str, ...], **options: Any) -> int:
    """Convert recordings to Parquet, in Hive partitions.

    The same command resumes an interrupted export, and adds newer messages.
    """
    from tickerplant.config.settings import ExportSettings

    settings = _settings("export", ExportSettings, options)
    from tickerplant.exporting import export as exporting

    return exporting.export(settings, paths)


@commands.command(cls=SettingsCommand)
@click.argument("path", metavar="PATH", shell_complete=completed_as("file"))
@click.argument("symbol", metavar="SYMBOL")
def plot(path: str, symbol: str, **options: Any) -> int:
    """Draw a symbol of a recording: mid and trades, book, spread, volume.

    PATH is what replay takes.  The book is a heat map: the quantity at each price over time.  What
    was not recorded is left empty, and the picture says so.
    """
    from tickerplant.config.settings import PlotSettings

    settings = _settings("plot", PlotSettings, options)
    from tickerplant.plotting import plot as plotting

    return plotting.plot(settings, path, symbol)


@commands.command(cls=SettingsCommand)
def version(**options: Any) -> None:
    """Print the version; with --json also those of Python and the libraries."""
    from tickerplant.command_line.versions import versions
    from tickerplant.config.settings import ListSettings

    found = versions()
    if _settings("version", ListSettings, options).json:
        _print_json(found)
    else:
        click.echo(f"tickerplant {found.version}")


class _Completions(click.Command):
    """A command without settings."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(str(ctx.command.name), formatter)


@commands.command(cls=_Completions)
@click.argument("shell", metavar="SHELL", shell_complete=completed_as(*SHELLS))
@click.pass_context
def completions(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish.

    It completes commands, options, and the values of options that are choices or files.
    """
    from click.shell_completion import get_completion_class

    from tickerplant.command_line.usage_errors import invalid_choice

    kind = get_completion_class(shell)
    if kind is None or shell not in SHELLS:
        raise invalid_choice("SHELL", shell, list(SHELLS), context)
    click.echo(kind(commands, {}, "tickerplant", "_TICKERPLANT_COMPLETE").source())


def _print_json(value: object) -> None:
    """Print a value as indented JSON."""
    import msgspec

    # As bytes: JSON is UTF-8, whatever the encoding of the terminal.
    click.echo(msgspec.json.format(msgspec.json.encode(value)))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: fitted to the width of a terminal, one line per row elsewhere."""
    from tickerplant.formatting import table

    width = (
        shutil.get_terminal_size().columns
        if sys.stdout is not None and sys.stdout.isatty()
        else None
    )
    for line in table(tuple(head), [tuple(row) for row in rows], width):
        click.echo(line)
