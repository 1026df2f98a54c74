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

REFUSE = FaultRow("refuse", "handshake", "WebSocket handshakes are answered 503.", (SHARE,))
LIMIT_HANDSHAKES = FaultRow(
    "limit_handshakes",
    "handshake",
    "WebSocket handshakes are answered 429 with `Retry-After: 1`.",
    (SHARE,),
)
BAN_HANDSHAKES = FaultRow(
    "ban_handshakes",
    "handshake",
    "WebSocket handshakes are answered 418 with `Retry-After: 1`.",
    (SHARE,),
)
HANDSHAKE = FaultRow(
    "handshake",
    "handshake",
    "WebSocket handshakes are answered with this status; 418 and 429 have `Retry-After: 1`.",
    (
        Param(
            name="status",
            kind="status",
            doc="The HTTP status: 451 is how the exchange refuses countries, 403 its firewall.",
            required=True,
            choices=HANDSHAKE_STATUSES,
        ),
        SHARE,
    ),
)
RESET = FaultRow(
    "reset",
    "connection",
    "WebSocket connections are closed with a TCP reset, without a close frame; unsent data is "
    "lost.",
    (MEAN,),
)
CLOSE = FaultRow(
    "close",
    "connection",
    "WebSocket connections are closed with this code.",
    (
        Param(name="code", kind="close_code", doc="The code of the close frame.", default=1001),
        MEAN,
    ),
)
MAINTENANCE = FaultRow(
    "maintenance",
    "connection",
    "All WebSocket connections are closed with 1001; as long as it is on, handshakes and "
    "requests are answered 503.",
    lasts=True,
    aims=("venue",),
)
STALL = FaultRow(
    "stall",
    "connection",
    "WebSocket connections go silent: the socket stays open, and nothing is read, sent or "
    "answered, not even a ping. What is due in that time is sent afterwards; a connection with "
    "more than `max_unsent_bytes` pending is closed as a slow consumer, and one that should close "
    "in that time is aborted after `close_grace_ms`.",
    (
        Param(
            name="time",
            kind="duration",
            doc="How long each stall takes; without it, as long as the window is open.",
        ),
        MEAN,
    ),
    lasts=True,
)
HALF_OPEN = FaultRow(
    "half_open",
    "connection",
    "WebSocket connections are as after a lost network: the socket stays open, nothing is "
    "read, and what is sent is lost. When it ends, they are closed with a TCP reset.",
    lasts=True,
)
LATENCY = FaultRow(
    "latency",
    "connection",
    "All that WebSocket connections send and receive arrives later, in the same order.",
    (
        Param(name="time", kind="duration", doc="How much later.", required=True),
        Param(
            name="jitter",
            kind="duration",
            doc="Up to so much is added at random; it changes from one millisecond to the next.",
            default=0,
        ),
    ),
    lasts=True,
)
BANDWIDTH = FaultRow(
    "bandwidth",
    "connection",
    "WebSocket connections are sent no more than this; the rest waits. One with more than "
    "`max_unsent_bytes` waiting is closed as a slow consumer.",
    (Param(name="rate", kind="rate", doc="Bytes per second, such as 64KB.", required=True),),
    lasts=True,
)
GARBAGE = FaultRow(
    "garbage",
    "connection",
    "WebSocket connections get an extra text frame: in turn, invalid JSON, half a message, or "
    "JSON of an unknown form.",
    (MEAN,),
)
INVALID_UTF8 = FaultRow(
    "invalid_utf8",
    "connection",
    "WebSocket connections get a text frame that is not UTF-8; by RFC 6455 the client has to "
    "end the connection with 1007.",
    (MEAN,),
)
SHUTDOWN_NOTICE = FaultRow(
    "shutdown_notice",
    "connection",
    'WebSocket connections get the notice `{"e":"serverShutdown","E":TIME}`. The exchange '
    "documents it for spot, not for futures: a client should survive an event that it does not "
    "know.",
    (MEAN,),
)
SILENT = FaultRow(
    "silent",
    "subscription",
    "Stream names in SUBSCRIBE and in URLs are acknowledged and stay silent on that connection "
    "until they are unsubscribed and subscribed again. It acts on new subscriptions; `drop` silences "
    "those that run.",
    (SHARE,),
    instead="`drop` withholds the messages of those",
)
NO_ACK = FaultRow(
    "no_ack", "subscription", "SUBSCRIBE requests are carried out and never acknowledged.", (SHARE,)
)
API_ERROR = FaultRow(
    "api_error",
    "api",
    "WebSocket API requests are answered with an error; 418 and 429 (-1003) have a `retryAfter` "
    "1 s later, 503 is -1008. The connection stays open.",
    (
        SHARE,
        Param(
            name="status",
            kind="status",
            doc="The status; without it in turn 429, 503 and 418 on each connection.",
            choices=API_STATUSES,
        ),
    ),
    joined=("share",),
)
API_DELAY = FaultRow(
    "api_delay",
    "api",
    "WebSocket API requests are answered this much later.",
    (
        Param(name="time", kind="duration", doc="How much later.", required=True),
        SHARE,
    ),
)
HTTP_HANG = FaultRow(
    "http_hang", "rest", f"REST requests are answered after {HANG_MS // 1_000} s.", (SHARE,)
)
HTTP_DELAY = FaultRow(
    "http_delay",
    "rest",
    "REST requests are answered this much later.",
    (
        Param(name="time", kind="duration", doc="How much later.", required=True),
        SHARE,
    ),
)
HTTP_429 = FaultRow(
    "http_429", "rest", "REST requests are answered 429 (-1003) with `Retry-After: 1`.", (SHARE,)
)
HTTP_418 = FaultRow(
    "http_418", "rest", "REST requests are answered 418 (-1003) with `Retry-After: 1`.", (SHARE,)
)
HTTP_503 = FaultRow("http_503", "rest", "REST requests are answered 503 (-1008).", (SHARE,))
HTTP = FaultRow(
    "http",
    "rest",
    "REST requests are answered with this status: 418, 429 and 503 as the exchange does, "
    "others with a page of HTML, as firewalls and gateways do.",
    (
        Param(
            name="status",
            kind="status",
            doc="The HTTP status.",
            required=True,
            choices=HTTP_STATUSES,
        ),
        SHARE,
    ),
)
HTTP_GARBAGE = FaultRow(
    "http_garbage", "rest", "REST requests are answered 200 with invalid JSON.", (SHARE,)
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
