"""The command line: `python -m compat [PROGRAM…] [--profile PROFILE] [--recipes] [--lock]`."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime

import click

from compat import recipes
from compat.environment import ENVIRONMENTS, ROOT, lock, python_of
from compat.libraries import PROFILES, PROGRAMS, Program
from compat.market import simulated
from compat.matrix import Row, page
from compat.network import Network, environment_of
from compat.trial import Outcome, Result, Server

PAGE = ROOT / "docs" / "reference" / "compatibility.md"
AT_ONCE = 3
"""Programs that run at the same time; most of their time is waiting."""
NETWORK = Network()
PROGRAM_TIMEOUT_S = 480.0
"""After this long a program is ended, and that is a failure."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([program.name for program in PROGRAMS]))
@click.option("--profile", "profiles", multiple=True, type=click.Choice(PROFILES))
@click.option(
    "--recipes", "recipes_only", is_flag=True, help="Run the programs of the how-to only."
)
@click.option("--lock", "locking", is_flag=True, help="Pin the packages anew; needs uv.")
def main(
    names: tuple[str, ...], profiles: tuple[str, ...], *, recipes_only: bool, locking: bool
) -> None:
    """Run public client libraries, all or those named, against simulated markets.

    A run is in a network that leads nowhere, and refuses to begin elsewhere.  A run of everything
    writes the page; any run ends with 1 if something failed, or tried to reach another machine.
    """
    programs = [program for program in PROGRAMS if not names or program.name in names]
    try:
        for program in programs:
            click.echo(f"{program.name}: {', '.join(program.libraries)}")
            (lock if locking else python_of)(program.name)
        if locking:
            return
        NETWORK.isolate()
        rows = [
            row
            for profile in profiles or PROFILES
            for row in _tried(programs, profile, recipes_only=recipes_only)
        ]
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from None
    if not (names or profiles or recipes_only):
        date = datetime.now(UTC).date().isoformat()
        PAGE.write_text(page(rows, date, platform.python_version()), encoding="utf-8")
        click.echo(f"Written: {PAGE.relative_to(ROOT)}")
    failed = sum(row.result.outcome is Outcome.FAILED for row in rows)
    click.echo(f"{len(rows) - failed} passed, {failed} failed")
    raise SystemExit(1 if failed else 0)


def _tried(programs: list[Program], profile: str, *, recipes_only: bool) -> list[Row]:
    """Run programs against a market of a profile; return what they found."""

    def found_by(program: Program) -> list[Result]:
        server = servers[program.market]
        found = [] if recipes_only else list(_results(program, server))
        shown = list(recipes.tried(program, server))
        _show(program, f"{profile}, recipes", shown)
        return found + shown

    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        servers = {
            kind: stack.enter_context(
                simulated(profile, kind, ENVIRONMENTS / f"market-{profile}-{kind.name.lower()}.log")
            )
            for kind in dict.fromkeys(program.market for program in programs)
        }
        rows = [
            Row(profile, result) for results in pool.map(found_by, programs) for result in results
        ]
    if number := NETWORK.left():
        asked = f"; names asked: {', '.join(sorted(NETWORK.asked))}" if NETWORK.asked else ""
        rows.append(_failure(profile, f"{number} packets for other machines{asked}"))
    elif NETWORK.asked:
        rows.append(_failure(profile, f"names asked: {', '.join(sorted(NETWORK.asked))}"))
    NETWORK.asked.clear()
    return rows


def _failure(profile: str, reason: str) -> Row:
    """Return the row of what tried to leave this machine."""
    click.echo(f"tried to leave this machine: {reason}")
    return Row(profile, Result("any", "", "", "network", "loopback only", Outcome.FAILED, reason))


def _results(program: Program, server: Server) -> Iterator[Result]:
    """Run one program; yield its results, and one more if it did not end well."""
    log = ENVIRONMENTS / f"{program.name}-{server.profile}.log"
    command = [str(python_of(program.name)), "-m", f"compat.programs.{program.name}"]
    start_s = time.monotonic()
    with log.open("w", encoding="utf-8") as errors:
        try:
            done = subprocess.run(  # noqa: S603  # our own words
                [*command, json.dumps(asdict(server))],
                cwd=ROOT, env=environment_of(ROOT, ROOT / "src"), stdout=subprocess.PIPE, stderr=errors,
                text=True, timeout=PROGRAM_TIMEOUT_S, check=False,
            )  # fmt: skip
            text, end = done.stdout, "" if done.returncode == 0 else f"exit {done.returncode}"
        except subprocess.TimeoutExpired as expired:
            text, end = (expired.stdout or b"").decode(), f"not over after {PROGRAM_TIMEOUT_S:g} s"
    lasted_s = time.monotonic() - start_s
    results = [_read(line) for line in text.splitlines()]
    if end:
        reason = f"{end}; see {log.relative_to(ROOT)}"
        library = program.libraries[0]
        results.append(Result(library, "", "", "program", program.name, Outcome.FAILED, reason))
    _show(program, f"{server.profile}, {lasted_s:.0f} s", results)
    yield from results


def _read(line: str) -> Result:
    fields = json.loads(line)
    return Result(**fields | {"outcome": Outcome(fields["outcome"])})


def _show(program: Program, what: str, results: list[Result]) -> None:
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    click.echo(f"{program.name}, {what}: {len(results) - len(failed)} of {len(results)} work")
    for result in failed:
        click.echo(f"  {result.venue} {result.kind} {result.name}: {result.reason}")


if __name__ == "__main__":
    main()
