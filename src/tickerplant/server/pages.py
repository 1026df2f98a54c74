"""The server's own pages: status, metrics, limits, faults, and the clock of a replay.

Both ports serve the same pages, except for the page of limits, which is about the port's clients.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Struct, UnsetType
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickerplant.errors import ConfigError, RequestError
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.limits_page import limits_page
from tickerplant.server.connections_page import connections_page, limit_of, whole_page
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.faults import FAULT_ROWS, FAULTS_PATH, Fault, faults_text
from tickerplant.server.nodes_page import PLANT, Edges, NodesPage
from tickerplant.server.readiness import Readiness
from tickerplant.server.rest import TEXT, Page, Post, Response, problem_response
from tickerplant.venue import VENUES

CLOCK_PATH = "/plant/v1/clock"
LIMITS_PATH = "/plant/v1/limits"
PROFILE_PATH = "/plant/v1/profile"
NODES_PATH = "/plant/v1/nodes"
CONNECTIONS_PATH = "/plant/v1/connections"
METRICS_PATH = "/metrics"
READY_PATH = "/readyz"
PLANT_PAGES = frozenset(
    {
        CLOCK_PATH,
        CONNECTIONS_PATH,
        FAULTS_PATH,
        LIMITS_PATH,
        METRICS_PATH,
        NODES_PATH,
        PROFILE_PATH,
        READY_PATH,
    }
)
"""The pages that an edge asks its plant for."""
NO_CLOCK = (
    "this server has no clock that can be read or set: only a replay and a simulation have one, "
    "`tickerplant replay RECORDING` or `tickerplant simulate`"
)

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


LIMITS_OFF = "Limits are off: exceeding one is counted, and nothing is refused for it."


def welcome_text(
    addresses: Mapping[str, str],
    schemes: tuple[str, str],
    *,
    limits: Limits,
    faults: Mapping[str, Fault],
    has_clock: bool,
) -> str:
    """Return the text of `/`: the addresses, and what differs from the defaults.

    Args:
        addresses: The address of each venue, `host:port`, by its name.
        schemes: The URL schemes of streams and of REST.
        limits: The limits.
        faults: The faults that are on, by name.
        has_clock: Whether clients may read and set a clock.
    """
    ws, http = schemes
    lines = ["Tickerplant, a futures market-data exchange feed", ""]
    for venue in VENUES:
        if venue.name not in addresses:
            continue
        address = addresses[venue.name]
        lines += [
            venue.title,
            f"  streams        {ws}://{address}/ws  {ws}://{address}/stream",
            f"  WebSocket API  {ws}://{address}{venue.api_path}",
            f"  REST           {http}://{address}{venue.rest_prefix}/v1/exchangeInfo",
        ]
    if not limits.enforced:
        lines += ["", LIMITS_OFF]
    if faults:
        lines += ["", faults_text(faults)]
    paths = ["/healthz", READY_PATH, METRICS_PATH, LIMITS_PATH, CONNECTIONS_PATH, NODES_PATH]
    paths += [FAULTS_PATH, *([CLOCK_PATH] if has_clock else [])]
    return "\n".join([*lines, "", "  ".join(paths), ""])


class Steering(Protocol):
    """A source whose clock can be set."""

    def state(self) -> Struct:
        """Return the state of its clock."""
        ...

    async def steer(self, given: Mapping[str, object]) -> Struct:
        """Set the clock; return its state afterwards.

        Raises:
            ConfigError: a field is unknown, or its value cannot be used.
            RequestError: that is not possible now.
        """
        ...


def clock_pages(steering: Steering | None) -> Mapping[str, Page]:
    """Return the page of a replay's clock, by its path."""
    if steering is None:
        return {CLOCK_PATH: _no_clock}
    return {CLOCK_PATH: lambda _query: Response(msgspec.json.encode(steering.state()))}


def clock_posts(steering: Steering | None) -> Mapping[str, Post]:
    """Return the handler that sets the clock, by its path.

    The fields come as a JSON object, as parameters of the query, or both; the object takes precedence.
    """

    async def post(query_string: bytes, body: bytes) -> Response:
        if steering is None:
            return _no_clock()
        try:
            state = await steering.steer(_fields(query_string, body))
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        except RequestError as error:
            return problem_response(error.status, error.message)
        return Response(msgspec.json.encode(state))

    return {CLOCK_PATH: post}


def _no_clock(_query: bytes = b"") -> Response:
    return problem_response(404, NO_CLOCK)


def _fields(query_string: bytes, body: bytes) -> dict[str, object]:
    """Return the fields of a request.

    Raises:
        ConfigError: the body is not a JSON object.
    """
    fields: dict[str, object] = dict(
        parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True)
    )
    if body.strip():
        try:
            fields |= _decode_object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            shown = body[:60].decode("utf-8", "replace")
            raise ConfigError("body", shown, 'a JSON object such as {"speed": 10}') from None
    return fields


