"""The command line: `tickerplant simulate`, `replay`, `streams`, `queries`, `explain`.

Options come from the settings (`config/`); what serves is put together in `serving.py`.
Whatever the user can get wrong ends with one line on standard error and exit status 2.
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
from tickerplant.stdio import CannotPrint, cannot_print
from tickerplant.venue import VENUES

Command = TypeVar("Command", bound=Callable[..., Any])

NOT_WELL = 1
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
        _complain(str(error))
        sys.exit(USAGE_ERROR)
    except CannotPrint as error:
        sys.exit(cannot_print(error.failure))
    sys.exit(status or 0)


def _complain(text: str) -> None:
    """Write one line on standard error."""
    from tickerplant.formatting import (
        printable,  # what an upstream or the environment says may be in it
    )

    click.echo(printable(f"tickerplant: {text}"), err=True)


def _in_one_line(error: click.ClickException) -> str:
    """Return what is wrong with the command line, and where to see what is right."""
    text = " ".join(error.format_message().split()).rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text} (see {context.command_path} -h)" if context else text


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.version_option(package_name="tickerplant", message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """The futures market-data exchange feed as software you can run."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE_ERROR)


def settings_options(kind: type[Struct]) -> Callable[[Command], Command]:
    """Return a decorator that adds an option for every setting of `kind`, and `--config`."""

    def decorate(command: Command) -> Command:
        for setting in reversed(tuple(settings_of(kind))):
            command = _option(setting)(command)
        return click.option("--config", metavar="FILE", help="TOML file with settings.")(command)

    return decorate


def _option(setting: Setting) -> Callable[[Command], Command]:
    """Return the click option of a setting; values stay text until all places are known."""
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
        _complain(sentence)
    path = config or os.environ.get(CONFIG_VARIABLE)
    file = read_file(path) if path else None
    return resolve(command, kind, given, os.environ, file)


@commands.command()
@settings_options(SimulateSettings)
def simulate(config: str | None, **flags: object) -> int:
    """Serve a simulated market, living and seeded."""
    settings = _settings("simulate", SimulateSettings, config, flags)
    from tickerplant import serving

    return serving.simulate(settings, click.echo)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(ReplaySettings)
def replay(paths: tuple[str, ...], config: str | None, **flags: object) -> None:
    """Serve recordings, joined in time.

    A path is the folder of a recording, a folder of such folders, a segment, or a file
    of lines `<receive time> <message>`, plain, gzip or zstd.
    """
    settings = _settings("replay", ReplaySettings, config, flags)
    from tickerplant import serving

    serving.replay(settings, paths, click.echo)


@commands.command()
@settings_options(RelaySettings)
def relay(config: str | None, **flags: object) -> int:
    """Serve a live upstream: the exchange, or another plant.

    What is heard here is asked for there, once for everybody.
    """
    settings = _settings("relay", RelaySettings, config, flags)
    from tickerplant import serving

    return serving.relay(settings, click.echo)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(VerifySettings)
