from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from contextlib import suppress
from decimal import Decimal
from functools import partial

import pytest
from loopback import START_MS, loopback, looped, until
from misbehaving import Answer, Fault, SharedMoment, TimeSpec, client_in, hosts_in, http, scripted
from msgspec.structs import replace

from tickerplant import __version__
from tickerplant.client.request import plain_reason, retry_after_of
from tickerplant.client.rest import MAX_CONCURRENT, RestClient, full_path, text_of
from tickerplant.errors import RateLimitError, RequestError, UpstreamError
from tickerplant.feed.weight import WeightBudget
from tickerplant.profile import PROFILES, Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import QUERIES
from tickerplant.received import excess
from tickerplant.units import MINUTE_MS
from tickerplant.venue import COINM, USDM, VENUES, Venue

MAX_BYTES = 1 << 22
"""A limit for responses that is reached sooner than the usual one."""

REFUSED = "tickerplant_requests_refused_total"


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickerplant.client.http.excess", partial(excess, most=MAX_BYTES))


client_of = partial(client_in, RestClient)


@looped
async def test_a_question_is_answered_with_the_bytes_of_the_server() -> None:
    async with loopback() as house:
        path = "/fapi/v1/exchangeInfo"
        async with client_of(hosts_in(house), TimeSpec()) as client:
            expected = (await house.get(path)).body
            assert await client.get("exchangeInfo") == expected
            assert await client.get(path) == expected
            assert await client.get("fapi/v1/exchangeInfo") == expected
            assert await client.get("time", symbol=None) == b'{"serverTime":%d}' % START_MS


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@looped
async def test_no_question_weighs_more_than_the_client_thinks(
    venue: Venue, profile: Profile
) -> None:
    symbol, pair = ("BTCUSDT", "BTCUSDT") if venue is USDM else ("BTCUSD_PERP", "BTCUSD")
    asked = 0
    limits = replace(LIMITS, request_weight_per_minute=100_000)
    async with loopback(limits, profile=profile) as house:
        budget = WeightBudget(100_000, 1.0)
        async with client_of(hosts_in(house, venue), TimeSpec(), budget, api_key="any") as client:
            for query in QUERIES:
                path = query.path_on(venue)
                if path is None:
                    continue
                for params in ({}, {"symbol": symbol}, {"pair": pair, "limit": 100}):
                    with suppress(RequestError, UpstreamError):
                        await client.get(path, **params)
                    asked += query.shows_weight_in(profile)
                    assert budget._others == 0, f"{path} {params} weighs more than we thought"
        answer = await house.get(f"{venue.rest_prefix}/v1/ping", venue)
        used = int(answer.headers["x-mbx-used-weight-1m"]) - 1
    most = sum(
        max(0, query.weigh_over_rest({}, None) - query.weigh_over_rest({}, profile))
        for query in QUERIES
    )
    assert used <= budget.spent <= used + 10 * most, "more only where the profiles differ"
    assert asked > 50


@looped
async def test_an_error_of_the_exchange_is_raised_and_not_asked_again() -> None:
    async with loopback() as house:
        moment = TimeSpec()
        async with client_of(hosts_in(house), moment) as client:
            with pytest.raises(
                RequestError, match=r"^/fapi/v1/depth symbol=NONESUCH: -1121 Inv.*\.$"
            ) as caught:
                await client.get("depth", symbol="NONESUCH")
            assert (caught.value.code, caught.value.status) == (-1121, 400)
            with pytest.raises(RequestError) as caught:
                await client.get("nothing")
            assert (caught.value.code, caught.value.status) == (-5000, 404)
        assert moment.slept == []


@looped
async def test_waiting_for_ones_own_share_needs_no_patience() -> None:
    async with loopback() as house:
        moment, budget = SharedMoment(house), WeightBudget(5, 0.2)
        async with client_of(hosts_in(house), moment, budget, patience_s=0.0) as client:
            for _ in range(4):
                await client.get("ping")
        assert moment.now_ms == START_MS + 3 * MINUTE_MS


