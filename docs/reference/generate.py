"""Writes the reference pages from the tables of the program; with `--check`, compares only.

Every page is a function that returns its text.  Nothing here is known twice: names, numbers and
sentences come from the rows that the program itself runs by.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import alert_pages
import page_text
import python_pages
import scenario_pages
from msgspec import Struct, structs
from page_text import Cells, one_line, sentences, table
from prometheus_client.core import Metric

from tickerplant import cli
from tickerplant.archive import tables
from tickerplant.archive.outage_log import Hole, Outage
from tickerplant.command_line.versions import Versions
from tickerplant.config.setting import ENVIRONMENT_PREFIX, Setting, settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.documented_fields import field_docs
from tickerplant.edge.metrics import EDGE_ROWS, PLANT_ROWS
from tickerplant.edge.server import LONGEST_SCAN_PAUSE_S
from tickerplant.errors import RequestError
from tickerplant.explain.catalogue import (
    ParamRow,
    QueryRow,
    StreamRow,
    allowance_text,
    endpoint_names,
    speeds_text,
    weight_rule,
)
from tickerplant.explain.verdict import Verdict, Verdicts
from tickerplant.exporting.report import ExportReport
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.row import ActsOn, FaultRow
from tickerplant.faults.rows import EXEMPT_HEADER, FAULT_ROWS
from tickerplant.faults.rule import AIM_DOCS, WINDOW_DOCS
from tickerplant.feed.reconnect import ENDINGS
from tickerplant.feed.settings import ClientSettings
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES, Profile
from tickerplant.protocol import client_requests
from tickerplant.protocol.api_session import REJECTED_KEY
from tickerplant.protocol.client_requests import ControlError, read_request
from tickerplant.protocol.close_reasons import CLOSE_REASONS, OTHER_ENDS
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS
from tickerplant.protocol.limits_page import USE_ROWS
from tickerplant.protocol.rate_limiter import TOO_MANY_REQUESTS
from tickerplant.queries import QUERIES, request_errors
from tickerplant.queries.account_requests import ACCOUNT_REQUESTS
from tickerplant.queries.param import Param
from tickerplant.queries.query import Query
from tickerplant.recording import manifest, manifest_entries
from tickerplant.recording.line import Damage, Place
from tickerplant.replaying.lateness import Lateness
from tickerplant.server import rest
from tickerplant.server.congestion import Congestion
from tickerplant.server.flushing import Flusher
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.metrics import PREFIX, PlantCollector, PortsCollector
from tickerplant.server.operations.catalogue import OPERATIONS
from tickerplant.server.operations.faults import FAULTS_PATH, FaultRule, FaultsPage
from tickerplant.server.operations.operation import Operation, QueryParam
from tickerplant.server.readiness import Readiness
from tickerplant.serving import lines
from tickerplant.serving.scenarios import ChangeRow, ScenarioPage, ScenarioRow
from tickerplant.simulation.lever_board import MOST_LEVERS
from tickerplant.simulation.levers import LEVER_ROWS, LeverParam, LeverState
from tickerplant.sources.relay import COUNTERS, GAUGES
from tickerplant.sources.speed import SpeedWatch
from tickerplant.streams import CATALOGUE
from tickerplant.streams.stream import Stream
from tickerplant.truth.truth import Truth
from tickerplant.venue import VENUES
from tickerplant.verifying.findings import (
    BookFinding,
    Break,
    Findings,
    Gap,
    RecordingFinding,
    StreamFinding,
    Unknown,
)
from tickerplant.watching.record_report import RecordReport

FOLDER = Path(__file__).parent
DECISIONS = FOLDER.parent / "decisions"
HELP_COLUMNS = 78
"""What is printed on a terminal of 80."""
STALE = 1

ODD_MESSAGES = (
    '{"method": "SUBSCRIBE", "params": ["btcusdt@trade"',
    "[]",
    '{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": -1}',
    '{"params": ["btcusdt@trade"], "id": 1}',
    '{"method": "subscribe", "params": ["btcusdt@trade"], "id": 1}',
    '{"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 1}',
    '{"method": "SUBSCRIBE", "params": [7], "id": 1}',
    '{"method": "LIST_SUBSCRIPTIONS", "params": ["btcusdt@trade"], "id": 1}',
    '{"method": "GET_PROPERTY", "params": [], "id": 1}',
    '{"method": "GET_PROPERTY", "params": ["joined"], "id": 1}',
    '{"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}',
)
"""Messages with one error each, for the examples on the page."""

ODD_REQUESTS = (
    '{"id": 1, "method": "ticker.book"',
    '"ticker.book"',
    '{"id": 1}',
    '{"id": 1, "method": "ticker.book", "params": []}',
    '{"id": [], "method": "ticker.book"}',
    '{"id": 1, "method": "ticker.book", "params": {"returnRateLimits": 1}}',
)
"""WebSocket API requests with one error each."""

SEE_ALSO = {
    "Streams": "[Messages](python-messages.md) has the fields of each message; [Explain a URL](../how-to/watch-and-ask.md#explain-a-url) shows what a name would deliver.",
    "Queries": "[Watch, ask and explain](../how-to/watch-and-ask.md) sends one; [Errors](errors.md) lists what can go wrong.",
    "Errors": "[Limits](limits.md) are behind 429 and 418; [Close reasons](closing.md) are for connections.",
    "Settings": "[Command line](cli.md) has the same options by command.",
    "Command line": "[Settings](settings.md) has the environment and file name of each option; [Exit statuses](exit-statuses.md).",
    "Metrics": "[Operate a server](../how-to/operate.md) has a dashboard; [Alerts](alerts.md) says which to watch; [Operations](operations.md) has the pages of the server.",
    "Profiles": "[Streams](streams.md) lists the paths in `current`; [Settings](settings.md) has `--profile` and `--routing`.",
    "Levers": "[Operations](operations.md) has the pages of the server; [Faults on demand](faults.md) are what goes wrong between the market and its clients.",
    "Limits": "[Change limits](../how-to/inject-faults.md#change-limits).",
    "Close reasons": "[Endings](endings.md) says what the client then does; [Slow clients](../explanation/slow-clients.md).",
    "Tables": "[Read a recording](../how-to/read-a-recording.md#parquet).",
    "The manifest": "[Verify a recording](../how-to/verify.md) reads it.",
}
"""The way on from each page, by its title."""


def page(title: str, *parts: str) -> str:
    """Return a page with its heading, and the way on."""
    return page_text.page(title, *parts, see_also=SEE_ALSO.get(title, ""))


def streams_page() -> str:
    """Return the page of all streams."""
    return page(
        "Streams",
        "All streams; `tickerplant streams` prints the same.",
        "Symbols are in lower case in stream names.\n"
        "A part in angle brackets with alternatives stands for one of them.\n"
        "Any other name is acknowledged and stays silent, as on the exchange.\n"
        "What a stream becomes for a client that is behind and asked for `delivery=latest`: "
        "[Slow clients](../explanation/slow-clients.md).",
        *(
            f"## `{stream.pattern.text}`\n\n{stream.doc}\n\n{table(('', ''), _about(stream))}"
            for stream in CATALOGUE
        ),
    )


def _about(stream: Stream) -> Iterable[Cells]:
    events = ", ".join(f"`{event}`" for event in stream.events)
    yield "event", events + (", in an array" if stream.array else "")
    for venue in VENUES:
        if venue in stream.venues:
            yield f"speed on {venue.title}", speeds_text(stream, venue)
    yield "path in `current`", f"`/{stream.route}`"
    yield "with `delivery=latest`", stream.conflation.value


def queries_page() -> str:
    """Return the page of all queries."""
    return page(
        "Queries",
        "What can be asked, over REST and over the WebSocket API; "
        "`tickerplant queries` prints the same.",
        "A parameter that is not listed is not looked at.\n"
        "The weight is charged to the address of the client; "
        "whether both venues charge one budget is a matter of the [profile](profiles.md).",
        *(_query(query) for query in QUERIES),
        "## Orders and accounts",
        "There are none: with a key or without one, these answer 401 and -2014, over REST and over "
        "the WebSocket API, and the first of them is logged.",
        table(("path or method", "HTTP methods", "venue"), _account_requests()),
    )


def _account_requests() -> Iterable[Cells]:
    """Yield a row for each path and method about accounts."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for row in ACCOUNT_REQUESTS:
        titles, verbs = found.setdefault(row.path or row.method, {"in": {}, "by": {}}).values()
        titles[row.venue.title] = None
        verbs[row.http_method] = None
    for name, each in found.items():
        yield f"`{name}`", ", ".join(each["by"]), ", ".join(each["in"])


