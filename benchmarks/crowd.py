"""Crowds: what ten thousand connections cost, and what they cost each other.

The market is the default simulation at its own pace, so a message can be timed from its event: the
market's clock is the wall clock, to about a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from urllib.request import urlopen

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.crowd_clients import Crowd, Witness
from benchmarks.machine import allowed_files
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.table import Cell, Table

CONNECTIONS = 10_000
QUICK_CONNECTIONS = 2_000
SETTLE_S = 3.0
SECONDS = 12.0
QUICK_SECONDS = 3.0
LAG_EVERY_S = 1.0
SPARE_FILES = 256

ONE_STREAM = "/ws/btcusdt@bookTicker"
ARRAYS = ("!miniTicker@arr", "!ticker@arr", "!markPrice@arr@1s")
LAG = "tickerplant_source_lag_seconds"
SENT = "tickerplant_messages_sent_total"

SIZES = (100, 1_000, 3_000, 10_000)
GROWTH_SECONDS = 5.0
WAYS: dict[str, tuple[str, ...]] = {"one process": (), "2 workers": ("--workers=2",)}
"""How a server is started, by name."""


class Scene(Struct, frozen=True):
    """A crowd: who listens to what."""

    name: str
    paths: Callable[[Sequence[str], int], list[str]]
    """Return so many paths, given the symbols."""
    share_not_reading: float = 0.0
    aims_ms: tuple[float, float] = (10.0, 50.0)
    """p50 and p99."""


def _one_stream(_symbols: Sequence[str], connections: int) -> list[str]:
    return [ONE_STREAM] * connections


def mixed(symbols: Sequence[str], connections: int) -> list[str]:
    """Return paths of a mixed crowd: a fifth arrays, half best prices, the rest depth."""
    kinds: list[Iterator[str]] = [cycle(f"/ws/{name}" for name in ARRAYS)] * 2
    kinds += [cycle(f"/ws/{symbol}@bookTicker" for symbol in symbols)] * 5
    kinds += [cycle(f"/ws/{symbol}@depth@100ms" for symbol in symbols)] * 2
    kinds += [cycle(f"/ws/{symbol}@depth20@100ms" for symbol in symbols)]
    return [next(kind) for kind in islice(cycle(kinds), connections)]


SCENES = (
    Scene("all on btcusdt@bookTicker", _one_stream),
    Scene("the same, half do not read", _one_stream, share_not_reading=0.5),
    Scene("mixed", mixed, aims_ms=(5.0, 25.0)),
)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a crowd cost."""

    connections: int
    cores: float
    """CPU time of all processes of the program, by time."""
    waited: float
    """Share of the time in which they were ready to run and other processes had the cores."""
    sent_per_s: float
    last_ms: tuple[float, float]
    """p50 and p99 at the connection to `btcusdt@bookTicker` that was opened last."""
    other_ms: tuple[float, float]
    """p50 and p99 at a connection with other streams."""
    lag_s: float
    """Farthest that the market was behind."""
    connection_bytes: float
    """Resident memory by connection."""

    @property
    def cpu_us(self) -> float:
        """CPU time by message sent, in microseconds."""
        return self.cores / self.sent_per_s * 1e6 if self.sent_per_s else float("nan")


def run(*, quick: bool = False, connections: int | None = None) -> list[Table]:
    """Measure the crowds of `SCENES`; unless it shall be quick, also how the cost grows."""
    wanted = connections or (QUICK_CONNECTIONS if quick else CONNECTIONS)
    number = min(wanted, allowed_files() - SPARE_FILES)
    found = [
        measure(scene, number, seconds=QUICK_SECONDS if quick else SECONDS) for scene in SCENES
    ]
    table = Table(
        title="crowd: the default market at speed 1, one process",
        columns=(
            *("crowd", "connections", "core", "waited", "messages/s", "CPU µs a message"),
            *("last p50, ms", "last p99, ms", "other p50, ms", "other p99, ms", "aims"),
            *("market late, s", "KiB a connection"),
        ),
        rows=[_row(scene, each) for scene, each in zip(SCENES, found, strict=True)],
        notes=[
            "From an event to its arrival at a client's socket.  Last: the last connection to the stream",
            "of the crowd; other: a connection with the best prices of ten symbols.",
            "Server and crowd have a core each, where the system can pin them.  Waited: the share of time in",
            "which the server was ready to run and another program had its core; far from 0, only ratios count.",
        ],
    )
    return [table] if quick else [table, _growth(number)]