@looped
async def test_two_venues_share_one_budget() -> None:
    async with loopback() as house:
        moment, budget = SharedMoment(house), WeightBudget(4, 0.5)
        async with (
            client_of(hosts_in(house, USDM), moment, budget) as usdm,
            client_of(hosts_in(house, COINM), moment, budget) as coinm,
        ):
            for client in (usdm, coinm, usdm, coinm):
                await client.get("ping")
        assert moment.now_ms == START_MS + MINUTE_MS


@pytest.mark.parametrize(
    ("retry_after", "slept"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("Thu, 01 Jan 2026 00:00:09 GMT", 9.0),
        ("soon", 60.0),
        ("", 60.0),
    ],
)
@looped
async def test_it_waits_as_the_answer_says(retry_after: str, slept: float) -> None:
    refusal = http(429, b"<html>", Retry_After=retry_after)
    moment = TimeSpec()
    async with scripted(refusal, http(200)) as server, client_of(server.hosts(), moment) as client:
        assert await client.get("ping") == b"{}"
    assert moment.slept == [slept]


@looped
async def test_refusals_without_end_end_with_the_patience() -> None:
    moment, budget = TimeSpec(), WeightBudget()
    async with (
        scripted(http(429, b'{"code":-1003,"msg":"no"}', Retry_After="25")) as server,
        client_of(server.hosts(), moment, budget) as client,
    ):
        with pytest.raises(
            RequestError, match=r"ping: -1003 no \(HTTP 429, again in 25 s, at "
        ) as caught:
            await client.get("ping")
    assert caught.value.status == 429
    assert (moment.slept, budget.refusals) == ([25.0, 25.0], 3)


GARBAGE: tuple[tuple[Answer, str], ...] = (
    (http(200, b"<html>"), "the response is not JSON"),
    (
        http(200, b" <html><title>Sign in\nhere</title>"),
        'titled "Sign in here": there may be a proxy',
    ),
    (http(200, b""), "the response is not JSON: it is empty"),
    (http(200, b'{"a":1,"b'), 'not JSON, or incomplete: {"a":1,"b'),
    (http(503, b"<html>"), "HTTP 503"),
    (http(502, b"<title>nginx</title>"), 'HTTP 502 Bad Gateway, .* titled "nginx"'),
    (http(503, b'{"code":-1008,"msg":"Server is currently overloaded."}'), "-1008"),
    (http(500, b"\xff\xfe"), "HTTP 500"),
    (http(503, b'{"code":-1,"msg":"\xb7\xc3"}'), "HTTP 503"),
    (http(503, b'{"code":-1,"msg":"","more":' + b"[" * 100_000), "HTTP 503"),
    (http(408, b""), "HTTP 408"),
    (http(200, b"{}", Content_Length="7"), "closed in the middle of the response"),
    (http(200, b"{}", Content_Encoding="gzip"), "."),
    (http(200, b"{}", Content_Length="x"), "."),
    (http(200, b"5\r\n{}", Transfer_Encoding="chunked"), "."),
    (http(200, b"zz\r\n{}\r\n", Transfer_Encoding="chunked"), "."),
    (b"HTTP/9.9 200 OK\r\n\r\n{}", "."),
    (b"HTTP/1.1 OK\r\n\r\n", "."),
    (b"HTTP/1.1 999999 OK\r\n\r\n", "."),
    (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}", "."),
    (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000 + b"\r\n\r\n{}", "."),
    (b"\x00\x01\x02", "."),
    (b"", "."),
    (Fault.RESET, "reset|closed without a response"),
    (Fault.CLOSE, "the connection was closed without a response"),
)


@pytest.mark.parametrize(("answer", "said"), GARBAGE, ids=range(len(GARBAGE)))
@looped
async def test_what_makes_no_sense_is_asked_three_times_and_said_in_one_line(
    answer: Answer, said: str
) -> None:
    moment = TimeSpec()
    async with scripted(answer) as server, client_of(server.hosts(), moment) as client:
        with pytest.raises(UpstreamError, match=said) as caught:
            await client.fetch("depth", {"symbol": "BTCUSDT"})
        assert caught.value.url == f"{server.base}/fapi/v1/depth"
        assert len(caught.value.reason) > 5
        assert str(caught.value).isprintable()
        assert " symbol=BTCUSDT: " in str(caught.value)
        assert len(server.asked) == 3
    assert len(moment.slept) == 2
    assert 0.125 <= moment.slept[0] <= 0.375
    assert 0.25 <= moment.slept[1] <= 0.75


