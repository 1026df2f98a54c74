"""A plant on a bus: what `serve` uses in the place of a server when several processes serve clients.

With `--workers` the ports belong to workers, and this process has the market alone; without, it serves
its own ports as ever.  Either way edges on other hosts may join.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterable, Mapping

import msgspec

from tickerplant.bus.nodes import PlantDescription
from tickerplant.cluster.connection import BusConnection, end
from tickerplant.cluster.nats_server import NatsServer
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.config.settings import ServeSettings
from tickerplant.edge.answers import EdgeAnswers
from tickerplant.faults.board import passed_on
from tickerplant.protocol.close_reasons import GOING_AWAY, CloseReason
from tickerplant.server.ports import Totals
from tickerplant.server.readiness import Readiness
from tickerplant.server.server import Server
from tickerplant.serving.members import bus_settings, workers_of
from tickerplant.serving.ready import examples_of, symbol_counts_of
from tickerplant.serving.service import Service
from tickerplant.serving.tls import Tls
from tickerplant.serving.workers import Workers
from tickerplant.sources.source import Readers
from tickerplant.venue import VENUES


class BusFront:
    """Serves the clients of a plant in several processes, as a `Server` does in one.

    Args:
        settings: The settings of the program.
        service: The plant, and its source.
        server: Answers the questions of edges; with workers its ports are not opened.
        tls: The certificate of the ports.
    """

    def __init__(
        self, settings: ServeSettings, service: Service, server: Server, tls: Tls | None
    ) -> None:
        self.readiness: Readiness = server.readiness
        self.failure: asyncio.Task[None]
        """Runs while the plant is on the bus; its exception ends the program."""
        self._settings = settings
        self._service = service
        self._server = server
        self._tls = tls
        self._nats: NatsServer | None = None
        self._bus: BusConnection | None = None
        self._node: PlantNode | None = None
        self._answers: EdgeAnswers | None = None
        self._workers: Workers | None = None

    @property
    def congestion(self) -> Readers:
        """All connections, those of edges included."""
        return self._joined.readers

    @property
    def urls(self) -> Mapping[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return self._server.urls if self._workers is None else self._workers.urls

    @property
    def schemes(self) -> tuple[str, str]:
        """The URL schemes of streams and of REST."""
        return ("wss", "https") if self._tls else ("ws", "http")

    @property
    def totals(self) -> Totals:
        """What this program and all edges have served so far."""
        return self._server.totals if self._answers is None else self._answers.totals

    @property
    def _joined(self) -> PlantNode:
        if self._node is None:
            raise RuntimeError("the plant is not on the bus before start()")
        return self._node

    async def start(self) -> None:
        """Join the bus, and listen on the ports.

        Raises:
            ConfigError: an address or a port cannot be used.
            BusError: the bus or the plant's name on it cannot be used.
            MissingLibraryError: the server of the bus is not installed.
            TickerplantError: a worker cannot serve.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings, complaints = self._settings, self._server.complaints
        bus = bus_settings(settings)
        if not settings.bus:
            self._nats = NatsServer(complaints, prefix=bus.prefix)
            bus = self._nats.settings
            await self._nats.start()
        identity = f"plant {settings.plant} {os.getpid()}"
        self._bus = await BusConnection.open(bus, identity=identity, complaints=complaints)
        await self._server.start()
        node = PlantNode(
            self._bus,
            self._service.plant,
            self._description(),
            is_standby=self._service.is_standby,
            local=None if settings.workers else self._server.congestion,
        )
        self._answers = EdgeAnswers(self._server, node, self._bus)
        await node.start()
        self._node = node
        node.succession.on_role = self.readiness.hold
        self.readiness.hold(node.succession.waits_for)
        self.failure = asyncio.create_task(node.run())
        if settings.workers:
            grace_ms = self._server.limits.close_grace_ms
            venues = [endpoint.venue for endpoint in self._server.endpoints]
            self._workers = workers_of(settings, bus, venues, self._tls, grace_ms, "")
            if self._nats is not None:
                self._nats.on_restart = self._workers.tell_bus
            await self._workers.start()

    def _description(self) -> PlantDescription:
        service, server, settings = self._service, self._server, self._settings
        origins = service.origins or dict.fromkeys(VENUES, "")
        return PlantDescription(
            name=settings.plant,
            epoch=secrets.token_hex(8),
            profile=service.plant.profile.name,
            strict_routing=settings.routing == "strict",
            accepts_unknown=service.origin == "relay",
            limits=msgspec.structs.asdict(server.limits),
            venues=tuple(endpoint.venue.name for endpoint in server.endpoints),
            origin=service.origin,
            origins={venue.name: words for venue, words in origins.items()},
            faults=passed_on(server.faults),
            fault_seed=settings.fault_seed,
            can_be_taken_over=service.origin == "relay",
            has_clock=service.steering is not None,
            has_token=server.plane.token.is_needed,
            delivery=settings.delivery,
            host=socket.gethostname(),
            symbol_counts=symbol_counts_of(service.plant),
            examples=examples_of(service.plant),
        )

    async def stop(self) -> None:
        """Close every connection, leave the bus, and end what was started."""
        if self._node is not None:
            self._node.go(GOING_AWAY)
            await end(self.failure)
            await self._node.retire()  # a standby goes on at once
        if self._workers is not None:
            await self._workers.stop()
        await self._server.stop()
        if self._node is not None:
            await self._node.close()
        if self._bus is not None:
            await self._bus.close()
        if self._nats is not None:
            await self._nats.stop()

    def end_streams(self, reason: CloseReason) -> None:
        """Close the stream connections of all venues, and each new one once it is open."""
        self._server.end_streams(reason)
        self._joined.end_streams(reason)

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Disconnect the subscribers of streams that are lost; see `sources.source.Clients`."""
        lost = None if names is None else tuple(names)
        self._server.start_outage(venue_name, lost, reason)
        self._joined.start_outage(venue_name, lost, reason)

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of a venue again."""
        self._server.end_outage(venue_name)
        self._joined.end_outage(venue_name)
