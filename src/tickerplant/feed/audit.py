"""Compares a live book with a fresh snapshot, level by level and exactly.

A snapshot with id L shows the book between two updates of the stream: after the last update with
u <= L, and before or within the next.  The book is past L when the snapshot arrives.  So an audit
begins before the snapshot is requested: the book then keeps a journal of what each update replaces,
and undoing updates one by one restores its state at L.

A level that the next update changes may be in between.  It matches if it is as before or as after
that update, and is in flux otherwise.  Any other level must be equal.
"""

from __future__ import annotations

from msgspec import DecodeError as InvalidJson
from msgspec import Struct

from tickerplant.feed.book_side import BookSide, Sides, read_snapshot
from tickerplant.feed.local_book import Journal, LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import RawLevel

WAIT_MS = 5000
"""How long an audit waits for the book to reach its snapshot."""
MAX_UPDATES = 1024
"""Updates that an audit can undo."""


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
    """Audits a book, any number of times: `begin`, request a snapshot, `take` it, and `poll`.

    Args:
        book: The book to audit.
        limit: The limit of requested snapshots; by default that of the book.
        wait_ms: How long to wait for the book to reach its snapshot.
        max_updates: Updates that can be undone.
    """

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
        result = _Comparison(self.book, journal, cut).result(sides)
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


class _Rewound:
    """One side as it was at the snapshot, and after the next update the levels that it changed."""

    def __init__(self, side: BookSide) -> None:
        self.worst_known = side.worst_known
        self.levels: dict[int, RawLevel] = dict(side.levels)
        self.after: dict[int, RawLevel | None] = {}

    def undo(self, replaced: dict[int, RawLevel | None]) -> None:
        self.after = {key: self.levels.get(key) for key in replaced}
        for key, level in replaced.items():
            if level is None:
                self.levels.pop(key, None)
            else:
                self.levels[key] = level


class _Comparison:
    """Compares the book as of the id `cut` with a snapshot of that id."""

    def __init__(self, book: LocalBook, journal: Journal, cut: int) -> None:
        self.symbol = book.symbol
        self.cut = cut
        self.rewound = _Rewound(book.sides.bids), _Rewound(book.sides.asks)
        self.compared = self.matched = self.in_flux = 0
        self.missing = self.extra = self.wrong = 0
        is_within_update = False
        for entry in reversed(journal.entries):
            if entry.update.final_update_id <= cut:
                break
            for side, replaced in zip(self.rewound, (entry.bids, entry.asks), strict=True):
                side.undo(replaced)
            is_within_update = entry.update.first_update_id <= cut
        if not is_within_update:  # between two updates nothing was changing
            for side in self.rewound:
                side.after.clear()

    def result(self, snapshot: Sides) -> AuditResult:
        for mine, theirs in zip(self.rewound, snapshot, strict=True):
            self._compare(mine, theirs)
        return AuditResult(
            symbol=self.symbol,
            last_update_id=self.cut,
            compared=self.compared,
            matched=self.matched,
            in_flux=self.in_flux,
            missing=self.missing,
            extra=self.extra,
            wrong=self.wrong,
            skipped_reason="" if self.compared else "there is no level to compare",
        )

    def _compare(self, mine: _Rewound, theirs: BookSide) -> None:
        worst_known = max(mine.worst_known, theirs.worst_known)
        for key in mine.levels.keys() | theirs.levels.keys():
            if key < worst_known:
                continue
            self.compared += 1
            ours, sent = mine.levels.get(key), theirs.levels.get(key)
            if _equal(ours, sent) or (key in mine.after and _equal(mine.after[key], sent)):
                self.matched += 1
            elif key in mine.after:
                self.in_flux += 1
            elif ours is None:
                self.missing += 1
            elif sent is None:
                self.extra += 1
            else:
                self.wrong += 1


def _equal(one: RawLevel | None, other: RawLevel | None) -> bool:
    """Whether two levels at one price are equal, regardless of trailing zeros."""
    if one is None or other is None:
        return one is other
    return one[1] == other[1] or _shortest(one[1]) == _shortest(other[1])


def _shortest(quantity: str) -> str:
    return quantity.rstrip("0").rstrip(".") if "." in quantity else quantity
