"""What edges cost: latency of the bus, CPU by message, CPU of the plant with many edges, memory.

A steady plant serves clients at its own ports and, over a bus, edges; so both ways are measured in one
run, in turns.
"""

from __future__ import annotations

import socket
import subprocess
import sys
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
from benchmarks.processes import Usage, usages
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
    if sys.platform != "linux":
        return [Table(title="edges", columns=("",), rows=[], notes=["Not measured: needs Linux."])]
    repetitions, seconds = (2, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    tables: list[Table] = []
    with _bus() as (url, nats_pid):
        for streams, copies in ((STREAMS, 1), (1, CLIENTS)):
            tables += _compare(url, nats_pid, streams, copies, repetitions, seconds)
        tables.append(_many(url, nats_pid, repetitions, seconds))
        tables.append(_memory(url, EDGE_CONNECTIONS // 4 if quick else EDGE_CONNECTIONS))
    return tables


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


def _compare(
    url: str, nats_pid: int, streams: int, copies: int, repetitions: int, seconds: float
) -> list[Table]:
    symbols = [each.symbol.lower() for each in listed(streams, time.time_ns() // 1_000_000)]
    paths = list(islice(_quotes(symbols), CLIENTS))
    with ExitStack() as stack:
        plant = stack.enter_context(_plant(url, streams))
        edge = stack.enter_context(_edge(url))
        ways = {"one process": plant, "an edge": edge}
        runs: dict[str, list[Spent]] = {way: [] for way in ways}
        idle_us = _idle_us(plant, seconds)
        for _ in range(repetitions):
            for way, server in ways.items():
                runs[way].append(_spend(plant, server, nats_pid, paths, copies, streams, seconds))
    one, other = runs.values()
    what = f"{EVENTS_PER_S:,} events/s of {streams} " + ("streams" if streams > 1 else "stream")
    title = f"edges: {what}, {CLIENTS} clients, each event to {copies}"
    rows: list[tuple[Cell, ...]] = []
    for index, percentile in enumerate(SHOWN):
        direct, by_bus = ([each.percentiles_ms[index] for each in way] for way in (one, other))
        added = median(b - a for a, b in zip(direct, by_bus, strict=True))
        aim = f"+{AIMS_MS[index]:g}"
        rows.append((f"p{percentile}, ms", spread(direct), spread(by_bus), f"+{added:.2f}", aim))
    direct, by_bus = ([each.server_us for each in way] for way in (one, other))
    ratio = median_ratio(by_bus, direct)
    name = "CPU of who has the clients, µs a message delivered"
    rows.append((name, spread(direct), spread(by_bus), f"{ratio:.2f} times", f"{AIM_CPU:g} times"))
    direct, by_bus = ([each.plant_us for each in way] for way in (one, other))
    rows.append(("CPU of the plant, µs an event", spread(direct), spread(by_bus), None, None))
    by_bus = [each.nats_us for each in other]
    rows.append(("CPU of nats-server, µs an event", None, spread(by_bus), None, None))
    least = min(each.share for way in (one, other) for each in way)
    notes = [
        f"From the making of an event to the socket of a client.  Without clients an event takes the plant {idle_us:.0f} µs.",
        f"Least share of the messages that a client got: {least:.4f}.",
    ]
    return [
        Table(
            title=title,
            columns=("", "one process", "an edge", "difference", "aim"),
            rows=rows,
            notes=notes,
        )
    ]


def _idle_us(plant: Program, seconds: float) -> float:
    """Return the CPU time of an event that nobody hears."""
    time.sleep(SETTLE_S)
    began_s, cpu_s = time.monotonic(), _cpu_s(plant.pid)
    time.sleep(seconds)
    return (_cpu_s(plant.pid) - cpu_s) / (time.monotonic() - began_s) / EVENTS_PER_S * 1e6


def _spend(
    plant: Program,
    server: Program,
    nats_pid: int,
    paths: Sequence[str],
    copies: int,
    streams: int,
    seconds: float,
) -> Spent:
    """Let clients listen at `server` for a while."""
    with Crowd(is_pinned=False) as crowd:
        crowd.join(server.port, paths[WITNESSES:])
        with Witness(server.port, paths[:WITNESSES], pattern=MADE_NS, is_pinned=False) as witness:
            time.sleep(SETTLE_S)
            witness.heard()
            began_s = time.monotonic()
            before = [_cpu_s(pid) for pid in (plant.pid, server.pid, nats_pid)]
            time.sleep(seconds)
            after = [_cpu_s(pid) for pid in (plant.pid, server.pid, nats_pid)]
            elapsed_s = time.monotonic() - began_s
            _, made_ns, received_ns = witness.heard()
    late_ms = (received_ns - made_ns) / 1e6
    events = EVENTS_PER_S * elapsed_s
    plant_s, server_s, nats_s = (b - a for a, b in zip(before, after, strict=True))
    return Spent(
        percentiles_ms=tuple(float(value) for value in np.percentile(late_ms, SHOWN)),
        plant_us=plant_s / events * 1e6,
        server_us=server_s / (events * copies) * 1e6,
        nats_us=nats_s / events * 1e6,
        share=len(made_ns) / (events / streams * WITNESSES),
    )


# Many edges


def _many(url: str, nats_pid: int, repetitions: int, seconds: float) -> Table:
    """Measure the plant with growing numbers of edges, each with one client of all streams."""
    symbols = [each.symbol.lower() for each in listed(STREAMS, time.time_ns() // 1_000_000)]
    path = "/stream?streams=" + "/".join(f"{symbol}@bookTicker" for symbol in symbols)
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
                    began_s, before = time.monotonic(), [_cpu_s(pid) for pid in pids]
                    time.sleep(seconds)
                    spent = [_cpu_s(pid) - cpu_s for pid, cpu_s in zip(pids, before, strict=True)]
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
    with _plant(url, STREAMS) as plant, _edge(url) as edge, Crowd(is_pinned=False) as crowd:
        symbols = [each.symbol.lower() for each in listed(STREAMS, time.time_ns() // 1_000_000)]
        idle_s, began_s = _cpu_s(plant.pid), time.monotonic()
        time.sleep(2 * SETTLE_S)
        idle = (_cpu_s(plant.pid) - idle_s) / (time.monotonic() - began_s)
        base = _usage(edge.pid)
        plant_s, began_s = _cpu_s(plant.pid), time.monotonic()
        crowd.join(edge.port, repeat("/ws", connections))
        plant_s = _cpu_s(plant.pid) - plant_s - idle * (time.monotonic() - began_s)
        edge_s = _cpu_s(edge.pid) - base.cpu_s
        crowd.leave("reads")
        crowd.join(edge.port, islice(_quotes(symbols), connections))
        time.sleep(2 * SETTLE_S)
        full = _usage(edge.pid)
    aim = AIM_BASE_MB + connections * AIM_CONNECTION_KIB * 1024 / 1e6
    each_bytes = (full.resident_bytes - base.resident_bytes) / connections
    return Table(
        title="edges: what connections cost an edge",
        columns=("", "measured", "aim"),
        rows=[
            ("memory without clients, MB", base.resident_bytes / 1e6, AIM_BASE_MB),
            (f"memory with {connections:,} connections, MB", full.resident_bytes / 1e6, aim),
            ("KiB a connection", each_bytes / 1024, AIM_CONNECTION_KIB),
            ("CPU of the edge, µs a handshake", edge_s / connections * 1e6, None),
            ("CPU of the plant, µs a handshake", max(0.0, plant_s) / connections * 1e6, None),
        ],
        notes=[
            "The plant admits each connection, so that limits and bans are the same at all edges."
        ],
    )


def _quotes(symbols: Sequence[str]) -> Iterator[str]:
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


def _plant(url: str, streams: int) -> Program:
    options = (f"--events={EVENTS_PER_S}", f"--streams={streams}", f"--bus={url}")
    return Program(*options, module="benchmarks.steady_plant", is_pinned=False)


def _edge(url: str) -> Program:
    return Program("edge", f"--bus={url}", is_pinned=False)


def _usage(pid: int) -> Usage:
    return usages(pid)[0]


def _cpu_s(pid: int) -> float:
    return _usage(pid).cpu_s
