"""Pages of any origin may read market data, and nothing else of a server."""

from __future__ import annotations

import pytest
from loopback import loopback, looped
from msgspec.structs import replace

from tickerplant.protocol.limits import LIMITS
from tickerplant.server.operations.catalogue import ROUTER
from tickerplant.venue import COINM, USDM, Venue

ORIGIN = {"Origin": "https://page.example", "Sec-Fetch-Site": "cross-site"}
ASKING = {
    **ORIGIN,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "x-mbx-apikey,x-else",
}
LONG = "/fapi/v1/ping?" + "a" * LIMITS.max_uri_bytes


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/fapi/v1/exchangeInfo", "GET", 200),
        ("/fapi/v1/exchangeInfo", "HEAD", 200),
        ("/fapi/v1/ticker/24hr", "GET", 200),
        ("/futures/data/basis?pair=BTCUSDT&contractType=PERPETUAL&period=5m", "GET", 200),
        ("/fapi/v1/depth?symbol=NONESUCH", "GET", 400),
        ("/ws/btcusdt@trade", "GET", 400),
        ("/fapi/v1/historicalTrades?symbol=BTCUSDT", "GET", 401),
        ("/fapi/v1/order", "POST", 401),
        ("/fapi/v1/nothing", "GET", 404),
        ("/fapi/v1/ping", "DELETE", 405),
        (LONG, "GET", 414),
        (LONG, "OPTIONS", 414),
    ],
)
@looped
async def test_every_response_with_market_data_may_be_read(
    path: str, method: str, status: int
) -> None:
    async with loopback() as house:
        for headers in (ORIGIN, {}):
            answer = await house.get(path, method=method, headers=headers)
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "*"
            exposed = answer.headers["access-control-expose-headers"]
            assert exposed == "retry-after, x-mbx-used-weight-1m"


@pytest.mark.parametrize(
    ("fault", "status"), [("http_418=1", 418), ("http_429=1", 429), ("http_503=1", 503), ("http=403", 403)]
)  # fmt: skip
@looped
async def test_so_may_errors_of_faults_which_do_not_touch_the_question_before(
    fault: str, status: int
) -> None:
    async with loopback(faults=fault) as house:
        answer = await house.get("/fapi/v1/time", headers=ORIGIN)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == "*"
        assert (await house.get("/fapi/v1/time", method="OPTIONS", headers=ASKING)).status == 204


@looped
async def test_a_page_over_its_limit_reads_that_and_how_long_to_wait_and_may_still_ask_first() -> (
    None
):
    limits = replace(LIMITS, request_weight_per_minute=1, refusals_before_ban=1)
    async with loopback(limits) as house:
        for status in (200, 429, 418, 418):
            asked = await house.get("/fapi/v1/time", method="OPTIONS", headers=ASKING)
            assert asked.status == 204, "which costs nothing"
            answer = await house.get("/fapi/v1/time", headers=ORIGIN)
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "*"
        assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("path", "venue", "verbs"),
    [
        ("/fapi/v1/depth?symbol=BTCUSDT", USDM, "GET, HEAD, OPTIONS"),
        ("/dapi/v1/exchangeInfo", COINM, "GET, HEAD, OPTIONS"),
        ("/fapi/v1/listenKey", USDM, "POST, PUT, DELETE, OPTIONS"),
        ("/fapi/v1/nothing", USDM, "OPTIONS"),
        ("*", USDM, "OPTIONS"),
    ],
)
@looped
async def test_a_browser_that_asks_first_is_told_what_a_page_may_send(
    path: str, venue: Venue, verbs: str
) -> None:
    async with loopback() as house:
        answer = await house.get(path, venue, "OPTIONS", ASKING)
        assert (answer.status, answer.body) == (204, b"")
        assert not {"content-length", "content-type", "transfer-encoding"} & answer.headers.keys()
        said = {name: value for name, value in answer.headers.items() if name != "date"}
        assert said == {
            "connection": "close",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "retry-after, x-mbx-used-weight-1m",
            "allow": verbs,
            "access-control-allow-methods": verbs,
            "access-control-allow-headers": "x-mbx-apikey,x-else",
            "access-control-max-age": "86400",
        }
        other = await house.get(path, venue, "OPTIONS")
        assert other.headers["access-control-allow-headers"] == "*"


@looped
async def test_the_servers_own_pages_stay_closed() -> None:
    async with loopback() as house:
        for path in (*ROUTER.templates, "/plant/v1/nothing", "/plant/v1/"):
            for method in ("GET", "POST", "OPTIONS"):
                if path.startswith("/plant/v1/truth") and method == "GET":
                    continue
                answer = await house.get(path, method=method, headers=ASKING)
                allowed = [each for each in answer.headers if each.startswith("access-control")]
                assert not allowed, (method, path)
                assert method == "GET" or answer.status >= 400
