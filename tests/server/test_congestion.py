from __future__ import annotations

import asyncio

from loopback import (
    TICK_MS,
    Loopback,
    bare,
    loopback,
    looped,
    looped_on_sockets,
    receive,
    shake_hands,
    until,
)
from msgspec.structs import replace

from tickerplant.protocol.close_reasons import SLOW_CONSUMER, STALLED, CloseReason
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.congestion import Congestion

BOUND_BYTES = 1_000
BOUNDS = replace(LIMITS, max_unsent_bytes=BOUND_BYTES)


class Reader:
    """A connection with as many unsent bytes as the test says."""

    def __init__(self, unsent_bytes: int, taken_bytes: int | None = 0) -> None:
        self.unsent_bytes = unsent_bytes
        self.taken_bytes = taken_bytes
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
async def test_a_source_waits_until_who_was_cut_off_has_subscribed_to_everything_again() -> None:
    congestion = Congestion(BOUNDS, lambda: 0)
    congestion.cut_off(3)
    await congestion.wait_clear()  # only where it is asked for
    congestion.awaits_returns = True
    congestion.cut_off(3)
    assert congestion.is_incomplete
    assert not congestion.congested, "a market that keeps a pace goes on"
    waiting = asyncio.create_task(congestion.wait_clear())
    await asyncio.sleep(0)
    congestion.subscribed(2)
    await asyncio.sleep(0)
    assert not waiting.done()
    congestion.subscribed(1)
    await waiting
    assert not congestion.is_incomplete


@looped
async def test_a_source_does_not_wait_for_ever_for_who_was_cut_off() -> None:
    congestion = Congestion(BOUNDS, lambda: 0)
    congestion.awaits_returns = True
    congestion.cut_off(1)
    await congestion.wait_clear()
    assert not congestion.is_incomplete


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


# A reader that takes nothing for `max_unread_ms`

UNREAD_MS = 1_000
TIMED = replace(BOUNDS, max_unread_ms=UNREAD_MS)


def test_a_reader_is_closed_when_it_took_nothing_of_what_waits_for_the_whole_time() -> None:
    congestion, reader = Congestion(TIMED, lambda: 0), Reader(1)
    for now_ms in range(5_000, 5_000 + UNREAD_MS, 100):
        congestion.check(reader, now_ms)
    assert (reader.closed, congestion.behind_count) == ([], 1)
    congestion.check(reader, 5_000 + UNREAD_MS)
    assert (reader.closed, congestion.behind_count) == ([STALLED.name], 0)


def test_a_reader_that_takes_a_little_stays_however_much_waits() -> None:
    congestion, reader = Congestion(TIMED, lambda: 0), Reader(1)
    for now_ms in range(0, 20 * UNREAD_MS, UNREAD_MS // 2):
        reader.unsent_bytes += 1_000
        congestion.check(reader, now_ms)
        congestion.check(reader, now_ms + 1)
        reader.taken_bytes = (reader.taken_bytes or 0) + 1
    assert reader.closed == []


def test_a_reader_for_which_nothing_waits_may_be_silent_for_ever() -> None:
    congestion, reader = Congestion(TIMED, lambda: 0), Reader(1)
    congestion.check(reader, 0)
    reader.unsent_bytes = 0
    congestion.check(reader, UNREAD_MS)
    reader.unsent_bytes = 1
    congestion.check(reader, 10 * UNREAD_MS)
    congestion.check(reader, 11 * UNREAD_MS - 1)
    assert reader.closed == [], "the time begins with the data that waits"


def test_a_reader_is_not_judged_where_nobody_knows_what_it_took() -> None:
    congestion, reader = Congestion(TIMED, lambda: 0), Reader(1, taken_bytes=None)
    congestion.check(reader, 0)
    congestion.check(reader, 10 * UNREAD_MS)
    assert reader.closed == []


def test_a_reader_that_is_gone_is_forgotten() -> None:
    congestion, reader = Congestion(TIMED, lambda: 0), Reader(1)
    congestion.pause(reader)
    congestion.check(reader, 0)
    congestion.forget(reader)
    assert (congestion.behind_count, congestion.congested) == (0, False)


MORE_THAN_A_SERVER_HOLDS = 30_000
"""So many trades fit neither into the network before a client that does not read nor below the bound."""


async def publish(house: Loopback) -> None:
    """Publish trades as a replay does: a slice, a turn, and a wait while anybody is congested."""
    for _ in range(MORE_THAN_A_SERVER_HOLDS // 100):
        house.trade(count=100)
        await house.server.congestion.wait_clear()


@looped
async def test_a_source_that_waits_loses_no_client_that_reads() -> None:
    async with loopback() as house:
        async with bare(house, "/ws/btcusdt@trade", receive_bytes=4096) as sock:
            publishing = asyncio.create_task(publish(house))
            await until(lambda: house.server.congestion.congested)
            received, tail = 0, b""
            while b'"t":%d,' % MORE_THAN_A_SERVER_HOLDS not in tail:
                chunk = tail[-200:] + await receive(sock)
                received += chunk.count(b'"e":"trade"') - tail[-200:].count(b'"e":"trade"')
                tail = chunk
            await publishing
        assert received == MORE_THAN_A_SERVER_HOLDS


@looped
async def test_a_source_that_waits_drops_a_client_that_stops_reading() -> None:
    limits = replace(LIMITS, close_grace_ms=10, stall_timeout_ms=100)
    async with loopback(limits) as house:
        async with bare(house, "/ws/btcusdt@trade", receive_bytes=4096):
            await publish(house)
            await until(lambda: not house.server.endpoints[0].connections)
        assert house.server.endpoints[0].counters.closed == {STALLED.name: 1}


@looped_on_sockets
async def test_a_client_that_does_not_read_is_closed_by_time_long_before_the_bound_in_bytes() -> (
    None
):
    async with loopback(replace(LIMITS, close_grace_ms=10)) as house:
        counters, congestion = house.server.endpoints[0].counters, house.server.congestion
        with house.socket(receive_bytes=4096) as sock, house.socket() as reading:
            await shake_hands(sock, "/ws/btcusdt@trade")
            await shake_hands(reading, "/ws/btcusdt@trade")
            while not congestion.behind_count:
                house.trade(count=200)
                await receive(reading)
            while not counters.closed:
                house.clock.now_ms += LIMITS.max_unread_ms
                house.trade()
                await receive(reading)
                await asyncio.sleep(3 * TICK_MS / 1_000)
            assert counters.closed == {STALLED.name: 1}
            assert len(house.server.connections) == 1, "the one that reads"


@looped_on_sockets
async def test_a_client_that_is_lost_while_it_is_behind_is_behind_no_longer() -> None:
    async with loopback() as house:
        congestion = house.server.congestion
        async with bare(house, "/ws/btcusdt@trade", receive_bytes=4096):
            while not congestion.behind_count:
                house.trade(count=200)
                await asyncio.sleep(0)
        await until(lambda: not house.server.connections)
        assert congestion.behind_count == 0
