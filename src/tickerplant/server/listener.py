"""The listening sockets of a port: accept connections, even when descriptors run out.

Files, upstream connections and client connections share the descriptors of the process.  Some are
reserved, so that clients cannot take those that a recording needs: a client that connects when only
those are free is answered 503 and closed, unless it asks for `/healthz`: the process is well.  When the
system has none at all, or no memory for a socket, accepting pauses, and new clients wait in the queue of
the system.
"""

from __future__ import annotations

import asyncio
import re
import resource
import socket
from collections.abc import Callable, Coroutine, Sequence
from errno import errorcode
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import aiofastnet

from tickerplant.server.arrival import TLS_HELLO
from tickerplant.server.endpoint import NO_DESCRIPTOR, NO_TLS, PLAIN_TO_TLS, Endpoint
from tickerplant.server.http import HEAD, closing_response
from tickerplant.server.proxies import is_loopback

if TYPE_CHECKING:  # loads cryptography, only where TLS is served
    from tickerplant.server.certificate import ServedCertificate

BACKLOG = 2_048
"""Connections that wait in the queue of the system."""
ACCEPTED_PER_TURN = 256
"""Most connections that are accepted in one turn of the loop."""
RESERVED_SHARE = 4
"""At most one in this many descriptors is reserved."""
RETRY_AFTER_S = 5
HELD_SHARE = 8
"""One in this many reserved descriptors is for clients that may ask for `/healthz`."""
HELD_S = 1.0
"""How long such a client may take to ask."""

TLS_BUFFER_BYTES = 4 * (16_384 + 64)
"""TLS records that are read or written at once; each connection has both buffers."""

_FULL_RESPONSE = closing_response(
    503, "No descriptor is free for another connection.", f"retry-after: {RETRY_AFTER_S}"
)
_WELL_RESPONSE = closing_response(200, "ok")
_ASKS_FOR_HEALTH = re.compile(rb"(GET|HEAD) /healthz[ ?]")
_PLAIN_RESPONSE = closing_response(
    400, "This port uses TLS: use wss:// and https://, not ws:// and http://."
)


