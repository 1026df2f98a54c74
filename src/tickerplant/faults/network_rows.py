"""The faults of handshakes, connections, subscriptions and requests, as rows."""

from __future__ import annotations

from tickerplant.faults.row import MEAN, SHARE, FaultRow, Param

HANG_MS = 30_000
"""How long a REST request hangs, if nothing else is given."""
RETRY_AFTER_MS = 1_000
"""The wait that an injected 429 or 418 asks for."""
HANDSHAKE_STATUSES = (400, 401, 403, 404, 418, 429, 451, 500, 502, 503, 504)
HTTP_STATUSES = (400, 401, 403, 404, 408, 418, 429, 451, 500, 502, 503, 504)
API_STATUSES = (400, 403, 418, 429, 500, 503)

REFUSE = FaultRow(
    name="refuse",
    acts_on="handshake",
    doc="WebSocket handshakes are answered 503.",
    params=(SHARE,),
    value=("share",),
)
LIMIT_HANDSHAKES = FaultRow(
    name="limit_handshakes",
    acts_on="handshake",
    doc="WebSocket handshakes are answered 429 with `Retry-After: 1`.",
    params=(SHARE,),
    value=("share",),
)
BAN_HANDSHAKES = FaultRow(
    name="ban_handshakes",
    acts_on="handshake",
    doc="WebSocket handshakes are answered 418 with `Retry-After: 1`.",
    params=(SHARE,),
    value=("share",),
)
HANDSHAKE = FaultRow(
    name="handshake",
    acts_on="handshake",
    doc="WebSocket handshakes are answered with this status; 418 and 429 have `Retry-After: 1`.",
    params=(
        Param(
            name="status",
            kind="status",
            doc="The HTTP status: 451 is how the exchange refuses countries, 403 its firewall.",
            required=True,
            choices=HANDSHAKE_STATUSES,
        ),
        SHARE,
    ),
    value=("status", "share"),
)
RESET = FaultRow(
    name="reset",
    acts_on="connection",
    doc="WebSocket connections are closed with a TCP reset, without a close frame; unsent data is "
    "lost.",
    params=(MEAN,),
    value=("mean",),
)
CLOSE = FaultRow(
    name="close",
    acts_on="connection",
    doc="WebSocket connections are closed with this code.",
    params=(
        Param(name="code", kind="close_code", doc="The code of the close frame.", default=1001),
        MEAN,
    ),
    value=("code", "mean"),
)
MAINTENANCE = FaultRow(
    name="maintenance",
    acts_on="connection",
    doc="All WebSocket connections are closed with 1001; as long as it is on, handshakes and "
    "requests are answered 503.",
    lasts=True,
    aims=("venue",),
)
STALL = FaultRow(
    name="stall",
    acts_on="connection",
    doc="WebSocket connections go silent: the socket stays open, and nothing is read, sent or "
    "answered, not even a ping. What is due in that time is sent afterwards; a connection with "
    "more than `max_unsent_bytes` pending is closed as a slow consumer, and one that should close "
    "in that time is aborted after `close_grace_ms`.",
    params=(
        Param(
            name="time",
            kind="duration",
            doc="How long each stall takes; without it, as long as the window is open.",
        ),
        MEAN,
    ),
    value=("time", "mean"),
    lasts=True,
)
HALF_OPEN = FaultRow(
    name="half_open",
    acts_on="connection",
    doc="WebSocket connections are as after a lost network: the socket stays open, nothing is "
    "read, and what is sent is lost. When it ends, they are closed with a TCP reset.",
    lasts=True,
)
LATENCY = FaultRow(
    name="latency",
    acts_on="connection",
    doc="All that WebSocket connections send and receive arrives later, in the same order.",
    params=(
        Param(name="time", kind="duration", doc="How much later.", required=True),
        Param(
            name="jitter",
            kind="duration",
            doc="Up to so much is added at random; it changes from one millisecond to the next.",
            default=0,
        ),
    ),
    value=("time", "jitter"),
    lasts=True,
)
BANDWIDTH = FaultRow(
    name="bandwidth",
    acts_on="connection",
    doc="WebSocket connections are sent no more than this; the rest waits. One with more than "
    "`max_unsent_bytes` waiting is closed as a slow consumer.",
    params=(Param(name="rate", kind="rate", doc="Bytes per second, such as 64KB.", required=True),),
    value=("rate",),
    lasts=True,
)
GARBAGE = FaultRow(
    name="garbage",
    acts_on="connection",
    doc="WebSocket connections get an extra text frame: in turn, invalid JSON, half a message, or "
    "JSON of an unknown form.",
    params=(MEAN,),
    value=("mean",),
)
INVALID_UTF8 = FaultRow(
    name="invalid_utf8",
    acts_on="connection",
    doc="WebSocket connections get a text frame that is not UTF-8; by RFC 6455 the client has to "
    "end the connection with 1007.",
    params=(MEAN,),
    value=("mean",),
)
SHUTDOWN_NOTICE = FaultRow(
    name="shutdown_notice",
    acts_on="connection",
    doc='WebSocket connections get the notice `{"e":"serverShutdown","E":TIME}`. The exchange '
    "documents it for spot, not for futures: a client should survive an event that it does not "
    "know.",
    params=(MEAN,),
    value=("mean",),
)
SILENT = FaultRow(
    name="silent",
    acts_on="subscription",
    doc="Stream names in SUBSCRIBE and in URLs are acknowledged and stay silent on that connection "
    "until they are unsubscribed and subscribed again. It acts on new subscriptions; `drop` silences "
    "those that run.",
    params=(SHARE,),
    value=("share",),
    instead="`drop` withholds the messages of those",
)
NO_ACK = FaultRow(
    name="no_ack",
    acts_on="subscription",
    doc="SUBSCRIBE requests are carried out and never acknowledged.",
    params=(SHARE,),
    value=("share",),
)
API_ERROR = FaultRow(
    name="api_error",
    acts_on="api",
    doc="WebSocket API requests are answered with an error; 418 and 429 (-1003) have a `retryAfter` "
    "1 s later, 503 is -1008. The connection stays open.",
    params=(
        SHARE,
        Param(
            name="status",
            kind="status",
            doc="The status; without it in turn 429, 503 and 418 on each connection.",
            choices=API_STATUSES,
        ),
    ),
    value=("share",),
)
API_DELAY = FaultRow(
    name="api_delay",
    acts_on="api",
    doc="WebSocket API requests are answered this much later.",
    params=(
        Param(name="time", kind="duration", doc="How much later.", required=True),
        SHARE,
    ),
    value=("time", "share"),
)
HTTP_HANG = FaultRow(
    name="http_hang",
    acts_on="rest",
    doc=f"REST requests are answered after {HANG_MS // 1_000} s.",
    params=(SHARE,),
    value=("share",),
)
HTTP_DELAY = FaultRow(
    name="http_delay",
    acts_on="rest",
    doc="REST requests are answered this much later.",
    params=(
        Param(name="time", kind="duration", doc="How much later.", required=True),
        SHARE,
    ),
    value=("time", "share"),
)
HTTP_429 = FaultRow(
    name="http_429",
    acts_on="rest",
    doc="REST requests are answered 429 (-1003) with `Retry-After: 1`.",
    params=(SHARE,),
    value=("share",),
)
HTTP_418 = FaultRow(
    name="http_418",
    acts_on="rest",
    doc="REST requests are answered 418 (-1003) with `Retry-After: 1`.",
    params=(SHARE,),
    value=("share",),
)
HTTP_503 = FaultRow(
    name="http_503",
    acts_on="rest",
    doc="REST requests are answered 503 (-1008).",
    params=(SHARE,),
    value=("share",),
)
HTTP = FaultRow(
    name="http",
    acts_on="rest",
    doc="REST requests are answered with this status: 418, 429 and 503 as the exchange does, "
    "others with a page of HTML, as firewalls and gateways do.",
    params=(
        Param(
            name="status",
            kind="status",
            doc="The HTTP status.",
            required=True,
            choices=HTTP_STATUSES,
        ),
        SHARE,
    ),
    value=("status", "share"),
)
HTTP_GARBAGE = FaultRow(
    name="http_garbage",
    acts_on="rest",
    doc="REST requests are answered 200 with invalid JSON.",
    params=(SHARE,),
    value=("share",),
)

NETWORK_ROWS = (
    REFUSE,
    LIMIT_HANDSHAKES,
    BAN_HANDSHAKES,
    HANDSHAKE,
    RESET,
    CLOSE,
    MAINTENANCE,
    STALL,
    HALF_OPEN,
    LATENCY,
    BANDWIDTH,
    GARBAGE,
    INVALID_UTF8,
    SHUTDOWN_NOTICE,
    SILENT,
    NO_ACK,
    API_ERROR,
    API_DELAY,
    HTTP_HANG,
    HTTP_DELAY,
    HTTP_429,
    HTTP_418,
    HTTP_503,
    HTTP,
    HTTP_GARBAGE,
)
