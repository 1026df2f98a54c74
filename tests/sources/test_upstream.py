from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loopback import looped, until
from msgspec import structs
from relaying import BTCUSDT, EAGER, ETHUSDT, START_MS, relay, serve

from tickerplant.errors import DecodeError, RequestError, UpstreamError
from tickerplant.feed.hosts import hosts_of
from tickerplant.messages.notice import Refused
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.queries import find_method, find_path
from tickerplant.queries.query import Query
from tickerplant.sources import questions as questions_module
from tickerplant.sources import relay as relay_module
from tickerplant.sources.relay import meet
from tickerplant.sources.upstream import Upstream
from tickerplant.venue import USDM


def known(query: Query | None) -> Query:
    assert query is not None
    return query


PRICE = known(find_path(USDM, "/fapi/v1/ticker/price"))
BEST = known(find_method(USDM, "ticker.book"))


@contextlib.asynccontextmanager
async def upstream(url: str) -> AsyncIterator[Upstream]:
    found = Upstream(hosts_of(USDM, url), EAGER, linger_ms=1_000)
    try:
        yield found
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    """A server that has one answer to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@looped
async def test_an_upstream_tells_its_contracts_and_its_time() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        listed, time_ms = await found.meet()
        assert ([each.symbol for each in listed], time_ms) == (["BTCUSDT"], START_MS)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"{}", DecodeError),
        (200, b'{"symbols":[]}', DecodeError),
        (200, b'{"symbols":[],"serverTime":"now"}', DecodeError),
        (200, b'{"symbols":[],"serverTime":-1}', DecodeError),
        (200, b'{"symbols":[],"serverTime":18446744073709551615}', DecodeError),
        (200, b"<html>", UpstreamError),
        (404, b"Not found", UpstreamError),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', RequestError),
    ],
)
@looped
async def test_who_tells_something_else_is_no_upstream(
    status: int, body: bytes, expected: type[Exception]
) -> None:
    async with answering(status, body) as url, upstream(url) as found:
        with pytest.raises(expected):
            await found.meet()


@looped
async def test_a_contract_that_cannot_be_read_is_left_out_and_counted_by_one_name() -> None:
    body = b'{"symbols":[{"symbol":"A"},{"symbol":"B"}],"serverTime":1}'
    async with answering(200, body) as url, upstream(url) as found:
        assert await found.meet() == ([], 1)
        assert found.left_out == {"unreadable contract": 2}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"profile":"2026q1"}', "2026q1"),
        (200, b'{"profile":"of another version"}', CURRENT.name),
        (200, b"[]", CURRENT.name),
        (404, b"<html>", CURRENT.name),
        (403, b"", CURRENT.name),
        (400, b'{"code":-5000,"msg":"Path does not exist"}', CURRENT.name),
    ],
)
@looped
async def test_who_says_no_profile_has_the_last(status: int, body: bytes, expected: str) -> None:
    assert P2026Q1.name == "2026q1"
    async with answering(status, body) as url, upstream(url) as found:
        assert await found.told_profile() == expected


@pytest.mark.parametrize("status", [500, 503])
@looped
async def test_who_is_in_trouble_is_asked_again_for_its_profile(status: int) -> None:
    async with answering(status, b"") as url, upstream(url) as found:
        with pytest.raises(UpstreamError):
            await found.told_profile()


@looped
async def test_an_upstream_that_is_not_there_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "FIRST_PAUSE_S", 0.01)
    async with serve() as house:
        port = int(house.server.urls["usdm"].rpartition(":")[2])
    async with upstream(f"ws://127.0.0.1:{port}") as found:
        meeting = asyncio.create_task(meet([found], "told"))
        await asyncio.sleep(0.05)
        assert not meeting.done()
        async with serve(port=port, profile=CURRENT):
            met = await meeting
    assert (met.time_ms, met.profile) == (START_MS, CURRENT.name)
    assert [each.symbol for each in met.instruments] == ["BTCUSDT"]


@pytest.mark.parametrize("faults", ["http_429=1", "http_418=1", "http_503=1", "http_hang=1"])
@looped
async def test_a_question_is_answered_in_time_whatever_the_upstream_does(
    faults: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions_module, "PATIENCE_S", 0.3)
    loop = asyncio.get_running_loop()
    async with (
        serve(faults=faults) as house,
        upstream(f"ws://{house.server.urls['usdm']}") as found,
    ):
        began_s = loop.time()
        with pytest.raises((UpstreamError, RequestError)):
            await found.fetch(PRICE, {"symbol": "BTCUSDT"})
        assert loop.time() - began_s < 2


@looped
async def test_who_is_only_asked_over_the_web_socket_api_is_asked_over_it() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        assert json.loads(await found.fetch(BEST, {})) == []
        with pytest.raises(RequestError, match="-1121"):
            await found.fetch(BEST, {"symbol": "NONESUCH"})


@looped
async def test_before_it_is_started_everything_is_asked_of_the_upstream() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        assert found.lacks(PRICE, {"symbol": "BTCUSDT"})


@looped
async def test_a_stream_that_the_upstream_refuses_is_not_asked_for_again() -> None:
    async with serve() as house, relay(house) as near, near.connect("/ws/odd@stream") as client:
        await until(lambda: near.carries("odd@stream"))
        strand = near.upstream.runner.feed.strands["odd@stream"]
        strand.tell(Refused(streams=("odd@stream",), time_ms=0, code=2, reason="Invalid request"))
        assert near.upstream.wanted.unasked == ["odd@stream"]
        assert "odd@stream" not in near.upstream.runner.feed.strands
        await until(lambda: near.server.readiness.warnings)
        assert near.is_ready
        await client.close()
        await until(lambda: not near.server.readiness.warnings)


@looped
async def test_the_list_of_contracts_is_brought_up_to_date() -> None:
    async with serve() as house, relay(house) as near:
        found = near.upstream
        gone = structs.replace(ETHUSDT, status="CLOSE")
        dearer = structs.replace(BTCUSDT, tick_size=100)
        before = near.plant.markets["BTCUSDT"]
        found.relist([dearer, gone])
        assert near.plant.markets["BTCUSDT"] is before
        assert before.instrument.tick_size == 100
        assert list(near.plant.venues["usdm"].by_symbol) == ["BTCUSDT"], "who is gone is not listed"
        found.relist([dearer, ETHUSDT])
        assert list(near.plant.venues["usdm"].by_symbol) == ["BTCUSDT", "ETHUSDT"]
        found.relist([ETHUSDT])
        assert list(near.plant.venues["usdm"].by_symbol) == ["ETHUSDT"]


def sample(metrics: dict[str, Any], name: str) -> float:
    return float(metrics[f'tickerplant_{name}{{venue="usdm"}}'])


@looped
async def test_what_the_upstream_is_like_can_be_measured() -> None:
    async with serve() as house, relay(house) as near, near.connect("/ws/btcusdt@trade") as client:
        await until(lambda: near.carries("btcusdt@trade"))
        house.trade()
        await client.recv()
        metrics = await near.metrics()
        assert sample(metrics, "upstream_connections") == 2
        assert sample(metrics, "upstream_streams") == 2
        assert sample(metrics, "upstream_unheard_streams") == 0
        assert sample(metrics, "upstream_messages_total") == 1
        assert sample(metrics, "upstream_connections_opened_total") == 2
