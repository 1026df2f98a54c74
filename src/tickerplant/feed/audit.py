"""Compares a live book with a fresh snapshot, level by level and exactly.

A snapshot with id L shows the book between two updates of the stream: after the last update with
u <= L, and before or within the next.  The book is past L when the snapshot arrives.  So an audit
begins before the snapshot is requested: the book then keeps a copy of itself and the updates after
it, which lead from the copy to its state at L.

A level that the next update changes may be in between.  It matches if it is as before or as after
that update, and is in flux otherwise.  Any other level must be equal.
"""

from __future__ import annotations

from collections import Counter

from msgspec import DecodeError as InvalidJson
from msgspec import Struct

from tickerplant.feed.book_side import Sides, read_snapshot
from tickerplant.feed.local_book import Journal, LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import RawLevel

WAIT_MS = 5000
"""How long an audit waits for the book to reach its snapshot."""
MAX_UPDATES = 1024
"""Updates kept for an audit."""


class AuditResult(Struct, frozen=True, kw_only=True):
    """How many levels an audit compared, and with what result."""

    symbol: str
    last_update_id: int
    """Of the snapshot; 0 without one."""
    compared: int = 0
    """Levels of the snapshot or the book, at prices that both cover."""
    matched: int = 0
    in_flux: int = 0
    """Levels that were changing when the snapshot was taken and cannot be compared."""
    missing: int = 0
    """Levels of the snapshot that the book does not have."""
    extra: int = 0
    """Levels of the book that the snapshot does not have."""
    wrong: int = 0
    """Levels in both, with different quantities."""
    skipped_reason: str = ""
    """Why nothing could be compared; empty if it could."""

    @property
    def score(self) -> float | None:
        """Fraction of comparable levels that match; None if nothing could be compared."""
        comparable = self.compared - self.in_flux
        return self.matched / comparable if comparable and not self.skipped_reason else None


class Audit:
    """Audits a book, any number of times: `begin`, request a snapshot, `take` it, and `poll`."""

    def __init__(
        self,
        book: LocalBook,
        *,
        limit: int | None = None,
        wait_ms: int = WAIT_MS,
        max_updates: int = MAX_UPDATES,
    ) -> None:
        self.book = book
        self.limit = limit or book.limit
        self.wait_ms = wait_ms
        self.max_updates = max_updates
        self._journal: Journal | None = None
        self._snapshot: DepthSnapshot | None = None
        self._sides: Sides | None = None
        self._until_ms = 0

    @property
    def is_running(self) -> bool:
        """Whether an audit was begun and has no result yet."""
        return self._journal is not None

    def begin(self) -> bool:
        """Begin; return False if the book is not live and cannot be compared.

        Request a snapshot after this, and call `take` or `failed`.
        """
        self.end()
        if self.book.state is not BookState.LIVE:
            return False
        self._journal = self.book.start_journal(self.max_updates)
        return True

    def failed(self, reason: str) -> AuditResult:
        """End because no snapshot came."""
        return self._skipped(reason)

    def take(self, snapshot: DepthSnapshot | bytes | str, now_ms: int) -> AuditResult | None:
        """Take the snapshot; return the result, or None if it needs the next update."""
        if self._journal is None:
            return self._skipped("no audit was begun")
        try:
            self._snapshot = read_snapshot(snapshot, self.book.symbol)
            self._sides = self.book.sides.rebuilt_from(self._snapshot, self.limit)
        except (InvalidJson, ValueError) as error:
            return self._skipped(f"the snapshot cannot be used: {error}")
        self._until_ms = now_ms + self.wait_ms
        return self.poll(now_ms)

    def poll(self, now_ms: int) -> AuditResult | None:
        """Return the result, or None if there is none yet; call after every update and as time passes."""
        journal, snapshot, sides = self._journal, self._snapshot, self._sides
        if journal is None or snapshot is None or sides is None:
            return None
        if journal.broken:
            return self._skipped(f"the book was replaced: {journal.broken}")
        cut = snapshot.last_update_id
        if cut < journal.known_from_id:
            return self._skipped(
                f"the snapshot {cut} is older than the journal, "
                f"which begins at {journal.known_from_id}"
            )
        if cut > self.book.last_update_id:
            if now_ms < self._until_ms:
                return None
            return self._skipped(
                f"the snapshot {cut} is newer than the book, "
                f"which is at {self.book.last_update_id} after {self.wait_ms} ms"
            )
        result = _compared(self.book.symbol, journal, cut, sides)
        self.end()
        return result

    def end(self) -> None:
        """End, with or without a result; the book stops its journal."""
        if self._journal is not None:
            self.book.stop_journal(self._journal)
        self._journal = self._snapshot = self._sides = None

    def _skipped(self, reason: str) -> AuditResult:
        cut = self._snapshot.last_update_id if self._snapshot is not None else 0
        self.end()
        return AuditResult(symbol=self.book.symbol, last_update_id=cut, skipped_reason=reason)


def _compared(symbol: str, journal: Journal, cut: int, snapshot: Sides) -> AuditResult:
    """Compare a book, as of the id `cut`, with a snapshot of that id."""
    updates = journal.updates
    while updates and updates[0].final_update_id <= cut:
        journal.apply_next()
    before = [side.levels.copy() for side in journal.sides]
    changing: list[set[int]] = [set(), set()]
    if updates and updates[0].first_update_id <= cut:
        for keys, side, levels in zip(
            changing, journal.sides, (updates[0].bids, updates[0].asks), strict=True
        ):
            keys.update(side.keys[price] for price, _ in levels)
        journal.apply_next()
    found: Counter[str] = Counter()
    for mine, keys, after, theirs in zip(before, changing, journal.sides, snapshot, strict=True):
        worst_known = max(after.worst_known, theirs.worst_known)
        for key in mine.keys() | theirs.levels.keys():
            if key < worst_known:
                continue
            ours, sent = mine.get(key), theirs.levels.get(key)
            if _equal(ours, sent) or (key in keys and _equal(after.levels.get(key), sent)):
                found["matched"] += 1
            elif key in keys:
                found["in flux"] += 1
            else:
                found["missing" if ours is None else "extra" if sent is None else "wrong"] += 1
    return AuditResult(
        symbol=symbol,
        last_update_id=cut,
        compared=found.total(),
        matched=found["matched"],
        in_flux=found["in flux"],
        missing=found["missing"],
        extra=found["extra"],
        wrong=found["wrong"],
        skipped_reason="" if found else "there is no level to compare",
    )


def _equal(one: RawLevel | None, other: RawLevel | None) -> bool:
    """Whether two levels at one price are equal, regardless of trailing zeros."""
    if one is None or other is None:
        return one is other
    return one[1] == other[1] or _shortest(one[1]) == _shortest(other[1])


def _shortest(quantity: str) -> str:
    return quantity.rstrip("0").rstrip(".") if "." in quantity else quantity
