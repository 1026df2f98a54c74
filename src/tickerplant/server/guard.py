"""Who may use the pages of the plant itself: not the web pages that somebody has open.

A browser sends what any page asks it to, also to this machine, and says so in its headers.
Market data stays open to all, as on the exchange; `/plant/v1` is for those who run the server.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tickerplant.protocol.redaction import loggable_origin

PLANT_PATHS = "/plant/v1/"
"""Under this are the pages that are guarded."""
READING = frozenset({"GET", "HEAD"})
JSON_TYPE = "application/json"

_OWN_SITES = frozenset({"", "none", "same-origin"})
"""What a browser says of a request that no page of another origin caused (Fetch Metadata)."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{0,5})?")
"""A name, or an address of either kind, perhaps with a port: nothing else is a host."""


class Refusal(Struct, frozen=True):
    """Why a request is not answered."""

    status: int
    error: str
    """What is wrong, and what to do."""
    logged: str
    """The same as it may stand in the log."""


class Guard:
    """Decides which requests to the pages of the plant are taken.

    Args:
        host: What to listen on, as it was configured.
        address: The address that the port listens on.
    """

    def __init__(self, host: str, address: str) -> None:
        self._is_local = ipaddress.ip_address(address.partition("%")[0]).is_loopback
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        own = {name, short, f"{short}.local"} if not self._is_local else set()
        self._names = frozenset({"localhost", host.lower(), *own})

    def refusal(self, method: str, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Return why a request is refused, None if it is not.

        Args:
            method: The HTTP method.
            headers: What came with the request, see `joined`.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
        is_browser = bool(origin or site)
        # A name that leads here without being ours is how a web page gets around the rule of origins.
        if host and (self._is_local or is_browser) and not self._is_ours(host):
            return _refusal(
                403,
                "Host {!r} is not a name of this server: ask for 127.0.0.1 or localhost, "
                "or listen on the address by which it is reached (--host)",
                host,
                loggable_origin(host),
            )
        if method in READING:
            return None
        if site not in _OWN_SITES or (origin and origin.partition("://")[2] != host):
            return _refusal(
                403,
                "a web page of {} may not change this server: "
                "send the request from a program, such as curl",
                origin or "another origin",
                loggable_origin(origin) if origin else "another origin",
            )
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != JSON_TYPE.encode() and (kind or _has_body(headers)):
            return _refusal(
                415,
                f"Content-Type is {{}}: send JSON, with the header 'Content-Type: {JSON_TYPE}', "
                "or parameters of the query and no body",
                kind.decode("latin-1") or "missing",
                "another" if kind else "missing",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._is_local


def joined(fields: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return headers, names in lower case, with all values of those that came more than once.

    So a value that is right does not hide one that is wrong: a list of hosts is no host.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _refusal(status: int, text: str, said: str, logged: str) -> Refusal:
    """Return a refusal whose text names something that was sent, cut short for the answer."""
    return Refusal(status, text.format(said[:80]), text.format(logged))


def _name_of(host: str) -> str:
    """Return the name or address of `host` or `host:port`; empty if it is neither."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"
