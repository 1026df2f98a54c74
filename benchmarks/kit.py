"""What a test waits for: the start of its exchange, and a step of a minute of market time.

The exchange is a test server of four symbols, started as the fixture starts it: by the nursery.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, pin
from benchmarks.processes import usages
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.control.client import ControlClient
from tickerplant.hosted.nursery import Child, end_nursery, spawn
from tickerplant.hosted.protocol import TestServerRequest, line_of, read_event
from tickerplant.serving.test_server import TEST_START_MS
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.startup.lines import Ready

FIRSTS, NEXTS = 3, 15
STEPS = 6
MINUTE_MS = 60_000
FULL: dict[str, Any] = {"intensity": 1.0, "quoting": 1.0}
"""The settings of the full market."""
AIM_START_S = 0.5
AIM_STEP_S = 0.3


def run(*, quick: bool = False) -> list[Table]:
    """Measure what a test that uses the fixture waits for."""
    return [_starts(1 if quick else FIRSTS, 4 if quick else NEXTS), _steps(2 if quick else STEPS)]


# Start


def _starts(firsts: int, nexts: int) -> Table:
    """Measure the start of a test server: first of a session, and next."""
    first_s, next_s, bare_s, cpu_s = [], [], [], []
    for _ in range(firsts):
        end_nursery()
        with _exchange({}) as (began_s, _, _):
            first_s.append(time.monotonic() - began_s)
    time.sleep(1)  # the nursery rehearses
    for _ in range(nexts):
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)  # our own interpreter
        bare_s.append(time.monotonic() - began_s)
        with _exchange({}) as (began_s, child, _):
            next_s.append(time.monotonic() - began_s)
            cpu_s.append(usages(child.pid)[0].cpu_s)
    rows: list[tuple[Cell, ...]] = [
        ("first of a session: nursery started by it", spread(first_s), None, None),
        (
            "next ones: median is that of a fixture",
            spread(next_s),
            median_ratio(next_s, bare_s),
            AIM_START_S,
        ),
        ("CPU time of these", spread(cpu_s), None, None),
        ("bare interpreter", spread(bare_s), 1.0, None),
    ]
    return Table(
        title=f"kit: start of a test server of {len(TEST_SYMBOLS)} symbols, s",
        columns=("from the request to the URLs", "s", "to a bare interpreter", "aim"),
        rows=rows,
    )


@contextmanager
def _exchange(settings: dict[str, Any]) -> Iterator[tuple[float, Child, Ready]]:
    """Start a test server; yield when that began, its process, and where it serves."""
    began_s = time.monotonic()
    child = spawn(line_of(TestServerRequest(settings=settings)))
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stderr is not None
    with child.stdin, child.stdout, child.stderr:
        try:
            while not isinstance(ready := read_event(child.stdout.readline()), Ready):
                pass
            yield began_s, child, ready
        finally:
            child.kill()
            child.wait()


# Steps


def _steps(steps: int) -> Table:
    """Measure steps of a minute against the exchange without a server."""
    rows: list[tuple[Cell, ...]] = []
    for name, settings in (("a test server's market", {}), ("the full market", FULL)):
        alone_s = _exchange_alone_s(settings, steps)
        events, walls_s, cpus_s = zip(*_stepped(settings, steps), strict=True)
        ratio = median_ratio(cpus_s, alone_s)
        aim = None if settings else AIM_STEP_S
        rows.append((name, int(median(events)), spread(walls_s), spread(cpus_s), ratio, aim))
    return Table(
        title=f"kit: a step of one minute of {len(TEST_SYMBOLS)} symbols, nobody subscribed",
        columns=(
            *("", "events", "until answered, s", "CPU, s"),
            *("CPU to the exchange alone", "aim"),
        ),
        rows=rows,
        notes=[
            "The exchange alone is a loop over `SimulatedExchange.step`, in the same minutes.",
        ],
    )


def _exchange_alone_s(settings: dict[str, Any], steps: int) -> list[float]:
    """Return the CPU time of each minute of an exchange whose events nobody takes."""
    pin(SERVER_CORE)
    defaults = TestServerSettings()
    given = {name: settings.get(name, getattr(defaults, name)) for name in FULL}
    traded = instruments(TEST_START_MS, TEST_SYMBOLS)
    exchange = SimulatedExchange(traded, seed=defaults.seed, start_ms=TEST_START_MS, **given)
    gc.freeze()
    found = []
    for minute in range(1, steps + 1):
        began_s = time.process_time()
        while exchange.next_time_ms <= TEST_START_MS + minute * MINUTE_MS:
            exchange.step()
        found.append(time.process_time() - began_s)
    pin(RECEIVER_CORE)
    return found


def _stepped(settings: dict[str, Any], steps: int) -> Iterator[tuple[int, float, float]]:
    """Make steps of a minute; yield how many events each had, and how long and how much CPU it took."""
    with _exchange(settings) as (_, child, ready):
        pin(SERVER_CORE, child.pid)
        control = ControlClient(ready.venues["usdm"].streams, ready.token)
        before = control.clock()["messages"]
        for _ in range(steps):
            used_s, began_s = usages(child.pid)[0].cpu_s, time.monotonic()
            state = control.step("1m", wait_s=60)
            wall_s = time.monotonic() - began_s
            assert not state["pending"]
            yield state["messages"] - before, wall_s, usages(child.pid)[0].cpu_s - used_s
            before = state["messages"]
