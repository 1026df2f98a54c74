"""`tickerplant export --to hftbacktest`: the files of hftbacktest, venue by venue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import click

from tickerplant.archive.recording import infer_venue, manifest_of
from tickerplant.archive.selection import Selection
from tickerplant.config.settings import ExportSettings
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.hftbacktest import Totals, export_hftbacktest
from tickerplant.formatting import printable
from tickerplant.progress import Progress
from tickerplant.recording.line import Damage, RecordedFile, share_read
from tickerplant.recording.opening import recorded_files

DONE, FAILED, INTERRUPTED = 0, 1, 130


def export_npz(
    settings: ExportSettings, paths: Sequence[str], selection: Selection, out: Path
) -> int:
    """Export what is recorded at `paths`; of several venues each into a folder of its own.

    Raises:
        ConfigError: there is a setting that has no meaning here.
        RecordingError: there is nothing at a path, or no recording.
    """
    if settings.tables:
        raise ConfigError("--tables", ",".join(settings.tables), "to be left out for hftbacktest")
    flaws: list[Damage] = []

    def warn(flaw: Damage) -> None:
        flaws.append(flaw)
        progress.clear()
        click.echo(f"! {printable(str(flaw))}", err=True)

    listed: list[RecordedFile] = []
    progress = Progress("export", lambda: share_read(listed))
    recordings = _by_venue(recorded_files(paths, warn))
    listed += [each for several in recordings.values() for each in several]
    totals: list[Totals] = []
    try:
        for venue, several in recordings.items():
            totals.append(
                export_hftbacktest(
                    several,
                    out / venue if len(recordings) > 1 else out,
                    symbols=selection.symbols,
                    start_ns=selection.start_ns,
                    end_ns=selection.end_ns,
                    base_latency_ns=settings.base_latency_ns,
                    extras=frozenset(settings.extras),
                    progress=progress.report,
                )
            )
    except KeyboardInterrupt:
        progress.clear()
        click.echo("interrupted; the same command makes what is missing", err=True)
        return INTERRUPTED
    except RecordingError as error:
        progress.clear()
        click.echo(printable(f"tickerplant: {error}"), err=True)
        return FAILED
    progress.clear()
    return _end(totals, flaws, selection.symbols, progress.seconds)


def _by_venue(recordings: Sequence[RecordedFile]) -> dict[str, list[RecordedFile]]:
    found: defaultdict[str, list[RecordedFile]] = defaultdict(list)
    for recording in recordings:
        manifest = manifest_of(recording)
        quiet = recorded_files([recording.path])[0]
        found[manifest.venue if manifest else infer_venue(quiet) or "usdm"].append(recording)
    return found


def _end(
    totals: Sequence[Totals], flaws: Sequence[Damage], wanted: frozenset[str], seconds: float
) -> int:
    files = sum(each.files for each in totals)
    kept = sum(each.kept for each in totals)
    events = sum(each.events for each in totals)
    left_out = [item for each in totals for item in each.left_out.items()]
    for reason, count in left_out:
        click.echo(printable(f"! left out {count:,}: {reason}"), err=True)
    written = f"in {files:,} {'file' if files == 1 else 'files'}"
    stayed = f"; {kept:,} more {'was' if kept == 1 else 'were'} there already" if kept else ""
    click.echo(f"events: {events:,}, {written}{stayed}; {seconds:.1f} s", err=True)
    unheard = wanted.difference(*(each.symbols for each in totals))
    if unheard:
        click.echo(printable(f"nothing was recorded of {', '.join(sorted(unheard))}"), err=True)
    elif not files and not kept:
        click.echo("nothing was recorded that hftbacktest has an event for", err=True)
    return FAILED if flaws or left_out or unheard or not (files or kept) else DONE
