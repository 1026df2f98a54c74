"""Which books need a snapshot, and when: depth updates are useless without a starting snapshot.

Each symbol with a stream of depth updates needs a snapshot after the first update that is received,
so that the snapshot is not older than the recorded updates: after the start, after any possible
loss of updates, in every segment, at regular intervals, and when the recorded book wants one
(`known_books.py`).  A snapshot that is older than that update, for example because a server cached
it, is requested again.

    unknown ──first update──▶ needed ──next due──▶ requested ──snapshot──▶ has snapshot
       ▲                        ▲ ▲                    │                        │
       │                        │ └──────failure───────┘                        │
       └── lost, new segment ───┴── the book wants one, the interval is over ◀──┘
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from tickerplant.stream_name import BookKey, book_of_diffs

FIRST_PAUSE_MS = 1_000
"""Pause before a failed request is repeated; each further failure doubles it."""
LONGEST_PAUSE_MS = 300_000
OLD_PAUSE_MS = 500
"""Pause before a snapshot that was too old is requested again."""


class Book(Struct):
    """One book, and the state of its snapshot."""

    symbol: str
    endpoint: str
    """The REST endpoint of its snapshots: `depth` or `rpiDepth`."""
    streams: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)
    """For each stream without a snapshot, the first update id since it is without gaps."""
    epoch: int = 0
    """Number of losses so far: a snapshot that was requested before a loss is useless."""
    requested_epoch: int = 0
    is_requested: bool = False
    due_ms: int = 0
    """Earliest time of the next request."""
    failures: int = 0
    """Consecutive failed requests."""
    is_delayed: bool = False
    """Whether its snapshot is due, and waits for request weight."""

    @property
    def key(self) -> BookKey:
        """Symbol and endpoint."""
        return self.symbol, self.endpoint


class SnapshotSchedule:
    """The books of a recording; all times are ms of a monotonic clock."""

    def __init__(self, streams: Iterable[str], every_ms: int) -> None:
        self.awaited: dict[str, Book] = {}
        """Books by the streams whose next update must be reported to `on_first_update`."""
        self.books: dict[BookKey, Book] = {}
        self.delayed = 0
        """Snapshots that were due while there was no request weight for them."""
        self._every_ms = every_ms
        self._of_stream: dict[str, Book] = {}
        self._needing: dict[BookKey, Book] = {}
        """Books without a usable snapshot, in order of need."""
        self._with_snapshot: dict[BookKey, Book] = {}
        """Books with a snapshot, the oldest first."""
        for name in streams:
            if key := book_of_diffs(name):
                book = self.books.setdefault(key, Book(*key))
                book.streams.append(name)
                self._of_stream[name] = book
        self.renew_all()

    @property
    def waiting(self) -> int:
        """Books that received an update and have no snapshot for it yet."""
        return sum(bool(book.needed) for book in self.books.values())

    def renew_all(self) -> None:
        """Let every book need a snapshot after its next update, for example in a new segment."""
        self.awaited.update(self._of_stream)

    def on_lost(self, names: Iterable[str]) -> None:
        """Note that updates of `names` may be missing, or that their ids restart."""
        for name in names:
            book = self._of_stream.get(name)
            if book is not None:
                self.awaited[name] = book
                book.needed.pop(name, None)
                book.epoch += 1

    def on_first_update(self, stream: str, first_update_id: int) -> None:
        """Note the next update of an awaited stream; its book needs a snapshot now."""
        book = self.awaited.pop(stream, None)
        if book is not None:
            book.needed[stream] = first_update_id
            if not book.failures:
                book.due_ms = 0
            self._need(book)

    def on_wanted(self, stream: str) -> None:
        """Note that the book of a stream wants a snapshot: it is unknown, or soon will be."""
        book = self._of_stream[stream]
        if book.key in self._with_snapshot:
            book.due_ms = 0
            self._need(book)

    @property
    def short_of_weight(self) -> int:
        """Books whose snapshot is due and waits for request weight."""
        return sum(book.is_delayed for book in self.books.values())

    def delay(self, now_ms: int) -> bool:
        """Note that there is no request weight for the snapshots that are due; whether there are any."""
        due = [book for book in self._due(now_ms) if not book.is_delayed]
        for book in due:
            book.is_delayed = True
        self.delayed += len(due)
        return bool(due)

    def _due(self, now_ms: int) -> Iterator[Book]:
        """Yield the books whose snapshot must be requested now, the most urgent first."""
        for book in self._needing.values():
            if now_ms >= book.due_ms and not book.is_requested:
                yield book
        for book in self._with_snapshot.values():
            if now_ms < book.due_ms:
                break
            yield book

    def _need(self, book: Book) -> None:
        self._with_snapshot.pop(book.key, None)
        self._needing[book.key] = book

    def next_due(self, now_ms: int) -> Book | None:
        """Return a book whose snapshot must be requested now, if there is one.

        Call `on_snapshot` or `on_failure` with the outcome.
        """
        book = next(self._due(now_ms), None)
        if book is None:
            return None
        self._needing.pop(book.key, None)
        self._with_snapshot.pop(book.key, None)
        book.is_requested, book.is_delayed = True, False
        book.requested_epoch = book.epoch
        return book

    def on_snapshot(self, book: Book, last_update_id: int, now_ms: int) -> bool:
        """Return whether a snapshot joins the updates and is worth recording.

        If it does not, it is requested again.
        """
        book.is_requested = False
        is_new = last_update_id >= max(book.needed.values(), default=0)
        if not is_new or book.epoch != book.requested_epoch:
            book.due_ms = now_ms + OLD_PAUSE_MS
            if book.needed:
                self._need(book)
            return False
        book.needed.clear()
        book.failures = 0
        book.due_ms = now_ms + self._every_ms
        self._needing.pop(book.key, None)
        self._with_snapshot[book.key] = book
        return True

    def on_failure(self, book: Book, now_ms: int, min_pause_ms: int = 0) -> bool:
        """Note a failed request; return whether it is the first in a row."""
        book.is_requested = False
        pause_ms = min(FIRST_PAUSE_MS << min(book.failures, 16), LONGEST_PAUSE_MS)
        book.due_ms = now_ms + max(pause_ms, min_pause_ms)
        book.failures += 1
        self._need(book)
        return book.failures == 1
