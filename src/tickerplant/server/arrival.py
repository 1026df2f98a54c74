"""A new connection until its first bytes tell what it is for.

Most connections ask for an upgrade to WebSocket with all of their first bytes: these go straight to
the WebSocket side.  All others become HTTP connections, which read the same bytes again.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools

from tickerplant.protocol.limits import Limits
from tickerplant.server.handshake import UpgradeRequest, asks_for_websocket
from tickerplant.server.request_feed import END, MAX_FIELDS, with_ascii_target

TLS_HELLO = b"\x16\x03"
"""How a TLS connection starts, and HTTP never does."""
UPGRADE = b"pgrade"
"""Is in the first bytes of every upgrade request whose spelling is usual."""


class Reception(Protocol):
    """What takes over the connections of a port."""

    arrivals: set[Arrival]
    """The connections that have not sent anything yet."""
    limits: Limits
    loop: asyncio.AbstractEventLoop

    def connection(self, head_timeout_ms: int) -> asyncio.Protocol:
        """Return the protocol of an HTTP connection whose first head must be complete in time."""

    def refuse_tls(self, transport: asyncio.Transport) -> None:
        """Answer a client that starts TLS on a plain port."""

    def upgrade(self, transport: asyncio.Transport, request: UpgradeRequest, rest: bytes) -> None:
        """Hand a connection to the WebSocket side, with the bytes after the request."""


class Arrival(asyncio.Protocol):
    """A connection that has not sent anything yet."""

    __slots__ = ("_reception", "_timer", "transport")

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._timer: asyncio.TimerHandle
        """Ends the wait for the first bytes."""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport, and wait a limited time for a request."""
        reception = self._reception
        self.transport = transport
        reception.arrivals.add(self)
        timeout_s = reception.limits.head_timeout_ms / 1_000
        self._timer = reception.loop.call_later(timeout_s, self._become_http)

    def data_received(self, data: bytes) -> None:
        """Hand the connection over, with its first bytes."""
        found = read_upgrade_request(data, self._reception.limits.max_head_bytes)
        if found is None:
            if data.startswith(TLS_HELLO):
                self._reception.refuse_tls(self.transport)
            else:
                self._become_http().data_received(data)
            return
        self._leave()
        request, taken = found
        self._reception.upgrade(self.transport, request, data[taken:])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # it sent nothing
        """Forget the connection."""
        self._leave()

    def shutdown(self) -> None:
        """Close the connection: the server stops."""
        self.transport.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._reception.arrivals.discard(self)

    def _become_http(self) -> asyncio.Protocol:
        """Make the connection one of HTTP, which has what is left of the time for a request."""
        self._leave()
        left_s = max(self._timer.when() - self._reception.loop.time(), 0.0)
        connection = self._reception.connection(int(left_s * 1_000))
        self.transport.set_protocol(connection)
        connection.connection_made(self.transport)
        return connection


def read_upgrade_request(data: bytes, max_head_bytes: int) -> tuple[UpgradeRequest, int] | None:
    """Return the upgrade to WebSocket that `data` begins with, and its size in bytes.

    Returns None if `data` is anything else, or not all of it is there; HTTP connections know what.
    """
    end = data.find(END, 0, max_head_bytes) + len(END)
    if data.find(UPGRADE, 0, end) < 0:
        return None
    head = _Head()
    parser = httptools.HttpRequestParser(head)
    try:
        parser.feed_data(with_ascii_target(data[:end]))
    except httptools.HttpParserUpgrade:
        if len(head.fields) > MAX_FIELDS or not asks_for_websocket(head.fields):
            return None
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        target = head.url.decode("latin-1")
        return UpgradeRequest(target, method, version, head.fields), end
    except httptools.HttpParserError:
        pass
    return None


class _Head:
    """Takes the head of a request from a parser."""

    __slots__ = ("fields", "url")

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))
