"""What a client has begun it must end: a message, a request, the reading of an answer."""

from __future__ import annotations

import asyncio

import pytest
from loopback import START_MS, loopback, looped, shake_hands, until
from websockets.frames import Frame, Opcode

from tickerplant.protocol.closing import MESSAGE_TIMEOUT
from tickerplant.protocol.limits import LIMITS

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
        with house.socket() as sock:
            loop = asyncio.get_running_loop()
            await shake_hands(sock, "/ws")
            (connection,) = house.server._endpoints[0].connections
            due_ms = START_MS + LIMITS.message_timeout_ms
            for part in parts:  # however it drips
                await loop.sock_sendall(sock, part)
                await until(lambda: connection.next_deadline_ms == due_ms)
                house.clock.now_ms += 1_000
            house.clock.now_ms = due_ms
            received = b""
            while MESSAGE_TIMEOUT.reason.encode() not in received:
                received += await loop.sock_recv(sock, 4096)
        await until(lambda: not house.server._endpoints[0].connections)
        assert (await house.metrics())[CLOSED] == 1
        assert house.server.complaints.counts[f"close {MESSAGE_TIMEOUT.name}"] == 1


@looped
async def test_each_message_has_its_own_time() -> None:
    async with loopback() as house:
        with house.socket() as sock:
            loop = asyncio.get_running_loop()
            await shake_hands(sock, "/ws-fapi/v1")
            (connection,) = house.server._endpoints[0].connections
            await loop.sock_sendall(sock, WHOLE[:7])
            for _ in range(4):
                due_ms = house.clock.now_ms + LIMITS.message_timeout_ms
                await until(lambda due_ms=due_ms: connection.next_deadline_ms == due_ms)  # type: ignore[misc]
                house.clock.now_ms = due_ms - 1
                await loop.sock_sendall(sock, WHOLE[7:] + WHOLE[:7])
                assert b"result" in await loop.sock_recv(sock, 4096)
            await loop.sock_sendall(sock, WHOLE[7:])
            assert b"result" in await loop.sock_recv(sock, 4096)
            assert connection.next_deadline_ms == START_MS + LIMITS.ping_interval_ms
