"""A client of the control plane that blocks: for tests, scripts and `tickerplant control`.

It needs no event loop, and nothing beyond the standard library.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from json import dumps, loads
from typing import Any, Self, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from tickerplant.control.clock_state import LONGEST_WAIT_S
from tickerplant.errors import HIDDEN, ConfigError, TickerplantError, UpstreamError
from tickerplant.formatting import LONGEST_MESSAGE, one_line
from tickerplant.originals import Original, Owner
from tickerplant.protocol.credentials import EXPECTED_SECRET, fits_a_header
from tickerplant.received import MAX_BYTES, excess

PREFIX = "/plant/v1"
TIMEOUT_S = 10.0
"""How long an answer may take, beside what a step or a seek takes."""
MAX_SHOWN = 200
"""Characters of an unexpected answer that an error shows."""
_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}

Fields: TypeAlias = Mapping[str, Any]
"""The fields of a request, as in JSON."""
Page: TypeAlias = dict[str, Any]
"""The JSON object of an answer."""


class ControlError(TickerplantError):
    """The server refused an operation: `message` is its sentence, `status` the HTTP status.

    `field` names the field that is wrong; it is empty if it is none.
    """

    def __init__(self, message: str, status: int, field: str = "") -> None:
        self.message = one_line(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.status = status
        self.field = one_line(field)


class ControlClient:
    """Calls the operations of a running server, any of its ports and any of its workers.

    Thread-safe: each request that is under way has a connection of its own, and connections are kept
    open for the next ones.  A process that is forked from this one opens its own.  Every method raises
    `ControlError` if the server refuses the operation, and `UpstreamError` if there is no answer.

    Args:
        url: The address of a port, such as `http://127.0.0.1:9001`; `ws://` and an address without a
            scheme are fine too.
        token: The token of the control plane, if the server has one.
        timeout_s: How long to wait for an answer, beside what a step or a seek takes.
        tls: Decides which certificates are accepted; those that the system trusts if missing.

    Raises:
        ConfigError: the address or the token cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        scheme, self._host, self._port = _address(url)
        if token and not fits_a_header(token):
            raise ConfigError("token", HIDDEN, EXPECTED_SECRET)
        self.url = f"{scheme}://{self._host}:{self._port}"
        """The address, with scheme and port."""
        self._is_tls = scheme == "https"
        self._tls = tls
        self._timeout_s = timeout_s
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._idle: list[HTTPConnection] = []
        """Connections without a request; the last one was used last."""
        self._owner = Owner()

    def close(self) -> None:
        """Close the connections that no request uses."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Clock

    def clock(self) -> Page:
        """Return the state of the clock: `time_ms`, `speed`, `paused`, `state`, `pending` and others."""
        return self.call("GET", "clock")

    def coverage(self) -> Page:
        """Return what the recordings of a replay cover: `spans`, `holes` with their reasons and others."""
        return self.call("GET", "coverage")

    def set_clock(
        self,
        *,
        speed: float | None = None,
        paused: bool | None = None,
        seek: str | int | None = None,
        wait_s: float = LONGEST_WAIT_S,
    ) -> Page:
        """Change the clock; return its state when that is done, or after `wait_s` with `pending`.

        Args:
            speed: Market seconds per second; 0 is as fast as possible.
            paused: Whether the market is paused.
            seek: A time, ms since 1970 or an ISO date, or an offset such as `+10s`.
            wait_s: How long to wait for the end of a seek.
        """
        fields = {"speed": speed, "paused": paused, "seek": seek}
        given = {name: value for name, value in fields.items() if value is not None}
        return self._change_clock(given, wait_s)

    def step(self, amount: str | int, *, wait_s: float = LONGEST_WAIT_S) -> Page:
        """Advance a paused market; return its state when it stands still again.

        Args:
            amount: Market time such as `10s`; in a replay, a number of messages is possible too.
            wait_s: How long to wait; after that the state has `pending`, and the step goes on.
        """
        return self._change_clock({"step": amount}, wait_s)

    def _change_clock(self, fields: Fields, wait_s: float) -> Page:
        return self.call(
            "POST", "clock", fields=fields, params={"wait": f"{wait_s:g}s"}, extra_s=wait_s
        )

    def settle(self, *, wait_s: float = TIMEOUT_S, cut_after_ms: int | None = None) -> Page:
        """Return when all clients have read what was sent to them, or after `wait_s`.

        Args:
            wait_s: The longest wait; after that `settled` is false, and `unsettled` says who has not.
            cut_after_ms: Wait also until the clients of the connections that the server has ended after
                this market time are connected again, or were refused.
        """
        params = {"wait": f"{wait_s:g}s", "cut_after_ms": cut_after_ms}
        return self.call("POST", "settle", params=params, extra_s=wait_s)

    # Faults, scenarios and levers

    def faults(self) -> Page:
        """Return the faults that are on, and the kinds there are."""
        return self.call("GET", "faults")

    def add_fault(self, rule: Fields) -> Page:
        """Turn a fault on; return it with its `id`.

        Args:
            rule: `kind`, the parameters of the kind, the aim and the window, by name.
        """
        return self.call("POST", "faults", fields=rule)

    def remove_fault(self, fault_id: str | None = None) -> Page:
        """Turn a fault off, or all of them; return the faults that are left."""
        return self.call("DELETE", _named("faults", fault_id))

    def scenarios(self) -> Page:
        """Return the scenarios that run or ran, and those of the library."""
        return self.call("GET", "scenarios")

    def start_scenario(self, scenario: str, file_name: str = "") -> Page:
        """Start a scenario; return it with its `id`.

        Args:
            scenario: The name of one in the library, or the text of a scenario, TOML.
            file_name: What to call a text, in errors and lists.
        """
        fields = {"scenario": scenario}
        if file_name or "\n" in scenario or "=" in scenario:
            fields = {"toml": scenario} | ({"name": file_name} if file_name else {})
        return self.call("POST", "scenarios", fields=fields)

    def stop_scenario(self, scenario_id: str | None = None) -> Page:
        """Stop a scenario, or all of them; return the scenarios."""
        return self.call("DELETE", _named("scenarios", scenario_id))

    def levers(self) -> Page:
        """Return the levers that are pulled, and those that there are."""
        return self.call("GET", "levers")

    def pull_lever(self, lever: Fields) -> Page:
        """Pull a lever of the simulated market; return it with its `id`.

        Args:
            lever: `market`, the name of the lever, and its parameters, by name.
        """
        return self.call("POST", "levers", fields=lever)

    def release_lever(self, lever_id: str | None = None) -> Page:
        """Release a lever, or all of them; return the levers that are pulled."""
        return self.call("DELETE", _named("levers", lever_id))

    # Clients

    def connections(self, limit: int = 100) -> Page:
        """Return the open connections, those with most unsent data first, and the last closed ones."""
        return self.call("GET", "connections", params={"limit": limit})

    def close_connection(self, connection_id: str) -> Page:
        """Close a connection; return what it was."""
        return self.call("DELETE", _named("connections", connection_id))

    def limits(self) -> Page:
        """Return how close clients of the venue of this port came to the limits."""
        return self.call("GET", "limits")

    # The server

    def nodes(self) -> Page:
        """Return the processes that serve the market."""
        return self.call("GET", "nodes")

    def profile(self) -> str:
        """Return the name of the protocol profile."""
        return str(self.call("GET", "profile")["profile"])

    def openapi(self) -> Page:
        """Return the OpenAPI document of the server."""
        return self.call("GET", "openapi.json")

    # What was

    def truth_book(self, symbol: str, update_id: int | None = None) -> Page:
        """Return the book of a symbol at an update id; the latest if missing."""
        return self.call("GET", "truth/book", params={"symbol": symbol, "update_id": update_id})

    def truth_trades(
        self,
        symbol: str,
        *,
        kind: str = "trade",
        from_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int | None = None,
    ) -> Page:
        """Return the trades of a symbol that were published; see `/plant/v1/truth/trades`."""
        params = {
            "symbol": symbol,
            "kind": kind,
            "from_id": from_id,
            "start_ms": start_ms,
            "end_ms": end_ms,
            "limit": limit,
        }
        return self.call("GET", "truth/trades", params=params)

    def truth_sent(
        self, connection: str | None = None, *, from_number: int = 0, limit: int | None = None
    ) -> Page:
        """Return what was sent to a connection; the connections, if none is named."""
        params = {"connection": connection, "from": from_number or None, "limit": limit}
        return self.call("GET", "truth/sent", params=params)

    # Any operation

    def call(
        self,
        method: str,
        path: str,
        *,
        fields: Fields | None = None,
        params: Fields | None = None,
        extra_s: float = 0,
    ) -> Page:
        """Call an operation; return its answer.

        Args:
            method: `GET`, `POST` or `DELETE`.
            path: The path below `/plant/v1/`.
            fields: The fields of the body.
            params: The parameters of the query; those that are None are left out.
            extra_s: How much longer than usual the answer may take.

        Raises:
            ControlError: the server refused it.
            UpstreamError: there is no answer, or it is not one of such a server.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        target = f"{PREFIX}/{path}" + (f"?{urlencode(given)}" if given else "")
        headers, body = self._headers, None
        if fields is not None:
            headers = headers | {"Content-Type": "application/json"}
            body = _encoded(fields)
        with self._failures(method, target):
            status, text = self._exchange(method, target, body, headers, extra_s)
        return self._page(method, f"{PREFIX}/{path}", status, text)

    @contextmanager
    def _failures(self, method: str, target: str) -> Iterator[None]:
        """Raise UpstreamError for what goes wrong on the way."""
        try:
            yield
        except TimeoutError:
            reason = f"no answer to {method} {target.partition('?')[0]} in time"
        except ssl.SSLError as error:
            reason = f"TLS failed: {error.reason or error}"
        except ConnectionRefusedError:
            reason = "nothing listens there"
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
        else:
            return
        raise UpstreamError(self.url, reason) from None

    def _exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        extra_s: float,
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer."""
        connection = self._idle_connection()
        is_reused = connection is not None
        if connection is None:
            connection = self._connection()
        timeout_s = self._timeout_s + extra_s
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            connection.request(method, target, body, dict(headers))
            response = connection.getresponse()
            status, text = response.status, self._body(response)
        except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            if not is_reused:
                raise
            # The server has closed a connection that was idle: it has not seen the request.
            return self._exchange(method, target, body, headers, extra_s)
        except BaseException:  # also an interruption: the answer would be taken for the next one's
            connection.close()
            raise
        self._idle.append(connection)
        return status, text

    def _body(self, response: HTTPResponse) -> bytes:
        size = response.length  # None in chunks, which may go on for ever
        text = response.read(MAX_BYTES + 1) if size is None else b""
        if too_long := excess("the answer", size or len(text)):
            raise UpstreamError(self.url, too_long)
        return text or response.read()

    def _idle_connection(self) -> HTTPConnection | None:
        """Return a connection that no other request uses, if there is one."""
        if not self._owner.is_here:  # forked: they are the parent's
            self._owner = Owner()
            self.close()
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connection(self) -> HTTPConnection:
        connection = Original.HTTPConnection(self._host, self._port)
        if self._is_tls:
            connection = Original.HTTPSConnection(self._host, self._port, context=self._tls)
        vars(connection)["_create_connection"] = _connected
        return connection

    def _page(self, method: str, path: str, status: int, text: bytes) -> Page:
        """Return the answer.

        Raises:
            ControlError: the server refused the operation.
            UpstreamError: it is not an answer of such a server.
        """
        try:
            page = loads(text)
        except ValueError:
            page = None
        if status == 200 and isinstance(page, dict):
            return page
        if isinstance(page, dict) and isinstance(page.get("error"), str):
            raise ControlError(page["error"], status, str(page.get("field", "")))
        if status == 404:
            raise ControlError(
                f"the server at {self.url} has no {method} {path}: it is another one, or of another "
                "version",
                status,
            )
        shown = text[:MAX_SHOWN].decode("utf-8", "replace").strip()
        raise UpstreamError(self.url, f"an unexpected answer, status {status}: {shown!r}")


def _encoded(fields: Fields) -> bytes:
    """Return fields as JSON.

    Raises:
        ConfigError: one is a number that is not finite.
    """
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(name, value, "a finite number")
    return dumps(dict(fields)).encode()


def _connected(address: tuple[str, int], timeout_s: float, _source: object) -> socket.socket:
    """Return a socket that is connected to the first place that accepts, as `http.client` wants it."""
    failure = OSError("the host has no address")
    for family, kind, protocol, _, place in Original.getaddrinfo(*address, type=socket.SOCK_STREAM):
        found = Original.Socket(family, kind, protocol)
        try:
            found.settimeout(timeout_s)
            found.connect(place)
        except OSError as error:
            found.close()
            failure = error
        else:
            return found
    raise failure


def _named(path: str, name: str | None) -> str:
    return path if name is None else f"{path}/{quote(name, safe='')}"


def _address(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of the address of a server.

    Raises:
        ConfigError: it is none.
    """
    expected = "the address of a server, such as http://127.0.0.1:9001"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise ConfigError("url", url, expected) from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.username is not None:
        raise ConfigError("url", url, expected)
    return scheme, parts.hostname, port or {"http": 80, "https": 443}[scheme]
