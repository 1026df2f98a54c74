from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Any

import pytest
from loopback import START_MS, loopback, looped, until
from misbehaving import (
    Answer,
    Fault,
    Handler,
    TimeSpec,
    client_in,
    hosts_in,
    http,
    scripted,
    served,
)
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection

from tickerplant.client.api import HANDSHAKE_WEIGHT, ApiClient
from tickerplant.client.rest import RestClient
from tickerplant.errors import RateLimitError, RequestError, UpstreamError
from tickerplant.feed.weight import WeightBudget
from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import COINM

REFUSED = "tickerplant_requests_refused_total"


client_of = partial(client_in, ApiClient)


async def receive(connection: ServerConnection) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(await connection.recv())
    return asked


async def reply(connection: ServerConnection, asked: dict[str, Any], result: object) -> None:
    await connection.send(json.dumps({"id": asked["id"], "status": 200, "result": result}))


@looped
async def test_a_question_is_answered_with_the_result() -> None:
    async with loopback() as house, client_of(hosts_in(house), TimeSpec()) as client:
        assert await client.ask("time") == {"serverTime": START_MS}
        assert await client.fetch("time", {}) == b'{"serverTime":%d}' % START_MS
        assert await client.ask("v1/ping") == {}


@looped
async def test_the_answer_is_that_of_rest_without_its_prefix() -> None:
    async with loopback() as house, client_of(hosts_in(house), TimeSpec()) as client:
        house.trade()
        rest = RestClient(hosts_in(house), WeightBudget())
        price = await rest.get("v2/ticker/price", symbol="BTCUSDT")
        await rest.close()
        assert await client.fetch("ticker.price", {"symbol": "BTCUSDT"}) == price


@looped
async def test_every_question_weighs_what_the_server_charges() -> None:
    async with loopback() as house:
        budget = WeightBudget()
        async with client_of(hosts_in(house), TimeSpec(), budget) as client:
            await client.ask("ping")
            assert budget.spent == HANDSHAKE_WEIGHT + 1
            for method in ("time", "depth", "ticker.price", "ticker.book", "nothing"):
                for params in ({}, {"symbol": "BTCUSDT"}, {"symbol": "BTCUSDT", "limit": 100}):
                    with suppress(RequestError):
                        await client.ask(method, **params)
                    assert budget._others == 0, f"{method} {params} weighs more than we thought"
        answer = await house.get("/fapi/v1/ping")
        assert int(answer.headers["x-mbx-used-weight-1m"]) == budget.spent + 1


@looped
async def test_an_error_of_the_exchange_is_raised_and_the_connection_stays() -> None:
    async with loopback() as house:
        budget = WeightBudget()
        async with client_of(hosts_in(house), TimeSpec(), budget) as client:
            with pytest.raises(
                RequestError, match=r"^depth symbol=NONESUCH: -1121 Inv.*\.$"
            ) as caught:
                await client.ask("depth", symbol="NONESUCH")
            assert (caught.value.code, caught.value.status) == (-1121, 400)
            spent = budget.spent
            await client.ask("ping")
            assert budget.spent == spent + 1, "no second handshake"


@looped
async def test_coinm_has_no_market_data_and_says_so() -> None:
    async with loopback() as house, client_of(hosts_in(house, COINM), TimeSpec()) as client:
        assert await client.ask("time") == {"serverTime": START_MS}
        with pytest.raises(RequestError, match="-1020 This operation is not supported"):
            await client.ask("ticker.price", symbol="BTCUSD_PERP")


@looped
async def test_many_questions_share_one_connection() -> None:
    async with loopback() as house:
        budget = WeightBudget()
        async with client_of(hosts_in(house), TimeSpec(), budget) as client:
            methods = [("time", "ping")[number % 2] for number in range(200)]
            answers = await asyncio.gather(*(client.ask(method) for method in methods))
        assert [bool(answer) for answer in answers] == [method == "time" for method in methods]
        assert budget.spent == HANDSHAKE_WEIGHT + 200


