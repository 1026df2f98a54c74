"""Compares a live book with a fresh snapshot, level by level and exactly.

A snapshot with id L shows the book between two updates of a merged stream: after the last update
with u <= L, and before or within the next.  The book is past L when the snapshot arrives, so an
audit begins before the snapshot is asked for: the book then writes down what each update replaces,
and the state at L is what is there now, taken back update by update.

A level that the next update touches may be in between.  It matches if it is as before or as after
that update, and is unsettled otherwise; every other level is equal or it is a mistake.
"""

from __future__ import annotations

from msgspec import DecodeError as NotJson
from msgspec import Struct

from tickerplant.feed.book_journal import Journal
from tickerplant.feed.book_side import BookSide, Sides
from tickerplant.feed.depth_snapshot import read_snapshot
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import RawLevel

WAIT_MS = 5000
"""How long an audit waits for the update after its snapshot."""

UPDATES = 1024
"""Updates that an audit remembers; the oldest are forgotten."""


class AuditResult(Struct, frozen=True, kw_only=True):
    """How many levels an audit compared, and what it found of them."""

    symbol: str
    last_update_id: int
    """Of the snapshot, 0 if there was none."""
    compared: int = 0
    """Levels of the snapshot or the book within the reach of both."""
    matched: int = 0
    unsettled: int = 0
    """Levels that were changing at the snapshot, of which nothing can be said."""
    missing: int = 0
    """Levels of the snapshot that the book does not have."""
    extra: int = 0
    """Levels of the book that the snapshot does not have."""
    wrong: int = 0
    """Levels of both with different quantities."""
    inconclusive: str = ""
    """Why nothing could be compared; empty if it could."""

    @property
    def score(self) -> float | None:
        """Which part of the comparable levels is right; None if nothing could be compared."""
        comparable = self.compared - self.unsettled
        return self.matched / comparable if comparable and not self.inconclusive else None


class Audit:
    """One audit of `book` after the other: `begin`, ask for a snapshot, `take` it, and `poll`."""

    def __init__(
        self,
        book: LocalBook,
        *,
        limit: int | None = None,
        wait_ms: int = WAIT_MS,
        updates: int = UPDATES,
    ) -> None:
        """Snapshots are asked for with `limit`, that of the book if it is None."""
        self.book = book
        self.limit = limit or book.limit
        self.wait_ms = wait_ms
        self.updates = updates
        self._journal: Journal | None = None
        self._snapshot: DepthSnapshot | None = None
        self._sides: Sides | None = None
        self._until_ms = 0

    @property
    def running(self) -> bool:
        """Whether an audit was begun that has no result yet."""
        return self._journal is not None

    def begin(self) -> bool:
        """Begin, and return whether it makes sense: only a live book can be compared.

        A snapshot must be asked for after this, and `take` or `failed` follow.
        """
        self.end()
        if self.book.state is not State.LIVE:
            return False
        self._journal = self.book.keep_journal(self.updates)
        return True

    def failed(self, reason: str) -> AuditResult:
        """End without a snapshot."""
        return self._inconclusive(reason)

    def take(self, snapshot: DepthSnapshot | bytes | str, now_ms: int) -> AuditResult | None:
        """Take the snapshot; return the result, or None if it needs the next update."""
        if self._journal is None:
            return self._inconclusive("no audit was begun")
        try:
            self._snapshot = read_snapshot(snapshot, self.book.symbol)
            self._sides = self.book.sides.beside(self._snapshot, self.limit)
        except (NotJson, ValueError) as error:
            return self._inconclusive(f"the snapshot cannot be used: {error}")
        self._until_ms = now_ms + self.wait_ms
        return self.poll(now_ms)

    def poll(self, now_ms: int) -> AuditResult | None:
        """Return the result once there is one; ask after every update and when time has passed."""
        journal, snapshot, sides = self._journal, self._snapshot, self._sides
        if journal is None or snapshot is None or sides is None:
            return None
        if journal.broken:
            return self._inconclusive(f"the book was replaced: {journal.broken}")
        cut = snapshot.last_update_id
        if cut < journal.known_from_id:
            return self._inconclusive(
                f"the snapshot {cut} is older than what is remembered, "
                f"which begins with {journal.known_from_id}"
            )
        if cut > self.book.last_update_id:
            if now_ms < self._until_ms:
                return None
            return self._inconclusive(
                f"the snapshot {cut} is newer than the book, "
                f"which is at {self.book.last_update_id} after {self.wait_ms} ms"
            )
        result = _Comparison(self.book, journal, cut).result(sides)
        self.end()
        return result

    def end(self) -> None:
        """End without a result, unless there is one; the book remembers nothing more for it."""
        if self._journal is not None:
            self.book.end_journal(self._journal)
        self._journal = self._snapshot = self._sides = None

    def _inconclusive(self, reason: str) -> AuditResult:
        cut = self._snapshot.last_update_id if self._snapshot is not None else 0
        self.end()
        return AuditResult(symbol=self.book.symbol, last_update_id=cut, inconclusive=reason)