@pytest.mark.parametrize("answer", [http(200, b"<html>"), http(503), Fault.RESET])
@looped
async def test_what_comes_right_at_last_is_the_answer(answer: Answer) -> None:
    async with (
        scripted(answer, answer, http(200, b'{"a":1}')) as server,
        client_of(server.hosts(), TimeSpec()) as client,
    ):
        assert await client.get("time") == b'{"a":1}'


@looped
async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async with (
        scripted(Fault.HANG) as server,
        client_of(server.hosts(), TimeSpec(), timeout_s=0.05) as client,
    ):
        with pytest.raises(UpstreamError, match=r"no response within 0\.05 s"):
            await client.get("time")
        assert len(server.asked) == 3


@looped
async def test_failures_without_end_end_with_the_patience() -> None:
    moment = TimeSpec()
    async with (
        scripted(http(503, b"")) as server,
        client_of(server.hosts(), moment, patience_s=0.1) as client,
    ):
        with pytest.raises(UpstreamError, match="HTTP 503 Service Unavailable"):
            await client.get("time")
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [302, 403, 404, 204])
@looped
async def test_what_is_no_fault_of_the_question_and_will_not_change_is_not_asked_again(
    status: int,
) -> None:
    body = b"<html>" if status != 204 else b""
    answer = http(status, body, Location="http://portal/?a=\x1b[2J")
    async with scripted(answer) as server, client_of(server.hosts(), TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=f"HTTP {status} .*, without an error") as caught:
            await client.get("time")
        assert len(server.asked) == 1
    assert "redirected to http://portal/" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", [201, 302, 600])
@looped
async def test_an_error_with_the_status_of_none_is_not_that_of_the_exchange(status: int) -> None:
    head = f"HTTP/1.1 {status} Odd\r\nContent-Length: 21\r\n\r\n".encode()
    async with (
        scripted(head + b'{"code":-1,"msg":"a"}') as server,
        client_of(server.hosts(), TimeSpec()) as client,
    ):
        with pytest.raises(UpstreamError, match=f"HTTP {status} Odd: -1 a$"):
            await client.get("time")
        assert len(server.asked) == 1


@pytest.mark.usefixtures("sooner")
@pytest.mark.parametrize("packed", [True, False])
@looped
async def test_an_answer_that_is_too_long_is_given_up(packed: bool) -> None:
    text = b" " * (MAX_BYTES + 1)
    answer = http(200, gzip.compress(text), Content_Encoding="gzip") if packed else http(200, text)
    async with scripted(answer) as server, client_of(server.hosts(), TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=f"at most {MAX_BYTES:,} are read"):
            await client.get("time")
        assert len(server.asked) == 1


@pytest.mark.usefixtures("sooner")
@looped
async def test_of_an_answer_that_unpacks_to_much_only_a_bounded_part_is_unpacked() -> None:
    answer = http(200, gzip.compress(b" " * (4 * MAX_BYTES), 9), Content_Encoding="gzip")
    async with scripted(answer) as server, client_of(server.hosts(), TimeSpec()) as client:
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamError, match="are read"):
                await client.get("time")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 2.5 * MAX_BYTES


@looped
async def test_it_says_who_asks_and_what() -> None:
    async with (
        scripted(http(200)) as server,
        client_of(server.hosts(), TimeSpec(), api_key="key") as client,
    ):
        await client.get("v2/ticker/price", symbol="BTCUSDT", limit=5, flag=True, nothing=None)
        await client.get("futures/data/basis", pair="币安 &=?#")
        first, second = (head.decode().splitlines() for head in server.asked)
    assert first[0] == "GET /fapi/v2/ticker/price?symbol=BTCUSDT&limit=5&flag=true HTTP/1.1"
    assert f"User-Agent: tickerplant/{__version__}" in first
    assert "X-MBX-APIKEY: key" in first
    assert second[0] == "GET /futures/data/basis?pair=%E5%B8%81%E5%AE%89+%26%3D?%23 HTTP/1.1"


