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
from tickerplant.server.proxies import FORWARDED_FOR, TrustedProxies, hop_address, is_loopback
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
    """The same for the log; empty if it is logged already."""
    headers: Headers = ()


FORWARDED_PROTO = b"x-forwarded-proto"
"""The header in which a proxy says whether a client came over `http` or `https`."""
_RELAYED = re.compile(
    rb"via|cdn-loop|(?:cf|x-envoy|x-original)-.+|.*(?:forwarded|proxy).*"
    rb"|(?:.+-)?(?:client)?(?:ip(?:v6)?|addr(?:ess)?)"
)
"""Headers that proxies, tunnels and content networks add: a request with one is that of somebody else."""
_OF_NAMED_PROXY = b"x-forwarded-"
"""How those begin that a named proxy may add to a request from this machine."""
NOT_FROM_HERE = Refusal(
    403,
    "this needs a token, unless a program on the machine of the server asks it directly at 127.0.0.1 or "
    "localhost, and the server has none: start it with --control-token, or TICKERPLANT_CONTROL_TOKEN "
    "in its environment; beside a proxy on the same machine, and at an edge, control needs a token",
    "a request that is not known to be one of this machine, and there is no token: --control-token",
)
"""Why an operation is refused by a server without a token."""


class Guard:
    """Decides which requests to the server's own pages are accepted."""

    def __init__(
        self,
        host: str,
        address: str,
        proxies: TrustedProxies | None = None,
        *,
        scheme: str = "http",
        public_names: Iterable[str] = (),
    ) -> None:
        self._proxies = proxies or TrustedProxies()
        self._scheme = scheme
        self._is_local = is_loopback(address)
        name = socket.gethostname().lower()
        short = name.partition(".")[0]
        own = {name, short, f"{short}.local"} if not self._is_local else set()
        self._names = frozenset({"localhost", host.lower(), *own, *map(str.lower, public_names)})

    def is_from_here(self, peer: str, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request comes from this machine, and not through it; `headers` are `joined`."""
        if not is_loopback(peer) or not self._is_ours(_text(headers, b"host")):
            return False
        marks = [name for name in headers if _RELAYED.fullmatch(name)]
        if not self._proxies.trust(peer):
            return not marks
        hops = map(hop_address, _text(headers, FORWARDED_FOR).split(","))
        return all(hop is not None and hop.is_loopback for hop in hops) and all(
            name.startswith(_OF_NAMED_PROXY) for name in marks
        )

    def charged_to(self, address: str, headers: Mapping[bytes, bytes]) -> str:
        """Return the name to which a request of a client is charged.

        The web pages of other origins share one at each address, so that they use up nothing of the
        programs there.
        """
        if b"origin" not in headers and b"sec-fetch-site" not in headers:
            return address
        host, origin = _text(headers, b"host"), _text(headers, b"origin")
        is_own = (
            self._is_ours(host)
            and _text(headers, b"sec-fetch-site") in _OWN_SITES
            and (not origin or origin.partition("://")[2] == host)
        )
        return address if is_own else f"web pages at {address}"

    def refusal(
        self, method: str, headers: Mapping[bytes, bytes], peer: str = ""
    ) -> Refusal | None:
        """Return why a request is refused; None if it is not."""
        host, origin = _text(headers, b"host"), _text(headers, b"origin")
        site = _text(headers, b"sec-fetch-site")
        is_browser = bool(origin or site)
        # DNS rebinding: a foreign name that resolves to this machine gets around the same-origin rule.
        if host and (self._is_local or is_browser) and not self._is_ours(host):
            return _refusal(
                403,
                "Host {!r} is not a name of this server: use 127.0.0.1 or localhost, "
                "or tell the server the name (--public-name)",
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
        said = _text(headers, FORWARDED_PROTO)
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


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    """Return the value of a header in lower case; empty if it is missing."""
    return headers.get(name, b"").decode("latin-1").strip().lower()


def _refusal(status: int, text: str, said: str, logged: str) -> Refusal:
    """Return a refusal whose text quotes what was sent, shortened."""
    return Refusal(status, text.format(said[:80]), text.format(logged))


def _name_of(host: str) -> str:
    """Return the name or address in `host` or `host:port`; empty if it is neither."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"
