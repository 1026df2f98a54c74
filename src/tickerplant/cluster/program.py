"""The programs of a cluster: a plant that other processes serve, an edge of one, and a worker."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO, TypeAlias, cast

import msgspec

from tickerplant import logs
from tickerplant.cluster.answers import EdgeAnswers
from tickerplant.cluster.edge import EdgeNode
from tickerplant.cluster.messages import PlantDescription
from tickerplant.cluster.nats import open_bus
from tickerplant.cluster.nats_server import NatsServer
from tickerplant.cluster.options import BusSettings, bus_settings, uses_bus
from tickerplant.cluster.plant import PlantNode
from tickerplant.cluster.served import Served
from tickerplant.cluster.workers import (
    Order,
    Progress,
    SharedPorts,
    Workers,
    WorkerTask,
    line_of,
)
from tickerplant.config.settings import EdgeSettings, ListenSettings, ServeSettings
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.progress import StatusLine
from tickerplant.protocol.close_reasons import GOING_AWAY
from tickerplant.protocol.limits import LIMITS
from tickerplant.received import MAX_LINE_BYTES
from tickerplant.server import event_loop
from tickerplant.server.server import Server
from tickerplant.server.welcome import LIMITS_OFF, ONLY_HERE, is_reached_from_elsewhere
from tickerplant.server.window import window
from tickerplant.sources.source import Readers
from tickerplant.startup.launch import command_of
from tickerplant.startup.process import (
    allow_many_connections,
    either,
    freeze_objects,
    interruption,
    unless,
)
from tickerplant.startup.ready import Offer, announce, totals_lines
from tickerplant.startup.tls import follow_hangups, tls_of
from tickerplant.venue import COINM, USDM, VENUES

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate

WORKER = "tickerplant.cluster.program"
"""The module whose `main` is that of a worker."""
PROGRESS_S = 1.0
"""How often the parent is told what was served."""
FAILED = 1
"""Exit status when serving ended by an unexpected error."""
STOP_MARGIN_S = 3.0
"""How much longer than the grace of its connections a worker may take to end."""
PASSED_ON = (
    *("host", "trusted_proxy", "public_name", "plant", "bus_grace_ms"),
    *("log_format", "log_level"),
)
"""Settings of a program that are those of its workers."""

Echo: TypeAlias = Callable[[str], object]


def _workers_of(
    settings: ListenSettings,
    bus: BusSettings,
    venues: Collection[str],
    tls: ServedCertificate | None,
    close_grace_ms: int,
    name: str,
) -> Workers:
    numbers = {USDM.name: settings.usdm_port, COINM.name: settings.coinm_port}
    fields = {name: getattr(settings, name) for name in PASSED_ON}
    fields |= {"tls_cert": tls.path if tls else None, "tls_key": tls.key if tls else None}
    return Workers(
        command_of(WORKER, "worker", settings.plant),
        fields,
        bus,
        name,
        SharedPorts(settings.host, numbers, [each for each in VENUES if each.name in venues]),
        settings.workers,
        stop_timeout_s=close_grace_ms / 1_000 + STOP_MARGIN_S,
    )


# A plant that others serve


class Cluster:
    """The processes that serve the clients of a plant, from `start` to `stop`.

    With `--workers` the ports belong to workers, and this process has the market alone; without, it
    serves its own ports as ever.  Either way edges on other hosts may join.

    `server` answers the questions of edges; with workers its ports are not opened.

    Raises:
        ConfigError: a setting of the bus cannot be used.
    """

    def __init__(
        self,
        settings: ServeSettings,
        plant: Plant,
        description: PlantDescription,
        server: Server,
        tls: ServedCertificate | None,
    ) -> None:
        self.failure: asyncio.Task[None]
        """Runs while the plant is on the bus; its exception ends the program."""
        self._server, self._workers, self._stack = server, None, AsyncExitStack()
        bus = bus_settings(settings)
        self._nats = None if settings.bus else NatsServer(server.complaints, bus)
        self._node = PlantNode(
            partial(open_bus, bus, f"plant {settings.plant} {os.getpid()}", server.complaints),
            plant,
            description,
            prefix=bus.prefix,
            complaints=server.complaints,
            is_alone=self._nats is not None,
            local=server.congestion,
        )
        self.readers: Readers = self._node.readers
        """All connections, those of edges included."""
        EdgeAnswers(server, self._node, bus)
        if settings.workers:
            grace_ms = server.limits.close_grace_ms
            self._workers = _workers_of(settings, bus, description.venues, tls, grace_ms, "")
            if self._nats is not None:
                self._nats.on_restart = self._workers.tell_bus

    async def start(self) -> None:
        """Join the bus, and listen on the ports.

        Raises:
            ConfigError: an address or a port cannot be used.
            BusError: the bus or the plant's name on it cannot be used.
            MissingLibraryError: the server of the bus is not installed.
            TickerplantError: a worker cannot serve.
        """
        async with AsyncExitStack() as stack:
            if self._nats is not None:
                await self._nats.start()
                stack.push_async_callback(self._nats.stop)
            stack.push_async_callback(self._node.close)
            stack.push_async_callback(self._server.stop)
            await self._server.start()
            await self._node.start()
            if self._workers is not None:
                stack.push_async_callback(self._workers.stop)
            self.failure = asyncio.create_task(self._node.keep())
            stack.push_async_callback(self._end_streams)
            if self._workers is not None:
                await self._workers.start()
                self._server.shared_urls = self._workers.urls
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Close every connection, leave the bus, and end what was started."""
        await self._stack.aclose()

    async def _end_streams(self) -> None:
        self._node.end_streams(GOING_AWAY)
        self.failure.cancel()
        await asyncio.wait({self.failure})