@looped
async def test_few_questions_are_on_their_way_at_once() -> None:
    async with scripted(http(200)) as server, client_of(server.hosts(), TimeSpec()) as client:
        await asyncio.gather(*(client.get("ping") for _ in range(5 * MAX_CONCURRENT)))
        assert len(server.asked) == 5 * MAX_CONCURRENT
        assert server.most_at_once == MAX_CONCURRENT


@looped
async def test_the_used_weight_makes_room_for_others() -> None:
    moment, budget = TimeSpec(), WeightBudget(100, 0.8)
    async with (
        scripted(*(http(200, X_MBX_USED_WEIGHT_1M=str(used)) for used in (99, 100, 1))) as server,
        client_of(server.hosts(), moment, budget) as client,
    ):
        await client.get("ping")
        await client.get("ping")
        await client.get("ping")
    assert moment.slept == [60.0], "98 of others, one of ours, one more, and then the next minute"


@pytest.mark.parametrize("used", ["many", "9" * 5000, "²"])
@looped
async def test_nonsense_about_the_used_weight_is_passed_over(used: str) -> None:
    moment = TimeSpec()
    answer = http(200).replace(b"\r\n\r\n", f"\r\nX-MBX-USED-WEIGHT-1M: {used}\r\n\r\n".encode())
    async with (
        scripted(answer) as server,
        client_of(server.hosts(), moment) as client,
    ):
        await client.get("ping")
        await client.get("ping")
    assert moment.slept == []


@looped
async def test_closing_ends_the_questions_that_are_on_their_way_and_those_that_wait() -> None:
    async with scripted(Fault.HANG) as server:
        client = RestClient(server.hosts(), WeightBudget(10, 0.2))
        questions = [asyncio.create_task(client.get("ping")) for _ in range(40)]
        await until(lambda: len(server.asked) == 2)
        await client.close()
        ends = await asyncio.gather(*questions, return_exceptions=True)
    assert all(str(end).endswith("the client is closed") for end in ends)
    assert all(isinstance(end, UpstreamError) for end in ends)


@looped
async def test_a_question_that_is_given_up_leaves_room_for_others() -> None:
    async with (
        scripted(*[Fault.HANG] * MAX_CONCURRENT, http(200)) as server,
        client_of(server.hosts(), TimeSpec()) as client,
    ):
        questions = [asyncio.create_task(client.get("ping")) for _ in range(MAX_CONCURRENT)]
        await until(lambda: len(server.asked) == MAX_CONCURRENT)
        for question in questions:
            question.cancel()
        ends = await asyncio.gather(*questions, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert await client.get("ping") == b"{}"


@looped
async def test_who_waits_for_the_budget_can_be_given_up() -> None:
    async with scripted(http(200)) as server:
        client = RestClient(server.hosts(), WeightBudget(1, 1.0), clock=lambda: 0)  # no next minute
        await client.get("ping")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("ping"), 0.05)
        await client.close()


