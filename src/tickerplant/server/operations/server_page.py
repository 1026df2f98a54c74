"""The page `/plant/v1/server`: what a server is, and what can be done with it."""

from __future__ import annotations

from msgspec import Struct

from tickerplant import __version__
from tickerplant.server.operations.control_plane import ControlPlane, Origin
from tickerplant.server.operations.operation import Operation, Request
from tickerplant.server.window import window

SERVER_PATH = "/plant/v1/server"


class Controls(Struct, frozen=True, kw_only=True):
    """What of a market can be changed."""

    clock: bool
    """Whether its clock can be set."""
    seek_back: bool
    """Whether it can go back in time."""
    faults: bool
    """Whether faults can be turned on."""
    scenarios: bool
    """Whether scenarios can be started."""
    levers: bool
    """Whether the market has levers."""


class ServerPage(Struct, frozen=True, kw_only=True):
    """What a server is."""

    version: str
    """Its version."""
    build: str
    """The build of its window; empty if that is not built."""
    venue: str
    """The venue of the port that answers: `usdm` or `coinm`."""
    profile: str
    """The name of the protocol profile."""
    origin: Origin
    """What the market is."""
    source: str
    """Of a relay, where its messages come from; empty otherwise."""
    limits_enforced: bool
    """Whether the limits of the exchange are enforced, or only counted."""
    delivery: str
    """The delivery to connections that do not ask for another."""
    started_ms: int
    """When it started, ms since 1970."""
    now_ms: int
    """Market time, ms since 1970."""
    addresses: dict[str, str]
    """Where it listens, `host:port`, by venue."""
    rest_prefix: str
    """What the paths of REST begin with at this port: `/fapi` or `/dapi`."""
    api_path: str
    """The path of the WebSocket API at this port."""
    controls: Controls


def _server(plane: ControlPlane, request: Request) -> ServerPage:
    endpoint, nodes = request.endpoint, plane.nodes()
    venue, is_replay = endpoint.venue, plane.origin == "replay"
    elsewhere = nodes.edges[0].address if nodes.edges else {}
    return ServerPage(
        version=__version__,
        build=window().build,
        venue=venue.name,
        profile=plane.profile_name,
        origin=plane.origin,
        source=plane.sources.get(venue.name, ""),
        limits_enforced=endpoint.limits.enforced,
        delivery=endpoint.policy,
        started_ms=nodes.plant.since_ms,
        now_ms=plane.now_ms(),
        addresses=nodes.plant.address or elsewhere,
        rest_prefix=venue.rest_prefix,
        api_path=venue.api_path,
        controls=Controls(
            clock=plane.steering is not None,
            seek_back=plane.steering is not None and is_replay,
            faults=plane.faults is not None,
            scenarios=plane.scenarios is not None,
            levers=plane.exchange is not None,
        ),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=SERVER_PATH,
        name="server",
        summary="What the server is, and what can be done with it.",
        doc="With several processes, the build is that of the plant.",
        handler=_server,
        answers=(ServerPage,),
        is_about_market=True,
    ),
)