def _query(query: Query) -> str:
    places = [(endpoint_names(query, venue), venue) for venue in query.venues]
    listed = [f"REST `{path}`" for (path, _), _ in places if path]
    listed += [
        f"WebSocket API `{method}` ({venue.title})" for (_, method), venue in places if method
    ]
    where = "" if len(query.venues) > 1 else f" on {query.venues[0].title}"
    parts = [
        f"## `{query.method or query.path}`{where}",
        query.doc,
        "\n".join(f"- {place}" for place in listed),
    ]
    parts.append(f"Weight: {weight_rule(query)}.")
    if allowance := allowance_text(query):
        parts.append(f"Allowance: {allowance}.")
    if query.requires_key:
        parts.append("REST requires an API key in `X-MBX-APIKEY`; any key is accepted.")
    if query.params:
        parts.append(table(("parameter", "meaning", "default"), map(_param, query.params)))
    return "\n\n".join(parts)


def _param(param: Param) -> Cells:
    default = "" if param.default is None else str(param.default)
    return f"`{param.name}`", param.doc, "required" if param.required else default


def limits_page() -> str:
    """Return the page of the protocol's numbers."""
    return page(
        "Limits",
        "The limits that the server enforces.",
        "Each can be set: `--limit lifetime_ms=60000`, see [settings](settings.md).\n"
        "With `--limits off`, exceeding one is counted and not refused; "
        "[Change limits](../how-to/inject-faults.md#change-limits) says which still apply.\n"
        "A clock is connection time or the machine's, which differ in a test server: "
        "[Time](../explanation/time.md#connection-time).\n"
        "How close clients come: [`/plant/v1/limits`](operations.md).",
        table(
            ("name", "default", "unit", "minimum", "clock", "what it limits", "source"),
            (
                (
                    f"`{row.name}`",
                    f"{int(row.default)}",
                    row.unit,
                    f"{row.least}",
                    row.clock,
                    row.doc,
                    row.source,
                )
                for row in LIMIT_ROWS
            ),
        ),
    )


_FAULT_SECTIONS: dict[ActsOn, tuple[str, str]] = {
    "handshake": ("Handshakes", "They refuse WebSocket connections."),
    "connection": ("Connections", "They act on open WebSocket connections."),
    "message": ("Messages", "They act on the messages of streams."),
    "subscription": ("Subscriptions", "They act on SUBSCRIBE and on the names in URLs."),
    "api": ("WebSocket API requests", "They act on the replies of the WebSocket API."),
    "rest": (
        "REST requests",
        (
            "They act on requests to the paths of the [queries](queries.md), never on the pages of "
            "[operations](operations.md); a refused request is not charged."
        ),
    ),
    "snapshot": ("Snapshots", "They act on the answers of depth requests, REST and WebSocket API."),
    "clock": ("Times", "They act on the times that the exchange tells."),
}


