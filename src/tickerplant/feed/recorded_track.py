"""The book of a recorded stream of updates, joined to the snapshots among them.

There is one such book wherever a recording is read or written: readers, `verify`, `plot` and the
recorder see the same book, known and unknown at the same updates.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import DecodeError as InvalidJson

from tickerplant.feed.book_side import read_snapshot
from tickerplant.feed.local_book import LocalBook
from tickerplant.messages.book import (
    SNAPSHOT_LEVELS,
    DepthUpdate,
    requested_levels,
)

MAX_BUFFERED = 256
"""Updates kept for a snapshot that is older than they are: over three seconds of the busiest stream
of every change, 25 of `@depth@100ms`."""


class RecordedSnapshot(NamedTuple):
    """A snapshot, and when it was received."""

    received_ms: int
    body: bytes


class RecordedTrack:
    """One stream of depth updates, and the book that follows it.

    A live book requests a snapshot when it needs one.  Here each recorded one is used if the updates
    continue it: it replaces the levels of a book that is in sync, too, so that they reach as far as
    those of the snapshot.  Updates that came before it are kept while the book has few levels, or is
    not in sync.
    """

    def __init__(
        self, symbol: str, limit: int = SNAPSHOT_LEVELS, *, book: LocalBook | None = None
    ) -> None:
        self.book = book or LocalBook(symbol, limit=limit, max_buffered=MAX_BUFFERED)
        self._latest: RecordedSnapshot | None = None
        """The last snapshot: the book may turn out to need it with the next update."""
        self._tried: RecordedSnapshot | None = None
        """The last snapshot that was loaded while the book was not in sync."""
        self._applied = 0
        """How many updates the book had applied when the last snapshot came."""
        self.book.snapshot_requested(0)

    def offer(self, update: DepthUpdate, now_ms: int) -> None:
        """Take the next update."""
        book = self.book
        if book.offer(update, now_ms) and not book.is_shallow:
            return
        if not book.can_load:
            book.snapshot_requested(now_ms)
        if not book.is_following:
            self._load(now_ms)

    def load(self, snapshot: RecordedSnapshot, now_ms: int) -> None:
        """Take the next snapshot."""
        self._latest = snapshot
        self._applied = self.book.counters.applied
        if not self.book.awaits_snapshot:  # an earlier one waits for an update
            self.book.snapshot_requested(now_ms)
        self._load(now_ms)

    def ids_restarted(self, now_ms: int) -> None:
        """Record that update ids restarted; a snapshot that came just before may be of the new ones."""
        self.book.ids_restarted(now_ms)
        self._tried = None

    def forget(self) -> None:
        """Use no snapshot from before this: the position in the recording changed."""
        self._latest = None

    def _load(self, now_ms: int) -> None:
        """Use the last snapshot if the book has not been updated since it."""
        snapshot, book = self._latest, self.book
        if (
            snapshot is None
            or snapshot is self._tried
            or snapshot.received_ms < (book.updated_ms or 0)
            or book.counters.applied != self._applied
        ):
            return
        if not book.is_following:  # a book that does may turn out to need it for good
            self._tried = snapshot
        try:
            read = read_snapshot(snapshot.body, book.symbol)
        except (InvalidJson, ValueError):
            book.load(snapshot.body, now_ms)  # which says what is wrong
        else:
            book.limit = requested_levels(read)
            book.load(read, now_ms)
