from __future__ import annotations

import asyncio

from loopback import looped

from tickerplant.hub.hub import Hub
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.congestion import Congestion
from tickerplant.server.flushing import Flusher
from tickerplant.simulation.instruments import instruments

START_MS = 1_772_323_200_000
TRADE, KLINE = "btcusdt@trade", "btcusdt@kline_1m"


class Subscriber:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def hub_with(*names: str) -> tuple[Hub, Subscriber]:
    plant = Plant(instruments(START_MS, ["BTCUSDT"]), start_ms=START_MS)
    hub, subscriber = plant.hubs["usdm"], Subscriber()
    hub.subscribe(subscriber, names)
    return hub, subscriber


def flusher_of(*hubs: Hub) -> Flusher:
    return Flusher(asyncio.get_running_loop(), hubs, Congestion(LIMITS, lambda: 0))


@looped
async def test_the_messages_of_a_turn_of_the_loop_are_one_write() -> None:
    hub, subscriber = hub_with(TRADE, KLINE)
    flusher_of(hub)
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
    flusher_of(*(hub for hub, _ in pairs))
    for hub, _ in pairs:
        hub.broadcast(TRADE, b"1")
    await asyncio.sleep(0)
    assert [subscriber.written for _, subscriber in pairs] == [[b"\x81\x011"], [b"\x81\x011"]]
