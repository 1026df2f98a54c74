"""Every limit of the protocol, with its unit and source.

`Limits` holds the values, `LIMIT_ROWS` their descriptions. A session takes its limits as
an argument, so a shorter day is a `msgspec.structs.replace(LIMITS, lifetime_ms=5)`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, TypeAlias, get_type_hints

import msgspec
from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.profile import REQUEST_WEIGHT_PER_MINUTE

CONNECTION_PAGE = "USDⓈ-M market-stream connection page"
API_PAGE = "WebSocket API general information page"
REST_PAGE = "REST pages of the endpoints, USDⓈ-M"
MEASURED = "measured on the exchange, October 2026"
SPOT = "spot documentation; the futures pages give no number"
OURS = "chosen here; the exchange gives no number"


LimitClock: TypeAlias = Literal["", "connection", "machine"]
"""The clock of a limit: connection time, which is market time in a test server and the machine's
elsewhere; or always the machine's, where it protects the server from stuck sockets.  Empty where no
clock is needed."""


class Description(Struct, frozen=True):
    """The unit, meaning, source and clock of a limit."""

    unit: str
    doc: str
    source: str
    least: int = 1
    clock: LimitClock = ""


_by_connection = partial(Description, clock="connection")
_by_machine = partial(Description, clock="machine")


class Limits(Struct, frozen=True, kw_only=True):
    """The limits of one server.

    Raises:
        ConfigError: a number is below its minimum.
    """

    enforced: bool = True
    """Whether the limits of the exchange are enforced, or only counted.  Limits that protect the
    server, and the lifetime of a connection, apply either way."""
    max_streams: Annotated[
        int, Description("streams", "Streams per connection.", CONNECTION_PAGE)
    ] = 1024
    unenforced_streams: Annotated[
        int, Description("streams", "Streams per connection with `--limits off`.", OURS)
    ] = 65_536
    max_name_bytes: Annotated[
        int, Description("bytes", "Length of a stream name in SUBSCRIBE.", OURS)
    ] = 256
    message_rate_per_s: Annotated[
        int,
        _by_connection("messages/s", "Sustained message rate of a stream client.", CONNECTION_PAGE),
    ] = 10
    message_burst: Annotated[
        int, Description("messages", "Messages that a stream client may send at once.", MEASURED)
    ] = 15
    count_control_frames: Annotated[
        bool,
        Description(
            "switch", "Whether pings and pongs count as messages on stream connections.", SPOT, 0
        ),
    ] = False
    api_control_rate_per_s: Annotated[
        int,
        _by_connection("frames/s", "Pings and pongs a WebSocket API client may send.", API_PAGE),
    ] = 5
    ping_interval_ms: Annotated[
        int, _by_connection("ms", "Time between the server's pings.", CONNECTION_PAGE)
    ] = 180_000
    pong_timeout_ms: Annotated[
        int,
        _by_machine(
            "ms", "Age of an unanswered ping at which a connection is closed.", CONNECTION_PAGE
        ),
    ] = 600_000
    lifetime_ms: Annotated[
        int, _by_connection("ms", "Age at which a connection is closed.", CONNECTION_PAGE)
    ] = 86_400_000
    max_frame_bytes: Annotated[
        int, Description("bytes", "Longest message a client may send.", OURS)
    ] = 65_536
    max_uri_bytes: Annotated[
        int, Description("bytes", "Longest request target.", "seen by long-lived public clients")
    ] = 8000
    max_unsent_bytes: Annotated[
        int, Description("bytes", "Unsent data of a client that reads too slowly.", OURS)
    ] = 8_388_608
    max_backlog_bytes: Annotated[
        int,
        Description(
            "bytes",
            "Messages that wait for a client with `delivery=latest`.",
            OURS,
        ),
    ] = 1_048_576
    max_unread_ms: Annotated[
        int,
        _by_machine(
            "ms", "Time for which a client may read nothing of the data that waits for it.", OURS
        ),
    ] = 30_000
    close_grace_ms: Annotated[
        int, _by_machine("ms", "Time a closing connection has to read its last bytes.", OURS)
    ] = 2000
    stall_timeout_ms: Annotated[
        int,
        _by_machine(
            "ms", "Time for which a client may block a replay that waits for its readers.", OURS
        ),
    ] = 30_000
    max_head_bytes: Annotated[
        int, Description("bytes", "Request line and headers of an HTTP request, or trailers.", OURS)
    ] = 65_536
    max_body_bytes: Annotated[int, Description("bytes", "Body of an HTTP request.", OURS)] = 4_096
    head_timeout_ms: Annotated[
        int,
        _by_machine(
            "ms",
            "Time for the head of an HTTP request, from its first byte, or from the opening of the "
            "connection for the first request; also for the TLS handshake.",
            OURS,
        ),
    ] = 30_000
    body_timeout_ms: Annotated[
        int,
        _by_machine("ms", "Time for the body of an HTTP request, from the end of its head.", OURS),
    ] = 30_000
    message_timeout_ms: Annotated[
        int,
        _by_machine(
            "ms",
            "Time for a WebSocket message with all its fragments, from first byte to last.",
            OURS,
        ),
    ] = 30_000
    answer_timeout_ms: Annotated[
        int,
        _by_machine("ms", "Time a client may take to read the response to an HTTP request.", OURS),
    ] = 60_000
    keep_alive_ms: Annotated[
        int, _by_machine("ms", "Time an HTTP connection stays open between two requests.", OURS)
    ] = 60_000
    reserved_descriptors: Annotated[
        int,
        Description(
            "descriptors",
            "Descriptors reserved for files and upstreams, at most a quarter of all; a client that "
            "connects when only these are free is answered 503.",
            OURS,
            0,
        ),
    ] = 64
    accept_pause_ms: Annotated[
        int,
        _by_machine("ms", "Pause in accepting connections after the system had no socket.", OURS),
    ] = 100
    request_weight_per_minute: Annotated[
        int,
        _by_connection(
            "weight/min", "Request weight of one address, REST and API together.", API_PAGE
        ),
    ] = REQUEST_WEIGHT_PER_MINUTE
    handshake_weight: Annotated[
        int, Description("weight", "Weight of opening a WebSocket API connection.", API_PAGE, 0)
    ] = 5
    session_weight: Annotated[
        int,
        Description("weight", "Weight of `session.logon`, `.status` and `.logout`.", API_PAGE, 0),
    ] = 2
    problem_weight: Annotated[
        int, Description("weight", "Weight of a request that nobody can answer.", OURS, 0)
    ] = 1
    funding_requests: Annotated[
        int,
        Description("requests", "Funding requests per address and window.", REST_PAGE),
    ] = 500
    statistics_requests: Annotated[
        int,
        Description("requests", "Statistics requests per address and window.", REST_PAGE),
    ] = 1000
    allowance_window_ms: Annotated[
        int, _by_connection("ms", "Window of the funding and statistics requests.", REST_PAGE)
    ] = 300_000
    refusals_before_ban: Annotated[
        int, _by_connection("requests", "Refused requests in one minute that bring a ban.", OURS)
    ] = 60
    first_ban_ms: Annotated[
        int,
        _by_connection(
            "ms", "Length of the first ban; each further one is twice as long.", API_PAGE
        ),
    ] = 120_000
    longest_ban_ms: Annotated[
        int,
        _by_connection(
            "ms", "Longest ban, and the period of good conduct that resets the length.", API_PAGE
        ),
    ] = 259_200_000
    connection_attempts: Annotated[
        int,
        Description(
            "attempts", "Connections an address may open per window; 0 is no limit.", SPOT, 0
        ),
    ] = 0
    connection_window_ms: Annotated[
        int, _by_connection("ms", "Window in which connection attempts are counted.", SPOT)
    ] = 300_000
    max_addresses: Annotated[
        int,
        Description(
            "addresses", "Addresses that are remembered; the least recent is forgotten.", OURS
        ),
    ] = 10_000

    def allowance(self, name: str) -> int:
        """Return the number of requests of a kind per window: `funding`, `statistics`."""
        return int(getattr(self, f"{name}_requests"))

    def __post_init__(self) -> None:
        for row in LIMIT_ROWS:
            value = getattr(self, row.name)
            if value < row.least:
                raise ConfigError(row.name, value, f"at least {row.least} {row.unit}")


class LimitRow(Struct, frozen=True):
    """One limit as the reference page prints it."""

    name: str
    default: int
    unit: str
    doc: str
    source: str
    least: int
    clock: LimitClock


def _rows() -> tuple[LimitRow, ...]:
    notes = get_type_hints(Limits, include_extras=True)
    return tuple(
        LimitRow(
            field.name, field.default, about.unit, about.doc, about.source, about.least, about.clock
        )
        for field in msgspec.structs.fields(Limits)
        for about in getattr(notes[field.name], "__metadata__", ())
    )


LIMIT_ROWS = _rows()
LIMITS = Limits()
"""The limits of the exchange, where it documents them."""
