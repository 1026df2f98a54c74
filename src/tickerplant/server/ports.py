"""The ports of a server, from bind to the last close frame: whatever answers what arrives there."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypedDict

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.logs import logger
from tickerplant.protocol.close_reasons import GOING_AWAY
from tickerplant.readiness import CLOCK_STEP_MS
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.faults.runner import FaultRunner
from tickerplant.server.flushing import Flusher
from tickerplant.server.freed_memory import FreedMemory
from tickerplant.server.guard import Guard
from tickerplant.server.http import Application, Http
from tickerplant.server.listener import BACKLOG, Listener, ProtocolFactory
from tickerplant.server.proxies import TrustedProxies
from tickerplant.server.welcome import ANY_IPV4, ANY_IPV6
from tickerplant.venue import COINM, USDM, Venue

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate

TICK_MS = 1_000
"""How often the deadlines of connections are checked."""
STOP_POLL_S = 0.01
MAX_KERNEL_BYTES = 1 << 17
"""Data of a connection that the system takes beyond what is on its way to the client."""


class Listening(Protocol):
    """An address that is bound; connections to it get a protocol from `start` to `close`."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, until it is closed."""

    def start(self, protocol_factory: ProtocolFactory) -> None:
        """Start accepting connections."""

    def close(self) -> None:
        """Accept no more; open connections stay."""


Hosts: TypeAlias = str | Sequence[str]
"""An address or a name to listen on, or several."""
Listen: TypeAlias = Callable[[Endpoint, str, int], Listening]
"""Binds the host and the port of an endpoint; 0 picks a free port."""


class Port(Struct, frozen=True, eq=False):
    """One bound address and what serves it."""

    endpoint: Endpoint
    listener: Listening
    http: Http
    address: str
    """`host:port`; known until the last connection has ended, after the socket is closed too."""


class Place(TypedDict, total=False):
    """Where and how a server has its ports."""

    host: Hosts
    """The address to listen on, or several; `::` is all of IPv4 too.  127.0.0.1 if missing."""
    ports: Mapping[str, int]
    """The port by venue name; 0 picks a free one, a missing venue has its default."""
    is_shared: bool
    """Whether other processes may listen at the same ports (SO_REUSEPORT); none does if missing."""
    listen: Listen | None
    """Binds the addresses; with sockets of the system if missing."""
    listens: bool
    """Whether any port is opened; so if missing.  If not, others ask in the name of their clients:
    frames that wait are still flushed, and faults that wait still end."""
    tls: ServedCertificate | None
    """The certificate of the ports, which then accept only TLS; plain if missing."""
    trusted_proxies: Iterable[str]
    """Addresses and networks of proxies whose word about the address of a client counts."""
    public_names: Iterable[str]
    """Names by which others reach the ports, as behind a proxy."""
    tick_ms: int
    """How often connections are checked for pings, timeouts and age; more often where a limit is
    shorter than ten times this."""


