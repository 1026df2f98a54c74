"""What it costs the server to deliver one bookTicker message to one more subscriber."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle, islice

from benchmarks.bout import Bout, opened
from benchmarks.machine import SERVER_CORE, allow_files, pin
from benchmarks.senders import (
    STREAM,
    BareSender,
    BroadcastSender,
    PlantSender,
    book_tickers,
    new_plant,
)
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs
from tickerplant.venue import USDM

SUBSCRIBERS = (1, 100, 1000)
PER_TURN = (1, 16)
REPETITIONS = 5
SECONDS = 0.3
"""How long messages are sent in one repetition."""
WARM_UP_S = 0.2
TARGET = 1.3
"""Highest ratio to a bare loop that is good enough, at one message per turn."""

BATCH_BYTES = 1 << 16
"""Sent to each subscriber, at most, before everybody must have read it; fits the system's buffers."""
BATCH_MESSAGES = 50_000
"""Sent to all subscribers together, at most, before everybody must have read it."""

NOTES = [
    "CPU time of the sending process until everything has been received, by messages received:",
    "median [least-greatest]; ratios to the bare loop are medians of those within a repetition.",
    "The bare loop sends frames made beforehand, the messages of a turn in one piece.",
    "Without sockets: what the plant needs before it writes.  At one subscriber the network's part is",
    "dearer than in the bare loop, whose receiver never falls asleep and need not be woken.",
]


def run(*, quick: bool = False) -> list[Table]:
    """Measure plant, bare loop and library, interleaved."""
    repetitions, seconds = (2, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    return [asyncio.run(_measure(repetitions, seconds))]


async def _measure(repetitions: int, seconds: float) -> Table:
    pin(SERVER_CORE)
    logs.configure("text", "warning")
    allow_files(max(SUBSCRIBERS))
    rows: list[tuple[Cell, ...]] = []
    for subscribers in SUBSCRIBERS:
        senders = (PlantSender(), BareSender("bare send()"), BroadcastSender())
        async with opened(senders, subscribers) as bouts:
            for per_turn in PER_TURN:
                for bout in bouts:
                    await cpu_us(bout, per_turn, WARM_UP_S)
                runs = [
                    [await cpu_us(bout, per_turn, seconds) for bout in bouts]
                    for _ in range(repetitions)
                ]
                own_us = await _own_cpu_us(subscribers, per_turn, seconds)
                rows.append((subscribers, per_turn, *_cells(per_turn, runs), own_us))
    return Table(
        title="fanout: server CPU per delivered bookTicker message, µs",
        columns=(
            "subscribers",
            "per turn",
            "tickerplant",
            "bare send()",
            "ratio",
            "target",
            "websockets",
            "ratio",
            "without sockets",
        ),
        rows=rows,
        notes=NOTES,
    )


def _cells(per_turn: int, runs: Sequence[Sequence[float]]) -> tuple[Cell, ...]:
    plant, bare, library = zip(*runs, strict=True)
    return (
        spread(plant),
        spread(bare),
        median_ratio(plant, bare),
        TARGET if per_turn == 1 else None,
        spread(library),
        median_ratio(library, bare),
    )


async def cpu_us(bout: Bout, per_turn: int, seconds: float) -> float:
    """Send for about so long; return the CPU time per message received, in µs."""
    sender = bout.sender
    messages = min(BATCH_BYTES // bout.frame_bytes, BATCH_MESSAGES // bout.subscribers)
    turns = messages // per_turn
    cpu_ns = batches = 0
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        bout.expect(turns * per_turn)
        began_ns = time.process_time_ns()
        for _ in range(turns):
            sender.send(per_turn)
            await sender.turn()
        await bout.received()
        cpu_ns += time.process_time_ns() - began_ns
        batches += 1
    return cpu_ns / (batches * turns * per_turn * bout.subscribers) / 1_000


class _Nobody:
    """A subscriber without a socket."""

    def write(self, data: bytes) -> None:
        """Take the frames and forget them."""


async def _own_cpu_us(subscribers: int, per_turn: int, seconds: float) -> float:
    """Return the CPU time per message, in µs, when the plant writes to nobody."""
    loop = asyncio.get_running_loop()
    plant = new_plant()
    hub = plant.hubs[USDM.name]
    hub.wake = lambda: loop.call_soon(hub.flush)
    for _ in range(subscribers):
        nobody = _Nobody()
        hub.set_combined(nobody, True)
        hub.subscribe(nobody, [STREAM])
    tickers = cycle(book_tickers())
    began_ns, until_s = time.process_time_ns(), time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        plant.advance(plant.now_ms + 1)
        for ticker in islice(tickers, per_turn):
            plant.publish(ticker)
        await asyncio.sleep(0)
    return (time.process_time_ns() - began_ns) / hub.messages_sent / 1_000
