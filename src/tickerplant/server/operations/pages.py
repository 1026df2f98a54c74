"""The operations that only read: the state of the server, its clients and its processes."""

from __future__ import annotations

from msgspec import Struct
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickerplant.errors import RequestError
from tickerplant.protocol.close_reasons import CONTROL_PLANE
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.limits_page import SHOWN_ADDRESSES, LimitsPage, limits_page
from tickerplant.server.operations.connections import (
    MAX_CONNECTIONS,
    SHOWN_CONNECTIONS,
    ConnectionRow,
    ConnectionsPage,
    connection_row,
    connections_page,
    whole_page,
)
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.nodes import PLANT, NodesPage
from tickerplant.server.operations.operation import NOT_THERE, Operation, QueryParam, Request
from tickerplant.server.operations.readiness import ReadyState, ready_response
from tickerplant.server.response import TEXT, Response

CONNECTIONS_PATH = "/plant/v1/connections"
LIMITS_PATH = "/plant/v1/limits"
METRICS_PATH = "/metrics"
NODES_PATH = "/plant/v1/nodes"
PROFILE_PATH = "/plant/v1/profile"
READY_PATH = "/readyz"


class ProfilePage(Struct, frozen=True, kw_only=True):
    """The page of the profile."""

    profile: str
    """The name of the protocol profile that the server follows."""


WORKER = QueryParam(
    name="worker",
    doc="The process that has it, if several have one of this id; see `/plant/v1/nodes`.",
)


async def _connections(plane: ControlPlane, request: Request) -> ConnectionsPage:
    limit = request.params["limit"]
    page, edges = connections_page(plane.endpoints, limit, PLANT), plane.edges
    return page if edges is None else whole_page((page, *await edges.connections(limit)), limit)


async def _close(plane: ControlPlane, request: Request) -> ConnectionRow:
    worker = request.params["worker"]
    for endpoint in plane.endpoints if worker in {None, PLANT} else ():
        for connection in tuple(endpoint.connections):
            if connection.identity == request.id:
                row = connection_row(connection, endpoint, PLANT)
                connection.close(CONTROL_PLANE)
                return row
    pages = () if plane.edges is None else await plane.edges.connections(1, request.id)
    rows = [row for page in pages for row in page.connections if row.id == request.id]
    found = [row for row in rows if worker in {None, row.worker}]
    if len(found) > 1:
        workers = ", ".join(row.worker for row in found)
        reason = f"{request.id} is a connection of each of {workers}: choose one with worker="
        raise RequestError(NOT_THERE, reason, 409)
    if not found or plane.edges is None:
        where = f" of worker {worker}" if worker else ""
        raise RequestError(NOT_THERE, f"there is no connection {request.id}{where} now", 404)
    plane.edges.close_connection(found[0].worker, request.id)
    return found[0]


async def _limits(plane: ControlPlane, request: Request) -> LimitsPage:
    endpoint = request.endpoint
    if plane.edges is not None:
        await plane.edges.count_tallies()
    return limits_page(
        endpoint.rate_limiter,
        endpoint.venue.name,
        endpoint.clock(),
        shared_budget=plane.shared_budget,
    )


async def _metrics(plane: ControlPlane, _request: Request) -> Response:
    return Response(await plane.metrics(), content_type=CONTENT_TYPE_LATEST)


OPERATIONS = (
    Operation(
        method="GET",
        path="/healthz",
        name="health",
        summary="200 while the process serves.",
        handler=lambda _plane, _: Response(b"ok\n", content_type=TEXT),
        content_type=TEXT,
        is_own=True,
    ),
    Operation(
        method="GET",
        path=READY_PATH,
        name="readiness",
        summary="Whether the source is running; the reason and warnings.",
        doc=(
            "On a bus also the number of `edges`, and whether the `bus` is `connected` or `lost`; "
            "503 too while the plant has neither ports nor edges, and at an edge without its plant."
        ),
        handler=lambda plane, _: ready_response(plane.ready()),
        answers=(ReadyState,),
        statuses={503: "The market is not served; the same body."},
    ),
    Operation(
        method="GET",
        path=METRICS_PATH,
        name="metrics",
        summary="The metrics, Prometheus text.",
        handler=_metrics,
        content_type=CONTENT_TYPE_LATEST,
    ),
    Operation(
        method="GET",
        path=LIMITS_PATH,
        name="limits",
        summary="How close clients came to the limits.",
        doc=(
            "Each port reports on its own venue, or on both in profiles where they share the limits. "
            f"The latest {LIMITS.max_addresses:,} addresses are remembered, "
            f"and the latest {SHOWN_ADDRESSES} of them are shown. "
            "Requests of web pages of other origins are charged to `web pages at` their address. "
            "It costs no request weight."
        ),
        handler=_limits,
        answers=(LimitsPage,),
    ),
    Operation(
        method="GET",
        path=CONNECTIONS_PATH,
        name="connections",
        summary="The connections, and what waits for them.",
        handler=_connections,
        params=(
            QueryParam(
                name="limit",
                kind="integer",
                doc="How many connections are listed.",
                default=SHOWN_CONNECTIONS,
                most=MAX_CONNECTIONS,
            ),
        ),
        answers=(ConnectionsPage,),
    ),
    Operation(
        method="DELETE",
        path=f"{CONNECTIONS_PATH}/{{id}}",
        name="closeConnection",
        summary="Close a connection, with a close frame; the response is what it was.",
        id_doc="the id of a connection, such as `c1`.",
        handler=_close,
        params=(WORKER,),
        answers=(ConnectionRow,),
        statuses={
            404: "There is no such connection now.",
            409: "Several processes have one of this id.",
        },
    ),
    Operation(
        method="GET",
        path=NODES_PATH,
        name="nodes",
        summary="The processes that serve the market, and their bus.",
        handler=lambda plane, _: plane.nodes(),
        answers=(NodesPage,),
    ),
    Operation(
        method="GET",
        path=PROFILE_PATH,
        name="profile",
        summary="The protocol profile.",
        doc="It is answered without the token: clients and recordings depend on it.",
        is_public=True,
        is_about_market=True,
        handler=lambda plane, _: ProfilePage(profile=plane.profile_name),
        answers=(ProfilePage,),
    ),
)