def faults_page() -> str:
    """Return the page of faults on demand."""
    sections = []
    for acts_on, (title, text) in _FAULT_SECTIONS.items():
        rows = [row for row in FAULT_ROWS if row.acts_on == acts_on]
        if not rows:
            continue
        sections += [f"## {title}", text]
        sections += [f"### `{row.name}`\n\n{_fault_text(row)}" for row in rows]
    return page(
        "Faults on demand",
        "Faults that the server injects on request; "
        "[Inject faults](../how-to/inject-faults.md) shows how.",
        "There is none unless somebody asks for it: `--fault reset=30s` at the start "
        "(see [settings](settings.md)), `POST /plant/v1/faults` while it runs "
        "(see [operations](operations.md)).\n"
        "A fault that is on is a *rule*: a kind, its parameters, what it is aimed at, and when it "
        "happens.\n"
        "Without `share` and `mean`, it happens at every occasion.",
        "The same rule as text, as a table of a configuration file, and as JSON:",
        "```text\nstall=5s@1m stream=btcusdt@depth* after=100\n```",
        '```toml\nfault = [{ kind = "stall", time = "5s", mean = "1m", stream = "btcusdt@depth*", after = 100 }]\n```',
        '```json\n{"kind": "stall", "time": "5s", "mean": "1m", "stream": "btcusdt@depth*", "after": 100}\n```',
        "## What a rule is aimed at",
        "Without an aim, it is aimed at everything that its kind acts on.",
        table(("key", "meaning"), ((f"`{name}`", doc) for name, doc in AIM_DOCS.items())),
        "## When it happens",
        table(("key", "meaning"), ((f"`{name}`", doc) for name, doc in WINDOW_DOCS.items())),
        "In a simulation and a replay, faults happen at market times, between the same events in "
        "every run, and a paused market pauses them; in a relay and at edges, and for delayed "
        "answers to requests, they follow the clock of the server.\n"
        "What happens by chance follows from `--fault-seed`, the number of the rule among those of "
        "its kind, and the number of the connection.",
        *sections,
        "## Exempt clients",
        f"Handshakes and requests with the header `{EXEMPT_HEADER}: 1` are never faulted.\n"
        "If several faults would refuse the same handshake or request, the rule that was added first "
        "does.",
        f"## `{FAULTS_PATH}`",
        "The rules and how often each happened, as JSON; the same on both ports.",
        table(("key", "meaning"), _fields(FaultsPage)),
        "Each rule has",
        table(("key", "meaning"), _fields(FaultRule)),
        "The counts are also in `tickerplant_faults_total` of the [metrics](metrics.md), and the rules "
        "that wait or are on in `tickerplant_fault_rules`.",
    )


def _fault_text(row: FaultRow) -> str:
    """Return what a fault does, its parameters and its aims."""
    short = f"Short form: `{row.form}`." if row.value else "Short form: its name."
    aims = ", ".join(f"`{name}`" for name in row.aim_names)
    parts = [row.doc, f"{short}\nAims: {aims}."]
    if row.params:
        parts.append(
            table(
                ("parameter", "value", "meaning"),
                (
                    (
                        f"`{each.name}`",
                        f"{each.expected}{'; required' if each.required else ''}",
                        each.doc,
                    )
                    for each in row.params
                ),
            )
        )
    return "\n\n".join(parts)


def levers_page() -> str:
    """Return the page of the levers of the simulated market."""
    common = (
        ("`market`", "The name of the lever."),
        ("`symbols`", "A symbol, or a list of symbols; without it, all contracts that match."),
        ("`venue`", f"`{VENUES[0].name}` or `{VENUES[1].name}`; without it, both."),
        ("`for`", "How long it holds, in market time; without it, until it is released."),
    )
    held = ", ".join(f"`{row.name}`" for row in LEVER_ROWS if row.has_duration)
    parts = [
        "A lever is a flat mapping, the same in JSON, TOML and Python.",
        table(("key", "meaning"), common),
        (
            f"`for` is a key of {held}; the others end by themselves.\n"
            "Durations are market time.\n"
            "Levers that overlap act together: factors and shares multiply, premiums and funding rates "
            "add up, and a contract is halted until the last of its halts ends.\n"
            "A fair value belongs to the underlying, so `shock`, `volatility` and `funding` act on all "
            "contracts of the underlyings of those that are named.\n"
            "A release ends a lever where it is: what it has moved stays, a premium goes back within "
            "seconds, and announced listings and deliveries take place.\n"
            f"At most {MOST_LEVERS} levers wait or are on at a time; one more is refused."
        ),
    ]
    for row in LEVER_ROWS:
        parts += [f"## `{row.name}`", one_line(row.doc)]
        if row.params:
            head = ("key", "value", "meaning", "default")
            parts.append(table(head, map(_lever_param, row.params)))
    parts += [
        "## State",
        "Each lever that waits or is on has",
        table(("key", "meaning"), _fields(LeverState)),
    ]
    return page(
        "Levers",
        "What changes the simulated market while it runs; "
        "[the simulated market](../explanation/the-simulated-market.md#levers) says what they model.",
        *parts,
    )


def _lever_param(param: LeverParam) -> Cells:
    default = (
        "required"
        if param.default is None
        else f"`{str(param.default).removesuffix('.0').lower()}`"
    )
    expected = "a duration" if param.kind == "duration" else param.expected
    return f"`{param.name}`", expected, param.doc, default


def closing_page() -> str:
    """Return the page of close reasons."""
    return page(
        "Close reasons",
        "Why the server closes a WebSocket connection.",
        "The name is the `reason` label of `tickerplant_connections_closed_total` and of the log.\n"
        "The last three are ends that the server does not choose; "
        "`fault` is one of the [faults on demand](faults.md).\n"
        "Requests before the frame that ends a connection are answered before the close frame.",
        table(
            ("name", "code", "text of the close frame", "reconnect at once", "when"),
            [
                *(
                    (
                        f"`{row.name}`",
                        f"{row.code}",
                        row.reason,
                        "yes" if row.should_reconnect else "no",
                        row.doc,
                    )
                    for row in CLOSE_REASONS
                ),
                *((f"`{name}`", "", "", "", doc) for name, doc in OTHER_ENDS.items()),
            ],
        ),
    )