class Ports:
    """What serves at ports; between `start` and `stop`, `urls` has their addresses."""

    def __init__(self, endpoints: Sequence[Endpoint], place: Place, faults: FaultRunner) -> None:
        self.endpoints = tuple(endpoints)
        """The ports, one per venue that is served."""
        self.port_numbers = place.get("ports", {})
        """The port by venue name that `start` opens; a missing venue has its default."""
        self.ports: list[Port] = []
        """The open ports in the order of `endpoints`."""
        self._hosts = hosts_of(place.get("host", "127.0.0.1"))
        self._fault_runner = faults
        self.congestion, self.limits = endpoints[0].congestion, endpoints[0].limits
        self._tls = place.get("tls")
        self._proxies = TrustedProxies(place.get("trusted_proxies", ()))
        self._public_names = tuple(place.get("public_names", ()))
        limits = self.limits
        lives_ms = (limits.ping_interval_ms, limits.pong_timeout_ms, limits.lifetime_ms)
        shortest_ms = min(*lives_ms, limits.message_timeout_ms, limits.max_unread_ms)
        self._tick_ms = max(1, min(place.get("tick_ms", TICK_MS), shortest_ms // 10))
        self._tick_task: asyncio.Task[None] | None = None
        self.flusher = Flusher([each.hub for each in endpoints], self.congestion)
        self._freed_memory = FreedMemory()
        self.clock_offset_ms = self.clock_set_ms()
        """How far the clock of the machine was set, as far as the log knows."""
        self._listens = place.get("listens", True)
        self._is_shared = place.get("is_shared", False)
        self._listen = place.get("listen") or self._listen_on_sockets

    @property
    def urls(self) -> dict[str, str]:
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        return {port.endpoint.venue.name: port.address for port in self.ports}

    @property
    def schemes(self) -> tuple[str, str]:
        """The URL schemes of streams and of REST: `ws`, `http`, or with TLS `wss`, `https`."""
        return ("wss", "https") if self._tls else ("ws", "http")

    @property
    def certificate(self) -> ServedCertificate | None:
        """The certificate of the ports; None without TLS, or without ports."""
        return self._tls if self._listens else None

    @property
    def connections(self) -> list[Connection]:
        """The open WebSocket connections of all ports."""
        return [each for endpoint in self.endpoints for each in endpoint.connections]

    def answers(self, endpoint: Endpoint) -> Application:
        """Return what answers the HTTP requests of a port."""
        raise NotImplementedError

    def clock_set_ms(self) -> int:
        """Return how far the clock of the machine was set since the connection clock began."""
        first = self.endpoints[0]
        return first.wall_clock() - first.machine_clock()

    def _see_clock(self) -> None:
        """Log by how much the clock of the machine was set since the last tick."""
        offset_ms = self.clock_set_ms()
        step_ms = offset_ms - self.clock_offset_ms
        complaints = self.endpoints[0].complaints
        if abs(step_ms) >= CLOCK_STEP_MS:
            self.clock_offset_ms = offset_ms
            complaints.count("clock of the machine", 1)
            if complaints.has_room("steps of the clock"):
                way = "forward" if step_ms > 0 else "back"
                text = f"! the clock of the machine was set {way} by {abs(step_ms) / 1_000:.3f} s"
                logger().warning(text)

    async def start(self) -> None:
        """Listen on the port of each venue.

        Raises:
            ConfigError: an address or a port cannot be used; nothing stays open.
        """
        loop = asyncio.get_running_loop()
        if self._listens:
            refuse_equal([self._number(endpoint.venue) for endpoint in self.endpoints])
        if self._listens:
            try:
                for endpoint in self.endpoints:
                    self.ports.append(self._open(endpoint))
            except BaseException:
                await self.stop()
                raise
        for endpoint in self.endpoints:
            endpoint.hub.now_ns = time.time_ns
        self.flusher.start(loop)
        self._tick_task = loop.create_task(self._tick())

    async def stop(self) -> None:
        """Close every connection, wait for the grace period, and abort the rest."""
        if self._tick_task is not None:
            self._tick_task.cancel()
            self._tick_task = None
        for port in self.ports:
            port.listener.close()
        await asyncio.sleep(0)  # what was accepted gets its protocol, and is closed with the others
        for connection in self.connections:
            connection.close(GOING_AWAY)
        # Each connection aborts itself after the grace period, so this ends.
        while self.connections:  # noqa: ASYNC110  # bounded
            await asyncio.sleep(STOP_POLL_S)
        self._fault_runner.end()
        for endpoint in self.endpoints:
            endpoint.queries.stop()
        for port in self.ports:
            for http in port.http.connections:
                http.shutdown()
        await asyncio.sleep(0)
        self.ports.clear()

    def _open(self, endpoint: Endpoint) -> Port:
        listener = self._listen(endpoint, self._hosts[0], self._number(endpoint.venue))
        host, number = listener.address
        endpoint.guard = Guard(
            self._hosts[0],
            host,
            self._proxies,
            scheme=self.schemes[1],
            public_names=(*self._hosts, *self._public_names),
        )
        http = Http(endpoint, self.answers(endpoint), self._proxies)
        listener.start(http.arrival)
        return Port(endpoint, listener, http, address_text(host, number))

    def _listen_on_sockets(self, endpoint: Endpoint, _host: str, number: int) -> Listener:
        venue = endpoint.venue
        sockets = listening_sockets(venue, self._hosts, number, is_shared=self._is_shared)
        return Listener(endpoint, sockets, self._tls)

    def _number(self, venue: Venue) -> int:
        return self.port_numbers.get(venue.name, venue.default_port)

    async def _tick(self) -> None:
        time_s = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self._tick_ms / 1_000)
            self._fault_runner.tick()
            self._see_clock()
            for endpoint in self.endpoints:
                for _ in endpoint.tick():
                    await asyncio.sleep(0)
            self.congestion.close_slow()
            self._freed_memory.tick(len(self.connections), time_s())
            if self._tls is not None and self.ports:
                self._tls.look(time_s())


def address_text(host: str, port: int) -> str:
    """Return an address as `host:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refuse_equal(numbers: Sequence[int]) -> None:
    """Do nothing if the ports of the venues differ, or are to be picked.

    Raises:
        ConfigError: two are equal.
    """
    if numbers[0] and len(numbers) != len(set(numbers)):
        expected = f"a port of its own: {USDM.title} is on {numbers[0]} too"
        raise ConfigError(f"--{COINM.name}-port", numbers[0], expected)


def hosts_of(host: Hosts) -> tuple[str, ...]:
    """Return the addresses and names to listen on."""
    return (host,) if isinstance(host, str) else tuple(host)


def listening_sockets(
    venue: Venue,
    host: Hosts,
    port: int,
    *,
    is_shared: bool = False,
    listens: bool = True,
    attempts: int = 8,
) -> list[socket.socket]:
    """Return listening sockets for the port of a venue, which do not block: one for each address.

    Args:
        venue: The venue, whose options an error names.
        host: What to listen on.  `::` is all of IPv4 too; of several addresses of a name, those that
            this machine lacks are left out.
        port: The port; 0 picks one that is free at all addresses.
        is_shared: Whether other processes may listen on the same port (SO_REUSEPORT).
        listens: Whether they listen already.
        attempts: How many ports are picked at most.

    Raises:
        ConfigError: an address or the port cannot be used.
    """
    sockets: list[socket.socket] = []
    number, option = port, f"--{venue.name}-port"
    for (family, address), name in _addresses(hosts_of(host)).items():
        try:
            place = (address[0], number, *address[2:])
            sockets.append(bound_socket(family, place, is_shared=is_shared))
            if listens:
                sockets[-1].listen(BACKLOG)
        except OSError as error:
            for each in sockets:
                each.close()
            if error.errno == errno.EADDRINUSE:
                if not port and attempts > 1:
                    more = {"is_shared": is_shared, "listens": listens}
                    return listening_sockets(venue, host, 0, **more, attempts=attempts - 1)
                where = address_text(address[0], number)
                expected = f"a free port; another program listens on {where}"
                raise ConfigError(option, port, expected) from None
            if error.errno in {errno.EACCES, errno.EPERM}:
                raise ConfigError(option, port, f"a port this user may open ({error})") from None
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}:
                raise
            lacks = family is socket.AF_INET6 and not _is_here(family, ("::1", 0))
            expected = f"an address of this machine{', which has no IPv6' * lacks} ({error})"
            raise ConfigError("--host", name, expected) from None
        number = sockets[-1].getsockname()[1]
    return sockets


def bound_socket(
    family: socket.AddressFamily, address: Any, *, is_shared: bool = False
) -> socket.socket:
    """Return a socket that is bound, does not block, and has the options of its connections.

    Raises:
        OSError: the address cannot be used, or the system has no socket.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted connections inherit it; without it, small messages wait for each other.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What waits for a client that does not read waits here, where it is shared and bounded.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_KERNEL_BYTES)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _addresses(hosts: Sequence[str]) -> dict[tuple[socket.AddressFamily, Any], str]:
    """Return each address to bind once, and under which name it was given.

    Raises:
        ConfigError: a name has no address.
    """
    found: dict[tuple[socket.AddressFamily, Any], str] = {}
    for host in hosts:
        try:
            results = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise ConfigError("--host", host, f"an address of this machine ({error})") from None
        addresses = [(result[0], result[4]) for result in results]
        if len(addresses) > 1:
            addresses = [each for each in addresses if _is_here(*each)] or addresses
        for family, address in addresses:
            found.setdefault((family, address), host)
            if address[0] == ANY_IPV6:
                found.setdefault((socket.AF_INET, (ANY_IPV4, 0)), host)
    covering = {each: host for each, host in found.items() if each[1][0] in {ANY_IPV4, ANY_IPV6}}
    covered = {family for family, _ in covering}
    return covering | {each: host for each, host in found.items() if each[0] not in covered}


def _is_here(family: socket.AddressFamily, address: Any) -> bool:
    """Return whether this machine has an address."""
    try:
        bound_socket(family, address).close()
    except OSError:
        return False
    return True
