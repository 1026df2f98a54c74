"""What an edge serves: an ordinary server over a market without contracts, whose plant is elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Unpack

import msgspec
from msgspec.structs import replace
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tickerplant.cluster.edge import EdgeNode
from tickerplant.cluster.messages import Asked, PlantDescription, Report, Rules, Told
from tickerplant.cluster.metrics import EDGE_ROWS
from tickerplant.cluster.remote import RemoteBackend, WaitingRequests, answer
from tickerplant.cluster.tallies import counted
from tickerplant.config.settings import EdgeSettings
from tickerplant.errors import BusError, ConfigError
from tickerplant.faults.board import FaultBoard, received
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.protocol.close_reasons import BUS_LOST, CONTROL_PLANE
from tickerplant.protocol.delivery import EVERY, policy_named
from tickerplant.protocol.limits import Limits
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.metrics import metric_families
from tickerplant.server.operations.connections import (
    ConnectionsPage,
    connection_row,
    connections_page,
)
from tickerplant.server.ports import Place
from tickerplant.server.rest import RemoteAnswer
from tickerplant.server.server import Server
from tickerplant.server.totals import Totals
from tickerplant.venue import COINM, USDM, VENUES

SERVED_BY = ("profile", "strict_routing", "limits", "venues", "fault_seed", "delivery")
"""What of the plant's description an edge is built of."""


