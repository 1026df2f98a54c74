"""`tickerplant export`: recordings as files of other tools.

Units are exported one by one and recorded in the journal of the folder, so that an export that was
interrupted, or whose recording has grown, resumes where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

import click

from tickerplant.archive.coverage import coverage_of
from tickerplant.archive.selection import END_NS, Selection
from tickerplant.archive.tables import TABLES
from tickerplant.config.settings import ExportSettings, is_quiet
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.buffers import LIMITS, Limits
from tickerplant.exporting.csv_files import CsvWriter
from tickerplant.exporting.holes import holes_of
from tickerplant.exporting.journal import (
    VERSIONS,
    Finished,
    Journal,
    Options,
    head_of,
    opened_journal,
)
from tickerplant.exporting.parquet import ParquetWriter
from tickerplant.exporting.report import ExportReport, print_report
from tickerplant.exporting.unit_export import UnitExport, is_in_tables
from tickerplant.exporting.units import Unit, units_of
from tickerplant.exporting.writer import Writer
from tickerplant.formatting import encodable, iso_text, printable
from tickerplant.logs import configure, logger
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.capture import Capture, companions_text
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import segment_paths
from tickerplant.regular_files import open_regular
from tickerplant.suggestions import one_of

_NAMES = tuple(table.name for table in TABLES)
DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit statuses."""


def export(settings: ExportSettings, paths: Sequence[str], limits: Limits = LIMITS) -> int:
    """Export the recordings at `paths`; return the exit status.

    Raises:
        ConfigError: A setting is invalid, or the folder belongs to another export.
        RecordingError: There is no recording at a path, or the folder cannot be created.
    """
    configure(level=settings.log_level)
    if not settings.out:
        raise ConfigError("--out", settings.out, "the folder to write into")
    if settings.numbers != "decimal" and settings.format != "parquet":
        raise ConfigError("--numbers", settings.numbers, "to be left out, except for parquet")
    out = Path(settings.out)
    if out.exists() and not out.is_dir():
        raise RecordingError(settings.out, "is a file; give a folder")
    if (recording := _recording_around(out)) is not None:
        reason = f"a folder of its own, {recording} is a recording"
        raise ConfigError("--out", settings.out, reason)
    start_ns, end_ns = _times(paths, settings)
    selection = Selection(
        symbols=frozenset(symbol.upper() for symbol in settings.symbols),
        start_ns=start_ns,
        end_ns=end_ns,
    )
    _refuse_outside(paths, start_ns, end_ns)
    _report_companions(paths)
    try:
        writer: Writer = (
            CsvWriter(out)
            if settings.format == "csv"
            else ParquetWriter(out, settings.numbers, limits)
        )
        return _Export(settings, selection, writer, out, limits).run(paths)
    except OSError as error:
        if not out.is_dir():
            raise RecordingError(str(out), error.strerror or str(error)) from None
        where = printable(str(error.filename or out))
        click.echo(
            f"tickerplant: {where}: {error.strerror or printable(str(error))}; "
            "finished files are kept; run the same command to resume",
            err=True,
        )
        return FAILED


def _times(paths: Sequence[str], settings: ExportSettings) -> tuple[int, int]:
    """Return the first receive time and the end of the times to export.

    The recording is only read for offsets.

    Raises:
        RecordingError: A recording cannot be read.
    """
    begin, end = settings.begin, settings.end
    first_ns, last_ns = 0, END_NS
    if any(spec is not None and spec.sign for spec in (begin, end)) and (
        covered := coverage_of(recorded_files(paths))
    ):
        first_ns, last_ns = covered.first_ns, covered.last_ns
    start_ns = begin.at(first_ns, last_ns) if begin else 0
    return start_ns, end.at(max(start_ns, first_ns), last_ns) if end else END_NS


def _refuse_outside(paths: Sequence[str], start_ns: int, end_ns: int) -> None:
    """Refuse times outside the recording.

    Raises:
        ConfigError: They are before its first message or after its last.
    """
    if end_ns <= start_ns:
        raise ConfigError("--to", iso_text(end_ns), f"a time after --from, {iso_text(start_ns)}")
    try:
        recorded = recorded_files(paths)
        is_over = bool(start_ns) and not any(any(each.batches(start_ns)) for each in recorded)
        is_early = end_ns < END_NS and end_ns <= min(
            lines[0][0] for each in recorded for lines in islice(each.batches(), 1)
        )
        if not (is_over or is_early):
            return
        covered = coverage_of(recorded)
    except ConfigError:
        raise
    except (RecordingError, ValueError):  # damage is reported by the export
        return
    bounds = f"the recording is from {covered}"
    if is_over:
        raise ConfigError("--from", iso_text(start_ns), f"a time before the end; {bounds}")
    raise ConfigError("--to", iso_text(end_ns), f"a time after the beginning; {bounds}")


def _report_companions(paths: Sequence[str]) -> None:
    """Report which files are read in addition to the named ones."""
    for recorded in recorded_files(paths):
        if isinstance(recorded, Capture):
            _print(f"= {companions_text(recorded.path, recorded.companions)}")


def _recording_around(out: Path) -> Path | None:
    """Return the recording that a folder is or is in; None if it is in none."""
    absolute = out.resolve()
    return next((each for each in (absolute, *absolute.parents) if _holds_recording(each)), None)


def _holds_recording(folder: Path) -> bool:
    """Whether a folder contains a manifest or a segment, not just a file named like one."""
    if (folder / MANIFEST).is_file():
        return True
    for path in segment_paths(str(folder)):
        with suppress(OSError), open_regular(path) as file:
            if is_block(file.read(HEAD_BYTES)):
                return True
    return False


