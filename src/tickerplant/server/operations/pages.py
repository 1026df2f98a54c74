"""The operations that tell what the server, its clients and its processes are, and the window."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickerplant import __version__
from tickerplant.errors import RequestError
from tickerplant.protocol.close_reasons import CONTROL_PLANE
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.limits_page import SHOWN_ADDRESSES, LimitsPage, limits_page
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.operations.connections import (
    MAX_CONNECTIONS,
    SHOWN_CONNECTIONS,
    ConnectionRow,
    ConnectionsPage,
    connection_row,
    connections_page,
    whole_page,
)
from tickerplant.server.operations.control_plane import ControlPlane, Origin
from tickerplant.server.operations.nodes import PLANT, NodesPage, ReadyState, ready_response
from tickerplant.server.operations.operation import NOT_THERE, Headers, operation
from tickerplant.server.response import TEXT, Response
from tickerplant.server.window import PAGE, wants_page, window

NOT_BUILT = "The window, a web page at this address, is not built: run `make window`."


class ProfilePage(Struct, frozen=True, kw_only=True):
    """The page of the profile."""

    profile: str
    """The name of the protocol profile that the server follows."""


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


@operation("GET", "/", content_type=TEXT, is_own=True)
def welcome(plane: ControlPlane, headers: Headers) -> Response:
    """The window for browsers; the addresses, text, for others.

    A request whose `Accept` has `text/html` gets the page.
    """
    text = plane.welcome()
    if wants_page(headers):
        page = window().response(PAGE, headers)
        if page is not None:
            return page
        text = f"{text}\n{NOT_BUILT}\n"
    return Response(text.encode(), content_type=TEXT, headers=(("Vary", "Accept"),))


@operation(
    "GET",
    "/window/{id}",
    content_type=TEXT,
    statuses={404: "There is no such file, or the window is not built."},
    is_own=True,
)
def window_file(id_: Annotated[str, "the name of the file."], headers: Headers) -> Response:
    """A file of the window."""
    file = window().response(id_, headers)
    if file is None:
        problem = f"the window has no file {id_[:60]}" if window().files else NOT_BUILT
        raise RequestError(NOT_THERE, problem, 404)
    return file


@operation("GET", "/healthz", content_type=TEXT, is_own=True)
def health() -> Response:
    """200 while the process serves."""
    return Response(b"ok\n", content_type=TEXT)


@operation("GET", "/readyz", statuses={503: "The market is not served; the same body."})
def readiness(plane: ControlPlane) -> ReadyState | Response:
    """Whether the source is running; the reason and warnings.

    On a bus also the number of `edges`, and whether the `bus` is `connected` or `lost`; 503 too while the
    plant has neither ports nor edges, and at an edge without its plant.
    """
    return ready_response(plane.ready())


@operation("GET", "/metrics", content_type=CONTENT_TYPE_LATEST)
async def metrics(plane: ControlPlane) -> Response:
    """The metrics, Prometheus text."""
    return Response(await plane.metrics(), content_type=CONTENT_TYPE_LATEST)


@operation(
    "GET",
    "/plant/v1/limits",
    "Each port reports on its own venue, or on both in profiles where they share the limits. "
    f"The latest {LIMITS.max_addresses:,} addresses are remembered, "
    f"and the latest {SHOWN_ADDRESSES} of them are shown. "
    "Requests of web pages of other origins are charged to `web pages at` their address. "
    "It costs no request weight.",
)
async def limits(plane: ControlPlane, endpoint: Endpoint) -> LimitsPage:
    """How close clients came to the limits."""
    if plane.edges is not None:
        await plane.edges.count_tallies()
    return limits_page(
        endpoint.rate_limiter,
        endpoint.venue.name,
        endpoint.clock(),
        shared_budget=plane.shared_budget,
    )


@operation("GET", "/plant/v1/connections")
async def connections(
    plane: ControlPlane,
    limit: Annotated[
        int, "How many connections are listed.", range(MAX_CONNECTIONS + 1)
    ] = SHOWN_CONNECTIONS,
) -> ConnectionsPage:
    """The connections, and what waits for them."""
    page, edges = connections_page(plane.endpoints, limit, PLANT), plane.edges
    return page if edges is None else whole_page((page, *await edges.connections(limit)), limit)


@operation(
    "DELETE",
    "/plant/v1/connections/{id}",
    statuses={
        404: "There is no such connection now.",
        409: "Several processes have one of this id.",
    },
)
async def close_connection(
    plane: ControlPlane,
    id_: Annotated[str, "the id of a connection, such as `c1`."],
    worker: Annotated[
        str | None,
        "The process that has it, if several have one of this id; see `/plant/v1/nodes`.",
    ] = None,
) -> ConnectionRow:
    """Close a connection, with a close frame; the response is what it was."""
    for endpoint in plane.endpoints if worker in {None, PLANT} else ():
        for connection in tuple(endpoint.connections):
            if connection.identity == id_:
                row = connection_row(connection, endpoint, PLANT)
                connection.close(CONTROL_PLANE)
                return row
    pages = () if plane.edges is None else await plane.edges.connections(1, id_)
    rows = [row for page in pages for row in page.connections if row.id == id_]
    found = [row for row in rows if worker in {None, row.worker}]
    if len(found) > 1:
        workers = ", ".join(row.worker for row in found)
        reason = f"{id_} is a connection of each of {workers}: choose one with worker="
        raise RequestError(NOT_THERE, reason, 409)
    if not found or plane.edges is None:
        where = f" of worker {worker}" if worker else ""
        raise RequestError(NOT_THERE, f"there is no connection {id_}{where} now", 404)
    plane.edges.close_connection(found[0].worker, id_)
    return found[0]


@operation("GET", "/plant/v1/nodes")
def nodes(plane: ControlPlane) -> NodesPage:
    """The processes that serve the market, and their bus."""
    return plane.nodes()


@operation("GET", "/plant/v1/profile", is_public=True, is_about_market=True)
def profile(plane: ControlPlane) -> ProfilePage:
    """The protocol profile.

    It is answered without the token: clients and recordings depend on it.
    """
    return ProfilePage(profile=plane.profile_name)


@operation("GET", "/plant/v1/server", is_about_market=True)
def server(plane: ControlPlane, endpoint: Endpoint) -> ServerPage:
    """What the server is, and what can be done with it.

    With several processes, the build is that of the plant.
    """
    venue, nodes, has_clock = endpoint.venue, plane.nodes(), plane.steering is not None
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
            clock=has_clock,
            seek_back=has_clock and plane.origin == "replay",
            faults=plane.faults is not None,
            scenarios=plane.scenarios is not None,
            levers=plane.exchange is not None,
        ),
    )
