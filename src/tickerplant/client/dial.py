"""A socket on its way to a server: looked up, connected, and given up at any moment."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from picows import WSParsedURL

USER_AGENT = f"tickerplant/{version('tickerplant')}"
"""What every request of the client says of itself."""
PIECE_BYTES = 1 << 16
"""The most that one read of a socket brings."""


class Dial:
    """Gives picows its socket, for one attempt to connect.

    picows would make one too, but a handshake on a socket of its own cannot be ended: who cancels
    it leaves the socket open.

    Args:
        timeout_s: For the name, and for the socket.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._socket: _Socket | None = None

    async def connect(self, url: WSParsedURL) -> socket.socket:
        """Return a socket that is connected to the first address of the host that answers.

        Raises:
            OSError: none does in time, or the host has no address.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            places = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        failure = OSError(f"{url.host} has no address")
        for family, kind, protocol, _, address in places:
            sock = _Socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                async with asyncio.timeout(self._timeout_s / len(places)):
                    await loop.sock_connect(sock, address)
            except OSError as error:  # a timeout is one, too
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                self._socket = sock
                return sock
        raise failure

    def give_up(self, attempt: asyncio.Task[Any]) -> None:
        """Let `attempt`, which connects with this, fail at once."""
        if self._socket is None:
            attempt.cancel()
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    async def clear(self) -> None:
        """Close the socket of an attempt that failed."""
        if self._socket is not None:
            await asyncio.sleep(0)  # whoever else has to do with it closes it now
            self._socket.close()


class _Socket(socket.socket):
    """A socket that gives no more than a piece at a time.

    picows doubles its buffer whenever a read fills it, so what a slow consumer left in the socket
    would come in one read of many megabytes: more than a queue should take beyond its size, and
    more than the caches hold.  With TLS, aiofastnet reads by pieces of its own.
    """

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read at most `PIECE_BYTES`."""
        return super().recv_into(buffer, min(nbytes or len(buffer), PIECE_BYTES), flags)