def endings_page() -> str:
    """Return the page of what a client does when a connection ends."""
    defaults = ClientSettings()
    return page(
        "Endings",
        "What the client does when a connection, or an attempt to open one, ends.",
        "It always retries.\n"
        f"The pause is {defaults.retries.retry_base_ms} ms, doubled after each consecutive failed attempt, up to "
        f"{defaults.retries.retry_max_ms // 1_000} s; of this, a random part between half and all is used, and the "
        "minimum in the table is added.\n"
        f"After a connection that lasted {defaults.retries.stable_after_ms // 1_000} s the pause starts over, and "
        "if the table has no minimum, the next attempt follows within a tenth of a second.",
        "A connection that is dropped because another has replaced it, or because its streams have no "
        "consumers, is not listed here.\n"
        "The notices to consumers: [never blind](../explanation/never-blind.md); "
        "the reasons that the server gives: [close reasons](closing.md).",
        table(
            ("name", "minimum pause", "when, and what happens"),
            ((f"`{row.name}`", f"{row.min_pause_ms / 1_000:g} s", row.doc) for row in ENDINGS),
        ),
    )


def errors_page() -> str:
    """Return the page of error codes."""
    return page(
        "Errors",
        "The error responses of the server.",
        "## On stream connections",
        'The reply is `{"error":{"code":…,"msg":…},"id":…}`.\n'
        "Codes 2, 3 and 4 end the connection after the reply.\n"
        f"Code 4 means more than {LIMITS.max_streams} streams.",
        table(("code", "invalid message", "response"), map(_control_error, ODD_MESSAGES)),
        "## In requests to the WebSocket API",
        "Errors in the form of a request.",
        table(("code", "status", "invalid request", "response"), map(_api_error, ODD_REQUESTS)),
        "## In the parameters, over REST and the WebSocket API",
        'REST answers `{"code":…,"msg":…}` with the HTTP status; '
        "the WebSocket API has the same under `error`.\n"
        "Codes -1101, -1103 and -1104 are never sent: unknown parameters are ignored, because clients "
        "that sign everything send keys and times with every request.",
        table(("code", "status", "when", "message"), refusals()),
        "## Access",
        "Errors that depend on the client and the path.",
        table(("code", "status", "when"), ACCESS_ERRORS),
    )


ACCESS_ERRORS: Sequence[Cells] = (
    (
        f"{TOO_MANY_REQUESTS}",
        "429",
        "The address has used up its request weight, or an allowance.",
    ),
    (f"{TOO_MANY_REQUESTS}", "418", "The address continued after that and is banned."),
    (f"{rest.BAD_PATH}", "404", "Nothing is served at this path."),
    (f"{rest.BAD_PATH}", "405", "The path supports only GET and HEAD."),
    ("", "400", "An HTTP request was sent to a WebSocket path, or the URL is not Unicode."),
    ("", "414", f"The URL is longer than {LIMITS.max_uri_bytes} bytes."),
    (f"{client_requests.UNSUPPORTED_OPERATION}", "400", "The WebSocket API has no such method."),
    (f"{REJECTED_KEY}", "401", "`session.logon`: this server has no accounts."),
)


def _control_error(text: str) -> Cells:
    try:
        read_request(text, LIMITS.max_name_bytes)
    except ControlError as error:
        return f"{error.code}", f"`{text}`", error.message
    raise ValueError(f"{text} has no error")


def _api_error(text: str) -> Cells:
    problem = client_requests.read_api_request(text).problem
    if problem is None:
        raise ValueError(f"{text} has no error")
    return f"{problem.code}", f"{problem.status}", f"`{text}`", problem.message


def refusals() -> Iterable[Cells]:
    """Yield a row for each error in the parameters of a request."""
    for error, when in sorted(_refusals(), key=lambda found: -found[0].code):
        yield f"{error.code}", f"{error.status}", when, f"`{error.message}`"


def _refusals() -> Iterable[tuple[RequestError, str]]:
    for _, refuse in inspect.getmembers(request_errors, inspect.isfunction):
        blanks = {name: f"<{name}>" for name in inspect.signature(refuse).parameters}
        yield refuse(**blanks), inspect.getdoc(refuse) or ""


def settings_page() -> str:
    """Return the page of settings."""
    parts = []
    for command, kind in COMMANDS.items():
        rows = (_setting_row(setting) for setting in settings_of(kind))
        head = ("option", "environment", "key", "default", "what it does")
        parts.append(f"## `tickerplant {command}`\n\n{table(head, rows)}")
    return page(
        "Settings",
        "A setting has one name in three places: option `--usdm-port`, environment variable "
        "`TICKERPLANT_USDM_PORT`, and key `usdm_port` in a TOML file.\n"
        "Options beat the environment, which beats the file named by `--config` "
        "(or `TICKERPLANT_CONFIG`), which beats the defaults.",
        "For one command or for all: `TICKERPLANT_REPLAY_SPEED` applies to `replay` alone and beats "
        "`TICKERPLANT_SPEED`, which applies to every command with the setting.\n"
        "In the file, a key in the table `[replay]` applies to `replay` alone and beats a key at the "
        "top, which applies to every command with the setting.\n"
        "The tables below list the variables for all commands.\n"
        "A command ignores the settings of others, so one file and one environment can serve all.\n"
        "An unknown key or table is an error.\n"
        f"An unknown variable that begins with `{ENVIRONMENT_PREFIX}` is reported on standard error "
        "and ignored.",
        table(
            ("value", "how to write it"),
            (
                ("DURATION", "A number with a unit: `500ms`, `10s`, `15m`, `2h`, `1d`."),
                (
                    "TIME",
                    (
                        "An ISO date, UTC unless it has a time zone: `2026-01-31`, "
                        "`2026-01-31T12:00`, `2026-01-31T12:00:00+01:00`; or ms or ns since 1970. "
                        "Where a recording gives a base, also an offset: `--from +90s` counts from its "
                        "beginning, `--to +1h` from `--from`, and `-5m` from its end in both."
                    ),
                ),
                ("SIZE", "A number with a unit: `256MB`, `2GB`; units are powers of 1024."),
                (
                    "NAME,…",
                    (
                        "Names separated by commas; the option may be repeated. `@FILE` stands for the "
                        "names in a file, one in each line, and `-` for those on standard input; `#` "
                        "begins a comment. In TOML also a list."
                    ),
                ),
                (
                    "NAME=NUMBER",
                    "Several separated by commas; the option may be repeated. In TOML also a table.",
                ),
                (
                    "(none)",
                    (
                        "A flag: `--loop` turns it on, and `--no-loop` turns off what the environment or "
                        "the file turned on. There, write `true` or `false`."
                    ),
                ),
            ),
        ),
        *parts,
    )