@pytest.mark.parametrize(
    ("path", "venue", "whole"),
    [
        ("depth", USDM, "/fapi/v1/depth"),
        ("ticker/24hr", COINM, "/dapi/v1/ticker/24hr"),
        ("v2/ticker/price", USDM, "/fapi/v2/ticker/price"),
        ("/fapi/v2/ticker/price", COINM, "/fapi/v2/ticker/price"),
        ("futures/data/basis", COINM, "/futures/data/basis"),
        ("dapi/v1/depth", COINM, "/dapi/v1/depth"),
    ],
)
def test_a_path_may_be_short(path: str, venue: Venue, whole: str) -> None:
    assert full_path(path, venue) == whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("BTCUSDT", "BTCUSDT"),
        (5, "5"),
        (False, "false"),
        (0.0000001, "0.0000001"),
        (2.5, "2.5"),
        (Decimal("1E-8"), "0.00000001"),
        (["BTCUSDT", "ETHUSDT"], '["BTCUSDT","ETHUSDT"]'),
        (("A",), '["A"]'),
    ],
)
def test_parameters_become_text(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("120", 120_000),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("Thu, 01 Jan 2026 00:00:09 GMT", 9000),
        ("Thu, 01 Jan 2026 00:00:09 -0000", 9000),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("9" * 400, 999_999_999_999_000),
        (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", None),
    ],
)
def test_retry_after_has_seconds_or_a_date(value: str, wait_ms: int | None) -> None:
    assert retry_after_of(value, START_MS) == wait_ms


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused"),
        (ConnectionResetError(104, "x"), "connection reset by peer"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, …"), "connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "no such host"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the host name could not be looked up"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_why_a_connection_failed_is_said_in_plain_words(error: Exception, said: str) -> None:
    assert plain_reason(error) == said


# With a timeout


@looped
async def test_with_a_timeout_a_ban_is_raised_at_once_with_its_end_and_nothing_is_sent() -> None:
    said = b'{"code":-1003,"msg":"Way too many requests; IP banned. Please use the websocket."}'
    moment = TimeSpec()
    async with (
        scripted(http(418, said, Retry_After="7200")) as server,
        client_of(server.hosts(), moment) as client,
    ):
        with pytest.raises(RateLimitError) as caught:
            await client.fetch("depth", {"symbol": "BTCUSDT"}, timeout_s=10)
        assert str(caught.value) == (
            "/fapi/v1/depth symbol=BTCUSDT: -1003 Way too many requests; IP banned. Please use the "
            "websocket. (HTTP 418, again in 120 min, at 2026-01-01T02:00:00Z)"
        )
        assert (caught.value.code, caught.value.status) == (-1003, 418)
        assert caught.value.banned_until_ms == START_MS + 7_200_000
        assert caught.value.retry_after_s == 7_200
        with pytest.raises(
            RateLimitError, match=r"Not sent: .*refused with: Way too many"
        ) as caught:
            await client.fetch("depth", {"symbol": "BTCUSDT"}, timeout_s=10)
        assert (caught.value.status, caught.value.banned_until_ms) == (418, START_MS + 7_200_000)
        assert (len(server.asked), moment.slept) == (1, [])


@looped
async def test_with_a_timeout_nothing_is_waited_for_that_takes_longer() -> None:
    async with loopback() as house:
        moment = SharedMoment(house)
        async with client_of(hosts_in(house), moment, WeightBudget(5, 0.2)) as client:
            await client.fetch("ping", {}, timeout_s=30)
            with pytest.raises(RateLimitError, match="weight of this minute is spent") as caught:
                await client.fetch("ping", {}, timeout_s=5)
            assert caught.value.banned_until_ms is None
            assert caught.value.retry_at_ms == (moment.now_ms // MINUTE_MS + 1) * MINUTE_MS
            assert moment.slept == []
            await client.fetch("ping", {}, timeout_s=60)
            assert len(moment.slept) == 1


@looped
async def test_the_timeout_holds_for_all_tries_together_and_says_why_the_last_failed() -> None:
    async with (
        scripted(http(503, b"<title>Backend\n gone</title>"), Fault.HANG) as server,
        client_of(server.hosts(), TimeSpec()) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await client.fetch("depth", {"symbol": "BTCUSDT"}, timeout_s=0.5)
        assert str(caught.value) == (
            f"{server.base}/fapi/v1/depth symbol=BTCUSDT: no response within 0.5 s; before that: "
            'HTTP 503 Service Unavailable, without an error of the exchange titled "Backend gone"'
        )


@looped
async def test_secrets_are_not_named() -> None:
    async with scripted(http(403)) as server, client_of(server.hosts(), TimeSpec()) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.get("depth", symbol="BTCUSDT", apiKey="secret", signature="secret")
    assert "secret" not in str(caught.value)