# An edge


def _edge_node(
    settings: ListenSettings, bus: BusSettings, complaints: Complaints, worker: str
) -> EdgeNode:
    """Return an edge that has not joined; `worker` is what this process is called."""
    identity = f"{worker} {os.getpid()} {secrets.token_hex(4)}"
    return EdgeNode(
        partial(open_bus, bus, identity, complaints),
        settings.plant,
        identity=identity,
        prefix=bus.prefix,
        grace_ms=settings.bus_grace_ms,
        complaints=complaints,
    )


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
    name, bus = socket.gethostname(), bus_settings(settings)
    node = _edge_node(settings, bus, complaints, name)
    said = await unless(interrupted, node.join())
    if said is None:
        echo(f"Nothing was served: the plant {settings.plant} was not found.")
        return 0
    started_s = time.monotonic()
    serves: Served | Workers
    if settings.workers:
        await node.close()
        grace_ms = int(said.limits.get("close_grace_ms", LIMITS.close_grace_ms))
        serves = _workers_of(settings, bus, said.venues, tls, grace_ms, name)
    else:
        serves = Served(settings, node, complaints, worker=name, tls=tls)
    await serves.start()
    follow_hangups(tls, settings)
    try:
        announce(_offer(serves, settings.host, said, tls), echo, as_json=settings.json)
        freeze_objects()
        await either(interrupted, serves.running)
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
    serves: Served | Workers,
    hosts: Sequence[str],
    said: PlantDescription,
    tls: ServedCertificate | None,
) -> Offer:
    notes = [] if said.limits.get("enforced", True) else [LIMITS_OFF]
    if not said.has_token and is_reached_from_elsewhere(serves.urls):
        notes.append(ONLY_HERE)
    return Offer(
        urls=serves.urls,
        hosts=hosts,
        schemes=("wss", "https") if tls else ("ws", "http"),
        profile=said.profile,
        symbol_counts=said.symbol_counts,
        examples=said.examples,
        origins=dict.fromkeys(said.venues, f"  plant {said.name} on {said.host}"),
        notes=notes,
        authority=tls.authority if tls else "",
        has_window=bool(window().files),
    )


# A worker: an edge at ports that it shares, until told to stop


def main() -> None:
    """Serve as the first line of standard input says."""
    os.set_blocking(sys.stdout.fileno(), False)  # a parent that stands still does not stop us
    status = 0
    try:
        event_loop.run(_work())
    except Exception as error:  # noqa: BLE001  # the parent says what it is
        is_ours = isinstance(error, TickerplantError)
        _say(Progress(refused=str(error) if is_ours else f"{type(error).__name__}: {error}"))
        if not is_ours:
            logs.logger().exception("! serving failed")
        status = 2
    sys.exit(status)


async def _work() -> None:
    orders = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    line = await orders.readline()
    if not line:
        return
    task = msgspec.json.decode(line, type=WorkerTask)
    settings = msgspec.convert(task.settings, EdgeSettings)
    status_line = StatusLine()  # the parent may show one on the same terminal
    logs.configure(
        settings.log_format,
        settings.log_level,
        cast("TextIO", status_line) if status_line.is_terminal else None,
        worker=task.number,
    )
    complaints, interrupted = Complaints(), interruption()
    event_loop.report_faults(complaints)
    ordered = asyncio.create_task(_is_told_to_stop(orders, task.bus, interrupted))
    node = _edge_node(settings, task.bus, complaints, task.name)
    if await unless(interrupted, node.join()) is None:
        return
    tls = tls_of(settings)
    served = Served(
        settings,
        node,
        complaints,
        worker=task.name,
        is_beside_plant=bool(task.bus.process),  # the bus is the program's own, so the plant is too
        tls=tls,
        is_shared=True,
    )
    await served.start()
    follow_hangups(tls, settings)
    telling = asyncio.create_task(_tell(served))
    try:
        freeze_objects()
        await either(interrupted, served.running)
        if ordered.done() and not ordered.result():  # the parent was killed
            served.lose_clients()
    finally:
        telling.cancel()
        await served.stop()
        _say(Progress(served.totals))


async def _is_told_to_stop(
    orders: asyncio.StreamReader, bus: BusSettings, interrupted: asyncio.Future[None]
) -> bool:
    """Interrupt when the parent says so or has ended; return whether it has said so.

    Meanwhile `bus` is kept as it is reached.
    """
    is_told = False
    while not is_told and (line := await orders.readline()):
        with suppress(msgspec.DecodeError):
            order = msgspec.json.decode(line, type=Order)
            is_told = order.bus is None
            for name in bus.__struct_fields__ if order.bus else ():
                setattr(bus, name, getattr(order.bus, name))
    if not interrupted.done():
        interrupted.set_result(None)
    return is_told


async def _tell(served: Served) -> None:
    """Tell the parent at once, and then regularly, what was served."""
    while True:
        _say(Progress(served.totals))
        await asyncio.sleep(PROGRESS_S)


def _say(progress: Progress) -> None:
    """Write a line to the parent, if there is room and a parent."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), line_of(progress))