def _setting_row(setting: Setting) -> Cells:
    values = f" One of {', '.join(setting.choices)}." if setting.choices else ""
    return (
        ", ".join(f"`{name}`" for name in reversed(setting.names)),
        f"`{setting.environment}`",
        f"`{setting.key}`",
        setting.shown_default,
        setting.help_text + values,
    )


def cli_page() -> str:
    """Return the page of commands: what `--help` prints."""
    root = cli.commands.make_context(
        "tickerplant", [], resilient_parsing=True, terminal_width=HELP_COLUMNS
    )
    parts = [f"```text\n{root.get_help()}\n```"]
    for name, command in cli.commands.commands.items():
        context = command.make_context(name, [], parent=root, resilient_parsing=True)
        parts.append(f"## `tickerplant {name}`\n\n```text\n{context.get_help()}\n```")
    return page(
        "Command line",
        "Usage errors print one line on standard error and exit with status 2; "
        "[all exit statuses](exit-statuses.md).\n"
        "Options can also be set in the environment and in a file: [settings](settings.md).\n"
        "`--json` prints what a command reports as JSON: [JSON output](json-output.md).\n"
        "`-q` and `-v` are short for `--log-level warning` and `--log-level debug`.",
        "To complete commands, options, choices and files with the Tab key, add one line "
        "to the settings of your shell:",
        table(
            ("shell", "file", "line"),
            (
                ("bash", "`~/.bashrc`", '`eval "$(tickerplant completions bash)"`'),
                ("zsh", "`~/.zshrc`, after `compinit`", '`eval "$(tickerplant completions zsh)"`'),
                (
                    "fish",
                    "`~/.config/fish/config.fish`",
                    "`tickerplant completions fish \\| source`",
                ),
            ),
        ),
        *parts,
    )


def json_output_page() -> str:
    """Return the page of what commands print with `--json`."""
    parts = []
    for title, about, kinds in JSON_OUTPUT:
        parts.append(f"## {title}\n\n{about}")
        for kind in kinds:
            name = f"**{kind.__name__}**: " if len(kinds) > 1 else ""
            first = one_line(sentences(kind))
            rows = table(("key", "type", "meaning"), _json_fields(kind))
            parts.append(f"{name}{first}\n\n{rows}" if name else rows)
    return page(
        "JSON output",
        "Every command that reports something prints it as JSON with `--json`, on standard output.\n"
        "The JSON is UTF-8; new keys may be added, and the ones listed here stay.\n"
        "Usage errors stay one line on standard error.",
        *parts,
    )


JSON_OUTPUT: tuple[tuple[str, str, tuple[type[Struct], ...]], ...] = (
    (
        "`simulate`, `test-server`, `replay`, `relay`",
        "One line when the server is ready, and one when it has ended, told apart by `event`.",
        (lines.Ready, lines.Addresses, lines.Totals),
    ),
    (
        "`watch`",
        (
            "One line for each message: `received` (UTC, in microseconds), `stream`, and `data`, the "
            "payload as it was received.\n"
            "On standard error, one line for each notice: `notice` (its kind), `time`, `text`, and the "
            "fields of its [class](python-notices.md); and at the end `totals`, with `text`, `streams`, "
            "`seconds` and the counters."
        ),
        (),
    ),
    ("`record`", "One line at the end.", (RecordReport,)),
    (
        "`ask`",
        (
            "The response of the server. It is always JSON; with `--json` it is on one line on a "
            "terminal, too."
        ),
        (),
    ),
    (
        "`control`",
        "The answer of the server, as [Operations](operations.md) describes it.",
        (),
    ),
    (
        "`verify`",
        (
            "One document; [Verify a recording](../how-to/verify.md) says what counts as a gap.\n"
            "Times are receive times in ns since the epoch, 0 where there is none.\n"
            "Every key is always present."
        ),
        (
            Findings,
            RecordingFinding,
            StreamFinding,
            Gap,
            Outage,
            BookFinding,
            Unknown,
            Break,
            Damage,
            Place,
        ),
    ),
    ("`export`", "One document at the end.", (ExportReport, Hole)),
    (
        "`explain`",
        "One document.",
        (Verdicts, Verdict),
    ),
    ("`streams`", "A list of objects.", (StreamRow,)),
    ("`queries`", "A list of objects.", (QueryRow, ParamRow)),
    (
        "`scenarios`",
        "A list of objects; with the name of a scenario or a file, one document.",
        (ScenarioRow, ScenarioPage, ChangeRow),
    ),
    ("`version`", "One document.", (Versions,)),
)
"""The commands with `--json`: their heading, what they print, and the classes of its objects."""


def _json_fields(kind: type[Struct]) -> Iterable[Cells]:
    docs, types = field_docs(kind), get_type_hints(kind)
    if kind.__struct_config__.tag is not None:
        yield f"`{kind.__struct_config__.tag_field}`", "text", f"`{kind.__struct_config__.tag}`."
    for field in structs.fields(kind):
        doc = docs.get(field.name, "").replace("None", "`null`")
        yield f"`{field.encode_name}`", _json_type(types[field.name]), doc


