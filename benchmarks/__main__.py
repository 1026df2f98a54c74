"""The command line: `python -m benchmarks [NAME] …`, the names being those below."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import msgspec

from benchmarks import (
    catalogue,
    client,
    crowd,
    edges,
    endurance,
    fanout,
    idle_faults,
    kit,
    latency,
    message_filter,
    pace,
    plant_room,
    questions,
    recording,
    relay,
    replay,
    simulation,
    truth,
    window,
)
from benchmarks.machine import description, processes
from benchmarks.table import Table

BENCHMARKS: dict[str, Callable[..., list[Table]]] = {
    "fanout": fanout.run,
    "simulation": simulation.run,
    "catalogue": catalogue.run,
    "replay": replay.run,
    "recording": recording.run,
    "latency": latency.run,
    "pace": pace.run,
    "client": client.run,
    "relay": relay.run,
    "crowd": crowd.run,
    "isolation": crowd.run_isolation,
    "edges": edges.run,
    "idle_faults": idle_faults.run,
    "kit": kit.run,
    "questions": questions.run,
    "plant_room": plant_room.run,
    "message_filter": message_filter.run,
    "truth": truth.run,
    "window": window.run,
}
PICTURES = Path("build", "bench")
ENDURANCE = "endurance"
"""Takes an hour, so it runs only when it is named."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS, ENDURANCE]))
@click.option("--quick", is_flag=True, help="Fewer and shorter repetitions: a look, no figure.")
@click.option("--json", "json_path", metavar="FILE", help="Write the results here too.")
@click.option(
    "--pictures",
    "pictures_dir",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    default=PICTURES,
    help="Write the tables as pictures, and a page of them, here [build/bench].",
)
@click.option(
    "--capture",
    "captures",
    metavar="PATH",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Replay this recording (gzip) and not one made here; may be repeated.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=100),
    help=f"Connections of `crowd` [{crowd.CONNECTIONS:,}], clients of `isolation` [{crowd.ORDINARY:,}].",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help=f"How long `endurance` takes [{endurance.MINUTES:g}].",
)
@click.option(
    "--copies",
    type=click.IntRange(min=1, max=10),
    default=endurance.COPIES,
    help=f"Connections that carry each stream of `endurance` [{endurance.COPIES}].",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME=VALUE",
    multiple=True,
    help="Another value for a fault of `endurance`, such as reset=30s; may be repeated.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.1, max=100),
    default=1.0,
    help="How much faster than the clock the market of `endurance` runs, and is cut [1].",
)
@click.option(
    "--logs",
    "log_dir",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False),
    help="Keep here what server and client of `endurance` log.",
)
def main(
    names: tuple[str, ...],
    *,
    quick: bool,
    json_path: str | None,
    pictures_dir: Path,
    captures: tuple[str, ...],
    connections: int | None,
    minutes: float | None,
    copies: int,
    speed: float,
    faults: tuple[str, ...],
    log_dir: str | None,
) -> None:
    """Measure the plant on this machine, all of it or the benchmarks NAMES."""
    click.echo(f"{description()}\n")
    benchmarks = BENCHMARKS | {
        "replay": partial(replay.run, captures=captures),
        "crowd": partial(crowd.run, connections=connections),
        "isolation": partial(crowd.run_isolation, connections=connections),
    }
    tables: list[Table] = []
    failures: list[str] = []
    for name in names or tuple(BENCHMARKS):
        if name == ENDURANCE:  # it makes its own processes, and can be interrupted
            outcome = endurance.run(
                quick=quick,
                minutes=minutes,
                copies=copies,
                faults=dict(fault.split("=", 1) for fault in faults),
                speed=speed,
                log_dir=log_dir,
            )
            found = outcome.tables
            failures += outcome.failures
        else:
            found = _in_own_process(partial(benchmarks[name], quick=quick))
        for table in found:
            tables.append(table)
            click.echo(table.text() + "\n")
    click.echo(f"Pictures: {_written(pictures_dir, tables)}")
    if json_path:
        results = {"machine": description(), "tables": tables}
        Path(json_path).write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if failures:
        raise click.ClickException("; ".join(failures))


def _written(folder: Path, tables: list[Table]) -> Path:
    """Write the pictures; return the path of their folder.

    The processes that measure import this module, so what draws is imported only here.
    """
    from benchmarks.plot import write_pictures  # noqa: PLC0415

    return write_pictures(folder, tables)


def _in_own_process(run: Callable[[], list[Table]]) -> list[Table]:
    """Return what `run` finds in a process that has done nothing before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=processes()) as pool:
        return pool.submit(run).result()


if __name__ == "__main__":
    main()
