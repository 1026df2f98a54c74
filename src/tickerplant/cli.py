"""The command line: one function per command.

Options come from the settings of the command (`config/`); the work is done by `serving.py`,
`verifying/`, `explain/`, `watching/` and `exporting/`, each imported by the command that needs it.
Every usage error prints one line on standard error and exits with status 2.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec
from msgspec import Struct

from tickerplant.config.resolve import (
    CONFIG_VARIABLE,
    SettingsT,
    read_file,
    resolve,
    unknown_variables,
)
from tickerplant.config.setting import Setting, settings_of
from tickerplant.config.settings import (
    RENAMED,
    AskSettings,
    ExportSettings,
    ProtocolSettings,
    RecordSettings,
    RelaySettings,
    ReplaySettings,
    SimulateSettings,
    VerifySettings,
    WatchSettings,
)
from tickerplant.errors import TickerplantError
from tickerplant.profile import PROFILES
from tickerplant.stdio import FAILED, CannotPrint, cannot_print
from tickerplant.venue import VENUES

Command = TypeVar("Command", bound=Callable[..., Any])

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    try:
        status = commands.main(arguments, prog_name="tickerplant", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"tickerplant: {_in_one_line(error)}", err=True)
        sys.exit(USAGE_ERROR)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except TickerplantError as error:
        _print_error(str(error))
        sys.exit(USAGE_ERROR)
    except CannotPrint as error:
        sys.exit(cannot_print(error.failure))
    sys.exit(status or 0)


def _print_error(text: str) -> None:
    """Print one line on standard error."""
    from tickerplant.formatting import printable  # it may quote an upstream or the environment

    click.echo(printable(f"tickerplant: {text}"), err=True)


def _in_one_line(error: click.ClickException) -> str:
    """Return the message of a usage error, with the command whose help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption) and context:
        new_name = f"--{_renamed_option(error.option_name)}"
        if any(new_name in parameter.opts for parameter in context.command.params):
            return f"{error.option_name} is now {new_name}"
    text = " ".join(error.format_message().split()).rstrip(".")
    return f"{text} (see {context.command_path} -h)" if context else text


