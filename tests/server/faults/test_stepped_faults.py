"""Faults in market time: in a stepped simulation, they come between the same events in every run."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from loopback import Loopback, looped, receive_all, serving, shake_hands
from simulated_house import simulated

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.rule import parse_rule
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.sources.simulated import SimulatedSource

START_MS = 1_767_225_600_000
STREAMS = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade/btcusdt@bookTicker"
CLIENTS = (
    "plain",
    "reset",
    "stall",
    "latency",
    "bandwidth",
    "after",
    "content",
    "chain",
    "late",
    "swapped",
    "off",
)
RULES = (
    "reset at=+1503ms",
    "stall at=+500ms for=700ms",
    "latency=120ms@60ms at=+300ms for=1s",
    "bandwidth=20KB at=+200ms for=1500ms",
    "close=1012 after=40 stream=btcusdt@bookTicker",
    "fields=0.3 for=1s",
    "chain=300ms",
    "delay=70ms jitter=40ms share=0.3 for=1s",
    "reorder=0.2 for=1100ms",
    "clock=5s at=+333ms for=900ms",
)


async def _read(sock_of: asyncio.Future[bytes], house: Loopback, received: bytearray) -> None:
    with house.socket() as sock:
        received += await shake_hands(sock, STREAMS)
        sock_of.set_result(b"")
        received += await receive_all(sock)


async def _run(seed: int) -> tuple[dict[str, str], dict[str, int], dict[str, int]]:
    """Return what each client received, its length, and how often each fault happened."""
    plant, exchange = simulated("BTCUSDT", "BTCUSD_PERP")
    source = SimulatedSource(exchange, plant, is_paused=True)
    board = FaultBoard(MarketClock(plant.timers), seed)
    received = {name: bytearray() for name in CLIENTS}
    readers = []
    async with serving(plant, source, faults=board, clock=connection_clock_ms) as house:
        for name in CLIENTS:
            connected: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            readers.append(asyncio.create_task(_read(connected, house, received[name])))
            await connected
        identities = [each.identity for each in house.server.connections]
        for identity, text in zip(identities[1:], RULES, strict=True):
            board.add(parse_rule(f"{text} connection={identity}"))
        for _ in range(3):
            await source.steer({"step": "900ms"})
    await asyncio.gather(*readers)
    digests = {name: sha256(data).hexdigest() for name, data in received.items()}
    return digests, {name: len(data) for name, data in received.items()}, dict(board.counts)


@pytest.mark.heavy
@looped
async def test_stepped_faults_give_every_client_the_same_bytes_in_every_run() -> None:
    first, sizes, counts = await _run(1)
    second, sizes_again, counts_again = await _run(1)
    for seen in (first, second, sizes_again):
        del seen["reset"]  # what a client has not read yet is lost with a reset
    assert {**sizes_again, "reset": sizes["reset"]} == sizes
    assert first == second
    assert counts == counts_again
    assert set(counts) == {rule.split("=")[0].split(" ")[0] for rule in RULES}
    other, _, _ = await _run(2)
    changed = {name for name in first if other[name] != first[name]}
    drawn = {"content", "late", "swapped"}
    assert drawn <= changed <= {*drawn, "chain"}, "chance follows from the seed"
    assert first["stall"] == first["latency"] == first["bandwidth"] == first["plain"]
    assert sizes["reset"] < sizes["plain"]
