"""`tickerplant export --format hftbacktest`: files `<symbol>_<YYYYMMDD>.npz` with the array `data`.

A file is a symbol on a UTC day of receive time.  Its events are buffered in a file until the day is
over, because hftbacktest needs them in two orders (`hftbacktest_rows.py`); the finished file appears
in one atomic rename.  Its comment identifies what it was made from, so that it is made only once.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import click
from msgspec import Struct

from tickerplant.archive.recording import infer_venue, manifest_of
from tickerplant.archive.selection import Selection
from tickerplant.config.settings import ExportSettings, is_quiet
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.hftbacktest_market import MAX_TIME_NS, Market, is_exported, is_symbol
from tickerplant.exporting.hftbacktest_rows import EventFile, comment_of, write_in_order
from tickerplant.exporting.holes import holes_of
from tickerplant.exporting.report import ExportReport, Shift, print_report
from tickerplant.formatting import printable
from tickerplant.own_folder import OwnFolder
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.line import Damage, RecordedFile, merge, share_read
from tickerplant.recording.manifest_entries import SegmentSealed
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.suggestions import one_of

MAX_BUFFERED_ROWS = 1 << 20
"""Events of all symbols in memory before they are written to their files."""

CHECK_INTERVAL_LINES = 1 << 12
"""How often the number of events in memory is checked."""

EXTRAS = frozenset({"book_tickers", "mark_prices"})
"""What can be exported in addition to books and trades."""

UNFINISHED_FOLDER = ".hftbacktest.unfinished"
"""The folder of unfinished files; those of an export that was killed are removed."""

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit statuses."""

_DAY_NS = 86_400 * 10**9
_MADE_BY = b"tickerplant hftbacktest 1 "
"""The beginning of the comment; its number changes if the same source gives a different file."""


class Totals(Struct, frozen=True):
    """What was exported."""

    files: int
    """Files written."""
    events: int
    """Rows in them."""
    kept: int = 0
    """Files that already existed, made from the same recordings."""
    skipped: Mapping[str, int] = {}
    """Messages that could not be exported, by reason."""
    symbols: frozenset[str] = frozenset()
    """Selected symbols that have files."""
    shifts: tuple[Shift, ...] = ()
    """The files whose local times are later than recorded."""


def export_hftbacktest(
    recordings: Sequence[RecordedFile],
    out: Path,
    *,
    symbols: frozenset[str],
    start_ns: int,
    end_ns: int,
    base_latency_ns: int = 0,
    extras: frozenset[str] = frozenset(),
    progress: Callable[[int], object] = lambda _: None,
) -> Totals:
    """Write what was received from `start_ns` to before `end_ns` into files in the folder `out`.

    Args:
        recordings: The recordings of one venue, which are merged by receive time.
        out: The folder; it is created if needed.
        symbols: The symbols to export, in capitals; empty for all.
        start_ns: The first receive time, ns since the epoch.
        end_ns: The end of receive times, exclusive.
        base_latency_ns: Added to local times if these have to be corrected.
        extras: `book_tickers` adds events 103 and 104, `mark_prices` index prices, mark prices and
            funding rates as 100, 101 and 102.
        progress: Called regularly with the number of messages read.

    Raises:
        ConfigError: `extras` has another name, the latency is negative, or another export is
            writing into the folder.
        RecordingError: A recording cannot be read, or a file cannot be written; no file is left
            incomplete.
    """
    for name in sorted(extras - EXTRAS):
        raise ConfigError("--extras", name, one_of(name, sorted(EXTRAS)))
    if base_latency_ns < 0:
        raise ConfigError("--base-latency-ns", base_latency_ns, "0 or more nanoseconds")
    try:
        OwnFolder(out).check_tree("*.npz")
        with _unfinished_folder(out) as unfinished:
            export = _Export(recordings, unfinished, out, symbols, base_latency_ns, extras)
            return export.run(start_ns, end_ns, progress)
    except OSError as error:
        path = str(error.filename or out)
        raise RecordingError(path, error.strerror or str(error)) from None


