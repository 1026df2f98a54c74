"""What edges ask their plant in the name of clients, and what they report about them."""

from __future__ import annotations

from msgspec import Raw, Struct

from tickerplant.bus.nodes import Number

HTTP = "http"
ADMIT = "admit"
API = "api"
"""The methods of calls."""


class HttpAnswer(Struct, frozen=True, array_like=True):
    """The response to an HTTP request."""

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_known: bool
    """Whether anything is served at the path."""


class AdmitQuestion(Struct, frozen=True, array_like=True):
    """An attempt to open a WebSocket connection."""

    venue: str
    address: str
    is_api: bool
    """Whether it is a connection of the WebSocket API, whose opening has a weight."""
    target: str = ""
    """The request target, for faults that refuse handshakes."""
    is_counted: bool = False
    """Whether faults may be against it: it is not exempt."""


class AdmitAnswer(Struct, frozen=True, array_like=True):
    """What was decided about it."""

    wait_ms: int
    """How long to wait before the next attempt; 0 if the address may connect."""
    is_banned: bool
    fault_number: int = 0
    """The number of the connection over all edges, by which faults draw; 0 if it is not counted."""
    refused_status: int = 0
    """The status with which a fault refuses it; 0 if none does."""


class ApiQuestion(Struct, frozen=True, array_like=True):
    """A message on a WebSocket API connection."""

    venue: str
    edge: str
    connection: int
    """Tells the connections of one edge apart."""
    address: str
    opened_ms: int
    """When the connection was opened, by the clock of the edge."""
    return_rate_limits: bool
    """Whether replies show the rate limits unless a request says otherwise."""
    text: bytes


class ApiAnswer(Struct, frozen=True, array_like=True):
    """The replies to a message, in their order, and how the connection ends."""

    replies: tuple[tuple[bytes, int | None], ...] = ()
    """Each with its error code, if it is an error."""
    closing: str = ""
    """The name of the close reason; empty if the connection stays open."""


class TallyNote(Struct, frozen=True, array_like=True):
    """What an edge has counted of one limit for one address."""

    used: Number
    highest: Number
    exceeded: Number


class AddressNote(Struct, frozen=True, array_like=True):
    """What an edge has counted for one address since the edge started, where it has changed."""

    address: str
    tallies: dict[str, TallyNote]
    """By the name of the limit."""


class FamilyNote(Struct, frozen=True, array_like=True):
    """A family of metrics."""

    name: str
    doc: str
    type: str
    samples: tuple[tuple[str, dict[str, str], float], ...]
    """Name, labels and value of each."""


class EdgeReport(Struct, frozen=True, kw_only=True):
    """The figures of an edge since it started."""

    worker: str
    """What it is called in metrics."""
    pid: int
    since_ms: int
    """When it started, ms since 1970."""
    addresses: dict[str, str] = {}
    """Where it listens, `host:port`, by venue."""
    connections: int = 0
    """Open ones."""
    opened: int = 0
    """Connections opened."""
    streams: int = 0
    """Streams that it wants from the plant."""
    messages: int = 0
    """Messages sent."""
    sent_bytes: int = 0
    unsent_bytes: int = 0
    delay_ms: float = 0.0
    """How long the last messages took from the plant to the edge, by both wall clocks."""
    faults: dict[str, int] = {}
    """How often each fault was injected."""
    fault_hits: dict[str, int] = {}
    """How often each rule that is on has happened, by its id."""
    notes: dict[str, list[AddressNote]] = {}
    """By the venue whose limits they are about."""
    families: Raw = Raw(b"\x90")
    """Its metrics: a list of `FamilyNote`, which is decoded only if somebody wants to see it."""
    connections_page: Raw = Raw(b"\xc0")
    """Its page of connections, which is decoded only if somebody wants to see it."""
