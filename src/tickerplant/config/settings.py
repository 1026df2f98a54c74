"""The settings of each command.

A field declares a setting: its type, how it is written, its group in help texts, its default, and,
below it, the sentence about it.  What is neither a word of a few nor a flag names its kind.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from tickerplant.config import kinds
from tickerplant.config.setting import Group
from tickerplant.faults.rule import Rule
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.profile import P2026Q1
from tickerplant.protocol.delivery import Policy
from tickerplant.protocol.limits import LIMITS
from tickerplant.recording.block import LEVEL
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM

TEST_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTCUSD_PERP", "ETHUSD_PERP")
"""The symbols of a test server, unless told otherwise."""


class ListenSettings(Struct, frozen=True, kw_only=True):
    """Settings of commands that have ports, and of the bus that joins several processes."""

    host: Annotated[tuple[str, ...], kinds.HOSTS, Group.SERVER] = ("127.0.0.1",)
    """Address to listen on; 0.0.0.0 for all interfaces, :: for those of IPv6 too (repeatable)."""
    usdm_port: Annotated[int, kinds.PORT, Group.SERVER] = USDM.default_port
    """Port of USDⓈ-M; 0 picks a free one."""
    coinm_port: Annotated[int, kinds.PORT, Group.SERVER] = COINM.default_port
    """Port of COIN-M; 0 picks a free one."""
    tls: Annotated[Literal["off", "self"], Group.SERVER] = "off"
    """Serve TLS with a self-signed certificate for this machine, and print how to trust it."""
    tls_cert: Annotated[str | None, kinds.FILE, Group.SERVER] = None
    """Serve TLS with the certificate chain in this PEM file."""
    tls_key: Annotated[str | None, kinds.FILE, Group.SERVER] = None
    """PEM file with the key of the certificate [the certificate file]."""
    trusted_proxy: Annotated[tuple[str, ...], kinds.NETWORKS, Group.SERVER] = ()
    """Address or network of a proxy whose word about the address of a client counts:
    X-Forwarded-For (repeatable) [none]."""
    public_name: Annotated[tuple[str, ...], kinds.PUBLIC_NAMES, Group.SERVER] = ()
    """Host name by which others reach the server, as behind a proxy (repeatable) [none]."""
    workers: Annotated[int, kinds.whole(0, 256), Group.PROCESSES] = 0
    """Processes that share the ports; 0: this process alone serves its clients."""
    bus: Annotated[tuple[str, ...], kinds.BUS_URLS, Group.PROCESSES] = ()
    """URL of a NATS server, or URLs of a cluster [with --workers, one that is
    started and ended with this program]."""
    plant: Annotated[str, kinds.PLANT, Group.PROCESSES] = "main"
    """Name of the plant: what tells plants on one bus apart."""
    bus_grace_ms: Annotated[int, kinds.PERIOD, Group.PROCESSES] = 5_000
    """How long clients stay connected while the bus or the plant is lost."""
    bus_prefix: Annotated[str, kinds.BUS_PREFIX, Group.PROCESSES] = "tickerplant"
    """First words of all subjects on the bus."""
    bus_user: Annotated[str | None, kinds.SECRET, Group.PROCESSES] = None
    """User name on the bus."""
    bus_password: Annotated[str | None, kinds.SECRET, Group.PROCESSES] = None
    """Password on the bus; better in TICKERPLANT_BUS_PASSWORD, which other users cannot see."""
    bus_token: Annotated[str | None, kinds.SECRET, Group.PROCESSES] = None
    """Token on the bus; better in TICKERPLANT_BUS_TOKEN, which other users cannot see."""
    bus_credentials: Annotated[str | None, kinds.FILE, Group.PROCESSES] = None
    """File with the credentials of a NATS account (.creds)."""
    bus_ca: Annotated[str | None, kinds.FILE, Group.PROCESSES] = None
    """PEM file with the authority of the certificate of the bus [those of the system]."""
    bus_cert: Annotated[str | None, kinds.FILE, Group.PROCESSES] = None
    """PEM file with our certificate, if the bus asks for one."""
    bus_key: Annotated[str | None, kinds.FILE, Group.PROCESSES] = None
    """PEM file with the key of our certificate [the certificate file]."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print the addresses when ready, and the totals at the end, as JSON objects."""
    log_format: Annotated[Literal["text", "json"], Group.LOGGING] = "text"
    """Format of log lines."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.LOGGING] = "info"
    """Minimum level to log."""


class EdgeSettings(ListenSettings, frozen=True, kw_only=True):
    """Serve clients of a plant on another host."""


class ServeSettings(ListenSettings, frozen=True, kw_only=True):
    """Settings of commands that serve a market."""

    profile: Annotated[str, kinds.PROFILE, Group.PROTOCOL] = P2026Q1.name
    """Protocol profile."""
    routing: Annotated[Literal["lenient", "strict"], Group.PROTOCOL] = "lenient"
    """lenient: deliver every stream on every path; strict: as on the exchange, stay silent on the
    wrong path."""
    delivery: Annotated[Policy, Group.SERVER] = "every"
    """Delivery to clients that read too slowly and do not ask for another (?delivery=): every:
    every message, until they are disconnected; latest: the newest state."""
    rest_compression: Annotated[Literal["gzip", "off"], Group.SERVER] = "gzip"
    """gzip: compress REST responses of market data of 1 KiB and more for clients that accept it;
    off: never."""
    limits: Annotated[Literal["exchange", "off"], Group.LIMITS] = "exchange"
    """exchange: enforce the exchange's limits; off: count violations but never refuse."""
    limit_numbers: Annotated[dict[str, int], kinds.ASSIGNMENTS, Group.LIMITS, "limit"] = {}
    """Override a limit of the protocol, as NAME=NUMBER (repeatable)."""
    fault_rules: Annotated[tuple[Rule, ...], kinds.FAULTS, Group.LIMITS, "fault"] = ()
    """Inject a fault, as KIND=VALUE and words KEY=VALUE, such as reset=30s (repeatable)."""
    scenario: Annotated[tuple[str, ...], kinds.SCENARIOS, Group.MARKET] = ()
    """Run a scenario from the start: a name of `tickerplant scenarios`, or a TOML file
    (repeatable); a replay or relay runs those that have only faults."""
    fault_seed: Annotated[int, kinds.SEED, Group.LIMITS] = 1
    """Seed of the random choices of faults."""
    control_token: Annotated[str | None, kinds.TOKEN, Group.SERVER] = None
    """Token without which requests to /plant/v1/ are refused; better in TICKERPLANT_CONTROL_TOKEN,
    which other users cannot see."""


