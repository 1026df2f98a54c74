"""How much later a message arrives through a relay than from the plant itself."""

from __future__ import annotations

from benchmarks.edges import CLIENTS, STREAMS, detour, latency_rows, least_share, steady_plant
from benchmarks.program import Program
from benchmarks.table import Cell, Table

REPETITIONS = 4
SECONDS = 4.0
TRAFFIC = {
    "100 events/s of one stream, each to all clients": (1, 100),
    "1,000 events/s of 100 streams, one for each client": (STREAMS, 1_000),
}
"""Streams and events a second."""


def run(*, quick: bool = False) -> list[Table]:
    """Measure both ways, in turns."""
    repetitions, seconds = (1, SECONDS / 2) if quick else (REPETITIONS, SECONDS)
    rows: list[tuple[Cell, ...]] = []
    for name, (streams, events_per_s) in TRAFFIC.items():
        with (
            steady_plant(events_per_s, streams) as plant,
            Program("relay", f"--usdm-url=ws://127.0.0.1:{plant.port}", is_pinned=False) as relay,
        ):
            runs = detour(plant, relay, streams, repetitions, seconds, events_per_s=events_per_s)
        rows += [(name, *row, least_share(runs)) for row in latency_rows(runs)]
    return [
        Table(
            title="relay: what it adds to the way of a message",
            columns=("traffic", "percentile", "direct", "by relay", "added", "delivered"),
            rows=rows,
            notes=[
                f"{CLIENTS} clients: from the making of an event to the moment when the kernel has it for the",
                "client.  Added: median of the differences within a repetition.",
            ],
        )
    ]
