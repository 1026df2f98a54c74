"""What the nodes of a bus tell each other about themselves and their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

HEARTBEAT_MS = 500
"""How often a plant says that it is there."""
REPORT_MS = 1_000
"""How often an edge says that it is there."""
LEASE_MS = 3_000
"""How long the interest of an edge outlives its last report, in addition to its grace period."""
LONGEST_LEASE_MS = 2 * 24 * 3_600_000

Number = Annotated[int, Meta(ge=0, le=1 << 62)]
"""A number that another node has told: it can be counted on without an overflow."""


class PlantDescription(Struct, frozen=True, kw_only=True):
    """What an edge must know to serve a plant's clients."""

    name: str
    epoch: str
    """One run of the plant."""
    profile: str
    strict_routing: bool = False
    accepts_unknown: bool = False
    """Whether the plant may serve streams of which this program knows nothing, as a relay does."""
    limits: dict[str, int | bool] = {}
    """Those of `protocol.limits.Limits`, by name."""
    venues: tuple[str, ...] = ()
    """The names of the venues that are served."""
    origin: Literal["simulation", "replay", "relay"] = "simulation"
    origins: dict[str, str] = {}
    """Words about the origin of each venue's market, by its name."""
    symbol_counts: dict[str, int] = {}
    """How many contracts each venue had when the plant began, by its name."""
    examples: dict[str, str] = {}
    """A symbol of each venue that has one, for messages to people."""
    faults: dict[str, Mapping[str, Any]] = {}
    """The rules of the faults that are on at its connections, by id."""
    fault_seed: int = 1
    """By which all connections draw, together with the numbers that the plant gives them."""
    can_be_taken_over: bool = False
    """Whether a standby may continue it."""
    has_token: bool = False
    """Whether its control plane needs a token."""
    has_clock: bool = False
    """Whether clients may read and set its clock."""
    delivery: str = ""
    """The delivery policy of connections that name none."""
    outages: dict[str, str] = {}
    """Why no streams are served, by the name of the venue."""
    ended: str = ""
    """The name of the close reason if the market is over."""
    term: Number = 0
    """Rises with every taker of the name; 0 if the plant holds no lease."""
    host: str = ""
    """Where it runs, for messages to people."""


class Hello(Struct, frozen=True, array_like=True):
    """A request for a `PlantDescription`, answered on the reply subject."""

    identity: str = ""


# From an edge to the plant.


class Interest(Struct, frozen=True, kw_only=True, tag="interest", omit_defaults=True):
    """Which streams an edge wants from now on, in addition to earlier ones or in their place.

    What is closed is closed first: a name that is closed and opened starts anew.
    """

    edge: str
    version: Number
    """Counts the changes of the edge, from 1."""
    is_full: bool = False
    """Whether the opened names replace all earlier ones."""
    has_more: bool = False
    """Whether another part of a full list follows."""
    opened: dict[str, list[str]] = {}
    """By venue."""
    closed: dict[str, list[str]] = {}
    """By venue."""
    subscriber_count: Number = 0


class Report(Struct, frozen=True, kw_only=True, tag="report", omit_defaults=True):
    """The heartbeat of an edge."""

    edge: str
    version: Number
    """Of its last change of interest."""
    host: str = ""
    pid: Number = 0
    lease_ms: Annotated[int, Meta(ge=0, le=LONGEST_LEASE_MS)] = LEASE_MS
    """How long its interest is valid without another report."""
    subscriber_count: Number = 0
    is_congested: bool = False
    body: bytes = b""
    """Its own figures; the bus does not read them."""


class Reached(Struct, frozen=True, kw_only=True, tag="reached"):
    """An edge has delivered everything before a `Mark`."""

    edge: str
    mark: Number
    is_congested: bool = False


class Leaving(Struct, frozen=True, kw_only=True, tag="leaving"):
    """An edge ends."""

    edge: str


FromEdge = Interest | Report | Reached | Leaving

# From the plant to one edge.


