from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import UPGRADE, Loopback, loopback, looped, looped_on_sockets, until
from msgspec.structs import replace

from tickerplant.protocol.limits import LIMITS
from tickerplant.server.certificate import ServedCertificate, own_certificate
from tickerplant.server.guard import Guard
from tickerplant.server.proxies import (
    MAX_HEADER_BYTES,
    NO_HEADER,
    MalformedProxyError,
    ProxyHeader,
    TrustedProxies,
    is_loopback,
    read_proxy_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, OTHER = "203.0.113.7", "203.0.113.8"
HERE = ("127.0.0.1",)
MALFORMED = {"malformed proxy header": 1}


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((command, family)) + len(body).to_bytes(2) + body


def from_client(address: str) -> bytes:
    """Return the header of version 2 with which a proxy speaks for a client."""
    packed = ipaddress.ip_address(address).packed
    family = 0x11 if len(packed) == 4 else 0x21
    return v2(0x21, family, packed + packed + b"\x10\x00\x23\x29")


HEADERS = {
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 9001\r\n": CLIENT,
    b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 9001\r\n": "2001:db8::7",
    b"PROXY TCP6 ::ffff:203.0.113.7 ::1 56324 9001\r\n": CLIENT,
    b"PROXY UNKNOWN\r\n": "",
    b"PROXY UNKNOWN ffff:f... anything\r\n": "",
    from_client(CLIENT): CLIENT,
    from_client("2001:db8::7"): "2001:db8::7",
    from_client(CLIENT)[:14] + b"\x00\x10" + from_client(CLIENT)[16:] + b"\x04\x00\x01\x00": CLIENT,
    v2(0x20, 0x00, b""): "",
    v2(0x20, 0x11, b"\0" * 12): "",
    v2(0x21, 0x00, b"\x04\x00\x01\x00"): "",
    v2(0x21, 0x31, b"\0" * 216): "",
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_a_header_is_read_up_to_its_end_and_no_further(header: bytes, rest: bytes) -> None:
    assert read_proxy_header(header + rest) == ProxyHeader(len(header), HEADERS[header])
    for size in range(1, len(header)):
        assert read_proxy_header(header[:size]) is None, f"{size} bytes are not all of it"


@pytest.mark.parametrize(
    "start",
    [
        b"PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 9001\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 9001\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 05 9001\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.1 56324 9001\r\n",
        b"PROXY TCP5 203.0.113.7 192.0.2.1 56324 9001\r\n",
        b"PROXY TCP4 \xff 192.0.2.1 56324 9001\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 101,
        v2(0x11, 0x11, b"\0" * 12),
        v2(0x22, 0x11, b"\0" * 12),
        v2(0x21, 0x12, b"\0" * 12),
        v2(0x21, 0x11, b"\0" * 11),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_a_header_that_cannot_be_read_is_refused(start: bytes) -> None:
    with pytest.raises(MalformedProxyError, match="PROXY protocol"):
        read_proxy_header(start)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(max_size=300),
)
def test_whatever_a_proxy_sends_it_is_a_header_or_none_or_refused(
    start: bytes, rest: bytes
) -> None:
    try:
        header = read_proxy_header(start + rest)
    except MalformedProxyError:
        return
    if header is not None and header != NO_HEADER:
        assert 0 < header.size <= min(len(start + rest), MAX_HEADER_BYTES)
        assert not header.address or ipaddress.ip_address(header.address)


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [" "], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], CLIENT),
        ("::ffff:10.0.0.1", ["203.0.113.7"], CLIENT),
        ("10.0.0.1", ["8.8.8.8, 203.0.113.7"], CLIENT),
        ("10.0.0.1", ["8.8.8.8", "203.0.113.7"], CLIENT),
        ("10.0.0.1", ["lies,203.0.113.7 , 10.0.0.9,fd00::5"], CLIENT),
        ("10.0.0.1", ["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.7:50412"], CLIENT),
        ("10.0.0.1", ["[2001:DB8:0::7]:50412"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["::ffff:203.0.113.7"], CLIENT),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_trusted_proxy(
    peer: str, values: list[str], client: str
) -> None:
    proxies = TrustedProxies(["10.0.0.0/8", "fd00::/8"])
    fields = [(b"x-forwarded-for", value.encode()) for value in values]
    assert proxies.client_of(peer, [(b"host", b"x"), *fields]) == client


@pytest.mark.parametrize(
    "value", ["unknown", "203.0.113.7,", ",10.0.0.2", "_hidden", "1.2.3", "\xff"]
)
def test_a_hop_that_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(MalformedProxyError, match="X-Forwarded-For"):
        TrustedProxies(["10.0.0.0/8"]).client_of(
            "10.0.0.1", [(b"x-forwarded-for", value.encode("latin-1"))]
        )


def test_nobody_is_trusted_who_is_not_named() -> None:
    proxies = TrustedProxies()
    assert not proxies
    assert not proxies.trust("127.0.0.1")
    assert proxies.client_of("127.0.0.1", [(b"x-forwarded-for", b"?")]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "client", "headers", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", {}, True),
        ("127.8.9.1", "127.8.9.1", {}, True),
        ("::1", "::1", {}, True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", {}, True),
        ("192.168.0.2", "192.168.0.2", {}, False),
        ("::ffff:192.168.0.2", "::ffff:192.168.0.2", {}, False),
        ("fe80::1%eth0", "fe80::1%eth0", {}, False),
        ("unknown", "unknown", {}, False),
        ("127.0.0.1", CLIENT, {}, False),
        ("192.168.0.2", "127.0.0.1", {}, False),
        ("127.0.0.1", "127.0.0.1", {b"x-forwarded-for": b"127.0.0.1"}, False),
        ("127.0.0.1", "127.0.0.1", {b"forwarded": b"for=127.0.0.1"}, False),
        ("127.0.0.1", "127.0.0.1", {b"via": b"1.1 proxy"}, False),
        ("127.0.0.9", "127.0.0.1", {b"x-forwarded-for": b"127.0.0.1"}, True),
    ],
)
def test_a_request_is_from_here_if_nobody_may_have_passed_it_on(
    peer: str, client: str, headers: dict[bytes, bytes], expected: bool
) -> None:
    guard = Guard("0.0.0.0", "0.0.0.0", TrustedProxies(["127.0.0.9"]))  # noqa: S104
    assert guard.is_from_here(peer, client, headers) == expected


def test_loopback_is_known_in_every_spelling() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["::", "10.0.0.1", "::ffff:10.0.0.1", "", "localhost"]))


