"""What the simulated market costs: as fast as it goes, living at its own pace, and to start."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from benchmarks.handshake import shake_hands
from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, pin
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.table import Table, median_ratio, spread
from tickerplant import logs
from tickerplant.events import DepthUpdate, Event
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.readiness import Readiness
from tickerplant.server.congestion import Congestion
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market

START_MS = 1_772_323_200_000
"""2026-03-01 00:00 UTC; any moment would do."""
MARKET_MS = 40_000
"""Market time of one repetition."""
REPETITIONS = 3
STARTS = 3
SETTLE_S = 2.0
LIVING_S = 10.0
"""How long the market lives at its own pace."""

TARGET_LEVELS_PER_S = 100_000
TARGET_CORE = 0.25
TARGET_START_S = 2.0


def run(*, quick: bool = False) -> list[Table]:
    """Measure the default market."""
    logs.configure("text", "warning")
    return [_flat_out(2 if quick else REPETITIONS), _living(1 if quick else STARTS, quick=quick)]


# As fast as it goes


def _flat_out(repetitions: int) -> Table:
    pin(SERVER_CORE)
    orders, levels, events = _work()
    runs = [(_whole(), _exchange_alone()) for _ in range(repetitions)]
    whole, alone = ([*column] for column in zip(*runs, strict=True))
    rows = []
    for name, count, target in (
        ("order operations/s", orders, None),
        ("book events/s (changes of a level)", levels, TARGET_LEVELS_PER_S),
        ("published events/s", events, None),
        ("market seconds/s", MARKET_MS / 1_000, None),
    ):
        columns = ([count / cpu_s for cpu_s in column] for column in (whole, alone))
        rows.append((name, *map(spread, columns), median_ratio(whole, alone), target))
    return Table(
        title="simulation, flat out: the default symbols, nobody subscribed",
        columns=("per CPU second", "tickerplant", "its exchange alone", "ratio of times", "target"),
        rows=rows,
        notes=[
            (
                f"{MARKET_MS // 1_000} s of the market: {orders:,} order operations, "
                f"{levels:,} book events, {events:,} events."
            ),
            "tickerplant: the source, the exchange and all derived state.",
        ],
    )


def _market() -> tuple[SimulatedExchange, Plant]:
    traded = instruments(START_MS)
    exchange = SimulatedExchange(traded, seed=1, start_ms=START_MS)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    return exchange, plant


def _steps(exchange: SimulatedExchange) -> Iterable[list[Event]]:
    while exchange.next_time_ms <= START_MS + MARKET_MS:
        yield exchange.step()[1]


def _work() -> tuple[int, int, int]:
    """Return the orders, changes of levels and events of a repetition; the same every time."""
    exchange, _ = _market()
    orders = exchange.order_count
    events = [event for batch in _steps(exchange) for event in batch]
    updates = [event for event in events if isinstance(event, DepthUpdate)]
    levels = sum(len(update.bids) + len(update.asks) for update in updates)
    return exchange.order_count - orders, levels, len(events)


def _cpu_s(work: Callable[[], object]) -> float:
    gc.collect()
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def _whole() -> float:
    """Return the CPU time of a repetition with everything that is derived."""
    exchange, plant = _market()
    open_market(plant, exchange)
    source = SimulatedSource(exchange, plant, speed=0, duration_ms=MARKET_MS)
    congestion = Congestion(LIMITS, lambda: 0)
    return _cpu_s(lambda: asyncio.run(source.run(congestion, Readiness())))


def _exchange_alone() -> float:
    """Return the CPU time of a repetition whose events nobody takes."""
    exchange, _ = _market()
    return _cpu_s(lambda: [None for _ in _steps(exchange)])


# At its own pace


def _living(starts: int, *, quick: bool) -> Table:
    pin(RECEIVER_CORE)
    waits_s, bare_s = [], []
    core = 0.0
    for index in range(starts):
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)  # our own interpreter
        bare_s.append(time.monotonic() - began_s)
        with Program("simulate") as program:
            _await_event(program.port)
            waits_s.append(time.monotonic() - program.began_s)
            if index == starts - 1:
                core = _core_share(program, LIVING_S / 5 if quick else LIVING_S)
    return Table(
        title="simulation, living: the default market at speed 1",
        columns=("", "tickerplant", "bare interpreter", "target"),
        rows=[
            (
                "process start to first event at a subscriber, s",
                spread(waits_s),
                spread(bare_s),
                TARGET_START_S,
            ),
            ("share of a core, nobody subscribed", core, None, TARGET_CORE),
        ],
        notes=[f"The share of a core is that of {LIVING_S:.0f} s."],
    )


def _await_event(port: int) -> None:
    """Return when a subscriber has the first byte of the first message."""
    with shake_hands(port, "/ws/btcusdt@bookTicker") as sock:
        sock.recv(1)


def _core_share(program: Program, seconds: float) -> float:
    time.sleep(SETTLE_S)
    before_s, began_s = usages(program.pid)[0].cpu_s, time.monotonic()
    time.sleep(seconds)
    return (usages(program.pid)[0].cpu_s - before_s) / (time.monotonic() - began_s)