class Served(Collector):
    """The clients of an edge: the interface `edge.EdgeClients`, and `server.Remote`.

    Args:
        settings: Where to listen.
        node: The way to the plant, after `join`.
        complaints: Take what goes wrong.
        worker: What this process is called.
        is_beside_plant: Whether it certainly runs on the machine of its plant: only then is a request
            from here one from there.
        clock: The connection clock.
        place: How the ports are opened, besides where, see `Place`.

    Raises:
        BusError: the plant is not of this version of the program.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        node: EdgeNode,
        complaints: Complaints,
        *,
        worker: str,
        is_beside_plant: bool = False,
        clock: Clock = connection_clock_ms,
        **place: Unpack[Place],
    ) -> None:
        said = self.description = node.description
        try:
            limits = msgspec.convert(said.limits, Limits)
            rules = received(said.faults)
            profile = PROFILES[said.profile]
        except (KeyError, msgspec.ValidationError, ConfigError) as error:
            raise BusError(
                f"the plant {said.name} is not of this version of the program: {error}"
            ) from None
        self.has_clock, self.has_token = said.has_clock, said.has_token
        self.running: asyncio.Task[None]
        """Runs while the plant is served, from `start` on; its exception ends the program."""
        self._node, self._worker, self._complaints = node, worker, complaints
        self._is_beside_plant = is_beside_plant
        self._waiting = WaitingRequests()
        place.setdefault("host", settings.host)
        place.setdefault("ports", {USDM.name: settings.usdm_port, COINM.name: settings.coinm_port})
        place.setdefault("trusted_proxies", settings.trusted_proxy)
        place.setdefault("public_names", settings.public_name)
        self.server = Server(
            Plant((), start_ms=0, profile=profile, strict_routing=said.strict_routing),
            venues=[venue for venue in VENUES if venue.name in said.venues],
            limits=limits,
            faults=FaultBoard(ConnectionClock(clock), said.fault_seed),
            policy=policy_named(said.delivery) or EVERY,
            remote=self,
            complaints=complaints,
            clock=clock,
            **place,
        )
        self.server.faults.replace_all(rules)
        self.server.registry.register(self)
        self.start_outage, self.end_outage = self.server.start_outage, self.server.end_outage
        self.end_streams = self.server.end_streams

    @property
    def urls(self) -> Mapping[str, str]:
        """The address of each venue, `host:port`, by venue name."""
        return self.server.urls

    @property
    def totals(self) -> Totals:
        """What was served so far."""
        return self.server.totals

    async def start(self) -> None:
        """Listen, and take the streams of the plant.

        Raises:
            ConfigError: an address or a port cannot be used; nothing stays open.
        """
        hubs = {each.venue.name: each.hub for each in self.server.endpoints}
        await self.server.start()
        # Before the first connection is accepted, and with the addresses in its first report.
        self._node.attach(hubs, clients=self, readers=self.server.congestion)
        self.running = asyncio.create_task(self._node.run())

    async def stop(self) -> None:
        """Close every connection, and leave the bus."""
        await self.server.stop()
        self.running.cancel()
        await asyncio.wait({self.running})
        await self._node.close()

    # The server's way to its plant: the interface `server.Remote`

    def backend(self, endpoint: Endpoint) -> RemoteBackend:
        """Return what decides about the connections of a port."""
        return RemoteBackend(self._node, endpoint, self._waiting)

    def answer_of(self, endpoint: Endpoint) -> RemoteAnswer:
        """Return what answers the HTTP requests of a port."""
        return partial(answer, self._node, endpoint.venue, self._is_beside_plant)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the way to the plant."""
        return metric_families(EDGE_ROWS, {(): self._node})

    # The plant's way to its clients: the interface `edge.EdgeClients`

    def follow(self, description: PlantDescription) -> None:
        """Serve another run of the plant.

        Raises:
            BusError: it has settings with which this edge cannot serve.
        """
        for endpoint in self.server.endpoints:
            endpoint.ending = None
        changed = [
            name
            for name in SERVED_BY
            if getattr(description, name) != getattr(self.description, name)
        ]
        if changed:
            self.lose_clients()
            raise BusError(
                f"the plant {description.name} was started again with other settings "
                f"({', '.join(changed)}): start this edge again"
            )

    def silent(self, venue_name: str, reasons: Mapping[str, str]) -> None:
        """Count and log the subscriptions to streams of which the plant says that they stay silent."""
        endpoint = self.server.endpoint(venue_name)
        for connection in tuple(endpoint.connections):
            names = connection.names or ()
            silent = {name: why for name, why in reasons.items() if name in names}
            if silent:
                endpoint.hub.silent.update(silent.values())
                endpoint.silent_subscriptions.add(connection.identity, silent)

    def set_faults(self, rules: Rules) -> None:
        """Let exactly the faults be on here that are on at the plant."""
        try:
            self.server.faults.replace_all(received(rules))
        except ConfigError as error:
            self._complaints.add("bus: malformed", f"! not a fault of this version: {error}")

    def lose_clients(self) -> None:
        """Close all connections at once, because there is no plant any more."""
        for connection in self.server.connections:
            connection.close(BUS_LOST)

    def report(self) -> Report:
        """Return the figures of this edge since it started."""
        server, node = self.server, self._node
        row = replace(server.node(self._worker), streams=node.wanted_count, lag_ms=node.delay_ms)
        return Report(
            subscribers=server.congestion.subscriber_count,
            is_congested=server.congestion.congested,
            opened=server.totals.connections,
            faults=dict(server.faults.counts),
            fault_hits={on.id: on.hits for on in server.faults},
            row=row,
        )

    def tell(self, asked: Asked) -> Told:
        """Return the figures that the plant asks for; close the connection that it names, if so asked."""
        endpoints, page = self.server.endpoints, None
        families = self.server.registry.collect() if asked.metrics else ()
        if asked.connections:
            page = connections_page(endpoints, asked.connections, self._worker)
        elif asked.connection:
            named = [
                (each, endpoint)
                for endpoint in endpoints
                for each in endpoint.connections
                if each.identity == asked.connection
            ]
            rows = [connection_row(*each, self._worker) for each in named]
            page = ConnectionsPage(total=0, deliveries={}, connections=rows, closed=[])
            for connection, _ in named if asked.closes else ():
                connection.close(CONTROL_PLANE)
        limiters = {each.rate_limiter: each.venue.name for each in endpoints}
        return Told(
            families=tuple(
                (
                    *(each.name, each.documentation, each.type),
                    tuple((one.name, one.labels, float(one.value)) for one in each.samples),
                )
                for each in families
            ),
            tallies={name: counted(each) for each, name in limiters.items() if asked.tallies},
            page=page,
        )
