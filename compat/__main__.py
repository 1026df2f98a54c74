"""The command line: `python -m compat [PROGRAM…] [--profile PROFILE] [--recipes] [--lock]`."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from tempfile import TemporaryFile

import click

from compat import recipes
from compat.environment import ENVIRONMENTS, ROOT, lock, problem_of, python_of
from compat.libraries import PROFILES, PROGRAMS, Program
from compat.market import simulated
from compat.matrix import page
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
        results = [
            result
            for profile in profiles or PROFILES
            for result in _tried(programs, profile, recipes_only=recipes_only)
        ]
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from None
    if not (names or profiles or recipes_only):
        date = datetime.now(UTC).date().isoformat()
        PAGE.write_text(page(results, date, platform.python_version()), encoding="utf-8")
        click.echo(f"Written: {PAGE.relative_to(ROOT)}")
    failed = sum(result.outcome is Outcome.FAILED for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed")
    raise SystemExit(1 if failed else 0)


def _tried(programs: list[Program], profile: str, *, recipes_only: bool) -> list[Result]:
    """Run programs against a market of a profile; return what they found."""

    def found_by(program: Program) -> list[Result]:
        server = servers[program.market]
        found = [] if recipes_only else _results(program, server)
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
        results = [result for found in pool.map(found_by, programs) for result in found]
    names, packets = ", ".join(sorted(NETWORK.asked)) or "none", NETWORK.left()
    if packets or NETWORK.asked:
        reason = f"{packets} packets for other machines; names asked: {names}"
        click.echo(f"tried to leave this machine: {reason}")
        results += [Result("any", "", "", "network", "loopback only", Outcome.FAILED, reason)]
    NETWORK.asked.clear()
    return results


def _results(program: Program, server: Server) -> list[Result]:
    """Run one program; return its results, and one more if it did not end well."""
    log = ENVIRONMENTS / f"{program.name}-{server.profile}.log"
    module = f"compat.programs.{program.name}"
    command = [str(python_of(program.name)), "-m", module, json.dumps(asdict(server))]
    environment = environment_of(ROOT, ROOT / "src")
    start_s = time.monotonic()
    with TemporaryFile("w+", encoding="utf-8") as out:
        end = problem_of(command, PROGRAM_TIMEOUT_S, log, cwd=ROOT, env=environment, stdout=out)
        out.seek(0)
        found = [json.loads(line) for line in out]
    results = [Result(**fields | {"outcome": Outcome(fields["outcome"])}) for fields in found]
    if end:
        library = program.libraries[0]
        results.append(Result(library, "", "", "program", program.name, Outcome.FAILED, end))
    _show(program, f"{server.profile}, {time.monotonic() - start_s:.0f} s", results)
    return results


def _show(program: Program, what: str, results: list[Result]) -> None:
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    click.echo(f"{program.name}, {what}: {len(results) - len(failed)} of {len(results)} work")
    for result in failed:
        click.echo(f"  {result.venue} {result.kind} {result.name}: {result.reason}")


if __name__ == "__main__":
    main()
