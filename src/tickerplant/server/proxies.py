"""The address of a client behind a proxy, such as a load balancer.

A proxy that is trusted says it in one of two ways: first on a connection, before TLS, with the PROXY
protocol (versions 1 and 2 of haproxy's proxy-protocol.txt), or in the header `X-Forwarded-For` of each
request.  Nobody else is believed: anyone can write both.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from tickerplant.errors import TickerplantError

FORWARDED_FOR = b"x-forwarded-for"
MALFORMED_PROXY = "malformed proxy header"
"""Why a connection or a request is rejected whose proxy did not say whose it is."""
MAX_HEADER_BYTES = 4_096
"""The longest header of the PROXY protocol that is read: addresses take 52 bytes, the rest is for
extensions."""
POLL_S = 0.005
"""How often the rest of a header is looked for: nearly always it arrives at once."""

_V1_START, _V1_MAX_BYTES = b"PROXY ", 107
_V2_START, _V2_BYTES = b"\r\n\r\n\0\r\nQUIT\n", 16
_LOCAL, _PROXIED = 0x20, 0x21
"""Version 2, and its two commands."""
_STREAM_FAMILIES = {0x11: (4, 12), 0x21: (16, 36)}
"""TCP over IPv4 and IPv6: the size of an address, and of both with their ports."""
_WITHOUT_ADDRESS = frozenset({0x00, 0x31, 0x32})
"""The families of unknown and of Unix sockets."""
_PORT = re.compile(rb"0|[1-9]\d{0,4}")
_WITH_PORT = re.compile(r"\[(.+)\](?::\d{1,5})?|([\d.]+):\d{1,5}")
"""How some proxies write an address in `X-Forwarded-For`."""

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class MalformedProxyError(TickerplantError):
    """A trusted proxy did not say, in a form that can be read, for whom it speaks."""


class ProxyHeader(Struct, frozen=True):
    """A header of the PROXY protocol."""

    size: int
    """Its bytes."""
    address: str
    """The client; empty if the proxy speaks for itself or does not know."""


NO_HEADER = ProxyHeader(0, "")


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

    Args:
        networks: Their addresses and networks; none are trusted if empty.

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

        Args:
            peer: The address from which the request comes.
            fields: The headers, names in lower case.

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
            client = _hop(hop.strip())
            if not self.trust(client):
                break
        return client

    async def read_header(self, sock: socket.socket, timeout_s: float) -> ProxyHeader:
        """Return the header of the PROXY protocol with which a connection begins, and take it away.

        Args:
            sock: The connection, which does not block; nothing was read from it.
            timeout_s: How long the first bytes, and the whole header, may take.

        Raises:
            MalformedProxyError: it cannot be read.
            TimeoutError: it is not complete in time, or nothing arrives.
            OSError: the connection is gone.
        """
        async with asyncio.timeout(timeout_s):
            await readable(sock)
            while True:
                header = read_proxy_header(sock.recv(MAX_HEADER_BYTES, socket.MSG_PEEK))
                if header is not None:
                    break
                await asyncio.sleep(POLL_S)
        if header.size:
            sock.recv(header.size)
        return header


def read_proxy_header(start: bytes) -> ProxyHeader | None:
    """Return the header of the PROXY protocol in the first bytes of a connection.

    Returns `NO_HEADER` if they are of another protocol, or there are none, and None if the header is
    not complete.

    Raises:
        MalformedProxyError: it cannot be read, or is too long.
    """
    if start.startswith(_V1_START):
        return _read_v1(start)
    if start.startswith(_V2_START):
        return _read_v2(start)
    may_begin = start and (_V1_START.startswith(start) or _V2_START.startswith(start))
    return None if may_begin else NO_HEADER


def _read_v1(start: bytes) -> ProxyHeader | None:
    line, end, _ = start[:_V1_MAX_BYTES].partition(b"\r\n")
    if not end:
        if len(start) >= _V1_MAX_BYTES:
            raise MalformedProxyError("the line of the PROXY protocol does not end")
        return None
    size = len(line) + len(end)
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(size, "")
    versions = {b"TCP4": 4, b"TCP6": 6}
    problem = MalformedProxyError("the line of the PROXY protocol is not TCP4, TCP6 or UNKNOWN")
    if len(words) != 6 or words[1] not in versions:
        raise problem
    try:
        source, target = (ipaddress.ip_address(each.decode("ascii")) for each in words[2:4])
    except ValueError:
        raise problem from None
    ports_fit = all(_PORT.fullmatch(each) and int(each) <= 0xFFFF for each in words[4:])
    if {source.version, target.version} != {versions[words[1]]} or not ports_fit:
        raise problem
    return ProxyHeader(size, _text_of(source))


def _read_v2(start: bytes) -> ProxyHeader | None:
    if len(start) < _V2_BYTES:
        return None
    command, family = start[12], start[13]
    size = _V2_BYTES + int.from_bytes(start[14:16])
    if command not in {_LOCAL, _PROXIED} or size > MAX_HEADER_BYTES:
        raise MalformedProxyError(
            "the header of the PROXY protocol is too long or of another version"
        )
    if len(start) < size:
        return None
    if command == _LOCAL or family in _WITHOUT_ADDRESS:
        return ProxyHeader(size, "")
    address_bytes, least = _STREAM_FAMILIES.get(family, (0, 0))
    if not address_bytes or size < _V2_BYTES + least:
        raise MalformedProxyError("the header of the PROXY protocol is not about a TCP connection")
    source = ipaddress.ip_address(start[_V2_BYTES : _V2_BYTES + address_bytes])
    return ProxyHeader(size, _text_of(source))


def _hop(text: str) -> str:
    """Return the address of one hop of `X-Forwarded-For`.

    Raises:
        MalformedProxyError: it is none.
    """
    found = _WITH_PORT.fullmatch(text)
    address = parsed_address((found[1] or found[2]) if found else text)
    if address is None:
        raise MalformedProxyError("X-Forwarded-For has something else than an address")
    return str(address)


def _text_of(address: Address) -> str:
    return str(parsed_address(str(address)))


async def readable(sock: socket.socket) -> None:
    """Return when a socket that does not block has something to read, or its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock, on_ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock)
