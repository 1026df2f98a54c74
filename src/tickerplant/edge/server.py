"""The server of an edge: clients as anywhere, and a plant elsewhere that has the market."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Unpack

import msgspec
from msgspec import Raw, Struct

from tickerplant.bus.nodes import PlantDescription, encode
from tickerplant.bus.questions import EdgeReport
from tickerplant.cluster.connection import end
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.edge.backend import RemoteBackend, WaitingRequests
from tickerplant.edge.metrics import EdgeCollector, families_of
from tickerplant.edge.rest import EdgeRest
from tickerplant.edge.tallies import ChangedTallies
from tickerplant.errors import BusError, ConfigError
from tickerplant.faults.board import FaultBoard, received
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.protocol.close_reasons import BUS_LOST, CONTROL_PLANE
from tickerplant.protocol.delivery import EVERY, policy_named
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.faults.runner import FaultRunner
from tickerplant.server.metrics import PortsCollector, process_registry
from tickerplant.server.operations.catalogue import welcome_paths
from tickerplant.server.operations.connections import SHOWN_CONNECTIONS, connections_page
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.ports import Place, Ports
from tickerplant.server.query_service import QueryService
from tickerplant.server.welcome import welcome_text
from tickerplant.venue import VENUES

SCAN_SHARE = 0.005
"""The share of the core that looking at every connection for reports may take: an edge with ten thousand
connections reports its metrics more rarely, so that its clients do not notice."""
LONGEST_SCAN_PAUSE_S = 15.0
SERVED_BY = ("profile", "strict_routing", "limits", "venues", "fault_seed", "delivery")
"""What of the plant's description an edge is built of."""
TELL_ALL_EVERY = 60
"""Reports after which everything is told again, not only what has changed."""


