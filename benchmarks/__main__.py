"""The command line: `python -m benchmarks [NAME] …`, the names being those below."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import msgspec

from benchmarks import (
    client,
    crowd,
    edges,
    endurance,
    fanout,
    kit,
    questions,
    recording,
    relay,
    replay,
    simulation,
    window,
)
from benchmarks.machine import description, processes
from benchmarks.table import Table

BENCHMARKS: dict[str, Callable[..., list[Table]]] = {
    "fanout": fanout.run,
    "simulation": simulation.run,
    "replay": replay.run,
    "recording": recording.run,
    "client": client.run,
    "relay": relay.run,
    "crowd": crowd.run,
    "edges": edges.run,
    "kit": kit.run,
    "questions": questions.run,
    "window": window.run,
}
ENDURANCE = "endurance"
"""Takes minutes and can fail, so it runs only when it is named."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS, ENDURANCE]))
@click.option("--quick", is_flag=True, help="Fewer and shorter repetitions: a look, no figure.")
@click.option("--json", "json_path", metavar="FILE", help="Write the results here too.")
@click.option(
    "--connections",
    type=click.IntRange(min=100),
    help=f"Connections of `crowd` [{crowd.CONNECTIONS:,}].",
)
@click.option(
    "--minutes",
    type=click.IntRange(min=1),
    help=f"Minutes of market time of `endurance` [{endurance.MINUTES}].",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, max=100),
    default=0.0,
    help="Let the market of `endurance` run: 1 is the pace of the clock, 0 steps of a minute [0].",
)
def main(
    names: tuple[str, ...],
    *,
    quick: bool,
    json_path: str | None,
    connections: int | None,
    minutes: int | None,
    speed: float,
) -> None:
    """Measure the plant on this machine, all of it or the benchmarks NAMES."""
    if sys.platform != "linux":
        raise click.ClickException("CPU time is read from /proc, so it needs Linux")
    click.echo(f"{description()}\n")
    benchmarks = BENCHMARKS | {"crowd": partial(crowd.run, connections=connections)}
    tables: list[Table] = []
    failures: list[str] = []
    for name in names or tuple(BENCHMARKS):
        if name == ENDURANCE:
            outcome = endurance.run(quick=quick, minutes=minutes, speed=speed)
            found = outcome.tables
            failures += outcome.failures
        else:
            found = _in_own_process(partial(benchmarks[name], quick=quick))
        for table in found:
            tables.append(table)
            click.echo(table.text() + "\n")
    if json_path:
        results = {"machine": description(), "tables": tables}
        Path(json_path).write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if failures:
        raise click.ClickException("; ".join(failures))


def _in_own_process(run: Callable[[], list[Table]]) -> list[Table]:
    """Return what `run` finds in a process that has done nothing before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=processes()) as pool:
        return pool.submit(run).result()


if __name__ == "__main__":
    main()
