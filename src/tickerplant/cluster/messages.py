"""What the processes of a plant tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

Number = Annotated[int, Meta(ge=0, le=1 << 62)]
"""A number that another process has told: it can be counted on without an overflow."""
Name: TypeAlias = tuple[str, str]
"""A venue's name, and the name of a stream."""
ByVenue: TypeAlias = dict[str, list[str]]
"""Names of streams, by the names of their venues."""


class Batch(Struct, array_like=True, frozen=True, gc=False):
    """Messages of one stream that follow each other without a message of another stream."""

    number: Number
    """Of the first: one more than that of the stream's last message."""
    sent_ns: int
    """When the plant published it, wall clock."""
    payloads: tuple[bytes, ...]
    envelopes: dict[int, bytes] = {}
    """The payloads in their envelopes, by position, where the source wrote them in another way than we."""


class PlantDescription(Struct, frozen=True, kw_only=True):
    """What an edge must know to serve a plant's clients."""

    name: str
    run: str
    """One run of the plant: what it knew of edges before is forgotten."""
    started_ns: Number
    profile: str
    strict_routing: bool = False
    accepts_unknown: bool = False
    """Whether the plant may serve streams of which this program knows nothing, as a relay does."""
    limits: dict[str, int | bool] = {}
    venues: tuple[str, ...] = ()
    origin: Literal["simulation", "replay", "relay"] = "simulation"
    origins: dict[str, str] = {}
    symbol_counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    faults: dict[str, Mapping[str, Any]] = {}
    """The rules of the faults that are on at its connections, by id."""
    fault_seed: int = 1
    has_token: bool = False
    has_clock: bool = False
    delivery: str = ""
    outages: dict[str, str] = {}
    """Why no streams are served, by the name of the venue."""
    ended: str = ""
    """The name of the close reason if the market is over."""
    host: str = ""


class Claim(Struct, frozen=True):
    """Who wants to be the plant of a name."""

    run: str
    started_ns: Number
    host: str
    pid: int


class Beat(Struct, frozen=True, array_like=True):
    """The heartbeat of a plant."""

    run: str
    started_ns: Number
    control: Number
    """Of its last control message."""
    sent_ns: Number
    latest: tuple[tuple[Number, Number], ...] = ()
    """The streams with messages since the last beat: their keys, and their last numbers."""


class Question(Struct, frozen=True, array_like=True):
    """A question of an edge."""

    edge: str
    method: str
    body: bytes


class Want(Struct, frozen=True):
    """Streams that an edge wants from now on, and others that it does not want any more.

    What is closed is closed first: a name that is closed and opened starts anew.
    """

    opened: ByVenue = {}
    closed: ByVenue = {}


class Wanted(Struct, frozen=True):
    """The plant publishes what an edge wants."""

    streams: dict[str, dict[str, tuple[Number, Number]]] = {}
    """By venue and name: the key of each stream, and its last number before it was wanted."""
    silent: dict[str, dict[str, str]] = {}
    """Why names stay silent, by venue and name."""


class Report(Struct, frozen=True, kw_only=True):
    """What an edge says every second: that it is there, and its figures."""

    host: str = ""
    pid: Number = 0
    subscriber_count: Number = 0
    is_congested: bool = False
    figures: Raw = Raw(b"\xc0")
    """An `EdgeReport`."""


class Reached(Struct, frozen=True):
    """An edge has delivered everything before a `Mark`."""

    mark: Number
    is_congested: bool = False


# From the plant to all edges, in order with the messages.


class OutageStarted(Struct, frozen=True, kw_only=True, tag="outage_started"):
    """The subscribers of streams are to be disconnected: see `sources.source.Clients`."""

    venue: str
    names: list[str] | None
    reason: str


class OutageEnded(Struct, frozen=True, kw_only=True, tag="outage_ended"):
    """Stream connections of a venue are accepted again."""

    venue: str


class StreamsEnded(Struct, frozen=True, kw_only=True, tag="streams_ended"):
    """The market is over, or the plant ends."""

    reason: str
    """The name of a close reason."""


class FaultsSet(Struct, frozen=True, kw_only=True, tag="faults_set"):
    """The faults that are on from now on, in the place of all earlier ones."""

    rules: dict[str, Mapping[str, Any]]


class ConnectionToClose(Struct, frozen=True, kw_only=True, tag="connection_to_close"):
    """A connection of an edge is to be closed."""

    worker: str
    connection: str


class Mark(Struct, frozen=True, kw_only=True, tag="mark"):
    """Each edge answers `Reached` when it has delivered everything before."""

    mark: Number
    waits: bool = False
    """Whether to answer only when no connection is congested, because the source waits."""


Control = OutageStarted | OutageEnded | StreamsEnded | FaultsSet | ConnectionToClose | Mark

WANT, REPORT, REACHED, LEAVE = "want", "report", "reached", "leave"
HTTP, ADMIT, API = "http", "admit", "api"
"""The methods of questions."""


class HttpAnswer(Struct, frozen=True, array_like=True):
    """The response to an HTTP request."""

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_known: bool


class AdmitQuestion(Struct, frozen=True, array_like=True):
    """An attempt to open a WebSocket connection."""

    venue: str
    address: str
    is_api: bool
    target: str = ""
    is_counted: bool = False
    """Whether faults may be against it: it is not exempt."""


class AdmitAnswer(Struct, frozen=True, array_like=True):
    """What was decided about it."""

    wait_ms: int
    is_banned: bool
    fault_number: int = 0
    """The number of the connection over all edges, by which faults draw; 0 if it is not counted."""
    refused_status: int = 0


class ApiQuestion(Struct, frozen=True, array_like=True):
    """A message on a WebSocket API connection."""

    venue: str
    edge: str
    connection: int
    address: str
    opened_ms: int
    return_rate_limits: bool
    text: bytes


class ApiAnswer(Struct, frozen=True, array_like=True):
    """The replies, and the name of the close reason if they close the connection."""

    replies: tuple[tuple[bytes, int | None], ...] = ()
    closing: str = ""


class TallyNote(Struct, frozen=True, array_like=True):
    """What an edge has counted of one limit for one address."""

    used: Number
    highest: Number
    exceeded: Number


class AddressNote(Struct, frozen=True, array_like=True):
    """What an edge has counted for one address since it joined, where it has changed."""

    address: str
    tallies: dict[str, TallyNote]


class FamilyNote(Struct, frozen=True, array_like=True):
    """A family of metrics."""

    name: str
    doc: str
    type: str
    samples: tuple[tuple[str, dict[str, str], float], ...]


class EdgeReport(Struct, frozen=True, kw_only=True):
    """The figures of an edge since it started."""

    worker: str
    pid: int
    since_ms: int
    addresses: dict[str, str] = {}
    connections: int = 0
    opened: int = 0
    streams: int = 0
    messages: int = 0
    sent_bytes: int = 0
    unsent_bytes: int = 0
    delay_ms: float = 0.0
    faults: dict[str, int] = {}
    fault_hits: dict[str, int] = {}
    notes: dict[str, list[AddressNote]] = {}
    families: Raw = Raw(b"\x90")
    connections_page: Raw = Raw(b"\xc0")


class MalformedError(ValueError):
    """The bytes are not what was expected on their subject; the text says why."""


encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def decode(data: bytes, kind: Any) -> Any:
    """Return the `kind` in `data`.

    Raises:
        MalformedError: there is none.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
        raise MalformedError(str(error)) from None
