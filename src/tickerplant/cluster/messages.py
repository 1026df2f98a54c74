"""The messages of the processes of a plant to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from tickerplant.server.operations.connections import ConnectionsPage
from tickerplant.server.operations.nodes import NodeRow

T = TypeVar("T")
Number = Annotated[int, Meta(ge=0, le=1 << 62)]
"""A number of another process: it can be counted on without an overflow."""
Name: TypeAlias = tuple[str, str]
"""A venue's name, and the name of a stream."""
Rules: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The rules of the faults that are on at connections, by id."""


class Batch(Struct, array_like=True, frozen=True, gc=False):
    """Messages of one stream that follow each other without a message of another stream."""

    number: Number
    """Of the first: one more than that of the stream's last message."""
    sent_ns: int
    """When the plant published it, wall clock."""
    payloads: tuple[bytes, ...]
    envelopes: dict[int, bytes] = {}
    """The payloads in their envelopes, by position, where the source wrote them in another way than we."""


class PlantDescription(Struct, frozen=True, kw_only=True, tag="plant"):
    """What an edge must know to serve a plant's clients."""

    name: str
    run: str = ""
    """One run of the plant: what it knew of edges before is forgotten."""
    control: Number = 0
    """Of the last message to all edges."""
    started_ns: Number
    profile: str
    strict_routing: bool = False
    accepts_unknown: bool = False
    """Whether the plant may serve streams of which this program knows nothing, as a relay does."""
    limits: dict[str, int | bool] = {}
    venues: tuple[str, ...] = ()
    symbol_counts: dict[str, int] = {}
    examples: dict[str, str] = {}
    faults: Rules = {}
    fault_seed: int = 1
    has_token: bool = False
    """Whether its control plane needs a token."""
    has_clock: bool = False
    """Whether the market has a clock that can be set."""
    delivery: str = ""
    outages: dict[str, str] = {}
    """Why no streams are served, by the name of the venue."""
    ended: str = ""
    """The name of the close reason if the market is over."""
    host: str = ""


class Beat(Struct, frozen=True, array_like=True):
    """The heartbeat of a plant."""

    run: str
    started_ns: Number
    control: Number
    """Of its last control message."""
    sent_ns: Number
    host: str = ""
    latest: tuple[tuple[Number, Number], ...] = ()
    """The streams with messages since the last beat: their keys, and their last numbers."""
    name: str = ""
    """The plant's."""


# Questions of an edge

WANT, REPORT, LEAVE = "want", "report", "leave"
HTTP, ADMIT, API = "http", "admit", "api"
"""Their methods."""


class Question(Struct, frozen=True, array_like=True):
    """A question of an edge."""

    edge: str
    method: str
    body: bytes


class Want(Struct, frozen=True):
    """Streams that an edge wants from now on, and others that it does not want any more.

    What is closed is closed first: a name that is closed and opened starts anew.
    """

    opened: tuple[Name, ...] = ()
    closed: tuple[Name, ...] = ()


class Opened(Struct, frozen=True, array_like=True):
    """The plant publishes a stream that an edge wants; its answer to `Want` has one for each."""

    key: Number
    number: Number
    """Of its last message before it was wanted."""
    silent: str = ""
    """Why it stays silent; empty if it does not."""


class Report(Struct, frozen=True, kw_only=True):
    """The figures of an edge since it started, told every second."""

    subscribers: Number = 0
    """Connections with at least one subscription."""
    is_congested: bool = False
    opened: int = 0
    """Connections opened."""
    faults: dict[str, int] = {}
    """How often each fault was injected."""
    fault_hits: dict[str, int] = {}
    """How often each rule that is on has happened, by its id."""
    row: NodeRow | None = None
    """Its row on the page of nodes."""


class ApiQuestion(Struct, frozen=True, array_like=True):
    """A message on a WebSocket API connection."""

    venue: str
    connection: int
    """Tells the connections of one edge apart."""
    address: str
    opened_ms: int
    """When the connection was opened, by the clock of the edge."""
    return_rate_limits: bool
    """Whether replies show the rate limits unless a request says otherwise."""
    text: bytes = b""


class ApiAnswer(Struct, frozen=True, array_like=True):
    """The replies to a message, in their order, and how the connection ends."""

    replies: tuple[tuple[bytes, int | None], ...] = ()
    """Each with its error code, if it is an error."""
    closing: str = ""
    """The name of the close reason; empty if the connection stays open."""


# From the plant to all edges, in order with the messages


class StreamsLost(Struct, frozen=True, kw_only=True, tag="streams_lost"):
    """The subscribers of streams are to be disconnected: see `sources.source.Clients`."""

    venue: str
    names: tuple[str, ...]
    reason: str


CONTROL: Any = PlantDescription | StreamsLost
"""A plant describes itself again whenever that changes."""


# Questions of the plant


class Asked(Struct, frozen=True, kw_only=True):
    """A question of the plant; an edge answers `Told` when it has delivered everything before."""

    waits: bool = False
    """Whether to answer only when no connection is congested, because the source waits."""
    metrics: bool = False
    tallies: bool = False
    """What is asked for."""
    connections: Number = 0
    """How many connections are to be listed at most."""
    connection: str = ""
    """The only one that is to be listed."""
    closes: bool = False
    """Whether that one is to be closed."""


Tally: TypeAlias = tuple[Number, Number, Number]
"""Of one limit: what is used, the most that was, and how often it was exceeded."""
Family: TypeAlias = tuple[str, str, str, tuple[tuple[str, dict[str, str], float], ...]]
"""Of a family of metrics: name, sentence, type, and the name, labels and value of each sample."""


class Told(Struct, frozen=True, kw_only=True):
    """The figures of an edge that its plant has asked for."""

    families: tuple[Family, ...] = ()
    """Its metrics."""
    tallies: dict[str, dict[str, dict[str, Tally]]] = {}
    """What it has counted since it started, by venue, address and limit."""
    page: ConnectionsPage | None = None
    """Its page of connections."""


class MalformedError(ValueError):
    """The bytes are not what was expected on their subject; the text says why."""


encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def decode(data: bytes, kind: type[T]) -> T:
    """Return the `kind` in `data`.

    Raises:
        MalformedError: there is none.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    try:
        found: T = decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
        raise MalformedError(str(error)) from None
    return found
