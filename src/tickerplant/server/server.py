"""The server of a plant: what answers its clients, and the ports at which they do."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol, Unpack

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
from tickerplant.readiness import Readiness
from tickerplant.server.backend import Backend
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.faults.runner import FaultRunner
from tickerplant.server.flushing import LATE_MS
from tickerplant.server.metrics import (
    PlantCollector,
    PortsCollector,
    metrics_text,
    process_registry,
)
from tickerplant.server.operations.catalogue import welcome_paths
from tickerplant.server.operations.control_plane import ControlPlane, Steering
from tickerplant.server.operations.nodes import (
    PLANT,
    NodeRow,
    NodesPage,
    ReadyState,
)
from tickerplant.server.ports import Place, Ports
from tickerplant.server.query_service import Forwarder, QueryService
from tickerplant.server.rest import RemoteAnswer, Rest
from tickerplant.server.token import Token
from tickerplant.server.totals import Totals
from tickerplant.server.welcome import welcome_text
from tickerplant.truth.truth import Truth
from tickerplant.venue import VENUES, Venue


class Remote(Protocol):
    """The way to the plant that has the market, for a server that has only clients."""

    has_clock: bool
    """Whether the market has a clock that clients may set."""
    has_token: bool
    """Whether the plant's control plane needs a token."""

    def backend(self, endpoint: Endpoint) -> Backend:
        """Return what decides about the connections of a port."""

    def answer_of(self, endpoint: Endpoint) -> RemoteAnswer:
        """Return what answers the HTTP requests of a port."""


