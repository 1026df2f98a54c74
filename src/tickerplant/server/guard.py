"""Keeps web pages that a user has open from using the server's own pages.

A browser sends the requests of any web page, also to this machine, and its headers say so.
Market data is open to all, as on the exchange; `/plant/v1` is for the operators of the server.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tickerplant.protocol.redaction import loggable_origin
from tickerplant.server.proxies import FORWARDED_FOR, TrustedProxies, is_loopback
from tickerplant.server.response import Headers

PLANT_PATHS = "/plant/v1/"
"""The prefix of the pages that are guarded."""
READING = frozenset({"GET", "HEAD"})
JSON_TYPE = "application/json"

_OWN_SITES = frozenset({"", "none", "same-origin"})
"""What a browser sends with a request that no other origin caused (Fetch Metadata)."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{0,5})?")
"""A name or an IP address, with or without a port."""


class Refusal(Struct, frozen=True):
    """Why a request is not answered."""

    status: int
    error: str
    """The problem, and what to do."""
    logged: str
    """The same for the log."""
    headers: Headers = ()


FORWARDED_PROTO = b"x-forwarded-proto"
"""The header in which a proxy says whether a client came over `http` or `https`."""
FORWARDED = frozenset({FORWARDED_FOR, b"forwarded", b"x-real-ip", b"via"})
"""Headers that a proxy adds: with one of them, a request is that of somebody else."""
NOT_FROM_HERE = Refusal(
    403,
    "another machine needs a token for this, and the server has none: start it with --control-token, "
    "or TICKERPLANT_CONTROL_TOKEN in its environment, or send the request from the machine of the "
    "server to 127.0.0.1",
    "a request of another machine, and there is no token: --control-token",
)
"""Why an operation is refused to another machine by a server without a token."""


class Guard:
    """Decides which requests to the server's own pages are accepted.

    Args:
        host: The configured address to listen on.
        address: The address that the port listens on.
        proxies: Those whose word about a client counts.
        scheme: `http`, or `https` for a port with TLS.
    """

    def __init__(
        self,
        host: str,
        address: str,
        proxies: TrustedProxies | None = None,
        *,
        scheme: str = "http",
    ) -> None:
        self._proxies = proxies or TrustedProxies()
        self._scheme = scheme
        self._is_local = is_loopback(address)
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        own = {name, short, f"{short}.local"} if not self._is_local else set()
        self._names = frozenset({"localhost", host.lower(), *own})

    def is_from_here(self, peer: str, client: str, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request comes from this machine, and not through it.

        Args:
            peer: The address at the other end of the connection.
            client: The address that it is charged to.
            headers: The headers of the request, see `joined`.
        """
        is_relayed = not FORWARDED.isdisjoint(headers) and not self._proxies.trust(peer)
        return is_loopback(peer) and is_loopback(client) and not is_relayed

    def refusal(
        self, method: str, headers: Mapping[bytes, bytes], peer: str = ""
    ) -> Refusal | None:
        """Return why a request is refused; None if it is not.

        Args:
            method: The HTTP method.
            headers: The headers of the request, see `joined`.
            peer: The address at the other end of the connection; empty if it is not known.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        site = headers.get(b"sec-fetch-site", b"").decode("latin-1")
        is_browser = bool(origin or site)
        # DNS rebinding: a foreign name that resolves to this machine gets around the same-origin rule.
        if host and (self._is_local or is_browser) and not self._is_ours(host):
            return _refusal(
                403,
                "Host {!r} is not a name of this server: use 127.0.0.1 or localhost, "
                "or listen on the address by which it is reached (--host)",
                host,
                loggable_origin(host),
            )
        if method in READING:
            return None
        own = f"{self._scheme_of(peer, headers)}://{host}"
        if site not in _OWN_SITES or (origin and (not host or origin != own)):
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

    def _scheme_of(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return how the client came: a trusted proxy that ends TLS says it."""
        said = headers.get(FORWARDED_PROTO, b"").decode("latin-1").strip().lower()
        is_known = said in {"http", "https"} and bool(peer) and self._proxies.trust(peer)
        return said if is_known else self._scheme

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
    """Return headers by name, in lower case; the values of repeated ones are joined by commas.

    So a valid value cannot hide an invalid one: a list of hosts is not a host.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _refusal(status: int, text: str, said: str, logged: str) -> Refusal:
    """Return a refusal whose text quotes what was sent, shortened."""
    return Refusal(status, text.format(said[:80]), text.format(logged))


def _name_of(host: str) -> str:
    """Return the name or address in `host` or `host:port`; empty if it is neither."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"
