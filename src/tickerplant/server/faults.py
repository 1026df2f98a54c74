"""Faults on demand, as rows: what each does to a client, and what its value consists of.

Pure: `fault_injector.py` draws them, `faulty_connection.py` and `faulty_rest.py` carry them out.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

EXEMPT_HEADER = "X-Tickerplant-Exempt"
"""Handshakes and requests with this header set to `1` are never faulted."""
FAULTS_PATH = "/plant/v1/faults"
HANG_MS = 30_000
"""How long a REST request hangs."""

CLOSE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""Codes that a close frame may have (RFC 6455, section 7.4)."""


class Part(Struct, frozen=True):
    """A part of a value; `name` is that of a field of `Fault`."""

    name: str
    shown: str
    words: str


SHARE = Part("share", "SHARE", "a share from 0 to 1 such as 0.1")
MEAN = Part("mean_ms", "MEAN", "a mean time of at least 1ms such as 30s")
TIME = Part("time_ms", "TIME", "a time of at least 1ms such as 5s")
CODE = Part("code", "CODE", "a close code (1000-1003, 1007-1014 or 3000-4999)")


class FaultRow(Struct, frozen=True):
    """One fault."""

    name: str
    parts: tuple[Part, ...]
    """The parts of its value, joined by `@`."""
    doc: str

    @property
    def form(self) -> str:
        """The form of the setting: `stall=TIME@MEAN`."""
        return f"{self.name}={'@'.join(part.shown for part in self.parts)}"

    @property
    def words(self) -> str:
        """The expected value, in words."""
        return " and ".join(part.words for part in self.parts)


class Fault(Struct, frozen=True, kw_only=True):
    """The value of one fault that is on, with the numbers that its row has."""

    text: str
    """The value as it was written."""
    share: float = 0.0
    mean_ms: int = 0
    time_ms: int = 0
    code: int = 0


REFUSE = FaultRow("refuse", (SHARE,), "This share of WebSocket handshakes is answered 503.")
LIMIT_HANDSHAKES = FaultRow(
    "limit_handshakes",
    (SHARE,),
    "This share of WebSocket handshakes is answered 429 with `Retry-After: 1`.",
)
BAN_HANDSHAKES = FaultRow(
    "ban_handshakes",
    (SHARE,),
    "This share of WebSocket handshakes is answered 418 with `Retry-After: 1`.",
)
RESET = FaultRow(
    "reset",
    (MEAN,),
    "Each WebSocket connection is closed with a TCP reset, without a close frame, after a random "
    "time; unsent data is lost.",
)
CLOSE = FaultRow(
    "close",
    (CODE, MEAN),
    "Each WebSocket connection is closed with this code after a random time.",
)
STALL = FaultRow(
    "stall",
    (TIME, MEAN),
    "Each WebSocket connection goes silent for this time at random intervals: the socket stays "
    "open, and nothing is read, sent or answered, not even a ping. What is due in that time is sent "
    "afterwards; a connection with more than `max_unsent_bytes` pending is closed as a slow "
    "consumer, and one that should close in that time is aborted after `close_grace_ms`.",
)
GARBAGE = FaultRow(
    "garbage",
    (MEAN,),
    "Each WebSocket connection gets an extra text frame at random intervals: in turn, invalid "
    "JSON, half a message, or JSON of an unknown form.",
)
INVALID_UTF8 = FaultRow(
    "invalid_utf8",
    (MEAN,),
    "Each WebSocket connection gets a text frame that is not UTF-8 at random intervals; "
    "by RFC 6455 the client has to end the connection with 1007.",
)
CHAIN = FaultRow(
    "chain",
    (MEAN,),
    "Each connection misses one message with ids (`depthUpdate`, `trade`, `aggTrade`) at random "
    "intervals, so that the chain of ids breaks; other subscribers of the stream get it.",
)
FIELDS = FaultRow(
    "fields",
    (SHARE,),
    "This share of stream messages ends with unknown fields, a number and an object; in an "
    "array, each element does.",
)
WORDS = FaultRow(
    "words",
    (SHARE,),
    "This share of the stream messages with a word in `X` (trades, forced orders) has an unknown "
    "one there, `NEW_WORD`.",
)
SILENT = FaultRow(
    "silent",
    (SHARE,),
    "This share of the stream names in SUBSCRIBE and in URLs is acknowledged and stays silent on "
    "that connection until it is unsubscribed and subscribed again.",
)
NO_ACK = FaultRow(
    "no_ack", (SHARE,), "This share of SUBSCRIBE requests is carried out and never acknowledged."
)
API_ERROR = FaultRow(
    "api_error",
    (SHARE,),
    "This share of WebSocket API requests is answered with an error: on each connection "
    "in turn 429 (-1003), 503 (-1008) and 418 (-1003), the first and the last with a `retryAfter` "
    "1 s later. The connection stays open.",
)
HTTP_HANG = FaultRow(
    "http_hang", (SHARE,), f"This share of REST requests is answered after {HANG_MS // 1_000} s."
)
HTTP_429 = FaultRow(
    "http_429",
    (SHARE,),
    "This share of REST requests is answered 429 (-1003) with `Retry-After: 1`.",
)
HTTP_418 = FaultRow(
    "http_418",
    (SHARE,),
    "This share of REST requests is answered 418 (-1003) with `Retry-After: 1`.",
)
HTTP_503 = FaultRow("http_503", (SHARE,), "This share of REST requests is answered 503 (-1008).")
HTTP_GARBAGE = FaultRow(
    "http_garbage", (SHARE,), "This share of REST requests is answered 200 with invalid JSON."
)

FAULT_ROWS = (
    REFUSE,
    LIMIT_HANDSHAKES,
    BAN_HANDSHAKES,
    RESET,
    CLOSE,
    STALL,
    GARBAGE,
    INVALID_UTF8,
    CHAIN,
    FIELDS,
    WORDS,
    SILENT,
    NO_ACK,
    API_ERROR,
    HTTP_HANG,
    HTTP_429,
    HTTP_418,
    HTTP_503,
    HTTP_GARBAGE,
)
"""In the order in which they are drawn where several could happen; the first that does counts."""


def faults_text(values: Mapping[str, Fault]) -> str:
    """Return a sentence that lists the faults that are on."""
    return f"Faults on demand: {', '.join(f'{name}={on.text}' for name, on in values.items())}."
