"""The server of both venues, from bind to the last close frame."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from msgspec import Struct
from uvicorn.server import ServerState

from tickerplant.errors import ConfigError
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import GOING_AWAY, CloseReason
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server import faulty_connection
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.faults import FAULTS_PATH, faults_text
from tickerplant.server.faulty_rest import FaultyRest
from tickerplant.server.flushing import Flusher
from tickerplant.server.guard import Guard
from tickerplant.server.http import protocol_factory
from tickerplant.server.listener import BACKLOG, Listener
from tickerplant.server.metrics import PlantCollector, metrics_registry
from tickerplant.server.pages import (
    CLOCK_PATH,
    LIMITS_PATH,
    Steering,
    clock_pages,
    clock_posts,
    faults_pages,
    limits_pages,
    operations_pages,
)
from tickerplant.server.query_service import Forwarder, QueryService
from tickerplant.server.readiness import Readiness
from tickerplant.server.rest import Page, Post, Rest
from tickerplant.venue import COINM, USDM, VENUES, Venue

TICK_MS = 1_000
"""How often the deadlines of connections are checked."""
STOP_POLL_S = 0.01
LIMITS_OFF = "Limits are off: exceeding one is counted, and nothing is refused for it."


class Totals(Struct, frozen=True):
    """The totals of a server since it started."""

    messages: int
    sent_bytes: int
    connections: int


class Port(Struct, frozen=True, eq=False):
    """One listening socket and what serves it."""

    endpoint: Endpoint
    listener: Listener
    http: ServerState


class Server:
    """Serves one plant; between `start` and `stop`, `urls` has the addresses.

    Connection time comes from `clock`; market time never enters here.
    """

    def __init__(
        self,
        plant: Plant,
        *,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        venues: Collection[Venue] = VENUES,
        limits: Limits = LIMITS,
        faults: FaultInjector | None = None,
        forwarders: Mapping[str, Forwarder] | None = None,
        readiness: Readiness | None = None,
        steering: Steering | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Clock = connection_clock_ms,
        tick_ms: int = TICK_MS,
    ) -> None:
        """Prepare to serve `plant`.

        Args:
            plant: The market and its hubs.
            host: The address to listen on.
            ports: The port by venue name; 0 picks a free one, a missing venue has its default.
            venues: The venues that are served; the ports of others are not opened.
            limits: The limits, and whether they are enforced.
            faults: The faults that are injected; none if missing.
            forwarders: Answer the requests that the markets cannot, by venue name.
            readiness: The state of the source.
            steering: A source whose clock clients may read and set.
            tls: The certificate of the ports, which then accept only TLS; plain if missing.
            clock: The connection clock.
            tick_ms: How often connections are checked for pings, timeouts and age; more often where
                a limit or the time of a fault is shorter than ten times this.
        """
        self.limits = limits
        self.faults = FaultInjector() if faults is None else faults
        self.readiness = readiness or Readiness()
        self.complaints = Complaints()
        self.congestion = Congestion(limits, lambda: self.subscriber_count)
        self._plant = plant
        self._host = host
        self._clock = clock
        self.port_numbers = ports or {}
        """The port by venue name that `start` opens; a missing venue has its default."""
        lives_ms = (limits.ping_interval_ms, limits.pong_timeout_ms, limits.lifetime_ms)
        shortest_ms = min(*lives_ms, limits.message_timeout_ms, *self.faults.times_ms)
        self._tick_ms = max(1, min(tick_ms, shortest_ms // 10))
        self._tick_task: asyncio.Task[None] | None = None
        self._flusher: Flusher | None = None
        rate_limiters = {venue: RateLimiter(limits) for venue in VENUES}
        if plant.profile.shared_budget:
            rate_limiters = dict.fromkeys(VENUES, rate_limiters[VENUES[0]])
        for markets in plant.venues.values():
            markets.request_weight_per_minute = limits.request_weight_per_minute
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
                clock=clock,
            )
            for venue in VENUES
            if venue in venues
        )
        """The ports, one per venue that is served."""
        collector = PlantCollector(
            plant, self.endpoints, self.readiness, self.complaints, self.faults
        )
        self._pages: Mapping[str, Page] = {
            **operations_pages(
                self.welcome,
                self.readiness,
                metrics_registry(collector),
                plant.profile.name,
            ),
            **faults_pages(self.faults),
            **clock_pages(steering),
        }
        self._posts: Mapping[str, Post] = clock_posts(steering)
        self._tls = tls
        self._has_clock = steering is not None
        self.ports: list[Port] = []
        """The ports in the order of `endpoints`; empty before `start`."""

    @property
    def urls(self) -> dict[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return {port.endpoint.venue.name: _address(port.listener.sock) for port in self.ports}

    @property
    def schemes(self) -> tuple[str, str]:
        """The URL schemes of streams and of REST: `ws`, `http`, or with TLS `wss`, `https`."""
        return ("wss", "https") if self._tls else ("ws", "http")

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over both venues."""
        return sum(endpoint.subscriber_count for endpoint in self.endpoints)

    @property
    def connections(self) -> list[Connection]:
        """The open WebSocket connections of all ports."""
        return [each for endpoint in self.endpoints for each in endpoint.connections]

    @property
    def totals(self) -> Totals:
        """The totals so far."""
        hubs = [endpoint.hub for endpoint in self.endpoints]
        return Totals(
            messages=sum(hub.messages_sent for hub in hubs),
            sent_bytes=sum(hub.bytes_sent for hub in hubs),
            connections=sum(endpoint.counters.opened for endpoint in self.endpoints),
        )

    async def start(self) -> None:
        """Listen on the ports of both venues.

        Raises:
            ConfigError: an address or a port cannot be used; nothing stays open.
        """
        loop = asyncio.get_running_loop()
        ports = [self._port_number(endpoint.venue) for endpoint in self.endpoints]
        if ports[0] and len(ports) != len(set(ports)):
            expected = f"a port of its own: {USDM.title} is on {ports[0]} too"
            raise ConfigError(f"--{COINM.name}-port", ports[0], expected)
        try:
            for endpoint in self.endpoints:
                self.ports.append(self._open(endpoint))
        except ConfigError:
            await self.stop()
            raise
        self._flusher = Flusher(loop, (each.hub for each in self.endpoints), self.congestion)
        self._tick_task = loop.create_task(self._tick())

    async def stop(self) -> None:
        """Close every connection, wait for the grace period, and abort the rest."""
        if self._tick_task is not None:
            self._tick_task.cancel()
            self._tick_task = None
        for port in self.ports:
            port.listener.close()
        for connection in self.connections:
            connection.close(GOING_AWAY)
        # Each connection aborts itself after the grace period, so this ends.
        while self.connections:  # noqa: ASYNC110  # bounded
            await asyncio.sleep(STOP_POLL_S)
        self.faults.end()
        for endpoint in self.endpoints:
            endpoint.queries.stop()
        for port in self.ports:
            for http in tuple(port.http.connections):
                http.shutdown()
        await asyncio.sleep(0)
        self.ports.clear()

    def end_streams(self, reason: CloseReason) -> None:
        """Close the stream connections of all venues, and each new one once it is open.

        What was published before is still sent.  Requests are answered until `stop`.
        """
        for endpoint in self.endpoints:
            endpoint.end_streams(reason)

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Disconnect the subscribers of streams whose upstream is lost.

        They may reconnect and subscribe again at once, unless all of the venue is lost.  WebSocket
        API connections stay open.

        Args:
            venue_name: The venue.
            names: The streams.  None means all of the venue: stream handshakes are then answered
                503 until `end_outage`.
            reason: One line without a full stop, for handshakes and the log.
        """
        self._port(venue_name).start_outage(names, reason)

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of a venue again."""
        self._port(venue_name).end_outage()

    def _port(self, venue_name: str) -> Endpoint:
        return next(each for each in self.endpoints if each.venue.name == venue_name)

    def _open(self, endpoint: Endpoint) -> Port:
        venue = endpoint.venue
        sock = _listen(venue, self._host, self._port_number(venue))
        http = ServerState()
        shared = self._plant.profile.shared_budget
        pages = {**self._pages, **limits_pages(endpoint, shared_budget=shared)}
        guard = Guard(self._host, str(sock.getsockname()[0]))
        app = Rest(endpoint, pages, self._posts, guard)
        if self.faults.is_on:
            app = FaultyRest(endpoint, pages, self._posts, guard, faults=self.faults)
        upgraded = partial(faulty_connection.connect, faults=self.faults)
        protocols = protocol_factory(endpoint, app, http, upgraded)
        listener = Listener(endpoint, sock, protocols, self._tls)
        listener.start()
        return Port(endpoint, listener, http)

    def _port_number(self, venue: Venue) -> int:
        return self.port_numbers.get(venue.name, venue.default_port)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_ms / 1_000)
            self.faults.tick(self._clock())
            for endpoint in self.endpoints:
                endpoint.tick()
            self.congestion.close_slow()

    def welcome(self) -> str:
        """Return the text of `/`: the addresses, and what differs from the defaults."""
        ws, http = self.schemes
        lines = ["Tickerplant, a futures market-data exchange feed", ""]
        for port in self.ports:
            venue, address = port.endpoint.venue, _address(port.listener.sock)
            lines += [
                venue.title,
                f"  streams        {ws}://{address}/ws  {ws}://{address}/stream",
                f"  WebSocket API  {ws}://{address}{venue.api_path}",
                f"  REST           {http}://{address}{venue.rest_prefix}/v1/exchangeInfo",
            ]
        if not self.limits.enforced:
            lines += ["", LIMITS_OFF]
        if self.faults.is_on:
            lines += ["", faults_text(self.faults.values)]
        clock = f"  {CLOCK_PATH}" if self._has_clock else ""
        return "\n".join(
            [*lines, "", f"/healthz  /readyz  /metrics  {LIMITS_PATH}  {FAULTS_PATH}{clock}", ""]
        )


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(venue: Venue, host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: the address or the port cannot be used.
    """
    option = f"--{venue.name}-port"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            expected = f"a free port; another program listens on {host}:{port}"
            raise ConfigError(option, port, expected) from None
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise ConfigError(option, port, f"a port this user may open ({error})") from None
        raise ConfigError("--host", host, f"an address of this machine ({error})") from None
    # Accepted connections inherit it; without it, small messages wait for each other.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock
