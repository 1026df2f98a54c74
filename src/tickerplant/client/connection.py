"""One WebSocket connection of a feed."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from asyncio import sleep
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from aiohappyeyeballs import AddrInfoType, start_connection
from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from tickerplant import __version__
from tickerplant.client.lockstep import Lockstep
from tickerplant.client.proxies import unused_text
from tickerplant.client.request import plain_reason, retry_after_of, wall_clock_ms
from tickerplant.feed.feed import Feed, Receive
from tickerplant.received import MAX_BYTES, excess

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

    async def open(self, listener: WSListener, url: str, **options: Any) -> None:
        """Open a WebSocket connection, which reports to `listener`."""
        await ws_connect(
            lambda: listener,
            url,
            websocket_handshake_timeout=self._timeout_s,
            extra_headers={"User-Agent": USER_AGENT},
            max_frame_size=MAX_BYTES,
            max_redirects=0,
            socket_factory=self.connect,
            use_aiofastnet=url.startswith("wss:"),
            **options,
        )

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


_log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 5.0
"""Timeout of each step of an attempt: name lookup, socket, TLS and handshake."""
CAUGHT_UP = b"caught up"
"""Payload of the pings whose pong shows that everything before it was received."""


class Connection(WSListener):
    """Reports the events of one socket to a feed, from the attempt to its end."""

    def __init__(self, feed: Feed, number: int, reported: Callable[[], object]) -> None:
        super().__init__()
        self._feed = feed
        self._number = number
        self._url = ""
        self._reported = reported
        self._receive: Receive = _ignore
        self._transport: WSTransport | None = None
        self._dial = Dial(HANDSHAKE_TIMEOUT_S)
        self._parts = bytearray()
        """The frames so far of a message in several frames."""
        self._is_dropped = False
        self._is_reading = True
        self._awaited_pongs: deque[asyncio.Future[None]] = deque()
        """Done with the pongs to come, in this order."""
        self._attempt: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def open(self, url: str) -> None:
        """Begin to connect; the result is reported to the feed."""
        self._url = url
        self._attempt = asyncio.create_task(self._open(url))

    async def _open(self, url: str) -> None:
        is_secure = url.startswith("wss:")
        options = {"ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S} if is_secure else {}
        try:
            await self._dial.open(self, url, **options)
        except WSHandshakeError as error:
            response = error.response
            status = None if response is None else int(response.status)
            headers = {} if response is None else response.headers
            retry_ms = retry_after_of(headers.get("Retry-After", ""), wall_clock_ms()) or 0
            reason = f"HTTP {status}" if status else str(error)
            self._refuse(reason, status, retry_ms)
        except TimeoutError:
            self._refuse(f"no response within {HANDSHAKE_TIMEOUT_S:g} s")
        except Exception as error:  # noqa: BLE001  # any failure must be reported to the feed
            self._refuse(plain_reason(error))
        finally:
            if self._transport is None:  # picows may return without an error
                self._refuse("the connection was lost before the handshake was answered")
                await self._dial.clear()

    def _refuse(self, reason: str, status: int | None = None, retry_after_ms: int = 0) -> None:
        if not self._is_dropped:
            self._is_dropped = True
            text = f"{reason}{unused_text(self._url)}"
            self._feed.refused(self._number, text, status, retry_after_ms)
            self._reported()

    def send(self, text: bytes) -> None:
        """Send a text message; does nothing after the end."""
        if self._transport is not None and not self._is_dropped:
            self._transport.send(WSMsgType.TEXT, text)

    def ping(self) -> None:
        """Send a ping."""
        if self._transport is not None and not self._is_dropped:
            self._transport.send_ping()

    def caught_up(self) -> asyncio.Future[None]:
        """Return a future that is done when everything that the server has sent by now was received.

        It is done at once while nothing is received.
        """
        caught_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._is_dropped or not self._will_read:
            caught_up.set_result(None)
        else:
            self._awaited_pongs.append(caught_up)
            self._transport.send_ping(CAUGHT_UP)
        return caught_up

    def drop(self) -> None:
        """Close the connection; nothing more is reported to the feed."""
        self._is_dropped = True
        self._receive = _ignore
        self._forget_pongs()
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()
        elif self._attempt is not None:
            self._dial.give_up(self._attempt)

    def _forget_pongs(self) -> None:
        """Wait for no pongs any more: none will come."""
        for caught_up in self._awaited_pongs:
            if not caught_up.done():
                caught_up.set_result(None)
        self._awaited_pongs.clear()

    def abort(self) -> None:
        """Close the socket without waiting for data that the server does not read."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        if self._attempt is not None:
            await asyncio.gather(self._attempt, return_exceptions=True)
        if self._transport is not None:
            await end_of(self._transport)

    def read(self, is_reading: bool) -> None:
        """Resume or pause reading; while paused, the server has to wait too."""
        if is_reading == self._is_reading or self._transport is None or self._is_dropped:
            return
        self._is_reading = is_reading
        transport = self._transport.underlying_transport
        (transport.resume_reading if is_reading else transport.pause_reading)()

    @property
    def _will_read(self) -> bool:
        """Whether it is read, or will be without anybody making room."""
        return self._is_reading

    # Called by picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Report that the connection is open."""
        self._transport = transport
        if self._is_dropped:
            transport.disconnect()
            return
        self._feed.opened(self._number)
        self._receive = self._feed.receiver(self._number)
        self._reported()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a message to the feed."""
        try:
            if not (frame.fin and self._receive(frame.get_payload_as_bytes(), time.time_ns())):
                self._take_other(transport, frame)
        except Exception:  # noqa: BLE001  # a bug in handling one message must not cost the connection
            _log.exception("failed to process a message")

    def _take_other(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame that is not a complete message of a stream in the usual envelope."""
        if self._is_dropped:
            return
        if frame.msg_type is WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2], "big")
            reason = payload[2:].decode(errors="replace")
            self._end(f"closed {code or ''} {reason}".strip(), code or None)
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            self._feed.pong_received(self._number)
            if self._awaited_pongs and frame.get_payload_as_bytes() == CAUGHT_UP:
                caught_up = self._awaited_pongs.popleft()
                if not caught_up.done():
                    caught_up.set_result(None)
        else:
            self._parts += frame.get_payload_as_bytes()
            if too_long := excess("a message", len(self._parts)):
                self._end(too_long, 1009)
                transport.disconnect()
            elif frame.fin:
                message, self._parts = bytes(self._parts), bytearray()
                if not self._receive(message, time.time_ns()):
                    self._feed.receive_slow(self._number, message, time.time_ns())
                self._reported()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Report an end without a close frame, as soon as picows gives the reason."""
        self._ending = asyncio.create_task(self._report_end(transport))

    async def _report_end(self, transport: WSTransport) -> None:
        self._end(*await end_of(transport))

    def _end(self, reason: str, code: int | None) -> None:
        if not self._is_dropped:
            self._is_dropped = True
            self._receive = _ignore
            self._forget_pongs()
            self._feed.lost(self._number, reason, code)
            self._reported()


class HeldFrame(NamedTuple):
    """A frame that waits; a `WSFrame` is only valid while it is received."""

    msg_type: WSMsgType
    fin: bool
    payload: bytes

    def get_payload_as_bytes(self) -> bytes:
        """Return the payload."""
        return self.payload


class SteppedConnection(Connection):
    """A connection whose frames, and whose end, wait in order while a reader is at work."""

    def __init__(
        self, feed: Feed, number: int, reported: Callable[[], object], lockstep: Lockstep
    ) -> None:
        super().__init__(feed, number, reported)
        self._lockstep = lockstep

    @property
    def _will_read(self) -> bool:
        return self._is_reading or not self._lockstep.is_full

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a message to the feed, now or later."""
        if self._lockstep.is_held:
            held = HeldFrame(frame.msg_type, frame.fin, frame.get_payload_as_bytes())
            self._lockstep.hold(self._take, transport, held)
        else:
            self._take(transport, frame)

    def _take(self, transport: WSTransport, frame: WSFrame) -> None:
        super().on_ws_frame(transport, frame)
        if (
            self._feed.context.actions
        ):  # what is missing is fetched before anything else is delivered
            self._reported()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Report an end without a close frame, now or later."""
        if self._lockstep.is_held:
            self._lockstep.hold(super().on_ws_disconnected, transport)
        else:
            super().on_ws_disconnected(transport)


def _ignore(_raw: bytes, _received_ns: int) -> bool:
    """Accept nothing."""
    return False
