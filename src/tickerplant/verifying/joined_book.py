"""For how long the book of a recorded depth stream is known, and why not."""

from __future__ import annotations

from tickerplant.feed.local_book import RecordedSnapshot, RecordedTrack, UnknownCause
from tickerplant.messages.book import DepthUpdate
from tickerplant.replaying.scan import OPENING_NS
from tickerplant.units import NS_PER_MS
from tickerplant.verifying.findings import BookFinding, Break, Unknown


class JoinedBook:
    """The book of one stream, known at the same updates as in `Recording.with_books`."""

    def __init__(self, symbol: str, max_listed: int) -> None:
        self._track = RecordedTrack(symbol)
        self._found = BookFinding()
        self._most_breaks = max_listed
        self._first_ns = self._last_ns = 0
        self._cause: UnknownCause = self._track.book.cause
        """Why it is not known since `_since_ns`; empty if it is."""
        self._since_ns = 0
        self._updates = 0
        """Updates since then, from the one after which it became so."""
        self._break: Break | None = None

    def offer(self, update: DepthUpdate, received_ns: int) -> None:
        """Take the next update."""
        if not self._first_ns:
            self._first_ns = self._last_ns = self._since_ns = received_ns
        self._track.offer(update, received_ns // NS_PER_MS)
        self._look(received_ns)
        self._updates += 1

    def load(self, snapshot: bytes, received_ns: int) -> None:
        """Take a snapshot, which is used now or after the next break."""
        now_ms = received_ns // NS_PER_MS
        self._track.load(RecordedSnapshot(now_ms, snapshot), now_ms)
        if self._first_ns:
            self._look(received_ns)

    def finding(self) -> BookFinding:
        """Return what was found."""
        self._count()
        found = self._found
        found.in_sync_at_end = self._track.book.is_following
        found.known_at_end = bool(found.updates) and not self._cause
        found.total_ns = self._last_ns - self._first_ns
        return found

    def _count(self) -> None:
        """Count the updates and the time since the book became known or unknown."""
        found, updates, ns = self._found, self._updates, self._last_ns - self._since_ns
        self._updates, self._since_ns = 0, self._last_ns
        found.updates += updates
        if not self._cause:
            found.known_updates += updates
            found.known_ns += ns
        elif updates or ns:
            unknown = self._unknown()
            unknown.updates += updates
            unknown.ns += ns

    def _unknown(self) -> Unknown:
        return self._found.unknown.setdefault(self._cause, Unknown())

    def _look(self, received_ns: int) -> None:
        self._last_ns = max(self._last_ns, received_ns)
        before, cause = self._cause, self._track.book.cause
        if cause == before:
            return
        self._count()
        self._cause = cause
        found = self._found
        if self._break is not None:
            self._break.to_ns = received_ns
            self._break = None
        if not cause:
            if not found.in_sync_from_ns:
                found.in_sync_from_ns = received_ns
                found.from_start = received_ns - self._first_ns <= OPENING_NS
            return
        if not found.in_sync_from_ns:
            return
        self._unknown().times += 1
        found.breaks += not before
        self._break = Break(from_ns=received_ns, cause=cause)
        if len(found.first_breaks) < self._most_breaks:
            found.first_breaks.append(self._break)
