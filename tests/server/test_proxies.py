from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from loopback import UPGRADE, Loopback, hear, loopback, looped, looped_on_sockets, say, until
from msgspec.structs import replace

from tickerplant.protocol.limits import LIMITS
from tickerplant.server.proxies import (
    MalformedProxyError,
    TrustedProxies,
    is_loopback,
)

CLIENT, OTHER = "203.0.113.7", "203.0.113.8"
HERE = ("127.0.0.1",)
FROM_HERE = {"X-Forwarded-For": "127.0.0.1"}
MALFORMED = {"malformed proxy header": 1}


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


def test_loopback_is_known_in_every_spelling() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["::", "10.0.0.1", "::ffff:10.0.0.1", "", "localhost"]))


# On sockets


async def spoken(house: Loopback, sent: bytes) -> bytes:
    """Return all that is answered to `sent`."""
    reader, writer = await asyncio.open_connection(*house.server.urls["usdm"].split(":"))
    writer.write(sent)
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


def from_client(address: str) -> bytes:
    return request(TIME, f"X-Forwarded-For: {address}")


@looped
async def test_each_client_of_a_trusted_proxy_has_its_own_weight() -> None:
    async with loopback(trusted_proxies=HERE) as house:
        for client in (CLIENT, OTHER, "203.0.113.9"):
            assert weight_of(await spoken(house, from_client(client))) == "1", client
        assert weight_of(await spoken(house, from_client(CLIENT))) == "2"
        assert weight_of(await spoken(house, request(TIME))) == "1", "the proxy itself"
        page = (await house.get("/plant/v1/limits", headers=FROM_HERE)).json
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


async def opened(house: Loopback, *fields: str) -> socket.socket:
    """Return a socket that is upgraded to WebSocket."""
    sock = house.socket()
    head, lines = (
        UPGRADE.format(path="/ws/btcusdt@trade"),
        "".join(f"{each}\r\n" for each in fields),
    )
    await say(sock, f"{head[:-2]}{lines}\r\n".encode())
    answer = await hear(sock)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return sock


@looped_on_sockets
async def test_connections_are_those_of_the_clients_behind_the_proxy() -> None:
    limits = replace(LIMITS, connection_attempts=1)
    async with loopback(limits, trusted_proxies=HERE) as house:
        socks = [
            await opened(house, f"X-Forwarded-For: 1.1.1.1, {CLIENT}"),
            await opened(house, "X-Forwarded-For: 127.0.0.1, 2001:db8::7"),
        ]
        page = (await house.get("/plant/v1/connections", headers=FROM_HERE)).json
        shown = [each["address"] for each in page["connections"]]
        assert shown == [CLIENT, "2001:db8::7"]
        head = UPGRADE.format(path="/ws/btcusdt@trade").encode()[:-2]
        refused = await spoken(house, head + f"X-Forwarded-For: {CLIENT}\r\n\r\n".encode())
        assert refused.startswith(b"HTTP/1.1 429"), "its attempts count, not those of the proxy"
        for sock in socks:
            sock.close()


@pytest.mark.parametrize(
    "sent",
    [
        request(TIME, "X-Forwarded-For: unknown"),
        UPGRADE.format(path="/ws").encode()[:-2] + b"X-Forwarded-For: unknown\r\n\r\n",
    ],
)
@looped_on_sockets
async def test_a_trusted_proxy_that_is_not_understood_is_refused_and_counted(sent: bytes) -> None:
    async with loopback(trusted_proxies=HERE) as house:
        answer = await spoken(house, sent)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        counters = house.server.endpoints[0].counters
        assert counters.turned_away == MALFORMED
        assert house.server.complaints.counts["malformed proxy header"] == 1
        assert house.server.endpoints[0].connections == {}


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
        mine = await house.get("/plant/v1/faults", headers=FROM_HERE)
        assert mine.status == 200, "this machine may"
        assert house.server.complaints.counts["/plant/v1/ 403"] > 10
        assert (await house.get("/plant/v1/nothing", headers=from_there)).status == 404


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
        assert ("only the machine of the plant" in text) == says
        await until(lambda: house.server.urls)
