"""What edges cost: latency of the bus, CPU by message, CPU of the plant with many edges, memory.

A steady plant serves clients at its own ports and, over a bus, edges; so both ways are measured in one
run, in turns.  `detour` is also what a relay is measured by.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice, repeat
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import Struct

from benchmarks.crowd_clients import Crowd, Witness
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.steady_plant import listed
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.cluster.nats_server import program as nats_program

EVENTS_PER_S = 1_000
STREAMS = 100
CLIENTS = 100
WITNESSES = 5
"""Clients whose messages are timed."""
REPETITIONS = 4
SECONDS = 4.0
SETTLE_S = 1.0
EDGES = (1, 2, 4, 8)
EDGE_CONNECTIONS = 2_000
MADE_NS = rb'"u":(\d+)'
SHOWN = (50, 99)
"""Percentiles."""
AIMS_MS = (0.6, 3.0)
AIM_CPU = 1.1
AIM_FLAT = 1.2
AIM_BASE_MB = 80.0
AIM_CONNECTION_KIB = 16.0


def run(*, quick: bool = False) -> list[Table]:
    """Measure one plant with up to eight edges."""
    repetitions, seconds = (2, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    with _bus() as (url, nats_pid):
        return [
            *(_compare(url, nats_pid, streams, repetitions, seconds) for streams in (STREAMS, 1)),
            _many(url, nats_pid, repetitions, seconds),
            _memory(url, EDGE_CONNECTIONS // 4 if quick else EDGE_CONNECTIONS),
        ]


# One edge against one process


class Spent(Struct, frozen=True):
    """What a few seconds cost."""

    percentiles_ms: tuple[float, ...]
    """Those of `SHOWN`."""
    plant_us: float
    """CPU of the plant by event."""
    server_us: float
    """CPU by message delivered of the process that has the clients."""
    nats_us: float
    """CPU of `nats-server` by event."""
    share: float
    """Messages that the witnesses heard, of those that were made."""


Runs = tuple[list[Spent], list[Spent]]
"""What was spent with the clients at the plant, and at the other server."""


def detour(
    plant: Program,
    server: Program,
    streams: int,
    repetitions: int,
    seconds: float,
    *,
    events_per_s: int = EVENTS_PER_S,
    nats_pid: int = 0,
) -> Runs:
    """Let clients listen at a steady plant, and at a server that has its market from there, in turns.

    Args:
        plant: The plant.
        server: The other server.
        streams: How many the plant has: `STREAMS`, each for one client, or one for all.
        repetitions: How often.
        seconds: How long they listen in one repetition.
        events_per_s: How many events the plant makes.
        nats_pid: The process of the bus, if there is one.
    """
    runs: Runs = ([], [])
    for _ in range(repetitions):
        for asked, found in zip((plant, server), runs, strict=True):
            pids = [plant.pid, asked.pid, nats_pid or plant.pid]
            found.append(_spend(asked, pids, streams, seconds, events_per_s))
    return runs


def _spend(
    server: Program, pids: Sequence[int], streams: int, seconds: float, events_per_s: int
) -> Spent:
    """Let clients listen at `server` for a while."""
    paths = list(islice(_quotes(streams), CLIENTS))
    copies = CLIENTS // streams
    with Crowd(is_pinned=False) as crowd:
        crowd.join(server.port, paths[WITNESSES:])
        with Witness(server.port, paths[:WITNESSES], pattern=MADE_NS, is_pinned=False) as witness:
            time.sleep(SETTLE_S)
            witness.heard()
            began_s, before_s = time.monotonic(), list(map(_cpu_s, pids))
            time.sleep(seconds)
            after_s, elapsed_s = list(map(_cpu_s, pids)), time.monotonic() - began_s
            _, made_ns, received_ns = witness.heard()
    events = events_per_s * elapsed_s
    plant_us, server_us, nats_us = (
        (b - a) / events * 1e6 for a, b in zip(before_s, after_s, strict=True)
    )
    return Spent(
        tuple(float(each) for each in np.percentile((received_ns - made_ns) / 1e6, SHOWN)),
        plant_us,
        server_us / copies,
        nats_us,
        len(made_ns) / (events / streams * WITNESSES),
    )


def latency_rows(runs: Runs) -> list[tuple[str, str, str, float]]:
    """Return a row for each of `SHOWN`: directly, by the other server, and what that adds."""
    rows = []
    for index, percentile in enumerate(SHOWN):
        direct, other = ([each.percentiles_ms[index] for each in way] for way in runs)
        added = median(b - a for a, b in zip(direct, other, strict=True))
        rows.append((f"p{percentile}, ms", spread(direct), spread(other), added))
    return rows


def least_share(runs: Runs) -> float:
    """Return the least share of the messages that the clients heard."""
    return min(each.share for way in runs for each in way)


def _compare(url: str, nats_pid: int, streams: int, repetitions: int, seconds: float) -> Table:
    with _plant(url, streams) as plant, _edge(url) as edge:
        idle_us = _idle_us(plant, seconds)
        runs = detour(plant, edge, streams, repetitions, seconds, nats_pid=nats_pid)
    rows: list[tuple[Cell, ...]] = [
        (*row, f"{added:+.2f}", f"+{aim:g}")
        for (*row, added), aim in zip(latency_rows(runs), AIMS_MS, strict=True)
    ]
    direct, by_bus = ([each.server_us for each in way] for way in runs)
    ratio = f"{median_ratio(by_bus, direct):.2f} times"
    name = "CPU of who has the clients, µs a message delivered"
    rows.append((name, spread(direct), spread(by_bus), ratio, f"{AIM_CPU:g} times"))
    direct, by_bus = ([each.plant_us for each in way] for way in runs)
    rows.append(("CPU of the plant, µs an event", spread(direct), spread(by_bus), None, None))
    by_bus = [each.nats_us for each in runs[1]]
    rows.append(("CPU of nats-server, µs an event", None, spread(by_bus), None, None))
    what = f"{EVENTS_PER_S:,} events/s of {streams} " + ("streams" if streams > 1 else "stream")
    return Table(
        title=f"edges: {what}, {CLIENTS} clients, each event to {CLIENTS // streams}",
        columns=("", "one process", "an edge", "difference", "aim"),
        rows=rows,
        notes=[
            f"From the making of an event to the socket of a client.  Without clients an event takes the plant {idle_us:.0f} µs.",
            f"Least share of the messages that a client got: {least_share(runs):.4f}.",
        ],
    )


def _idle_us(plant: Program, seconds: float) -> float:
    """Return the CPU time of an event that nobody hears."""
    time.sleep(SETTLE_S)
    began_s, cpu_s = time.monotonic(), _cpu_s(plant.pid)
    time.sleep(seconds)
    return (_cpu_s(plant.pid) - cpu_s) / (time.monotonic() - began_s) / EVENTS_PER_S * 1e6


# Many edges


def _many(url: str, nats_pid: int, repetitions: int, seconds: float) -> Table:
    """Measure the plant with growing numbers of edges, each with one client of all streams."""
    names = (path.removeprefix("/ws/") for path in islice(_quotes(STREAMS), STREAMS))
    path = "/stream?streams=" + "/".join(names)
    costs: dict[int, list[tuple[float, float, float]]] = {number: [] for number in EDGES}
    with ExitStack() as stack:
        plant = stack.enter_context(_plant(url, STREAMS))
        edges = [stack.enter_context(_edge(url)) for _ in range(max(EDGES))]
        for _ in range(max(2, repetitions // 2)):
            with Crowd(is_pinned=False) as crowd:
                joined = 0
                for number in EDGES:
                    for edge in edges[joined:number]:
                        crowd.join(edge.port, [path])
                    joined = number
                    time.sleep(SETTLE_S)
                    pids = (plant.pid, nats_pid, *(edge.pid for edge in edges[:number]))
                    began_s, before_s = time.monotonic(), list(map(_cpu_s, pids))
                    time.sleep(seconds)
                    spent = [_cpu_s(pid) - cpu_s for pid, cpu_s in zip(pids, before_s, strict=True)]
                    scale = 1e6 / EVENTS_PER_S / (time.monotonic() - began_s)
                    costs[number].append(
                        (spent[0] * scale, spent[1] * scale, median(spent[2:]) * scale)
                    )
            time.sleep(SETTLE_S)  # the edges have left all streams
    baseline = [plant_us for plant_us, _, _ in costs[EDGES[0]]]
    rows: list[tuple[Cell, ...]] = []
    for number, found in costs.items():
        plant_us, nats_us, edge_us = (list(column) for column in zip(*found, strict=True))
        ratio = median_ratio(plant_us, baseline)
        rows.append((number, spread(plant_us), ratio, AIM_FLAT, spread(nats_us), spread(edge_us)))
    return Table(
        title=f"edges: {EVENTS_PER_S:,} events/s of {STREAMS} streams to one client at each edge, CPU µs an event",
        columns=("edges", "plant", "to one edge", "aim", "nats-server", "an edge"),
        rows=rows,
    )


# Memory


def _memory(url: str, connections: int) -> Table:
    """Measure what connections cost an edge, and the plant that is asked whether to admit them."""
    with _plant(url, STREAMS) as plant, _edge(url) as edge:
        idle_s, began_s = _cpu_s(plant.pid), time.monotonic()
        time.sleep(2 * SETTLE_S)
        idle = (_cpu_s(plant.pid) - idle_s) / (time.monotonic() - began_s)
        base = usages(edge.pid)[0]
        plant_s, began_s = _cpu_s(plant.pid), time.monotonic()
        with Crowd(is_pinned=False) as crowd:
            crowd.join(edge.port, repeat("/ws", connections))
            plant_s = _cpu_s(plant.pid) - plant_s - idle * (time.monotonic() - began_s)
            edge_s = _cpu_s(edge.pid) - base.cpu_s
        with Crowd(is_pinned=False) as crowd:
            crowd.join(edge.port, islice(_quotes(STREAMS), connections))
            time.sleep(2 * SETTLE_S)
            full_bytes = usages(edge.pid)[0].resident_bytes
    aim = AIM_BASE_MB + connections * AIM_CONNECTION_KIB * 1024 / 1e6
    each_bytes = (full_bytes - base.resident_bytes) / connections
    return Table(
        title="edges: what connections cost an edge",
        columns=("", "measured", "aim"),
        rows=[
            ("memory without clients, MB", base.resident_bytes / 1e6, AIM_BASE_MB),
            (f"memory with {connections:,} connections, MB", full_bytes / 1e6, aim),
            ("KiB a connection", each_bytes / 1024, AIM_CONNECTION_KIB),
            ("CPU of the edge, µs a handshake", edge_s / connections * 1e6, None),
            ("CPU of the plant, µs a handshake", max(0.0, plant_s) / connections * 1e6, None),
        ],
        notes=[
            "The plant admits each connection, so that limits and bans are the same at all edges."
        ],
    )


def _quotes(streams: int) -> Iterator[str]:
    """Yield paths of best prices, of so many symbols in turn."""
    symbols = [each.symbol.lower() for each in listed(streams, time.time_ns() // 1_000_000)]
    return cycle(f"/ws/{symbol}@bookTicker" for symbol in symbols)


# Processes


@contextmanager
def _bus() -> Iterator[tuple[str, int]]:
    """Run `nats-server`; yield its address and the id of its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [nats_program(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder]
        log = Path(folder) / "nats.log"
        with subprocess.Popen([*command, "-l", str(log)]) as server:  # noqa: S603  # our own bus
            try:
                until_s = time.monotonic() + 10
                while not log.exists() or "Server is ready" not in log.read_text():
                    assert time.monotonic() < until_s, "nats-server is not ready"
                    time.sleep(0.05)
                yield f"nats://127.0.0.1:{port}", server.pid
            finally:
                server.terminate()


def steady_plant(events_per_s: int, streams: int, *options: str) -> Program:
    """Start a plant with a steady market."""
    options = (f"--events={events_per_s}", f"--streams={streams}", *options)
    return Program(*options, module="benchmarks.steady_plant", is_pinned=False)


def _plant(url: str, streams: int) -> Program:
    return steady_plant(EVENTS_PER_S, streams, f"--bus={url}")


def _edge(url: str) -> Program:
    return Program("edge", f"--bus={url}", is_pinned=False)


def _cpu_s(pid: int) -> float:
    return usages(pid)[0].cpu_s
