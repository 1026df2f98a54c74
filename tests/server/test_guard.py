"""Who controls a server without a token, and whom web pages are charged to."""

from __future__ import annotations

import json

import pytest
from loopback import ask, ask_http, ending, loopback, looped
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from tickerplant.protocol.limits import LIMITS
from tickerplant.server.token import GUESSES

TOKEN = "open sesame"  # noqa: S105
EVERYWHERE = "0.0.0.0"  # noqa: S104
OWN, THERE = "127.0.0.1", "203.0.113.9"
XFF = "X-Forwarded-For"
RELAYED = {
    XFF: OWN,
    "X-Forwarded-Host": "market.example",
    "X-Original-Forwarded-For": OWN,
    "Forwarded": f"for={OWN}",
    "Via": "1.1 proxy",
    "CDN-Loop": "cloudflare",
    "CF-Connecting-IP": OWN,
    "True-Client-IP": OWN,
    "X-Client-IP": OWN,
    "X-Cluster-Client-IP": OWN,
    "X-Azure-ClientIP": OWN,
    "X-Real-IP": OWN,
    "X-Remote-Addr": OWN,
    "X-Envoy-External-Address": OWN,
    "Proxy-Connection": "keep-alive",
}
FOREIGN_HOSTS = ("evil.example", "evil.example:9001", "127.0.0.1.evil.example", "a,localhost")

# Who is a trusted proxy, who has connected, the headers, and whether this machine asks.
REQUESTS: list[tuple[str, str, dict[str, str], bool]] = [
    *(("", peer, {}, True) for peer in (OWN, "127.8.9.1", "::1", "::ffff:127.0.0.1")),
    *(("", peer, {}, False) for peer in (THERE, "::ffff:192.168.0.2", "fe80::1%eth0")),
    *(("", OWN, {name: value}, False) for name, value in RELAYED.items()),
    *(("", OWN, {"Host": host}, False) for host in FOREIGN_HOSTS),
    *(("", OWN, {"Host": host}, True) for host in ("LOCALHOST.:9001", "192.0.2.1", "[::1]:9")),
    (OWN, OWN, {}, False),
    *((OWN, OWN, {name: THERE}, False) for name in ("X-Real-IP", "Forwarded", "Via", XFF)),
    *((OWN, OWN, {XFF: hops}, False) for hops in ("", f"{THERE}, {OWN}", f"{THERE}, 127.0.0.2")),
    *((OWN, OWN, {XFF: hops}, True) for hops in (OWN, f"{OWN}, 127.0.0.2", "[::1]:5")),
    (OWN, OWN, {XFF: OWN, "X-Forwarded-Proto": "https", "Host": "Market.example"}, True),
    (OWN, OWN, {XFF: OWN, "CF-Connecting-IP": OWN}, False),
    (OWN, OWN, {XFF: OWN, "Host": "evil.example"}, False),
    ("10.0.0.7", "10.0.0.7", {XFF: OWN}, False),
    ("10.0.0.7", OWN, {XFF: OWN}, False),
    ("10.0.0.7", OWN, {}, True),
]


@pytest.mark.parametrize(("trusted", "peer", "headers", "is_here"), REQUESTS)
@looped
async def test_without_a_token_only_this_machine_controls(
    trusted: str, peer: str, headers: dict[str, str], is_here: bool
) -> None:
    proxies, names = [trusted] if trusted else [], ["market.example"]
    headers = {"Host": "localhost", "Content-Type": "application/json", **headers}
    for token in ("", TOKEN):
        async with loopback(
            host=EVERYWHERE, trusted_proxies=proxies, public_names=names, control_token=token
        ) as house:
            at, given = house.server.urls["usdm"], {"Authorization": f"Bearer {token}", **headers}
            for method, path, body in (
                ("POST", "/plant/v1/faults", b'{"kind": "drop", "stream": "*"}'),
                ("GET", "/plant/v1/connections", None),
            ):
                answer = await ask_http(at, method, path, given, body, peer)
                assert answer.status == (200 if is_here or token else 403), answer
                if answer.status == 403:
                    assert "beside a proxy" in answer.json["error"]


FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
)
LOCAL: tuple[dict[str, str], ...] = (
    {},
    {"Host": "a.container"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://{at}"},
)


@pytest.mark.parametrize("headers", FOREIGN)
@looped
async def test_a_web_page_of_another_origin_gets_nobody_banned_but_such_pages(
    headers: dict[str, str],
) -> None:
    limits = replace(LIMITS, request_weight_per_minute=9, refusals_before_ban=1)
    async with loopback(limits) as house:
        seen = [await house.get("/fapi/v1/time", headers=headers) for _ in range(12)]
        assert seen[-1].status == 418
        for _ in range(12):
            await house.get("/plant/v1/nothing", headers=headers)
        at = house.server.urls["usdm"]
        for own in LOCAL:
            given = {name: value.format(at=at) for name, value in own.items()}
            assert (await house.get("/fapi/v1/time", headers=given)).status == 200, own
        for number in range(20):
            await house.get("/fapi/v1/time", headers={"Origin": f"http://{number}.example"})
        charged = (await house.get("/plant/v1/limits")).json["addresses"]
        assert set(charged) == {OWN, f"web pages at {OWN}"}


@looped
async def test_a_web_page_of_another_origin_uses_up_its_own_limits_over_websocket() -> None:
    limits = replace(
        LIMITS, request_weight_per_minute=9, refusals_before_ban=1, connection_attempts=2
    )
    async with loopback(limits) as house:
        call, page = {"id": 1, "method": "time"}, FOREIGN[0]
        async with (
            house.connect("/ws-fapi/v1", additional_headers=page) as theirs,
            house.connect("/ws-fapi/v1") as mine,
            house.connect("/ws", additional_headers=page),
        ):
            with pytest.raises(InvalidStatus):
                await house.connect("/stream", additional_headers=page)
            shown = (await house.get("/plant/v1/connections")).json["connections"]
            assert [each["address"] for each in shown] == [OWN] * 3, "the page is there too"
            for _ in range(7):
                await theirs.send(json.dumps(call))
            assert await ending(theirs) == (1008, "IP banned")
            assert (await ask(mine, call))["status"] == 200


@looped
async def test_a_foreign_origin_gives_nobody_more_guesses_at_the_token() -> None:
    async with loopback(host=EVERYWHERE, control_token=TOKEN) as house:
        headers = {"Host": "localhost", "Authorization": "Bearer wrong", **FOREIGN[0]}
        at, path = house.server.urls["usdm"], "/plant/v1/connections"
        peers = [f"2001:db8::{number}" for number in range(GUESSES + 1)]
        seen = [(await ask_http(at, "GET", path, headers, None, peer)).status for peer in peers]
        assert seen == [401] * GUESSES + [429]
