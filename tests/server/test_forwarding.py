from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from loopback import Clock, Loopback, ask, loopback, looped, until
from test_response_cache import query_of

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.protocol.api_session import MAX_FORWARDED
from tickerplant.queries.query import Query
from tickerplant.server.forwarding import CachingForwarder
from tickerplant.server.response_cache import ResponseCache, name_of

DEPTH = query_of("/fapi/v1/depth")
LOST = UpstreamError("https://upstream", "no answer within 10 s")
DISCONNECTED = {
    "code": -1001,
    "msg": "Internal error; unable to process your request. Please try again.",
}
OVERLOADED = {
    "code": -1008,
    "msg": "Server is currently overloaded with other requests. Please try again in a few minutes.",
}


class Upstream:
    """Somebody who knows ETHUSDT, and answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.counts: Counter[str] = Counter()
        self.waiting: list[asyncio.Future[bytes]] = []

    def forwards(self, _query: Query, params: Mapping[str, object]) -> bool:
        return params.get("symbol") == "ETHUSDT"

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        self.asked.append((name_of(query), dict(params)))
        self.counts["sent"] += 1
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]

    async def next(self, number: int = 1) -> asyncio.Future[bytes]:
        """The `number`-th question, when it has come."""
        await until(lambda: len(self.waiting) >= number)
        return self.waiting[number - 1]


def forwarder(upstream: Upstream, clock: Clock, **options: Any) -> CachingForwarder:
    return CachingForwarder(upstream.answer, upstream.forwards, clock=clock, **options)


def get(house: Loopback, path: str) -> asyncio.Task[Any]:
    return asyncio.create_task(house.get(path))


# One port


@looped
async def test_a_forwarded_rest_request_costs_the_same() -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house:
        asking = get(house, "/fapi/v1/ticker/price?symbol=ETHUSDT&else=1")
        question = await upstream.next()
        meanwhile = await house.get("/fapi/v1/time")
        question.set_result(b'{"symbol": "ETHUSDT"}')
        answer = await asking
        counted = await house.metrics()
    assert meanwhile.status == 200, "nobody waits for it"
    assert (answer.status, answer.body) == (200, b'{"symbol": "ETHUSDT"}'), "byte for byte"
    assert answer.headers["x-mbx-used-weight-1m"] == "1", "as of when it was asked"
    assert answer.headers["content-type"] == "application/json;charset=UTF-8"
    assert upstream.asked == [("/v1/ticker/price", {"symbol": "ETHUSDT", "else": "1"})]
    outcome = 'tickerplant_forwarded_requests_total{outcome="sent",venue="usdm"}'
    assert counted[outcome] == 1


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (RequestError(-1121, "Invalid symbol."), 400, {"code": -1121, "msg": "Invalid symbol."}),
        (LOST, 503, DISCONNECTED),
        (
            ZeroDivisionError("a fault"),
            500,
            {"code": -1000, "msg": "An unknown error occured while processing the request."},
        ),
    ],
)
@looped
async def test_errors_of_forwarded_requests_are_reported_over_both_interfaces(
    error: Exception, status: int, body: dict[str, Any]
) -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house:
        asking = get(house, "/fapi/v1/ticker/price?symbol=ETHUSDT")
        (await upstream.next()).set_exception(error)
        answer = await asking
        assert (answer.status, answer.json) == (status, body)
        async with house.connect("/ws-fapi/v1") as client:
            request = {"id": 1, "method": "ticker.price", "params": {"symbol": "ETHUSDT"}}
            await client.send(json.dumps(request))
            (await upstream.next(2)).set_exception(error)
            reply = json.loads(await client.recv())
        assert (reply["id"], reply["status"], reply["error"]) == (1, status, body)


@looped
async def test_a_refused_request_is_not_forwarded() -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house:
        answer = await house.get("/fapi/v1/historicalTrades?symbol=ETHUSDT")
        assert answer.status == 401, "a question that wants a key"
        answer = await house.get("/fapi/v1/ticker/price?symbol=XYZUSDT")
        assert answer.json["code"] == -1121, "and one that is not wanted"
    assert upstream.asked == []


@looped
async def test_a_connection_continues_while_its_requests_wait() -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house, house.connect("/ws-fapi/v1") as client:
        request = {"method": "ticker.price", "params": {"symbol": "ETHUSDT"}}
        for number in range(MAX_FORWARDED):
            await client.send(json.dumps({"id": number, **request}))
        await upstream.next(MAX_FORWARDED)
        reply = await ask(client, {"id": "more", **request})
        assert (reply["id"], reply["status"], reply["error"]) == ("more", 503, OVERLOADED)
        reply = await ask(client, {"id": "here", "method": "ping"})
        assert (reply["id"], reply["status"]) == ("here", 200)
        for number in (7, 3):
            upstream.waiting[number].set_result(b"{}")
            assert json.loads(await client.recv())["id"] == number, "as they are answered"


@looped
async def test_a_client_that_leaves_waits_for_nothing() -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house:
        async with house.connect("/ws-fapi/v1") as client:
            request = {"id": 1, "method": "ticker.price", "params": {"symbol": "ETHUSDT"}}
            await client.send(json.dumps(request))
            question = await upstream.next()
        await until(question.cancelled)


@looped
async def test_a_server_that_stops_answers_requests_that_wait() -> None:
    upstream = Upstream()
    async with loopback(forwarder=upstream) as house:
        asking = get(house, "/fapi/v1/ticker/price?symbol=ETHUSDT")
        question = await upstream.next()
    answer = await asking
    assert (answer.status, answer.json) == (503, DISCONNECTED)
    assert question.cancelled()


# Many who ask the same


@looped
async def test_equal_requests_are_sent_once_and_the_response_is_cached() -> None:
    upstream, clock = Upstream(), Clock()
    shared = forwarder(upstream, clock)
    asking = [
        asyncio.create_task(shared.answer(DEPTH, {"symbol": symbol, "limit": limit}))
        for symbol, limit in (("ETHUSDT", "5"), ("ethusdt", 5), ("ETHUSDT", "10"))
    ]
    (await upstream.next(1)).set_result(b"five")
    (await upstream.next(2)).set_result(b"ten")
    assert await asyncio.gather(*asking) == [b"five", b"five", b"ten"]
    clock.now_ms += 249
    assert await shared.answer(DEPTH, {"symbol": "ETHUSDT", "limit": "5"}) == b"five"
    clock.now_ms += 1
    again = asyncio.create_task(shared.answer(DEPTH, {"symbol": "ETHUSDT", "limit": "5"}))
    (await upstream.next(3)).set_result(b"newer")
    assert await again == b"newer"
    assert upstream.asked == [
        ("/v1/depth", {"limit": limit, "symbol": "ETHUSDT"}) for limit in ("5", "10", "5")
    ]
    counts = {"sent": 3, "coalesced": 1, "cached": 1, "refused": 0, "failed": 0, "evicted": 0}
    assert shared.counts == counts


@looped
async def test_a_client_that_leaves_does_not_cancel_the_request_of_others() -> None:
    upstream = Upstream()
    shared = forwarder(upstream, Clock())
    first, second = (asyncio.create_task(shared.answer(DEPTH, {})) for _ in range(2))
    question = await upstream.next()
    first.cancel()
    await until(first.cancelled)
    question.set_result(b"all the same")
    assert await second == b"all the same"


@looped
async def test_an_error_about_the_request_is_cached_and_raised_for_each() -> None:
    upstream, clock = Upstream(), Clock()
    shared = forwarder(upstream, clock, max_age_ms=lambda _query: 60_000)
    asking = [asyncio.create_task(shared.answer(DEPTH, {})) for _ in range(2)]
    (await upstream.next()).set_exception(RequestError(-1121, "Invalid symbol."))
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [error.code for error in errors if isinstance(error, RequestError)] == [-1121, -1121]
    assert errors[0] is not errors[1]
    clock.now_ms += 999
    with pytest.raises(RequestError):
        await shared.answer(DEPTH, {})
    clock.now_ms += 1
    again = asyncio.create_task(shared.answer(DEPTH, {}))
    (await upstream.next(2)).set_result(b"listed since")
    assert await again == b"listed since", "an error is not kept for long"


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        RequestError(-1000, "Turned away.", 403),
        RequestError(-1003, "Banned.", 418),
        RequestError(-1003, "Too many requests.", 429),
        RequestError(-1000, "Fault.", 503),
        RequestError(-1000, "All is well.", 200),
        RequestError(-1000, "Elsewhere.", 302),
        RequestError(-1000, "What?", 0),
    ],
)
@looped
async def test_an_upstream_failure_is_not_the_clients_and_is_not_cached(error: Exception) -> None:
    upstream = Upstream()
    shared = forwarder(upstream, Clock())
    asking = [asyncio.create_task(shared.answer(DEPTH, {})) for _ in range(2)]
    (await upstream.next()).set_exception(error)
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in errors] == [UpstreamError, UpstreamError]
    assert shared.counts["failed"] == 1
    again = asyncio.create_task(shared.answer(DEPTH, {}))
    (await upstream.next(2)).set_result(b"back")
    assert await again == b"back"


@looped
async def test_requests_beyond_the_number_in_flight_are_refused() -> None:
    upstream, cache = Upstream(), ResponseCache(max_responses=1)
    shared = forwarder(upstream, Clock(), cache=cache, max_in_flight=2)
    asking = [
        asyncio.create_task(shared.answer(DEPTH, {"symbol": symbol})) for symbol in ("A", "B", "A")
    ]
    await upstream.next(2)
    with pytest.raises(RequestError) as refused:
        await shared.answer(DEPTH, {"symbol": "C"})
    assert (refused.value.code, refused.value.status) == (-1008, 503)
    for question in upstream.waiting:
        question.set_result(b"{}")
    assert await asyncio.gather(*asking) == [b"{}"] * 3, "who joins takes no place"
    assert (len(cache), shared.counts["refused"], shared.counts["evicted"]) == (1, 1, 1)