def verify(paths: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Tell what recordings hold, and whether they are complete.

    Ids, times and checksums are walked, and what the manifest knows is weighed against them.  Each
    folder is a recording; files that are named are one together.  The exit status is 0 if all is
    complete, 1 if there is a hole or damage, 2 if nothing can be read.
    """
    settings = _settings("verify", VerifySettings, config, flags)
    from tickerplant.verifying import verify as verifying

    return verifying.verify(settings, paths, click.echo)


@commands.command()
def streams() -> None:
    """List the streams that can be subscribed to."""
    from tickerplant.explain.words import short_name, speeds_text
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
    _print_table(("stream", *titles, "route", "event", "what it tells"), rows)


@commands.command()
def queries() -> None:
    """List what can be asked, over REST and over the WebSocket API."""
    from tickerplant.explain.words import ways, weight_range
    from tickerplant.queries import QUERIES

    rows = [
        (
            *ways(row, venue),
            venue.title,
            weight_range(row.weight),
            row.allowance or "",
            "yes" if row.requires_key else "",
            row.doc,
        )
        for row in QUERIES
        for venue in row.venues
    ]
    head = ("REST path", "WS API method", "venue", "weight", "allowance", "key", "what it answers")
    _print_table(head, rows)


@commands.command()
@click.argument("given", metavar="URL-OR-STREAM...", nargs=-1, required=True)
@settings_options(ProtocolSettings)
@click.option(
    "--venue",
    type=click.Choice([venue.name for venue in VENUES]),
    help="Whose they are [told by host, path, port or form].",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(
    given: tuple[str, ...],
    config: str | None,
    venue: str | None,
    as_json: bool,
    **flags: object,
) -> int:
    """Tell what URLs, streams and questions would do, without a market.

    A URL or path of a WebSocket connection: what each of its streams carries, how fast, on which
    route, and what stays silent and why.  Stream names: the same, and the connections they need.
    A REST URL or path, or a method of the WebSocket API: what it weighs and takes.  The exit
    status is 1 if anything would be refused or stay silent, 2 if nothing can be explained.
    """
    settings = _settings("explain", ProtocolSettings, config, flags)
    from tickerplant.explain.explanation import explain as explained
    from tickerplant.explain.text import lines_of

    chosen = next((each for each in VENUES if each.name == venue), None)
    found = explained(
        given, PROFILES[settings.profile], strict=settings.routing == "strict", venue=chosen
    )
    if as_json:
        # As bytes: JSON is UTF-8 whatever the terminal is.
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
    else:
        for line in lines_of(found):
            click.echo(line)
    return 0 if found.all_is_well else NOT_WELL


@commands.command()
@click.argument("names", metavar="STREAM...", nargs=-1, required=True)
@settings_options(WatchSettings)
def watch(names: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Watch streams, in a table or line by line.

    On a terminal a table with the latest message of each stream and symbol, its age and delay, and
    what is missing.  Elsewhere a line for each message: when it was received, the stream, the
    payload; what happens to the streams is told on standard error.  Ctrl-C ends it.
    """
    settings = _settings("watch", WatchSettings, config, flags)
    from tickerplant.watching import watch as watching

    return watching.watch(settings, names)


@commands.command()
@click.argument("given", metavar="STREAM...", nargs=-1, required=True)
@settings_options(RecordSettings)
def record(given: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Record streams, as they come, into a folder.

    @FILE stands for the streams in a file, one a line.  Where depth is recorded, snapshots of the
    books are too.  Ctrl-C ends it; the same command continues the recording.
    """
    settings = _settings("record", RecordSettings, config, flags)
    from tickerplant.watching import record as recording

    return recording.record(settings, given)


@commands.command()
@click.argument("name", metavar="METHOD")
@click.argument("given", metavar="[KEY=VALUE]...", nargs=-1)
@settings_options(AskSettings)
def ask(name: str, given: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Ask one question and print the answer.

    METHOD is one of the WebSocket API, such as ticker.price, or a path of REST, such as
    /fapi/v1/klines or, in short, klines.
    """
    settings = _settings("ask", AskSettings, config, flags)
    from tickerplant.watching import ask as asking

    return asking.ask(settings, name, given)


@commands.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@settings_options(ExportSettings)
def export(paths: tuple[str, ...], config: str | None, **flags: object) -> int:
    """Write recordings as files of other tools.

    Parquet in Hive partitions, CSV in the layout of the exchange's public archive, or events of
    hftbacktest.  The same command goes on with what was interrupted, and adds what was recorded
    since.
    """
    settings = _settings("export", ExportSettings, config, flags)
    from tickerplant.exporting import export as exporting

    return exporting.export(settings, paths)


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows so that a terminal can show them; elsewhere each is one line."""
    from tickerplant.explain.text import table

    width = (
        shutil.get_terminal_size().columns
        if sys.stdout is not None and sys.stdout.isatty()
        else None
    )
    for line in table(head, rows, width):
        click.echo(line)
