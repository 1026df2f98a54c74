"""The HTTP protocol of a port: uvicorn's, with limits on the size and time of requests.

One request is parsed at a time.  So an upgrade to WebSocket takes over the connection once all requests
before it are answered, with every byte that followed the upgrade request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeAlias

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tickerplant.protocol.redaction import loggable
from tickerplant.server.arrival import Arrival
from tickerplant.server.containment import contained
from tickerplant.server.endpoint import TLS_TO_PLAIN, Endpoint
from tickerplant.server.handshake import UpgradeRequest, asks_for_websocket
from tickerplant.server.proxies import MalformedProxyError, TrustedProxies
from tickerplant.server.request_feed import RequestFeed
from tickerplant.server.rest import PEER, PENDING, UNKNOWN, PendingResponse, Rest
from tickerplant.server.websocket import WebSocketConnection
from tickerplant.server.witnessed_transport import witnessed

HEAD, BODY, ANSWER, IDLE = "head", "body", "answer", "idle"
"""What a connection was late with when it was closed: labels in the log and the metrics."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONNECTIONS_PER_TURN = 4
"""How many go on in a turn of the loop with what is held back of them: others get the rest of the turn."""

Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""Answers HTTP requests: an ASGI application.  `Rest` also answers questions at once."""


class Http:
    """What the connections of one port share."""

    def __init__(
        self,
        endpoint: Endpoint,
        app: Application,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.limits = endpoint.limits
        self.loop = asyncio.get_running_loop()
        self.arrivals: set[Arrival] = set()
        """The connections that have not sent anything yet."""
        self.rest = app if isinstance(app, Rest) else None
        """Answers questions at once; None if the application cannot."""
        self.proxies = proxies or TrustedProxies()
        self._waiting: dict[RequestFeed, None] = {}
        """The connections with bytes held back, in the order in which they go on."""
        self._state = ServerState()
        self._config = _config(app, endpoint.limits.keep_alive_ms)

    @property
    def connections(self) -> Iterable[Arrival | HttpConnection]:
        """The open connections that are not upgraded."""
        served = (each for each in self._state.connections if isinstance(each, HttpConnection))
        return (*self.arrivals, *served)

    def arrival(self) -> Arrival:
        """Return the protocol of a new connection."""
        return Arrival(self)

    def connection(self, head_timeout_ms: int) -> HttpConnection:
        """Return the protocol of a connection whose first head must be complete in time."""
        return HttpConnection(self, self._config, self._state, head_timeout_ms)

    def upgrade(self, transport: asyncio.Transport, request: UpgradeRequest, rest: bytes) -> None:
        """Hand a connection to the WebSocket side, with the bytes after the request."""
        endpoint = self.endpoint
        try:
            address = self.proxies.client_of(peer_of(transport), request.fields)
        except MalformedProxyError as error:
            endpoint.reject_proxy(error)
            _refuse(transport, 400, f"{error}.")
            return
        connection = WebSocketConnection(endpoint, address)
        transport.set_protocol(connection)
        if endpoint.sent is not None:
            transport = witnessed(
                transport,
                endpoint.sent,
                connection.identity,
                endpoint.venue.name,
                loggable(request.target),
            )
        connection.connection_made(transport)
        connection.begin(request)
        if rest:
            connection.data_received(rest)

    def let_go_on(self, connection: RequestFeed) -> None:
        """Let a connection go on with what is held back of it, a few of them in each turn of the loop."""
        if not self._waiting:
            self.loop.call_soon(self._go_on)
        self._waiting[connection] = None

    def _go_on(self) -> None:
        turn = list(islice(self._waiting, CONNECTIONS_PER_TURN))
        for connection in turn:
            del self._waiting[connection]
        if self._waiting:
            self.loop.call_soon(self._go_on)
        for connection in turn:
            connection.go_on()

    def refuse_tls(self, transport: asyncio.Transport) -> None:
        """Answer a client that starts TLS on a plain port, and count it.

        TLS libraries recognise the HTTP response: `wrong version number`, `server gave HTTP response
        to HTTPS client`.
        """
        host, port = transport.get_extra_info("sockname")[:2]
        text = (
            f"{host}:{port} does not use TLS: use ws:// and http://, not wss:// and https://, or start "
            "the server with --tls self or --tls-cert"
        )
        self.endpoint.counters.turned_away[TLS_TO_PLAIN] += 1
        self.endpoint.complaints.add(TLS_TO_PLAIN, f"! a client started TLS: {text}")
        _refuse(transport, 400, text)


def _config(app: Application, keep_alive_ms: int) -> Config:
    """Return uvicorn's configuration of the connections of a port."""
    config = Config(
        app,
        http=HttpToolsProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        timeout_keep_alive=keep_alive_ms / 1_000,  # type: ignore[arg-type]  # seconds
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    config.loaded_app = app  # uvicorn would log complete requests at its lowest level
    return config


class HttpConnection(RequestFeed):
    """One connection of a port until it is upgraded or closed."""

    def __init__(
        self,
        http: Http,
        config: Config,
        state: ServerState,
        head_timeout_ms: int,
    ) -> None:
        super().__init__(config, state, http.limits.max_head_bytes, http.let_go_on)
        self._http = http
        self._first_head_ms = head_timeout_ms
        self._rest = http.rest
        self._is_question = False
        """Whether the request can be answered at once, without a task."""
        self._endpoint = http.endpoint
        self._limits = http.endpoint.limits
        self._reading: asyncio.TimerHandle | None = None
        """Runs while a head or a body is incomplete."""
        self._writing: asyncio.TimerHandle | None = None
        """Runs while the client does not read a response."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport, and wait a limited time for a request."""
        super().connection_made(transport)
        self._reading = self._timer(HEAD, self._limits.head_timeout_ms, self._first_head_ms)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_reading()
        self._end_writing()
        super().connection_lost(exc)

    @contained
    def go_on(self) -> None:
        """Parse of what is held back what a turn allows."""
        super().go_on()

    def abandon(self, error: Exception) -> None:
        """Count and log an error of this connection, and cut it: no other is concerned."""
        kind = f"connection: {type(error).__name__}"
        self._endpoint.complaints.add(kind, f"! lost: {error}", exc_info=error)
        self.transport.abort()

    def await_rest(self) -> None:
        """Limit the time for the rest of a request that has begun."""
        if self._reading is None and not self.transport.is_closing():
            head_ms, body_ms = self._limits.head_timeout_ms, self._limits.body_timeout_ms
            self._reading = self._timer(*((HEAD, head_ms) if self._in_head else (BODY, body_ms)))

    def _should_upgrade(self) -> bool:
        """Return whether the upgrade of a request is one to WebSocket."""
        return asks_for_websocket(self.headers)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to the WebSocket side, with the bytes after the request."""
        self.connections.discard(self)
        self._end_reading()
        self._end_writing()
        rest = bytes(self.held)
        self.held.clear()
        self.flow.resume_reading()
        self.flow.feed = None
        request = UpgradeRequest(
            self.url.decode("latin-1"),
            self.parser.get_method().decode("ascii"),
            self.parser.get_http_version(),
            self.headers,
        )
        self._http.upgrade(self.transport, request, rest)

    def on_headers_complete(self) -> None:
        """End the head, and handle the request; one with an offer to upgrade is not read yet."""
        if self.parser.should_upgrade():
            return
        self._end_reading()
        self.check_head()
        if self._http.proxies:
            self._find_client()
        self._is_question = self._can_be_question()
        self._in_head = False
        if not self._is_question:
            self._start_application(None)

    def on_message_complete(self) -> None:
        """End the request; the next one starts with a head."""
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._head_bytes = 0
        if self._is_question:
            self._answer_question()
        else:
            self._end_reading()
            super().on_message_complete()

    def _find_client(self) -> None:
        """Let the request be one of the client for which a trusted proxy sends it."""
        try:
            peer = peer_of(self.transport)
            self.client = self._http.proxies.client_of(peer, self.headers), 0
        except MalformedProxyError as error:
            self._endpoint.reject_proxy(error)
            self._reject(f"{error}.")

    def _can_be_question(self) -> bool:
        """Whether the request is a plain GET, and a response can be written now."""
        return (
            self._rest is not None
            and self.parser.get_method() == b"GET"
            and self.parser.should_keep_alive()
            and self._version == "1.1"
            and not (self._body_left or self._has_chunks)
            and not (self.expect_100_continue or self.flow.write_paused)
        )

    def _answer_question(self) -> None:
        """Answer a question at once, or start the application if that is not possible."""
        assert self._rest is not None  # noqa: S101  # tells the type checker
        address = self.client[0] if self.client else UNKNOWN
        response = self._rest.answer_question(self.url, self.headers, address)
        if response is None or isinstance(response, PendingResponse):
            self._start_application(response)
            super().on_message_complete()
            return
        self._has_answered = True
        self.transport.write(self._rest.head(response) + response.body)
        self.on_response_complete()

    def _start_application(self, pending: PendingResponse | None) -> None:
        """Start a task that answers the request, whose response may be begun already."""
        url, headers = self.url, self.headers
        if self.expect_100_continue and self._version != "1.0":
            # Some wait for it also without a body, and before they read the answer.
            self.transport.write(CONTINUE)
        most_bytes = self._limits.max_uri_bytes
        if len(url) > most_bytes:  # its length is why it is refused: the rest is not decoded
            url = url[:most_bytes].ljust(len(url), b".")
        HttpToolsProtocol.on_message_begin(self)  # makes the scope
        self.url, self.headers = url, headers
        self.scope["headers"] = headers
        self.scope["state"][PEER] = peer_of(self.transport)
        if pending is not None:
            self.scope["state"][PENDING] = pending
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Write nothing until the client has read, and disconnect it if it does not."""
        super().pause_writing()
        self._writing = self._timer(ANSWER, self._limits.answer_timeout_ms)

    def resume_writing(self) -> None:
        """Resume writing."""
        self._end_writing()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and abort one that does not read its response."""
        unread = self.transport.get_write_buffer_size()
        self._time_out(ANSWER if unread else IDLE, self._limits.keep_alive_ms)

    def _timer(self, what: str, timeout_ms: int, left_ms: int | None = None) -> asyncio.TimerHandle:
        delay_s = (timeout_ms if left_ms is None else left_ms) / 1_000
        return self.loop.call_later(delay_s, self._time_out, what, timeout_ms)

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _end_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _time_out(self, what: str, timeout_ms: int) -> None:
        """Close the connection because the client was late; answer 408 if it may still read."""
        if self.transport.is_closing():
            return
        self._endpoint.counters.timeouts[what] += 1
        if what == IDLE:
            self.transport.close()
            return
        text = f"The {what} of a request was not complete within {timeout_ms} ms."
        if what == ANSWER:
            text = f"A response was not read within {timeout_ms} ms."
        self._endpoint.complaints.add(f"http {what} timeout", f"! {text}")
        has_started = what == BODY or self._head_bytes
        if what == ANSWER or not has_started or (self.cycle and self.cycle.response_started):
            self.transport.abort()
        else:
            _refuse(self.transport, 408, text)

    def send_400_response(self, msg: str) -> None:
        """Answer an invalid HTTP request, and count it."""
        self._endpoint.counters.malformed += 1
        self._endpoint.complaints.add("malformed http", f"! {msg}")
        if not self._in_head and self.cycle and self.cycle.response_started:
            self.transport.close()  # a second response would belong to another request
        else:
            _refuse(self.transport, self._status, msg)


def _refuse(transport: asyncio.Transport, status: int, text: str) -> None:
    """Write an error response outside of a request, and close."""
    transport.write(closing_response(status, text))
    transport.close()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Return the address at the other end of a connection."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else UNKNOWN


def closing_response(status: int, text: str, *headers: str) -> bytes:
    """Return the last response on a connection: one line of ASCII text."""
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: text/plain; charset=utf-8",
        f"content-length: {len(text) + 1}",
        *headers,
        "connection: close",
    )
    return "\r\n".join([*lines, "", f"{text}\n"]).encode("ascii")