def descriptors_for_clients(reserved: int) -> int:
    """Return the bound on descriptors for client sockets."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 31
    return soft - min(reserved, soft // RESERVED_SHARE)


def main_address(sockets: Sequence[socket.socket]) -> tuple[str, int]:
    """Return host and port of the first socket that others reach; of the first if they reach none."""
    names: list[tuple[str, int]] = [sock.getsockname()[:2] for sock in sockets]
    return next((each for each in names if not is_loopback(each[0])), names[0])


ProtocolFactory: TypeAlias = Callable[[], asyncio.Protocol]


class Listener:
    """Gives each connection to the sockets a protocol, from `start` to `close`."""

    def __init__(
        self,
        endpoint: Endpoint,
        sockets: Sequence[socket.socket],
        tls: ServedCertificate | None = None,
    ) -> None:
        self.sockets = tuple(sockets)
        self._endpoint = endpoint
        self._protocol_factory: ProtocolFactory
        self._loop = asyncio.get_running_loop()
        self._bound = descriptors_for_clients(endpoint.limits.reserved_descriptors)
        self._pause: asyncio.TimerHandle | None = None
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        """Connections of TLS that were accepted and have no protocol yet."""
        self._held: list[_LastResort] = []
        """Those with a reserved descriptor, the oldest first."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_held = max(1, (soft - self._bound) // HELD_SHARE)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, until it is closed: of a socket that others reach, if there is one."""
        return main_address(self.sockets)

    def start(self, protocol_factory: ProtocolFactory) -> None:
        """Start accepting connections."""
        self._protocol_factory = protocol_factory
        self._accept_again()

    def _accept_again(self) -> None:
        self._pause = None
        for sock in self.sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Close the sockets; open connections stay."""
        if self._pause is not None:
            self._pause.cancel()
        for task in tuple(self._opening):
            task.cancel()
        for held in self._held:
            held.answer()
        for sock in self.sockets:
            self._loop.remove_reader(sock)
            sock.close()

    def _accept(self, sock: socket.socket) -> None:
        """Accept waiting connections; the loop calls this again while there are more."""
        for _ in range(ACCEPTED_PER_TURN):
            if self._held and not self._has_room():
                return
            try:
                connection, _ = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # it is gone already
            except OSError as error:
                self._pause_accepting(error)
                return
            # The system assigns the lowest free descriptor, so all below are in use.
            if connection.fileno() >= self._bound:
                held = _LastResort(self, connection)
                self._held.append(held)
                held.opening = self._begin(connection, held.itself)
            else:
                self._begin(connection, self._protocol_factory)

    def _begin(
        self, connection: socket.socket, protocol_factory: ProtocolFactory
    ) -> asyncio.Task[None] | None:
        """Give an accepted connection a protocol; return what waits for it, which is done first."""
        opening = self._open(connection, protocol_factory)
        if self._tls is None:
            _proceed(opening)
            return None
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(partial(self._opened, connection))
        return task

    def _opened(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if task.cancelled():  # perhaps before it began
            connection.close()

    def _pause_accepting(self, error: OSError) -> None:
        """Accept nothing for a while: the next attempt would fail too."""
        if self._pause is not None:
            return
        pause_ms = self._endpoint.limits.accept_pause_ms
        self._endpoint.counters.accept_pauses += 1
        self._endpoint.complaints.add(
            f"accept {errorcode.get(error.errno or 0, 'failed')}",
            f"! {self._endpoint.venue.title} cannot accept connections: {error.strerror or error}; "
            f"retrying every {pause_ms} ms",
        )
        for sock in self.sockets:
            self._loop.remove_reader(sock)
        self._pause = self._loop.call_later(pause_ms / 1_000, self._accept_again)

    def _has_room(self) -> bool:
        """Return whether one more may be held; if not, the oldest are answered now."""
        self._held = [each for each in self._held if each.socket.fileno() >= 0]
        is_full = len(self._held) >= 2 * self._most_held
        for held in self._held[: self._most_held if is_full else 0]:
            held.answer()
        return not is_full

    def count_rejection(self) -> None:
        """Count a client that is answered 503: all descriptors for clients are in use."""
        self._endpoint.counters.turned_away[NO_DESCRIPTOR] += 1
        self._endpoint.complaints.add(
            NO_DESCRIPTOR,
            f"! {self._endpoint.venue.title} rejects connections: {self._bound} descriptors are "
            "in use and the rest is reserved; raise the number with `ulimit -n`",
        )

    async def _open(self, connection: socket.socket, protocol_factory: ProtocolFactory) -> None:
        """Give an accepted connection its transport and protocol."""
        try:
            options: dict[str, Any] = {}
            if self._tls is not None:
                if not await self._starts_tls(connection):
                    connection.close()
                    return
                options = self._tls_options
            await aiofastnet.connect_accepted_socket(
                self._loop, protocol_factory, connection, **options
            )
        except OSError as error:
            connection.close()
            if self._tls is not None:
                self._count_failure(error)

    @property
    def _tls_options(self) -> dict[str, Any]:
        limits = self._endpoint.limits
        return {
            "ssl": self._tls.context if self._tls else None,
            "ssl_handshake_timeout": limits.head_timeout_ms / 1_000,
            "ssl_shutdown_timeout": limits.close_grace_ms / 1_000,
            "ssl_incoming_bio_size": TLS_BUFFER_BYTES,
            "ssl_outgoing_bio_size": TLS_BUFFER_BYTES,
        }

    async def _starts_tls(self, connection: socket.socket) -> bool:
        """Return whether a client starts TLS; answer it in plain HTTP if it does not."""
        connection.setblocking(False)
        try:
            async with asyncio.timeout(self._endpoint.limits.head_timeout_ms / 1_000):
                await _readable(connection)
            first = connection.recv(1, socket.MSG_PEEK)
            if first == TLS_HELLO[:1] or not first:
                return bool(first)
            connection.recv(1 << 16)  # closing with unread data would discard the response
            self._endpoint.counters.turned_away[PLAIN_TO_TLS] += 1
            self._endpoint.complaints.add(
                PLAIN_TO_TLS,
                f"! a client of {self._endpoint.venue.title} does not use TLS: it should use "
                "wss:// and https://, not ws:// and http://",
            )
            connection.send(_PLAIN_RESPONSE)
        except TimeoutError:
            self._endpoint.counters.timeouts[HEAD] += 1
        except OSError:
            pass  # it is gone
        return False

    def _count_failure(self, error: OSError) -> None:
        """Count a failed TLS handshake; log each kind once."""
        why = getattr(error, "reason", None) or type(error).__name__
        self._endpoint.counters.turned_away[NO_TLS] += 1
        hint = ""
        if "UNKNOWN_CA" in why or "BAD_CERTIFICATE" in why or "CERTIFICATE_UNKNOWN" in why:
            hint = ": the client does not trust the certificate of this server"
        self._endpoint.complaints.add(f"{NO_TLS}: {why}", f"! a TLS handshake failed{hint}")


class _LastResort(asyncio.Protocol):
    """A client with a reserved descriptor: it hears that the process is well, or else that it is full."""

    def __init__(self, listener: Listener, connection: socket.socket) -> None:
        self.socket = connection
        self._is_over = False
        self.opening: asyncio.Task[None] | None = None
        """Makes it one of TLS."""
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._timer = asyncio.get_running_loop().call_later(HELD_S, self.answer)

    def itself(self) -> _LastResort:
        """Return the protocol of the connection."""
        return self

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request."""
        if not self._is_over:
            self.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # it is gone anyway
        """Wait no longer."""
        self._timer.cancel()

    def answer(self, request: bytes = b"") -> None:
        """Answer what it asked for, or that all descriptors are in use, and close."""
        if self._transport is None:
            if self.opening is not None:
                self.opening.cancel()
            return
        if self._is_over:
            self._transport.abort()
            return
        self._is_over = True
        asks = _ASKS_FOR_HEALTH.match(request)
        if not asks:
            self._listener.count_rejection()
            self._transport.write(_FULL_RESPONSE)
        else:
            head = _WELL_RESPONSE.partition(b"\r\n\r\n")
            self._transport.write(_WELL_RESPONSE if asks[1] == b"GET" else b"".join(head[:2]))
        self._transport.close()


def _proceed(work: Coroutine[asyncio.Future[Any], None, None], _done: object = None) -> None:
    """Carry out what opens a connection, without the cost of a task: it waits for futures only."""
    try:
        future = work.send(None)
    except StopIteration:
        return
    future.add_done_callback(partial(_proceed, work))


async def _readable(sock: socket.socket) -> None:
    """Return when a socket that does not block has something to read, or its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock, on_ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock)