@looped
async def test_replies_find_their_questions_in_any_order_and_in_any_frames() -> None:
    async def handle(connection: ServerConnection) -> None:
        for asked in reversed([await receive(connection) for _ in range(3)]):
            text = json.dumps({"id": asked["id"], "status": 200, "result": asked["params"]})
            await connection.ping()
            await connection.send([text[:7], text[7:30], text[30:]])
        await connection.send(text)  # again
        await connection.send('{"id":"unknown","status":200,"result":1}')
        await reply(connection, await receive(connection), 1)
        await connection.wait_closed()

    async with served(handle) as hosts, client_of(hosts, TimeSpec()) as client:
        questions = (client.ask("depth", symbol=each) for each in "ABC")
        assert await asyncio.gather(*questions) == [{"symbol": each} for each in "ABC"]
        assert await client.ask("ping") == 1


@looped
async def test_parameters_are_sent_as_json() -> None:
    async def handle(connection: ServerConnection) -> None:
        asked = await receive(connection)
        await reply(connection, asked, asked)
        await connection.wait_closed()

    async with served(handle) as hosts, client_of(hosts, TimeSpec()) as client:
        params = {
            "symbol": "币安",
            "limit": 5,
            "price": 1e-7,
            "size": Decimal("1E+2"),
            "flag": True,
        }
        asked = await client.ask("depth", nothing=None, **params)
    assert asked["method"] == "depth"
    assert asked["params"] == params | {"price": "0.0000001", "size": "100"}


@pytest.mark.parametrize(
    ("data", "slept"),
    [
        ({"serverTime": 1_000, "retryAfter": 8_500}, 7.5),
        ({"retryAfter": START_MS + 9_000}, 9.0),
        ({"serverTime": 5, "retryAfter": 5}, 1.0),
        ({}, 60.0),
        (None, 60.0),
    ],
)
@looped
async def test_it_waits_as_the_reply_says(data: object, slept: float) -> None:
    async def handle(connection: ServerConnection) -> None:
        asked = await receive(connection)
        error = {"code": -1003, "msg": "Too many requests."} | ({"data": data} if data else {})
        await connection.send(json.dumps({"id": asked["id"], "status": 429, "error": error}))
        await reply(connection, await receive(connection), "at last")
        await connection.wait_closed()

    moment = TimeSpec()
    async with served(handle) as hosts, client_of(hosts, moment) as client:
        assert await client.ask("ping") == "at last"
    assert moment.slept == [slept]


@looped
async def test_the_used_weight_of_the_reply_makes_room_for_others() -> None:
    async def handle(connection: ServerConnection) -> None:
        async for text in connection:
            limits = [
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "count": 1},
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 2400,
                    "count": 99,
                },
            ]
            asked = json.loads(text)
            answer = {"id": asked["id"], "status": 200, "result": {}, "rateLimits": limits}
            await connection.send(json.dumps(answer))

    moment = TimeSpec()
    async with (
        served(handle) as hosts,
        client_of(hosts, moment, WeightBudget(100, 0.8)) as client,
    ):
        await client.ask("ping")
        assert moment.slept == []
        await client.ask("depth", symbol="A", limit=5)
        assert moment.slept == [60.0], "93 of others, 6 of ours, and no room for 2 more"


@looped
async def test_a_lost_connection_is_opened_again_without_a_word() -> None:
    asked = []

    async def handle(connection: ServerConnection) -> None:
        asked.append(await receive(connection))
        if len(asked) == 1:
            connection.transport.abort()
            return
        await reply(connection, asked[-1], "here")
        await connection.wait_closed()

    budget = WeightBudget()
    async with served(handle) as hosts, client_of(hosts, TimeSpec(), budget) as client:
        assert await client.ask("ping") == "here"
    assert budget.spent == 2 * (HANDSHAKE_WEIGHT + 1)


@looped
async def test_a_connection_that_was_lost_while_nobody_asked_is_opened_again() -> None:
    async with loopback(replace(LIMITS, lifetime_ms=50)) as house:
        moment = TimeSpec()
        async with client_of(hosts_in(house), moment) as client:
            await client.ask("ping")
            connection = client._connection
            assert connection is not None
            house.clock.now_ms += 60
            await until(lambda: not connection.is_open)
            assert await client.ask("ping") == {}
        assert moment.slept == []


def says(said: str | bytes = b"", *, raw: bytes = b"") -> Handler:
    """Return what says the same to whatever comes first: a message, or bytes that may be none."""

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        if raw:
            connection.transport.write(raw)
        else:
            await connection.send(said)
        await connection.wait_closed()

    return handle


