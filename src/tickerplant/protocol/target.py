"""The target of a WebSocket URL: streams or the WebSocket API."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from tickerplant.errors import TickerplantError
from tickerplant.protocol.delivery import POLICIES, Policy, policy_named
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.venue import Venue

_AUTHORITY = re.compile(rb"\A[a-z][a-z0-9+.-]*://[^/?]*", re.IGNORECASE)
"""The part before the path where the request target is an absolute URL (RFC 9112, section 3.2.2)."""
ROUTES = ("public", "market", "private")
NO_ENVELOPE = (
    "stamps=1 adds to the envelope of combined streams, so it needs /stream?streams=…, not /ws."
)


class BadTarget(TickerplantError):  # noqa: N818 - it names what is wrong, not that
    """A URL that cannot be opened: the HTTP `status` and `message` of the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class StreamTarget(Struct, frozen=True):
    """A stream connection: its route (empty if the URL has none), its envelope, its first streams."""

    route: str
    combined: bool
    names: tuple[str, ...]
    policy: Policy | None = None
    """The delivery that the client asks for; None for the server's own."""
    is_stamped: bool = False
    """Whether the client wants to know when messages were made and written."""


class ApiTarget(Struct, frozen=True):
    """A WebSocket API connection, and whether its replies show the rate limits."""

    return_rate_limits: bool


def parse_target(raw_path: str, venue: Venue, limits: Limits = LIMITS) -> StreamTarget | ApiTarget:
    """Return the target of `raw_path`, a request target with its query string.

    Accepts every form in use (market-stream connection page; public clients): `/ws`, `/ws/a/b`,
    `/stream`, `/stream?streams=a/b`, each also under `/public`, `/market` and `/private`, and the
    venue's WebSocket API. Names may be unknown, percent-encoded or raw UTF-8 and may be missing;
    duplicates collapse; unknown query keys are ignored. Two keys are our own: `delivery`, and
    `stamps` of combined streams.

    Raises:
        BadTarget: 414 for a target over `limits.max_uri_bytes`, 404 for any other path, 400 for
            text that is not Unicode or a parameter with an invalid value.
    """
    encoded = _encode(raw_path)
    if len(encoded) > limits.max_uri_bytes:
        raise BadTarget(
            414, f"The URL has {len(encoded)} bytes; at most {limits.max_uri_bytes} are allowed."
        )
    encoded_path, _, query = _AUTHORITY.sub(b"", encoded).partition(b"?")
    path = _decode(encoded_path)
    if path.rstrip("/") == venue.api_path:
        return ApiTarget(_truth(query, "returnRateLimits", default=True))
    first, _, rest = path.removeprefix("/").partition("/")
    route = first if first in ROUTES else ""
    if route:
        first, _, rest = rest.partition("/")
    if first == "ws":
        if _flag(query, "stamps"):
            raise BadTarget(400, NO_ENVELOPE)
        return StreamTarget(route, False, _names([rest]), _policy(query))
    if first == "stream" and not rest.strip("/"):
        names = _names(_values(query, "streams"))
        return StreamTarget(route, True, names, _policy(query), _flag(query, "stamps"))
    raise BadTarget(
        404,
        f"Nothing is served at {path}; {venue.title} streams are at /ws and /stream, "
        f"with or without /{', /'.join(ROUTES)} before them, the WebSocket API at {venue.api_path}.",
    )


def _encode(raw_path: str) -> bytes:
    """Return the bytes of the request line; HTTP libraries escape those that are not ASCII."""
    try:
        return raw_path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadTarget(400, f"The URL is not Unicode at character {error.start}.") from None


def _decode(encoded: bytes) -> str:
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError as error:
        raise BadTarget(400, f"The URL is not UTF-8 at byte {error.start}.") from None


def _values(query: bytes, key: str) -> list[str]:
    pairs = (part.partition(b"=") for part in query.split(b"&"))
    return [_decode(value) for name, _, value in pairs if name == key.encode()]


def _names(lists: list[str]) -> tuple[str, ...]:
    stripped = (name.strip() for names in lists for name in names.split("/"))
    return tuple(dict.fromkeys(name for name in stripped if name))


def _truth(query: bytes, key: str, *, default: bool) -> bool:
    value = next(iter(_values(query, key)), str(default))
    if value.lower() not in {"true", "false"}:
        raise BadTarget(400, f"{key} is {value!r}, expected true or false.")
    return value.lower() == "true"


def _flag(query: bytes, key: str) -> bool:
    """Return whether a parameter is 1; it is 0 if it is missing."""
    value = next(iter(_values(query, key)), "0")
    if value not in {"0", "1"}:
        raise BadTarget(400, f"{key} is {value!r}, expected 0 or 1.")
    return value == "1"


def _policy(query: bytes) -> Policy | None:
    """Return the delivery that is asked for."""
    value = next(iter(_values(query, "delivery")), None)
    policy = None if value is None else policy_named(value)
    if value is None or policy is not None:
        return policy
    raise BadTarget(400, f"delivery is {value!r}, expected {' or '.join(POLICIES)}.")