def _json_type(hint: object) -> str:
    """Return the JSON type of a field in words, with `null` if it may be missing."""
    is_optional = get_origin(hint) in {Union, UnionType} and type(None) in get_args(hint)
    kind = _bare(hint) if get_origin(hint) is not Literal else str
    elements = [each for each in get_args(hint) if _is_struct(each)]
    if _is_struct(kind):
        words = _object_name(kind)
    elif kind in {list, tuple} and elements:
        words = f"list of {_object_name(elements[0])}"
    else:
        words = _JSON_TYPES.get(kind, "text")
    return f"{words} or null" if is_optional else words


def _is_struct(kind: object) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Struct)


def _object_name(kind: object) -> str:
    """Return the name of the class of an object, as it stands above its table."""
    return f"`{kind.__name__}`" if inspect.isclass(kind) else ""


_JSON_TYPES: Mapping[object, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "number",
    list: "list",
    tuple: "list",
}


def metrics_page() -> str:
    """Return the page of metrics."""
    plant = Plant((), start_ms=0)
    flusher = Flusher((), Congestion(LIMITS, lambda: 0))
    ports = PortsCollector((), flusher, Complaints(), FaultBoard(MarketClock(plant.timers)))
    collector = PlantCollector(plant, ports, (), Readiness(), Complaints(), Truth())
    return page(
        "Metrics",
        "The metrics of both venues, served at `/metrics` on either port in the Prometheus text format.",
        "The `process_…` and `python_info` metrics of the Prometheus library are included.",
        table(("name", "type", "labels", "what it counts"), map(_metric, collector.collect())),
        "## Of the source",
        "Only sources of that kind have them.",
        table(("name", "type", "labels", "of", "what it counts"), _source_metrics()),
        "## With several processes",
        "Every sample has the label `worker`: `plant` for the process with the market, and the number or "
        "the name of an edge.\n"
        "Any of the processes serves the metrics of all.",
        table(
            ("name", "type", "of", "what it counts"),
            (
                (
                    _metric_name(row.name, row.type),
                    row.type,
                    whose,
                    row.doc,
                )
                for rows, whose in ((PLANT_ROWS, "the plant"), (EDGE_ROWS, "an edge"))
                for row in rows
            ),
        ),
    )


def _source_metrics() -> Iterator[Cells]:
    paced = (
        ("a simulation or a replay at a pace", SpeedWatch().samples()),
        ("a replay at a pace", Lateness().samples()),
    )
    for whose, samples in paced:
        for each in {sample.name: sample for sample in samples}.values():
            labels = ", ".join(f"`{label}`" for label in each.labels)
            yield _metric_name(each.name, each.type), each.type, labels, whose, each.doc
    for kind, readings in (("gauge", GAUGES), ("counter", COUNTERS)):
        for name, (_, doc) in readings.items():
            yield _metric_name(name, kind), kind, "`venue`", "a relay", doc


def _metric_name(name: str, kind: str) -> str:
    return f"`{PREFIX}{name}{'_total' if kind == 'counter' else ''}`"


def _metric(family: Metric) -> Cells:
    name = family.name + ("_total" if family.type == "counter" else "")
    # The library shows the labels of a family only by its samples, and here are none.
    labels = ", ".join(f"`{label}`" for label in family._labelnames)  # type: ignore[attr-defined]  # noqa: SLF001
    return f"`{name}`", family.type, labels, family.documentation


def manifest_page() -> str:
    """Return the page of the lines of a manifest."""
    return page(
        "The manifest",
        f"`{manifest_entries.MANIFEST}` in the folder of a [recording](recording-format.md): one JSON object "
        "a line, in the order in which things happened.\n"
        "Lines are only ever added.\n"
        "Each has a `kind` and `time_ns`, when it was written, ns since the epoch by the clock of "
        "the recorder.\n"
        f"How many there are, and the SHA-256 of all of them, stands in `{manifest.TAIL}`.\n"
        "A key whose value is the default (empty, 0 or none) may be missing, and who meets a `kind` "
        "that is not listed here passes the line over.",
        *(
            "\n\n".join(
                (
                    f"## `{kind.__struct_config__.tag}`",
                    one_line(sentences(kind)),
                    table(("key", "type", "meaning"), _entry_fields(kind)),
                )
            )
            for kind in get_args(manifest_entries.AnyEntry)
        ),
    )


def _entry_fields(kind: type[Struct]) -> Iterable[Cells]:
    docs, types = field_docs(kind), get_type_hints(kind)
    for field in structs.fields(kind):
        if field.name in docs:
            yield f"`{field.encode_name}`", _JSON_WORDS[_bare(types[field.name])], docs[field.name]


_JSON_WORDS: Mapping[object, str] = {int: "number", str: "text", tuple: "list", dict: "object"}


def _bare(hint: object) -> object:
    """Return the class of values of a field, be there one or not."""
    is_optional = get_origin(hint) in {Union, UnionType}
    (kind,) = set(get_args(hint)) - {type(None)} if is_optional else {hint}
    return get_origin(kind) or kind


def profiles_page() -> str:
    """Return the page of protocol profiles."""
    return page(
        "Profiles",
        "The exchange changes its message formats from time to time; a profile is one period of them.",
        "Select one with `--profile`.\n"
        "A recorder and a relay ask the server for its profile, at `/plant/v1/profile`, which needs no token; "
        "the exchange has nothing there, and the `current` one. "
        "They start with no other answer: name the profile then. "
        "A replay serves the profile that the recording says.\n"
        "In every profile, clients may use paths with and without `/public` and `/market`.\n"
        "`--routing` decides whether a stream stays silent on the wrong path.",
        table(("", *(f"`{name}`" for name in PROFILES)), _profile_rows()),
        "## How sure this is",
        "What was measured on the exchange is not always what is documented, and one measurement may be wrong.",
        table(("on the exchange in late 2026", "evidence", "here, in `current`"), OBSERVED),
    )


