from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import looped

from tickerplant.hub.hub import Hub
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.congestion import Congestion
from tickerplant.server.flushing import (
    FLUSH_SHARE,
    LONGEST_REST_S,
    SHORTEST_REST_S,
    SLICE_S,
    TOLERATED_S,
    Flusher,
    FlushPace,
)
from tickerplant.simulation.instruments import instruments

START_MS = 1_772_323_200_000
TRADE, KLINE = "btcusdt@trade", "btcusdt@kline_1m"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Subscriber:
    """A connection that keeps what is written to it, and takes its time."""

    def __init__(self, clock: Clock | None = None, write_s: float = 0.0) -> None:
        self.written: list[bytes] = []
        self._clock = clock or Clock()
        self._write_s = write_s

    def write(self, data: bytes) -> None:
        self._clock.now_s += self._write_s
        self.written.append(data)


def new_hub() -> Hub:
    return Plant(instruments(START_MS, ["BTCUSDT"]), start_ms=START_MS).hubs["usdm"]


def hub_with(*names: str) -> tuple[Hub, Subscriber]:
    hub, subscriber = new_hub(), Subscriber()
    hub.subscribe(subscriber, names)
    return hub, subscriber


def started(*hubs: Hub, clock: Clock | None = None) -> Flusher:
    flusher = Flusher(hubs, Congestion(LIMITS, lambda: 0), clock or Clock())
    flusher.start(asyncio.get_running_loop())
    return flusher


# The rule


@given(st.lists(st.tuples(st.floats(0, 0.004), st.floats(0.0001, 0.1)), max_size=200))
def test_flushes_that_take_less_than_their_share_never_wait(
    flushes: list[tuple[float, float]],
) -> None:
    pace, now_s = FlushPace(), 10.0
    for cost_s, idle_s in flushes:
        assert pace.rest_s(now_s) == 0
        pace.note(now_s, now_s + cost_s)
        now_s += cost_s + max(idle_s, cost_s * (1 - FLUSH_SHARE) / FLUSH_SHARE)


@given(st.lists(st.floats(0.0002, SLICE_S * 2), min_size=50, max_size=200))
def test_flushes_without_a_break_take_their_share_of_the_core_and_no_more(
    costs_s: list[float],
) -> None:
    pace, began_s = FlushPace(), 10.0
    now_s = began_s
    for cost_s in costs_s:
        rest_s = pace.rest_s(now_s)
        assert rest_s == 0 or SHORTEST_REST_S <= rest_s <= LONGEST_REST_S
        now_s += rest_s
        pace.note(now_s, now_s + cost_s)
        now_s += cost_s
    busy_s = sum(costs_s)
    assert busy_s <= FLUSH_SHARE * (now_s - began_s + 2 * TOLERATED_S) + SLICE_S * 2


def test_flushes_follow_each_other_again_when_the_load_falls() -> None:
    pace, now_s = FlushPace(), 10.0
    for _ in range(100):
        now_s += pace.rest_s(now_s)
        pace.note(now_s, now_s + SLICE_S)
        now_s += SLICE_S
    assert pace.is_strained
    assert pace.rest_s(now_s) > 0
    now_s += LONGEST_REST_S
    assert pace.rest_s(now_s) == 0
    pace.note(now_s, now_s + SLICE_S)
    assert not pace.is_strained


# The flusher


@looped
async def test_the_messages_of_a_turn_of_the_loop_are_one_write() -> None:
    hub, subscriber = hub_with(TRADE, KLINE)
    started(hub)
    hub.broadcast(TRADE, b"1")
    hub.broadcast(KLINE, b"2")
    assert subscriber.written == []
    await asyncio.sleep(0)
    assert subscriber.written == [b"\x81\x011\x81\x012"]
    hub.broadcast(TRADE, b"3")
    await asyncio.sleep(0)
    assert subscriber.written[1:] == [b"\x81\x013"]


@looped
async def test_the_hubs_of_both_venues_are_flushed_in_the_same_turn() -> None:
    pairs = [hub_with(TRADE), hub_with(TRADE)]
    started(*(hub for hub, _ in pairs))
    for hub, _ in pairs:
        hub.broadcast(TRADE, b"1")
    await asyncio.sleep(0)
    assert [subscriber.written for _, subscriber in pairs] == [[b"\x81\x011"], [b"\x81\x011"]]


@looped
async def test_a_long_flush_gives_the_loop_turns_and_loses_nothing() -> None:
    hub, clock = new_hub(), Clock()
    hub.max_members = 4
    flusher = started(hub, clock=clock)
    crowd = [Subscriber(clock, SLICE_S / 8) for _ in range(400)]
    for subscriber in crowd:
        hub.subscribe(subscriber, [TRADE])
    hub.broadcast(TRADE, b"1")
    await asyncio.sleep(0)
    written = sum(len(each.written) for each in crowd)
    assert written < len(crowd), "the loop has a turn before all are written to"
    hub.broadcast(TRADE, b"2")
    while any(b"".join(each.written) != b"\x81\x011\x81\x012" for each in crowd):
        clock.now_s += 0.001
        await asyncio.sleep(0.001)
    assert flusher.continued > 0
    assert flusher.busy_s == pytest.approx(hub.writes * SLICE_S / 8)


@looped
async def test_messages_join_while_flushes_rest() -> None:
    hub, clock = new_hub(), Clock()
    flusher, subscriber = started(hub, clock=clock), Subscriber(clock, SLICE_S)
    hub.subscribe(subscriber, [TRADE])
    for number in range(100):
        hub.broadcast(TRADE, b"%d" % (number % 10))
        clock.now_s += 0.0001
        await asyncio.sleep(0)
    assert flusher.rested > 0
    assert SHORTEST_REST_S <= flusher.rest_s <= LONGEST_REST_S
    while sum(map(len, subscriber.written)) < 300:
        clock.now_s += 0.0001
        await asyncio.sleep(0.0001)
    assert b"".join(subscriber.written) == b"".join(b"\x81\x01%d" % (n % 10) for n in range(100))
    assert hub.writes < 50


@looped
async def test_flushes_rest_while_the_market_is_late() -> None:
    hub, subscriber = hub_with(TRADE)
    flusher = started(hub)
    flusher.is_market_late = lambda: True
    hub.broadcast(TRADE, b"1")
    await asyncio.sleep(0)
    assert (subscriber.written, flusher.rest_s) == ([], LONGEST_REST_S)
    flusher.is_market_late = lambda: False
    await asyncio.sleep(LONGEST_REST_S)
    await asyncio.sleep(0)
    hub.broadcast(TRADE, b"2")
    await asyncio.sleep(0)
    assert (len(subscriber.written), flusher.rest_s) == (2, 0)