class PacedSettings(ServeSettings, frozen=True, kw_only=True):
    """Settings of commands with a market clock."""

    speed: Annotated[float, kinds.SPEED, Group.TIME] = 1.0
    """Market seconds per real second; 0 for as fast as possible."""
    paused: Annotated[bool, Group.TIME] = False
    """Start paused; POST /plant/v1/clock resumes, or makes a step."""
    slow_readers: Annotated[Literal["disconnect", "wait"], Group.SERVER] = "disconnect"
    """disconnect: close clients that read too slowly; wait: let the market wait for them, as with
    --speed 0."""


class SimulateSettings(PacedSettings, frozen=True, kw_only=True):
    """Serve the simulated market."""

    seed: Annotated[int, kinds.SEED, Group.MARKET] = 1
    """Random seed; together with --start it determines the market completely."""
    start_ms: Annotated[int | None, kinds.MARKET_TIME, Group.TIME] = None
    """Start time of the market, an ISO date (UTC) or epoch ms [now]."""
    symbols: Annotated[tuple[str, ...], kinds.SYMBOLS, Group.SELECTION] = ()
    """Simulate only these symbols, separated by commas, without new listings [all]."""
    symbol_count: Annotated[int | None, kinds.whole(1, 2_000), Group.SELECTION] = None
    """Number of symbols, up to a full exchange."""
    intensity: Annotated[float, kinds.number(0, 1_000, has_zero=False), Group.MARKET] = 1.0
    """Multiplier for the order flow."""
    quoting: Annotated[float, kinds.number(0, 1, has_zero=False), Group.MARKET] = 1.0
    """Share of the usual quoting of makers; less is faster to simulate."""
    wait_for: Annotated[int, kinds.whole(0, 1_000_000_000), Group.TIME] = 0
    """Start the clock once this many connections have subscribed."""
    duration_ms: Annotated[int | None, kinds.RUN_LENGTH, Group.TIME] = None
    """Stop after this much market time, such as 10m [never]."""
    record: Annotated[str | None, kinds.FOLDER, Group.RECORDING] = None
    """Also record everything that is sent, one recording per venue in this folder; if writing
    fails, serving continues and the exit status is 1."""
    record_streams: Annotated[tuple[str, ...], kinds.STREAMS, Group.RECORDING] = ()
    """Streams to record, separated by commas; required when relaying more than 50 symbols [trades,
    quotes, depth, mark prices and more for every symbol]."""


