"""What it costs the server to deliver one bookTicker message to one more subscriber."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle, islice

from benchmarks.machine import SERVER_CORE, allowed_files, pin
from benchmarks.senders import (
    STREAM,
    BareSender,
    Bout,
    PlantSender,
    Sender,
    book_tickers,
    new_plant,
    opened,
)
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs
from tickerplant.truth.truth import Truth
from tickerplant.venue import USDM

SUBSCRIBERS = (1, 100, 1000)
PER_TURN = (1, 16)
REPETITIONS = 5
SECONDS = 0.3
"""How long messages are sent in one repetition."""
WARM_UP_S = 0.2
TARGET = 1.3
"""Highest ratio to a bare loop that is good enough, at one message per turn."""
PACE_PER_S = 1_000
ADDED_SUBSCRIBERS = 100
IDLE_FAULT = "drop=0.000000000001"
"""Every message is asked about, and nothing happens while it is measured."""

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
    """Measure plant and bare loop, interleaved."""
    pin(SERVER_CORE)
    logs.configure("text", "warning")
    allowed_files()
    repetitions, seconds = (2, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    return [
        asyncio.run(_against_a_bare_loop(repetitions, seconds)),
        asyncio.run(_what_is_added(repetitions, seconds)),
    ]


async def _against_a_bare_loop(repetitions: int, seconds: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for subscribers in SUBSCRIBERS:
        async with opened((PlantSender(), BareSender()), subscribers) as bouts:
            for per_turn in PER_TURN:
                plant, bare = await _in_turns(bouts, repetitions, seconds, per_turn)
                row = spread(plant), spread(bare), median_ratio(plant, bare)
                target = TARGET if per_turn == 1 else None
                own_us = await _own_cpu_us(subscribers, per_turn, seconds)
                rows.append((subscribers, per_turn, *row, target, own_us))
    return Table(
        title="fanout: server CPU per delivered bookTicker message, µs",
        columns=(
            *("subscribers", "per turn", "tickerplant", "bare send()", "ratio", "target"),
            "without sockets",
        ),
        rows=rows,
        notes=NOTES,
    )


async def _what_is_added(repetitions: int, seconds: float) -> Table:
    """Measure one subscriber at a pace, and what an idle fault and the truth of a test add."""
    cases: list[tuple[str, int, Sequence[Sender], Measured]] = [
        (
            f"1 subscriber at {PACE_PER_S:,}/s, to the bare loop",
            1,
            (PlantSender(), BareSender()),
            _paced_cpu_us,
        ),
        (
            f"{ADDED_SUBSCRIBERS} subscribers, an idle fault of all their messages",
            ADDED_SUBSCRIBERS,
            (PlantSender("with a fault", faults=[IDLE_FAULT]), PlantSender()),
            cpu_us,
        ),
        (
            f"{ADDED_SUBSCRIBERS} subscribers, with the truth of a test server",
            ADDED_SUBSCRIBERS,
            (PlantSender("with truth", Truth()), PlantSender()),
            cpu_us,
        ),
    ]
    rows: list[tuple[Cell, ...]] = []
    for name, subscribers, senders, measured in cases:
        async with opened(senders, subscribers) as bouts:
            costs = await _in_turns(bouts, 2 * repetitions, seconds, 1, measured)
        rows.append((name, *map(spread, costs), median_ratio(*costs)))
    return Table(
        title="fanout: what a pace, a fault and the truth cost, server CPU µs a message",
        columns=("", "tickerplant", "without", "ratio"),
        rows=rows,
        notes=["Without: the bare loop at the same pace; the same server without fault or truth."],
    )


Measured = Callable[[Bout, int, float], Awaitable[float]]


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


async def _in_turns(
    bouts: Sequence[Bout],
    repetitions: int,
    seconds: float,
    per_turn: int,
    measured: Measured = cpu_us,
) -> list[list[float]]:
    """Return what a message costs in each bout, by repetition; the bouts take turns."""
    for bout in bouts:
        await measured(bout, per_turn, WARM_UP_S)
    costs: list[list[float]] = [[] for _ in bouts]
    for _ in range(repetitions):
        for bout, found in zip(bouts, costs, strict=True):
            found.append(await measured(bout, per_turn, seconds))
    return costs


async def _paced_cpu_us(bout: Bout, _per_turn: int, seconds: float) -> float:
    """Send evenly spaced messages; return the CPU time per message, timers included, in µs."""
    loop, sender = asyncio.get_running_loop(), bout.sender
    messages = round(seconds * PACE_PER_S)
    bout.expect(messages)
    began_ns, first_s = time.process_time_ns(), loop.time()
    for number in range(messages):
        await asyncio.sleep(max(0, first_s + number / PACE_PER_S - loop.time()))
        sender.send(1)
        await sender.turn()
    await bout.received()
    return (time.process_time_ns() - began_ns) / messages / 1_000


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
