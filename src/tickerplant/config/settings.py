"""The settings of each command: a field is a setting, with its bounds, default and help."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tickerplant.config.values import (
    Parser,
    assignments,
    base_url,
    duration_ms,
    faults,
    file_name,
    folder_name,
    host_name,
    instant_ms,
    names,
    period_ms,
    period_ms_or_off,
    profile_name,
    profile_name_or_auto,
    size_bytes,
    snapshot_levels,
)
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.profile import P2026Q1, PROFILES
from tickerplant.protocol.limits import LIMITS
from tickerplant.recording.block import LEVEL
from tickerplant.recording.timestamps import TimeSpec, parse_time_ns, parse_time_spec
from tickerplant.replaying.clock import read_speed
from tickerplant.replaying.plan import DEFAULT_WARM_UP_NS
from tickerplant.server.faults import Fault
from tickerplant.venue import COINM, USDM

Port = Annotated[int, Meta(ge=0, le=65_535)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Count = Annotated[int, Meta(ge=0)]
Speed = Annotated[float, Meta(ge=0, le=1_000_000)]
Intensity = Annotated[float, Meta(gt=0, le=1_000)]
Copies = Annotated[int, Meta(ge=1, le=10)]
Seconds = Annotated[float, Meta(gt=0, le=1_000_000_000)]
Level = Annotated[int, Meta(ge=1, le=19)]
ListedGaps = Annotated[int, Meta(ge=0, le=100_000)]
SymbolCount = Annotated[int, Meta(ge=1, le=2_000)]


def _setting(
    help_text: str, parse: Parser | None = None, option: str = "", *, owner: str = ""
) -> Meta:
    """Return what a field says about itself besides its type and default.

    Args:
        help_text: What it does.
        parse: Reads it; without, its type says how.
        option: The option's name, if it is another than the field's.
        owner: The only command that it is for, where the name means something else to another.
    """
    return Meta(description=help_text, extra={"parse": parse, "option": option, "owner": owner})


class ProtocolSettings(Struct, frozen=True, kw_only=True):
    """What every command has that speaks the protocol, or explains it."""

    profile: Annotated[
        str, _setting(f"Period of the protocol: {', '.join(PROFILES)}.", profile_name)
    ] = P2026Q1.name
    routing: Annotated[
        Literal["lenient", "strict"],
        _setting("Deliver every stream on every path, or be silent where the exchange is."),
    ] = "lenient"


class ServeSettings(ProtocolSettings, frozen=True, kw_only=True):
    """What every command that serves has."""

    host: Annotated[
        str, _setting("Address to listen on; 0.0.0.0 is every interface.", host_name)
    ] = "127.0.0.1"
    usdm_port: Annotated[Port, _setting(f"Port of {USDM.title}; 0 picks a free one.")] = (
        USDM.default_port
    )
    coinm_port: Annotated[Port, _setting(f"Port of {COINM.title}; 0 picks a free one.")] = (
        COINM.default_port
    )
    tls: Annotated[
        Literal["off", "self"],
        _setting(
            "Speak TLS with a certificate of its own for this machine, and print how to trust it."
        ),
    ] = "off"
    tls_cert: Annotated[
        str | None,
        _setting("Speak TLS with the certificate in this PEM file, its chain after it.", file_name),
    ] = None
    tls_key: Annotated[
        str | None,
        _setting("Key of the certificate, a PEM file [in the file of the certificate].", file_name),
    ] = None
    limits: Annotated[
        Literal["exchange", "off"],
        _setting("Refuse what goes beyond a limit, as the exchange does, or only count it."),
    ] = "exchange"
    limit_numbers: Annotated[
        dict[str, int],
        _setting("Other numbers for the protocol's limits, as NAME=NUMBER.", assignments, "limit"),
    ] = {}
    fault_values: Annotated[
        dict[str, Fault],
        _setting("Faults on demand, as NAME=VALUE, such as reset=30s.", faults, "fault"),
    ] = {}
    fault_seed: Annotated[Seed, _setting("Decides the random choices of faults.")] = 1
    log_format: Annotated[
        Literal["text", "json"], _setting("Log lines for people or for programs.")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _setting("The least that is logged.")
    ] = "info"


class PacedSettings(ServeSettings, frozen=True, kw_only=True):
    """What every command has that decides how fast its market goes."""

    speed: Annotated[Speed, _setting("Market seconds per second; 0 is as fast as it goes.")] = 1.0


RecordFolder = Annotated[
    str | None,
    _setting(
        "Record what is sent into a folder, a recording for each venue; "
        "if it cannot be written, serving goes on, and the exit status is 1.",
        folder_name,
    ),
]
RecordStreams = Annotated[
    tuple[str, ...],
    _setting(
        "Streams to record, separated by commas; a relay of more than 50 symbols wants them named "
        "[trades, quotes, depth, mark prices and more of every symbol].",
        names,
    ),
]

_WAIT_FOR = "Start the clock when this many connections have subscribed."


class SimulateSettings(PacedSettings, frozen=True, kw_only=True):
    """Serve the simulated market."""

    seed: Annotated[Seed, _setting("With --start, decides every byte of the market.")] = 1
    start_ms: Annotated[
        int | None,
        _setting("First moment of the market, an ISO date (UTC) or ms [now].", instant_ms, "start"),
    ] = None
    symbols: Annotated[
        tuple[str, ...],
        _setting("Only these symbols, separated by commas, and no new listings [all].", names),
    ] = ()
    symbol_count: Annotated[
        SymbolCount | None, _setting("This many symbols, up to a full exchange.")
    ] = None
    intensity: Annotated[Intensity, _setting("Factor on the order flow.")] = 1.0
    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 0
    duration_ms: Annotated[
        int | None,
        _setting("Stop after this much market time, such as 10m [never].", duration_ms, "duration"),
    ] = None
    record: RecordFolder = None
    record_streams: RecordStreams = ()


class ReplaySettings(PacedSettings, frozen=True, kw_only=True):
    """Serve recordings."""

    profile: Annotated[
        str,
        _setting(
            f"Period of the protocol: {', '.join(PROFILES)}, or auto: that of the recording.",
            profile_name_or_auto,
        ),
    ] = "auto"
    speed: Annotated[
        float, _setting("Recorded seconds per second; 0 is as fast as it goes.", read_speed)
    ] = 1.0
    pace: Annotated[
        Literal["receive", "event"],
        _setting("Pace by the times at which messages were received, or by those in them."),
    ] = "receive"
    begin: Annotated[
        TimeSpec | None,
        _setting(
            "Begin there: an ISO date (UTC), ms or ns, or +90s from the beginning, -5m from the end.",
            parse_time_spec,
            "from",
        ),
    ] = None
    end: Annotated[
        TimeSpec | None,
        _setting(
            "End before that moment, written the same way.", parse_time_spec, "to", owner="replay"
        ),
    ] = None
    warm_up_ms: Annotated[
        int,
        _setting(
            "How much is played silently, at least, to reach a moment in the middle.",
            duration_ms,
            "warm-up",
        ),
    ] = DEFAULT_WARM_UP_NS // 1_000_000
    loop: Annotated[bool, _setting("Begin anew at the end.")] = False
    rebase: Annotated[
        Literal["off", "now"],
        _setting("Shift all times so that the first message is of now."),
    ] = "off"
    verbatim: Annotated[
        bool,
        _setting("Send the recorded streams and nothing else; derive no state, which is faster."),
    ] = False
    wait_for: Annotated[Count, _setting(_WAIT_FOR)] = 1
    exit_at_end: Annotated[bool, _setting("Leave when the recording is over.")] = False


class ClientSettings(Struct, frozen=True, kw_only=True):
    """What every command has that is a client."""

    url: Annotated[
        str | None,
        _setting(
            "Where all is served, such as ws://127.0.0.1:9001 "
            "[what TICKERPLANT_USDM_URL or TICKERPLANT_COINM_URL says, else the exchange].",
            base_url,
        ),
    ] = None
    venue: Annotated[
        Literal["auto", "usdm", "coinm"],
        _setting(
            "Whose streams or answers are wanted; by default inferred from the URL or the names."
        ),
    ] = "auto"


class WatchSettings(ClientSettings, frozen=True, kw_only=True):
    """Watch streams."""

    copies: Annotated[Copies, _setting("Connections that carry each stream.")] = 1
    seconds: Annotated[Seconds | None, _setting("Stop after so many seconds [never].")] = None
    json: Annotated[bool, _setting("Print every message as a JSON object.")] = False


class AskSettings(ClientSettings, frozen=True, kw_only=True):
    """Ask a question."""

    rest: Annotated[bool, _setting("Ask over REST what the WebSocket API has too.")] = False
    timeout_ms: Annotated[
        int, _setting("How long the answer may take, tries included.", period_ms, "timeout")
    ] = 10_000


class RecordSettings(ClientSettings, frozen=True, kw_only=True):
    """Record streams."""

    out: Annotated[
        str | None,
        _setting("Folder of the recording; a recording that is there is continued.", folder_name),
    ] = None
    copies: Annotated[Copies, _setting("Connections that carry each stream.")] = 1
    max_connection_age_ms: Annotated[
        int,
        _setting(
            "Age at which the server cuts connections; they are renewed before, without a loss.",
            period_ms,
            "max-connection-age",
        ),
    ] = LIMITS.lifetime_ms
    seconds: Annotated[Seconds | None, _setting("Stop after so many seconds [never].")] = None
    snapshots_ms: Annotated[
        int,
        _setting(
            "How often each recorded book is anchored by a snapshot, besides at its beginning and "
            "after losses; off records no snapshots at all.",
            period_ms_or_off,
            "snapshots",
        ),
    ] = 3_600_000
    snapshot_levels: Annotated[
        int, _setting("Levels on each side of a snapshot.", snapshot_levels)
    ] = SNAPSHOT_LEVELS
    segment_ms: Annotated[
        int, _setting("Begin a new file after this time.", period_ms, "segment")
    ] = 3_600_000
    segment_bytes: Annotated[
        int, _setting("Begin a new file at this size.", size_bytes, "segment-size")
    ] = 256 << 20
    level: Annotated[Level, _setting("Compression level: 1 is the quickest, 19 the smallest.")] = (
        LEVEL
    )
    log_format: Annotated[
        Literal["text", "json"], _setting("Log lines for people or for programs.")
    ] = "text"


class RelaySettings(ServeSettings, frozen=True, kw_only=True):
    """Serve a live upstream."""

    profile: Annotated[
        str,
        _setting(
            f"Period of the protocol: {', '.join(PROFILES)}, or auto: that of the upstream.",
            profile_name_or_auto,
        ),
    ] = "auto"
    usdm_url: Annotated[
        str | None,
        _setting(f"Where {USDM.title} is served, such as ws://127.0.0.1:9001.", base_url),
    ] = None
    coinm_url: Annotated[
        str | None,
        _setting(
            f"Where {COINM.title} is served. With neither it is the exchange, for both.", base_url
        ),
    ] = None
    copies: Annotated[Copies, _setting("Connections that carry each stream.")] = 1
    linger_ms: Annotated[
        int, _setting("Keep a stream for so long after its last listener.", duration_ms, "linger")
    ] = 60_000
    grace_ms: Annotated[
        int,
        _setting(
            "Close clients whose streams are lost upstream for so long.", duration_ms, "grace"
        ),
    ] = 5_000
    record: RecordFolder = None
    record_streams: RecordStreams = ()


class ExportSettings(Struct, frozen=True, kw_only=True):
    """Export recordings."""

    to: Annotated[
        Literal["parquet", "csv", "hftbacktest"],
        _setting(
            "Format of the files; csv is in the layout of the exchange's public archive.",
            owner="export",
        ),
    ] = "parquet"
    out: Annotated[
        str | None,
        _setting("Folder to write into; an export that is there is continued.", folder_name),
    ] = None
    tables: Annotated[
        tuple[str, ...],
        _setting("Only these tables, such as trades,klines [all that the form has].", names),
    ] = ()
    symbols: Annotated[
        tuple[str, ...], _setting("Only these symbols, separated by commas [all].", names)
    ] = ()
    start_ns: Annotated[
        int | None,
        _setting(
            "Only what was received then or later: an ISO date (UTC), ms or ns.",
            parse_time_ns,
            "from",
        ),
    ] = None
    end_ns: Annotated[
        int | None,
        _setting("Only what was received before, written the same way.", parse_time_ns, "to-time"),
    ] = None
    numbers: Annotated[
        Literal["decimal", "float", "text"],
        _setting("Prices and quantities in Parquet: exact, as float64, or as they were printed."),
    ] = "decimal"
    extras: Annotated[
        tuple[str, ...],
        _setting(
            "For hftbacktest, besides books and trades: book_tickers, mark_prices [none].", names
        ),
    ] = ()
    base_latency_ns: Annotated[
        Count,
        _setting("For hftbacktest: ns that are added where receive times have to be corrected."),
    ] = 0


class VerifySettings(Struct, frozen=True, kw_only=True):
    """Verify recordings."""

    streams: Annotated[
        tuple[str, ...], _setting("Only these streams, separated by commas [all].", names)
    ] = ()
    gaps: Annotated[
        ListedGaps, _setting("How many gaps of a stream are listed; all are counted.")
    ] = 10
    json: Annotated[bool, _setting("Print one JSON document with all that was found.")] = False


COMMANDS: dict[str, type[Struct]] = {
    "simulate": SimulateSettings,
    "replay": ReplaySettings,
    "relay": RelaySettings,
    "explain": ProtocolSettings,
    "watch": WatchSettings,
    "record": RecordSettings,
    "ask": AskSettings,
    "export": ExportSettings,
    "verify": VerifySettings,
}
"""The commands that have settings, by name."""
