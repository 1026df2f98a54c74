from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from loopback import looped
from relaying import START_MS, serve, upstream

from tickerplant.errors import ConfigError, DecodeError, RequestError, UpstreamError
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.sources.discovery import Retries, discover

DEEP = b"[" * 100_000 + b"]" * 100_000


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
async def test_an_upstream_returns_its_contracts_and_its_time() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        listed, time_ms = await found.fetch_contracts()
        assert ([each.symbol for each in listed], time_ms) == (["BTCUSDT"], START_MS)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"{}", DecodeError),
        (200, b'{"symbols":[]}', DecodeError),
        (200, b'{"symbols":[],"serverTime":"now"}', DecodeError),
        (200, b'{"symbols":[],"serverTime":-1}', DecodeError),
        (200, b'{"symbols":[],"serverTime":18446744073709551615}', DecodeError),
        (200, b'{"symbols":[],"serverTime":"\xff"}', DecodeError),
        (200, b'{"symbols":[],"serverTime":1,"x":' + DEEP + b"}", UpstreamError),
        (200, b"<html>", UpstreamError),
        (404, b"Not found", UpstreamError),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', RequestError),
    ],
)
@looped
async def test_other_responses_are_rejected(
    status: int, body: bytes, expected: type[Exception]
) -> None:
    async with answering(status, body) as url, upstream(url) as found:
        with pytest.raises(expected):
            await found.fetch_contracts()


@looped
async def test_a_contract_that_cannot_be_read_is_left_out_and_counted_by_one_name() -> None:
    body = b'{"symbols":[{"symbol":"A"},{"symbol":"B"}],"serverTime":1}'
    async with answering(200, body) as url, upstream(url) as found:
        assert await found.fetch_contracts() == ([], 1)
        assert found.skipped == {"unreadable contract": 2}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"profile":"2026q1"}', "2026q1"),
        (404, b"<html>", CURRENT.name),
        (404, b'{"code":-5000,"msg":"Path is invalid"}', CURRENT.name),
        (400, b'{"code":-5000,"msg":"Path does not exist"}', CURRENT.name),
    ],
)
@looped
async def test_an_upstream_says_its_profile_or_is_the_exchange(
    status: int, body: bytes, expected: str
) -> None:
    assert P2026Q1.name == "2026q1"
    async with answering(status, body) as url, upstream(url) as found:
        assert await found.upstream_profile() == expected


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"profile":"of another version"}', "says 'of another version'"),
        (200, b"[]", "answers something else than a profile"),
        (200, b'{"profile":"\xff"}', "answers something else than a profile"),
        (401, b'{"error":"no token"}', "answers HTTP 401 Whatever"),
        (403, b"", "answers HTTP 403 Whatever"),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', "answers HTTP 400"),
    ],
)
@looped
async def test_an_upstream_that_does_not_say_its_profile_is_not_guessed(
    status: int, body: bytes, answer: str
) -> None:
    async with answering(status, body) as url, upstream(url) as found:
        with pytest.raises(ConfigError, match="for --profile") as refused:
            await found.upstream_profile()
        place = f"{url.replace('ws', 'http')}/plant/v1/profile"
        assert f"2026q1, current, because {place} {answer}" in str(refused.value)


@looped
async def test_upstreams_of_different_profiles_are_not_relayed_together() -> None:
    async with (
        serve(profile=CURRENT) as one,
        serve(profile=P2026Q1) as other,
        upstream(f"ws://{one.server.urls['usdm']}") as first,
        upstream(f"ws://{other.server.urls['usdm']}") as second,
    ):
        with pytest.raises(ConfigError, match=r"the upstreams differ: .* has current, .* 2026q1"):
            await discover([first, second], "auto")
        assert (await discover([first, second], "current")).profile == "current"


@pytest.mark.parametrize("status", [500, 503])
@looped
async def test_an_upstream_in_trouble_is_asked_again_for_its_profile(status: int) -> None:
    async with answering(status, b"") as url, upstream(url) as found:
        with pytest.raises(UpstreamError):
            await found.upstream_profile()


@looped
async def test_an_upstream_that_is_not_there_yet_is_waited_for() -> None:
    async with serve() as house:
        port = int(house.server.urls["usdm"].rpartition(":")[2])
    async with upstream(f"ws://127.0.0.1:{port}") as found:
        discovery = asyncio.create_task(discover([found], "auto", Retries(first_pause_s=0.01)))
        await asyncio.sleep(0.05)
        assert not discovery.done()
        async with serve(port=port, profile=CURRENT):
            result = await discovery
    assert (result.time_ms, result.profile) == (START_MS, CURRENT.name)
    assert [each.symbol for each in result.instruments] == ["BTCUSDT"]