class TestServerSettings(SimulateSettings, frozen=True, kw_only=True):
    """Serve a simulated market for tests."""

    __test__ = False

    usdm_port: Annotated[int, kinds.PORT, Group.SERVER] = 0
    coinm_port: Annotated[int, kinds.PORT, Group.SERVER] = 0
    start_ms: Annotated[int | None, kinds.MARKET_TIME, Group.TIME] = None
    """Start time of the market, an ISO date (UTC) or epoch ms [2026-01-01]."""
    symbols: Annotated[tuple[str, ...], kinds.SYMBOLS, Group.SELECTION] = ()
    """Simulate only these symbols, separated by commas, without new listings [BTCUSDT, ETHUSDT,
    BTCUSD_PERP, ETHUSD_PERP]."""
    intensity: Annotated[float, kinds.number(0, 1_000, has_zero=False), Group.MARKET] = 0.25
    quoting: Annotated[float, kinds.number(0, 1, has_zero=False), Group.MARKET] = 0.25
    speed: Annotated[float | Literal["step"], kinds.STEP_OR_SPEED, Group.TIME] = "step"  # type: ignore[assignment]
    """Market seconds per real second; 0 for as fast as possible; step: the clock stands still, and
    each POST /plant/v1/clock makes a step."""
    slow_readers: Annotated[Literal["disconnect", "wait"], Group.SERVER] = "wait"
    """disconnect: close clients that read too slowly; wait: let the market wait for them."""
    control_token: Annotated[str | None, kinds.TOKEN, Group.SERVER] = None
    """Token without which requests to /plant/v1/ are refused; better in TICKERPLANT_CONTROL_TOKEN,
    which other users cannot see [a random one, printed]."""


class ReplaySettings(PacedSettings, frozen=True, kw_only=True):
    """Serve recordings."""

    profile: Annotated[str, kinds.PROFILE_OR_AUTO, Group.PROTOCOL] = "auto"
    """Protocol profile; auto: the recording's own."""
    speed: Annotated[float, kinds.FREE_SPEED, Group.TIME] = 1.0
    """Recorded seconds per real second; 0 for as fast as possible."""
    pace: Annotated[Literal["receive", "event"], Group.TIME] = "receive"
    """Pace by receive time or by event time."""
    begin: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "from"] = None
    """Start time: an ISO date (UTC), epoch ms or ns, or an offset such as +90s from the beginning
    of the recording or -5m from its end."""
    end: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "to"] = None
    """End time (exclusive), in the same formats; +1h counts from the start time."""
    symbols: Annotated[tuple[str, ...], kinds.SYMBOLS, Group.SELECTION] = ()
    """Play only the streams of these symbols, separated by commas, and none of all symbols together
    [all]."""
    streams: Annotated[tuple[str, ...], kinds.STREAMS, Group.SELECTION] = ()
    """Play only these recorded streams, separated by commas, and what is derived from them
    [all]."""
    warm_up_ms: Annotated[int, kinds.DURATION, Group.TIME] = HOUR_MS
    """Minimum history to replay silently before --from, so that derived streams are correct."""
    loop: Annotated[bool, Group.TIME] = False
    """Start over at the end."""
    rebase: Annotated[Literal["off", "now"], Group.TIME] = "off"
    """now: shift all timestamps so that playback starts at the current time."""
    verbatim: Annotated[bool, Group.SELECTION] = False
    """Send only the recorded streams and derive nothing, which is faster."""
    wait_for: Annotated[int, kinds.whole(0, 1_000_000_000), Group.TIME] = 1
    """Start the clock once this many connections have subscribed."""
    exit_at_end: Annotated[bool, Group.TIME] = False
    """Exit at the end of the recording."""


class ClientSettings(Struct, frozen=True, kw_only=True):
    """Settings of commands that are clients."""

    url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """Base URL of the server, such as ws://127.0.0.1:9001 [TICKERPLANT_USDM_URL or
    TICKERPLANT_COINM_URL, else the exchange]."""
    stream_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of the streams, if they have a host of their own."""
    rest_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of REST, if it has a host of its own."""
    api_url: Annotated[str | None, kinds.API_URL, Group.CONNECTION] = None
    """URL of the WebSocket API, if it has a host of its own."""
    venue: Annotated[Literal["auto", "usdm", "coinm"], Group.CONNECTION] = "auto"
    """Venue; auto infers it from the URL or the names."""


