"""The command line: one function per command, which gets its settings and its arguments.

What a command is, its options and its help, is `command_line/`; its settings are declared in
`config/`.  The work is done by the rooms that a function imports when it runs.  Every usage error
prints one line on standard error and exits with status 2.
"""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from tickerplant import __version__
from tickerplant.command_line.command import HELP_NAMES, Argument, Command, write_examples
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.output import print_error, print_json, print_lines, print_table
from tickerplant.stdio import FAILED, CannotPrint, cannot_print

if TYPE_CHECKING:
    from tickerplant.config import settings as of

Function = TypeVar("Function", bound=Callable[..., int | None])

USAGE_ERROR = 2
SHELLS = ("bash", "zsh", "fish")
SERVE, READ, RECORDINGS, LOOK_UP, PROGRAM = (
    *("Serve a market", "Read a market", "Recordings", "Look up", "Program"),
)
"""The sections of commands in the help of the program."""
PLANT = "ws://127.0.0.1:9001"
PATHS = Argument("paths", "PATH...")
STREAMS = Argument("given", "STREAM...")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit."""
    try:
        status = commands.main(arguments, prog_name="tickerplant", standalone_mode=False)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except CannotPrint as error:
        sys.exit(cannot_print(error.failure))
    except (click.ClickException, TickerplantError, ModuleNotFoundError) as error:
        from tickerplant.command_line.usage_errors import error_text

        words = arguments or sys.argv[1:]
        command = next((word for word in words if word in commands.commands), "it")
        if (text := error_text(error, command)) is None:
            raise
        print_error(text)
        sys.exit(USAGE_ERROR)
    sys.exit(status or 0)


class _Program(click.Group):
    """The program: lists its commands in sections, and suggests similar ones."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each section under its heading."""
        del ctx
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, each in self.commands.items():
            row = (name, each.get_short_help_str(80))
            sections.setdefault(getattr(each, "section", PROGRAM), []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        write_examples(
            (
                ("A simulated market, and what its clients see", "tickerplant simulate"),
                ("In a second terminal", f"tickerplant watch btcusdt@trade --url {PLANT}"),
            ),
            formatter,
        )


@click.group(
    cls=_Program,
    context_settings={"help_option_names": list(HELP_NAMES)},
    invoke_without_command=True,
    subcommand_metavar="COMMAND ...",
)
@click.version_option(
    __version__,
    *("-V", "--version"),
    message="tickerplant %(version)s",
    help="Print the version and exit.",
)
@click.pass_context
def commands(context: click.Context) -> None:
    """Market data of futures exchanges: simulated, replayed, relayed, recorded and checked."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE_ERROR)


def command(
    section: str,
    *examples: tuple[str, str],
    arguments: Sequence[Argument] = (),
    kind: type[Command] = Command,
) -> Callable[[Function], Function]:
    """Return what makes a function a command: its name and its docstring are those of the command.

    Args:
        section: The heading under which it is listed.
        examples: Those in its help: what for, and the command line, in which `$` is the program.
        arguments: Those that the function gets by name, after the settings.
        kind: The class of the command.
    """

    def declare(function: Function) -> Function:
        shown = [(purpose, line.replace("$ ", "tickerplant ")) for purpose, line in examples]
        commands.add_command(
            kind(
                function.__name__.replace("_", "-"),
                callback=function,
                params=list(arguments),
                help=inspect.getdoc(function),
                section=section,
                examples=shown,
            )
        )
        return function

    return declare


@command(
    SERVE,
    ("Both venues on ports 9001 and 9002, from now on", "$ simulate"),
    ("The same crash in every run", "$ simulate --start 2026-01-31 --scenario flash-crash"),
    ("A lost connection every 30 s, on the average", "$ simulate --fault reset=30s"),
    ("Ten thousand clients, on four cores", "$ simulate --workers 4"),
)
def simulate(settings: of.SimulateSettings) -> int:
    """Serve a simulated market."""
    from tickerplant.serving import simulate as serving

    return serving.simulate(settings, click.echo)


@command(
    SERVE,
    ("Ten minutes at ten times the speed", "$ replay tape --from +1h --to +10m --speed 10"),
    ("As fast as two clients read it, once", "$ replay tape --speed 0 --wait-for 2 --exit-at-end"),
    arguments=[PATHS],
)
def replay(settings: of.ReplaySettings, paths: tuple[str, ...]) -> int:
    """Serve recordings as a live feed, merged by time.

    PATH is the folder of a recording, a folder of such folders, a segment, or a file
    of `<receive time> <message>` lines, plain, gzip or zstd.
    """
    from tickerplant.serving import replay as serving

    return serving.replay(settings, paths, click.echo)


@command(
    SERVE,
    ("The exchange, for any number of local clients", "$ relay"),
    ("Another plant, recorded on the way", f"$ relay --usdm-url {PLANT} --record tape"),
)
def relay(settings: of.RelaySettings) -> int:
    """Serve a live upstream: the exchange, or another plant.

    Each stream is subscribed to upstream once and shared by all clients.
    """
    from tickerplant.serving import relay as serving

    return serving.relay(settings, click.echo)


@command(
    SERVE,
    ("For clients of this host alone", "$ edge --bus nats://10.0.0.1:4222"),
    ("For everybody, in four processes", "$ edge --bus nats://nats.lan --host 0.0.0.0 --workers 4"),
)
def edge(settings: of.EdgeSettings) -> int:
    """Serve the clients of a plant on another host.

    The plant runs with --bus and the same NATS server.  An edge has no market: it passes streams
    on, and asks the plant everything else.
    """
    from tickerplant.cluster import program

    return program.edge(settings, click.echo)


@command(
    SERVE,
    ("Addresses and token as one line of JSON, for a test suite", "$ test-server --json"),
    (
        "A fixed port and token, for a service",
        "$ test-server --usdm-port 9001 --control-token test",
    ),
)
def test_server(settings: of.TestServerSettings) -> int:
    """Serve a simulated market for tests.

    A few symbols on free ports, from a fixed time, with a clock that stands still until it makes a
    step, and a control plane with a token that keeps what was (/plant/v1/truth/).  With --json one
    line has the addresses and the token.  It ends with its standard input, if that is a pipe.
    """
    from tickerplant.serving import test_server as serving

    return serving.test_server(settings, click.echo)


class _Control(Command):
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
        from tickerplant.watching.control import ACTIONS

        with formatter.section("Actions"):
            formatter.write_dl([(each.text, each.doc) for each in ACTIONS.values()])
        super().format_options(ctx, formatter)


@command(
    SERVE,
    ("Pause the market and go on by ten seconds", "$ control step 10s"),
    ("Drop a tenth of a stream, for a minute", "$ control fault drop=0.1 stream=*@depth for=60s"),
    arguments=[Argument("action", "ACTION"), Argument("given", "[ARGUMENT]...")],
    kind=_Control,
)
def control(settings: of.ControlSettings, action: str, given: tuple[str, ...]) -> int:
    """Control a running server: its clock, faults, scenarios, levers and connections."""
    from tickerplant.watching import control as controlling

    return controlling.control(settings, action, given)


@command(
    READ,
    ("The streams named in a file, of a local plant", f"$ watch @streams.txt --url {PLANT}"),
    ("Prices for another program", "$ watch btcusdt@aggTrade --json | jq -r .data.p"),
    arguments=[STREAMS],
)
def watch(settings: of.WatchSettings, given: tuple[str, ...]) -> int:
    """Watch streams in a table or line by line.

    STREAM is a name such as btcusdt@trade; @FILE and - read names from a file and from standard
    input, one in each line.  A terminal shows a table with the latest message of each stream and
    symbol, its age and delay, gaps and missing messages.  Otherwise each message is a line with
    receive time, stream and payload; notices go to standard error.  Press Ctrl-C to stop.
    """
    from tickerplant.watching import watch as watching

    return watching.watch(settings, given)


@command(
    READ,
    ("A trading day of two streams", "$ record btcusdt@trade btcusdt@depth -o tape --duration 1d"),
    ("Of a local plant", f"echo btcusdt@trade | $ record - -o tape --url {PLANT}"),
    arguments=[STREAMS],
)
def record(settings: of.RecordSettings, given: tuple[str, ...]) -> int:
    """Record streams to a folder.

    STREAM is a name such as btcusdt@trade; @FILE and - read names from a file and from standard
    input, one in each line.  Books of recorded depth streams are recorded as snapshots too.
    Press Ctrl-C to stop; the same command continues the recording.
    """
    from tickerplant.watching import record as recording

    return recording.record(settings, given)


@command(
    READ,
    ("A method of the WebSocket API", "$ ask ticker.price symbol=BTCUSDT"),
    ("A REST path of a local plant", f"$ ask klines symbol=BTCUSDT interval=1m --url {PLANT}"),
    arguments=[Argument("name", "METHOD"), Argument("given", "[KEY=VALUE]...")],
)
def ask(settings: of.AskSettings, name: str, given: tuple[str, ...]) -> int:
    """Send one request and print the response.

    METHOD is a method of the WebSocket API, such as ticker.price, or a REST path, such as
    /fapi/v1/klines or just klines.
    """
    from tickerplant.watching import ask as asking

    return asking.ask(settings, name, given)


@command(
    RECORDINGS,
    ("Everything in a folder", "$ verify tape"),
    ("For a script: the findings as JSON", "$ verify tape --json | jq .complete"),
    arguments=[PATHS],
)
def verify(settings: of.VerifySettings, paths: tuple[str, ...]) -> int:
    """Check recordings for gaps and damage.

    Checks ids, times and checksums against the manifest.  Each folder is one recording; files
    named together are one recording.  The exit status is 0 if all are complete, 1 if there is a
    gap or damage, 2 if nothing can be read.
    """
    from tickerplant.verifying import verify as verifying

    return verifying.verify(settings, paths, click.echo)


@command(
    RECORDINGS,
    ("All of a recording", "$ plot tape BTCUSDT --out btcusdt.svg"),
    ("The last five minutes, as a PNG", "$ plot tape BTCUSDT --from -5m -o btcusdt.png"),
    arguments=[Argument("path", "PATH"), Argument("symbol", "SYMBOL")],
)
def plot(settings: of.PlotSettings, path: str, symbol: str) -> int:
    """Draw a symbol of a recording: mid and trades, book, spread, volume.

    PATH is what replay takes.  The book is a heat map: the quantity at each price over time.  What
    was not recorded is left empty, and the picture says so.
    """
    from tickerplant.plotting import plot as plotting

    return plotting.plot(settings, path, symbol)


@command(
    RECORDINGS,
    ("Parquet with Hive partitions", "$ export tape --out lake"),
    ("An hour of trades", "$ export tape -o lake --tables trades --from +1h --to +1h"),
    arguments=[PATHS],
)
def export(settings: of.ExportSettings, paths: tuple[str, ...]) -> int:
    """Convert recordings to Parquet, in Hive partitions.

    The same command resumes an interrupted export, and adds newer messages.
    """
    from tickerplant.exporting import export as exporting

    return exporting.export(settings, paths)


@command(
    LOOK_UP,
    ("Why a stream stays silent", "$ explain wss://fstream.binance.com/ws/BTCUSDT@trade"),
    ("The weight of a request", "$ explain '/fapi/v1/depth?symbol=BTCUSDT&limit=500'"),
    arguments=[Argument("given", "URL-OR-STREAM...")],
)
def explain(settings: of.ExplainSettings, given: tuple[str, ...]) -> int:
    """Show what a URL, stream or request would do, offline.

    For a WebSocket URL or path, and for stream names: what each stream sends, at which speed and on
    which route, or why it stays silent.  For a REST URL or path, or a WebSocket API method: its
    weight, or why it is refused.  @FILE and - read a file and standard input, one in each line.
    The exit status is 1 if anything would be refused or stay silent, 2 if nothing can be explained.
    """
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
        print_json(found)
    else:
        print_lines(found.lines())
    return 0 if found.is_ok else FAILED


@command(
    LOOK_UP,
    ("All streams with their speeds", "$ streams"),
    ("Their names only", "$ streams --json | jq -r '.[].stream'"),
)
def streams(settings: of.ListSettings) -> None:
    """List the streams that can be subscribed to."""
    from tickerplant.explain.catalogue import STREAM_TITLES, stream_cells, stream_rows

    rows = stream_rows()
    if settings.json:
        print_json(rows)
    else:
        print_table(STREAM_TITLES, map(stream_cells, rows))


@command(
    LOOK_UP,
    ("All endpoints with their weights", "$ queries"),
    ("The paths only", "$ queries --json | jq -r '.[].rest_path'"),
)
def queries(settings: of.ListSettings) -> None:
    """List the REST endpoints and WebSocket API methods."""
    from tickerplant.explain.catalogue import QUERY_TITLES, query_cells, query_rows

    rows = query_rows()
    if settings.json:
        print_json(rows)
    else:
        print_table(QUERY_TITLES, map(query_cells, rows))


@command(
    LOOK_UP,
    ("What happens in one of the library", "$ scenarios flash-crash"),
    ("To begin one of your own", "$ scenarios flash-crash --toml"),
    ("To check it", "$ scenarios mine.toml"),
    arguments=[Argument("given", "[NAME|FILE]")],
)
def scenarios(settings: of.ScenariosSettings, given: str | None) -> None:
    """List scenarios, show one, or check a file.

    A scenario is a TOML file of timed changes: to the simulated market, such as a crash or a halt,
    and to what clients get, such as lost connections.  Without NAME the library is listed.  With
    the name of one, or a file, it is read and checked, and its changes are shown in their order;
    the exit status is 2 if there is an error in it.
    """
    from tickerplant.serving import scenarios as found

    if given is None:
        if settings.toml:
            raise click.UsageError("--toml prints one scenario: name it")
        rows = found.scenario_rows()
        if settings.json:
            print_json(rows)
        else:
            print_table(found.SCENARIO_TITLES, map(found.scenario_cells, rows))
        return
    scenario = found.scenario_named(given, "NAME|FILE")
    if settings.toml:
        click.echo(found.scenario_text(given), nl=False)
    elif settings.json:
        print_json(found.scenario_page(scenario))
    else:
        print_lines(found.scenario_lines(scenario))


@command(
    PROGRAM,
    ("bash: in ~/.bashrc", 'eval "$($ completions bash)"'),
    ("zsh: in ~/.zshrc, after compinit", 'eval "$($ completions zsh)"'),
    ("fish: in ~/.config/fish/config.fish", "$ completions fish | source"),
    arguments=[Argument("shell", "SHELL", choices=SHELLS)],
)
def completions(shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish.

    It completes commands, options, and the values of options that are choices or files.
    """
    from click.shell_completion import get_completion_class

    from tickerplant.suggestions import one_of

    kind = get_completion_class(shell)
    if kind is None or shell not in SHELLS:
        raise ConfigError("SHELL", shell, one_of(shell, SHELLS))
    click.echo(kind(commands, {}, "tickerplant", "_TICKERPLANT_COMPLETE").source())


@command(PROGRAM, ("For a bug report", "$ version --json"))
def version(settings: of.ListSettings) -> None:
    """Print the version; with --json also those of Python and the libraries."""
    from tickerplant.command_line.versions import versions

    found = versions()
    if settings.json:
        print_json(found)
    else:
        click.echo(f"tickerplant {found.version}")