OBSERVED = (
    (
        "risks of deleveraging in capitals, four, every 30 minutes",
        "two sets of recorded rows",
        "yes",
    ),
    ("nine kinds of underlying", "`exchangeInfo`", "yes"),
    ("a signed path without a key: 401, `-2014`", "two kinds of source", "yes, in every profile"),
    (
        "weights of `indexInfo`, `insuranceBalance`, `constituents`, and of `depth` without `limit`",
        "one client each, repeated",
        "yes",
    ),
    ("no used weight with `/futures/data/…`", "one client", "yes"),
    ("keys of the 24-hour ticker of all symbols sorted", "two notes", "yes"),
    ("`X-MBX-USED-WEIGHT-1M: -1` with `trades`", "one client", "no: clients would count with it"),
    ("bans at `/futures/data/…` below the documented 1,000 requests", "one third party", "no"),
    ("`<symbol>@continuousKline_1s`", "a schema; nobody saw a message", "no"),
    (
        "`/ws` and `/stream` take no new subscriptions on USDⓈ-M",
        "in conflict with frames of 2026-08-01",
        "no: they deliver the public streams",
    ),
)
"""What was observed, how well it is founded, and whether the profile `current` follows."""


def _profile_rows() -> Iterable[Cells]:
    profiles = tuple(PROFILES.values())
    docs = {"period": "period"} | field_docs(Profile)
    for name, doc in docs.items():
        yield doc.rstrip("."), *(_profile_value(getattr(profile, name)) for profile in profiles)


def _profile_value(value: object) -> str:
    """Return a value of a profile as text."""
    titles = {venue.name: venue.title for venue in VENUES}
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "the venue's own"
        case tuple():
            return ", ".join(f"{titles.get(part, part)}" for part in value) or "none"
        case _:
            return f"{value}"


def operations_page() -> str:
    """Return the page of what the ports answer beside the protocol."""
    paths = dict.fromkeys(each.path for each in OPERATIONS)
    return page(
        "Operations",
        "The server's own pages and its control plane, on both ports; "
        "[Operate a server](../how-to/operate.md), "
        "[Control a market](../how-to/control-a-market.md).",
        "With several processes, each serves the same: `/` and `/healthz` are about the process that "
        "answers, and the others are about the plant and all its edges.\n"
        "What they show of an edge is what it last reported: each second, and for metrics and connections "
        f"up to {LONGEST_SCAN_PAUSE_S:.0f} s ago if it has very many connections.",
        table(
            ("operation", "what it does"),
            ((f"`{each.method} {each.path}`", each.summary) for each in OPERATIONS),
        ),
        "Responses are JSON objects unless the table says text; HEAD is answered like GET.\n"
        "An operation that is not possible is answered with `error`, the problem and what was expected, "
        "and `field`, the field that is wrong, if it is one; nothing has changed then.\n"
        "An unknown field or parameter, and a value that cannot be used, is 400; a method that a path "
        "does not have is 405 with the header `Allow`.",
        f"## Who may use `{PLANT_PATHS}…`",
        "A browser sends the requests of any web page, also to this machine; these checks keep web "
        "pages out.\n"
        "Market data is open to all, as on the exchange: [pages of any origin](../how-to/use-your-client.md"
        "#from-a-web-page) may read it.",
        table(
            ("request", "condition", "otherwise"),
            (
                (
                    "any, to a port on loopback",
                    "`Host` is `localhost`, an address of loopback or a name in `--host` or `--public-name`.",
                    "403",
                ),
                (
                    "any of a browser, to a port on other addresses",
                    "`Host` is an address, or the machine's name or one of the above.",
                    "403",
                ),
                (
                    "other than GET and HEAD",
                    "`Origin` is absent or that of the server itself.",
                    "403",
                ),
                (
                    "other than GET and HEAD",
                    "`Sec-Fetch-Site` is absent, `same-origin` or `none`.",
                    "403",
                ),
                (
                    "other than GET and HEAD",
                    "`Content-Type` is `application/json`; without a body it may be absent.",
                    "415",
                ),
                (
                    f"any not known to be of {OWN_MACHINE}, if there is no token",
                    "The operation only reads, and tells nothing about other clients: it says so below.",
                    "403",
                ),
                (
                    "any but the profile, if the server has a token",
                    "`Authorization` is `Bearer` and the token of `--control-token`.",
                    "401",
                ),
            ),
        ),
        "There are no CORS headers here, so a page of another origin cannot read a response either.\n"
        "A refusal is a JSON object with `error`, the problem and what to do, and is counted in "
        "`tickerplant_http_requests_total` by its status.",
        *(part for path in paths for part in _operations_at(path)),
    )


OWN_MACHINE = "[the server's machine](../how-to/control-a-market.md#who-may-do-this)"


def _operations_at(path: str) -> Iterable[str]:
    """Yield the section of a path."""
    yield f"## `{path}`"
    described: set[type[Struct]] = set()
    for each in (each for each in OPERATIONS if each.path == path):
        remote = (
            "If the server has no token, other machines may do it too. "
            if each.is_about_market
            else ""
        )
        yield one_line(f"**{each.method}**: {each.summary} {remote}{each.doc}")
        if each.id_doc:
            yield f"`{{id}}` is {each.id_doc}"
        if each.params:
            yield table(("parameter", "meaning", "default"), map(_query_param, each.params))
        if isinstance(each.body, type):
            yield "The body may have"
            yield table(("field", "meaning"), _fields(each.body))
        if each.example:
            yield f"Such as `{json.dumps(each.example)}`."
        if each.statuses:
            yield table(
                ("status", "when"), ((f"{code}", when) for code, when in each.statuses.items())
            )
        for kind in each.answers:
            yield from _struct_tables(kind, _title(each, kind), described)
    if path in ABOUT_PATHS:
        yield from ABOUT_PATHS[path]()


