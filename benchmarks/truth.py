"""What it costs to keep what really was: a fan-out with and without, and a step with and without."""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.bout import opened
from benchmarks.fanout import WARM_UP_S, cpu_us
from benchmarks.machine import SERVER_CORE, allow_files, pin
from benchmarks.senders import PlantSender
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant import logs
from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.serving.run import plant_of
from tickerplant.serving.test_server import TEST_START_MS
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.truth.truth import Truth

SUBSCRIBERS = (1, 100)
REPETITIONS = 5
SECONDS = 0.3
STEP_MS = 60_000
"""Market time of one repetition of a step."""

NOTES = [
    "Fan-out: CPU time of the server per bookTicker message received, in µs.  Without truth, connections",
    "and markets are those of any server.  Step: CPU time of a minute of the market of a test server,",
    "without sockets, in ms.  Medians [least-greatest]; ratios are medians within a repetition.",
]


def run(*, quick: bool = False) -> list[Table]:
    """Measure with and without truth, interleaved."""
    pin(SERVER_CORE)
    logs.configure("text", "warning")
    allow_files(max(SUBSCRIBERS))
    repetitions, seconds = (2, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    rows = asyncio.run(_fan_out(repetitions, seconds))
    steps = [[_step_ms(None), _step_ms(Truth())] for _ in range(repetitions)]
    rows.append(("step of 1 min, ms", None, *_cells(steps)))
    return [
        Table(
            title="truth: CPU time with what was kept, and without",
            columns=("work", "subscribers", "without", "with", "ratio"),
            rows=rows,
            notes=NOTES,
        )
    ]


async def _fan_out(repetitions: int, seconds: float) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for subscribers in SUBSCRIBERS:
        senders = (PlantSender(), PlantSender("with truth", Truth()))
        async with opened(senders, subscribers) as bouts:
            for bout in bouts:
                await cpu_us(bout, 1, WARM_UP_S)
            runs = [[await cpu_us(bout, 1, seconds) for bout in bouts] for _ in range(repetitions)]
            rows.append(("fan-out, µs a message", subscribers, *_cells(runs)))
    return rows


def _cells(runs: list[list[float]]) -> tuple[Cell, ...]:
    without, kept = zip(*runs, strict=True)
    return spread(without), spread(kept), median_ratio(kept, without)


def _step_ms(truth: Truth | None) -> float:
    """Return the CPU time of a step of the market of a test server, in ms."""
    settings = TestServerSettings()
    traded = instruments(TEST_START_MS, TEST_SYMBOLS)
    exchange = SimulatedExchange(
        traded,
        seed=settings.seed,
        start_ms=TEST_START_MS,
        intensity=settings.intensity,
        quoting=settings.quoting,
        listings=False,
    )
    plant = plant_of(settings, traded, TEST_START_MS, reserved_snapshot_ids=True, truth=truth)
    open_market(plant, exchange)
    gc.collect()
    gc.freeze()
    end_ms = TEST_START_MS + STEP_MS
    began_ns = time.process_time_ns()
    while exchange.next_time_ms <= end_ms:
        time_ms, events = exchange.step()
        plant.advance_before(time_ms)
        for event in events:
            plant.publish(event)
    plant.advance(end_ms)
    spent_ns = time.process_time_ns() - began_ns
    gc.unfreeze()
    return spent_ns / 1e6
