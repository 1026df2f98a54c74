"""A recording: its messages, typed or raw, its tables, and its manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tickerplant.archive.libraries import library
from tickerplant.archive.message_reader import OF_ONE_SYMBOL, MessageReader
from tickerplant.archive.selection import (
    Selection,
    missing_streams,
    missing_symbols,
)
from tickerplant.archive.tables import TABLES, Table, table_named, table_of
from tickerplant.decode.inference import venue_of
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.formatting import iso_text, printable
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.message import Message
from tickerplant.recording.block import walk
from tickerplant.recording.line import Damage, Line, RecordedFile, merge
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import MANIFEST, RecordingStarted, read_entry
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import LATEST_NS, Instant, instant_ns
from tickerplant.regular_files import open_regular

if TYPE_CHECKING:
    from tickerplant.archive.arrow import Converter

_log = logging.getLogger(__name__)

Numbers: TypeAlias = Literal["decimal", "float", "text"]
"""How a table holds prices and quantities: exact, as float64, or as the text that was received."""

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


def open_recording(path: str | PathLike[str], *paths: str | PathLike[str]) -> Recording:
    """Open the recording at one or more paths; several are merged in order of time.

    Files are opened as they are read, and closed when an iteration finishes or is abandoned.

    Args:
        path: The folder of a recording, a folder of such folders, a segment, or a file of lines.
        *paths: Further ones.

    Raises:
        RecordingError: There is no recording at a path.
    """
    return Recording(tuple(fspath(each) for each in (path, *paths)))


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
        self._converter: Converter | None = None
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

        A stream or symbol that is not in the recording is logged once as a warning: at once if the
        manifests list what was recorded, otherwise after the reading.

        Args:
            streams: Only these, by their full names such as `btcusdt@depth@100ms`.
            symbols: Only messages about these symbols; pair streams match no symbol.
            start: Only messages received at this time or later: an ISO date (UTC unless it has a
                time zone), a `datetime`, or ns since the epoch.
            end: Only messages received before this time.

        Raises:
            ConfigError: `start` or `end` is not a valid time, or the end is not after the start.
        """
        before = self._selection
        names = [streams] if isinstance(streams, str) else streams
        chosen = [symbols] if isinstance(symbols, str) else symbols
        selection = Selection(
            streams=frozenset(names) or before.streams,
            symbols=frozenset(each.upper() for each in chosen) or before.symbols,
            start_ns=before.start_ns if start is None else instant_ns("start", start),
            end_ns=before.end_ns if end is None else instant_ns("end", end),
        )
        if selection.end_ns <= selection.start_ns:
            raise ConfigError(
                "end", iso_text(selection.end_ns), f"after {iso_text(selection.start_ns)}"
            )
        if (names or chosen) and all(self._read_manifests()):
            self._warn_missing(selection, self.streams)
        return Recording(self._paths, selection)

    def _warn_missing(self, wanted: Selection, recorded: frozenset[str]) -> None:
        for kind, missing in (
            ("stream", missing_streams(wanted.streams, recorded)),
            ("symbol", missing_symbols(wanted.symbols, recorded)),
        ):
            if missing:
                paths = ", ".join(self._paths[:SHOWN_PATHS])
                _log.warning(
                    "%s: no message of the %s %s", printable(paths), kind, printable(missing)
                )

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

    def snapshots(self) -> Iterator[DepthSnapshot]:
        """Yield the depth snapshots that were recorded from REST.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        # A snapshot without a symbol is of the only one with depth updates before it.
        messages = self._typed(snapshots=True)
        return (each for each in messages if isinstance(each, DepthSnapshot))

    def raw(self) -> Iterator[Line]:
        """Yield receive times in ns and the raw bytes that were received.

        These are a WebSocket message, or `<address> <body>` for a REST response.  Filters on
        streams and symbols are ignored; only `start` and `end` apply.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        return chain.from_iterable(lines for _, lines in self._lines(self._recordings()))

    def _typed(self, *, snapshots: bool) -> Iterator[Message]:
        recordings = self._recordings()
        self._converter = None
        self._readers = [MessageReader(self._selection, snapshots=snapshots) for _ in recordings]
        readers = self._readers
        read = (readers[index].read(lines) for index, lines in self._lines(recordings))
        return chain(chain.from_iterable(read), self._end())

    def _end(self) -> Iterator[Message]:
        """Warn after a reading about missing streams, unless a manifest listed them; yield nothing."""
        if not all(self._read_manifests()):
            self._warn_missing(
                self._selection,
                frozenset[str]().union(*(each.streams for each in self._readers)),
            )
        yield from ()

    def _lines(self, recordings: list[RecordedFile]) -> Iterator[tuple[int, list[Line]]]:
        end_ns = self._selection.end_ns
        for index, lines in merge(recordings, self._selection.start_ns):
            if lines[-1][0] < end_ns:
                yield index, lines
            else:
                yield index, [line for line in lines if line[0] < end_ns]
                return

    def _recordings(self) -> list[RecordedFile]:
        """Return the recordings, with new counters for each reading."""
        return recorded_files(self._paths, self._report)

    def _report(self, damage: Damage) -> None:
        if len(self._damage) < MAX_DAMAGE:
            self._damage[damage] = None

    # Tables

    def batches(
        self, table: str, numbers: Numbers = "decimal", batch_rows: int = BATCH_ROWS
    ) -> Iterator[Any]:
        """Yield the rows of a table as `pyarrow.RecordBatch`.

        Args:
            table: Its name, one of `tables`.
            numbers: How it holds prices and quantities: `decimal`, `float` or `text`.
            batch_rows: About the rows of a batch; a single message may bring more.

        Raises:
            ConfigError: There is no such table.
            RecordingError: A recording cannot be read at all.
        """
        row = table_named(table)
        converter: Converter = library("tickerplant.archive.arrow").Converter(row, numbers)
        return self._batches(row, converter, batch_rows)

    def _batches(self, table: Table, converter: Converter, batch_rows: int) -> Iterator[Any]:
        recordings = self._recordings()
        venues = self._venues(recordings)
        wanted = partial(_is_of, table)
        self._converter = converter
        self._readers = [
            MessageReader(
                self._selection, snapshots=table.takes_snapshots, payloads=False, wanted=wanted
            )
            for _ in recordings
        ]
        readers = self._readers
        messages: list[Message] = []
        origins: list[str] = []
        rows = 0
        for index, lines in self._lines(recordings):
            found = list(readers[index].read(lines))
            messages += found
            origins += [venues[index] or venue_of(each.symbol).name for each in found]
            rows += len(found) if table.rows_of is None else sum(map(table.rows_of, found))
            if rows >= batch_rows:
                yield converter.batch(messages, origins)
                messages, origins, rows = [], [], 0
        if messages:
            yield converter.batch(messages, origins)
        yield from self._end()

    def arrow(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `pyarrow.Table`, entirely in memory.

        Raises:
            ConfigError: There is no such table.
            RecordingError: A recording cannot be read at all.
        """
        schema = library("tickerplant.archive.arrow").Converter(table_named(table), numbers).schema
        return library("pyarrow").Table.from_batches(self.batches(table, numbers), schema)

    def polars(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `polars.DataFrame`, if polars is installed.

        Raises:
            ConfigError: There is no such table, or polars is not installed.
            RecordingError: A recording cannot be read at all.
        """
        return library("polars").from_arrow(self.arrow(table, numbers))

    def pandas(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `pandas.DataFrame`, if pandas is installed.

        Exact numbers become `decimal.Decimal`, which is slow to compute with; `float` is fast.

        Raises:
            ConfigError: There is no such table, or pandas is not installed.
            RecordingError: A recording cannot be read at all.
        """
        library("pandas")
        return self.arrow(table, numbers).to_pandas()

    @property
    def tables(self) -> tuple[str, ...]:
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
    def span(self) -> tuple[int, int]:
        """First and last receive time in ns; zeros if the recording is empty.

        Files of lines are read completely.

        Raises:
            RecordingError: A recording cannot be read at all.
        """
        spans = [span for each in self._recordings() if (span := _span(each))]
        if not spans:
            return 0, 0
        return min(first for first, _ in spans), max(last for _, last in spans)

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What was found damaged or missing so far; at most the first 1,000 entries."""
        return tuple(self._damage)

    @property
    def unreadable(self) -> int:
        """Messages that the last reading skipped: invalid, or not fit for its table."""
        rejected = self._converter.rejected if self._converter else 0
        return sum(each.unreadable for each in self._readers) + rejected

    @property
    def unreadable_reason(self) -> str:
        """Why the first message was skipped; empty if none was.

        For one that does not fit into a table, the recording is read again to find its place.
        """
        reason = next(filter(None, (each.reason for each in self._readers)), "")
        rejected = self._converter.first_rejected if self._converter else None
        if reason or rejected is None:
            return reason
        return rejected.describe(recorded_files(self._paths))

    def _read_manifests(self) -> list[Manifest | None]:
        """Return the manifests, read once."""
        if self._manifests is None:
            self._manifests = [manifest_of(each) for each in self._recordings()]
        return self._manifests

    def _venues(self, recordings: list[RecordedFile]) -> list[str]:
        """Return the venue of each recording; empty where each symbol decides."""
        return [
            manifest.venue if manifest else infer_venue(recording)
            for manifest, recording in zip(self._read_manifests(), recordings, strict=True)
        ]


def _is_of(table: Table, stream: str) -> bool:
    return table_of(stream) is table


def manifest_of(recording: RecordedFile) -> Manifest | None:
    """Return the manifest of a recording; None if there is none."""
    return recording.manifest() if isinstance(recording, Segments) else None


def _manifest_venue(recording: RecordedFile) -> str:
    """Return the venue in the first line of a manifest; empty without one."""
    try:
        with open_regular(Path(recording.path, MANIFEST)) as file:
            entry = read_entry(file.readline(FIRST_LINE_BYTES))
    except (OSError, ValueError):
        return ""
    return entry.venue if isinstance(entry, RecordingStarted) else ""


def infer_venue(recording: RecordedFile) -> str:
    """Return the venue of the first symbols in a recording; empty if it is unclear."""
    reader = MessageReader(Selection(), payloads=False)
    inspected = 0
    for lines in recording.batches():
        for message in reader.read(lines):
            if type(message) in OF_ONE_SYMBOL:
                return venue_of(message.symbol).name
        inspected += len(lines)
        if inspected >= MAX_INSPECTED_LINES:
            break
    return ""


def _span(recording: RecordedFile) -> tuple[int, int] | None:
    """Return the first and last receive time of a recording; None if it is empty."""
    if isinstance(recording, Segments):
        heads = [head for path in recording.files() for head in _heads(path)]
        return (heads[0][0], max(last for _, last in heads)) if heads else None
    first_ns = last_ns = 0
    for lines in recording.batches():
        first_ns, last_ns = first_ns or lines[0][0], lines[-1][0]
    return (first_ns, last_ns) if first_ns else None


def _heads(path: Path) -> list[tuple[int, int]]:
    """Return the first and last time of each block of a segment; only block heads are read.

    Raises:
        RecordingError: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            blocks = walk(file, LATEST_NS + 1)
            return [(each.head.first_ns, each.head.last_ns) for each in blocks if each.head]
    except OSError as error:
        raise RecordingError(str(path), error.strerror or str(error)) from None
