"""What faults cost that are configured and do not fire, in CPU per delivered message."""

from __future__ import annotations

import asyncio

from benchmarks.bout import opened
from benchmarks.fanout import REPETITIONS, SECONDS, WARM_UP_S, cpu_us
from benchmarks.machine import SERVER_CORE, allow_files, pin
from benchmarks.senders import PlantSender
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs

SUBSCRIBERS = 200
PER_TURN = (1, 16)
TARGET = 1.02
"""Highest ratio to a server without faults that is good enough."""
RULES = {
    "none": (),
    "aimed elsewhere": (
        "drop stream=btcusdt@aggTrade",
        "stall venue=coinm",
        "fields connections=0.000000000001",
        "http_503=1",
    ),
    "window in the future": ("stall at=+1d", "drop at=+1d", "latency=1s at=+1d", "fields at=+1d"),
    "a mean time": ("reset=365d", "stall=5s@365d", "chain=365d", "garbage=365d"),
    "requests": (
        "refuse=0.000000000001",
        "api_error=0.000000000001",
        "silent=0.000000000001",
        "http_429=0.000000000001",
    ),
    "share of messages": ("drop=0.000000000001",),
    "none, once more": (),
}
"""The rules of each contender; the last shows what a ratio of two equal servers comes to."""
NOTES = [
    "CPU time of the sending process until everything has been received, by messages received:",
    "median [least-greatest]; ratios to the server without faults are medians of those within a",
    "repetition.  Shares and mean times are so that nothing happens while it is measured.",
]


def run(*, quick: bool = False) -> list[Table]:
    """Measure servers with different rules, interleaved."""
    repetitions, seconds = (3, SECONDS / 2) if quick else (2 * REPETITIONS, SECONDS)
    return [asyncio.run(_measure(repetitions, seconds))]


async def _measure(repetitions: int, seconds: float) -> Table:
    pin(SERVER_CORE)
    logs.configure("text", "warning")
    allow_files(SUBSCRIBERS * len(RULES))
    rows: list[tuple[Cell, ...]] = []
    senders = [PlantSender(name, faults=rules) for name, rules in RULES.items()]
    async with opened(senders, SUBSCRIBERS) as bouts:
        for per_turn in PER_TURN:
            for bout in bouts:
                await cpu_us(bout, per_turn, WARM_UP_S)
            runs: list[list[float]] = []
            for repetition in range(repetitions):
                first = repetition % len(bouts)  # in turn, as the first one finds cold caches
                costs = {
                    bout: await cpu_us(bout, per_turn, seconds)
                    for bout in (*bouts[first:], *bouts[:first])
                }
                runs.append([costs[bout] for bout in bouts])
            none, *others = zip(*runs, strict=True)
            rows.append((per_turn, "none", spread(none), None, None))
            for sender, other in zip(senders[1:], others, strict=True):
                ratio = median_ratio(other, none)
                rows.append((per_turn, sender.name, spread(other), ratio, TARGET))
    return Table(
        title=f"idle_faults: server CPU per message to {SUBSCRIBERS} subscribers, µs",
        columns=("per turn", "rules", "CPU", "ratio", "target"),
        rows=rows,
        notes=NOTES,
    )
