"""For how long the book of a recorded depth stream is known, and why not."""

from __future__ import annotations

from tickerplant.feed.local_book import UnknownCause
from tickerplant.feed.recorded_track import RecordedSnapshot, RecordedTrack
from tickerplant.messages.book import DepthUpdate
from tickerplant.replaying.scan import OPENING_NS
from tickerplant.units import NS_PER_MS
from tickerplant.verifying.findings import BookFinding, Break, Unknown


class JoinedBook:
    """The book of one stream, known at the same updates as in `Recording.with_books`.

    Args:
        symbol: The symbol, in capitals.
        max_listed: Maximum number of breaks to list.
    """

    def __init__(self, symbol: str, max_listed: int) -> None:
        self._track = RecordedTrack(symbol)
        self._found = BookFinding()
        self._most_breaks = max_listed
        self._first_ns = self._last_ns = 0
        self._cause: UnknownCause = self._track.book.cause
        """Why it is not known since the last message; empty if it is."""
        self._break: Break | None = None

    def offer(self, update: DepthUpdate, received_ns: int) -> None:
        """Take the next update."""
        self._first_ns = self._first_ns or received_ns
        self._pass(received_ns)
        self._track.offer(update, received_ns // NS_PER_MS)
        self._look(received_ns)
        self._found.updates += 1
        if self._cause:
            self._unknown().updates += 1
        else:
            self._found.known_updates += 1

    def load(self, snapshot: bytes, received_ns: int) -> None:
        """Take a snapshot, which is used now or after the next break."""
        if self._first_ns:
            self._pass(received_ns)
        self._track.load(
            RecordedSnapshot(received_ns // NS_PER_MS, snapshot), received_ns // NS_PER_MS
        )
        if self._first_ns:
            self._look(received_ns)

    def finding(self) -> BookFinding:
        """Return what was found."""
        found, book = self._found, self._track.book
        found.in_sync_at_end = book.is_following
        found.known_at_end = bool(found.updates) and not self._cause
        return found

    def _pass(self, received_ns: int) -> None:
        """Count the time since the last message."""
        passed_ns = max(received_ns - self._last_ns, 0) if self._last_ns else 0
        self._last_ns = max(received_ns, self._last_ns)
        self._found.total_ns += passed_ns
        if not passed_ns:
            return
        if self._cause:
            self._unknown().ns += passed_ns
        else:
            self._found.known_ns += passed_ns

    def _unknown(self) -> Unknown:
        return self._found.unknown.setdefault(self._cause, Unknown())

    def _look(self, received_ns: int) -> None:
        """Take note of whether the book is known now."""
        before, self._cause = self._cause, self._track.book.cause
        if self._cause == before:
            return
        found = self._found
        if self._break is not None:
            self._break.to_ns = received_ns
            self._break = None
        if not self._cause:
            if not found.in_sync_from_ns:
                found.in_sync_from_ns = received_ns
                found.from_start = received_ns - self._first_ns <= OPENING_NS
            return
        if not found.in_sync_from_ns:
            return
        self._unknown().times += 1
        found.breaks += not before
        self._break = Break(from_ns=received_ns, cause=self._cause)
        if len(found.first_breaks) < self._most_breaks:
            found.first_breaks.append(self._break)
