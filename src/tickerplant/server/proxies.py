"""The address of a client behind a proxy, such as a load balancer.

A trusted proxy says it in the header `X-Forwarded-For` of each request.  Nobody else is believed: anyone
can write it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import TypeAlias

from tickerplant.errors import TickerplantError

FORWARDED_FOR = b"x-forwarded-for"
MALFORMED_PROXY = "malformed proxy header"
"""Why a connection or a request is rejected whose proxy did not say whose it is."""
_WITH_PORT = re.compile(r"\[(.+)\](?::\d{1,5})?|([\d.]+):\d{1,5}")
"""How some proxies write an address in `X-Forwarded-For`."""

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class MalformedProxyError(TickerplantError):
    """A trusted proxy did not say, in a form that can be read, for whom it speaks."""


def parsed_address(text: str) -> Address | None:
    """Return an address, an IPv4 one if it is mapped to IPv6; None if `text` is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(text: str) -> bool:
    """Return whether `text` is an address of this machine for itself."""
    address = parsed_address(text)
    return address is not None and address.is_loopback


class TrustedProxies:
    """The proxies whose word about the address of a client counts.

    Raises:
        ValueError: one is neither.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, networks))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trust(self, text: str) -> bool:
        """Return whether the address `text` is that of a trusted proxy."""
        address = parsed_address(text)
        return address is not None and any(address in network for network in self._networks)

    def client_of(self, peer: str, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the client of a request: the last address that no trusted proxy has.

        Raises:
            MalformedProxyError: a trusted proxy gives something else than addresses.
        """
        if not self._networks or not self.trust(peer):
            return peer
        given = b",".join(value for name, value in fields if name == FORWARDED_FOR)
        if not given.strip():
            return peer
        client = peer
        for hop in reversed(given.decode("latin-1").split(",")):
            address = hop_address(hop)
            if address is None:
                raise MalformedProxyError("X-Forwarded-For has something else than an address")
            client = str(address)
            if not self.trust(client):
                break
        return client


def hop_address(hop: str) -> Address | None:
    """Return the address of one hop of `X-Forwarded-For`; None if it is none."""
    found = _WITH_PORT.fullmatch(hop.strip())
    return parsed_address((found[1] or found[2]) if found else hop.strip())
