from __future__ import annotations

import asyncio

import pytest
from loopback import Loopback, loopback, looped, shake_hands, until
from msgspec.structs import replace

from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED, CloseReason
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.congestion import Congestion

BOUND_BYTES = 1_000
BOUNDS = replace(LIMITS, max_unsent_bytes=BOUND_BYTES)


class Reader:
    """A connection with as many unsent bytes as the test says."""

    def __init__(self, unsent_bytes: int) -> None:
        self.unsent_bytes = unsent_bytes
        self.closed: list[str] = []

    def close(self, reason: CloseReason) -> None:
        self.closed.append(reason.name)


@looped
async def test_only_readers_over_the_bound_are_closed() -> None:
    congestion = Congestion(BOUNDS, lambda: 0)
    at_bound, over = Reader(BOUND_BYTES), Reader(BOUND_BYTES + 1)
    congestion.pause(at_bound)
    congestion.pause(over)
    congestion.close_slow()
    assert (at_bound.closed, over.closed) == ([], [SLOW_CONSUMER.name])
    assert congestion.congested
    congestion.resume(at_bound)
    assert not congestion.congested


@looped
async def test_waiting_ends_when_the_last_reader_has_caught_up() -> None:
    congestion = Congestion(BOUNDS, lambda: 0)
    readers = [Reader(10), Reader(20)]
    for reader in readers:
        congestion.pause(reader)
    waiting = asyncio.create_task(congestion.wait_clear())
    await asyncio.sleep(0)
    congestion.resume(readers[0])
    await asyncio.sleep(0)
    assert not waiting.done(), "one reader is still congested"
    congestion.resume(readers[1])
    await waiting


@looped
async def test_waiting_gives_the_event_loop_a_turn_even_if_nobody_is_congested() -> None:
    congestion = Congestion(BOUNDS, lambda: 0)
    turned: list[bool] = []
    asyncio.get_running_loop().call_soon(turned.append, True)
    await congestion.wait_clear()
    assert turned == [True]


@looped
async def test_a_reader_that_takes_nothing_is_closed_and_one_that_reads_slowly_is_not() -> None:
    congestion = Congestion(replace(BOUNDS, stall_timeout_ms=200), lambda: 0)
    stuck, slow = Reader(100), Reader(100)
    congestion.pause(stuck)
    congestion.pause(slow)
    waiting = asyncio.create_task(congestion.wait_clear())
    while not stuck.closed:
        slow.unsent_bytes -= 1
        await asyncio.sleep(0.01)
    assert stuck.closed == [STALLED.name]
    assert slow.closed == []
    congestion.resume(slow)
    await waiting


MORE_THAN_THE_KERNEL_HOLDS = 100_000
"""So many trades do not fit into the buffers of a socket that nobody reads."""


async def publish(house: Loopback) -> None:
    """Publish trades as a replay does: a slice, a turn, and a wait while anybody is congested."""
    for _ in range(MORE_THAN_THE_KERNEL_HOLDS // 100):
        for _ in range(100):
            house.trade()
        await house.server.congestion.wait_clear()


@pytest.mark.sockets
@looped
async def test_a_source_that_waits_loses_no_client_that_reads() -> None:
    limits = replace(LIMITS, max_unsent_bytes=100_000)
    async with loopback(limits) as house:
        with house.socket(receive_bytes=4096) as sock:
            await shake_hands(sock, "/ws/btcusdt@trade")
            publishing = asyncio.create_task(publish(house))
            await until(lambda: house.server.congestion.congested)
            loop = asyncio.get_running_loop()
            received, tail = 0, b""
            while b'"t":%d,' % MORE_THAN_THE_KERNEL_HOLDS not in tail:
                chunk = tail[-200:] + await loop.sock_recv(sock, 1 << 18)
                received += chunk.count(b'"e":"trade"') - tail[-200:].count(b'"e":"trade"')
                tail = chunk
            await publishing
        assert received == MORE_THAN_THE_KERNEL_HOLDS


@pytest.mark.sockets
@looped
async def test_a_source_that_waits_drops_a_client_that_stops_reading() -> None:
    limits = replace(LIMITS, max_unsent_bytes=100_000, close_grace_ms=10, stall_timeout_ms=100)
    async with loopback(limits) as house:
        with house.socket(receive_bytes=4096) as sock:
            await shake_hands(sock, "/ws/btcusdt@trade")
            await publish(house)
            await until(lambda: not house.server.endpoints[0].connections)
        assert house.server.endpoints[0].counters.closed == {STALLED.name: 1}