class Accepted(Struct, frozen=True, kw_only=True, tag="accepted", omit_defaults=True):
    """The plant publishes what an edge wants."""

    epoch: str
    """The run of the plant that says so."""
    version: Number
    number: Number
    """Every message of these streams with a greater number is published."""
    earlier: dict[str, dict[str, Number]] = {}
    """The same for streams of a full list that were wanted before, by venue and name."""
    silent: dict[str, dict[str, str]] = {}
    """Why names stay silent, by venue and name."""
    state: PlantDescription | None = None
    """The plant as it is now, for an edge that has told its full list."""


class SendAll(Struct, frozen=True, kw_only=True, tag="send_all"):
    """The plant has missed a change: it needs a full list."""

    version: Number = 0
    """What the plant knows."""


class Answer(Struct, frozen=True, kw_only=True, tag="answer", omit_defaults=True):
    """Part of the answer to a question; the last part says so."""

    epoch: str = ""
    """The run of the plant that answers."""
    call: Number
    body: bytes
    offset: Number = 0
    """Bytes of the answer in the parts before."""
    is_last: bool = True
    failure: str = ""


ToEdge = Accepted | SendAll | Answer

# From the plant to all edges: the control messages, in the order of the messages of streams.


class EpochBegins(Struct, frozen=True, kw_only=True, tag="epoch_begins"):
    """A run of the plant publishes from now on: first what it has kept, then what is new.

    It is the first message of its run, with the number 1, and may be repeated.
    """

    description: PlantDescription
    number: Number = 0
    """Of the streams in `since_ns`, every message with a greater number is published."""
    since_ns: dict[str, Number] = {}
    """Since when its own copy of each wanted stream is complete, wall clock in ns, by subject."""


class OutageStarted(Struct, frozen=True, kw_only=True, tag="outage_started"):
    """The subscribers of streams are to be disconnected: see `sources.source.Clients`."""

    venue: str
    names: list[str] | None
    reason: str


class OutageEnded(Struct, frozen=True, kw_only=True, tag="outage_ended"):
    """Stream connections of a venue are accepted again."""

    venue: str


class StreamsEnded(Struct, frozen=True, kw_only=True, tag="streams_ended"):
    """The market is over."""

    reason: str
    """The name of a close reason."""


class FaultsSet(Struct, frozen=True, kw_only=True, tag="faults_set"):
    """The faults that are on from now on, in the place of all earlier ones."""

    rules: dict[str, Mapping[str, Any]]
    """Those of `PlantDescription.faults`, by id."""


class ConnectionToClose(Struct, frozen=True, kw_only=True, tag="connection_to_close"):
    """A connection of an edge is to be closed."""

    worker: str
    """What the edge is called."""
    connection: str


class PlantGoes(Struct, frozen=True, kw_only=True, tag="plant_goes"):
    """The plant ends; what follows depends on its origin."""

    reason: str
    """The name of a close reason."""


class Mark(Struct, frozen=True, kw_only=True, tag="mark"):
    """Each edge answers `Reached` when it has delivered everything before."""

    mark: Number
    waits: bool = False
    """Whether to answer only when no connection is congested, because the source waits."""


Control = (
    EpochBegins
    | OutageStarted
    | OutageEnded
    | StreamsEnded
    | FaultsSet
    | ConnectionToClose
    | PlantGoes
    | Mark
)


class Beat(Struct, frozen=True, kw_only=True, array_like=True):
    """The heartbeat of a plant."""

    epoch: str
    term: Number
    number: Number
    """Of its last message."""
    latest: tuple[tuple[Number, Number], ...] = ()
    """The streams with messages since the last beat: the key of the subject, the last number."""
    generation: str = ""
    """Which life of the bus's memory the next field is about; empty if it has none."""
    kept: tuple[tuple[Number, Number], ...] = ()
    """Numbers in rising order, each with a sequence of the bus's memory: messages with greater numbers
    have greater sequences."""
    sent_ns: Number = 0
    """Wall clock, in ns since the epoch."""
    is_last: bool = False
    """Whether the plant ends, and its name is free."""


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
