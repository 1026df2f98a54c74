"""`tickerplant export`: recordings as files of other tools.

The work goes unit by unit; what is finished stands in the journal of the folder, so that an export
that was interrupted, or whose recording grew, goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import click

from tickerplant.archive.recording import open_recording
from tickerplant.archive.selection import END_NS, Selection
from tickerplant.archive.tables import TABLES
from tickerplant.config.settings import ExportSettings
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.csv_files import CsvWriter
from tickerplant.exporting.hftbacktest_export import export_npz
from tickerplant.exporting.journal import Finished, Journal, Options, head_of, opened_journal
from tickerplant.exporting.parquet import ParquetWriter
from tickerplant.exporting.piece import Piece
from tickerplant.exporting.units import Unit, units_of
from tickerplant.exporting.writer import Writer
from tickerplant.formatting import encodable, iso_text, printable
from tickerplant.logs import configure
from tickerplant.progress import Progress
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.capture import Capture, companions_text
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import segment_paths
from tickerplant.regular_files import open_regular
from tickerplant.suggestions import one_of

DONE, FAILED, INTERRUPTED = 0, 1, 130
_NAMES = tuple(table.name for table in TABLES)


def export(settings: ExportSettings, paths: Sequence[str]) -> int:
    """Export what is recorded at `paths`; return the exit status.

    Raises:
        ConfigError: a setting cannot be used, or the folder is that of another export.
        RecordingError: there is nothing at a path, or no recording, or the folder cannot be made.
    """
    configure()
    if not settings.out:
        raise ConfigError("--out", settings.out, "the folder to write into")
    if settings.numbers != "decimal" and settings.to != "parquet":
        raise ConfigError("--numbers", settings.numbers, "to be left out, except for parquet")
    out = Path(settings.out)
    if out.exists() and not out.is_dir():
        raise RecordingError(settings.out, "is a file; give a folder")
    if (recording := _recording_around(out)) is not None:
        reason = f"a folder of its own, {recording} is a recording"
        raise ConfigError("--out", settings.out, reason)
    selection = Selection(
        symbols=frozenset(symbol.upper() for symbol in settings.symbols),
        start_ns=settings.start_ns or 0,
        end_ns=settings.end_ns or END_NS,
    )
    _refuse_outside(paths, settings)
    _name_companions(paths)
    try:
        if settings.to == "hftbacktest":
            return export_npz(settings, paths, selection, out)
        for name in settings.extras:
            raise ConfigError("--extras", name, "to be left out, except for hftbacktest")
        writer: Writer = (
            CsvWriter(out) if settings.to == "csv" else ParquetWriter(out, settings.numbers)
        )
        return _Export(settings, selection, writer, out).run(paths)
    except OSError as error:
        if not out.is_dir():
            raise RecordingError(str(out), error.strerror or str(error)) from None
        where = printable(str(error.filename or out))
        click.echo(
            f"tickerplant: {where}: {error.strerror or printable(str(error))}; "
            "what is finished stays, and the same command goes on from there",
            err=True,
        )
        return FAILED


def _refuse_outside(paths: Sequence[str], settings: ExportSettings) -> None:
    """Refuse times at which nothing was recorded: before the first message, or after the last.

    Raises:
        ConfigError: they are such.
    """
    start_ns, end_ns = settings.start_ns or 0, settings.end_ns or END_NS
    if end_ns <= start_ns:
        raise ConfigError(
            "--to-time", iso_text(end_ns), f"a moment after --from, {iso_text(start_ns)}"
        )
    try:
        recorded = recorded_files(paths)
        is_over = bool(start_ns) and not any(any(each.batches(start_ns)) for each in recorded)
        is_early = end_ns < END_NS and end_ns <= min(
            lines[0][0] for each in recorded for lines in islice(each.batches(), 1)
        )
        if not (is_over or is_early):
            return
        first_ns, last_ns = open_recording(*paths).span
    except (RecordingError, ValueError):  # what is wrong is said when it is exported
        return
    bounds = f"the recording is from {iso_text(first_ns)} to {iso_text(last_ns)}"
    if is_over:
        raise ConfigError("--from", iso_text(start_ns), f"a moment before the end; {bounds}")
    raise ConfigError("--to-time", iso_text(end_ns), f"a moment after the beginning; {bounds}")


def _name_companions(paths: Sequence[str]) -> None:
    """Say which files are read besides those that were named."""
    for recorded in recorded_files(paths):
        if isinstance(recorded, Capture):
            _tell(f"= {companions_text(recorded.path, recorded.companions)}")


def _recording_around(out: Path) -> Path | None:
    """Return the recording that a folder is, or lies in; None if there is none."""
    whole = out.resolve()
    return next((each for each in (whole, *whole.parents) if _holds_recording(each)), None)


def _holds_recording(folder: Path) -> bool:
    """Whether a folder has a manifest or a segment; other files may have names like segments."""
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
        self, settings: ExportSettings, selection: Selection, writer: Writer, out: Path
    ) -> None:
        self._selection = selection
        self._writer = writer
        self._out = out
        self._named = settings.tables
        self._tables = _tables(settings, writer)
        self._options = Options(
            to=settings.to,
            tables=tuple(sorted(self._tables)),
            symbols=tuple(sorted(selection.symbols)),
            start_ns=selection.start_ns,
            end_ns=selection.end_ns,
            numbers=settings.numbers if settings.to == "parquet" else "text",
        )
        self._flaws: list[str] = []
        self._messages = 0
        self._read_bytes = 0
        self._size_bytes = 1
        self._progress = Progress("export", lambda: self._read_bytes / self._size_bytes)

    def run(self, paths: Sequence[str]) -> int:
        """Export; return the exit status."""
        units = units_of(paths, lambda flaw: self._warn(str(flaw)))
        self._size_bytes = max(sum(unit.size_bytes for unit in units), 1)
        with opened_journal(self._out, self._options, self._writer.patterns) as journal:
            done: list[Finished] = []
            try:
                self._units(units, journal, done)
                files = self._writer.complete(journal)
            except KeyboardInterrupt:
                self._progress.clear()
                _tell(_totals(done, None, self._progress.seconds))
                _tell(
                    f"interrupted after {len(done)} of {len(units)} files; "
                    "the same command goes on from there"
                )
                return INTERRUPTED
            finally:
                self._progress.clear()
        return self._end(done, files, self._progress.seconds)

    def _units(self, units: Sequence[Unit], journal: Journal, done: list[Finished]) -> None:
        behind_bytes = 0
        skipped = 0
        for unit in units:
            finished = journal.find(unit)
            if finished is None:
                finished = self._unit(unit, journal, behind_bytes)
                self._messages += finished.messages
            else:
                skipped += 1
                for flaw in finished.flaws:
                    self._warn(flaw)
            done.append(finished)
            behind_bytes += unit.size_bytes
        if skipped:
            self._progress.clear()
            _tell(f"{skipped} of {len(units)} files were exported before")

    def _unit(self, unit: Unit, journal: Journal, behind_bytes: int) -> Finished:
        """Export a unit; whatever happens, either all of it is there afterwards or nothing."""
        number = journal.number_of(unit)

        def tell(position_bytes: int, messages: int) -> None:
            self._read_bytes = behind_bytes + position_bytes
            self._progress.report(self._messages + messages)

        self._writer.begin(number)
        piece = Piece(unit, self._selection, self._tables, self._writer, tell, self._warn)
        try:
            piece.run()
            parts = self._writer.finish()
        except BaseException:
            self._writer.abandon()
            raise
        came = piece.came
        head_bytes, head = head_of(unit)
        finished = Finished(
            number=number,
            path=encodable(unit.path),
            size_bytes=unit.size_bytes,
            digest=unit.digest,
            head_bytes=head_bytes,
            head=head,
            messages=came.messages,
            rows=dict(came.rows),
            symbols=tuple(sorted(came.symbols)),
            parts=parts,
            unreadable=came.unreadable,
            flaws=tuple(map(encodable, came.flaws)),
        )
        journal.write(finished)
        return finished

    def _warn(self, text: str) -> None:
        self._flaws.append(text)
        self._progress.clear()
        click.echo(f"! {printable(text)}", err=True)

    def _end(self, done: Sequence[Finished], files: int, seconds: float) -> int:
        _tell(_totals(done, files, seconds))
        rows = _rows(done)
        absent = [name for name in self._named if not rows[name]]
        if absent:
            _tell(f"nothing was recorded for {', '.join(absent)}")
        unheard = self._unheard(done)
        if unheard:
            _tell(f"nothing was recorded of {', '.join(unheard)}")
        elif not rows and not absent:
            _tell("nothing was recorded that a table has a row for")
        return FAILED if self._flaws or absent or unheard or not rows else DONE

    def _unheard(self, done: Sequence[Finished]) -> list[str]:
        """Return the symbols that were asked for and have no row, as far as that is known."""
        heard: set[str] = set()
        for finished in done:
            if finished.symbols is None and finished.rows:
                return []
            heard.update(finished.symbols or ())
        return sorted(self._selection.symbols - heard)


def _tables(settings: ExportSettings, writer: Writer) -> frozenset[str]:
    """Return the tables to export.

    Raises:
        ConfigError: one is no table, or this form has it not.
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


def _totals(done: Sequence[Finished], files: int | None, seconds: float) -> str:
    """Return the last line of an export."""
    rows = _rows(done)
    told = [f"{table.name} {rows[table.name]:,}" for table in TABLES if rows[table.name]]
    shown = ", ".join(told) or "none"
    written = "" if files is None else f", in {files:,} {'file' if files == 1 else 'files'}"
    return f"rows: {shown}{written}; {seconds:.1f} s"


def _tell(text: str) -> None:
    click.echo(printable(text), err=True)