class _Export:
    """A running export."""

    def __init__(
        self,
        recordings: Sequence[RecordedFile],
        unfinished: Path,
        out: Path,
        symbols: frozenset[str],
        base_latency_ns: int,
        extras: frozenset[str],
    ) -> None:
        self._recordings = recordings
        self._unfinished_folder = unfinished
        self._out = out
        self._symbols = symbols
        self._base_latency_ns = base_latency_ns
        self._extras = extras
        self._sources = [_Source(recording) for recording in recordings]
        self._skipped: Counter[str] = Counter()
        self._files = self._events = self._kept = 0
        self._shifts: list[Shift] = []
        self._exported: set[str] = set()
        """Symbols that have files."""
        self._day: dict[str, EventFile | None] = {}
        """The event files of the day by symbol; None if a symbol is not exported."""
        self._date = ""
        self._fingerprint = b""

    def run(self, start_ns: int, end_ns: int, progress: Callable[[int], object]) -> Totals:
        markets = [
            Market(self._sink_of, self._extras, each.path, self._skipped)
            for each in self._recordings
        ]
        lines_read = checked = 0
        day_end_ns = 0
        for index, lines in merge(self._recordings, start_ns):
            take = markets[index].take
            for received_ns, raw in lines:
                if received_ns >= day_end_ns:
                    if received_ns >= MAX_TIME_NS:
                        self._skipped["messages from a receive time after 2099 on"] += 1
                    if received_ns >= min(end_ns, MAX_TIME_NS):
                        break
                    self._end_day()
                    day_end_ns = min(self._begin_day(received_ns, start_ns, end_ns), end_ns)
                take(received_ns, raw)
            else:
                lines_read += len(lines)
                if lines_read - checked >= CHECK_INTERVAL_LINES:
                    checked = lines_read
                    progress(lines_read)
                    self._write_if_many()
                continue
            break
        self._end_day()
        progress(lines_read)
        return Totals(
            self._files,
            self._events,
            self._kept,
            dict(self._skipped),
            self._symbols & self._exported,
            tuple(self._shifts),
        )

    def _begin_day(self, received_ns: int, start_ns: int, end_ns: int) -> int:
        """Begin the day of a receive time; return its end."""
        first_ns = received_ns // _DAY_NS * _DAY_NS
        last_ns = first_ns + _DAY_NS
        self._date = datetime.fromtimestamp(first_ns // 10**9, UTC).strftime("%Y%m%d")
        identities = [source.of_day(first_ns, last_ns) for source in self._sources]
        between = max(start_ns, first_ns), min(end_ns, last_ns)
        text = repr((identities, between, self._base_latency_ns, sorted(self._extras)))
        self._fingerprint = _MADE_BY + sha256(text.encode()).hexdigest().encode()
        return last_ns

    def _target(self, symbol: str) -> Path:
        return self._out / f"{symbol}_{self._date}.npz"

    def _sink_of(self, symbol: str) -> EventFile | None:
        """Return the event file of a symbol on this day; None if it is not exported."""
        try:
            return self._day[symbol]
        except KeyError:
            events = self._day[symbol] = self._event_file(symbol)
            return events

    def _event_file(self, symbol: str) -> EventFile | None:
        if not is_symbol(symbol):
            self._skipped["a symbol that cannot be a file name"] += 1
            return None
        if self._symbols and symbol not in self._symbols:
            return None
        if comment_of(self._target(symbol)) == self._fingerprint:
            self._kept += 1
            self._exported.add(symbol)
            return None
        return EventFile(self._unfinished_folder / f"{symbol}.rows")

    def _write_if_many(self) -> None:
        files = [each for each in self._day.values() if each is not None]
        if sum(each.buffered for each in files) >= MAX_BUFFERED_ROWS:
            for each in files:
                each.write()

    def _end_day(self) -> None:
        """Write the `.npz` files of the day."""
        for symbol, events in self._day.items():
            if events is not None:
                events.write()
                if events.dropped:
                    self._skipped[
                        "a price or quantity that is invalid, too large, or has too many decimals"
                    ] += events.dropped
                self._finish(symbol, events)
        self._day.clear()

    def _finish(self, symbol: str, events: EventFile) -> None:
        if events.rows:
            made = events.path.with_suffix(".npz")
            latency_ns = self._base_latency_ns
            written = write_in_order(events.path, made, latency_ns, self._fingerprint)
            self._events += written.rows
            target = self._target(symbol)
            OwnFolder(self._out).check(target.name)
            made.replace(target)
            if written.shift_ns:
                self._shifts.append(
                    Shift(
                        file=target.name, shift_ns=written.shift_ns, early_rows=written.early_rows
                    )
                )
            self._files += 1
            self._exported.add(symbol)
        events.path.unlink()


class _Source:
    """Identifies the part of a recording that a day is made from."""

    def __init__(self, recording: RecordedFile) -> None:
        self._path = Path(recording.path)
        self._segments: list[tuple[Path, SegmentSealed | None]] = []
        if isinstance(recording, Segments):
            manifest = recording.manifest()
            sealed = manifest.sealed if manifest else {}
            self._segments = [(path, sealed.get(path.name)) for path in recording.files()]

    def of_day(self, first_ns: int, end_ns: int) -> list[object]:
        """Return a value that changes if the data of a day changes."""
        if not self._segments:
            return _of_file(self._path)
        identity: list[object] = []
        for path, sealed in self._segments:
            if sealed is None:
                identity += _of_file(path)
            elif sealed.first_ns < end_ns and sealed.last_ns >= first_ns:
                identity += [sealed.name, sealed.sha256]
        return identity


def _of_file(path: Path) -> list[object]:
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


@contextmanager
def _unfinished_folder(out: Path) -> Iterator[Path]:
    """Create the folder of unfinished files, empty, and remove it afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    with OwnFolder(out).inside(UNFINISHED_FOLDER, creates=True) as opened:
        handle = os.dup(opened)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("--out", str(out), "a folder not in use by another export") from None
        for path in (out / UNFINISHED_FOLDER).iterdir():
            OwnFolder(out).remove(f"{UNFINISHED_FOLDER}/{path.name}")
        try:
            yield out / UNFINISHED_FOLDER
        finally:
            rmtree(out / UNFINISHED_FOLDER, ignore_errors=True)
    finally:
        os.close(handle)


# The command


def export_npz(
    settings: ExportSettings, paths: Sequence[str], selection: Selection, out: Path
) -> int:
    """Export the recordings at `paths`; with several venues, each into its own folder.

    Raises:
        ConfigError: A setting does not apply to hftbacktest.
        RecordingError: There is no recording at a path.
    """
    if settings.tables:
        raise ConfigError("--tables", ",".join(settings.tables), "to be left out for hftbacktest")
    damages: list[Damage] = []

    def warn(damage: Damage) -> None:
        damages.append(damage)
        progress.clear()
        click.echo(f"! {printable(str(damage))}", err=True)

    listed: list[RecordedFile] = []
    progress = Progress(
        "export",
        lambda: share_read(listed),
        status_line=StatusLine(is_quiet=is_quiet(settings.log_level)),
    )
    recordings = _by_venue(recorded_files(paths, warn))
    listed += [each for several in recordings.values() for each in several]
    totals: list[Totals] = []
    try:
        for venue, several in recordings.items():
            OwnFolder(out).check_tree(venue)
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
        holes = holes_of(
            paths,
            selection,
            partial(is_exported, extras=frozenset(settings.extras)),
            follows_books=True,
        )
    except KeyboardInterrupt:
        progress.clear()
        click.echo("interrupted; run the same command to finish", err=True)
        return INTERRUPTED
    except RecordingError as error:
        progress.clear()
        click.echo(printable(f"tickerplant: {error}"), err=True)
        return FAILED
    progress.clear()
    report = ExportReport(
        format=settings.format,
        out=str(out),
        rows={"events": sum(each.events for each in totals)},
        files=sum(each.files for each in totals),
        files_kept=sum(each.kept for each in totals),
        left_out=dict(sum((Counter(each.skipped) for each in totals), Counter())),
        damage=[str(each) for each in damages],
        missing_symbols=sorted(selection.symbols.difference(*(each.symbols for each in totals))),
        shifts=[shift for each in totals for shift in each.shifts],
        seconds=round(progress.seconds, 3),
    )
    for reason, count in report.left_out.items():
        click.echo(printable(f"! left out {count:,}: {reason}"), err=True)
    print_report(report, settings, holes)
    return DONE if report.is_complete else FAILED


def _by_venue(recordings: Sequence[RecordedFile]) -> dict[str, list[RecordedFile]]:
    found: defaultdict[str, list[RecordedFile]] = defaultdict(list)
    for recording in recordings:
        manifest = manifest_of(recording)
        quiet = recorded_files([recording.path])[0]
        found[manifest.venue if manifest else infer_venue(quiet) or "usdm"].append(recording)
    return found