class Server(Ports):
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
        steering: Steering | None = None,
        coverage: Callable[[], Awaitable[ReplayCoverage]] | None = None,
        clock: Clock = connection_clock_ms,
        follows_market: bool = False,
        policy: Policy = EVERY,
        control_token: str = "",
        truth: Truth | None = None,
        compresses: bool = True,
        remote: Remote | None = None,
        complaints: Complaints | None = None,
        **place: Unpack[Place],
    ) -> None:
        """Prepare to serve `plant`.

        Args:
            plant: The market and its hubs.
            venues: The venues that are served; the ports of others are not opened.
            limits: The limits, and whether they are enforced.
            faults: What goes wrong on demand; a board without rules in connection time if missing.
            forwarders: Answer the requests that the markets cannot, by venue name.
            steering: A source whose clock clients may read and set.
            coverage: Returns what the recordings cover that are played.
            clock: The machine's clock.
            follows_market: Whether connection time is market time; otherwise it is the machine's.
            policy: The delivery to connections that do not ask for another.
            control_token: The token without which operations are refused; empty if none is needed.
            truth: Keeps what was, and what is written to connections.
            compresses: Whether market data over REST is compressed for clients that accept it.
            remote: The way to the plant, if that is elsewhere; `plant` is then empty.
            complaints: Take what goes wrong; new ones if missing.
            place: Where the ports are, see `Place`.
        """
        self.faults = FaultBoard(ConnectionClock(clock)) if faults is None else faults
        """What goes wrong on demand."""
        self.readiness = Readiness()
        self.complaints = complaints or Complaints()
        congestion = Congestion(
            limits, lambda: sum(each.subscriber_count for each in self.endpoints)
        )
        self._plant = plant
        rate_limiters = {venue: RateLimiter(limits) for venue in VENUES}
        if plant.profile.shared_budget:
            rate_limiters = dict.fromkeys(VENUES, rate_limiters[VENUES[0]])
        for markets in plant.venues.values():
            markets.request_weight_per_minute = limits.request_weight_per_minute
        connection_clock = (lambda: plant.now_ms) if follows_market else clock
        alarms = MarketClock(plant.timers) if follows_market else None
        endpoints = tuple(
            Endpoint(
                venue=venue,
                hub=plant.hubs[venue.name],
                queries=QueryService(
                    plant.venues[venue.name], self.complaints, (forwarders or {}).get(venue.name)
                ),
                limits=limits,
                rate_limiter=rate_limiters[venue],
                congestion=congestion,
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
        market_clock = (lambda: plant.now_ms) if remote is None else clock
        super().__init__(
            endpoints,
            place,
            FaultRunner(
                self.faults,
                endpoints,
                clock,
                market_clock,
                None if truth is None else truth.market,
            ),
        )
        self.readiness.machine_set_ms = self.clock_set_ms
        rate_limiters_used = {endpoint.rate_limiter for endpoint in self.endpoints}
        self.flusher.is_market_late = lambda: self.readiness.lag_ms > LATE_MS
        ports = PortsCollector(
            self.endpoints, self.flusher, self.complaints, self.faults, self.certificate
        )
        plant_collector = PlantCollector(
            plant, ports, rate_limiters_used, self.readiness, self.complaints, truth
        )
        self.registry = process_registry(plant_collector if remote is None else ports)
        """The metrics of this process."""
        self.plane = ControlPlane(
            welcome=self.welcome,
            token=Token(control_token),
            endpoints=self.endpoints,
            profile_name=plant.profile.name,
            shared_budget=plant.profile.shared_budget,
            ready=self.ready_state,
            metrics=lambda: metrics_text(self.registry, self.plane.edges),
            nodes=self.nodes,
            faults=self.faults,
            steering=steering,
            coverage=coverage,
            truth=truth,
            now_ms=lambda: plant.now_ms,
        )
        """What the operations of `/plant/v1/` are about."""
        self.shared_urls: dict[str, str] = {}
        """The addresses of the ports that other processes of this program share, by venue name."""
        self._compresses = compresses
        self._since_ms = clock()
        self._remote = remote
        for endpoint in self.endpoints:
            if remote is None:
                endpoint.hub.published = self._published
                endpoint.market_ms = lambda: plant.now_ms
            else:
                endpoint.backend = remote.backend(endpoint)

    @property
    def urls(self) -> dict[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return super().urls or self.shared_urls

    @property
    def totals(self) -> Totals:
        """What was served so far, by edges too."""
        own, edges = self._own_totals, self.plane.edges
        return own if edges is None else own + edges.totals

    @property
    def _own_totals(self) -> Totals:
        hubs = [endpoint.hub for endpoint in self.endpoints]
        return Totals(
            messages=sum(hub.messages_sent for hub in hubs),
            sent_bytes=sum(hub.bytes_sent for hub in hubs),
            connections=sum(endpoint.counters.opened for endpoint in self.endpoints),
        )

    def endpoint(self, venue_name: str) -> Endpoint:
        """Return the endpoint of a venue that is served."""
        return next(each for each in self.endpoints if each.venue.name == venue_name)

    def end_streams(self, reason: CloseReason) -> None:
        """Close the stream connections of all venues, and each new one once it is open.

        What was published before is still sent.  Requests are answered until `stop`.
        """
        for endpoint in self.endpoints:
            endpoint.end_streams(reason)
        if self.plane.edges is not None:
            self.plane.edges.end_streams(reason)

    def start_outage(
        self,
        venue_name: str,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        """Disconnect the subscribers of streams that are lost, at edges too.

        They may reconnect and subscribe again at once, unless all of the venue is lost.  WebSocket
        API connections stay open.

        Args:
            venue_name: The venue.
            names: The streams.  None means all of the venue: stream handshakes are then answered
                503 until `end_outage`.
            reason: One line without a full stop, for handshakes and the log.
            close_reason: With what they are closed.
        """
        lost = None if names is None else tuple(names)
        self.endpoint(venue_name).start_outage(lost, reason, close_reason)
        if self.plane.edges is not None:
            self.plane.edges.start_outage(venue_name, lost, reason)

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of a venue again, at edges too."""
        self.endpoint(venue_name).end_outage()
        if self.plane.edges is not None:
            self.plane.edges.end_outage(venue_name)

    def ready_state(self) -> ReadyState:
        """Return whether the market is served, by this process or by edges."""
        readiness, edges, listens = self.readiness, self.plane.edges, self._listens
        is_ready, reason, warnings = readiness.is_ready, readiness.reason, readiness.warnings
        if edges is None:
            return ReadyState(ready=is_ready, reason=reason, warnings=warnings)
        bus, number = edges.bus(), len(edges.rows())
        lost = "" if bus.connected else f"the bus at {bus.address} is lost"
        if lost and listens:
            warnings = [*warnings, lost]
        elif is_ready and not listens and (lost or not number):
            is_ready, reason = False, lost or "no edge has joined yet"
        state = "connected" if bus.connected else "lost"
        return ReadyState(ready=is_ready, reason=reason, warnings=warnings, edges=number, bus=state)

    def node(self, name: str) -> NodeRow:
        """Return the row of this process on the page of nodes."""
        totals = self._own_totals
        return NodeRow(
            id=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            address=super().urls,
            connections=len(self.connections),
            streams=sum(len(endpoint.hub.channels) for endpoint in self.endpoints),
            messages=totals.messages,
            bytes=totals.sent_bytes,
            unsent_bytes=sum(connection.unsent_bytes for connection in self.connections),
            lag_ms=self.readiness.lag_ms,
            since_ms=self._since_ms,
            seen_ms=0,
        )

    def nodes(self) -> NodesPage:
        """Return the processes that serve the market."""
        plant, edges = self.node(PLANT), self.plane.edges
        if edges is None:
            return NodesPage(plant=plant, edges=[], bus=None)
        return NodesPage(plant=plant, edges=edges.rows(), bus=edges.bus())

    def answers(self, endpoint: Endpoint) -> Rest:
        """Return what answers the HTTP requests of a port, and those that edges receive."""
        remote = None if self._remote is None else self._remote.answer_of(endpoint)
        return Rest(endpoint, self.plane, compresses=self._compresses, remote=remote)

    def _published(self) -> Published:
        """Return the times of a message that is published now."""
        now_ns, late_ns = time.time_ns(), self.readiness.late_ns()
        return Published(None if late_ns is None else now_ns - late_ns, now_ns)

    def welcome(self) -> str:
        """Return the text of `/`: the addresses, and what differs from the defaults."""
        remote, plane = self._remote, self.plane
        has_clock = plane.steering is not None if remote is None else remote.has_clock
        return welcome_text(
            self.urls,
            self.schemes,
            limits=self.limits,
            faults=self.faults,
            paths=welcome_paths(has_clock=has_clock),
            has_token=plane.token.is_needed if remote is None else remote.has_token,
        )
