"""The local order book of one symbol: a snapshot, and every update since.

    syncing ── load: a snapshot that the updates continue, or that is newer ──────▶ live
    live    ── an update is missing, a level cannot be read, the book is crossed ─▶ syncing
    any     ── ids_restarted: another server, or one that was restarted ───────────▶ syncing
    live    ── updates_lost ───────────────────────────────────────────────────────▶ stale
    stale   ── updates_resumed, and the next update continues the last one ───────▶ live
    stale   ── updates_resumed, and it does not ──────────────────────────────────▶ syncing

The book does no input and output: it says when it wants a snapshot, and its owner fetches one.
Levels are kept as the text that the exchange sent, so what is read is what was received; prices
are ordered by integers of 10^-8.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from msgspec import DecodeError as InvalidJson
from msgspec import Struct

from tickerplant.feed.book_side import BookSide, PriceKeys, Sides, read_snapshot
from tickerplant.feed.cursor import RESTARTED
from tickerplant.feed.order_book import Best, BookState
from tickerplant.market.book_sync import OUT_OF_DEPTH, BookSync
from tickerplant.messages.book import (
    SNAPSHOT_LEVELS,
    DepthSnapshot,
    DepthUpdate,
    requested_levels,
)
from tickerplant.notices import BookResyncing, Gap, Notice
from tickerplant.raw_events import RawLevel

MAX_BUFFERED = 600
"""Updates buffered while waiting for a snapshot: a minute of `@depth@100ms`.  Beyond it the oldest
are dropped."""
MAX_WIDTH = 4
"""A side keeps at most this many times the levels of a snapshot; then the worse half is dropped."""
LOW_SHARE = 4
"""A side with less than one in this many of the levels of a snapshot wants a new snapshot."""
FIRST_PAUSE_MS = 1000
MAX_PAUSE_MS = 32_000
"""The pause after a snapshot request doubles up to this."""
SETTLED_MS = 60_000
"""A book that was live for this long without a request starts again with the first pause."""
VERIFY_AFTER_MS = 5000
"""A book whose updates resumed, but without an update for this long, asks for a snapshot."""
ID_RESTART_MS = 1000
"""A lower id whose time is later by more than this means that the ids restarted."""
MAX_NOTICES = 64
"""Notices kept until `take_notices`; beyond it the oldest are dropped."""


UnknownCause: TypeAlias = Literal[
    "", "no snapshot yet", "gap", "ids restarted", "crossed", "unreadable", "out of depth", "stale"
]
"""Why a book is not known; empty if it is."""
_CAUSES: dict[str, UnknownCause] = {
    "gap": "gap",
    "missed": "gap",
    "ids_restarted": "ids restarted",
    "crossed": "crossed",
    "unreadable": "unreadable",
}
"""By the reason in a `BookResyncing`."""


class _Phase(Enum):
    SYNCING = "syncing"
    LIVE = "live"
    SHALLOW = "shallow"
    """Live, but a side has few known levels left: a new snapshot is wanted."""
    UNVERIFIED = "unverified"
    """Updates resumed; the next one shows whether any was missed."""
    LOST = "lost"
    """No updates arrive."""


_FOLLOWING = (_Phase.LIVE, _Phase.SHALLOW)
_SYNCING, _LIVE, _STALE = BookState.SYNCING, BookState.LIVE, BookState.STALE
"""Without the time that it takes to find a member of an enumeration."""


class _Request(Enum):
    """The request for a snapshot."""

    NONE = "none"
    PENDING = "pending"
    PENDING_WHILE_LIVE = "pending while live"
    """Pending, to replace the levels of a book that follows its updates."""
    OUTDATED = "outdated"
    """Pending, but updates resumed or the ids restarted since: the snapshot may be too old."""


_PENDING = (_Request.PENDING, _Request.PENDING_WHILE_LIVE)


def fewest_levels(limit: int) -> int:
    """Return how few known levels of a side are too few, with snapshots of up to `limit` levels.

    The price is then about to leave what the last snapshot showed.
    """
    return max(limit // LOW_SHARE, 1)


class BookCounters(Struct, gc=False):
    """What happened to a book since it was created."""

    applied: int = 0
    """Updates applied, when they came or after a snapshot."""
    gaps: int = 0
    resyncs: int = 0
    """How often the book was rebuilt or deepened with a new snapshot."""
    snapshots_used: int = 0
    snapshots_unused: int = 0
    """Snapshots older than the buffered updates, or no longer needed."""
    snapshots_failed: int = 0
    """Snapshot requests without a response, or with an invalid one."""


class Journal:
    """A copy of a book, and the updates applied to the book since."""

    def __init__(self, sides: Sides, last_update_id: int, size: int) -> None:
        self.sides = Sides(*(side.copy() for side in sides))
        self.known_from_id = last_update_id
        """The last update in the copy."""
        self.updates: deque[DepthUpdate] = deque()
        self.size = size
        self.broken = ""
        """Why the updates do not lead to the book any more; empty if they do."""

    def add(self, update: DepthUpdate) -> None:
        """Take the next update; apply the oldest to the copy if there are too many."""
        self.updates.append(update)
        if len(self.updates) > self.size:
            self.apply_next()

    def apply_next(self) -> None:
        """Apply the oldest update to the copy."""
        update = self.updates.popleft()
        self.sides.bids.apply(update.bids)
        self.sides.asks.apply(update.asks)
        self.known_from_id = update.final_update_id


class LocalBook:
    """The order book of `symbol`.

    Feed it updates with `offer` and snapshots with `load`, and read from it.  All times, also those
    of its notices, are milliseconds of one monotonic clock, which the caller passes in.
    """

    def __init__(
        self,
        symbol: str,
        *,
        limit: int = SNAPSHOT_LEVELS,
        streams: tuple[str, ...] = (),
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        self.symbol = symbol
        self.limit = limit
        self.streams = streams
        self.counters = BookCounters()
        self.last_update_id = 0
        self.event_time_ms = 0
        """When the latest update or snapshot was sent; 0 before the first."""
        self.transaction_time_ms = 0
        """When the book last changed; 0 before the first snapshot."""
        self.updated_ms: int | None = None
        """When the latest update or snapshot was taken; None before the first snapshot."""
        self._min_levels = fewest_levels(limit)
        self._max_levels = limit * MAX_WIDTH
        max_keys = 2 * self._max_levels
        self.sides = Sides(BookSide(PriceKeys(1, max_keys)), BookSide(PriceKeys(-1, max_keys)))
        self._max_buffered = max_buffered
        self._sync: BookSync[DepthUpdate] = BookSync(max_buffered)
        self._cause: UnknownCause = "no snapshot yet"
        """Why it is syncing, if it is."""
        self._phase = _Phase.SYNCING
        self._request = _Request.NONE
        self._ahead: tuple[DepthSnapshot, Sides] | None = None
        """A snapshot that a live book uses when its updates reach it."""
        self._was_empty = False
        """Whether the last snapshot lacked the levels of a side."""
        self._snapshot_fault = ""
        """Why the last snapshot could not be used, for people; empty if it could."""
        self._notices: deque[Notice] = deque(maxlen=MAX_NOTICES)
        self.journal: Journal | None = None
        """The running journal, if any."""
        self._lost_reason = ""
        self._pause_ms = 0
        self._next_request_ms = 0
        self._verify_at_ms = 0
        self._settled_since_ms = 0
        """Since when the book has been live without a request, if it is live."""

    # What comes in

    def offer(self, update: DepthUpdate, now_ms: int) -> bool:
        """Take the next update of the stream; return whether it was applied."""
        sync = self._sync
        was_live = sync.live
        if update.symbol != self.symbol:
            return False
        if sync.add(update):
            if self._phase is _Phase.UNVERIFIED:
                self._phase = _Phase.LIVE
                self._settled_since_ms = now_ms
            self._apply(update, now_ms)
            if self._ahead is not None and sync.live:
                self._reload(*self._ahead, now_ms)
            return sync.live
        if was_live and sync.live:
            if not self._is_before(update.transaction_time_ms):
                return False
            self.ids_restarted(now_ms)
            sync.add(update)
        elif was_live:
            self._report_gap(update, now_ms)
        return False

    def load(self, snapshot: DepthSnapshot | bytes | str, now_ms: int) -> bool:
        """Take the requested snapshot; return whether it is of use.

        An invalid or crossed snapshot counts as failed.  So does one without levels on a side, unless
        the one before it had none either: then the book is really empty.
        """
        try:
            snapshot = read_snapshot(snapshot, self.symbol)
            sides = self.sides.rebuilt_from(snapshot, self.limit)
            self._check_empty(snapshot)
        except (InvalidJson, ValueError) as error:
            self.snapshot_failed(now_ms)
            self._snapshot_fault = f"the snapshot cannot be used: {error}"
            return False
        self._snapshot_fault = ""
        self._min_levels = fewest_levels(self.limit)
        request, self._request = self._request, _Request.NONE
        self._ahead = None
        if request is not _Request.OUTDATED:
            if not self._sync.live:
                return self._rebuild(snapshot, sides, now_ms)
            if self._phase is _Phase.UNVERIFIED:
                return self._verify(snapshot, sides, now_ms)
            if request is _Request.PENDING_WHILE_LIVE:
                return self._reload(snapshot, sides, now_ms)
        self.counters.snapshots_unused += 1
        return False

    def snapshot_requested(self, now_ms: int) -> None:
        """Record that a snapshot was requested; call `load` or `snapshot_failed` afterwards."""
        self._request = _Request.PENDING
        if self._sync.live:
            self._reset_pause(now_ms)
            self._settled_since_ms = now_ms
        self._pause_ms = min(max(2 * self._pause_ms, FIRST_PAUSE_MS), MAX_PAUSE_MS)
        self._next_request_ms = now_ms + self._pause_ms
        if self._sync.live and self._phase is not _Phase.UNVERIFIED:
            self._request = _Request.PENDING_WHILE_LIVE
            self._ahead = None
            self._sync.keep_recent(self._max_buffered)

    def snapshot_failed(self, now_ms: int) -> None:  # noqa: ARG002 - every event has its time
        """Record that the requested snapshot will not come."""
        self._request = _Request.NONE
        self._ahead = None
        self._snapshot_fault = ""
        self.counters.snapshots_failed += 1

    def updates_lost(self, reason: str, now_ms: int) -> None:
        """Record that updates no longer arrive: the book is stale."""
        if self._phase is not _Phase.LOST and self._sync.live:
            self._reset_pause(now_ms)
        self._phase = _Phase.LOST
        self._lost_reason = reason or "disconnected"

    def updates_resumed(self, now_ms: int) -> None:
        """Record that updates arrive again; the next one shows whether any was missed."""
        if self._phase is _Phase.LOST:
            self._phase = _Phase.UNVERIFIED if self._sync.live else _Phase.SYNCING
            self._outdate_request()
            self._verify_at_ms = now_ms + VERIFY_AFTER_MS

    def market_jumped(self, now_ms: int) -> None:
        """Record that the program has moved the market: pauses until now say nothing about the next."""
        self._pause_ms = 0
        self._next_request_ms = min(self._next_request_ms, now_ms)

    def ids_restarted(self, now_ms: int) -> None:
        """Record that update ids restarted, so that they cannot be compared with known ones.

        The levels stay until a snapshot comes that was requested after this.
        """
        was_live = self._sync.live
        if was_live:
            self._reset_pause(now_ms)
        self._sync.reset(RESTARTED)
        self._enter(_Phase.SYNCING)
        self._ahead = None
        self._outdate_request()
        self._break_journal(RESTARTED)
        if was_live:
            self._report_resync("ids_restarted", now_ms)

    # What the owner asks

    @property
    def wants_snapshot(self) -> bool:
        """Whether the book needs a snapshot of `limit` levels and none is pending.

        It must not be requested before `next_request_ms`; call `snapshot_requested` when it is.
        """
        if self._request is not _Request.NONE:
            return False
        return self._phase in (_Phase.SYNCING, _Phase.UNVERIFIED) or (
            self._phase is _Phase.SHALLOW and self._ahead is None
        )

    @property
    def awaits_snapshot(self) -> bool:
        """Whether a snapshot was requested and has not come yet."""
        return self._request is not _Request.NONE

    @property
    def can_load(self) -> bool:
        """Whether a snapshot that comes now would be used if it joins, or one waits for its update."""
        return self._request in _PENDING or self._ahead is not None

    @property
    def is_shallow(self) -> bool:
        """Whether every update was applied, but a side has few known levels left, or none."""
        return self._phase is _Phase.SHALLOW

    @property
    def next_request_ms(self) -> int:
        """When the next snapshot may be requested; 0 for at once."""
        if self._phase is _Phase.UNVERIFIED:
            return max(self._next_request_ms, self._verify_at_ms)
        return self._next_request_ms

    def take_notices(self) -> list[Notice]:
        """Return and remove the notices since the last call, oldest first."""
        notices = list(self._notices)
        self._notices.clear()
        return notices

    def start_journal(self, size: int) -> Journal:
        """Start a journal of up to `size` updates, in place of an earlier one."""
        self._break_journal("another journal was started")
        self.journal = Journal(self.sides, self.last_update_id, size)
        return self.journal

    def stop_journal(self, journal: Journal) -> None:
        """Add no more updates to `journal`."""
        if self.journal is journal:
            self.journal = None

    @property
    def is_following(self) -> bool:
        """Whether every update has continued the last one since the snapshot, whatever levels are left."""
        return self._sync.live

    # What readers see

    @property
    def state(self) -> BookState:
        """How far the book can be trusted; `reason` says why it is not live."""
        phase = self._phase
        if phase is _Phase.LIVE or phase is _Phase.SHALLOW:
            return _SYNCING if self._is_exhausted else _LIVE
        return _SYNCING if phase is _Phase.SYNCING else _STALE

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        if self._phase is _Phase.LOST:
            return self._lost_reason
        if self._phase is _Phase.UNVERIFIED:
            return "reconnected; waiting for the next update to see whether any were missed"
        if self._phase is _Phase.SYNCING:
            return self._snapshot_fault or self._sync.reason
        if self._is_exhausted:
            return OUT_OF_DEPTH
        return ""

    @property
    def cause(self) -> UnknownCause:
        """Why the book is not live, as one of a few; empty while it is."""
        if self._phase in _FOLLOWING:
            return "out of depth" if self._is_exhausted else ""
        return self._cause if self._phase is _Phase.SYNCING else "stale"

    @property
    def best(self) -> Best:
        """The best bid and the best ask."""
        bids, asks = self.sides
        return bids.best, asks.best

    @property
    def best_bid(self) -> RawLevel | None:
        """Price and quantity of the highest bid, as received; None if there is none."""
        return self.sides.bids.best

    @property
    def best_ask(self) -> RawLevel | None:
        """Price and quantity of the lowest ask, as received; None if there is none."""
        return self.sides.asks.best

    def bids(self, count: int) -> list[RawLevel]:
        """Return up to `count` bids as received, highest first."""
        return self.sides.bids.top(count)

    def asks(self, count: int) -> list[RawLevel]:
        """Return up to `count` asks as received, lowest first."""
        return self.sides.asks.top(count)

    @property
    def lowest_known_bid(self) -> str | None:
        """The lowest price down to which bids are known; None if all of them are."""
        return self.sides.bids.worst_known_price

    @property
    def highest_known_ask(self) -> str | None:
        """The highest price up to which asks are known; None if all of them are."""
        return self.sides.asks.worst_known_price

    def __repr__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        bid, ask = self.best_bid, self.best_ask
        return (
            f"<LocalBook {self.symbol} {self.state}{reason} {bid and bid[0]}/{ask and ask[0]} "
            f"{len(self.sides.bids.levels)}+{len(self.sides.asks.levels)} levels "
            f"u={self.last_update_id}>"
        )

    @property
    def _is_exhausted(self) -> bool:
        bids, asks = self.sides
        if bids.levels and asks.levels:
            return False
        return bids.has_fewer_than(1) or asks.has_fewer_than(1)

    # Updates

    def _apply(self, update: DepthUpdate, now_ms: int) -> None:
        """Apply an update that continues the book."""
        bids, asks = self.sides
        try:
            bids.apply(update.bids)
            asks.apply(update.asks)
        except ValueError as error:
            self._discard("unreadable", f"unreadable: {error}", now_ms)
            return
        self.last_update_id = update.final_update_id
        self.event_time_ms = update.event_time_ms
        self.transaction_time_ms = update.transaction_time_ms
        self.updated_ms = now_ms
        self.counters.applied += 1
        if self.journal is not None:
            self.journal.add(update)
        if bids.bound + asks.bound >= 0 and self.sides.are_crossed:
            self._discard("crossed", self.sides.crossed_text, now_ms)
            return
        fewest, most = self._min_levels, self._max_levels
        if not fewest <= len(bids.levels) <= most or not fewest <= len(asks.levels) <= most:
            self._check_depth(now_ms)

    def _check_depth(self, now_ms: int) -> None:
        for side in self.sides:
            if len(side.levels) > self._max_levels:
                side.prune(self._max_levels // 2)
        if self._phase is _Phase.LIVE and any(
            side.has_fewer_than(self._min_levels) for side in self.sides
        ):
            self._phase = _Phase.SHALLOW
            self._report_resync("too_shallow", now_ms)

    def _discard(self, token: str, reason: str, now_ms: int) -> None:
        """Discard the levels, which are wrong, and wait for a snapshot."""
        self._reset_pause(now_ms)
        self._sync.desync(reason)
        self._replace(Sides(BookSide(self.sides.bids.keys), BookSide(self.sides.asks.keys)), reason)
        self._enter(_Phase.SYNCING)
        self._report_resync(token, now_ms)

    def _is_before(self, time_ms: int) -> bool:
        """Whether the book is clearly older than a change at `time_ms`."""
        return 0 < self.transaction_time_ms < time_ms - ID_RESTART_MS

    # Snapshots

    def _check_empty(self, snapshot: DepthSnapshot) -> None:
        """Raise `ValueError` if a side is empty in this snapshot, and was not in the last one."""
        was_empty, self._was_empty = self._was_empty, not (snapshot.bids and snapshot.asks)
        if self._was_empty and not was_empty:
            sides = (("bids", snapshot.bids), ("asks", snapshot.asks))
            missing = " and no ".join(name for name, levels in sides if not levels)
            raise ValueError(f"it has no {missing}; the next one shows whether the book has none")

    def _rebuild(self, snapshot: DepthSnapshot, sides: Sides, now_ms: int) -> bool:
        updates = self._sync.load(snapshot)
        if not self._sync.live:
            self.counters.snapshots_unused += 1
            return False
        self._settled_since_ms = now_ms
        self._use(snapshot, sides, updates, now_ms)
        return self._sync.live

    def _verify(self, snapshot: DepthSnapshot, sides: Sides, now_ms: int) -> bool:
        """Take a snapshot after an outage, when no update has shown whether any was missed."""
        if snapshot.last_update_id < self.last_update_id:
            if not self._is_before(snapshot.transaction_time_ms):
                self.counters.snapshots_unused += 1
                return False
            self.ids_restarted(now_ms)
        elif snapshot.last_update_id > self.last_update_id:
            self._report_resync("missed", now_ms)
        return self._rebuild(snapshot, sides, now_ms)

    def _reload(self, snapshot: DepthSnapshot, sides: Sides, now_ms: int) -> bool:
        """Replace the levels of a live book once its updates have reached a snapshot.

        Returns False if the snapshot is of no use.
        """
        if snapshot.last_update_id > self.last_update_id or not self._sync.has_recent:
            self._ahead = snapshot, sides
            return True
        self._ahead = None
        updates = self._sync.reload(snapshot)
        self._sync.keep_recent(0)
        if updates is None:
            self.counters.snapshots_unused += 1
            return False
        self._pause_ms = 0  # in a fast market the next one is wanted soon
        self._next_request_ms = min(self._next_request_ms, now_ms + FIRST_PAUSE_MS)
        self._use(snapshot, sides, updates, now_ms)
        return True

    def _use(
        self, snapshot: DepthSnapshot, sides: Sides, updates: list[DepthUpdate], now_ms: int
    ) -> None:
        """Replace the levels by a snapshot and the `updates` after it."""
        self.counters.snapshots_used += 1
        self._replace(sides, "the book was rebuilt from a snapshot")
        self._enter(_Phase.LIVE)
        self.last_update_id = snapshot.last_update_id
        self.event_time_ms = snapshot.event_time_ms
        self.transaction_time_ms = snapshot.transaction_time_ms
        self.updated_ms = now_ms
        for update in updates:
            self._apply(update, now_ms)
            if not self._sync.live:
                break

    def _replace(self, sides: Sides, reason: str) -> None:
        self.sides = sides
        self._break_journal(reason)

    def _break_journal(self, reason: str) -> None:
        if self.journal is not None:
            self.journal.broken = reason
            self.journal = None

    # Phases, pauses, notices

    def _enter(self, phase: _Phase) -> None:
        """Change the phase; only `updates_resumed` leaves `LOST`."""
        if self._phase is not _Phase.LOST:
            self._phase = phase

    def _outdate_request(self) -> None:
        if self._request in _PENDING:
            self._request = _Request.OUTDATED

    def _reset_pause(self, now_ms: int) -> None:
        """Start again with the first pause if the book was live for long without a request."""
        if (
            self._phase in (_Phase.LIVE, _Phase.SHALLOW)
            and now_ms - self._settled_since_ms >= SETTLED_MS
        ):
            self._pause_ms = 0

    def _report_gap(self, update: DepthUpdate, now_ms: int) -> None:
        """Report that updates before `update` are missing, and wait for a snapshot."""
        self._reset_pause(now_ms)
        self._enter(_Phase.SYNCING)
        self.counters.gaps += 1
        self._notices.append(
            Gap(
                streams=self.streams,
                time_ms=now_ms,
                symbol=self.symbol,
                after_id=self.last_update_id,
                before_id=update.first_update_id,
                missing=None,
            )
        )
        self._report_resync("gap", now_ms)

    def _report_resync(self, token: str, now_ms: int) -> None:
        self.counters.resyncs += 1
        if not self._sync.live:
            self._ahead = None
            self._cause = _CAUSES[token]
        self._notices.append(
            BookResyncing(streams=self.streams, time_ms=now_ms, symbol=self.symbol, reason=token)
        )


MAX_BUFFERED_OF_RECORDED = 256
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
        self.book = book or LocalBook(symbol, limit=limit, max_buffered=MAX_BUFFERED_OF_RECORDED)
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