# On sockets


async def spoken(house: Loopback, *parts: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send the parts, the first of them before TLS; return all that is answered to the last."""
    reader, writer = await asyncio.open_connection(*house.server.urls["usdm"].split(":"))
    for number, part in enumerate(parts):
        writer.write(part)
        await writer.drain()
        if not number and tls is not None:
            await writer.start_tls(tls, server_hostname="localhost")
    data = b""
    with suppress(ConnectionError):  # it is closed before all was read
        data = await reader.read()
    writer.close()
    return data


def request(path: str, *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def weight_of(answer: bytes) -> str:
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    return head.partition("x-mbx-used-weight-1m: ")[2].partition("\r\n")[0]


TIME = "/fapi/v1/time"
WAYS = [
    pytest.param(lambda client: [request(TIME, f"X-Forwarded-For: {client}")], id="header"),
    pytest.param(lambda client: [from_client(client) + request(TIME)], id="v2"),
    pytest.param(lambda client: [from_client(client), request(TIME)], id="v2 alone"),
    pytest.param(
        lambda client: [f"PROXY TCP4 {client} 127.0.0.1 1 2\r\n".encode() + request(TIME)], id="v1"
    ),
]


@pytest.mark.parametrize("way", WAYS)
@looped_on_sockets
async def test_each_client_of_a_trusted_proxy_has_its_own_weight(way) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    async with loopback(trusted_proxies=HERE) as house:
        for client in (CLIENT, OTHER, "203.0.113.9"):
            assert weight_of(await spoken(house, *way(client))) == "1", client
        assert weight_of(await spoken(house, *way(CLIENT))) == "2"
        assert weight_of(await spoken(house, request(TIME))) == "1", "the proxy itself"
        page = (await house.get("/plant/v1/limits")).json
        assert set(page["addresses"]) == {CLIENT, OTHER, "203.0.113.9", "127.0.0.1"}


@looped
async def test_requests_of_one_connection_are_of_the_clients_that_each_names() -> None:
    async with loopback(trusted_proxies=HERE) as house:
        asked = [
            f"GET {TIME} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
            for client in (CLIENT, OTHER, CLIENT)
        ]
        answer = await spoken(house, b"".join(asked) + request(TIME, f"X-Forwarded-For: {OTHER}"))
        assert [weight_of(each) for each in answer.split(b"HTTP/1.1 200")[1:]] == [
            "1",
            "1",
            "2",
            "2",
        ]


@looped
async def test_who_is_not_trusted_speaks_for_itself_only() -> None:
    async with loopback(trusted_proxies=["192.0.2.0/24"]) as house:
        for client in (CLIENT, OTHER):
            answer = await spoken(house, request(TIME, f"X-Forwarded-For: {client}"))
            assert answer.startswith(b"HTTP/1.1 200"), answer
        assert list((await house.get("/plant/v1/limits")).json["addresses"]) == ["127.0.0.1"]
        for header in (from_client(CLIENT), b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n"):
            assert (await spoken(house, header + request(TIME))).startswith(b"HTTP/1.1 400")


async def opened(house: Loopback, before: bytes, *fields: str) -> socket.socket:
    """Return a socket that is upgraded to WebSocket."""
    sock = house.socket()
    head, lines = (
        UPGRADE.format(path="/ws/btcusdt@trade"),
        "".join(f"{each}\r\n" for each in fields),
    )
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, before + f"{head[:-2]}{lines}\r\n".encode())
    answer = await loop.sock_recv(sock, 4096)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return sock


@looped_on_sockets
async def test_connections_are_those_of_the_clients_behind_the_proxy() -> None:
    limits = replace(LIMITS, connection_attempts=1)
    async with loopback(limits, trusted_proxies=HERE) as house:
        socks = [
            await opened(house, b"", f"X-Forwarded-For: 1.1.1.1, {CLIENT}"),
            await opened(house, from_client(OTHER)),
            await opened(house, from_client("127.0.0.1"), "X-Forwarded-For: 2001:db8::7"),
        ]
        page = (await house.get("/plant/v1/connections")).json
        shown = [each["address"] for each in page["connections"]]
        assert shown == [CLIENT, OTHER, "2001:db8::7"]
        refused = await spoken(
            house, from_client(OTHER) + UPGRADE.format(path="/ws/btcusdt@trade").encode()
        )
        assert refused.startswith(b"HTTP/1.1 429"), "its attempts count, not those of the proxy"
        for sock in socks:
            sock.close()


@looped_on_sockets
async def test_a_proxy_speaks_before_tls(tmp_path: Path) -> None:
    own = own_certificate(tmp_path, [])
    trusting = ssl.create_default_context(cafile=own.authority)
    async with loopback(tls=ServedCertificate(str(own.server)), trusted_proxies=HERE) as house:
        for client in (CLIENT, OTHER):
            answer = await spoken(house, from_client(client), request(TIME), tls=trusting)
            assert weight_of(answer) == "1"
        answer = await spoken(house, b"", request(TIME), tls=trusting)
        assert weight_of(answer) == "1", "the proxy itself, without a header"


@pytest.mark.parametrize(
    "sent",
    [
        b"PROXY TCP4 nonsense\r\n",
        SIGNATURE + b"\x21\x11\xff\xff",
        request(TIME, "X-Forwarded-For: unknown"),
        UPGRADE.format(path="/ws").encode()[:-2] + b"X-Forwarded-For: unknown\r\n\r\n",
    ],
)
@looped_on_sockets
async def test_a_trusted_proxy_that_is_not_understood_is_refused_and_counted(sent: bytes) -> None:
    async with loopback(trusted_proxies=HERE) as house:
        answer = await spoken(house, sent)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer
        counters = house.server.endpoints[0].counters
        assert counters.turned_away == MALFORMED
        assert house.server.complaints.counts["malformed proxy header"] == 1
        assert house.server.endpoints[0].connections == {}


@pytest.mark.parametrize("sent", [b"", b"PROX", SIGNATURE + b"\x21"])
@looped_on_sockets
async def test_a_header_that_does_not_arrive_in_time_ends_the_connection(sent: bytes) -> None:
    limits = replace(LIMITS, head_timeout_ms=50)
    async with loopback(limits, trusted_proxies=HERE) as house:
        assert await spoken(house, sent) == b""
        assert house.server.endpoints[0].counters.timeouts == {"head": 1}


@looped_on_sockets
async def test_a_header_may_arrive_byte_by_byte() -> None:
    async with loopback(trusted_proxies=HERE) as house:
        sock, loop = house.socket(), asyncio.get_running_loop()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in from_client(CLIENT):
            await loop.sock_sendall(sock, bytes((byte,)))
            await asyncio.sleep(0)
        await loop.sock_sendall(sock, request(TIME))
        assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 200")
        sock.close()
        assert list(house.server.endpoints[0].rate_limiter.clients) == [CLIENT]


@looped_on_sockets
async def test_a_check_of_a_balancer_that_sends_nothing_is_no_complaint() -> None:
    async with loopback(trusted_proxies=HERE) as house:
        house.socket().close()
        await asyncio.sleep(0)
        assert (await spoken(house, v2(0x20, 0, b"") + request("/healthz"))).startswith(
            b"HTTP/1.1 200"
        )
        assert not house.server.complaints.counts


# Other machines, and the control plane of a server without a token

READABLE = ("clock", "coverage", "levers", "openapi.json", "profile", "scenarios", "server")


@looped
async def test_without_a_token_another_machine_reads_the_market_and_nothing_else() -> None:
    async with loopback(trusted_proxies=HERE) as house:
        from_there = {"X-Forwarded-For": CLIENT}
        document = (await house.get("/plant/v1/openapi.json", headers=from_there)).json
        for path, operations in document["paths"].items():
            for verb in operations:
                method, name = verb.upper(), path.removeprefix("/plant/v1/")
                found = await house.get(
                    path.replace("{id}", "x"),
                    method=method,
                    headers=from_there | {"Content-Type": "application/json"},
                )
                is_open = not path.startswith("/plant/") or (method == "GET" and name in READABLE)
                assert (found.status != 403) == is_open, f"{method} {path}: {found.status}"
                if not is_open:
                    assert "--control-token" in found.json["error"]
        assert (await house.get("/plant/v1/faults")).status == 200, "this machine may"
        assert house.server.complaints.counts["/plant/v1/ 403"] > 10
        assert (await house.get("/plant/v1/nothing", headers=from_there)).status == 404


@looped
async def test_with_the_token_another_machine_may_do_everything() -> None:
    async with loopback(trusted_proxies=HERE, control_token="open sesame") as house:  # noqa: S106
        from_there = {"X-Forwarded-For": CLIENT, "Content-Type": "application/json"}
        body = json.dumps({"kind": "drop", "stream": "*"}).encode()
        path = "/plant/v1/faults"
        refused = await house.get(path, method="POST", headers=from_there, body=body)
        assert refused.status == 401
        known = from_there | {"Authorization": "Bearer open sesame"}
        assert (await house.get(path, method="POST", headers=known, body=body)).status == 200


@looped
async def test_a_proxy_that_is_not_trusted_does_not_make_others_local() -> None:
    async with loopback() as house:
        passed_on = {"X-Forwarded-For": "127.0.0.1"}
        assert (await house.get("/plant/v1/nodes", headers=passed_on)).status == 403
        assert (await house.get("/plant/v1/nodes")).status == 200


@pytest.mark.parametrize(
    ("host", "token", "says"),
    [("127.0.0.1", "", False), ("0.0.0.0", "", True), ("0.0.0.0", "open sesame", False)],  # noqa: S104
)
@looped
async def test_a_server_for_other_machines_says_that_they_only_read(
    host: str, token: str, says: bool
) -> None:
    async with loopback(host=host, control_token=token) as house:
        text = house.server.welcome()
        assert ("only this machine can use the control plane" in text) == says
        await until(lambda: house.server.urls)
