"""The WebSocket handshake: what an upgrade request asks for, and its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from uuid import uuid4

from msgspec import Struct
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.utils import accept_key

from tickerplant.errors import TickerplantError
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget, parse_target
from tickerplant.server.backend import Admission
from tickerplant.server.endpoint import Endpoint

LOST_RETRY_S = 5
"""The `Retry-After` of handshakes while the upstream is lost."""
VERSION = "13"
"""The supported version of WebSocket (RFC 6455, section 4.1)."""

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""Sixteen bytes in base64."""

Target = StreamTarget | ApiTarget


class Upgrade(Struct, frozen=True):
    """An upgrade request that is valid."""

    target: Target
    key: str
    """Its `Sec-WebSocket-Key`."""


class Answer(Struct, frozen=True):
    """The answer to an upgrade request."""

    response: Response
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


def read_upgrade(request: Request, endpoint: Endpoint, now_ms: int) -> Upgrade | Answer:
    """Return what an upgrade request asks for, or the answer that refuses an invalid one."""
    try:
        target = parse_target(request.path, endpoint.venue, endpoint.limits)
        return Upgrade(target, _key_of(request))
    except BadTarget as bad:
        return Answer(_rejection(bad.status, bad.message, now_ms), why="not a stream URL")
    except _Refusal as refusal:
        return refused(refusal.status, refusal.message, now_ms, refusal.headers)


def answer_handshake(
    upgrade: Upgrade, endpoint: Endpoint, admission: Admission, now_ms: int
) -> Answer:
    """Return the answer to a valid upgrade request, about which `admission` was decided."""
    try:
        _check_room(upgrade.target, endpoint, admission)
    except _Refusal as refusal:
        return refused(refusal.status, refusal.message, now_ms, refusal.headers)
    headers = Headers(
        {
            "Date": _date(now_ms),
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept_key(upgrade.key),
        }
    )
    if isinstance(upgrade.target, ApiTarget):
        headers["x-mbx-uuid"] = str(uuid4())
    return Answer(Response(101, "Switching Protocols", headers), upgrade.target)


def _key_of(request: Request) -> str:
    """Return the key of an upgrade request, which must follow RFC 6455, section 4.2.1.

    Raises:
        _Refusal: it does not.
    """
    if request.protocol != "HTTP/1.1":
        raise _Refusal(400, "A WebSocket handshake must use HTTP/1.1.")
    if request.method != "GET":
        raise _Refusal(405, "A WebSocket handshake must be a GET.", Allow="GET")
    headers = request.headers
    if "Transfer-Encoding" in headers or set(headers.get_all("Content-Length")) - {"0"}:
        raise _Refusal(400, "An upgrade request must not have a body.")
    _only(headers, "Host")
    version = _only(headers, "Sec-WebSocket-Version")
    if version != VERSION:
        message = f"This server supports WebSocket version {VERSION}."
        raise _Refusal(426, message, Upgrade="websocket", Sec_WebSocket_Version=VERSION)
    key = _only(headers, "Sec-WebSocket-Key")
    if not _KEY.fullmatch(key):
        raise _Refusal(400, "The header Sec-WebSocket-Key is not 16 bytes in base64.")
    return key


def _only(headers: Headers, name: str) -> str:
    """Return the value of a header that must occur once.

    Raises:
        _Refusal: it is missing, or occurs more than once.
    """
    values = headers.get_all(name)
    if len(values) != 1:
        wrong = "occurs more than once" if values else "is missing"
        raise _Refusal(400, f"The header {name} {wrong}.")
    return values[0]


def _check_room(target: Target, endpoint: Endpoint, admission: Admission) -> None:
    """Raise `_Refusal` if the address connects too often, or nothing can be opened for now."""
    if admission.wait_ms:
        wait_s = str(-(-admission.wait_ms // 1_000))
        raise _Refusal(429, "Too many connection attempts.", Retry_After=wait_s)
    if admission.unavailable:
        raise _Refusal(503, f"{admission.unavailable}.", Retry_After=str(LOST_RETRY_S))
    if endpoint.outage is not None and isinstance(target, StreamTarget):
        raise _Refusal(503, f"Upstream lost: {endpoint.outage}.", Retry_After=str(LOST_RETRY_S))


def refused(status: int, message: str, now_ms: int, headers: Mapping[str, str]) -> Answer:
    """Return the answer that refuses an upgrade request; `message` goes into the log too."""
    response = _rejection(status, message, now_ms)
    response.headers.update(headers)
    return Answer(response, why=message.removesuffix("."))


def _rejection(status: int, message: str, now_ms: int) -> Response:
    body = f"{message}\n".encode()
    headers = Headers(
        {
            "Date": _date(now_ms),
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": "text/plain; charset=utf-8",
        }
    )
    return Response(status, HTTPStatus(status).phrase, headers, body)


def _date(now_ms: int) -> str:
    return formatdate(now_ms / 1_000, usegmt=True)
