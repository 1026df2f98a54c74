"""A recording: its messages, typed or raw, its tables, and its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from msgspec import structs

from tickerplant.archive.coverage import (
    Coverage,
    coverage_of,
    coverage_of_lines,
    first_time_ns,
    outside,
    refuse_outside,
)
from tickerplant.archive.message_reader import OF_ONE_SYMBOL, MessageReader
from tickerplant.archive.recorded_books import BooksReader, first_ns
from tickerplant.archive.selection import (
    Missing,
    Selection,
    is_offset,
    missing_names,
    offset_ns,
)
from tickerplant.archive.snapshots import first_streams
from tickerplant.archive.tables import (
    TABLES,
    Numbers,
    Table,
    TableName,
    table_named,
    table_of,
)
from tickerplant.decode.inference import venue_of
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.feed.order_book import OrderBook
from tickerplant.formatting import iso_text, printable
from tickerplant.libraries import library
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.message import Message
from tickerplant.recording.line import Damage, Line, RecordedFile, merge
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import MANIFEST, RecordingStarted, read_entry
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import Instant, instant_ns
from tickerplant.regular_files import open_regular
from tickerplant.stream_name import upper_case

if TYPE_CHECKING:  # a type checker without these libraries takes their types for Any
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from tickerplant.archive.arrow import Batcher

_log = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MAX_DAMAGE = 1_000
"""Entries of `damage` that are kept."""
BATCH_ROWS = 65_536
"""About the rows of a batch of a table, by default."""
SHOWN_PATHS = 3
"""Paths that `repr` shows; of further ones it shows the number."""
FIRST_LINE_BYTES = 1 << 12
"""The maximum length of the first line of a manifest."""
MAX_INSPECTED_LINES = 1_000
"""Lines of a recording without a manifest from which its venue is inferred."""


def open_recording(
    path: str | PathLike[str],
    *paths: str | PathLike[str],
    streams: Iterable[str] = (),
    symbols: Iterable[str] = (),
    start: Instant | None = None,
    end: Instant | None = None,
) -> Recording:
    """Open the recording at one or more paths; several are merged in order of time.

    Files are opened as they are read, and closed when an iteration finishes or is abandoned.

        recording = tickerplant.open_recording("tape", symbols=["BTCUSDT"], start="2026-11-22", end="+1h")
        for message in recording:
            print(message.received_ns, message.symbol, type(message).__name__)

    Args:
        path: The folder of a recording, a folder of such folders, a segment, or a file of lines.
        *paths: Further ones.
        streams: Read only these, see `Recording.select`.
        symbols: Read only messages about these symbols.
        start: Read only messages received at this time or later.
        end: Read only messages received before this time; `+1h` is an hour after the start.

    Raises:
        ConfigError: A stream, symbol or time is not in the recording, or a time is invalid.
        RecordingError: There is no recording at a path.
    """
    opened = Recording(tuple(fspath(each) for each in (path, *paths)))
    if not (streams or symbols) and start is None and end is None:
        return opened
    return opened.select(streams=streams, symbols=symbols, start=start, end=end)


class Recording:
    """An open recording; iterate it as often as you like.

    Iteration yields the typed messages of its streams in the order in which they were received,
    and the elements of arrays one by one.

        for message in tickerplant.open_recording("tape").select(symbols=["BTCUSDT"]):
            print(message.received_ns, message.symbol, type(message).__name__)

    Damaged data is skipped and listed in `damage`; messages that cannot be decoded are skipped
    and counted in `unreadable`.  Memory grows with the manifest, not with the messages.
    """

    def __init__(self, paths: tuple[str, ...], selection: Selection | None = None) -> None:
        self._paths = paths
        self._selection = selection or Selection()
        self._damage: dict[Damage, None] = {}
        self._readers: list[MessageReader] = []
        self._manifests: list[Manifest | None] | None = None
        self._are_manifests_intact = False
        self._coverage: Coverage | None = None
        self._batcher: Batcher | None = None
        """Of the last reading, if it was of a table."""
        recorded_files(paths)  # raises if there is nothing

    def __repr__(self) -> str:
        """Return paths and venue, and the number of streams once the manifests were read."""
        facts = [", ".join(self._paths[:SHOWN_PATHS])]
        if more := len(self._paths[SHOWN_PATHS:]):
            facts[0] += f" and {more} more"
        try:
            venues = sorted(set(filter(None, map(_manifest_venue, self._recordings()))))
        except RecordingError:  # it was removed
            venues = []
        if venues:
            facts.append(f"{'market' if len(venues) == 1 else 'markets'} {' and '.join(venues)}")
        if self._manifests is not None and any(self._manifests):
            streams = len(self.streams)
            facts.append(f"{streams} {'stream' if streams == 1 else 'streams'}")
        return f"<Recording {printable(', '.join(facts))}>"

    def select(
        self,
        *,
        streams: Iterable[str] = (),
        symbols: Iterable[str] = (),
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> Recording:
        """Return a view of the recording restricted to a subset.

        A stream or symbol that is not in the recording is refused if the manifests list what was
        recorded; without them, it is logged as a warning after each reading.

            hour = recording.select(streams=["btcusdt@trade"], start="2026-11-22T09:00", end="+1h")

        Args:
            streams: Only these, by their full names such as `btcusdt@depth@100ms`.
            symbols: Only messages about these symbols; pair streams match no symbol.
            start: Only messages received at this time or later: an ISO date (UTC unless it has a
                time zone), a `datetime`, ns since the epoch, or an offset from the beginning (`+5m`)
                or the end (`-5m`) of the recording.
            end: Only messages received before this time; the offset `+1h` is counted from `start`,
                or from the beginning of the recording if there is none.

        Raises:
            ConfigError: A stream, symbol or time is not in the recording, a time is invalid, or the
                end is not after the start.  For a start after the end of a file of lines, the first
                reading raises it.
            RecordingError: A recording cannot be read at all.
        """
        before = self._selection
        names = [streams] if isinstance(streams, str) else streams
        chosen = [symbols] if isinstance(symbols, str) else symbols
        selection = Selection(
            streams=frozenset(names) or before.streams,
            symbols=frozenset(map(upper_case, chosen)) or before.symbols,
            end_ns=before.end_ns,
            start_ns=before.start_ns if start is None else self._time_ns("start", start, 0),
        )
        if end is not None:
            end_ns = self._time_ns("end", end, selection.start_ns)
            selection = structs.replace(selection, end_ns=end_ns)
        if selection.end_ns <= selection.start_ns:
            raise ConfigError(
                "end", iso_text(selection.end_ns), f"after {iso_text(selection.start_ns)}"
            )
        if start is not None or end is not None:
            refuse_outside(self._recordings(), selection)
        if (names or chosen) and self._is_content_listed:
            recorded = self.streams
            for missing in missing_names(selection, recorded, self._listed_symbols()):
                if missing.is_certain:
                    raise missing.refusal(self._shown_paths, len(recorded))
                self._warn_of(missing)
        return Recording(self._paths, selection)

    def _time_ns(self, name: str, value: Instant, start_ns: int) -> int:
        """Return a time that was given; an offset counts from `start_ns`, or from the end."""
        if not is_offset(value):
            return instant_ns(name, value)
        by_ns = offset_ns(name, value)
        if by_ns < 0:
            covered = coverage_of(self._recordings())
            return max((covered.last_ns if covered else 0) + by_ns, 0)
        return (start_ns or first_time_ns(self._recordings()) or 0) + by_ns

    @property
    def _shown_paths(self) -> str:
        return printable(", ".join(self._paths[:SHOWN_PATHS]))

    @property
    def _is_content_listed(self) -> bool:
        """Whether intact manifests list everything that was recorded."""
        return all(self._read_manifests()) and self._are_manifests_intact

    # Messages

    def __iter__(self) -> Iterator[Message]:
        """Yield the messages of the streams, typed.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        return self._typed(snapshots=False)

    def with_snapshots(self) -> Iterator[Message]:
        """Yield the messages and, among them, the recorded depth snapshots.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        return self._typed(snapshots=True)

    def with_books(
        self, *, live_only: bool = False
    ) -> Iterator[tuple[Message, Mapping[str, OrderBook]]]:
        """Yield the messages, each with the order books as of it, by symbol.

        A book is built from a recorded snapshot and the recorded depth updates, those before the
        start of the selection included, whether or not their streams are selected.  Its `state` and
        `reason` say whether it can be trusted: after a gap in the recording it is `syncing` until
        the next snapshot.  If several speeds were recorded, it is that of the fastest that is in
        sync.  Symbols that are selected, or of which the manifest or the first 20,000 messages have
        depth updates, have a book from the beginning; without a snapshot yet it is `syncing`.
        Others without depth updates have none.

            for message, books in recording.with_books():
                if isinstance(message, Trade):
                    print(message.price, books[message.symbol].mid)

        The mapping and the books are the same objects all the time: `books["BTCUSDT"].copy()`
        keeps a book as it is.

        Args:
            live_only: Whether to yield only messages about a symbol whose book is in sync.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        recordings, manifests = self._recordings(), self._read_manifests()
        paths = [each.path for each in recordings]
        listed = {
            stream
            for path, each in zip(paths, manifests, strict=True)
            for stream in (each.streams if each else first_streams(path))
        }
        reader = BooksReader(self._selection, paths, listed)
        self._batcher = None
        self._readers = reader.readers
        lines = self._lines(recordings, first_ns(self._selection, manifests))
        return chain(reader.read(lines, live_only=live_only), self._end())

    def snapshots(self) -> Iterator[DepthSnapshot]:
        """Yield the depth snapshots that were recorded from REST.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        messages = self._typed(snapshots=True)
        return (each for each in messages if isinstance(each, DepthSnapshot))

    def raw(self) -> Iterator[tuple[int, bytes]]:
        """Yield receive times in ns and the raw bytes that were received.

        These are a WebSocket message, or `<address> <body>` for a REST response.  With selected
        streams or symbols, they are the WebSocket messages that contain a selected message, the
        depth snapshots of selected books, and the other REST responses that are not about another
        symbol.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        recordings = self._recordings()
        lines = self._lines(recordings)
        if not (self._selection.streams or self._selection.symbols):
            return chain.from_iterable(each for _, each in lines)
        readers = [
            MessageReader(self._selection, payloads=False, path=each.path) for each in recordings
        ]
        return chain.from_iterable(readers[index].select_lines(each) for index, each in lines)

    def _typed(self, *, snapshots: bool) -> Iterator[Message]:
        recordings = self._recordings()
        self._batcher = None
        self._readers = [
            MessageReader(self._selection, snapshots=snapshots, path=each.path)
            for each in recordings
        ]
        readers = self._readers
        read = (readers[index].read(lines) for index, lines in self._lines(recordings))
        return chain(chain.from_iterable(read), self._end())

    def _end(self) -> Iterator[Never]:
        """Warn after a reading about missing streams, unless a manifest listed them; yield nothing."""
        if not self._is_content_listed:
            recorded = frozenset[str]().union(*(each.streams for each in self._readers))
            for missing in missing_names(self._selection, recorded):
                self._warn_of(missing)
        yield from ()

    def _warn_of(self, missing: Missing) -> None:
        names = printable(str(missing))
        _log.warning("%s: no message of the %s %s", self._shown_paths, missing.kind, names)

    def _listed_symbols(self) -> set[str]:
        return {symbol for each in self._read_manifests() if each for symbol in each.symbols}

    def _lines(
        self, recordings: list[RecordedFile], from_ns: int | None = None
    ) -> Iterator[tuple[int, list[Line]]]:
        start_ns, end_ns = self._selection.start_ns, self._selection.end_ns
        is_empty = True
        for index, lines in merge(recordings, start_ns if from_ns is None else from_ns):
            is_empty = False
            if lines[-1][0] < end_ns:
                yield index, lines
            else:
                if kept := [line for line in lines if line[0] < end_ns]:
                    yield index, kept
                return
        if is_empty and start_ns and (covered := coverage_of(recordings)):
            raise outside("start", start_ns, covered)

    def _recordings(self) -> list[RecordedFile]:
        """Return the recordings, with new counters for each reading."""
        return recorded_files(self._paths, self._report)

    def _report(self, damage: Damage) -> None:
        if len(self._damage) < MAX_DAMAGE:
            self._damage[damage] = None

    # Tables

    def batches(
        self, table: TableName, numbers: Numbers = "decimal", batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table as `pyarrow.RecordBatch`.

        Args:
            table: Its name, one of `tables`.
            numbers: How it holds prices and quantities: `decimal`, `float` or `text`.
            batch_rows: About the rows of a batch; a single message may bring more.

        Raises:
            ConfigError: There is no such table.
            MissingLibraryError: pyarrow is not installed.
            RecordingError: A recording cannot be read at all.
        """
        row = table_named(table)
        return self._batches(row, _batcher(row, numbers, batch_rows, "batches()"))

    def _batches(self, table: Table, batcher: Batcher) -> Iterator[pa.RecordBatch]:
        recordings = self._recordings()
        venues = self._venues(recordings)
        wanted = partial(_is_of, table)
        self._batcher = batcher
        self._readers = [
            MessageReader(
                self._selection,
                snapshots=table.takes_snapshots,
                payloads=False,
                wanted=wanted,
                path=each.path,
            )
            for each in recordings
        ]
        for index, lines in self._lines(recordings):
            for _, batch in batcher.take(self._readers[index].read(lines), venues[index]):
                yield batch
        for _, batch in batcher.rest():
            yield batch
        yield from self._end()

    def arrow(self, table: TableName, numbers: Numbers = "decimal") -> pa.Table:
        """Return a table as `pyarrow.Table`, entirely in memory.

            trades = recording.arrow("trades", numbers="float")

        Raises:
            ConfigError: There is no such table.
            MissingLibraryError: pyarrow is not installed.
            RecordingError: A recording cannot be read at all.
        """
        return self._arrow(table, numbers, "arrow()")

    def _arrow(self, table: TableName, numbers: Numbers, purpose: str) -> Any:
        row = table_named(table)
        batcher = _batcher(row, numbers, BATCH_ROWS, purpose)
        batches, schema = self._batches(row, batcher), batcher.converters[table].schema
        return library("pyarrow", purpose).Table.from_batches(batches, schema)

    def polars(self, table: TableName, numbers: Numbers = "decimal") -> pl.DataFrame:
        """Return a table as `polars.DataFrame`, entirely in memory.

        Raises:
            ConfigError: There is no such table.
            MissingLibraryError: polars or pyarrow is not installed.
            RecordingError: A recording cannot be read at all.
        """
        frame: pl.DataFrame = library("polars", "polars()").from_arrow(
            self._arrow(table, numbers, "polars()")
        )
        return frame

    def pandas(self, table: TableName, numbers: Numbers = "decimal") -> pd.DataFrame:
        """Return a table as `pandas.DataFrame`, entirely in memory.

        Exact numbers become `decimal.Decimal`, which is slow to compute with; `float` is fast.

        Raises:
            ConfigError: There is no such table.
            MissingLibraryError: pandas or pyarrow is not installed.
            RecordingError: A recording cannot be read at all.
        """
        library("pandas", "pandas()")
        return self._arrow(table, numbers, "pandas()").to_pandas()

    @property
    def tables(self) -> tuple[TableName, ...]:
        """The names of all tables, with or without rows."""
        return tuple(table.name for table in TABLES)

    # What is known

    @property
    def manifest(self) -> Manifest | None:
        """The manifest; None if there is none, or if several recordings are open."""
        manifests = self._read_manifests()
        return manifests[0] if len(manifests) == 1 else None

    @property
    def venue(self) -> str:
        """`usdm` or `coinm`; empty if it contains both or the venue is unknown."""
        venues = set(self._venues(self._recordings()))
        return venues.pop() if len(venues) == 1 else ""

    @property
    def streams(self) -> frozenset[str]:
        """Streams listed in the manifests, plus those seen in the last iteration."""
        listed = {
            stream
            for each in self._read_manifests()
            if each
            for stream in each.streams | set(each.counts)
        }
        return frozenset(listed.union(*(each.streams for each in self._readers)))

    @property
    def start(self) -> datetime:
        """When the first selected message was received, UTC, in whole microseconds.

        The recording is read completely for the first of `start`, `end` and `duration` if streams
        or symbols are selected, or if it is a file of lines.

        Raises:
            RecordingError: There is no selected message, or a recording cannot be read at all.
        """
        return _datetime(self._covered().first_ns)

    @property
    def end(self) -> datetime:
        """When the last selected message was received, UTC, in whole microseconds; see `start`.

        Raises:
            RecordingError: There is no selected message, or a recording cannot be read at all.
        """
        return _datetime(self._covered().last_ns)

    @property
    def duration(self) -> timedelta:
        """The time from `start` to `end`; see there.

        Raises:
            RecordingError: There is no selected message, or a recording cannot be read at all.
        """
        return self.end - self.start

    def _covered(self) -> Coverage:
        self._coverage = self._coverage or self._read_coverage()
        if self._coverage is None:
            raise RecordingError(self._shown_paths, "contains no selected message")
        return self._coverage

    def _read_coverage(self) -> Coverage | None:
        chosen = self._selection
        if chosen.streams or chosen.symbols:
            return coverage_of_lines(self.raw())
        return coverage_of(self._recordings(), chosen.start_ns, chosen.end_ns)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What was found damaged or missing so far; at most the first 1,000 entries."""
        return tuple(self._damage)

    @property
    def unreadable(self) -> int:
        """Messages that the last reading skipped: invalid, or not fit for its table."""
        rejected = self._batcher.rejected if self._batcher else 0
        return sum(each.unreadable for each in self._readers) + rejected

    @property
    def unreadable_reason(self) -> str:
        """Why the first message was skipped; empty if none was.

        For one that does not fit into a table, the recording is read again to find its place.
        """
        reason = next(filter(None, (each.reason for each in self._readers)), "")
        rejected = self._batcher.first_rejected if self._batcher else None
        if reason or rejected is None:
            return reason
        return rejected.describe(recorded_files(self._paths))

    def _read_manifests(self) -> list[Manifest | None]:
        if self._manifests is None:
            damage: list[Damage] = []
            recordings = recorded_files(self._paths, damage.append)
            self._manifests = [manifest_of(each) for each in recordings]
            self._are_manifests_intact = not damage
            for each in damage:
                self._report(each)
        return self._manifests

    def _venues(self, recordings: list[RecordedFile]) -> list[str]:
        """Return the venue of each recording; empty where each symbol decides."""
        return [
            manifest.venue if manifest else infer_venue(recording)
            for manifest, recording in zip(self._read_manifests(), recordings, strict=True)
        ]


def _datetime(time_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_ns // 1_000)


def _batcher(table: Table, numbers: Numbers, batch_rows: int, purpose: str) -> Batcher:
    arrow = library("tickerplant.archive.arrow", purpose)
    batcher: Batcher = arrow.Batcher((table,), numbers, batch_rows)
    return batcher


def _is_of(table: Table, stream: str) -> bool:
    return table_of(stream) is table


def manifest_of(recording: RecordedFile) -> Manifest | None:
    """Return the manifest of a recording; None if there is none."""
    return recording.manifest() if isinstance(recording, Segments) else None


def _manifest_venue(recording: RecordedFile) -> str:
    try:
        with open_regular(Path(recording.path, MANIFEST)) as file:
            entry = read_entry(file.readline(FIRST_LINE_BYTES))
    except (OSError, ValueError):
        return ""
    return entry.venue if isinstance(entry, RecordingStarted) else ""


def infer_venue(recording: RecordedFile) -> str:
    """Return the venue of the first symbols in a recording; empty if it is unclear."""
    reader = MessageReader(Selection(), payloads=False, path=recording.path)
    inspected = 0
    for lines in recording.batches():
        for message in reader.read(lines):
            if type(message) in OF_ONE_SYMBOL:
                return venue_of(message.symbol).name
        inspected += len(lines)
        if inspected >= MAX_INSPECTED_LINES:
            break
    return ""