def _renamed_option(option: str) -> str:
    return RENAMED.get(option.lstrip("-").replace("-", "_"), "").replace("_", "-")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.version_option(package_name="tickerplant", message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Market data of futures exchanges: simulated, replayed, relayed, recorded and checked."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE_ERROR)


def settings_options(kind: type[Struct]) -> Callable[[Command], Command]:
    """Return a decorator that adds `--config` and an option for each setting of `kind`."""

    def decorate(command: Command) -> Command:
        for setting in reversed(tuple(settings_of(kind))):
            command = _option(setting)(command)
        return click.option("--config", metavar="FILE", help="TOML file with settings.")(command)

    return decorate


def _option(setting: Setting) -> Callable[[Command], Command]:
    """Return the click option of a setting; `resolve` parses its value."""
    name = f"--{setting.option}"
    if setting.is_flag:
        return click.option(
            f"{name}/--no-{setting.option}", setting.field, default=None, help=setting.shown_help
        )
    return click.option(
        name,
        setting.field,
        metavar=setting.placeholder,
        multiple=setting.is_repeatable,
        help=setting.shown_help,
    )


def _settings(
    command: str, kind: type[SettingsT], config: str | None, flags: dict[str, object]
) -> SettingsT:
    given = {name: value for name, value in flags.items() if value not in {None, ()}}
    for sentence in unknown_variables(os.environ):
        _print_error(sentence)
    path = config or os.environ.get(CONFIG_VARIABLE)
    file = read_file(path) if path else None
    return resolve(command, kind, given, os.environ, file)


@commands.command()
@settings_options(SimulateSettings)
def simulate(config: str | None, **flags: object) -> int:
    """Serve a simulated market."""
    settings = _settings("simulate", SimulateSettings, config, flags)
    from tickerplant.serving import simulate as serving

    return serving.simulate(settings, click.echo)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(ReplaySettings)
def replay(paths: tuple[str, ...], config: str | None, **flags: object) -> None:
    """Serve recordings as a live feed, merged by time.

    PATH is the folder of a recording, a folder of such folders, a segment, or a file
    of `<receive time> <message>` lines, plain, gzip or zstd.
    """
    settings = _settings("replay", ReplaySettings, config, flags)
    from tickerplant.serving import replay as serving

    serving.replay(settings, paths, click.echo)


@commands.command()
@settings_options(RelaySettings)
def relay(config: str | None, **flags: object) -> int:
    """Serve a live upstream: the exchange, or another plant.

    Each stream is subscribed to upstream once and shared by all clients.
    """
    settings = _settings("relay", RelaySettings, config, flags)
    from tickerplant.serving import relay as serving

    return serving.relay(settings, click.echo)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(VerifySettings)
def verify(paths: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Check recordings for gaps and damage.

    Checks ids, times and checksums against the manifest.  Each folder is one recording; files
    named together are one recording.  The exit status is 0 if all are complete, 1 if there is a
    gap or damage, 2 if nothing can be read.
    """
    settings = _settings("verify", VerifySettings, config, flags)
    from tickerplant.verifying import verify as verifying

    return verifying.verify(settings, paths, click.echo)


@commands.command()
def streams() -> None:
    """List the streams that can be subscribed to."""
    from tickerplant.explain.catalogue_text import short_name, speeds_text
    from tickerplant.streams import CATALOGUE

    rows = [
        (
            short_name(row.pattern),
            *(speeds_text(row, venue) for venue in VENUES),
            row.route,
            ", ".join(row.events),
            row.doc,
        )
        for row in CATALOGUE
    ]
    titles = (f"speed on {venue.title}" for venue in VENUES)
    _print_table(("stream", *titles, "route", "event", "what it carries"), rows)


@commands.command()
def queries() -> None:
    """List the REST endpoints and WebSocket API methods."""
    from tickerplant.explain.catalogue_text import endpoint_names, weight_range
    from tickerplant.queries import QUERIES

    rows = [
        (
            *endpoint_names(row, venue),
            venue.title,
            weight_range(row.weight),
            row.allowance or "",
            "yes" if row.requires_key else "",
            row.doc,
        )
        for row in QUERIES
        for venue in row.venues
    ]
    head = ("REST path", "WS API method", "venue", "weight", "allowance", "key", "what it returns")
    _print_table(head, rows)


@commands.command()
@click.argument("given", metavar="URL-OR-STREAM...", nargs=-1, required=True)
@settings_options(ProtocolSettings)
@click.option(
    "--venue",
    type=click.Choice([venue.name for venue in VENUES]),
    help="Venue [inferred from host, path, port or symbol].",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    given: tuple[str, ...],
    config: str | None,
    venue: str | None,
    as_json: bool,
    **flags: object,
) -> int:
    """Show what a URL, stream or request would do, offline.

    For a WebSocket URL or path: what each stream carries, at which speed and on which route, and
    which streams stay silent and why.  For stream names: the same, and the connections they need.
    For a REST URL or path, or a WebSocket API method: its weight and parameters.  The exit status
    is 1 if anything would be refused or stay silent, 2 if nothing can be explained.
    """
    settings = _settings("explain", ProtocolSettings, config, flags)
    from tickerplant.explain.explanation import explain as explained
    from tickerplant.explain.text import lines_of

    chosen = next((each for each in VENUES if each.name == venue), None)
    found = explained(
        given, PROFILES[settings.profile], strict=settings.routing == "strict", venue=chosen
    )
    if as_json:
        # As bytes: JSON is UTF-8, whatever the encoding of the terminal.
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        for line in lines_of(found):
            click.echo(line)
    return 0 if found.is_ok else FAILED


@commands.command()
@click.argument("names", metavar="STREAM...", nargs=-1, required=True)
@settings_options(WatchSettings)
def watch(names: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Watch streams in a table or line by line.

    A terminal shows a table with the latest message of each stream and symbol, its age and delay,
    gaps and missing messages.  Otherwise each message is a line with receive time, stream and
    payload; notices go to standard error.  Press Ctrl-C to stop.
    """
    settings = _settings("watch", WatchSettings, config, flags)
    from tickerplant.watching import watch as watching

    return watching.watch(settings, names)


@commands.command()
@click.argument("given", metavar="STREAM...", nargs=-1, required=True)
@settings_options(RecordSettings)
def record(given: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Record streams to a folder.

    @FILE reads stream names from a file, one per line.  Books of recorded depth streams are
    recorded as snapshots too.  Press Ctrl-C to stop; the same command continues the recording.
    """
    settings = _settings("record", RecordSettings, config, flags)
    from tickerplant.watching import record as recording

    return recording.record(settings, given)


@commands.command()
@click.argument("name", metavar="METHOD")
@click.argument("given", metavar="[KEY=VALUE]...", nargs=-1)
@settings_options(AskSettings)
def ask(name: str, given: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Send one request and print the response.

    METHOD is a method of the WebSocket API, such as ticker.price, or a REST path, such as
    /fapi/v1/klines or just klines.
    """
    settings = _settings("ask", AskSettings, config, flags)
    from tickerplant.watching import ask as asking

    return asking.ask(settings, name, given)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(ExportSettings)
def export(paths: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Convert recordings to Parquet, CSV or hftbacktest.

    Parquet has Hive partitions, CSV the layout of the exchange's public archive, hftbacktest its
    own events.  The same command resumes an interrupted export, and adds newer messages.
    """
    settings = _settings("export", ExportSettings, config, flags)
    from tickerplant.exporting import export as exporting

    return exporting.export(settings, paths)


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table: fitted to the width of a terminal, one line per row elsewhere."""
    from tickerplant.formatting import table

    width = (
        shutil.get_terminal_size().columns
        if sys.stdout is not None and sys.stdout.isatty()
        else None
    )
    for line in table(head, rows, width):
        click.echo(line)