OTHER_ENCODING = b'{"id":1,"status":400,"error":{"code":-1,"msg":"\xb7\xc3"}}'
TO_NOBODY = '{"id":null,"status":401,"error":{"code":-2015,"msg":"no"}}'


async def hang_up(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.close(1008, "go away")


async def abort(connection: ServerConnection) -> None:
    await connection.recv()
    connection.transport.abort()


async def say_nothing_of_it(connection: ServerConnection) -> None:
    async for text in connection:
        await connection.send(json.dumps({"id": json.loads(text)["id"], "status": 500}))


def reply_with(result: bytes) -> Handler:
    """Return what replies with a result that is no Python object."""

    async def handle(connection: ServerConnection) -> None:
        async for text in connection:
            said = b'{"id":%d,"status":200,"result":%s}' % (json.loads(text)["id"], result)
            connection.transport.write(bytes([0x81, len(said)]) + said)

    return handle


async def never_ask(connection: ServerConnection) -> None:
    connection.transport.abort()


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (hang_up, "the server closed the connection: .*1008.* go away|POLICY.* go away"),
        (abort, "the connection was lost"),
        (says("<html>"), "unexpected message from the server"),
        (says(b"\xff\xfe\xfd"), "unexpected message from the server"),
        (
            says(raw=bytes([0x81, len(OTHER_ENCODING)]) + OTHER_ENCODING),
            "unexpected message from the server",
        ),
        (says(TO_NOBODY), "the server replied to an unknown request: -2015 no"),
        (say_nothing_of_it, "neither a result nor an error"),
        (reply_with(b'{"x":"\xff"}'), r"the response cannot be decoded: ."),
        (reply_with(b'{"x":1e400}'), r"the response cannot be decoded: ."),
        (never_ask, "the connection was lost|closed during the handshake"),
        (says(raw=b"\x8f\x00"), "opcode|reserved|rsv"),
        (
            says(raw=b"\x81\x7f" + (1 << 40).to_bytes(8, "big")),
            "exceeding max allowed size",
        ),
    ],
)
@looped
async def test_what_goes_wrong_twice_is_an_error(handler: Handler, reason: str) -> None:
    async with served(handler) as hosts, client_of(hosts, TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=reason) as caught:
            await client.ask("ping")
        assert caught.value.url == hosts.api
        with pytest.raises(UpstreamError, match=reason):
            await asyncio.gather(*(client.ask("ping") for _ in range(3)))


@looped
async def test_a_reply_that_does_not_come_is_an_error_and_the_connection_is_left() -> None:
    connections = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        await connection.wait_closed()

    async with (
        served(handle) as hosts,
        client_of(hosts, TimeSpec(), timeout_s=0.05) as client,
    ):
        for number in (1, 2):
            with pytest.raises(UpstreamError, match=r"no response within 0\.05 s"):
                await client.ask("ping")
            assert len(connections) == 2 * number, "once, and once more"


@looped
async def test_a_close_without_a_code_is_answered_with_one_that_may_be_sent() -> None:
    codes: list[Any] = []

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(b"\x88\x00")
        await connection.wait_closed()
        codes.append(connection.protocol.close_rcvd and connection.protocol.close_rcvd.code)

    async with served(handle) as hosts, client_of(hosts, TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=r"the server closed the connection$"):
            await client.ask("ping")
        await until(lambda: len(codes) == 2)
    assert codes == [1000, 1000]


@looped
async def test_a_handshake_has_no_more_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def slowly(*place: Any) -> None:
        await asyncio.sleep(6)
        await connect(*place)

    monkeypatch.setattr(loop, "sock_connect", slowly)
    async with (
        scripted(Fault.HANG) as server,
        client_of(server.hosts(), TimeSpec(), timeout_s=10) as client,
    ):
        begun_s = loop.time()
        asking = asyncio.create_task(client.ask("ping"))
        await until(lambda: len(server.asked) == 2)
        assert 16 <= loop.time() - begun_s < 17, "10 s for all of the first, 6 for the second"
        asking.cancel()


@looped
async def test_a_question_on_a_connection_that_went_silent_is_asked_on_another() -> None:
    connections = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        await reply(connection, await receive(connection), {"from": len(connections)})
        await connection.wait_closed()

    async with (
        served(handle) as hosts,
        client_of(hosts, TimeSpec(), timeout_s=0.05) as client,
    ):
        assert await client.ask("ping") == {"from": 1}
        assert await client.ask("ping") == {"from": 2}