def _growth(most: int) -> Table:
    """Measure crowds of growing size, served by one process and by workers."""
    sizes = [size for size in SIZES if size < most] + [most]
    rows: list[tuple[Cell, ...]] = []
    for size in sizes:
        for scene in (SCENES[0], SCENES[2]):
            for way, options in WAYS.items():
                found = measure(scene, size, *options, seconds=GROWTH_SECONDS, is_pinned=False)
                late = (*found.last_ms, *found.other_ms)
                rows.append((scene.name, way, size, found.cores, found.waited, found.cpu_us, *late))
    return Table(
        title="crowd: cost against its size",
        columns=(
            *("crowd", "served by", "connections", "cores", "waited", "CPU µs a message"),
            *("last p50, ms", "last p99, ms", "other p50, ms", "other p99, ms"),
        ),
        rows=rows,
        notes=[
            "Of all processes of the program, nats-server included.  All processes, also the crowd, share",
            "all cores.",
        ],
    )


def _row(scene: Scene, found: Outcome) -> tuple[Cell, ...]:
    return (
        scene.name,
        found.connections,
        found.cores,
        found.waited,
        found.sent_per_s,
        found.cpu_us,
        *found.last_ms,
        *found.other_ms,
        "≤ {:g}, {:g}".format(*scene.aims_ms),
        found.lag_s,
        found.connection_bytes / 1024,
    )


def measure(
    scene: Scene, connections: int, *arguments: str, seconds: float, is_pinned: bool = True
) -> Outcome:
    """Let a crowd listen to a server of its own, and measure.

    Args:
        scene: The crowd.
        connections: Its size.
        arguments: More options of `tickerplant simulate`.
        seconds: How long is measured, after a time to settle.
        is_pinned: Whether server and crowd have a core each.
    """
    with (
        Program("simulate", "--limits=off", *arguments, is_pinned=is_pinned) as program,
        Crowd(is_pinned=is_pinned) as crowd,
    ):
        symbols = _symbols(program.port)
        paths = scene.paths(symbols, connections)
        idle = round(connections * scene.share_not_reading)
        time.sleep(1.0)
        resident_bytes = _resident_bytes(program)
        crowd.join(program.port, paths[idle:])
        crowd.join(program.port, paths[:idle], reads=False)
        witness_paths = (ONE_STREAM, _best_prices(symbols))
        with Witness(program.port, witness_paths, is_pinned=is_pinned) as witness:
            time.sleep(SETTLE_S)
            connection_bytes = (_resident_bytes(program) - resident_bytes) / connections
            before, began_s, (cpu_s, waited_s) = (
                program.metrics(),
                time.monotonic(),
                _used_s(program),
            )
            witness.heard()
            lags_s = [_lag_s(before)]
            while (left_s := began_s + seconds - time.monotonic()) > 0:
                time.sleep(min(left_s, LAG_EVERY_S))
                lags_s.append(_lag_s(program.metrics()))
            last_ms, other_ms = witness.latencies_ms()
            elapsed_s, (cpu_end_s, waited_end_s) = time.monotonic() - began_s, _used_s(program)
            after = program.metrics()
    return Outcome(
        connections=connections,
        cores=(cpu_end_s - cpu_s) / elapsed_s,
        waited=(waited_end_s - waited_s) / elapsed_s,
        sent_per_s=(_total(after, SENT) - _total(before, SENT)) / elapsed_s,
        last_ms=_percentiles_ms(last_ms),
        other_ms=_percentiles_ms(other_ms),
        lag_s=max(lags_s),
        connection_bytes=connection_bytes,
    )


# What is measured


def _symbols(port: int) -> list[str]:
    """Return the symbols of the perpetuals, in lower case."""
    with urlopen(f"http://127.0.0.1:{port}/fapi/v1/exchangeInfo") as answer:  # loopback
        listed = msgspec.json.decode(answer.read())["symbols"]
    return [each["symbol"].lower() for each in listed if each["contractType"] == "PERPETUAL"]


def _best_prices(symbols: Sequence[str]) -> str:
    return "/stream?streams=" + "/".join(f"{symbol}@bookTicker" for symbol in symbols[:10])


def _percentiles_ms(late_ms: NDArray[np.float64]) -> tuple[float, float]:
    if not len(late_ms):
        return float("nan"), float("nan")
    p50, p99 = np.percentile(late_ms, (50, 99))
    return float(p50), float(p99)


def _used_s(program: Program) -> tuple[float, float]:
    """Return the CPU time of a program's processes, and how long they waited for a core."""
    found = usages(program.pid)
    return sum(usage.cpu_s for usage in found), sum(usage.waited_s for usage in found)


def _resident_bytes(program: Program) -> int:
    return sum(usage.resident_bytes for usage in usages(program.pid))


def _lag_s(metrics: dict[str, float]) -> float:
    """Return how far the market is behind; edges have no market."""
    return max(value for key, value in metrics.items() if key.partition("{")[0] == LAG)


def _total(metrics: dict[str, float], name: str) -> float:
    """Return the sum of a metric over its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)
