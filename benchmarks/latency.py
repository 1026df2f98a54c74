"""How long a message takes from the event to its subscribers when events come in bursts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from benchmarks.bout import Bout, opened
from benchmarks.machine import SERVER_CORE, pin
from benchmarks.receiver import Arrivals
from benchmarks.senders import BareSender, PlantSender, Sender
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs

SUBSCRIBERS = 100
BURST = 16
EVENTS_PER_S = 1_000
REPETITIONS = 3
SECONDS = 2.0
"""Length of one repetition."""
WARM_UP_S = 0.5
SPIN_NS = 3_000_000
"""So long before a burst the clock is watched, because timers are not exact."""

SHOWN = ((50, 1.0), (99, 3.0))
"""Percentiles and their targets in milliseconds."""


def run(*, quick: bool = False) -> list[Table]:
    """Measure the plant and a loop with one send per message, interleaved."""
    repetitions, seconds = (1, SECONDS / 3) if quick else (REPETITIONS, SECONDS)
    return [asyncio.run(_measure(repetitions, seconds))]


async def _measure(repetitions: int, seconds: float) -> Table:
    pin(SERVER_CORE)
    logs.configure("text", "warning")
    senders: tuple[Sender, Sender] = (PlantSender(), BareSender("send() per message", joined=False))
    async with opened(senders, SUBSCRIBERS) as bouts:
        for bout in bouts:
            await _percentiles_ms(bout, WARM_UP_S)
        runs = [
            [await _percentiles_ms(bout, seconds) for bout in bouts] for _ in range(repetitions)
        ]
    plant, bare = ([*column] for column in zip(*runs, strict=True))
    return Table(
        title=f"latency: bursts of {BURST} at {EVENTS_PER_S:,} events/s, {SUBSCRIBERS} subscribers",
        columns=("percentile", "tickerplant, ms", "target", "send() per message, ms", "ratio"),
        rows=[_row(position, plant, bare) for position in range(len(SHOWN))],
        notes=[
            "From the moment a burst is due to the moment a message of it has been read: median of",
            "the repetitions [least-greatest].  A sender that needs more than its core falls ever further",
            "behind: its latency then grows with the length of the run.",
        ],
    )


def _row(
    position: int, plant: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]
) -> tuple[Cell, ...]:
    percentile, target_ms = SHOWN[position]
    plant_ms, bare_ms = ([each[position] for each in column] for column in (plant, bare))
    return (
        f"p{percentile}",
        spread(plant_ms),
        target_ms,
        spread(bare_ms),
        median_ratio(plant_ms, bare_ms),
    )


async def _percentiles_ms(bout: Bout, seconds: float) -> list[float]:
    """Send bursts for so long; return the percentiles of `SHOWN`."""
    await bout.record()
    bursts = round(seconds * EVENTS_PER_S / BURST)
    period_ns = BURST * 1_000_000_000 // EVENTS_PER_S
    first_ns = time.monotonic_ns() + period_ns
    due_ns = [first_ns + number * period_ns for number in range(bursts)]
    bout.expect(bursts * BURST)
    for moment_ns in due_ns:
        await _until(moment_ns)
        bout.sender.send(BURST)
        await bout.sender.turn()
    arrivals = await bout.received()
    assert arrivals is not None, "nothing was noted"
    latencies_ms = _latencies_ns(arrivals, due_ns, bout.frame_bytes) / 1e6
    assert len(latencies_ms) == bursts * BURST * SUBSCRIBERS, "a message is missing"
    return [float(np.percentile(latencies_ms, percentile)) for percentile, _ in SHOWN]


async def _until(moment_ns: int) -> None:
    """Return at the moment, or at once when it has passed: a late burst counts as late."""
    while (left_ns := moment_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110  # a moment has no event
        await asyncio.sleep((left_ns - SPIN_NS) / 1e9 if left_ns > SPIN_NS else 0)


def _latencies_ns(arrivals: Arrivals, due_ns: Sequence[int], frame_bytes: int) -> NDArray[np.int64]:
    """Return the time from due to read of every message at every subscriber."""
    read_ns, subscriber, read_bytes = (np.frombuffer(column, np.int64) for column in arrivals)
    order = np.argsort(subscriber, kind="stable")
    read_ns, subscriber = read_ns[order], subscriber[order]
    ends = read_bytes[order] // frame_bytes
    begins = np.roll(ends, 1)
    begins[np.flatnonzero(np.diff(subscriber, prepend=-1))] = 0
    messages = np.fromiter(
        chain.from_iterable(map(range, begins.tolist(), ends.tolist())), np.int64
    )
    latencies: NDArray[np.int64] = (
        np.repeat(read_ns, ends - begins) - np.array(due_ns)[messages // BURST]
    )
    return latencies
