"""The order books of a recording, as of each of its messages.

A book is joined to a recorded snapshot and follows the recorded updates by the rules of a live one
(`feed/local_book.py`): an update that is missing makes it `syncing` until the next snapshot joins.
If depth updates of several speeds were recorded, each has a book of its own, and readers see the
fastest that is in sync.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter

from msgspec import Struct, field

from tickerplant.archive.message_reader import MessageReader
from tickerplant.archive.selection import Selection
from tickerplant.feed.local_book import LocalBook, RecordedSnapshot, RecordedTrack
from tickerplant.feed.order_book import BookState, NoBookError, OrderBook
from tickerplant.messages.book import DepthSnapshot, DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import SnapshotRecorded
from tickerplant.stream_name import book_of_diffs, depth_speed_ms, parse_stream_name, upper_case
from tickerplant.units import HOUR_MS, NS_PER_MS

MAX_LOOKBACK_NS = 4 * HOUR_MS * NS_PER_MS
"""How long before the start of a selection a snapshot is looked for."""
BEFORE_SNAPSHOT_NS = 10_000 * NS_PER_MS
"""How long before a snapshot reading begins, because updates before it may continue it."""

_received_ns = itemgetter(0)


class RecordedBooks(Mapping[str, OrderBook]):
    """The books of a recording, by symbol: those of which depth updates were recorded."""

    def __init__(self, books: Mapping[str, OrderBook]) -> None:
        self._books = books

    def __getitem__(self, symbol: str) -> OrderBook:
        book = self._books.get(symbol)
        if book is None and isinstance(symbol, str):
            book = self._books.get(upper_case(symbol))
        if book is None:
            raise NoBookError(symbol, self._books)
        return book

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def __repr__(self) -> str:
        return f"<RecordedBooks {', '.join(map(repr, self._books.values()))}>"


class _Symbol(Struct):
    """The streams of one symbol, and what readers see of their books."""

    view: OrderBook
    tracks: dict[int, RecordedTrack] = field(default_factory=dict)
    """By speed, the fastest first."""

    def choose(self) -> None:
        """Follow the fastest book that is in sync, unless it is behind what readers saw."""
        seen_ms = self.view.transaction_time_ms
        for track in self.tracks.values():
            book = track.book
            if book.state is BookState.LIVE and book.transaction_time_ms >= seen_ms:
                self.view._values = book  # noqa: SLF001  # not for readers
                return


class BooksReader:
    """Reads messages of a recording together with the books as of each message."""

    def __init__(self, selection: Selection, paths: Sequence[str], listed: Iterable[str]) -> None:
        every_stream = Selection(symbols=selection.symbols)
        self._streams = selection.streams
        self._start_ns = selection.start_ns
        self._symbols: dict[str, _Symbol] = {}
        self._by_stream: dict[str, RecordedTrack | None] = {}
        """None for streams that are not the updates of a book."""
        self._snapshots: dict[str, RecordedSnapshot] = {}
        """The last of each symbol, for streams that begin after it."""
        self._latest: Message = Message()
        self._views: dict[str, OrderBook] = {}
        self.books = RecordedBooks(self._views)
        self.readers = [
            MessageReader(every_stream, snapshots=True, wanted=self._is_wanted, path=path)
            for path in paths
        ]
        self._earlier_readers = [
            MessageReader(every_stream, snapshots=True, wanted=is_followed, path=path)
            for path in paths
        ]
        for name in sorted(selection.symbols):
            self._symbol(name)
        for stream in sorted(listed):
            if not selection.symbols or parse_stream_name(stream).symbol in selection.symbols:
                self._add(stream)

    def read(
        self, batches: Iterable[tuple[int, list[Line]]], *, live_only: bool
    ) -> Iterator[tuple[Message, Mapping[str, OrderBook]]]:
        """Yield the selected messages, each with the books as of it.

        Args:
            batches: Runs of lines in order of time, each with the index of its recording; those
                before the start only move the books.
            live_only: Whether to yield only messages about a symbol whose book is in sync.
        """
        books, views, streams = self.books, self._views, self._streams
        for message in chain.from_iterable(map(self._messages, batches)):
            self._latest = message
            kind = type(message)
            if kind is DepthUpdate:
                self._take_update(message)  # type: ignore[arg-type]  # it is one
            elif kind is DepthSnapshot:
                self._take_snapshot(message)  # type: ignore[arg-type]  # it is one
                continue
            if streams and message.stream not in streams:
                continue
            if live_only:
                book = views.get(message.symbol)
                if book is None or not book.is_live:
                    continue
            yield message, books

    def _is_wanted(self, stream: str) -> bool:
        return not self._streams or stream in self._streams or is_followed(stream)

    def _messages(self, batch: tuple[int, Sequence[Line]]) -> Iterator[Message]:
        """Return the messages of a run of lines; apply those before the start to the books."""
        index, lines = batch
        if lines[0][0] < self._start_ns:
            first = bisect_left(lines, self._start_ns, key=_received_ns)
            for message in self._earlier_readers[index].read(lines[:first]):
                self._latest = message
                if isinstance(message, DepthUpdate):
                    self._take_update(message)
                elif isinstance(message, DepthSnapshot):
                    self._take_snapshot(message)
            lines = lines[first:]
        return self.readers[index].read(lines)

    def _now_ms(self) -> int:
        return self._latest.received_ns // NS_PER_MS

    # Books

    def _take_update(self, update: DepthUpdate) -> None:
        stream = update.stream
        if stream not in self._by_stream:
            self._add(stream)
        track = self._by_stream[stream]
        if track is None:
            return
        track.offer(update, update.received_ns // NS_PER_MS)
        symbol = self._symbols[track.book.symbol]
        if len(symbol.tracks) > 1:
            symbol.choose()

    def _take_snapshot(self, snapshot: DepthSnapshot) -> None:
        now_ms = snapshot.received_ns // NS_PER_MS
        kept = self._snapshots[snapshot.symbol] = RecordedSnapshot(now_ms, snapshot.payload)
        symbol = self._symbols.get(snapshot.symbol)
        if symbol is not None:
            for track in symbol.tracks.values():
                track.load(kept, now_ms)
            symbol.choose()

    def _symbol(self, name: str) -> _Symbol:
        """Return a symbol, which has a book from now on."""
        symbol = self._symbols.get(name)
        if symbol is None:
            symbol = self._symbols[name] = _Symbol(OrderBook(LocalBook(name), self._now_ms))
            self._views[name] = symbol.view
        return symbol

    def _add(self, stream: str) -> None:
        if not is_followed(stream):
            self._by_stream[stream] = None
            return
        name = parse_stream_name(stream)
        track = self._by_stream[stream] = RecordedTrack(name.symbol)
        if (snapshot := self._snapshots.get(name.symbol)) is not None:
            track.load(snapshot, self._now_ms())
        symbol = self._symbol(name.symbol)
        symbol.tracks = dict(sorted({**symbol.tracks, depth_speed_ms(stream): track}.items()))
        if symbol.view.age_ms is None:
            symbol.view._values = next(iter(symbol.tracks.values())).book  # noqa: SLF001  # as above


def is_followed(stream: str) -> bool:
    """Whether a stream carries the updates of a book without RPI orders."""
    key = book_of_diffs(stream)
    return key is not None and key[1] == "depth"


def first_ns(selection: Selection, manifests: Iterable[Manifest | None]) -> int:
    """Return from where to read, so that books are in sync at the start of a selection.

    That is a little before the last snapshots before it; without a manifest it is the beginning.
    """
    start_ns = selection.start_ns
    latest: dict[str, int] = {}
    for manifest in manifests:
        if manifest is None:
            return 0
        for entry in manifest.entries:
            if (
                isinstance(entry, SnapshotRecorded)
                and start_ns - MAX_LOOKBACK_NS <= entry.time_ns < start_ns
                and (not selection.symbols or entry.symbol in selection.symbols)
            ):
                latest[entry.symbol] = entry.time_ns
    return max(min(latest.values(), default=start_ns) - BEFORE_SNAPSHOT_NS, 0)
