"""Both venues on their ports, from bind to the last close frame."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from msgspec import Struct
from uvicorn.server import ServerState

from tickerplant.errors import ConfigError
from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import GOING_AWAY
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server import faulty_connection
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.event_loop import Clock, connection_clock_ms
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.faults import FAULTS_PATH, faults_text
from tickerplant.server.faulty_rest import FaultyRest
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
"""How often the deadlines of connections are looked at."""
STOP_POLL_S = 0.01
LIMITS_OFF = "Limits are off: what goes beyond one is counted, and nothing is refused for it."


class Totals(Struct, frozen=True):
    """What a server has done since it started."""

    messages: int
    sent_bytes: int
    connections: int


class Port(Struct, frozen=True, eq=False):
    """One listening socket and what serves it."""

    endpoint: Endpoint
    listener: Listener
    http: ServerState


class Server:
    """Serves one plant; between `start` and `stop`, `urls` says where.

    Time for connections comes from `clock`; market time never enters here.
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
            host: Address to listen on.
            ports: Port by venue name; 0 picks a free one, a missing venue has its default.
            venues: Those that are served; on the ports of others nobody listens.
            limits: The protocol's numbers, and whether they are enforced.
            faults: What is done to clients on demand; nothing if missing.
            forwarders: Who is asked what the markets cannot answer, by venue name; nobody if missing.
            readiness: What the source says of itself.
            steering: A source whose clock clients may see and set; there is no page of it if missing.
            tls: The certificate of the ports, which speak only TLS then; plain if missing.
            clock: The connection clock.
            tick_ms: How often connections are looked at for pings, timeouts and old age; more often
                where a limit or the time of a fault is shorter than ten times that.
        """
        self.limits = limits
        self.faults = FaultInjector() if faults is None else faults
        self.readiness = readiness or Readiness()
        self.complaints = Complaints()
        self.congestion = Congestion(limits, lambda: self.subscriber_count)
        self._plant = plant
        self._host = host
        self._clock = clock
        self._ports_wanted = ports or {}
        lives_ms = (limits.ping_interval_ms, limits.pong_timeout_ms, limits.lifetime_ms)
        shortest_ms = min(*lives_ms, limits.message_timeout_ms, *self.faults.times_ms)
        self._tick_ms = max(1, min(tick_ms, shortest_ms // 10))
        self._tick_task: asyncio.Task[None] | None = None
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
                self._welcome,
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
        """What listens, in the order of `endpoints`; empty before `start`."""

    @property
    def urls(self) -> dict[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return {port.endpoint.venue.name: _address(port.listener.sock) for port in self.ports}

    @property
    def schemes(self) -> tuple[str, str]:
        """How addresses of streams and of REST begin: `ws`, `http`, or with TLS `wss`, `https`."""
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
        """What has been done so far."""
        hubs = [endpoint.hub for endpoint in self.endpoints]
        return Totals(
            messages=sum(hub.messages_sent for hub in hubs),
            sent_bytes=sum(hub.bytes_sent for hub in hubs),
            connections=sum(endpoint.counters.opened for endpoint in self.endpoints),
        )

    async def start(self) -> None:
        """Listen on the ports of both venues.

        Raises:
            ConfigError: an address or a port cannot be used; nothing is open then.
        """
        loop = asyncio.get_running_loop()
        ports = [self._port_wanted(endpoint.venue) for endpoint in self.endpoints]
        if ports[0] and len(ports) != len(set(ports)):
            expected = f"a port of its own: {USDM.title} is on {ports[0]} too"
            raise ConfigError(f"--{COINM.name}-port", ports[0], expected)
        try:
            for endpoint in self.endpoints:
                self.ports.append(self._open(endpoint))
        except ConfigError:
            await self.stop()
            raise
        for endpoint in self.endpoints:
            endpoint.hub.wake = self._flush_soon(loop, endpoint.hub)
        self._tick_task = loop.create_task(self._tick())

    async def stop(self) -> None:
        """Close every connection with the reason, wait as long as they may take, and cut the rest."""
        if self._tick_task is not None:
            self._tick_task.cancel()
            self._tick_task = None
        for port in self.ports:
            port.listener.close()
        for connection in self.connections:
            connection.close(GOING_AWAY)
        # Each connection cuts itself after the grace period, so this ends.
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

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Let clients know that the upstream of some streams is lost, by closing who hears them.

        Clients that come back at once may subscribe again, unless the whole venue is lost.
        Connections for questions stay open.

        Args:
            venue_name: Which port.
            names: The streams; None: all of the venue, and handshakes for streams are answered 503
                until `end_outage`.
            reason: One line without a full stop, for handshakes and the log.
        """
        self._port(venue_name).start_outage(names, reason)

    def end_outage(self, venue_name: str) -> None:
        """Take handshakes for streams of a venue again."""
        self._port(venue_name).end_outage()

    def _port(self, venue_name: str) -> Endpoint:
        return next(each for each in self.endpoints if each.venue.name == venue_name)

    def _open(self, endpoint: Endpoint) -> Port:
        venue = endpoint.venue
        sock = _listen(venue, self._host, self._port_wanted(venue))
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

    def _port_wanted(self, venue: Venue) -> int:
        return self._ports_wanted.get(venue.name, venue.default_port)

    def _flush_soon(self, loop: asyncio.AbstractEventLoop, hub: Hub) -> Callable[[], None]:
        """Return what schedules one flush of `hub` for the end of this turn of the loop."""

        def flush() -> None:
            hub.flush()
            if self.congestion.congested:
                self.congestion.close_slow()

        def wake() -> None:
            loop.call_soon(flush)

        return wake

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_ms / 1_000)
            self.faults.tick(self._clock())
            for endpoint in self.endpoints:
                endpoint.tick()
            self.congestion.close_slow()

    def _welcome(self) -> str:
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