class WatchSettings(ClientSettings, frozen=True, kw_only=True):
    """Watch streams."""

    duration_ms: Annotated[int | None, kinds.RUN_LENGTH, Group.TIME] = None
    """Stop after this time, such as 90s or 10m [never]."""
    copies: Annotated[int, kinds.whole(1, 10), Group.CONNECTION] = 1
    """Redundant connections per stream."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print every message as a JSON object; notices and totals go to standard error."""
    log_level: Annotated[Literal["info", "warning", "error"], Group.LOGGING] = "info"
    """warning: print no recoveries and no totals; error: print no notices at all."""


class AskSettings(ClientSettings, frozen=True, kw_only=True):
    """Send one request."""

    rest: Annotated[bool, Group.CONNECTION] = False
    """Use REST even if the WebSocket API has this method."""
    timeout_ms: Annotated[int, kinds.PERIOD, Group.TIME] = 10_000
    """How long to wait for the response, retries included."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print the response on one line, on a terminal too."""


class RecordSettings(ClientSettings, frozen=True, kw_only=True):
    """Record streams."""

    out: Annotated[str | None, kinds.FOLDER, Group.OUTPUT] = None
    """Output folder; an existing recording in it is continued."""
    profile: Annotated[str, kinds.PROFILE_OR_AUTO, Group.PROTOCOL] = "auto"
    """Protocol profile of the server; auto: what it says."""
    copies: Annotated[int, kinds.whole(1, 10), Group.CONNECTION] = 1
    """Redundant connections per stream."""
    max_connection_age_ms: Annotated[int, kinds.PERIOD, Group.CONNECTION] = LIMITS.lifetime_ms
    """Maximum connection age at the server; connections are replaced before, without loss."""
    duration_ms: Annotated[int | None, kinds.RUN_LENGTH, Group.TIME] = None
    """Stop after this time, such as 90s or 10m [never]."""
    snapshots_ms: Annotated[int, kinds.duration("1s", has_off=True), Group.RECORDING] = 3_600_000
    """How often to record a snapshot of each book, in addition to those at the start and after
    losses; off records no snapshots."""
    snapshot_levels: Annotated[int, kinds.SNAPSHOT_LEVELS, Group.RECORDING] = SNAPSHOT_LEVELS
    """Levels per side of a snapshot."""
    segment_ms: Annotated[int, kinds.PERIOD, Group.RECORDING] = 3_600_000
    """Start a new segment file after this time."""
    segment_bytes: Annotated[int, kinds.SIZE, Group.RECORDING, "segment-size"] = 256 << 20
    """Start a new segment file at this size."""
    compression_level: Annotated[int, kinds.whole(1, 19), Group.RECORDING] = LEVEL
    """Compression level, from 1 (fastest) to 19 (smallest)."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print the totals at the end as a JSON object."""
    log_format: Annotated[Literal["text", "json"], Group.LOGGING] = "text"
    """Format of log lines."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.LOGGING] = "info"
    """Minimum level to log."""


class RelaySettings(ServeSettings, frozen=True, kw_only=True):
    """Serve a live upstream."""

    profile: Annotated[str, kinds.PROFILE_OR_AUTO, Group.PROTOCOL] = "auto"
    """Protocol profile; auto: the upstream's own."""
    usdm_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """Base URL of the USDⓈ-M upstream, such as ws://127.0.0.1:9001."""
    coinm_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """Base URL of the COIN-M upstream [the exchange for both, if neither is given]."""
    usdm_stream_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of the streams of the USDⓈ-M upstream, if they have a host of their own."""
    usdm_rest_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of REST of the USDⓈ-M upstream, if it has a host of its own."""
    usdm_api_url: Annotated[str | None, kinds.API_URL, Group.CONNECTION] = None
    """URL of the WebSocket API of the USDⓈ-M upstream, if it has a host of its own."""
    coinm_stream_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of the streams of the COIN-M upstream, if they have a host of their own."""
    coinm_rest_url: Annotated[str | None, kinds.BASE_URL, Group.CONNECTION] = None
    """URL of REST of the COIN-M upstream, if it has a host of its own."""
    coinm_api_url: Annotated[str | None, kinds.API_URL, Group.CONNECTION] = None
    """URL of the WebSocket API of the COIN-M upstream, if it has a host of its own."""
    copies: Annotated[int, kinds.whole(1, 10), Group.CONNECTION] = 1
    """Redundant connections per stream."""
    linger_ms: Annotated[int, kinds.DURATION, Group.CONNECTION] = 60_000
    """How long to keep an upstream stream after its last subscriber leaves."""
    grace_ms: Annotated[int, kinds.DURATION, Group.CONNECTION] = 5_000
    """How long to keep clients while a stream is lost upstream, unless it is back incomplete."""
    record: Annotated[str | None, kinds.FOLDER, Group.RECORDING] = None
    """Also record everything that is sent, one recording per venue in this folder; if writing
    fails, serving continues and the exit status is 1."""
    record_streams: Annotated[tuple[str, ...], kinds.STREAMS, Group.RECORDING] = ()
    """Streams to record, separated by commas; required when relaying more than 50 symbols [trades,
    quotes, depth, mark prices and more for every symbol]."""


class ExportSettings(Struct, frozen=True, kw_only=True):
    """Export recordings."""

    out: Annotated[str | None, kinds.FOLDER, Group.OUTPUT] = None
    """Output folder; an existing export in it is continued."""
    tables: Annotated[tuple[str, ...], kinds.TABLES, Group.SELECTION] = ()
    """Export only these tables, such as trades,klines [all]."""
    symbols: Annotated[tuple[str, ...], kinds.SYMBOLS, Group.SELECTION] = ()
    """Export only these symbols, separated by commas [all]."""
    begin: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "from"] = None
    """Export only messages received at this time or later: an ISO date (UTC), epoch ms or ns, or an
    offset such as +90s from the beginning of the recording or -5m from its end."""
    end: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "to"] = None
    """Export only messages received before this time, in the same formats; +1h counts from
    --from."""
    numbers: Annotated[Literal["decimal", "float", "text"], Group.OUTPUT] = "decimal"
    """Type of prices and quantities: exact decimals, float64, or the original text."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print what was exported as a JSON object."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.LOGGING] = "info"
    """Minimum level to log."""


