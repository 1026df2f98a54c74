"""Serves the clients of a plant that is elsewhere: `tickerplant edge`, and what its workers share."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Sequence

from msgspec import Struct

from tickerplant import logs
from tickerplant.bus.nodes import PlantDescription
from tickerplant.cluster.connection import BusConnection, BusSettings, end
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.config.settings import EdgeSettings, ListenSettings
from tickerplant.edge.server import EdgeServer
from tickerplant.errors import BusError, ConfigError, TickerplantError
from tickerplant.logs import Complaints
from tickerplant.protocol.limits import LIMITS
from tickerplant.server import event_loop
from tickerplant.server.ports import Sockets
from tickerplant.server.welcome import LIMITS_OFF, ONLY_HERE, is_reached_from_elsewhere
from tickerplant.server.window import window
from tickerplant.serving.bus_options import uses_bus
from tickerplant.serving.members import bus_settings, workers_of
from tickerplant.serving.process import (
    allow_many_connections,
    freeze_objects,
    interruption,
    unless,
)
from tickerplant.serving.ready import Offer, announce, totals_lines
from tickerplant.serving.run import FAILED, Echo
from tickerplant.serving.tls import Tls, follow_hangups, tls_of
from tickerplant.serving.workers import Workers
from tickerplant.venue import COINM, USDM, VENUES

RETRY_S = 1.0
"""How long to wait before the bus and the plant are looked for again."""


class Joined(Struct, frozen=True):
    """The way to a plant that was found."""

    bus: BusConnection
    node: EdgeNode
    description: PlantDescription

    async def close(self) -> None:
        """Leave the bus."""
        await self.node.close()
        await self.bus.close()


async def join(
    settings: ListenSettings, access: BusSettings, complaints: Complaints, worker: str
) -> Joined:
    """Return the way to the plant that is named; wait for the bus and for the plant.

    Args:
        settings: The settings of the program.
        access: How the bus is reached.
        complaints: Take what goes wrong on the bus.
        worker: What this process is called.

    Raises:
        BusError: waiting cannot help: the bus refuses us, or the plant is of another version.
    """
    identity = f"{worker} {os.getpid()} {secrets.token_hex(4)}"
    said = ""
    while True:
        bus: BusConnection | None = None
        try:
            bus = await BusConnection.open(access, identity=identity, complaints=complaints)
            node = EdgeNode(
                bus,
                settings.plant,
                identity=identity,
                grace_ms=settings.bus_grace_ms,
                complaints=complaints,
            )
            return Joined(bus, node, await node.hello())
        except BaseException as error:
            if bus is not None:
                await bus.close()
            if not (isinstance(error, BusError) and error.may_pass):
                raise
            if said != str(error):
                said = str(error)
                logs.logger().warning(f"! waiting for the plant {settings.plant}: {said}")
        await asyncio.sleep(RETRY_S)


class Edge(EdgeServer):
    """Serves clients in this process, and is on the bus, from `start` to `stop`.

    Args:
        settings: The settings of the program.
        joined: The way to the plant.
        complaints: Take what goes wrong.
        tls: The certificate of the ports.
        sockets: The sockets of a worker; None opens the ports of the settings.
        worker: What this process is called.
        is_beside_plant: Whether it certainly runs on the machine of its plant.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        joined: Joined,
        complaints: Complaints,
        tls: Tls | None,
        *,
        sockets: Sockets | None = None,
        worker: str,
        is_beside_plant: bool = False,
    ) -> None:
        super().__init__(
            joined.node,
            joined.description,
            host=settings.host,
            ports={USDM.name: settings.usdm_port, COINM.name: settings.coinm_port},
            sockets=sockets,
            tls=tls.certificate if tls else None,
            trusted_proxies=settings.trusted_proxy,
            public_names=settings.public_name,
            is_beside_plant=is_beside_plant,
            worker=worker,
            complaints=complaints,
        )
        self.running: asyncio.Task[None]
        """Runs while the plant is served; its exception ends the program."""
        self._joined = joined

    async def start(self) -> None:
        """Listen on the ports.

        Raises:
            ConfigError: an address or a port cannot be used.
        """
        await super().start()
        self.running = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Close every connection, and leave the bus."""
        await super().stop()
        await end(self.running)
        await self._joined.close()


def edge(settings: EdgeSettings, echo: Echo) -> int:
    """Serve the clients of a plant on a bus until interrupted; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        BusError: the bus refuses us, or the plant is of another version.
    """
    logs.configure(settings.log_format, settings.log_level)
    if not settings.bus:
        expected = "the NATS server of the plant, such as nats://10.0.0.1:4222"
        raise ConfigError("--bus", None, expected)
    uses_bus(settings)
    return event_loop.run(_edge(settings, echo))


async def _edge(settings: EdgeSettings, echo: Echo) -> int:
    complaints, tls, interrupted = Complaints(), tls_of(settings), interruption()
    event_loop.report_faults(complaints)
    allow_many_connections()
    name = socket.gethostname()
    access = bus_settings(settings)
    joined = await unless(interrupted, join(settings, access, complaints, name))
    if joined is None:
        echo(f"Nothing was served: the plant {settings.plant} was not found.")
        return 0
    started_s, description = time.monotonic(), joined.description
    serves: Edge | Workers
    if settings.workers:
        await joined.bus.close()
        venues = [venue for venue in VENUES if venue.name in description.venues]
        grace_ms = int(description.limits.get("close_grace_ms", LIMITS.close_grace_ms))
        serves = workers_of(settings, access, venues, tls, grace_ms, name)
    else:
        serves = Edge(settings, joined, complaints, tls, worker=name)
    await serves.start()
    follow_hangups(tls, settings)
    try:
        announce(_offer(serves, settings.host, description, tls), echo, as_json=settings.json)
        freeze_objects()
        await asyncio.wait({serves.running, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if serves.running.done():
            serves.running.result()
    except Exception as error:
        if isinstance(error, TickerplantError):
            raise
        logs.logger().exception("! serving failed")
        return FAILED
    finally:
        ended = "interrupted" if interrupted.done() else "it failed"
        await serves.stop()
        seconds = time.monotonic() - started_s
        for line in totals_lines(serves.totals, None, seconds, ended, as_json=settings.json):
            echo(line)
    return 0


def _offer(
    serves: Edge | Workers, hosts: Sequence[str], description: PlantDescription, tls: Tls | None
) -> Offer:
    """Return what is served, and where."""
    notes = [] if description.limits.get("enforced", True) else [LIMITS_OFF]
    if not description.has_token and is_reached_from_elsewhere(serves.urls):
        notes.append(ONLY_HERE)
    place = f"  plant {description.name} on {description.host}"
    return Offer(
        urls=serves.urls,
        hosts=hosts,
        schemes=("wss", "https") if tls else ("ws", "http"),
        profile=description.profile,
        symbol_counts=description.symbol_counts,
        examples=description.examples,
        origins=dict.fromkeys(description.venues, place),
        notes=notes,
        authority=tls.authority if tls else "",
        has_window=bool(window().files),
    )
