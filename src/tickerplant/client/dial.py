"""A socket on its way to a server: looked up, connected, and given up at any moment; and its end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohappyeyeballs import AddrInfoType, start_connection
from picows import WSParsedURL, WSProtocolError, WSTransport

from tickerplant import __version__

USER_AGENT = f"tickerplant/{__version__}"
"""What every request of the client says of itself."""
PIECE_BYTES = 1 << 16
"""The most that one read of a socket brings."""
NEXT_S = 0.25
"""After so long without an answer the next address is tried beside (RFC 8305)."""
TURNS = 5
"""Turns of the event loop in which a transport hears that its socket is shut down, and closes it."""


class Dial:
    """Gives picows its socket, for one attempt to connect.

    picows would make one too, but a handshake on a socket of its own cannot be ended: who cancels
    it leaves the socket open.

    Args:
        timeout_s: For the name, and for the socket.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    async def connect(self, url: WSParsedURL) -> socket.socket:
        """Return a socket that is connected to the first address of the host that answers.

        Raises:
            OSError: none does in time, or the host has no address.
        """
        async with asyncio.timeout(self._timeout_s):
            places = await _look_up(url.host, url.port)
        async with asyncio.timeout(self._timeout_s):
            self._socket = await start_connection(
                places, happy_eyeballs_delay=NEXT_S, socket_factory=_socket_of
            )
        return self._socket

    def give_up(self, attempt: asyncio.Task[Any]) -> None:
        """Let `attempt`, which connects with this, fail at once."""
        if self._socket is None:
            attempt.cancel()
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    async def clear(self) -> None:
        """Close the socket of an attempt that failed."""
        if self._socket is None:
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            for _ in range(TURNS):
                await asyncio.sleep(0)
        finally:
            self._socket.close()


async def end_of(transport: WSTransport) -> tuple[str, int | None]:
    """Wait until a connection is over; return why, and the code with which it was closed here.

    Whoever asks first is told, and so is everybody after; picows raises what it found broken, and
    what nobody hears of would be logged.
    """
    try:
        await transport.wait_disconnected()
    except WSProtocolError as broken:
        code, reason = broken.args
        return str(reason), int(code)
    except Exception as error:  # noqa: BLE001  # what else picows remembers, it logged
        return f"the connection was lost: {error!r}", None
    return "the connection was lost", None


async def _look_up(host: str, port: int) -> list[AddrInfoType]:
    """Return the addresses of a host.

    They are looked up in a thread of their own.  The loop would have to wait for one of its own
    before it ends, however long the name server is silent.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[AddrInfoType]] = loop.create_future()

    def tell(take: Callable[[Any], None], what: object) -> None:
        if not found.done():  # else nobody waits any more
            take(what)

    def look_up() -> None:
        take: Callable[[Any], None] = found.set_result
        what: object
        try:
            what = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            take, what = found.set_exception, OSError(f"{host} is not a valid host name")
        except Exception as error:  # noqa: BLE001  # it is raised to who waits
            take, what = found.set_exception, error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, take, what)

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
    """A socket that gives no more than a piece at a time.

    picows doubles its buffer whenever a read fills it, so what a slow consumer left in the socket
    would come in one read of many megabytes: more than a queue should take beyond its size, and
    more than the caches hold.  With TLS, aiofastnet reads by pieces of its own.
    """

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read at most `PIECE_BYTES`."""
        return super().recv_into(buffer, min(nbytes or len(buffer), PIECE_BYTES), flags)
