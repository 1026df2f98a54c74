"""What it costs the server to deliver one bookTicker message to one more subscriber."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence

from benchmarks.bout import Bout
from benchmarks.machine import SERVER_CORE, allow_files, pin
from benchmarks.receiver import Receiver
from benchmarks.senders import BareSender, BroadcastSender, PlantSender
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs

SUBSCRIBERS = (1, 100, 1000)
PER_TURN = (1, 16)
REPETITIONS = 5
SECONDS = 0.4
"""How long messages are sent in one repetition."""
WARM_UP_S = 0.2
TARGET = 1.3
"""Highest ratio to a bare loop that is good enough, at one message per turn."""

BATCH_BYTES = 1 << 16
"""Sent to each subscriber before everybody must have read it; fits the buffers of the system."""

NOTES = [
    "CPU time of the sending process until everything has been received, by messages received:",
    "median [least-greatest]; ratios to the bare loop are medians of those within a repetition.",
    "The bare loop sends frames made beforehand, the messages of a turn in one piece.",
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
        with Receiver(subscribers) as receiver:
            bouts = [Bout(sender, receiver, subscribers) for sender in senders]
            for bout in bouts:
                await bout.open()
            gc.collect()
            gc.freeze()  # as the program does when it is ready
            for per_turn in PER_TURN:
                for bout in bouts:
                    await _cpu_us(bout, per_turn, WARM_UP_S)
                runs = [
                    [await _cpu_us(bout, per_turn, seconds) for bout in bouts]
                    for _ in range(repetitions)
                ]
                rows.append((subscribers, per_turn, *_cells(per_turn, runs)))
            for bout in bouts:
                await bout.close()
        gc.unfreeze()
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


async def _cpu_us(bout: Bout, per_turn: int, seconds: float) -> float:
    """Send for about so long; return the CPU time per message received, in µs."""
    sender = bout.sender
    turns = BATCH_BYTES // (per_turn * bout.frame_bytes)
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
