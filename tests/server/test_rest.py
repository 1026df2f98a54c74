from __future__ import annotations

import asyncio
import io

import pytest
from loopback import Loopback, loopback, looped
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from tickerplant.logs import configure
from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import find_path
from tickerplant.queries.account_requests import (
    ACCOUNT_REQUESTS,
    AccountRequest,
    find_account_path,
)
from tickerplant.testing.pointing import ELSEWHERE
from tickerplant.venue import COINM, USDM


async def raw(house: Loopback, request: bytes) -> bytes:
    """Send bytes to the USDⓈ-M port and return all that comes back until it closes."""
    host, _, port = house.server.urls[USDM.name].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@looped
async def test_an_answer_carries_the_headers_that_clients_read() -> None:
    async with loopback() as house:
        house.plant.advance(house.plant.now_ms + 5_000)
        answer = await house.get("/fapi/v1/time")
        assert (answer.status, answer.json) == (200, {"serverTime": house.plant.now_ms})
        assert answer.headers["content-type"] == "application/json;charset=UTF-8"
        assert answer.headers["x-mbx-used-weight-1m"] == "1"
        assert answer.headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
        refused = await house.get("/fapi/v1/depth?symbol=NONESUCH")
        assert refused.headers["content-type"].startswith("application/json")
        weight = int(refused.headers["x-mbx-used-weight-1m"])
        assert weight > 1, "a refused request costs weight too"
        house.clock.now_ms += 60_000
        path = "/fapi/v1/historicalTrades?symbol=BTCUSDT"
        again = await house.get(path, headers={"X-MBX-APIKEY": "any"})
        assert again.status == 200, "any key will do"
        assert again.headers["x-mbx-used-weight-1m"] == "20", "and a minute is over"
        assert (await house.get(path, headers={"X-MBX-APIKEY": ""})).status == 401


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/plant/v1/fault", "; did you mean /plant/v1/faults?"),
        ("/plant/v1/", ""),
        ("/plant/v1/healthz", ""),
        ("/plant/v1/x/y", ""),
    ],
)
@looped
async def test_an_unknown_operation_is_404_in_the_words_of_the_control_plane(
    path: str, hint: str
) -> None:
    async with loopback() as house:
        answer = await house.get(path)
        assert answer.status == 404
        assert answer.json["error"].startswith(f"there is no operation {path}: ")
        assert answer.json["error"].endswith(hint)


@pytest.mark.parametrize("path", ["/fapi/v1/ping?else=", "/nothing?", "/ws?", "/ws/"])
@looped
async def test_a_url_over_the_bound_is_414_wherever_it_leads(path: str) -> None:
    async with loopback(replace(LIMITS, max_uri_bytes=40)) as house:
        longest = path + "a" * (40 - len(path))
        assert (await house.get(longest)).status != 414
        answer = await house.get(longest + "a")
        assert answer.status == 414
        assert answer.body == b"The URL has 41 bytes; at most 40 are allowed.\n"
        assert "x-mbx-used-weight-1m" not in answer.headers, "it is turned away at the door"


