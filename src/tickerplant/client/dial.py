"""Opens the sockets of WebSocket connections, cancellable at any time, and says how they ended."""

from __future__ import annotations

import asyncio
import socket
import threading
from asyncio import sleep
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohappyeyeballs import AddrInfoType, start_connection
from picows import WSParsedURL, WSProtocolError, WSTransport

from tickerplant import __version__

USER_AGENT = f"tickerplant/{__version__}"
"""The `User-Agent` of every request."""
PIECE_BYTES = 1 << 16
"""Maximum number of bytes of one read of a socket."""
NEXT_S = 0.25
"""How long one address may take before the next one is tried in parallel (RFC 8305)."""
TURNS = 5
"""Iterations of the event loop after which a transport has closed a socket that was shut down."""


class Dial:
    """Opens the socket of one connection attempt for picows.

    picows could open a socket itself, but cancelling its handshake would leave that socket open.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    async def connect(self, url: WSParsedURL) -> socket.socket:
        """Return a socket that is connected to the first address of the host that accepts."""
        async with asyncio.timeout(self._timeout_s):
            places = await _look_up(url.host, url.port)
        async with asyncio.timeout(self._timeout_s):
            self._socket = await start_connection(
                places, happy_eyeballs_delay=NEXT_S, socket_factory=_socket_of
            )
        return self._socket

    def give_up(self, attempt: asyncio.Task[Any]) -> None:
        """Make `attempt`, which uses this dial, fail at once."""
        if self._socket is None:
            attempt.cancel()
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    async def clear(self) -> None:
        """Close the socket of a failed attempt."""
        if self._socket is None:
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            for _ in range(TURNS):
                await sleep(0)
        finally:
            self._socket.close()


async def end_of(transport: WSTransport) -> tuple[str, int | None]:
    """Wait until a connection ended; return the reason, and the code with which it was closed here.

    May be awaited several times.  It must be awaited once: picows raises protocol errors here, and
    an exception that is never retrieved would be logged.
    """
    try:
        await transport.wait_disconnected()
    except WSProtocolError as broken:
        code, reason = broken.args
        return str(reason), int(code)
    except Exception as error:  # noqa: BLE001  # picows has logged any other error
        return f"the connection was lost: {error!r}", None
    return "the connection was lost", None


async def _look_up(host: str, port: int) -> list[AddrInfoType]:
    """Return the addresses of a host; a name is looked up in a daemon thread.

    The event loop would wait for a thread of its executor before it ends, however long the name
    server takes.
    """
    with suppress(OSError, UnicodeError):  # it is a name
        return list(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        )
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[AddrInfoType]] = loop.create_future()

    def finish(setter: Callable[[Any], None], result: object) -> None:
        if not found.done():
            setter(result)

    def look_up() -> None:
        setter: Callable[[Any], None] = found.set_result
        result: object
        try:
            result = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            setter, result = found.set_exception, OSError(f"{host} is not a valid host name")
        except Exception as error:  # noqa: BLE001  # it is raised to the caller
            setter, result = found.set_exception, error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, setter, result)

    try:
        threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    except RuntimeError as error:
        raise OSError(f"no thread to look up {host}: {error}") from None
    return await found


def _socket_of(place: AddrInfoType) -> _Socket:
    """Return a socket for an address."""
    family, kind, protocol, *_ = place
    return _Socket(family, kind, protocol)


class _Socket(socket.socket):
    """A socket that returns at most `PIECE_BYTES` per read.

    picows doubles its buffer whenever a read fills it, so data that a slow consumer left in the
    socket would arrive in one read of many megabytes: more than a queue should accept beyond its
    size, and more than fits into the caches.  With TLS, aiofastnet limits its reads itself.
    """

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read at most `PIECE_BYTES`."""
        return super().recv_into(buffer, min(nbytes or len(buffer), PIECE_BYTES), flags)