@looped
async def test_a_reply_that_does_not_come_while_others_do_leaves_the_connection() -> None:
    async def handle(connection: ServerConnection) -> None:
        async for text in connection:
            asked = json.loads(text)
            if asked["method"] == "time":
                await reply(connection, asked, {})

    budget = WeightBudget()
    async with (
        served(handle) as hosts,
        client_of(hosts, TimeSpec(), budget, timeout_s=0.2) as client,
    ):
        lost = asyncio.create_task(client.ask("ping"))
        await asyncio.sleep(0.05)
        await client.ask("time")
        with pytest.raises(UpstreamError, match="no response within"):
            await lost
        await client.ask("time")
    assert budget.spent == HANDSHAKE_WEIGHT + 3


HANDSHAKES: tuple[Answer, ...] = (
    http(503, b"<html>"),
    http(200, b"{}"),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"\x00\x01\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000 + b"\r\n\r\n{}",
    b"",
    Fault.RESET,
    Fault.CLOSE,
)


@pytest.mark.parametrize("answer", HANDSHAKES, ids=range(len(HANDSHAKES)))
@looped
async def test_a_handshake_that_makes_no_sense_is_tried_again(answer: Answer) -> None:
    moment = TimeSpec()
    async with scripted(answer) as server, client_of(server.hosts(), moment) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.ask("ping")
        assert len(server.asked) == (1 if "HTTP 200" in caught.value.reason else 3)
        assert len(moment.slept) == len(server.asked) - 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
@looped
async def test_a_handshake_that_will_not_be_accepted_is_not_tried_again(status: int) -> None:
    answer = http(status, b"no", Location="ws://127.0.0.1:1/")
    async with scripted(answer) as server, client_of(server.hosts(), TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=f"HTTP {status} {HTTPStatus(status).phrase}"):
            await client.ask("ping")
        assert len(server.asked) == 1


@looped
async def test_a_handshake_that_is_refused_waits_as_the_answer_says() -> None:
    moment, budget = TimeSpec(), WeightBudget()
    answer = http(429, b"", Retry_After="25")
    async with scripted(answer) as server, client_of(server.hosts(), moment, budget) as client:
        with pytest.raises(RequestError) as caught:
            await client.ask("ping")
        assert (caught.value.code, caught.value.status) == (-1003, 429)
    assert (moment.slept, budget.refusals) == ([25.0, 25.0], 3)


@looped
async def test_a_server_that_does_not_answer_is_given_up_by_all_at_once() -> None:
    async with (
        scripted(Fault.HANG) as server,
        client_of(server.hosts(), TimeSpec(), timeout_s=0.05) as client,
    ):
        ends = await asyncio.gather(
            *(client.ask("ping") for _ in range(20)), return_exceptions=True
        )
        assert all(isinstance(end, UpstreamError) for end in ends)
        assert {str(end) for end in ends} == {
            f"{server.hosts().api} ping: no handshake within 0.05 s, 3 times"
        }
        assert len(server.asked) == 3


@looped
async def test_closing_says_goodbye() -> None:
    codes = []

    async def handle(connection: ServerConnection) -> None:
        await reply(connection, await receive(connection), {})
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with served(handle) as hosts:
        async with client_of(hosts, TimeSpec()) as client:
            await client.ask("ping")
        await until(lambda: codes)
    assert codes == [1000]


@looped
async def test_closing_ends_the_questions_that_are_on_their_way_and_those_that_wait() -> None:
    asked = []

    async def handle(connection: ServerConnection) -> None:
        while True:
            asked.append(await connection.recv())

    async with served(handle) as hosts:
        client = ApiClient(hosts, WeightBudget(10, 1.0))
        questions = [asyncio.create_task(client.ask("ping")) for _ in range(10)]
        await until(lambda: len(asked) == 5)
        await client.close()
        ends = await asyncio.gather(*questions, return_exceptions=True)
    assert [str(end) for end in ends] == [f"{hosts.api} ping: the client is closed"] * 10