@looped
async def test_over_the_budget_429_and_then_418_each_with_retry_after() -> None:
    limits = replace(LIMITS, request_weight_per_minute=2, refusals_before_ban=1)
    async with loopback(limits) as house:
        house.clock.now_ms += 15_000
        statuses = []
        for _ in range(4):
            answer = await house.get("/fapi/v1/ping")
            statuses.append(answer.status)
            if answer.status == 429:
                assert answer.headers["retry-after"] == "45"
                assert answer.json["code"] == -1003
        assert statuses == [200, 200, 429, 418]
        assert answer.headers["retry-after"] == str(LIMITS.first_ban_ms // 1000)
        assert f"IP banned until {house.clock.now_ms + LIMITS.first_ban_ms}" in answer.json["msg"]


@looped
async def test_exchange_info_shows_the_limit_that_is_enforced() -> None:
    async with loopback(replace(LIMITS, request_weight_per_minute=77)) as house:
        for path, venue in (("/fapi/v1/exchangeInfo", USDM), ("/dapi/v1/exchangeInfo", COINM)):
            rules = (await house.get(path, venue)).json["rateLimits"]
            assert rules[0]["limit"] == 77


@looped
@pytest.mark.parametrize(("profile", "used"), [(P2026Q1, 1), (CURRENT, 2)])
async def test_venues_share_a_budget_since_they_were_integrated(
    profile: Profile, used: int
) -> None:
    async with loopback(profile=profile) as house:
        await house.get("/fapi/v1/ping")
        answer = await house.get("/dapi/v1/ping", COINM)
    assert answer.headers["x-mbx-used-weight-1m"] == str(used)


@pytest.mark.parametrize(
    "row",
    [row for row in ACCOUNT_REQUESTS if row.path],
    ids=lambda row: f"{row.http_method} {row.path}",
)
def test_every_path_about_accounts_is_refused_as_without_a_key(row: AccountRequest) -> None:
    assert find_path(row.venue, row.path) is None, "a path is either answered or refused"
    assert find_account_path(row.venue, row.path)[row.http_method] is row


@looped
async def test_orders_are_refused_whatever_the_key_and_one_line_of_the_log_says_why() -> None:
    log = io.StringIO()
    configure(stream=log)
    refusal = {"code": -2014, "msg": "API-key format invalid."}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with loopback() as house:
        for headers in ({}, {"X-MBX-APIKEY": "any"}, {"X-MBX-APIKEY": "a" * 64}):
            for method, path, venue in (
                ("POST", "/fapi/v1/order", USDM),
                ("DELETE", "/fapi/v1/order?symbol=BTCUSDT", USDM),
                ("PUT", "/fapi/v1/listenKey", USDM),
                ("GET", "/fapi/v3/account", USDM),
                ("POST", "/dapi/v1/batchOrders", COINM),
            ):
                body = b"symbol=BTCUSDT&side=BUY" if method == "POST" else None
                answer = await house.get(path, venue, method, headers | form, body)
                assert (answer.status, answer.json) == (401, refusal), (method, path)
                assert answer.headers["x-mbx-used-weight-1m"].isdecimal()
        metrics = await house.metrics()
        unknown = await house.get("/fapi/v1/orders", method="POST")
        wrong = await house.get("/fapi/v1/batchOrders", method="GET")
        posted = await house.get("/fapi/v1/ping", method="POST")
    assert unknown.status == 404, "a path that never existed"
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, PUT, DELETE, OPTIONS")
    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    name = 'tickerplant_http_requests_total{code="401",method="POST",path="/fapi/v1/order",venue="usdm"}'
    assert metrics[name] == 3
    said = [line for line in log.getvalue().splitlines() if "no orders here" in line]
    assert len(said) == 1, log.getvalue()
    assert "POST /fapi/v1/order" in said[0]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@looped
async def test_requests_for_hosts_that_are_not_here_are_refused_and_the_host_is_named(
    method: str,
) -> None:
    path = f"{ELSEWHERE}/api.binance.com/sapi/v1/capital/config/getall"
    async with loopback() as house:
        answer = await house.get(f"{path}?timestamp=1&signature=00", method=method)
        assert answer.status == 404
        said = {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"}
        assert answer.json == said
        with pytest.raises(InvalidStatus, match="404"):
            async with house.connect(f"{ELSEWHERE}/stream.binance.com/ws/btcusdt@trade"):
                pass


@looped
async def test_a_connection_goes_on_after_a_refused_order() -> None:
    async with loopback() as house:
        order = b"POST /fapi/v1/order HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nside=SELL"
        ping = b"GET /fapi/v1/ping HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        answer = await raw(house, order + ping)
    assert answer.count(b"HTTP/1.1 401 ") == 1, answer
    assert answer.count(b"HTTP/1.1 200 OK") == 1, answer


@looped
async def test_refused_orders_are_charged_until_the_address_is_turned_away() -> None:
    async with loopback(replace(LIMITS, request_weight_per_minute=10)) as house:
        answers = [await house.get("/fapi/v2/balance") for _ in range(3)]
    assert [each.status for each in answers] == [401, 401, 429]


@looped
async def test_funding_requests_share_an_allowance_and_show_no_weight() -> None:
    async with loopback(replace(LIMITS, funding_requests=2)) as house:
        paths = ("/fapi/v1/fundingRate?symbol=BTCUSDT", "/fapi/v1/fundingInfo", "/fapi/v1/ping")
        answers = [await house.get(path) for path in (*paths, *paths)]
    assert [each.status for each in answers] == [200, 200, 200, 429, 429, 200]
    reported = ["x-mbx-used-weight-1m" in each.headers for each in answers]
    assert reported == [False, False, True, False, False, True]
    assert answers[3].headers["retry-after"] == "300"
    assert "2 requests per 5 minutes" in answers[3].json["msg"]


@pytest.mark.parametrize(("profile", "shows"), [(P2026Q1, True), (CURRENT, False)])
@looped
async def test_statistics_show_no_weight_since_it_was_measured(
    profile: Profile, shows: bool
) -> None:
    async with loopback(profile=profile) as house:
        for venue, path in (
            (USDM, "/futures/data/takerlongshortRatio?symbol=BTCUSDT&period=5m"),
            (USDM, "/futures/data/delivery-price?pair=BTCUSDT"),
            (USDM, "/futures/data/openInterestHist?symbol=NOPE&period=5m"),
            (COINM, "/futures/data/takerBuySellVol?pair=BTCUSD&contractType=ALL&period=5m"),
        ):
            answer = await house.get(path, venue)
            assert ("x-mbx-used-weight-1m" in answer.headers) == shows, path


@pytest.mark.parametrize(
    ("path", "documented", "measured"),
    [
        ("depth?symbol=BTCUSDT", 10, 1),
        ("depth?symbol=BTCUSDT&limit=500", 10, 10),
        ("constituents?symbol=BTCUSDT", 2, 1),
        ("indexInfo", 1, 10),
        ("indexInfo?symbol=DEFIUSDT", 1, 1),
        ("insuranceBalance", 1, 40),
        ("insuranceBalance?symbol=BTCUSDT", 1, 1),
    ],
)
@looped
async def test_weights_are_those_measured_in_the_current_profile(
    path: str, documented: int, measured: int
) -> None:
    for profile, weight in ((P2026Q1, documented), (CURRENT, measured)):
        async with loopback(profile=profile) as house:
            answer = await house.get(f"/fapi/v1/{path}")
            assert int(answer.headers["x-mbx-used-weight-1m"]) == weight, profile.name


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/plant/v1/nothing", 404),
        ("GET", "/ws", 400),
        ("POST", "/fapi/v1/ping", 405),
        ("GET", "/fapi/v1/ping?" + "a" * LIMITS.max_uri_bytes, 414),
    ],
)
@looped
async def test_what_nobody_can_answer_costs_weight_too(method: str, path: str, status: int) -> None:
    async with loopback(replace(LIMITS, request_weight_per_minute=2)) as house:
        asked = [await house.get(path, method=method) for _ in range(3)]
        assert [each.status for each in asked] == [status, status, 429]
        assert (await house.get("/fapi/v1/ping")).status == 429


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x03\x01 no protocol of ours\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET /" + b"a" * (LIMITS.max_head_bytes - 4),
        b"GET / HTTP/1.1\r\nx: " + b"y" * (LIMITS.max_head_bytes - 18),
    ],
)
@looped
async def test_what_is_no_request_is_400_and_counted(request_bytes: bytes) -> None:
    async with loopback() as house:
        answer = await raw(house, request_bytes)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert (await house.metrics())['tickerplant_http_malformed_total{venue="usdm"}'] == 1