class _Rewound:
    """One side as it was at the snapshot, and what the next update made of the levels it touched."""

    def __init__(self, side: BookSide) -> None:
        self.reach = side.reach
        self.levels: dict[int, RawLevel] = dict(side.levels)
        self.after: dict[int, RawLevel | None] = {}

    def take_back(self, replaced: dict[int, RawLevel | None]) -> None:
        self.after = {key: self.levels.get(key) for key in replaced}
        for key, level in replaced.items():
            if level is None:
                self.levels.pop(key, None)
            else:
                self.levels[key] = level


class _Comparison:
    """The book at the id `cut`, against a snapshot with that id."""

    def __init__(self, book: LocalBook, journal: Journal, cut: int) -> None:
        self.symbol = book.symbol
        self.cut = cut
        self.rewound = _Rewound(book.sides.bids), _Rewound(book.sides.asks)
        self.compared = self.matched = self.unsettled = 0
        self.missing = self.extra = self.wrong = 0
        within = False
        for entry in reversed(journal.entries):
            if entry.update.final_update_id <= cut:
                break
            for side, replaced in zip(self.rewound, (entry.bids, entry.asks), strict=True):
                side.take_back(replaced)
            within = entry.update.first_update_id <= cut
        if not within:  # the snapshot lies between two updates: nothing was changing
            for side in self.rewound:
                side.after.clear()

    def result(self, snapshot: Sides) -> AuditResult:
        """Return what the comparison of both sides found."""
        for mine, theirs in zip(self.rewound, snapshot, strict=True):
            self._compare(mine, theirs)
        return AuditResult(
            symbol=self.symbol,
            last_update_id=self.cut,
            compared=self.compared,
            matched=self.matched,
            unsettled=self.unsettled,
            missing=self.missing,
            extra=self.extra,
            wrong=self.wrong,
            inconclusive="" if self.compared else "there is no level to compare",
        )

    def _compare(self, mine: _Rewound, theirs: BookSide) -> None:
        reach = max(mine.reach, theirs.reach)
        for key in mine.levels.keys() | theirs.levels.keys():
            if key < reach:
                continue
            self.compared += 1
            ours, told = mine.levels.get(key), theirs.levels.get(key)
            if _equal(ours, told) or (key in mine.after and _equal(mine.after[key], told)):
                self.matched += 1
            elif key in mine.after:
                self.unsettled += 1
            elif ours is None:
                self.missing += 1
            elif told is None:
                self.extra += 1
            else:
                self.wrong += 1


def _equal(one: RawLevel | None, other: RawLevel | None) -> bool:
    """Whether two levels of one price are equal, however many decimals are printed."""
    if one is None or other is None:
        return one is other
    return one[1] == other[1] or _shortest(one[1]) == _shortest(other[1])


def _shortest(quantity: str) -> str:
    return quantity.rstrip("0").rstrip(".") if "." in quantity else quantity
