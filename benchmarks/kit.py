"""What a test waits for: the start of its exchange, and a step of a minute of market time.

The exchange is a test server of four symbols, started as the fixture starts it: by the nursery.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Any

from msgspec import Struct

from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, pin
from benchmarks.processes import usages
from benchmarks.receiver import BUFFER_BYTES, shake_hands
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.config.settings import TEST_SYMBOLS, TestServerSettings
from tickerplant.control.client import ControlClient
from tickerplant.hosted.nursery import Child, end_nursery, spawn
from tickerplant.hosted.protocol import TestServerRequest, line_of, read_event
from tickerplant.serving.lines import Ready
from tickerplant.serving.test_server import TEST_START_MS
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments

FIRSTS, NEXTS = 3, 15
STEPS = 6
MINUTE_MS = 60_000
FULL: dict[str, Any] = {"intensity": 1.0, "quoting": 1.0}
"""The settings of the full market."""
PATH = "/stream?streams=" + "/".join(
    f"{symbol}@{kind}"
    for symbol in ("btcusdt", "ethusdt")
    for kind in ("bookTicker", "depth@100ms", "trade", "aggTrade")
)
PING = b"\x89\x80\0\0\0\0"
"""A ping of a client, without a payload."""
PONG = b"\x8a\0"
AIM_START_S = 0.5
AIM_STEP_S = 0.3


def run(*, quick: bool = False) -> list[Table]:
    """Measure what a test that uses the fixture waits for."""
    if sys.platform != "linux":
        return [Table(title="kit", columns=("",), rows=[], notes=["Not measured: needs Linux."])]
    return [_starts(1 if quick else FIRSTS, 4 if quick else NEXTS), _steps(2 if quick else STEPS)]


# Start


def _starts(firsts: int, nexts: int) -> Table:
    """Measure the start of a test server: first of a session, next, and without a nursery."""
    first_s, next_s, own_s, bare_s, cpu_s = [], [], [], [], []
    for _ in range(firsts):
        end_nursery()
        with _exchange({}) as (began_s, _, _):
            first_s.append(time.monotonic() - began_s)
    time.sleep(1)  # the nursery rehearses
    for index in range(nexts):
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)  # our own interpreter
        bare_s.append(time.monotonic() - began_s)
        with _exchange({}) as (began_s, child, _):
            next_s.append(time.monotonic() - began_s)
            cpu_s.append(usages(child.pid)[0].cpu_s)
        if index < firsts:
            own_s.append(_own_process_s())
    rows: list[tuple[Cell, ...]] = [
        ("first of a session: nursery started by it", spread(first_s), None, None),
        (
            "next ones: median is that of a fixture",
            spread(next_s),
            median_ratio(next_s, bare_s),
            AIM_START_S,
        ),
        ("CPU time of these", spread(cpu_s), None, None),
        ("`tickerplant test-server`, a process of its own", spread(own_s), None, None),
        ("bare interpreter", spread(bare_s), 1.0, None),
    ]
    return Table(
        title=f"kit: start of a test server of {len(TEST_SYMBOLS)} symbols, s",
        columns=("from the request to the URLs", "s", "to a bare interpreter", "aim"),
        rows=rows,
    )


def _own_process_s() -> float:
    """Return how long a test server takes that is started as a program."""
    began_s = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "tickerplant", "test-server", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        took_s = time.monotonic() - began_s
        program.kill()
    return took_s


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


class Stepped(Struct, frozen=True):
    """What a step of a minute took."""

    wall_s: float
    waited_s: float
    """How long the server was ready to run and other programs had its core."""
    cpu_s: float
    messages: int


def _steps(steps: int) -> Table:
    """Measure steps of a minute, alone and with a client, against the exchange without a server."""
    rows: list[tuple[Cell, ...]] = []
    for name, settings in (("a test server's market", {}), ("the full market", FULL)):
        alone_s = _exchange_alone_s(settings, steps)
        for path, who in ((None, "nobody subscribed"), (PATH, "eight streams subscribed")):
            done = list(_stepped(settings, path, steps))
            walls, cpus = [each.wall_s for each in done], [each.cpu_s for each in done]
            rows.append(
                (
                    f"{name}, {who}",
                    int(median(each.messages for each in done)),
                    spread(walls),
                    spread(each.waited_s for each in done),
                    spread(cpus),
                    median_ratio(cpus, alone_s),
                    None if settings else AIM_STEP_S,
                )
            )
    return Table(
        title=f"kit: a step of one minute of {len(TEST_SYMBOLS)} symbols",
        columns=(
            "",
            "events",
            "until answered, s",
            "waited, s",
            "CPU, s",
            "CPU to the exchange alone",
            "aim",
        ),
        rows=rows,
        notes=[
            "Waited: how long the server was ready to run and other programs had its core.",
            "With a client, until it has received everything: a pong follows the last message.",
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


def _stepped(settings: dict[str, Any], path: str | None, steps: int) -> Iterator[Stepped]:
    """Make steps of a minute."""
    with _exchange(settings) as (_, child, ready):
        pin(SERVER_CORE, child.pid)
        control = ControlClient(ready.venues["usdm"].streams, ready.token)
        port = int(ready.venues["usdm"].streams.rpartition(":")[2])
        before = control.clock()["messages"]
        with _received(port, path) as drain:
            for _ in range(steps):
                used, began_s = usages(child.pid)[0], time.monotonic()
                state = control.step("1m", wait_s=60)
                drain()
                wall_s = time.monotonic() - began_s
                assert not state["pending"]
                now = usages(child.pid)[0]
                yield Stepped(
                    wall_s,
                    now.waited_s - used.waited_s,
                    now.cpu_s - used.cpu_s,
                    state["messages"] - before,
                )
                before = state["messages"]


@contextmanager
def _received(port: int, path: str | None) -> Iterator[Callable[[], None]]:
    """Read a connection in a thread; yield a function that returns when everything has come."""
    if path is None:
        yield lambda: None
        return
    with closing(shake_hands(port, path)) as sock:
        drained = threading.Event()

        def read() -> None:
            while data := sock.recv(BUFFER_BYTES):
                if data.endswith(PONG):
                    drained.set()

        def drain() -> None:
            drained.clear()
            sock.sendall(PING)
            drained.wait()

        thread = threading.Thread(target=read)
        thread.start()
        yield drain
        sock.shutdown(2)
        thread.join()
