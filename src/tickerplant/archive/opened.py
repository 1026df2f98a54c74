"""A recording, opened: its messages typed or raw, its tables, and what is known of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tickerplant.archive.absent import absent_streams, absent_symbols
from tickerplant.archive.lanes import OF_ONE_SYMBOL, Lanes
from tickerplant.archive.libraries import library
from tickerplant.archive.selection import Instant, Selection, instant_ns
from tickerplant.archive.tables import TABLES, Table, table_named, table_of
from tickerplant.decode.inference import venue_of
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.formatting import iso_text, printable
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.message import Message
from tickerplant.recording.block import LATEST_NS, walk
from tickerplant.recording.line import Damage, Line, RecordedFile, merge
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import MANIFEST, RecordingStarted, read_entry
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.regular_files import open_regular

if TYPE_CHECKING:
    from tickerplant.archive.arrow import Converter

_log = logging.getLogger(__name__)

Numbers: TypeAlias = Literal["decimal", "float", "text"]
"""How prices and quantities stand in a table: exact, as float64, or as the exchange printed them."""

MAX_FLAWS = 1_000
"""Flaws that are kept; of more only the first are."""
BATCH_ROWS = 65_536
"""A batch of a table has about so many rows; a single message may bring more."""
SHOWN_PATHS = 3
"""Of more paths than these `repr` tells how many there are."""
FIRST_LINE_BYTES = 1 << 12
"""The first line of a manifest is no longer."""
LINES_TO_JUDGE = 1_000
"""The first lines of a recording without a manifest tell its venue."""


def open_recording(path: str | PathLike[str], *paths: str | PathLike[str]) -> OpenedRecording:
    """Open what is recorded at one or more paths; several are read as one, in order of time.

    Nothing stays open: files are opened as they are read, and closed at their end or when the
    reading is given up.

    Args:
        path: The folder of a recording, a folder of such folders, a segment, or a file of lines.
        *paths: More of them.

    Raises:
        RecordingError: There is nothing at a path, or no recording.
    """
    return OpenedRecording(tuple(fspath(each) for each in (path, *paths)))


class OpenedRecording:
    """A recording that can be read, as often as wanted, by `open_recording`.

    Iterated, it gives the typed messages of its streams in the order in which they were received;
    the elements of arrays come one by one.

        for message in tickerplant.open_recording("tape").select(symbols=["BTCUSDT"]):
            print(message.received_ns, message.symbol, type(message).__name__)

    What is damaged is left out and stands in `flaws`; messages that cannot be read are left out
    and counted in `unreadable`.  Memory does not grow with the messages, only with the manifest.
    """

    def __init__(self, paths: tuple[str, ...], selection: Selection | None = None) -> None:
        self._paths = paths
        self._selection = selection or Selection()
        self._flaws: dict[Damage, None] = {}
        self._lanes: list[Lanes] = []
        self._manifests: list[Manifest | None] | None = None
        self._converter: Converter | None = None
        """Of the last reading, if it was one of a table."""
        recorded_files(paths)  # says now if there is nothing

    def __repr__(self) -> str:
        """Return paths and venue, and how many streams there are once the manifests were read."""
        facts = [", ".join(self._paths[:SHOWN_PATHS])]
        if more := len(self._paths[SHOWN_PATHS:]):
            facts[0] += f" and {more} more"
        try:
            venues = sorted(set(filter(None, map(_venue_told, self._recordings()))))
        except RecordingError:  # it is gone
            venues = []
        if venues:
            facts.append(f"{'market' if len(venues) == 1 else 'markets'} {' and '.join(venues)}")
        if self._manifests is not None and any(self._manifests):
            streams = len(self.streams)
            facts.append(f"{streams} {'stream' if streams == 1 else 'streams'}")
        return f"<OpenedRecording {printable(', '.join(facts))}>"

    def select(
        self,
        *,
        streams: Iterable[str] = (),
        symbols: Iterable[str] = (),
        start: Instant | None = None,
        end: Instant | None = None,
    ) -> OpenedRecording:
        """Return the same recording, of which only a part is read.

        A stream or a symbol that is not in the recording is named in one warning of `logging`: at
        once where manifests tell what was recorded, else after the reading.

        Args:
            streams: Only these, by their full names such as `btcusdt@depth@100ms`.
            symbols: Only messages about these; messages about a pair are about no symbol of it.
            start: Only what was received then or later; an ISO date, which is UTC unless it says
                otherwise, a `datetime`, or ns since the epoch.
            end: Only what was received before; likewise.

        Raises:
            ConfigError: A moment is none, or the end is not after the start.
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
        if (names or chosen) and all(self._known()):
            self._say_absent(selection, self.streams)
        return OpenedRecording(self._paths, selection)

    def _say_absent(self, wanted: Selection, there: frozenset[str]) -> None:
        """Say which streams and symbols are wanted and not there."""
        for kind, absent in (
            ("stream", absent_streams(wanted.streams, there)),
            ("symbol", absent_symbols(wanted.symbols, there)),
        ):
            if absent:
                paths = ", ".join(self._paths[:SHOWN_PATHS])
                _log.warning(
                    "%s: no message of the %s %s", printable(paths), kind, printable(absent)
                )

    # Messages

    def __iter__(self) -> Iterator[Message]:
        """Yield the messages of the streams, typed.

        Raises:
            RecordingError: Nothing of a recording could be read.
        """
        return self._typed(snapshots=False)

    def with_snapshots(self) -> Iterator[Message]:
        """Yield the messages and, where they were recorded, the snapshots of books among them.

        Raises:
            RecordingError: Nothing of a recording could be read.
        """
        return self._typed(snapshots=True)

    def snapshots(self) -> Iterator[DepthSnapshot]:
        """Yield the snapshots of books that were asked for over REST.

        Raises:
            RecordingError: Nothing of a recording could be read.
        """
        # A snapshot may not say whose it is: which depth was heard before it tells.
        messages = self._typed(snapshots=True)
        return (each for each in messages if isinstance(each, DepthSnapshot))

    def raw(self) -> Iterator[Line]:
        """Yield receive times in ns and what was received, as it was received.

        That is the message of a WebSocket, or `<address> <body>` for an answer of REST.  All
        streams and symbols are among them; only `start` and `end` are looked at.

        Raises:
            RecordingError: Nothing of a recording could be read.
        """
        return chain.from_iterable(lines for _, lines in self._lines(self._recordings()))

    def _typed(self, *, snapshots: bool) -> Iterator[Message]:
        recordings = self._recordings()
        self._converter = None
        self._lanes = [Lanes(self._selection, snapshots=snapshots) for _ in recordings]
        lanes = self._lanes
        read = (lanes[index].read(lines) for index, lines in self._lines(recordings))
        return chain(chain.from_iterable(read), self._end())

    def _end(self) -> Iterator[Message]:
        """Say, at the end of a reading, what did not come, if no manifest said so before; yield nothing."""
        if not all(self._known()):
            self._say_absent(
                self._selection, frozenset[str]().union(*(lanes.streams for lanes in self._lanes))
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
        """Return the recordings, with counters of their own for each reading."""
        return recorded_files(self._paths, self._report)

    def _report(self, flaw: Damage) -> None:
        if len(self._flaws) < MAX_FLAWS:
            self._flaws[flaw] = None

    # Tables

    def batches(self, table: str, numbers: Numbers = "decimal") -> Iterator[Any]:
        """Yield the rows of a table as `pyarrow.RecordBatch`, some 65,536 at a time.

        Args:
            table: Its name, one of `tables`.
            numbers: How prices and quantities stand in it: `decimal`, `float` or `text`.

        Raises:
            ConfigError: There is no such table.
            RecordingError: Nothing of a recording could be read.
        """
        row = table_named(table)
        converter: Converter = library("tickerplant.archive.arrow").Converter(row, numbers)
        return self._batches(row, converter)

    def _batches(self, table: Table, converter: Converter) -> Iterator[Any]:
        recordings = self._recordings()
        venues = self._venues(recordings)
        wanted = partial(_is_of, table)
        self._converter = converter
        self._lanes = [
            Lanes(self._selection, snapshots=table.takes_snapshots, payloads=False, wanted=wanted)
            for _ in recordings
        ]
        lanes = self._lanes
        waiting: list[Message] = []
        origins: list[str] = []
        rows = 0
        for index, lines in self._lines(recordings):
            found = list(lanes[index].read(lines))
            waiting += found
            origins += [venues[index] or venue_of(each.symbol).name for each in found]
            rows += len(found) if table.rows_of is None else sum(map(table.rows_of, found))
            if rows >= BATCH_ROWS:
                yield converter.batch(waiting, origins)
                waiting, origins, rows = [], [], 0
        if waiting:
            yield converter.batch(waiting, origins)
        yield from self._end()

    def arrow(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `pyarrow.Table`; all of it is in memory.

        Raises:
            ConfigError: There is no such table.
            RecordingError: Nothing of a recording could be read.
        """
        schema = library("tickerplant.archive.arrow").Converter(table_named(table), numbers).schema
        return library("pyarrow").Table.from_batches(self.batches(table, numbers), schema)

    def polars(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `polars.DataFrame`, if polars is installed.

        Raises:
            ConfigError: There is no such table, or no polars.
            RecordingError: Nothing of a recording could be read.
        """
        return library("polars").from_arrow(self.arrow(table, numbers))

    def pandas(self, table: str, numbers: Numbers = "decimal") -> Any:
        """Return a table as `pandas.DataFrame`, if pandas is installed.

        Exact numbers are `decimal.Decimal` there, which take long to reckon with; `float` is fast.

        Raises:
            ConfigError: There is no such table, or no pandas.
            RecordingError: Nothing of a recording could be read.
        """
        library("pandas")
        return self.arrow(table, numbers).to_pandas()

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of all tables, whether or not there are rows for them."""
        return tuple(table.name for table in TABLES)

    # What is known

    @property
    def manifest(self) -> Manifest | None:
        """The manifest; None if there is none that can be read, or several recordings are open."""
        manifests = self._known()
        return manifests[0] if len(manifests) == 1 else None

    @property
    def venue(self) -> str:
        """`usdm` or `coinm`; empty if both are in it, or nothing tells."""
        venues = set(self._venues(self._recordings()))
        return venues.pop() if len(venues) == 1 else ""

    @property
    def streams(self) -> frozenset[str]:
        """What was recorded by the manifests, and what was met in the last reading."""
        told = {
            stream for each in self._known() if each for stream in each.streams | set(each.counts)
        }
        return frozenset(told.union(*(lanes.streams for lanes in self._lanes)))

    @property
    def span(self) -> tuple[int, int]:
        """First and last receive time in ns, of all that is recorded; zeros if there is nothing.

        Of files of lines the whole is read.

        Raises:
            RecordingError: Nothing of a recording could be read.
        """
        spans = [span for each in self._recordings() if (span := _span(each))]
        if not spans:
            return 0, 0
        return min(first for first, _ in spans), max(last for _, last in spans)

    @property
    def flaws(self) -> tuple[Damage, ...]:
        """What was found damaged or missing so far, at most the first 1,000."""
        return tuple(self._flaws)

    @property
    def unreadable(self) -> int:
        """Messages that the last reading left out: in no known form, or not fit for a table."""
        refused = self._converter.refused if self._converter else 0
        return sum(lanes.unreadable for lanes in self._lanes) + refused

    @property
    def unreadable_reason(self) -> str:
        """What was wrong with the first message that was left out; empty if none was.

        Of one that does not fit into a table, the recording is read for where it stands.
        """
        reason = next(filter(None, (lanes.reason for lanes in self._lanes)), "")
        refused = self._converter.first_refused if self._converter else None
        if reason or refused is None:
            return reason
        return refused.described(recorded_files(self._paths))

    def _known(self) -> list[Manifest | None]:
        """Return the manifests, read once."""
        if self._manifests is None:
            self._manifests = [manifest_of(each) for each in self._recordings()]
        return self._manifests

    def _venues(self, recordings: list[RecordedFile]) -> list[str]:
        """Return the venue of each recording; empty where it is to be told by each symbol."""
        return [
            manifest.venue if manifest else guessed_venue(recording)
            for manifest, recording in zip(self._known(), recordings, strict=True)
        ]


def _is_of(table: Table, stream: str) -> bool:
    return table_of(stream) is table


def manifest_of(recording: RecordedFile) -> Manifest | None:
    """Return the manifest of a recording; None if there is none."""
    return recording.manifest() if isinstance(recording, Segments) else None


def _venue_told(recording: RecordedFile) -> str:
    """Return the venue that the first line of a manifest tells; empty if none does."""
    try:
        with open_regular(Path(recording.path, MANIFEST)) as file:
            entry = read_entry(file.readline(FIRST_LINE_BYTES))
    except (OSError, ValueError):
        return ""
    return entry.venue if isinstance(entry, RecordingStarted) else ""


def guessed_venue(recording: RecordedFile) -> str:
    """Return the venue whose symbols the first messages name; empty if that cannot be told."""
    lanes = Lanes(Selection(), payloads=False)
    looked_at = 0
    for lines in recording.batches():
        for message in lanes.read(lines):
            if type(message) in OF_ONE_SYMBOL:
                return venue_of(message.symbol).name
        looked_at += len(lines)
        if looked_at >= LINES_TO_JUDGE:
            break
    return ""


def _span(recording: RecordedFile) -> tuple[int, int] | None:
    """Return first and last receive time of a recording; None if nothing is in it."""
    if isinstance(recording, Segments):
        heads = [head for path in recording.files() for head in _heads(path)]
        return (heads[0][0], max(last for _, last in heads)) if heads else None
    first_ns = last_ns = 0
    for lines in recording.batches():
        first_ns, last_ns = first_ns or lines[0][0], lines[-1][0]
    return (first_ns, last_ns) if first_ns else None


def _heads(path: Path) -> list[tuple[int, int]]:
    """Return the times of the blocks of a segment, of which only the heads are read.

    Raises:
        RecordingError: It cannot be read.
    """
    try:
        with open_regular(path) as file:
            blocks = walk(file, LATEST_NS + 1)
            return [(each.head.first_ns, each.head.last_ns) for each in blocks if each.head]
    except OSError as error:
        raise RecordingError(str(path), error.strerror or str(error)) from None
