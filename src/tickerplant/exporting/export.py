"""`tickerplant export`: recordings as Parquet, one segment or file of lines after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import click
import msgspec

from tickerplant.archive.coverage import coverage_of, times_between
from tickerplant.archive.message_reader import MessageReader
from tickerplant.archive.outage_log import Hole
from tickerplant.archive.selection import END_NS, Selection
from tickerplant.archive.tables import TABLES, table_of
from tickerplant.config.settings import ExportSettings, is_quiet
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.partitions import Partitions, path_part
from tickerplant.exporting.parts import OPTIONS, Unit, opened_parts, units_of
from tickerplant.exporting.report import ExportReport
from tickerplant.formatting import encodable, printable
from tickerplant.logs import configure
from tickerplant.own_folder import OwnFolder
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.capture import Capture, companions_text
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import NAME, segment_paths
from tickerplant.stream_name import parse_stream_name, upper_case
from tickerplant.suggestions import one_of

VERSION = "1"
"""The version of the columns: changes when the same source would give different files."""
MAX_DAMAGE = 1_000
"""Damages that are reported; of further ones the number is."""
DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit statuses."""
_NAMES = tuple(table.name for table in TABLES)


def export(settings: ExportSettings, paths: Sequence[str]) -> int:
    """Export the recordings at `paths`; return the exit status."""
    configure(level=settings.log_level)
    out = _folder(settings)
    for name in settings.tables:
        if name not in _NAMES:
            raise ConfigError("--tables", name, one_of(name, _NAMES))
    start_ns, end_ns = 0, END_NS
    if (settings.begin or settings.end) and (covered := coverage_of(recorded_files(paths))):
        start_ns, end_ns = times_between(settings.begin, settings.end, covered)
    symbols = frozenset(map(upper_case, settings.symbols))
    selection = Selection(symbols=symbols, start_ns=start_ns, end_ns=end_ns)
    for recorded in recorded_files(paths):
        if isinstance(recorded, Capture):
            _print(f"= {companions_text(recorded.path, recorded.companions)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _Export(settings, selection, OwnFolder(out)).run(paths)
    except OSError as error:
        reason = error.strerror or str(error)
        if not out.is_dir():
            raise RecordingError(str(out), reason) from None
        kept = "finished files are kept; run the same command to resume"
        _print(f"tickerplant: {error.filename or out}: {reason}; {kept}")
        return FAILED


def _folder(settings: ExportSettings) -> Path:
    """Return the folder to write into, which is in no recording."""
    if not settings.out:
        raise ConfigError("--out", settings.out, "the folder to write into")
    out = Path(settings.out)
    for each in (out.resolve(), *out.resolve().parents):
        segments = (NAME.fullmatch(path.name) for path in segment_paths(str(each)))
        if (each / MANIFEST).is_file() or any(segments):
            raise ConfigError("--out", settings.out, f"a folder of its own, {each} is a recording")
    return out


class _Export:
    """One run of an export, unit by unit."""

    def __init__(self, settings: ExportSettings, selection: Selection, folder: OwnFolder) -> None:
        self._settings = settings
        self._selection = selection
        self._folder = folder
        self._tables = sorted(settings.tables) or _NAMES
        self._options = _options_text(settings, selection)
        self._report = ExportReport(out=encodable(str(folder.path)))
        self._rows = Counter[str]()
        self._warnings = self._lines = self._read_bytes = 0
        self._size_bytes = 1
        self._progress = Progress(
            "export",
            lambda: self._read_bytes / self._size_bytes,
            status_line=StatusLine(is_quiet=is_quiet(settings.log_level)),
        )

    def run(self, paths: Sequence[str]) -> int:
        """Export; return the exit status."""
        report, held, done = self._report, list[str](), 0
        units = units_of(paths, lambda damage: self._warn(str(damage)))
        self._size_bytes = max(sum(unit.size_bytes for unit in units), 1)
        with opened_parts(self._folder, self._options) as parts:
            try:
                for unit in units:
                    behind_bytes = self._read_bytes
                    finished, outdated = parts.of(unit)
                    report.kept += bool(finished)
                    held += finished or self._export(unit, outdated)
                    done += 1
                    self._read_bytes = behind_bytes + unit.size_bytes
                report.add_holes(paths, self._is_exported)
            except KeyboardInterrupt:
                report.interrupted = True
            finally:
                self._progress.clear()
        if (more := self._warnings - MAX_DAMAGE) > 0:
            _print(f"! further damages: {more:,}")
        report.rows = {name: self._rows[name] for name in _NAMES if self._rows[name]}
        report.files, report.seconds = len(held), round(self._progress.seconds, 3)
        if not report.interrupted:
            self._report_missing({word for path in held for word in path.split("/")})
        if self._settings.json:
            click.echo(msgspec.json.format(msgspec.json.encode(report)))
        elif not is_quiet(self._settings.log_level):
            for line in report.lines(len(units)):
                _print(line)
        if report.interrupted:
            _print(
                f"interrupted after {done} of {len(units)} files; run the same command to resume"
            )
            return INTERRUPTED
        return DONE if report.is_complete else FAILED

    def _report_missing(self, there: Collection[str]) -> None:
        tables, symbols = self._settings.tables, sorted(self._selection.symbols)
        self._report.missing_tables = [each for each in tables if f"table={each}" not in there]
        self._report.missing_symbols = [
            each for each in symbols if f"symbol={path_part(each)}" not in there
        ]

    def _export(self, unit: Unit, outdated: Sequence[str]) -> list[str]:
        """Export a unit, entirely or not at all; return the paths of its parts."""
        numbers, footer = self._settings.numbers, {OPTIONS: self._options.encode()}
        partitions = Partitions(self._folder, unit, numbers, footer)
        try:
            self._read(unit, partitions)
            finished = partitions.finish(outdated)
        except BaseException:
            partitions.abandon()
            raise
        self._rows.update(partitions.rows)
        return finished

    def _read(self, unit: Unit, partitions: Partitions) -> None:
        chosen, behind_bytes, behind_lines = self._selection, self._read_bytes, self._lines
        recorded = recorded_files([unit.path], lambda damage: self._warn(str(damage)))[0]
        reader = MessageReader(
            chosen,
            snapshots=self._is_wanted(""),
            payloads=False,
            wanted=self._is_wanted,
            path=unit.path,
        )
        try:
            for lines in recorded.batches(chosen.start_ns):
                is_over = lines[-1][0] >= chosen.end_ns
                wanted = [line for line in lines if line[0] < chosen.end_ns] if is_over else lines
                partitions.take(reader.read(wanted))
                self._read_bytes = behind_bytes + recorded.stats.position_bytes
                self._lines = behind_lines + recorded.stats.lines
                self._progress.report(self._lines)
                if is_over:
                    break
        except RecordingError as error:
            self._warn(str(Damage(error.path, error.line, error.offset_bytes, error.reason)))
        partitions.flush()
        left_out, reason = partitions.left_out()
        if left_out := left_out + reader.unreadable:
            reason = reader.reason or reason
            self._warn(f"{unit.path}: messages left out: {left_out:,}; {reason}")

    def _is_wanted(self, stream: str) -> bool:
        table = table_of(stream)
        return table is not None and table.name in self._tables

    def _is_exported(self, hole: Hole) -> bool:
        chosen, stream = self._selection, hole.stream
        is_inside = chosen.start_ns <= hole.to_ns and hole.from_ns < chosen.end_ns
        topic = parse_stream_name(stream).topic.upper() if stream else ""
        is_of_chosen = not (chosen.symbols and topic) or topic in chosen.symbols
        return is_inside and is_of_chosen and (not stream or self._is_wanted(stream))

    def _warn(self, text: str) -> None:
        self._warnings += 1
        if self._warnings <= MAX_DAMAGE:
            self._report.damage.append(encodable(text))
            self._progress.clear()
            _print(f"! {text}")


def _options_text(settings: ExportSettings, selection: Selection) -> str:
    """Return the options that decide what is in the files, with the version of their columns."""
    values = {
        "tables": ",".join(sorted(settings.tables)),
        "symbols": encodable(",".join(sorted(selection.symbols))),
        "from": selection.start_ns,
        "to": selection.end_ns % END_NS,
        "numbers": settings.numbers,
    }
    options = " ".join(f"--{name} {value or 'all'}" for name, value in values.items())
    return f"an export with {options} and columns of version {VERSION}"


def _print(text: str) -> None:
    click.echo(printable(text), err=True)