def _title(operation: Operation, kind: type[Struct]) -> str:
    """Return the sentence before the keys of an answer."""
    if len(operation.answers) == 1:
        return "The response has"
    return f"The response is {one_line(inspect.getdoc(kind) or '').rstrip('.').lower()}:"


def _struct_tables(kind: type[Struct], title: str, described: set[type[Struct]]) -> Iterable[str]:
    """Yield the keys of a Struct, and of those in it that are not described yet."""
    if kind in described or len(field_docs(kind)) < len(structs.fields(kind)):
        return
    described.add(kind)
    yield title
    yield table(("key", "meaning"), _fields(kind))
    names = {field.name: field.encode_name for field in structs.fields(kind)}
    for name, hint in get_type_hints(kind).items():
        for inner, is_one in _structs_in(hint):
            key = names[name]
            sentence = f"`{key}` has" if is_one else f"Each of `{key}` has"
            yield from _struct_tables(inner, sentence, described)


def _structs_in(hint: object) -> Iterable[tuple[type[Struct], bool]]:
    """Yield the Structs in a type, and whether there is one of each at most."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint, True
    is_union = get_origin(hint) in {Union, UnionType}
    for part in get_args(hint):
        for inner, is_one in _structs_in(part):
            yield inner, is_one and is_union


def _query_param(param: QueryParam) -> Cells:
    default = "" if param.default is None else f"{param.default}"
    doc = param.doc
    if param.kind == "integer" and param.most < 2**53:
        doc = f"{doc} At most {param.most:,.0f}."
    if param.kind == "duration":
        doc = f"{doc} At most {param.most:g}s."
    return f"`{param.name}`", doc, "required" if param.required else default


def _about_limits() -> Iterable[str]:
    yield "These are the limits:"
    yield table(
        ("key", "`limit` is", "`highest` is the highest of"),
        (
            (f"`{row.name}`", f"[`{row.field}`](limits.md)" if row.field else "none", row.doc)
            for row in USE_ROWS
        ),
    )


ABOUT_PATHS: Mapping[str, Callable[[], Iterable[str]]] = {
    "/metrics": lambda: ["[The metrics](metrics.md)."],
    "/plant/v1/clock": lambda: [
        "How to set it: [control a market](../how-to/control-a-market.md)."
    ],
    "/plant/v1/connections": lambda: [
        "What the deliveries are: [Slow clients](../explanation/slow-clients.md)."
    ],
    "/plant/v1/faults": lambda: ["What they do: [Faults on demand](faults.md)."],
    "/plant/v1/limits": _about_limits,
    "/plant/v1/nodes": lambda: [
        "[Why the plant answers for its edges](../decisions/0019-several-processes.md)."
    ],
}
"""Further sentences about a path."""


def _fields(kind: type[Struct]) -> Iterable[Cells]:
    docs = field_docs(kind)
    for field in structs.fields(kind):
        yield f"`{field.encode_name}`", docs[field.name]


def tables_page() -> str:
    """Return the page of the tables of recordings."""
    return page(
        "Tables",
        "The tables written by [`tickerplant export`](../how-to/read-a-recording.md#parquet) and returned in "
        "[Python](../how-to/read-a-recording.md).",
        "Each message is a row; for depth, each level is a row.\n"
        "Rows are in receive order.\n"
        "Data recorded twice, such as `@depth` at two speeds, appears twice; `stream` distinguishes it.",
        "Times are timestamps in nanoseconds, UTC; ids and counts are int64.\n"
        f"Numbers are decimals with {tables.DIGITS} digits, {tables.DECIMALS} of them behind the "
        "point, float64 or text; decimals and text are exact.\n"
        "Values that the exchange did not send are null.",
        "All tables have these columns; in Parquet files, venue and symbol are in the path.",
        table(
            ("column", "type", "meaning"),
            ((f"`{tables.VENUE}`", "text", tables.VENUE_DOC), *map(_column, tables.COMMON)),
        ),
        *(
            f"## `{each.name}`\n\n{each.doc}\n\n"
            + table(("column", "type", "meaning"), map(_column, (*each.columns, *each.levels)))
            for each in tables.TABLES
        ),
    )


def _column(column: tables.Column) -> Cells:
    return f"`{column.name}`", column.kind.value, column.doc


def decisions_page() -> str:
    """Return the index of the decisions, by their headings."""
    lines = []
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        heading = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{heading}]({path.name})")
    return page(
        "Decisions",
        "Choices between real alternatives, by theme: what was chosen, why, and what was weighed and "
        "given up.",
        "\n".join(lines),
        "The [architecture](../../ARCHITECTURE.md) is what they led to.",
    )


PAGES: dict[str, Callable[[], str]] = {
    "streams.md": streams_page,
    "queries.md": queries_page,
    "limits.md": limits_page,
    "faults.md": faults_page,
    "levers.md": levers_page,
    "closing.md": closing_page,
    "endings.md": endings_page,
    "errors.md": errors_page,
    "json-output.md": json_output_page,
    "settings.md": settings_page,
    "cli.md": cli_page,
    "metrics.md": metrics_page,
    "manifest.md": manifest_page,
    "profiles.md": profiles_page,
    "operations.md": operations_page,
    **python_pages.PAGES,
    "tables.md": tables_page,
    "../decisions/index.md": decisions_page,
    **alert_pages.PAGES,
    **scenario_pages.PAGES,
}


def stale_pages() -> list[str]:
    """Return the names of the pages that are not what they would be written as."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != make()
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` say which are stale; return the exit status."""
    stale = stale_pages()
    if arguments == ["--check"]:
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is stale: make docs\n")
        return STALE if stale else 0
    for name in stale:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
