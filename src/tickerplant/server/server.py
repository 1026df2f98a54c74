"""The server of a plant: what answers its clients, and the ports at which they do."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Unpack

from prometheus_client import generate_latest

from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.hub.delivery import Published
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import UPSTREAM_LOST, CloseReason
from tickerplant.protocol.delivery import EVERY, Policy
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.faults.runner import FaultRunner
from tickerplant.server.flushing import LATE_MS
from tickerplant.server.metrics import PlantCollector, PortsCollector, metrics_registry
from tickerplant.server.operations.catalogue import welcome_paths
from tickerplant.server.operations.control_plane import ControlPlane, Origin, Steering
from tickerplant.server.operations.nodes import PLANT, Edges, NodeRow, NodesPage
from tickerplant.server.operations.readiness import ReadyState, ready_state
from tickerplant.server.ports import Place, Port, Ports, Totals
from tickerplant.server.query_service import Forwarder, QueryService
from tickerplant.server.readiness import Readiness
from tickerplant.server.rest import Rest
from tickerplant.server.token import Token
from tickerplant.server.welcome import welcome_text
from tickerplant.truth.truth import Truth
from tickerplant.venue import VENUES, Venue

if TYPE_CHECKING:  # a server whose market is not simulated starts without them
    from tickerplant.scenarios.board import ScenarioBoard
    from tickerplant.simulation.exchange import SimulatedExchange


class Server:
    """Serves one plant; between `start` and `stop`, `urls` has the addresses.

    Connection time, which lifetimes, limits and bans follow, comes from `clock`; with
    `follows_market` it is market time.
    """

    def __init__(
        self,
        plant: Plant,
        *,
        venues: Collection[Venue] = VENUES,
        limits: Limits = LIMITS,
        faults: FaultBoard | None = None,
        forwarders: Mapping[str, Forwarder] | None = None,
        readiness: Readiness | None = None,
        steering: Steering | None = None,
        coverage: Callable[[], Awaitable[ReplayCoverage]] | None = None,
        clock: Clock = connection_clock_ms,
        follows_market: bool = False,
        policy: Policy = EVERY,
        control_token: str = "",
        truth: Truth | None = None,
        compresses: bool = True,
        **place: Unpack[Place],
    ) -> None:
        """Prepare to serve `plant`.

        Args:
            plant: The market and its hubs.
            venues: The venues that are served; the ports of others are not opened.
            limits: The limits, and whether they are enforced.
            faults: What goes wrong on demand; a board without rules in connection time if missing.
            forwarders: Answer the requests that the markets cannot, by venue name.
            readiness: The state of the source.
            steering: A source whose clock clients may read and set.
            coverage: Returns what the recordings cover that are played.
            clock: The machine's clock.
            follows_market: Whether connection time is market time; otherwise it is the machine's.
            policy: The delivery to connections that do not ask for another.
            control_token: The token without which operations are refused; empty if none is needed.
            truth: Keeps what was, and what is written to connections.
            compresses: Whether market data over REST is compressed for clients that accept it.
            place: Where the ports are, see `Place`.
        """
        self.limits = limits
        self.faults = FaultBoard(ConnectionClock(clock)) if faults is None else faults
        """What goes wrong on demand."""
        self.readiness = readiness or Readiness()
        self.complaints = Complaints()
        self.congestion = Congestion(limits, lambda: self.subscriber_count)
        self._plant = plant
        rate_limiters = {venue: RateLimiter(limits) for venue in VENUES}
        if plant.profile.shared_budget:
            rate_limiters = dict.fromkeys(VENUES, rate_limiters[VENUES[0]])
        for markets in plant.venues.values():
            markets.request_weight_per_minute = limits.request_weight_per_minute
        connection_clock = (lambda: plant.now_ms) if follows_market else clock
        alarms = MarketClock(plant.timers) if follows_market else None
        self.endpoints = tuple(
            Endpoint(
                venue=venue,
                hub=plant.hubs[venue.name],
                queries=QueryService(
                    plant.venues[venue.name], self.complaints, (forwarders or {}).get(venue.name)
                ),
                limits=limits,
                rate_limiter=rate_limiters[venue],
                congestion=self.congestion,
                complaints=self.complaints,
                clock=connection_clock,
                machine_clock=clock,
                alarms=alarms,
                policy=policy,
                sent=None if truth is None else truth.sent,
            )
            for venue in VENUES
            if venue in venues
        )
        """The ports, one per venue that is served."""
        self._ports = Ports(
            self.endpoints,
            self.answers,
            place,
            limits=limits,
            faults=FaultRunner(
                self.faults,
                self.endpoints,
                clock,
                lambda: plant.now_ms,
                None if truth is None else truth.market,
            ),
            congestion=self.congestion,
        )
        self.readiness.machine_set_ms = self._ports.clock_set_ms
        rate_limiters_used = {endpoint.rate_limiter for endpoint in self.endpoints}
        self._ports.flusher.is_market_late = lambda: self.readiness.lag_ms > LATE_MS
        collector = PlantCollector(
            plant,
            PortsCollector(
                self.endpoints,
                self._ports.flusher,
                self.complaints,
                self.faults,
                self._ports.certificate,
            ),
            rate_limiters_used,
            self.readiness,
            self.complaints,
            truth,
        )
        registry = metrics_registry(collector, lambda: self.edges)
        self.plane = ControlPlane(
            welcome=self.welcome,
            token=Token(control_token),
            endpoints=self.endpoints,
            profile_name=plant.profile.name,
            shared_budget=plant.profile.shared_budget,
            ready=self.ready_state,
            metrics=lambda: generate_latest(registry),
            nodes=self.nodes,
            faults=self.faults,
            steering=steering,
            coverage=coverage,
            truth=truth,
            now_ms=lambda: plant.now_ms,
        )
        """What the operations of `/plant/v1/` are about."""
        self._listens = place.get("listens", True)
        self._compresses = compresses
        self._since_ms = clock()
        for endpoint in self.endpoints:
            endpoint.hub.published = self._published
            endpoint.market_ms = lambda: plant.now_ms

    def offer(
        self,
        scenarios: ScenarioBoard,
        exchange: SimulatedExchange | None,
        origin: Origin,
        sources: Mapping[str, str],
    ) -> None:
        """Let the control plane tell what the market is, and change it.

        Args:
            scenarios: Starts scenarios.
            exchange: The simulated exchange, whose levers may be pulled; None if there is none.
            origin: What the market is.
            sources: Where the messages of a relay come from, by venue name.
        """
        plane = self.plane
        plane.scenarios, plane.exchange = scenarios, exchange
        plane.origin, plane.sources = origin, sources

    @property
    def edges(self) -> Edges | None:
        """The processes on the bus that have clients of this plant; None if it serves alone."""
        return self.plane.edges

    @edges.setter
    def edges(self, edges: Edges) -> None:
        self.plane.edges = edges

    @property
    def ports(self) -> list[Port]:
        """The open ports in the order of `endpoints`; empty before `start`."""
        return self._ports.open

    @property
    def port_numbers(self) -> Mapping[str, int]:
        """The port by venue name that `start` opens; a missing venue has its default."""
        return self._ports.numbers

    @port_numbers.setter
    def port_numbers(self, numbers: Mapping[str, int]) -> None:
        self._ports.numbers = numbers

    @property
    def urls(self) -> dict[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return self._ports.urls

    @property
    def schemes(self) -> tuple[str, str]:
        """The URL schemes of streams and of REST: `ws`, `http`, or with TLS `wss`, `https`."""
        return self._ports.schemes

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over both venues."""
        return self._ports.subscriber_count

    @property
    def connections(self) -> list[Connection]:
        """The open WebSocket connections of all ports."""
        return self._ports.connections

    @property
    def totals(self) -> Totals:
        """The totals so far."""
        return self._ports.totals

    async def start(self) -> None:
        """Listen on the ports of both venues.

        Raises:
            ConfigError: an address or a port cannot be used; nothing stays open.
        """
        await self._ports.start()

    async def stop(self) -> None:
        """Close every connection, wait for the grace period, and abort the rest."""
        await self._ports.stop()

    def end_streams(self, reason: CloseReason) -> None:
        """Close the stream connections of all venues, and each new one once it is open.

        What was published before is still sent.  Requests are answered until `stop`.
        """
        for endpoint in self.endpoints:
            endpoint.end_streams(reason)

    def start_outage(
        self,
        venue_name: str,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        """Disconnect the subscribers of streams that are lost.

        They may reconnect and subscribe again at once, unless all of the venue is lost.  WebSocket
        API connections stay open.

        Args:
            venue_name: The venue.
            names: The streams.  None means all of the venue: stream handshakes are then answered
                503 until `end_outage`.
            reason: One line without a full stop, for handshakes and the log.
            close_reason: With what they are closed.
        """
        self._ports.endpoint(venue_name).start_outage(names, reason, close_reason)

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of a venue again."""
        self._ports.endpoint(venue_name).end_outage()

    def ready_state(self) -> ReadyState:
        """Return whether the market is served, by this process or by edges."""
        return ready_state(self.readiness, self.edges, listens=self._listens)

    def nodes(self) -> NodesPage:
        """Return the processes that serve the market."""
        totals, edges = self.totals, self.edges
        plant = NodeRow(
            id=PLANT,
            host=socket.gethostname(),
            pid=os.getpid(),
            address=self.urls,
            connections=len(self.connections),
            streams=sum(len(endpoint.hub.channels) for endpoint in self.endpoints),
            messages=totals.messages,
            bytes=totals.sent_bytes,
            unsent_bytes=sum(connection.unsent_bytes for connection in self.connections),
            lag_ms=self.readiness.lag_ms,
            since_ms=self._since_ms,
            seen_ms=0,
        )
        if edges is None:
            return NodesPage(plant=plant, edges=[], bus=None)
        return NodesPage(plant=plant, edges=edges.rows(), bus=edges.bus())

    def answers(self, endpoint: Endpoint) -> Rest:
        """Return what answers the HTTP requests of a port, and those that edges receive."""
        return Rest(endpoint, self.plane, compresses=self._compresses)

    def _published(self) -> Published:
        """Return the times of a message that is published now."""
        now_ns, late_ns = time.time_ns(), self.readiness.late_ns()
        return Published(None if late_ns is None else now_ns - late_ns, now_ns)

    def welcome(self) -> str:
        """Return the text of `/`: the addresses, and what differs from the defaults."""
        return welcome_text(
            self.urls,
            self.schemes,
            limits=self.limits,
            faults=self.faults,
            paths=welcome_paths(has_clock=self.plane.steering is not None),
            has_token=self.plane.token.is_needed,
        )