class _Export:
    """One run of an export that goes unit by unit."""

    def __init__(
        self,
        settings: ExportSettings,
        selection: Selection,
        writer: Writer,
        out: Path,
        limits: Limits,
    ) -> None:
        self._selection = selection
        self._writer = writer
        self._out = out
        self._limits = limits
        self._named = settings.tables
        self._tables = _tables(settings, writer)
        self._options = Options(
            format=settings.format,
            tables=tuple(sorted(self._tables)),
            symbols=tuple(sorted(selection.symbols)),
            start_ns=selection.start_ns,
            end_ns=selection.end_ns,
            numbers=settings.numbers if settings.format == "parquet" else "text",
            version=VERSIONS[settings.format],
        )
        self._damage: list[str] = []
        self._messages = 0
        self._read_bytes = 0
        self._size_bytes = 1
        self._settings = settings
        self._progress = Progress(
            "export",
            lambda: self._read_bytes / self._size_bytes,
            status_line=StatusLine(is_quiet=is_quiet(settings.log_level)),
        )

    def run(self, paths: Sequence[str]) -> int:
        """Export; return the exit status."""
        units = units_of(paths, lambda damage: self._warn(str(damage)))
        self._size_bytes = max(sum(unit.size_bytes for unit in units), 1)
        with opened_journal(self._out, self._options, self._writer.patterns) as journal:
            done: list[Finished] = []
            try:
                self._units(units, journal, done)
                files = self._writer.complete(journal)
                has_stream = partial(is_in_tables, self._tables)
                holes = holes_of(paths, self._selection, has_stream)
            except KeyboardInterrupt:
                self._progress.clear()
                print_report(self._report(done, None, is_interrupted=True), self._settings)
                _print(
                    f"interrupted after {len(done)} of {len(units)} files; "
                    "run the same command to resume"
                )
                return INTERRUPTED
            finally:
                self._progress.clear()
        report = self._report(done, files)
        print_report(report, self._settings, holes)
        return DONE if report.is_complete else FAILED

    def _units(self, units: Sequence[Unit], journal: Journal, done: list[Finished]) -> None:
        behind_bytes = 0
        skipped = 0
        for unit in units:
            finished = journal.find(unit)
            if finished is None:
                finished = self._unit(unit, journal, behind_bytes)
                logger().debug("= exported", file=unit.path, messages=finished.messages)
                self._messages += finished.messages
            else:
                skipped += 1
                for damage in finished.damage:
                    self._warn(damage)
            done.append(finished)
            behind_bytes += unit.size_bytes
        if skipped:
            self._progress.clear()
            self._inform(f"{skipped} of {len(units)} files were exported before")

    def _unit(self, unit: Unit, journal: Journal, behind_bytes: int) -> Finished:
        """Export a unit, entirely or not at all."""
        number = journal.number_of(unit)

        def progress(position_bytes: int, messages: int) -> None:
            self._read_bytes = behind_bytes + position_bytes
            self._progress.report(self._messages + messages)

        self._writer.begin(number)
        exported = UnitExport(
            unit, self._selection, self._tables, self._writer, progress, self._warn, self._limits
        )
        try:
            exported.run()
            parts = self._writer.finish()
        except BaseException:
            self._writer.abandon()
            raise
        totals = exported.totals
        head_bytes, head = head_of(unit)
        finished = Finished(
            number=number,
            path=encodable(unit.path),
            size_bytes=unit.size_bytes,
            digest=unit.digest,
            head_bytes=head_bytes,
            head=head,
            messages=totals.messages,
            rows=dict(totals.rows),
            symbols=tuple(sorted(totals.symbols)),
            parts=parts,
            unreadable=totals.unreadable,
            damage=tuple(map(encodable, totals.damage)),
        )
        journal.write(finished)
        return finished

    def _inform(self, text: str) -> None:
        if not is_quiet(self._settings.log_level):
            _print(text)

    def _warn(self, text: str) -> None:
        self._damage.append(text)
        self._progress.clear()
        click.echo(f"! {printable(text)}", err=True)

    def _report(
        self, done: Sequence[Finished], files: int | None, *, is_interrupted: bool = False
    ) -> ExportReport:
        rows = _rows(done)
        return ExportReport(
            format=self._settings.format,
            out=str(self._out),
            rows={table.name: rows[table.name] for table in TABLES if rows[table.name]},
            files=files,
            damage=self._damage,
            missing_tables=[]
            if is_interrupted
            else [name for name in self._named if not rows[name]],
            missing_symbols=[] if is_interrupted else self._unrecorded(done),
            interrupted=is_interrupted,
            seconds=round(self._progress.seconds, 3),
        )

    def _unrecorded(self, done: Sequence[Finished]) -> list[str]:
        """Return the selected symbols without rows."""
        return sorted(self._selection.symbols.difference(*(each.symbols for each in done)))


def _tables(settings: ExportSettings, writer: Writer) -> frozenset[str]:
    """Return the tables to export.

    Raises:
        ConfigError: There is no such table, or the format does not support it.
    """
    for name in settings.tables:
        if name not in _NAMES:
            raise ConfigError("--tables", name, one_of(name, _NAMES))
        if name not in writer.tables:
            listed = ", ".join(table.name for table in TABLES if table.name in writer.tables)
            raise ConfigError("--tables", name, f"one that the archive's CSV has: {listed}")
    return frozenset(settings.tables) or writer.tables


def _rows(done: Sequence[Finished]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for finished in done:
        rows.update(finished.rows)
    return rows


def _print(text: str) -> None:
    click.echo(printable(text), err=True)
