"""What is served, by what, and what drives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.plant import Plant
from tickerplant.protocol.limits import Limits
from tickerplant.readiness import Readiness
from tickerplant.server.operations.control_plane import Origin, Steering
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import Server
from tickerplant.sources.source import Readers
from tickerplant.truth.truth import Truth
from tickerplant.venue import Venue

if TYPE_CHECKING:  # a server that records or simulates nothing starts without them
    from tickerplant.recorder.tap import Taps
    from tickerplant.simulation.exchange import SimulatedExchange

Record: TypeAlias = Callable[[Mapping[str, str], Callable[[str, str], bool]], "Taps"]
"""Records what is sent from now on.  Takes the address of each venue, and what takes warnings."""


Drive: TypeAlias = Callable[[Server, Readers], Coroutine[None, None, None]]
"""Drives a plant until the source ends, given what serves its clients, and all their connections."""


class Service(Struct, frozen=True, kw_only=True):
    """What is served."""

    plant: Plant
    origin: Origin
    """What the market is."""
    drive: Drive
    """The source."""
    limits: Limits
    steering: Steering | None = None
    """The source, if its clock can be set."""
    coverage: Callable[[], Awaitable[ReplayCoverage]] | None = None
    """Returns what the recordings cover that are played; None if there are none."""
    record: Record | None = None
    """Begins to record what is sent; None if nothing is recorded."""
    origins: Mapping[Venue, str] | None = None
    """The venues that are served, each with words about the origin of its market; None means all."""
    forwarders: Mapping[str, Forwarder] | None = None
    """What answers the requests that the plant cannot, by venue name."""
    lingers: bool = False
    """Whether requests are still answered when the source has ended, until interrupted."""
    awaits_clients: bool = False
    """Whether the source waits, where it keeps no pace, for a client that was cut off to return."""
    exchange: SimulatedExchange | None = None
    """The simulated exchange, whose levers may be pulled; None if the market is not simulated."""
    truth: Truth | None = None
    """Keeps what was; None if nothing does."""
    control_token: str = ""
    """The token of the control plane, for whoever starts the server; empty if it needs none."""
    follows_market: bool = False
    """Whether lifetimes, limits and bans of connections follow market time."""
    ends_with_input: bool = False
    """Whether the end of standard input ends it, if that is a pipe."""
    on_ready: Callable[[], object] = lambda: None
    """Called in the event loop before the addresses are printed."""


class Source(Protocol):
    """What drives a plant."""

    async def run(self, readers: Readers, status: Readiness) -> None:
        """Run until it ends, or until cancelled."""


def drive_of(source: Source) -> Drive:
    """Return what drives a plant with `source`."""
    return lambda server, readers: source.run(readers, server.readiness)
