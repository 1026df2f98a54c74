"""The books as readers of the recording will see them, which decide when a snapshot is needed.

Each follows the recorded updates and snapshots by the rules of every local book
(`feed/local_book.py`): it wants a snapshot when an update is missing, and when the price has left,
or is about to leave, the levels that the last snapshot showed.
"""

from __future__ import annotations

from msgspec.json import Decoder

from tickerplant.feed.local_book import LocalBook
from tickerplant.messages.book import DepthUpdate
from tickerplant.messages.readers import UNREADABLE
from tickerplant.queries.depth import RPI_LIMIT
from tickerplant.stream_name import BookKey, book_of_diffs, depth_speed_ms

_read = Decoder(DepthUpdate).decode


class KnownBooks:
    """The books of a recording that is being made.

    If updates of several speeds are recorded, the fastest are followed.  Times are milliseconds of
    one clock.
    """

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self._books: dict[BookKey, LocalBook] = {}
        self._streams: dict[BookKey, str] = {}
        """The stream that each book follows."""
        self._followed: dict[str, LocalBook] = {}

    def add(self, stream: str) -> None:
        """Follow a stream if it updates a book, and no faster one of that book is followed."""
        key = book_of_diffs(stream)
        if key is None:
            return
        before = self._streams.get(key)
        if before is not None and depth_speed_ms(before) <= depth_speed_ms(stream):
            return
        if before is not None:
            del self._followed[before]
        self._streams[key] = stream
        limit = self.limit_of(key)
        self._books[key] = self._followed[stream] = LocalBook(key[0], limit=limit)

    def limit_of(self, key: BookKey) -> int:
        """Return the levels of each side that are requested for a book."""
        return self.levels if key[1] == "depth" else RPI_LIMIT

    def symbol_of(self, stream: str) -> str:
        """Return the symbol of the book that follows a stream."""
        return self._followed[stream].symbol

    def __contains__(self, stream: object) -> bool:
        return stream in self._followed

    def offer(self, stream: str, payload: bytes, now_ms: int) -> bool:
        """Take the next update of a followed stream; return whether its book wants a snapshot now."""
        book = self._followed[stream]
        try:
            book.offer(_read(payload), now_ms)
        except UNREADABLE:
            return False  # it is recorded, and counted where it was received
        return book.wants_snapshot and now_ms >= book.next_request_ms

    def requested(self, key: BookKey, now_ms: int) -> None:
        """Note that a snapshot is requested; `load` or `failed` must follow."""
        self._books[key].snapshot_requested(now_ms)

    def load(self, key: BookKey, snapshot: bytes, now_ms: int) -> None:
        """Take the requested snapshot, which is recorded."""
        self._books[key].load(snapshot, now_ms)

    def failed(self, key: BookKey, now_ms: int) -> None:
        """Note that no snapshot is recorded."""
        self._books[key].snapshot_failed(now_ms)
