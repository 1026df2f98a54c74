"""The HTTP front of a port: uvicorn's protocol, with bounds on what comes before a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tickerplant.server.endpoint import Endpoint
from tickerplant.server.rest import Rest
from tickerplant.server.websocket import WebSocketConnection

MAX_HEAD_BYTES = 65_536
"""Longest request line and headers together; also of pipelined requests that come at once."""
HEAD_TIMEOUT_S = 30
"""How long a connection may take to send the head of a request."""
KEEP_ALIVE_S = 60
"""How long a connection stays open after an answer, and how long it may take to read it."""


class HttpConnection(HttpToolsProtocol):
    """One connection of a port until it is upgraded or closed."""

    def __init__(self, endpoint: Endpoint, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._endpoint = endpoint
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport and wait for a request, not for ever."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse `data`, unless the head of the request has become too long."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response(f"Request head over {MAX_HEAD_BYTES} bytes.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End the head and answer the request."""
        self._end_head()
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request; the next one begins with a new head."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and cut one that does not read its answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _await_head(self) -> None:
        self._end_head()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request, and count it."""
        self._endpoint.counters.malformed += 1
        self._endpoint.complaints.add("malformed http", f"! {msg}")
        super().send_400_response(msg)


def protocol_factory(
    endpoint: Endpoint, app: Rest, state: ServerState
) -> Callable[[], HttpConnection]:
    """Return what makes the protocol of a new connection to `endpoint`."""

    def upgrade(**_uvicorn: Any) -> WebSocketConnection:
        return WebSocketConnection(endpoint)

    config = Config(
        app,
        http=HttpToolsProtocol,
        ws=upgrade,  # type: ignore[arg-type]  # called like the class it stands for
        interface="asgi3",
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    return lambda: HttpConnection(endpoint, config, state)