class ReadyState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The page `/readyz`."""

    ready: bool
    """Whether clients are served and the source is running."""
    reason: str
    """Why not, or what the source is doing."""
    warnings: list[str]
    """What is incomplete now."""
    edges: int | UnsetType = UNSET
    """How many edges there are; missing if the plant serves alone."""
    bus: str | UnsetType = UNSET
    """`connected` or `lost`; missing if the plant serves alone."""


def ready_response(state: ReadyState) -> Response:
    """Return the page `/readyz`."""
    return Response(msgspec.json.encode(state), 200 if state.ready else 503)


def ready_state(readiness: Readiness, edges: Edges | None, *, listens: bool) -> ReadyState:
    """Return whether a market is served.

    Args:
        readiness: The state of the source.
        edges: The edges; None if the plant serves alone.
        listens: Whether the plant has ports of its own.
    """
    is_ready, reason = readiness.is_ready, readiness.reason
    if edges is None:
        return ReadyState(ready=is_ready, reason=reason, warnings=readiness.warnings)
    bus, number, warnings = edges.bus(), len(edges.rows()), readiness.warnings
    lost = "" if bus.connected else f"the bus at {bus.address} is lost"
    if lost and listens:
        warnings = [*warnings, lost]
    elif is_ready and not listens and (lost or not number):
        is_ready, reason = False, lost or "no edge has joined yet"
    return ReadyState(
        ready=is_ready,
        reason=reason,
        warnings=warnings,
        edges=number,
        bus="connected" if bus.connected else "lost",
    )


def operations_pages(
    welcome: Callable[[], str],
    ready: Callable[[], ReadyState],
    registry: CollectorRegistry,
    profile_name: str,
    nodes: Callable[[], NodesPage],
) -> Mapping[str, Page]:
    """Return the pages by path.

    Args:
        welcome: Makes the text of `/`.
        ready: Returns the state that `/readyz` shows: 200 while the source is running, else 503.
        registry: The metrics of `/metrics`.
        profile_name: The value returned by `/plant/v1/profile`.
        nodes: Returns the page of the processes.
    """
    return {
        PROFILE_PATH: lambda _query: Response(msgspec.json.encode({"profile": profile_name})),
        NODES_PATH: lambda _query: Response(msgspec.json.encode(nodes())),
        **own_pages(welcome),
        READY_PATH: lambda _query: ready_response(ready()),
        METRICS_PATH: lambda _query: Response(
            generate_latest(registry), content_type=CONTENT_TYPE_LATEST
        ),
    }


def own_pages(welcome: Callable[[], str]) -> Mapping[str, Page]:
    """Return the pages about one process, which each answers itself, by path."""
    return {
        "/": lambda _query: Response(welcome().encode(), content_type=TEXT),
        "/healthz": lambda _query: Response(b"ok\n", content_type=TEXT),
    }


def connections_pages(
    endpoints: Collection[Endpoint], edges: Callable[[], Edges | None]
) -> Mapping[str, Page]:
    """Return the page of the connections of this process and of all edges, by its path."""

    def connections(query_string: bytes) -> Response:
        try:
            limit = limit_of(query_string)
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        page, joined = connections_page(endpoints, limit, PLANT), edges()
        if joined is not None:
            page = whole_page((page, *joined.connections()), limit)
        return Response(msgspec.json.encode(page))

    return {CONNECTIONS_PATH: connections}


def limits_pages(endpoint: Endpoint, *, shared_budget: bool) -> Mapping[str, Page]:
    """Return the page of how close clients came to the limits of one port, by its path."""

    def limits(_query: bytes) -> Response:
        page = limits_page(
            endpoint.rate_limiter,
            endpoint.venue.name,
            endpoint.clock(),
            shared_budget=shared_budget,
        )
        return Response(msgspec.json.encode(page))

    return {LIMITS_PATH: limits}


class FaultUse(Struct, frozen=True, kw_only=True):
    """The value of a fault, and how often it happened."""

    value: str | None
    """The value as it was written, null if the fault is off."""
    count: int
    """How often it happened."""
    doc: str
    """What it does."""


class FaultsPage(Struct, frozen=True, kw_only=True):
    """The page of the faults."""

    seed: int
    """The seed of the random draws."""
    faults: dict[str, FaultUse]
    """Every fault there is, by name."""


def faults_pages(
    faults: FaultInjector, edges: Callable[[], Edges | None] = lambda: None
) -> Mapping[str, Page]:
    """Return the page of the faults, by its path; it counts those at the edges too."""

    def page(_query: bytes) -> Response:
        joined = edges()
        there = {} if joined is None else joined.fault_counts()
        uses = {
            row.name: FaultUse(
                value=faults.values[row.name].text if row.name in faults.values else None,
                count=faults.done[row.name] + there.get(row.name, 0),
                doc=row.doc,
            )
            for row in FAULT_ROWS
        }
        return Response(msgspec.json.encode(FaultsPage(seed=faults.seed, faults=uses)))

    return {FAULTS_PATH: page}
