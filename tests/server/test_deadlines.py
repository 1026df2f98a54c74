"""What a client has begun it must end: a message, a request, the reading of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import pytest
from loopback import (
    START_MS,
    Loopback,
    bare,
    hear,
    loopback,
    looped,
    receive,
    receive_all,
    say,
    until,
)
from msgspec import Struct
from msgspec.structs import replace
from websockets.frames import Frame, Opcode

from tickerplant.protocol.close_reasons import MESSAGE_TIMEOUT
from tickerplant.protocol.limits import LIMITS, Limits

CLOCK_PATH = "/plant/v1/clock"
CLOSED = f'tickerplant_connections_closed_total{{reason="{MESSAGE_TIMEOUT.name}",venue="usdm"}}'


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


WHOLE = frame(b'{"method":"time","id":1}')
PING = frame(b"", Opcode.PING)


@pytest.mark.parametrize(
    "parts",
    [
        [WHOLE[:1], WHOLE[1:5], WHOLE[5:20]],
        [frame(b"", fin=False), PING, PING],
        [frame(b"{", fin=False), frame(b'"', Opcode.CONT, fin=False), WHOLE[:1]],
        [PING[:1], PING[1:2], PING[2:3]],
    ],
    ids=["a torn frame", "pings between fragments", "fragments without end", "a torn ping"],
)
@looped
async def test_a_message_that_does_not_end_is_cut(parts: list[bytes]) -> None:
    async with loopback() as house:
        async with bare(house, "/ws") as sock:
            (connection,) = house.server.endpoints[0].connections
            due_ms = START_MS + LIMITS.message_timeout_ms
            for part in parts:  # however it drips
                await say(sock, part)
                await until(lambda: connection.machine_deadline_ms == due_ms)
                house.clock.now_ms += 1_000
            house.clock.now_ms = due_ms
            received = b""
            while MESSAGE_TIMEOUT.reason.encode() not in received:
                received += await receive(sock)
        await until(lambda: not house.server.endpoints[0].connections)
        assert (await house.metrics())[CLOSED] == 1
        assert house.server.complaints.counts[f"close {MESSAGE_TIMEOUT.name}"] == 1


@looped
async def test_each_message_has_its_own_time() -> None:
    async with loopback() as house, bare(house, "/ws-fapi/v1") as sock:
        (connection,) = house.server.endpoints[0].connections
        await say(sock, WHOLE[:7])
        for _ in range(4):
            due_ms = house.clock.now_ms + LIMITS.message_timeout_ms
            await until(lambda due_ms=due_ms: connection.machine_deadline_ms == due_ms)  # type: ignore[misc]
            house.clock.now_ms = due_ms - 1
            await say(sock, WHOLE[7:] + WHOLE[:7])
            assert b"result" in await hear(sock)
        await say(sock, WHOLE[7:])
        assert b"result" in await hear(sock)
        assert connection.next_deadline_ms == START_MS + LIMITS.ping_interval_ms


def timeouts(what: str) -> str:
    return f'tickerplant_http_timeouts_total{{venue="usdm",what="{what}"}}'


async def drip(house: Loopback, data: bytes) -> bytes:
    """Send `data`, then a byte a turn for as long as the server takes it; return the answer."""
    with house.socket() as sock:
        if data:
            await say(sock, data)
        answer = asyncio.create_task(receive_all(sock))
        with suppress(ConnectionError):
            while data and not answer.done():
                await asyncio.sleep(0.002)
                await say(sock, b"x")
        return await answer


class _State(Struct):
    """The state of a clock."""


class _Clock:
    """A source whose clock can be set; it remembers what was asked."""

    def __init__(self) -> None:
        self.taken: list[Mapping[str, object]] = []

    def state(self) -> _State:
        return _State()

    async def steer(self, given: Mapping[str, object], wait_s: float = 0) -> _State:  # noqa: ARG002
        self.taken.append(given)
        return _State()


@pytest.mark.parametrize(
    ("data", "what", "answer"),
    [
        (b"", "head", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: ", "head", b"408"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /", "head", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /", "head", b"200"),
        (
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
            "body",
            b"408",
        ),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", "body", b"200"),
    ],
    ids=["silence", "head", "second head", "empty line", "body", "body that nobody wants"],
)
@looped
async def test_a_request_that_does_not_end_is_cut(data: bytes, what: str, answer: bytes) -> None:
    if what == "body":
        data = data.replace(b"%b", CLOCK_PATH.encode()) + b"Content-Length: 4000\r\n\r\n"
    clock = _Clock()
    async with loopback(replace(LIMITS, head_timeout_ms=50, body_timeout_ms=50)) as house:
        house.server.plane.steering = cast("Any", clock)
        assert (await drip(house, data))[9:12] == answer
        await until(lambda: not house.server.ports[0].http.connections)
        assert (await house.metrics())[timeouts(what)] == 1
        assert house.server.complaints.counts[f"http {what} timeout"] == 1
        assert clock.taken == [], "half a body is none"


@pytest.mark.parametrize(
    ("requests", "limits"),
    [
        (1, replace(LIMITS, answer_timeout_ms=100)),
        (2, replace(LIMITS, answer_timeout_ms=100)),
        (1, replace(LIMITS, keep_alive_ms=100)),
    ],
    ids=["one request", "pipelined", "after the answer"],
)
@looped
async def test_an_answer_that_is_not_read_is_dropped_with_its_connection(
    requests: int, limits: Limits
) -> None:
    async with loopback(limits) as house:
        size = 20_000_000
        with house.socket(receive_bytes=4096) as sock:
            http = house.server.ports[0].http
            await until(lambda: http.connections)
            plane = house.server.plane

            async def long() -> bytes:
                return b"x" * size

            metrics, plane.metrics = plane.metrics, long
            await say(sock, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
            await until(lambda: not http.connections)
            assert 0 < len(await receive_all(sock)) < size
            plane.metrics = metrics
        assert (await house.metrics())[timeouts("answer")] == 1


@looped
async def test_an_idle_connection_is_closed() -> None:
    async with loopback(replace(LIMITS, keep_alive_ms=1)) as house:
        with house.socket() as sock:
            request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
            await say(sock, request)
            assert (await receive_all(sock)).endswith(b"ok\n")
        assert house.server.endpoints[0].counters.timeouts["idle"] == 1
