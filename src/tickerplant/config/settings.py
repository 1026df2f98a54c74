"""The settings of each command: each field declares type, bounds, default and help text."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tickerplant.config.values import (
    Parser,
    api_url,
    assignments,
    base_url,
    bus_prefix,
    bus_urls,
    control_token,
    control_url,
    duration_ms,
    faults,
    file_path,
    folder_path,
    host_names,
    market_time_ms,
    names,
    networks,
    period_ms,
    period_ms_or_off,
    picture_size,
    plant_name,
    profile_name,
    profile_name_or_auto,
    public_names,
    run_length_ms,
    scenarios,
    secret,
    size_bytes,
    snapshot_levels,
    step_or_speed,
)
from tickerplant.control.clock import parse_speed
from tickerplant.faults.rule import Rule
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.profile import P2026Q1, PROFILES
from tickerplant.protocol.delivery import Policy
from tickerplant.protocol.limits import LIMITS
from tickerplant.recording.block import LEVEL
from tickerplant.recording.timestamps import TimeSpec, parse_time_spec
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM

Port = Annotated[int, Meta(ge=0, le=65_535)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Count = Annotated[int, Meta(ge=0)]
Speed = Annotated[float, Meta(ge=0, le=1_000_000)]
Intensity = Annotated[float, Meta(gt=0, le=1_000)]
Quoting = Annotated[float, Meta(gt=0, le=1)]
Copies = Annotated[int, Meta(ge=1, le=10)]
Level = Annotated[int, Meta(ge=1, le=19)]
ListedGaps = Annotated[int, Meta(ge=0, le=100_000)]
SymbolCount = Annotated[int, Meta(ge=1, le=2_000)]
WorkerCount = Annotated[int, Meta(ge=0, le=256)]


TEST_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTCUSD_PERP", "ETHUSD_PERP")
"""The symbols of a test server, unless told otherwise."""


def _setting(help_text: str, parse: Parser | None = None, option: str = "") -> Meta:
    """Return the metadata of a setting.

    Args:
        help_text: One sentence for help texts and the reference.
        parse: Parses its value; without it, the type decides.
        option: The name of its option, if it differs from the field's.
    """
    return Meta(description=help_text, extra={"parse": parse, "option": option})


RunLength = Annotated[
    int | None,
    _setting("Stop after this time, such as 90s or 10m [never].", run_length_ms, "duration"),
]
LogFormat = Annotated[Literal["text", "json"], _setting("Format of log lines.")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], _setting("Minimum level to log.")
]


Profile = Annotated[str, _setting(f"Protocol profile: {', '.join(PROFILES)}.", profile_name)]
Routing = Annotated[
    Literal["lenient", "strict"],
    _setting(
        "lenient: deliver every stream on every path; strict: as on the exchange, stay silent on "
        "the wrong path."
    ),
]


class ListenSettings(Struct, frozen=True, kw_only=True):
    """Settings of commands that have ports, and of the bus that joins several processes."""

    host: Annotated[
        tuple[str, ...],
        _setting(
            "Address to listen on; 0.0.0.0 for all interfaces, :: for those of IPv6 too (repeatable).",
            host_names,
        ),
    ] = ("127.0.0.1",)
    usdm_port: Annotated[Port, _setting(f"Port of {USDM.title}; 0 picks a free one.")] = (
        USDM.default_port
    )
    coinm_port: Annotated[Port, _setting(f"Port of {COINM.title}; 0 picks a free one.")] = (
        COINM.default_port
    )
    tls: Annotated[
        Literal["off", "self"],
        _setting(
            "Serve TLS with a self-signed certificate for this machine, and print how to trust it."
        ),
    ] = "off"
    tls_cert: Annotated[
        str | None,
        _setting("Serve TLS with the certificate chain in this PEM file.", file_path),
    ] = None
    tls_key: Annotated[
        str | None,
        _setting("PEM file with the key of the certificate [the certificate file].", file_path),
    ] = None
    trusted_proxy: Annotated[
        tuple[str, ...],
        _setting(
            "Address or network of a proxy whose word about the address of a client counts: "
            "X-Forwarded-For (repeatable) [none].",
            networks,
        ),
    ] = ()
    public_name: Annotated[
        tuple[str, ...],
        _setting(
            "Host name by which others reach the server, as behind a proxy (repeatable) [none].",
            public_names,
        ),
    ] = ()
    workers: Annotated[
        WorkerCount,
        _setting("Processes that share the ports; 0: this process alone serves its clients."),
    ] = 0
    bus: Annotated[
        tuple[str, ...],
        _setting(
            "URL of a NATS server with JetStream, or URLs of a cluster "
            "[with --workers, one that is started and ended with this program].",
            bus_urls,
        ),
    ] = ()
    plant: Annotated[
        str, _setting("Name of the plant: what tells plants on one bus apart.", plant_name)
    ] = "main"
    bus_grace_ms: Annotated[
        int,
        _setting(
            "How long clients stay connected while the bus or the plant is lost.",
            period_ms,
            "bus-grace",
        ),
    ] = 5_000
    bus_prefix: Annotated[str, _setting("First words of all subjects on the bus.", bus_prefix)] = (
        "tickerplant"
    )
    bus_user: Annotated[str | None, _setting("User name on the bus.", secret)] = None
    bus_password: Annotated[
        str | None,
        _setting(
            "Password on the bus; better in TICKERPLANT_BUS_PASSWORD, which other users cannot see.",
            secret,
        ),
    ] = None
    bus_token: Annotated[
        str | None,
        _setting(
            "Token on the bus; better in TICKERPLANT_BUS_TOKEN, which other users cannot see.",
            secret,
        ),
    ] = None
    bus_credentials: Annotated[
        str | None,
        _setting("File with the credentials of a NATS account (.creds).", file_path),
    ] = None
    bus_ca: Annotated[
        str | None,
        _setting(
            "PEM file with the authority of the certificate of the bus [those of the system].",
            file_path,
        ),
    ] = None
    bus_cert: Annotated[
        str | None, _setting("PEM file with our certificate, if the bus asks for one.", file_path)
    ] = None
    bus_key: Annotated[
        str | None,
        _setting("PEM file with the key of our certificate [the certificate file].", file_path),
    ] = None
    json: Annotated[
        bool,
        _setting("Print the addresses when ready, and the totals at the end, as JSON objects."),
    ] = False
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"


class EdgeSettings(ListenSettings, frozen=True, kw_only=True):
    """Serve clients of a plant on another host."""


class ServeSettings(ListenSettings, frozen=True, kw_only=True):
    """Settings of commands that serve a market."""

    profile: Profile = P2026Q1.name
    routing: Routing = "lenient"
    delivery: Annotated[
        Policy,
        _setting(
            "Delivery to clients that read too slowly and do not ask for another (?delivery=): every: "
            "every message, until they are disconnected; latest: the newest state."
        ),
    ] = "every"
    rest_compression: Annotated[
        Literal["gzip", "off"],
        _setting(
            "gzip: compress REST responses of market data of 1 KiB and more for clients that accept it; "
            "off: never."
        ),
    ] = "gzip"
    limits: Annotated[
        Literal["exchange", "off"],
        _setting(
            "exchange: enforce the exchange's limits; off: count violations but never refuse."
        ),
    ] = "exchange"
    limit_numbers: Annotated[
        dict[str, int],
        _setting(
            "Override a limit of the protocol, as NAME=NUMBER (repeatable).", assignments, "limit"
        ),
    ] = {}
    fault_rules: Annotated[
        tuple[Rule, ...],
        _setting(
            "Inject a fault, as KIND=VALUE and words KEY=VALUE, such as reset=30s (repeatable).",
            faults,
            "fault",
        ),
    ] = ()
    scenario: Annotated[
        tuple[str, ...],
        _setting(
            "Run a scenario from the start: a name of `tickerplant scenarios`, or a TOML file "
            "(repeatable); a replay or relay runs those that have only faults.",
            scenarios,
        ),
    ] = ()
    fault_seed: Annotated[Seed, _setting("Seed of the random choices of faults.")] = 1
    control_token: Annotated[
        str | None,
        _setting(
            "Token without which requests to /plant/v1/ are refused; better in "
            "TICKERPLANT_CONTROL_TOKEN, which other users cannot see.",
            control_token,
        ),
    ] = None


class PacedSettings(ServeSettings, frozen=True, kw_only=True):
    """Settings of commands with a market clock."""

    speed: Annotated[
        Speed, _setting("Market seconds per real second; 0 for as fast as possible.")
    ] = 1.0
    paused: Annotated[
        bool, _setting("Start paused; POST /plant/v1/clock resumes, or makes a step.")
    ] = False
    slow_readers: Annotated[
        Literal["disconnect", "wait"],
        _setting(
            "disconnect: close clients that read too slowly; wait: let the market wait for them, as "
            "with --speed 0."
        ),
    ] = "disconnect"


RecordFolder = Annotated[
    str | None,
    _setting(
        "Also record everything that is sent, one recording per venue in this folder; "
        "if writing fails, serving continues and the exit status is 1.",
        folder_path,
    ),
]
RecordStreams = Annotated[
    tuple[str, ...],
    _setting(
        "Streams to record, separated by commas; required when relaying more than 50 symbols "
        "[trades, quotes, depth, mark prices and more for every symbol].",
        names,
    ),
]

_WAIT_FOR = "Start the clock once this many connections have subscribed."


class SimulateSettings(PacedSettings, frozen=True, kw_only=True):
    """Serve the simulated market."""

    seed: Annotated[
        Seed, _setting("Random seed; together with --start it determines the market completely.")
    ] = 1
    start_ms: Annotated[
        int | None,
        _setting(
            "Start time of the market, an ISO date (UTC) or epoch ms [now].",
            market_time_ms,
            "start",
        ),
    ] = None
    symbols: Annotated[
        tuple[str, ...],
        _setting(
            "Simulate only these symbols, separated by commas, without new listings [all].", names
        ),
    ] = ()
    symbol_count: Annotated[
        SymbolCount | None, _setting("Number of symbols, up to a full exchange.")
    ] = None
    intensity: Annotated[Intensity, _setting("Multiplier for the order flow.")] = 1.0
    quoting: Annotated[
        Quoting, _setting("Share of the usual quoting of makers; less is faster to simulate.")
    ] = 1.0
    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 0
    duration_ms: Annotated[
        int | None,
        _setting(
            "Stop after this much market time, such as 10m [never].", run_length_ms, "duration"
        ),
    ] = None
    record: RecordFolder = None
    record_streams: RecordStreams = ()


class TestServerSettings(SimulateSettings, frozen=True, kw_only=True):
    """Serve a simulated market for tests."""

    __test__ = False  # pytest shall not collect it

    usdm_port: Annotated[Port, _setting(f"Port of {USDM.title}; 0 picks a free one.")] = 0
    coinm_port: Annotated[Port, _setting(f"Port of {COINM.title}; 0 picks a free one.")] = 0
    start_ms: Annotated[
        int | None,
        _setting(
            "Start time of the market, an ISO date (UTC) or epoch ms [2026-01-01].",
            market_time_ms,
            "start",
        ),
    ] = None
    symbols: Annotated[
        tuple[str, ...],
        _setting(
            f"Simulate only these symbols, separated by commas, without new listings "
            f"[{', '.join(TEST_SYMBOLS)}].",
            names,
        ),
    ] = ()
    intensity: Annotated[Intensity, _setting("Multiplier for the order flow.")] = 0.25
    quoting: Annotated[
        Quoting, _setting("Share of the usual quoting of makers; less is faster to simulate.")
    ] = 0.25
    # Wider than that of the base class: a test server usually stands still.
    speed: Annotated[
        Speed | Literal["step"],
        _setting(
            "Market seconds per real second; 0 for as fast as possible; step: the clock stands still, "
            "and each POST /plant/v1/clock makes a step.",
            step_or_speed,
        ),
    ] = "step"  # type: ignore[assignment]
    slow_readers: Annotated[
        Literal["disconnect", "wait"],
        _setting(
            "disconnect: close clients that read too slowly; wait: let the market wait for them."
        ),
    ] = "wait"
    control_token: Annotated[
        str | None,
        _setting(
            "Token without which requests to /plant/v1/ are refused; better in "
            "TICKERPLANT_CONTROL_TOKEN, which other users cannot see [a random one, printed].",
            control_token,
        ),
    ] = None


class ReplaySettings(PacedSettings, frozen=True, kw_only=True):
    """Serve recordings."""

    profile: Annotated[
        str,
        _setting(
            f"Protocol profile: {', '.join(PROFILES)}, or auto for the recording's own.",
            profile_name_or_auto,
        ),
    ] = "auto"
    speed: Annotated[
        float, _setting("Recorded seconds per real second; 0 for as fast as possible.", parse_speed)
    ] = 1.0
    pace: Annotated[
        Literal["receive", "event"],
        _setting("Pace by receive time or by event time."),
    ] = "receive"
    begin: Annotated[
        TimeSpec | None,
        _setting(
            "Start time: an ISO date (UTC), epoch ms or ns, or an offset such as +90s from the "
            "beginning of the recording or -5m from its end.",
            parse_time_spec,
            "from",
        ),
    ] = None
    end: Annotated[
        TimeSpec | None,
        _setting(
            "End time (exclusive), in the same formats; +1h counts from the start time.",
            parse_time_spec,
            "to",
        ),
    ] = None
    symbols: Annotated[
        tuple[str, ...],
        _setting(
            "Play only the streams of these symbols, separated by commas, and none of all symbols "
            "together [all].",
            names,
        ),
    ] = ()
    streams: Annotated[
        tuple[str, ...],
        _setting(
            "Play only these recorded streams, separated by commas, and what is derived from them "
            "[all].",
            names,
        ),
    ] = ()
    warm_up_ms: Annotated[
        int,
        _setting(
            "Minimum history to replay silently before --from, so that derived streams are correct.",
            duration_ms,
            "warm-up",
        ),
    ] = HOUR_MS
    loop: Annotated[bool, _setting("Start over at the end.")] = False
    rebase: Annotated[
        Literal["off", "now"],
        _setting("now: shift all timestamps so that playback starts at the current time."),
    ] = "off"
    verbatim: Annotated[
        bool,
        _setting("Send only the recorded streams and derive nothing, which is faster."),
    ] = False
    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 1
    exit_at_end: Annotated[bool, _setting("Exit at the end of the recording.")] = False


class ClientSettings(Struct, frozen=True, kw_only=True):
    """Settings of commands that are clients."""

    url: Annotated[
        str | None,
        _setting(
            "Base URL of the server, such as ws://127.0.0.1:9001 "
            "[TICKERPLANT_USDM_URL or TICKERPLANT_COINM_URL, else the exchange].",
            base_url,
        ),
    ] = None
    stream_url: Annotated[
        str | None, _setting("URL of the streams, if they have a host of their own.", base_url)
    ] = None
    rest_url: Annotated[
        str | None, _setting("URL of REST, if it has a host of its own.", base_url)
    ] = None
    api_url: Annotated[
        str | None,
        _setting("URL of the WebSocket API, if it has a host of its own.", api_url),
    ] = None
    venue: Annotated[
        Literal["auto", "usdm", "coinm"],
        _setting("Venue; auto infers it from the URL or the names."),
    ] = "auto"


class WatchSettings(ClientSettings, frozen=True, kw_only=True):
    """Watch streams."""

    duration_ms: RunLength = None
    copies: Annotated[Copies, _setting("Redundant connections per stream.")] = 1
    json: Annotated[
        bool,
        _setting("Print every message as a JSON object; notices and totals go to standard error."),
    ] = False
    log_level: Annotated[
        Literal["info", "warning", "error"],
        _setting("warning: print no recoveries and no totals; error: print no notices at all."),
    ] = "info"


class AskSettings(ClientSettings, frozen=True, kw_only=True):
    """Send one request."""

    rest: Annotated[bool, _setting("Use REST even if the WebSocket API has this method.")] = False
    timeout_ms: Annotated[
        int, _setting("How long to wait for the response, retries included.", period_ms, "timeout")
    ] = 10_000
    json: Annotated[bool, _setting("Print the response on one line, on a terminal too.")] = False


class RecordSettings(ClientSettings, frozen=True, kw_only=True):
    """Record streams."""

    out: Annotated[
        str | None,
        _setting("Output folder; an existing recording in it is continued.", folder_path),
    ] = None
    profile: Annotated[
        str,
        _setting(
            f"Protocol profile of the server: {', '.join(PROFILES)}, or auto for what it says.",
            profile_name_or_auto,
        ),
    ] = "auto"
    copies: Annotated[Copies, _setting("Redundant connections per stream.")] = 1
    max_connection_age_ms: Annotated[
        int,
        _setting(
            "Maximum connection age at the server; connections are replaced before, without loss.",
            period_ms,
            "max-connection-age",
        ),
    ] = LIMITS.lifetime_ms
    duration_ms: RunLength = None
    snapshots_ms: Annotated[
        int,
        _setting(
            "How often to record a snapshot of each book, in addition to those at the start and after "
            "losses; off records no snapshots.",
            period_ms_or_off,
            "snapshots",
        ),
    ] = 3_600_000
    snapshot_levels: Annotated[int, _setting("Levels per side of a snapshot.", snapshot_levels)] = (
        SNAPSHOT_LEVELS
    )
    segment_ms: Annotated[
        int, _setting("Start a new segment file after this time.", period_ms, "segment")
    ] = 3_600_000
    segment_bytes: Annotated[
        int, _setting("Start a new segment file at this size.", size_bytes, "segment-size")
    ] = 256 << 20
    compression_level: Annotated[
        Level, _setting("Compression level, from 1 (fastest) to 19 (smallest).")
    ] = LEVEL
    json: Annotated[bool, _setting("Print the totals at the end as a JSON object.")] = False
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"


class RelaySettings(ServeSettings, frozen=True, kw_only=True):
    """Serve a live upstream."""

    profile: Annotated[
        str,
        _setting(
            f"Protocol profile: {', '.join(PROFILES)}, or auto for the upstream's own.",
            profile_name_or_auto,
        ),
    ] = "auto"
    usdm_url: Annotated[
        str | None,
        _setting(f"Base URL of the {USDM.title} upstream, such as ws://127.0.0.1:9001.", base_url),
    ] = None
    coinm_url: Annotated[
        str | None,
        _setting(
            f"Base URL of the {COINM.title} upstream [the exchange for both, if neither is given].",
            base_url,
        ),
    ] = None
    usdm_stream_url: Annotated[
        str | None,
        _setting(
            f"URL of the streams of the {USDM.title} upstream, if they have a host of their own.",
            base_url,
        ),
    ] = None
    usdm_rest_url: Annotated[
        str | None,
        _setting(
            f"URL of REST of the {USDM.title} upstream, if it has a host of its own.", base_url
        ),
    ] = None
    usdm_api_url: Annotated[
        str | None,
        _setting(
            f"URL of the WebSocket API of the {USDM.title} upstream, if it has a host of its own.",
            api_url,
        ),
    ] = None
    coinm_stream_url: Annotated[
        str | None,
        _setting(
            f"URL of the streams of the {COINM.title} upstream, if they have a host of their own.",
            base_url,
        ),
    ] = None
    coinm_rest_url: Annotated[
        str | None,
        _setting(
            f"URL of REST of the {COINM.title} upstream, if it has a host of its own.", base_url
        ),
    ] = None
    coinm_api_url: Annotated[
        str | None,
        _setting(
            f"URL of the WebSocket API of the {COINM.title} upstream, if it has a host of its own.",
            api_url,
        ),
    ] = None
    copies: Annotated[Copies, _setting("Redundant connections per stream.")] = 1
    linger_ms: Annotated[
        int,
        _setting(
            "How long to keep an upstream stream after its last subscriber leaves.",
            duration_ms,
            "linger",
        ),
    ] = 60_000
    grace_ms: Annotated[
        int,
        _setting(
            "How long to keep clients while a stream is lost upstream, unless it is back incomplete.",
            duration_ms,
            "grace",
        ),
    ] = 5_000
    standby: Annotated[
        bool,
        _setting(
            "Wait on the bus and take over when the relay of this name is lost; a simulation or a "
            "replay cannot be taken over."
        ),
    ] = False
    record: RecordFolder = None
    record_streams: RecordStreams = ()


class ExportSettings(Struct, frozen=True, kw_only=True):
    """Export recordings."""

    out: Annotated[
        str | None,
        _setting("Output folder; an existing export in it is continued.", folder_path),
    ] = None
    tables: Annotated[
        tuple[str, ...],
        _setting("Export only these tables, such as trades,klines [all].", names),
    ] = ()
    symbols: Annotated[
        tuple[str, ...], _setting("Export only these symbols, separated by commas [all].", names)
    ] = ()
    begin: Annotated[
        TimeSpec | None,
        _setting(
            "Export only messages received at this time or later: an ISO date (UTC), epoch ms or ns, "
            "or an offset such as +90s from the beginning of the recording or -5m from its end.",
            parse_time_spec,
            "from",
        ),
    ] = None
    end: Annotated[
        TimeSpec | None,
        _setting(
            "Export only messages received before this time, in the same formats; +1h counts from "
            "--from.",
            parse_time_spec,
            "to",
        ),
    ] = None
    numbers: Annotated[
        Literal["decimal", "float", "text"],
        _setting("Type of prices and quantities: exact decimals, float64, or the original text."),
    ] = "decimal"
    json: Annotated[bool, _setting("Print what was exported as a JSON object.")] = False
    log_level: LogLevel = "info"


class PlotSettings(Struct, frozen=True, kw_only=True):
    """Draw a symbol of a recording."""

    out: Annotated[
        str | None,
        _setting("The file to write; its name ends with .svg or .png.", file_path),
    ] = None
    begin: Annotated[
        TimeSpec | None,
        _setting(
            "Draw from this receive time: an ISO date (UTC), epoch ms or ns, or an offset such as "
            "+90s from the beginning of the recording or -5m from its end.",
            parse_time_spec,
            "from",
        ),
    ] = None
    end: Annotated[
        TimeSpec | None,
        _setting(
            "Draw up to this receive time, in the same formats; +1h counts from --from.",
            parse_time_spec,
            "to",
        ),
    ] = None
    size: Annotated[
        tuple[int, int],
        _setting("Width and height in pixels, such as 1600x1200.", picture_size),
    ] = (1_280, 960)
    log_level: LogLevel = "info"


class VerifySettings(Struct, frozen=True, kw_only=True):
    """Verify recordings."""

    streams: Annotated[
        tuple[str, ...], _setting("Verify only these streams, separated by commas [all].", names)
    ] = ()
    gaps: Annotated[
        ListedGaps, _setting("Maximum number of gaps to list per stream; all are counted.")
    ] = 10
    json: Annotated[bool, _setting("Print the findings as a JSON object.")] = False
    log_level: LogLevel = "info"


class ExplainSettings(Struct, frozen=True, kw_only=True):
    """Explain URLs, streams and requests."""

    profile: Profile = P2026Q1.name
    routing: Routing = "lenient"

    venue: Annotated[
        Literal["auto", "usdm", "coinm"],
        _setting("Venue; auto infers it from host, path, port or symbol."),
    ] = "auto"
    json: Annotated[bool, _setting("Print the explanation as a JSON object.")] = False


class ListSettings(Struct, frozen=True, kw_only=True):
    """List streams, queries or versions."""

    json: Annotated[bool, _setting("Print JSON.")] = False


class ScenariosSettings(ListSettings, frozen=True, kw_only=True):
    """List, show and check scenarios."""

    toml: Annotated[bool, _setting("Print the TOML of the scenario, to begin one with.")] = False


class ControlSettings(ListSettings, frozen=True, kw_only=True):
    """Control a running server."""

    url: Annotated[str, _setting("Address of the server, any of its ports.", control_url)] = (
        f"http://127.0.0.1:{USDM.default_port}"
    )
    control_token: Annotated[
        str | None,
        _setting(
            "Token of the server; better in TICKERPLANT_CONTROL_TOKEN, which other users cannot see.",
            control_token,
        ),
    ] = None


def is_quiet(log_level: str) -> bool:
    """Whether a command shows no progress and no totals at this level of the log."""
    return log_level in {"warning", "error"}


COMMANDS: dict[str, type[Struct]] = {
    "simulate": SimulateSettings,
    "test-server": TestServerSettings,
    "replay": ReplaySettings,
    "relay": RelaySettings,
    "edge": EdgeSettings,
    "explain": ExplainSettings,
    "streams": ListSettings,
    "queries": ListSettings,
    "scenarios": ScenariosSettings,
    "version": ListSettings,
    "watch": WatchSettings,
    "record": RecordSettings,
    "ask": AskSettings,
    "control": ControlSettings,
    "export": ExportSettings,
    "plot": PlotSettings,
    "verify": VerifySettings,
}
"""The commands that have settings, by name."""
