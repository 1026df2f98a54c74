"""The processes that serve one market, and the bus that joins them: `/plant/v1/nodes`, `/readyz`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType
from prometheus_client.core import Metric

from tickerplant.protocol.close_reasons import CloseReason
from tickerplant.server.operations.connections import ConnectionsPage
from tickerplant.server.response import Response
from tickerplant.server.totals import Totals

PLANT = "plant"
"""What the process with the market is called on pages and in metrics."""


class NodeRow(Struct, frozen=True, kw_only=True):
    """One process."""

    id: str
    """What it is called in metrics: `plant`, the number of a worker, or the name of an edge."""
    host: str
    """The machine it runs on."""
    pid: int
    """Its process id there."""
    address: dict[str, str]
    """Where it listens, `host:port`, by venue; empty if it does not."""
    connections: int
    """Open WebSocket connections."""
    streams: int
    """Streams that its clients want; of the plant, those that anybody wants."""
    messages: int
    """Messages sent to clients so far."""
    bytes: int
    """Bytes of stream frames sent to clients so far."""
    unsent_bytes: int
    """Bytes written to clients that the network has not taken."""
    lag_ms: float
    """Of an edge, how long the last messages took from the plant, by the wall clocks of both; of the
    plant, how far the source is behind its own clock."""
    since_ms: int
    """When it started, ms since 1970."""
    seen_ms: int
    """How long ago it was heard of; 0 for the plant."""


class BusRow(Struct, frozen=True, kw_only=True):
    """The bus."""

    address: str
    """Where it is."""
    connected: bool
    """Whether the plant is connected to it."""
    plant: str
    """The name of the plant on it."""


class NodesPage(Struct, frozen=True, kw_only=True):
    """The processes that serve one market."""

    plant: NodeRow
    """The process with the market."""
    edges: list[NodeRow]
    """The processes that only have clients, workers included."""
    bus: BusRow | None
    """What joins them; null if the plant serves alone."""


class Edges(Protocol):
    """The edges of a plant, as far as its pages are about them."""

    @property
    def totals(self) -> Totals:
        """What all edges have served so far, also those that are gone."""

    def start_outage(self, venue: str, names: Iterable[str] | None, reason: str) -> object:
        """Let the edges disconnect the subscribers of streams that are lost."""

    def end_outage(self, venue: str) -> object:
        """Let the edges accept stream connections of a venue again."""

    def end_streams(self, reason: CloseReason) -> object:
        """Let the edges close all stream connections, and each new one."""

    def rows(self) -> list[NodeRow]:
        """Return what the edges last reported."""

    def bus(self) -> BusRow:
        """Return the state of the bus."""

    async def metrics(self) -> Iterable[tuple[str, Iterable[Metric]]]:
        """Return the metrics of each edge, with its name; its limits count here from now on."""

    async def connections(self, limit: int, connection_id: str = "") -> Iterable[ConnectionsPage]:
        """Return the page of the connections of each edge, or of the one connection that is named."""

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Let an edge close a connection."""

    async def count_tallies(self) -> None:
        """Add what the edges have counted for addresses to what is counted here."""

    def fault_hits(self) -> Mapping[str, int]:
        """Return how often each rule happened at the edges that are there, by its id."""

    def fault_counts(self) -> Mapping[str, int]:
        """Return how often faults were injected at all edges, by fault."""


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
    """Return the page `/readyz`: 503 while the market is not served."""
    return Response(msgspec.json.encode(state), 200 if state.ready else 503)