@pytest.mark.parametrize("answer", [Fault.HANG, http(429, b"", Retry_After="50"), http(503)])
@looped
async def test_closing_ends_an_opening(answer: Answer) -> None:
    async with scripted(answer) as server:
        client = ApiClient(server.hosts(), WeightBudget(), timeout_s=60)
        questions = [asyncio.create_task(client.ask("ping")) for _ in range(3)]
        await until(lambda: server.asked)
        await asyncio.wait_for(client.close(), 10)  # and not for as long as a handshake may take
        ends = await asyncio.gather(*questions, return_exceptions=True)
    assert [str(end) for end in ends] == [f"{client._url} ping: the client is closed"] * 3


@looped
async def test_who_gives_up_does_not_end_the_opening_for_others() -> None:
    async with loopback() as house, client_of(hosts_in(house), TimeSpec()) as client:
        first = asyncio.create_task(client.ask("ping"))
        second = asyncio.create_task(client.ask("ping"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == {}
        with pytest.raises(asyncio.CancelledError):
            await first


# With a timeout


@looped
async def test_with_a_timeout_a_ban_is_raised_at_once_with_its_end_and_nothing_is_sent() -> None:
    limits = replace(LIMITS, request_weight_per_minute=5, refusals_before_ban=1)
    async with loopback(limits) as house:
        moment = TimeSpec()
        async with client_of(hosts_in(house), moment) as client:
            for _ in range(3):
                with pytest.raises(RateLimitError) as caught:
                    await client.fetch("ticker.price", {"symbol": "BTCUSDT"}, timeout_s=10)
        refused = (await house.metrics())[REFUSED]
    assert moment.slept == [], "who has a timeout waits for no refusal"
    assert caught.value.retry_after_s > 0
    assert caught.value.retry_at_ms > moment.now_ms
    assert caught.value.banned_until_ms is None
    assert re.fullmatch(
        r"ticker\.price symbol=BTCUSDT: -1003 Not sent: an earlier request was refused with: .* "
        r"\(HTTP 429, again in \d+ s, at 2026-01-01T00:\d\d:\d\dZ\)",
        str(caught.value),
    )
    assert refused == 1, "the others were not sent"


@looped
async def test_the_end_of_a_ban_is_read_from_its_words_if_nothing_else_says_it() -> None:
    said = f"Way too much request weight used; IP banned until {START_MS + 42_000}. Please wait."

    async def handle(connection: ServerConnection) -> None:
        async for text in connection:
            error = {"code": -1003, "msg": said}
            reported = {"id": json.loads(text)["id"], "status": 418, "error": error}
            await connection.send(json.dumps(reported))

    async with served(handle) as hosts, client_of(hosts, TimeSpec()) as client:
        with pytest.raises(RateLimitError, match=r"again in 42 s, at 2026") as caught:
            await client.fetch("ping", {}, timeout_s=10)
    assert (caught.value.message, caught.value.banned_until_ms) == (said, START_MS + 42_000)
    assert caught.value.retry_after_s == 42


@looped
async def test_a_refused_handshake_says_what_the_server_said() -> None:
    refusal = http(429, b'{"code":-1003,"msg":"Too many connections."}', Retry_After="25")
    moment = TimeSpec()
    async with scripted(refusal) as server, client_of(server.hosts(), moment) as client:
        with pytest.raises(RequestError, match=r"^ping: -1003 Too many conn.*again in 25 s"):
            await client.fetch("ping", {}, timeout_s=10)
        with pytest.raises(RequestError, match="refused with: Too many connections"):
            await client.fetch("time", {}, timeout_s=10)
        assert (len(server.asked), moment.slept) == (1, [])


@looped
async def test_a_handshake_has_no_more_time_than_the_question() -> None:
    async with scripted(Fault.HANG) as server, client_of(server.hosts(), TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=r"v1 ping: no response within 0\.05 s$"):
            await client.fetch("ping", {}, timeout_s=0.05)


@looped
async def test_a_question_that_is_given_up_early_leaves_the_connection_to_others() -> None:
    connections = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        first, second = await receive(connection), await receive(connection)
        await reply(connection, second, "second")
        await reply(connection, first, "first")
        await connection.wait_closed()

    async with served(handle) as hosts, client_of(hosts, TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=r"no response within 0\.0"):
            await client.fetch("first", {}, timeout_s=0.05)
        assert await client.fetch("second", {}, timeout_s=10) == b'"second"'
    assert len(connections) == 1