class EdgeServer(Ports):
    """Serves the clients of a plant that is elsewhere; between `start` and `stop`, `urls` says where.

    Args:
        node: The way to the plant, after `hello`.
        description: What the plant has said about itself.
        is_beside_plant: Whether it certainly runs on the machine of its plant: only then is a request
            from here one from there.
        worker: What it is called in metrics, and in `/plant/v1/nodes`; the name of the node if empty.
        complaints: Take what goes wrong.
        clock: The connection clock.
        place: Where the ports are, see `Place`.

    Raises:
        BusError: the plant is not of this version of the program.
    """

    def __init__(
        self,
        node: EdgeNode,
        description: PlantDescription,
        *,
        is_beside_plant: bool = False,
        worker: str = "",
        complaints: Complaints | None = None,
        clock: Clock = connection_clock_ms,
        **place: Unpack[Place],
    ) -> None:
        try:
            limits = msgspec.convert(description.limits, Limits)
            rules = received(description.faults)
            profile = PROFILES[description.profile]
        except (KeyError, msgspec.ValidationError, ConfigError) as error:
            raise BusError(
                f"the plant {description.name} is not of this version of the program: {error}"
            ) from None
        self.complaints = complaints or Complaints()
        congestion = Congestion(limits, lambda: self.subscriber_count)
        self.worker = worker or node.identity
        self.faults = FaultBoard(ConnectionClock(clock), description.fault_seed)
        self.description = description
        self._node = node
        self._is_beside_plant = is_beside_plant
        self._clock = clock
        self._since_ms = clock()
        self._plant = Plant(
            (), start_ms=0, profile=profile, strict_routing=description.strict_routing
        )
        rate_limiters = {venue: RateLimiter(limits) for venue in VENUES}
        if profile.shared_budget:
            rate_limiters = dict.fromkeys(VENUES, rate_limiters[VENUES[0]])
        policy = policy_named(description.delivery) or EVERY
        served = [venue for venue in VENUES if venue.name in description.venues]
        endpoints = tuple(
            Endpoint(
                venue=venue,
                hub=self._plant.hubs[venue.name],
                queries=QueryService(self._plant.venues[venue.name], self.complaints),
                limits=limits,
                rate_limiter=rate_limiters[venue],
                congestion=congestion,
                complaints=self.complaints,
                clock=clock,
                policy=policy,
            )
            for venue in served
        )
        self.waiting = WaitingRequests()
        for endpoint in endpoints:
            endpoint.backend = RemoteBackend(node.caller, node.identity, endpoint, self.waiting)
        super().__init__(endpoints, place, FaultRunner(self.faults, endpoints, clock, clock))
        self.faults.replace_all(rules)
        self._registry = process_registry(
            EdgeCollector(
                node,
                self.waiting,
                PortsCollector(
                    self.endpoints,
                    self.flusher,
                    self.complaints,
                    self.faults,
                    self.certificate,
                ),
            )
        )
        limiters = {endpoint.rate_limiter: endpoint.venue.name for endpoint in self.endpoints}
        self._tallies = {name: ChangedTallies(limiter) for limiter, name in limiters.items()}
        self._report_count = 0
        self._told_epoch = ""
        self._is_running = False
        self._outdated: asyncio.Future[str]
        """Done when another run of the plant has other settings; says which."""
        self._next_scan_s = 0.0
        self._last_scan: _Scan

    async def start(self) -> None:
        """Take the streams of the plant, and listen.

        Raises:
            ConfigError: an address or a port cannot be used; nothing stays open.
        """
        hubs = {endpoint.venue.name: endpoint.hub for endpoint in self.endpoints}
        self._outdated = asyncio.get_running_loop().create_future()
        await super().start()
        # Before the first connection is accepted, and with the addresses in its first report.
        self._node.attach(hubs, clients=self, readers=self.congestion, report=self.report)
        self._is_running = True

    async def run(self) -> None:
        """Report to the plant, and follow it, until cancelled.

        Raises:
            BusError: another run of the plant has settings with which this edge cannot serve.
        """
        following = asyncio.create_task(self._node.run())
        try:
            ends: list[asyncio.Future[Any]] = [following, self._outdated]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._outdated.done():
                raise BusError(
                    f"the plant {self.description.name} was started again with other settings "
                    f"({self._outdated.result()}): start this edge again"
                )
            following.result()
        finally:
            await end(following)

    async def stop(self) -> None:
        """Close every connection, wait for the grace period, and abort the rest."""
        self._is_running = False
        await super().stop()

    # Its clients, as the bus sees them: the interface `cluster.edge_node.EdgeClients`

    def begin_streams(self) -> None:
        """Accept stream connections again, unless another run of the plant has other settings."""
        for endpoint in self.endpoints:
            endpoint.ending = None
        now = self._node.description
        changed = [
            name for name in SERVED_BY if getattr(now, name) != getattr(self.description, name)
        ]
        if changed and not self._outdated.done():
            self.lose_clients()
            self._outdated.set_result(", ".join(changed))

    def silent(self, venue_name: str, reasons: Mapping[str, str]) -> None:
        """Count and log the subscriptions to streams of which the plant says that they stay silent."""
        endpoint = self.endpoint(venue_name)
        for connection in tuple(endpoint.connections):
            names = connection.names or ()
            silent = {name: why for name, why in reasons.items() if name in names}
            if silent:
                endpoint.hub.silent.update(silent.values())
                endpoint.silent_subscriptions.add(connection.identity, silent)

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Close a connection that an operator wants closed, if it is one of this edge."""
        if worker == self.worker:
            for connection in tuple(self.connections):
                if connection.identity == connection_id:
                    connection.close(CONTROL_PLANE)

    def set_faults(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        """Let exactly the faults be on here that are on at the plant."""
        try:
            parsed = received(rules)
        except ConfigError as error:
            self.complaints.add("bus: malformed", f"! not a fault of this version: {error}")
            return
        self.faults.replace_all(parsed)

    def lose_clients(self) -> None:
        """Close all connections at once, because there is no plant any more."""
        for connection in self.connections:
            connection.close(BUS_LOST)

    # Its pages and its report

    def welcome(self) -> str:
        """Return the text of `/`: the addresses, and what differs from the defaults."""
        return welcome_text(
            self.urls,
            self.schemes,
            limits=self.limits,
            faults=self.faults,
            paths=welcome_paths(has_clock=self.description.has_clock),
            has_token=self.description.has_token,
        )

    def answers(self, endpoint: Endpoint) -> EdgeRest:
        """Return what answers the HTTP requests of a port."""
        node, plane = self._node, ControlPlane(welcome=self.welcome)
        beside = self._is_beside_plant
        return EdgeRest(endpoint, plane, node.caller, lambda: node.trouble, is_beside_plant=beside)

    def report(self) -> bytes:
        """Return the figures of this edge, for its plant."""
        node, totals = self._node, self.totals
        epoch = node.description.epoch
        if epoch != self._told_epoch or self._report_count % TELL_ALL_EVERY == 0:
            self._told_epoch = epoch
            for tallies in self._tallies.values():
                tallies.tell_all()
        self._report_count += 1
        scan = self._scan()
        return encode(
            EdgeReport(
                worker=self.worker,
                pid=os.getpid(),
                since_ms=self._since_ms,
                addresses=self.urls,
                connections=sum(len(endpoint.connections) for endpoint in self.endpoints),
                opened=totals.connections,
                streams=node.wanted_count,
                messages=totals.messages,
                sent_bytes=totals.sent_bytes,
                unsent_bytes=scan.unsent_bytes,
                delay_ms=node.delay_ns / 1_000_000,
                faults=dict(self.faults.counts),
                fault_hits={on.id: on.hits for on in self.faults},
                notes={venue: tallies.changes() for venue, tallies in self._tallies.items()},
                families=scan.families,
                connections_page=scan.page,
            )
        )

    def _scan(self) -> _Scan:
        """Return the figures for which every connection is looked at: of now, or not long ago."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        if began_s >= self._next_scan_s or not self._is_running:
            self._last_scan = _Scan(
                unsent_bytes=sum(each.unsent_bytes for each in self.connections),
                families=Raw(encode(families_of(self._registry))),
                page=Raw(encode(connections_page(self.endpoints, SHOWN_CONNECTIONS, self.worker))),
            )
            cost_s = now_s() - began_s
            self._next_scan_s = began_s + min(cost_s / SCAN_SHARE, LONGEST_SCAN_PAUSE_S)
        return self._last_scan


class _Scan(Struct, frozen=True):
    """Figures for which every connection of an edge is looked at."""

    unsent_bytes: int
    families: Raw
    page: Raw
