"""The WebSocket handshake: what an upgrade request asks for, and its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from uuid import uuid4

from msgspec import Struct
from websockets.utils import accept_key

from tickerplant.errors import TickerplantError
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget, parse_target
from tickerplant.server.backend import Admission
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.http_request import head_problem

LOST_RETRY_S = 5
"""The `Retry-After` of handshakes while the upstream is lost."""
VERSION = "13"
"""The supported version of WebSocket (RFC 6455, section 4.1)."""

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""Sixteen bytes in base64."""

Target = StreamTarget | ApiTarget


class UpgradeRequest(Struct, frozen=True):
    """A request to be upgraded to WebSocket."""

    target: str
    """As it was sent, one character per byte."""
    method: str
    http_version: str
    """`1.1`."""
    fields: list[tuple[bytes, bytes]]
    """The headers in their order, names in lower case."""

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a header, given in lower case."""
        return [value for each, value in self.fields if each == name]


def asks_for_websocket(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the headers of an upgrade request, names in lower case, name WebSocket."""
    return any(
        token.strip().lower() == b"websocket"
        for name, value in fields
        if name == b"upgrade"
        for token in value.split(b",")
    )


class Upgrade(Struct, frozen=True):
    """An upgrade request that is valid."""

    target: Target
    key: str
    """Its `Sec-WebSocket-Key`."""


class Answer(Struct, frozen=True):
    """The answer to an upgrade request."""

    status: int
    response: bytes
    """The whole answer, as it is sent."""
    target: Target | None = None
    """What is opened; None if the request is refused."""
    why: str = ""
    """Why it is refused, without anything the client sent, for the log."""


class _Refusal(TickerplantError):  # noqa: N818  # named after the answer
    """An upgrade request that is refused; `message` contains nothing that the client sent."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def read_upgrade(request: UpgradeRequest, endpoint: Endpoint) -> Upgrade | Answer:
    """Return what an upgrade request asks for, or the answer that refuses an invalid one."""
    try:
        _check_head(request)
        target = parse_target(request.target, endpoint.venue, endpoint.limits)
        return Upgrade(target, _key_of(request))
    except BadTarget as bad:
        response = _rejection(bad.status, bad.message, endpoint.date, {})
        return Answer(bad.status, response, why="not a stream URL")
    except _Refusal as refusal:
        return refused(refusal.status, refusal.message, endpoint.date, refusal.headers)


def answer_handshake(upgrade: Upgrade, endpoint: Endpoint, admission: Admission) -> Answer:
    """Return the answer to a valid upgrade request, about which `admission` was decided."""
    try:
        _check_room(upgrade.target, endpoint, admission)
    except _Refusal as refusal:
        return refused(refusal.status, refusal.message, endpoint.date, refusal.headers)
    headers = {
        "Date": endpoint.date,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(upgrade.key),
    }
    if isinstance(upgrade.target, ApiTarget):
        headers["x-mbx-uuid"] = str(uuid4())
    return Answer(101, _response(101, headers), upgrade.target)


def _check_head(request: UpgradeRequest) -> None:
    """Raise `_Refusal` if HTTP forbids the request."""
    if problem := head_problem(request.http_version, request.values(b"host")):
        raise _Refusal(*problem)


def _key_of(request: UpgradeRequest) -> str:
    """Return the key of an upgrade request, which must follow RFC 6455, section 4.2.1.

    Raises:
        _Refusal: it does not.
    """
    if request.http_version == "1.0":
        raise _Refusal(400, "A WebSocket handshake must use HTTP/1.1.")
    if request.method != "GET":
        raise _Refusal(405, "A WebSocket handshake must be a GET.", Allow="GET")
    if request.values(b"transfer-encoding") or set(request.values(b"content-length")) - {b"0"}:
        raise _Refusal(400, "An upgrade request must not have a body.")
    version = _only(request, "Sec-WebSocket-Version")
    if version != VERSION:
        message = f"This server supports WebSocket version {VERSION}."
        raise _Refusal(426, message, Upgrade="websocket", Sec_WebSocket_Version=VERSION)
    key = _only(request, "Sec-WebSocket-Key")
    if not _KEY.fullmatch(key):
        raise _Refusal(400, "The header Sec-WebSocket-Key is not 16 bytes in base64.")
    return key


def _only(request: UpgradeRequest, name: str) -> str:
    """Return the value of a header that must occur once.

    Raises:
        _Refusal: it is missing, or occurs more than once.
    """
    values = request.values(name.lower().encode())
    if len(values) != 1:
        wrong = "occurs more than once" if values else "is missing"
        raise _Refusal(400, f"The header {name} {wrong}.")
    return values[0].decode("latin-1")


def _check_room(target: Target, endpoint: Endpoint, admission: Admission) -> None:
    """Raise `_Refusal` if the address connects too often, or nothing can be opened for now."""
    if admission.wait_ms:
        wait_s = str(-(-admission.wait_ms // 1_000))
        raise _Refusal(429, "Too many connection attempts.", Retry_After=wait_s)
    if admission.unavailable:
        raise _Refusal(503, f"{admission.unavailable}.", Retry_After=str(LOST_RETRY_S))
    if endpoint.outage is not None and isinstance(target, StreamTarget):
        raise _Refusal(503, f"Upstream lost: {endpoint.outage}.", Retry_After=str(LOST_RETRY_S))


def refused(status: int, message: str, date: str, headers: Mapping[str, str]) -> Answer:
    """Return the answer that refuses an upgrade request; `message` goes into the log too."""
    response = _rejection(status, message, date, headers)
    return Answer(status, response, why=message.removesuffix("."))


def _rejection(status: int, message: str, date: str, headers: Mapping[str, str]) -> bytes:
    body = f"{message}\n".encode()
    every = {
        "Date": date,
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": "text/plain; charset=utf-8",
        **headers,
    }
    return _response(status, every) + body


def _response(status: int, headers: Mapping[str, str]) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{fields}\r\n".encode("latin-1")