class PlotSettings(Struct, frozen=True, kw_only=True):
    """Draw a symbol of a recording."""

    out: Annotated[str | None, kinds.FILE, Group.OUTPUT] = None
    """The file to write; its name ends with .svg or .png."""
    begin: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "from"] = None
    """Draw from this receive time: an ISO date (UTC), epoch ms or ns, or an offset such as +90s
    from the beginning of the recording or -5m from its end."""
    end: Annotated[TimeSpec | None, kinds.TIME_SPEC, Group.TIME, "to"] = None
    """Draw up to this receive time, in the same formats; +1h counts from --from."""
    size: Annotated[tuple[int, int], kinds.PICTURE_SIZE, Group.OUTPUT] = (1_280, 960)
    """Width and height in pixels, such as 1600x1200."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.LOGGING] = "info"
    """Minimum level to log."""


class VerifySettings(Struct, frozen=True, kw_only=True):
    """Verify recordings."""

    streams: Annotated[tuple[str, ...], kinds.STREAMS, Group.SELECTION] = ()
    """Verify only these streams, separated by commas [all]."""
    gaps: Annotated[int, kinds.whole(0, 100_000), Group.OUTPUT] = 10
    """Maximum number of gaps to list per stream; all are counted."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print the findings as a JSON object."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.LOGGING] = "info"
    """Minimum level to log."""


class ExplainSettings(Struct, frozen=True, kw_only=True):
    """Explain URLs, streams and requests."""

    profile: Annotated[str, kinds.PROFILE, Group.PROTOCOL] = P2026Q1.name
    """Protocol profile."""
    routing: Annotated[Literal["lenient", "strict"], Group.PROTOCOL] = "lenient"
    """lenient: deliver every stream on every path; strict: as on the exchange, stay silent on the
    wrong path."""
    venue: Annotated[Literal["auto", "usdm", "coinm"], Group.CONNECTION] = "auto"
    """Venue; auto infers it from host, path, port or symbol."""
    json: Annotated[bool, Group.OUTPUT] = False
    """Print the explanation as a JSON object."""


class ListSettings(Struct, frozen=True, kw_only=True):
    """List streams, queries or versions."""

    json: Annotated[bool, Group.OUTPUT] = False
    """Print JSON."""


class ScenariosSettings(ListSettings, frozen=True, kw_only=True):
    """List, show and check scenarios."""

    toml: Annotated[bool, Group.OUTPUT] = False
    """Print the TOML of the scenario, to begin one with."""


class ControlSettings(ListSettings, frozen=True, kw_only=True):
    """Control a running server."""

    url: Annotated[str, kinds.CONTROL_URL, Group.CONNECTION] = (
        f"http://127.0.0.1:{USDM.default_port}"
    )
    """Address of the server, any of its ports."""
    control_token: Annotated[str | None, kinds.TOKEN, Group.SERVER] = None
    """Token of the server; better in TICKERPLANT_CONTROL_TOKEN, which other users cannot see."""


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
