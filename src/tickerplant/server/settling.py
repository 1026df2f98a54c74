"""Whether clients have read what was sent to them, and are connected again.

A client answers a ping in the order in which it reads, so a pong says that its library has received
everything that was written before.  Where a fault holds back what is sent, no ping gets through, and
the bytes that wait in the sockets count instead.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

from msgspec import Struct

from tickerplant.formatting import count_text
from tickerplant.protocol.redaction import loggable
from tickerplant.server.endpoint import EndedConnection, Endpoint
from tickerplant.server.faults.transport import queued_bytes
from tickerplant.server.websocket import WebSocketConnection

POLL_S = 0.002
"""How often that is checked."""
SHOWN_STREAMS = 10
"""Streams of one connection that are named."""
SOCKET_TABLES = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}
"""Where Linux lists the sockets of this machine, each with the bytes that wait to be read."""
LOCAL, REMOTE, QUEUES = 1, 2, 4
"""The columns of addresses and of queues there."""
_numbers = count(1)


class UnsettledConnection(Struct, frozen=True, kw_only=True):
    """A connection whose client has not read everything, or has not connected again."""

    id: str
    """What it is called in the log."""
    venue: str
    """Whose port it is or was connected to: `usdm` or `coinm`."""
    streams: list[str]
    """The first of its subscriptions."""
    unread_bytes: int
    """Bytes that its client has not read, as far as this machine knows."""
    why: str
    """What is missing, in words."""


class SettledPage(Struct, frozen=True, kw_only=True):
    """Whether clients have read what was sent."""

    settled: bool
    """Whether all of them have, within the wait."""
    unsettled: list[UnsettledConnection]
    """Those that have not."""


async def settle(
    endpoints: Sequence[Endpoint], wait_s: float, cut_after_ms: int | None = None
) -> SettledPage:
    """Return when the clients of all ports have read what was sent until now, or after a wait.

    Args:
        endpoints: The ports.
        wait_s: The longest wait.
        cut_after_ms: Wait also for the client of each connection that the server has ended after this
            market time: until it has connected again, with at least the same subscriptions, or was
            refused.  None: for none.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    payload = b"settle-%d" % next(_numbers)
    for endpoint in endpoints:
        endpoint.hub.flush()
    # The connections that this server has; those of others were refused before.
    waiting = dict.fromkeys(_connections(endpoints), False)
    refused = {each: each.counters.refused.total() for each in endpoints}
    while True:
        _look(waiting, payload)
        cut = [] if cut_after_ms is None else list(_gone(endpoints, cut_after_ms, refused))
        if not (waiting or cut) or loop.time() >= until_s:
            break
        await asyncio.sleep(POLL_S)
    unsettled = [_unsettled(each) for each in waiting] + [_missing(*each) for each in cut]
    return SettledPage(settled=not unsettled, unsettled=unsettled)


def _connections(endpoints: Iterable[Endpoint]) -> Iterator[WebSocketConnection]:
    for endpoint in endpoints:
        for connection in endpoint.connections:
            if isinstance(connection, WebSocketConnection):
                yield connection


def _look(waiting: dict[WebSocketConnection, bool], payload: bytes) -> None:
    """Forget the connections whose clients have read everything; ask those that were not asked."""
    for connection, is_asked in tuple(waiting.items()):
        endpoint, faults = connection.endpoint, connection.faults
        if connection not in endpoint.connections:
            del waiting[connection]
        elif not connection.is_open or (faults is not None and faults.is_lost):
            pass  # it is about to end
        elif faults is not None and faults.is_in_the_way:
            if not unread_bytes(connection):
                del waiting[connection]
        elif is_asked:
            if not connection.unanswered_probe:
                del waiting[connection]
        elif not endpoint.hub.backlogs.get(connection):
            connection.probe(payload)
            waiting[connection] = True


def _gone(
    endpoints: Iterable[Endpoint], after_ms: int, refused: dict[Endpoint, int]
) -> Iterator[tuple[EndedConnection, Endpoint]]:
    """Yield the connections that the server has ended, and whose clients are not back."""
    for endpoint in endpoints:
        tries = endpoint.counters.refused.total() - refused[endpoint]
        # One that came in place of another may have ended since.
        later = {each.number: each.names for each in endpoint.ended}
        later |= {
            opening.number: None if each.names is None else frozenset(each.names)
            for each, opening in endpoint.connections.items()
        }
        for ended in endpoint.ended:
            if ended.followers is None or ended.market_ms <= after_ms:
                continue
            back = next((each for each in sorted(later) if _replaces(ended, each, later[each])), 0)
            if back:
                del later[back]
            elif tries:
                tries -= 1  # it tries, and is refused: the market has to go on first
            else:
                yield ended, endpoint


def _replaces(ended: EndedConnection, number: int, names: frozenset[str] | None) -> bool:
    """Return whether the n-th connection of a port is one in place of another that has ended."""
    if ended.followers is None or number <= ended.followers:
        return False
    if names is None or ended.names is None:
        return names is ended.names
    return ended.names <= names


def _unsettled(connection: WebSocketConnection) -> UnsettledConnection:
    unread = unread_bytes(connection)
    if not connection.is_open:
        why = "it is closing, and its client has not closed its side"
    elif unread:
        why = f"its client has not read {count_text(unread, 'byte')}"
    else:
        why = "its client answers no ping: it has read all bytes, or holds them in its library"
    return UnsettledConnection(
        id=connection.identity,
        venue=connection.endpoint.venue.name,
        streams=_shown(connection.names),
        unread_bytes=unread,
        why=why,
    )


def _missing(ended: EndedConnection, endpoint: Endpoint) -> UnsettledConnection:
    return UnsettledConnection(
        id=ended.identity,
        venue=endpoint.venue.name,
        streams=_shown(ended.names),
        unread_bytes=0,
        why=f"the server has ended it ({ended.reason}), and its client has not connected again",
    )


def _shown(names: Iterable[str] | None) -> list[str]:
    return [loggable(name) for name in islice(names or (), SHOWN_STREAMS)]


def unread_bytes(connection: WebSocketConnection) -> int:
    """Return the bytes that were written and that the client has not read, as far as can be known.

    They wait here, in the socket of the server, or, if the client runs on this machine, in its own.
    What a fault holds back was not written.
    """
    transport = connection.transport
    sock = transport.get_extra_info("socket")
    waiting_bytes = transport.get_write_buffer_size() - connection.held_bytes
    if sock is None:
        return waiting_bytes
    with suppress(OSError, ValueError, IndexError):  # it is gone, or the system does not tell
        waiting_bytes += queued_bytes(sock) + _bytes_at_client(sock)
    return waiting_bytes


def _bytes_at_client(sock: Any) -> int:
    """Return the bytes in the socket of a client on this machine; 0 if it is elsewhere."""
    if not sys.platform.startswith("linux"):
        return 0
    theirs, ours = (
        _written(sock.family, sock.getpeername()),
        _written(sock.family, sock.getsockname()),
    )
    with Path(SOCKET_TABLES[sock.family]).open(encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[LOCAL] == theirs and fields[REMOTE] == ours:
                return int(fields[QUEUES].partition(":")[2], 16)
    return 0


def _written(family: int, address: tuple[Any, ...]) -> str:
    """Return an address as the tables of Linux have it: words of the machine in hexadecimal digits."""
    packed = socket.inet_pton(family, address[0].partition("%")[0])
    words = (packed[place : place + 4] for place in range(0, len(packed), 4))
    host = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{host}:{address[1]:04X}"
