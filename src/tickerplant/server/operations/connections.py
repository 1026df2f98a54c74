"""The page `/plant/v1/connections`: the connections of a market, and what waits for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import nlargest
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.formatting import printable
from tickerplant.hub.delivery import Backlog, DeliveryCounters
from tickerplant.hub.hub import Hub
from tickerplant.protocol.delivery import PLAIN
from tickerplant.protocol.redaction import loggable
from tickerplant.server.endpoint import MAX_CLOSED, ClosedConnection, Connection, Endpoint

SHOWN_CONNECTIONS = 100
"""Connections on one page, unless the request has a `limit`."""
MAX_CONNECTIONS = 1_000
"""Most connections on one page: showing all of a crowd would delay its streams."""
SHOWN_STREAMS = 10
"""Streams of one connection that are named."""
_NOTHING_WAITS = Backlog(0, DeliveryCounters())
"""What a connection without a backlog has."""


class LimitUse(Struct, frozen=True, kw_only=True):
    """How much of one limit is used."""

    used: int
    """How much is used now."""
    limit: int
    """The limit of the exchange; it is only counted with `--limits off`."""


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """How near a connection is to its own limits; request weight belongs to the address."""

    messages: LimitUse | None
    """Messages of its client, of the most at once, less those that the rate has made up for since; of
    an `api` connection its pings and pongs; null if these are not limited."""
    streams: LimitUse | None
    """Its subscriptions; null for an `api` connection."""
    age_ms: LimitUse
    """The time since it was opened."""


class ConnectionRow(Struct, frozen=True, kw_only=True):
    """One WebSocket connection."""

    id: str
    """What it is called in the log."""
    worker: str
    """The process that has it; see `/plant/v1/nodes`."""
    venue: str
    """Whose port it is connected to: `usdm` or `coinm`."""
    address: str
    """The address of the client."""
    path: str
    """What it asked for."""
    user_agent: str
    """What its client calls itself."""
    opened_ms: int
    """When it was opened, in connection time, ms since 1970."""
    opened_market_ms: int | None
    """When it was opened, in market time; null where that is not known, as at an edge."""
    kind: str
    """`raw` or `combined` streams, or `api`."""
    stream_count: int
    """Its subscriptions, silent ones included."""
    streams: list[str]
    """The first of them."""
    delivery: str
    """What happens to its messages while the client is behind: `every` or `latest`."""
    stamps: bool
    """Whether its messages tell when they were made and written."""
    messages: int
    """Messages sent to it so far: those of its streams, and replies."""
    bytes: int
    """Bytes of their frames."""
    limits: ConnectionLimits
    """How near it is to its own limits, each with `used` and `limit`."""
    unsent_bytes: int
    """Bytes written to it that the network has not taken."""
    held: bool
    """Whether messages wait because the client is behind."""
    waiting_messages: int
    """Messages that wait."""
    waiting_bytes: int
    """The memory that they take, approximately."""
    conflated: int
    """Messages that were replaced by a later one or merged into it."""
    dropped: int
    """Messages that were dropped because too many waited."""


class ConnectionsPage(Struct, frozen=True, kw_only=True):
    """The page of connections."""

    total: int
    """Open WebSocket connections, on the ports of both venues and of all processes."""
    deliveries: dict[str, int]
    """Stream connections by delivery."""
    connections: list[ConnectionRow]
    """Those for which most is unsent or waits, the most first; see `limit`."""
    closed: list[ClosedConnection]
    """The last ones that were closed, the latest first."""


def connections_page(endpoints: Iterable[Endpoint], limit: int, worker: str) -> ConnectionsPage:
    """Return the page of the connections of `endpoints`, with at most `limit` of them."""
    found = [(each, endpoint) for endpoint in endpoints for each in endpoint.connections]
    deliveries: Counter[str] = Counter()
    for endpoint in {endpoint for _, endpoint in found}:
        deliveries.update(endpoint.policy_counts)
    return ConnectionsPage(
        total=len(found),
        deliveries=dict(deliveries),
        connections=[
            connection_row(*each, worker) for each in nlargest(limit, found, key=_unsent_bytes)
        ],
        closed=[
            replace(each, worker=worker)
            for each in _latest(
                each for endpoint in endpoints for each in reversed(endpoint.closed)
            )
        ],
    )


def whole_page(pages: Iterable[ConnectionsPage], limit: int) -> ConnectionsPage:
    """Return one page of the connections on several, with at most `limit` of them."""
    total, rows, deliveries = 0, list[ConnectionRow](), Counter[str]()
    closed: list[ClosedConnection] = []
    for page in pages:
        closed += page.closed
        total += page.total
        rows += page.connections
        deliveries.update(page.deliveries)
    worst = nlargest(limit, rows, key=lambda row: row.unsent_bytes + row.waiting_bytes)
    return ConnectionsPage(
        total=total, deliveries=dict(deliveries), connections=worst, closed=_latest(closed)
    )


def _latest(closed: Iterable[ClosedConnection]) -> list[ClosedConnection]:
    """Return the connections that were closed last, the latest first."""
    return nlargest(MAX_CLOSED, closed, key=lambda each: each.closed_ms)


def _backlog(connection: Connection, hub: Hub) -> Backlog:
    return hub.backlogs.get(connection, _NOTHING_WAITS)


def _unsent_bytes(found: tuple[Connection, Endpoint]) -> int:
    connection, endpoint = found
    return connection.unsent_bytes + _backlog(connection, endpoint.hub).size_bytes


def connection_row(connection: Connection, endpoint: Endpoint, worker: str) -> ConnectionRow:
    """Return what is shown of an open connection."""
    names, audience = connection.names, endpoint.hub.audience_of.get(connection)
    sent = endpoint.hub.sent_to(connection)
    waiting = _backlog(connection, endpoint.hub)
    opening = endpoint.connections[connection]
    is_combined = audience is not None and audience.combined
    return ConnectionRow(
        id=connection.identity,
        worker=worker,
        venue=endpoint.venue.name,
        address=connection.address,
        path=loggable(opening.target),
        user_agent=printable(opening.user_agent),
        opened_ms=opening.opened_ms,
        opened_market_ms=opening.market_ms,
        kind="api" if names is None else "combined" if is_combined else "raw",
        stream_count=len(names or ()),
        streams=[loggable(name) for name in islice(names or (), SHOWN_STREAMS)],
        delivery=connection.policy,
        stamps=(PLAIN if audience is None else audience.delivery).is_stamped,
        messages=sent.messages + connection.reply_count,
        bytes=sent.size_bytes + connection.reply_bytes,
        limits=_limits_used(connection, endpoint, opening.opened_ms),
        unsent_bytes=connection.unsent_bytes,
        held=waiting.is_held,
        waiting_messages=len(waiting),
        waiting_bytes=waiting.size_bytes,
        conflated=waiting.conflated,
        dropped=waiting.dropped,
    )


def _limits_used(connection: Connection, endpoint: Endpoint, opened_ms: int) -> ConnectionLimits:
    """Return how near a connection is to its limits, as far as its session counts them."""
    limits, now_ms, throttle = endpoint.limits, endpoint.clock(), connection.throttle
    names = connection.names
    return ConnectionLimits(
        messages=None
        if throttle is None
        else LimitUse(used=throttle.bucket.used_at(now_ms), limit=throttle.bucket.capacity),
        streams=None if names is None else LimitUse(used=len(names), limit=limits.max_streams),
        age_ms=LimitUse(used=now_ms - opened_ms, limit=limits.lifetime_ms),
    )
