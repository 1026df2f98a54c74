"""The local order book of one symbol: a snapshot, and every update since.

    syncing ── load: a snapshot that the updates continue, or that is newer ──────▶ live
    live    ── an update is missing, a level cannot be read, the book is crossed ─▶ syncing
    any     ── ids_anew: another server, or one that was restarted ────────────────▶ syncing
    live    ── feed_lost ──────────────────────────────────────────────────────────▶ stale
    stale   ── feed_back, and the next update continues the last one ─────────────▶ live
    stale   ── feed_back, and it does not ─────────────────────────────────────────▶ syncing

The book asks for nothing itself: it says when it wants a snapshot, and whoever does input and
output fetches it.  What is kept of a level is the pair of texts that the exchange printed, so what
is read is what was printed; integers of 10^-8 put the prices in order.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, StrEnum

from msgspec import DecodeError as NotJson

from tickerplant.feed.book_counters import BookCounters
from tickerplant.feed.book_journal import Applied, Journal
from tickerplant.feed.book_refresh import Refresh
from tickerplant.feed.book_side import BookSide, PriceKeys, Sides
from tickerplant.feed.cursor import RESTARTED
from tickerplant.feed.depth_snapshot import read_snapshot
from tickerplant.market.book_sync import BookSync
from tickerplant.messages.book import SNAPSHOT_LEVELS, DepthSnapshot, DepthUpdate
from tickerplant.messages.notice import BookResyncing, Gap, Notice
from tickerplant.raw_events import RawLevel

BUFFERED = 600
"""Updates kept while waiting for a snapshot: a minute of `@depth@100ms`; the oldest are forgotten."""

WIDEST = 4
"""A side holds at most this many times the levels of a snapshot; half of the worst are forgotten."""

LOW = 4
"""A side wants a new snapshot when it has less than one in so many of the levels of a snapshot."""

FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 32_000
"""The pause after a question doubles, up to this."""

SETTLED_MS = 60_000
"""A book that was live for so long, and asked nothing, starts again with the first pause."""

PATIENCE_MS = 5000
"""After this long without an update, a book that is heard again asks whether it missed any."""

ANEW_MS = 1000
"""What is younger by so much and has a lower id shows that the ids begin anew."""

UNTOLD_NOTICES = 64
"""Notices kept until `drain`; the oldest are forgotten."""


class State(StrEnum):
    """How far a book can be trusted."""

    SYNCING = "syncing"
    """It waits for a snapshot; what is read is true of `last_update_id`, and there may be none."""
    LIVE = "live"
    """It is what the updates say, without a gap."""
    STALE = "stale"
    """It was live, and nothing is heard of it; what is read is true of `last_update_id`."""


class _Question(Enum):
    """The question for a snapshot."""

    NONE = "none"
    OUT = "out"
    """It was asked, and neither an answer nor its failure has come."""
    VOID = "void"
    """So it is, and since then the feed came back or the ids began anew: the answer may be too old."""


class LocalBook:
    """The order book of `symbol`: offer updates, load snapshots when it wants one, and read.

    Times, those of its notices too, are milliseconds by one clock that never goes back; nothing here
    looks at a clock.
    """

    def __init__(
        self,
        symbol: str,
        *,
        limit: int = SNAPSHOT_LEVELS,
        streams: tuple[str, ...] = (),
        buffered: int = BUFFERED,
    ) -> None:
        """Make an empty book that wants a snapshot of `limit` levels a side.

        `streams` are what its notices are said to be about; `buffered` bounds the updates that are
        kept while a snapshot is waited for.
        """
        self.symbol = symbol
        self.limit = limit
        self.streams = streams
        self.counters = BookCounters()
        self.last_update_id = 0
        self.event_time_ms = 0
        """When the latest update or snapshot was sent, 0 before the first."""
        self.transaction_time_ms = 0
        """When the book last changed, 0 before the first snapshot."""
        self._enough = max(limit // LOW, 1)
        self._most = limit * WIDEST
        remembered = 2 * self._most
        self.sides = Sides(BookSide(PriceKeys(1, remembered)), BookSide(PriceKeys(-1, remembered)))
        self._sync: BookSync[DepthUpdate] = BookSync(buffered)
        self._notices: deque[Notice] = deque()
        self._journal: Journal | None = None
        self._lost = ""
        """Why nothing is heard; empty while the feed is."""
        self._doubtful = False
        """The feed is back, and whether it missed anything will be seen."""
        self._question = _Question.NONE
        self._low = False
        """A live book that does not reach far enough."""
        self._refresh: Refresh | None = None
        self._pause_ms = 0
        self._ask_after_ms = 0
        self._doubt_until_ms = 0
        self._calm_since_ms = 0
        """Since when the book, if it is live, is so and has asked nothing."""

    def offer(self, update: DepthUpdate, now_ms: int) -> bool:
        """Take the next update of the stream; return whether it was applied."""
        sync = self._sync
        was_live = sync.live
        if update.symbol != self.symbol:
            self.counters.left_out += 1
            return False
        if sync.offer(update):
            if self._doubtful:
                self._doubtful = False
                self._calm_since_ms = now_ms
            self._take(update, now_ms)
            if self._refresh is not None and sync.live:
                self._offer_to_refresh(self._refresh, update, now_ms)
            return sync.live
        if was_live and sync.live:
            if not self._is_before(update.transaction_time_ms):
                self.counters.left_out += 1
                return False
            self.ids_anew(now_ms)
            sync.offer(update)
        elif was_live:
            self._settle(now_ms)
            self._doubtful = False
            self.counters.gaps += 1
            before_id = update.first_update_id
            self._tell(
                Gap(
                    streams=self.streams,
                    time_ms=now_ms,
                    symbol=self.symbol,
                    after_id=self.last_update_id,
                    before_id=before_id,
                    missing=None,
                )
            )
            self._begin_anew("gap", now_ms)
        if not sync.live:
            self.counters.buffered += 1
            self._count_forgotten(sync)
        return False

    @property
    def wants_snapshot(self) -> bool:
        """Whether a snapshot of `limit` levels is of use, and none is on its way.

        It must not be asked for before `next_ask_ms`, and `asked` told when it is.
        """
        if self._question is not _Question.NONE or self._lost:
            return False
        return not self._sync.live or self._doubtful or (self._low and self._refresh is None)

    @property
    def next_ask_ms(self) -> int:
        """When the next snapshot may be asked for; 0 for at once."""
        if self._doubtful:
            return max(self._ask_after_ms, self._doubt_until_ms)
        return self._ask_after_ms

    def asked(self, now_ms: int) -> None:
        """Take note that a snapshot is asked for; `load` or `snapshot_failed` must follow."""
        self._question = _Question.OUT
        if self._sync.live:
            self._settle(now_ms)
            self._calm_since_ms = now_ms
        self._pause_ms = min(max(2 * self._pause_ms, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)
        self._ask_after_ms = now_ms + self._pause_ms
        if self._sync.live and not self._doubtful:
            self._refresh = Refresh(BUFFERED)

    def snapshot_failed(self, now_ms: int) -> None:  # noqa: ARG002 - every event has its time
        """Take note that what was asked for does not come."""
        self._question = _Question.NONE
        self._refresh = None
        self.counters.snapshots_failed += 1

    def load(self, snapshot: DepthSnapshot | bytes | str, now_ms: int) -> bool:
        """Take the snapshot that was asked for; return whether it is of use.

        One that is not in the documented form, or crossed, counts as failed.
        """
        try:
            snapshot = read_snapshot(snapshot, self.symbol)
            sides = self.sides.beside(snapshot, self.limit)
        except (NotJson, ValueError):
            self.snapshot_failed(now_ms)
            return False
        question, self._question = self._question, _Question.NONE
        refresh, self._refresh = self._refresh, None
        if question is _Question.VOID:
            self.counters.snapshots_unused += 1
            return False
        if not self._sync.live:
            return self._load_anew(snapshot, sides, now_ms)
        if self._doubtful:
            return self._load_in_doubt(snapshot, sides, now_ms)
        if refresh is not None:
            return self._load_refresh(refresh, snapshot, sides, now_ms)
        self.counters.snapshots_unused += 1
        return False

    def feed_lost(self, reason: str, now_ms: int) -> None:
        """Take note that the stream of updates is not heard: the book is stale from here."""
        if not self._lost:
            self.counters.stale_spells += 1
            if self._sync.live:
                self._settle(now_ms)
        self._lost = reason or "not heard"
        self._doubtful = False

    def feed_back(self, now_ms: int) -> None:
        """Take note that the stream is heard again; the next update says what was missed."""
        if self._lost:
            self._lost = ""
            self._make_void()
            self._doubtful = self._sync.live
            self._doubt_until_ms = now_ms + PATIENCE_MS

    def ids_anew(self, now_ms: int) -> None:
        """Take note that the ids begin anew: nothing that is known can be compared with them.

        The content stays as it is until a snapshot comes, one that was not asked for yet.
        """
        was_live = self._sync.live
        if was_live:
            self._settle(now_ms)
        self._sync.forget(RESTARTED)
        self._doubtful = False
        self._refresh = None
        self._make_void()
        self._break_journal(RESTARTED)
        if was_live:
            self._begin_anew("anew", now_ms)

    def drain(self) -> list[Notice]:
        """Return what happened since the last call, in its order."""
        notices = list(self._notices)
        self._notices.clear()
        return notices

    def keep_journal(self, size: int) -> Journal:
        """Begin a journal of up to `size` updates, in place of the last one; it ends when broken."""
        if self._journal is not None:
            self._journal.broken = "another journal was begun"
        self._journal = Journal(self.last_update_id, size)
        return self._journal

    def end_journal(self, journal: Journal) -> None:
        """Write no more into `journal`."""
        if self._journal is journal:
            self._journal = None

    @property
    def state(self) -> State:
        """Whether the book can be trusted; `reason` says why not."""
        if self._lost or self._doubtful:
            return State.STALE
        if not self._sync.live or self._exhausted:
            return State.SYNCING
        return State.LIVE

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        if self._lost:
            return self._lost
        if self._doubtful:
            return "heard again; the next update tells whether any is missing"
        if not self._sync.live:
            return self._sync.reason
        return "reach: no level that the snapshot told is left on a side" if self._exhausted else ""

    @property
    def best_bid(self) -> RawLevel | None:
        """Price and quantity of the highest bid, as printed."""
        return self.sides.bids.best

    @property
    def best_ask(self) -> RawLevel | None:
        """Price and quantity of the lowest ask, as printed."""
        return self.sides.asks.best

    def bids(self, count: int) -> list[RawLevel]:
        """Return up to `count` bids as printed, highest first."""
        return self.sides.bids.top(count)

    def asks(self, count: int) -> list[RawLevel]:
        """Return up to `count` asks as printed, lowest first."""
        return self.sides.asks.top(count)

    @property
    def bid_reach(self) -> str | None:
        """The lowest price at which bids are known, None if all of them are."""
        return self.sides.bids.reach_text

    @property
    def ask_reach(self) -> str | None:
        """The highest price at which asks are known, None if all of them are."""
        return self.sides.asks.reach_text

    def __repr__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        bid, ask = self.best_bid, self.best_ask
        return (
            f"<LocalBook {self.symbol} {self.state}{reason} {bid and bid[0]}/{ask and ask[0]} "
            f"{len(self.sides.bids.levels)}+{len(self.sides.asks.levels)} levels "
            f"u={self.last_update_id}>"
        )

    @property
    def _exhausted(self) -> bool:
        bids, asks = self.sides
        if bids.levels and asks.levels:
            return False
        return bids.fewer_than(1) or asks.fewer_than(1)

    def _take(self, update: DepthUpdate, now_ms: int) -> None:
        """Apply `update`, which continues the book."""
        bids, asks = self.sides
        try:
            if self._journal is not None:
                self._journal.add(
                    Applied(update, bids.before(update.bids), asks.before(update.asks))
                )
            bids.apply(update.bids)
            asks.apply(update.asks)
        except ValueError as error:
            self._spoilt("unreadable", f"unreadable: {error}", now_ms)
            return
        self.last_update_id = update.final_update_id
        self.event_time_ms = update.event_time_ms
        self.transaction_time_ms = update.transaction_time_ms
        self.counters.applied += 1
        if bids.bound + asks.bound >= 0 and self.sides.crossed:
            self._spoilt("crossed", self.sides.crossing, now_ms)
            return
        enough, most = self._enough, self._most
        if not enough <= len(bids.levels) <= most or not enough <= len(asks.levels) <= most:
            self._mind_the_reach(now_ms)

    def _mind_the_reach(self, now_ms: int) -> None:
        for side in self.sides:
            if len(side.levels) > self._most:
                self.counters.pruned += side.prune(self._most // 2)
        if not self._low and any(side.fewer_than(self._enough) for side in self.sides):
            self._low = True
            self._begin_anew("reach", now_ms)

    def _spoilt(self, token: str, reason: str, now_ms: int) -> None:
        """Forget the content, which is wrong, and begin anew."""
        self._settle(now_ms)
        self._sync.drop(reason)
        self._replace(Sides(BookSide(self.sides.bids.keys), BookSide(self.sides.asks.keys)), reason)
        self._begin_anew(token, now_ms)

    def _begin_anew(self, token: str, now_ms: int) -> None:
        self.counters.resyncs += 1
        if not self._sync.live:
            self._refresh = None
        self._tell(
            BookResyncing(streams=self.streams, time_ms=now_ms, symbol=self.symbol, reason=token)
        )

    def _replace(self, sides: Sides, reason: str) -> None:
        """Make `sides` the content, of which the journal knows nothing."""
        self.sides = sides
        self._low = False
        self._break_journal(reason)

    def _break_journal(self, reason: str) -> None:
        if self._journal is not None:
            self._journal.broken = reason
            self._journal = None

    def _make_void(self) -> None:
        if self._question is _Question.OUT:
            self._question = _Question.VOID

    def _settle(self, now_ms: int) -> None:
        """Start again with the first pause, if the book, which was whole, was calm for long."""
        is_heard = not self._lost and not self._doubtful
        if is_heard and now_ms - self._calm_since_ms >= SETTLED_MS:
            self._pause_ms = 0

    def _is_before(self, time_ms: int) -> bool:
        """Whether the book is clearly older than what happened at `time_ms`."""
        return 0 < self.transaction_time_ms < time_ms - ANEW_MS

    def _load_anew(self, snapshot: DepthSnapshot, sides: Sides, now_ms: int) -> bool:
        updates = self._sync.load(snapshot)
        if not self._sync.live:
            self.counters.snapshots_unused += 1
            return False
        self._calm_since_ms = now_ms
        self._doubtful = False
        self._use(snapshot, sides, updates, now_ms)
        return self._sync.live

    def _load_in_doubt(self, snapshot: DepthSnapshot, sides: Sides, now_ms: int) -> bool:
        """Take a snapshot after the feed was lost, when no update has told what was missed."""
        if snapshot.last_update_id < self.last_update_id:
            if not self._is_before(snapshot.transaction_time_ms):
                self.counters.snapshots_unused += 1
                return False
            self.ids_anew(now_ms)
        elif snapshot.last_update_id > self.last_update_id:
            self._begin_anew("missed", now_ms)
        return self._load_anew(snapshot, sides, now_ms)

    def _load_refresh(
        self, refresh: Refresh, snapshot: DepthSnapshot, sides: Sides, now_ms: int
    ) -> bool:
        if not refresh.load(snapshot, sides):
            self.counters.snapshots_unused += 1
            return False
        self._refresh = refresh
        self._swap_if_joined(refresh, now_ms)
        return True

    def _offer_to_refresh(self, refresh: Refresh, update: DepthUpdate, now_ms: int) -> None:
        refresh.offer(update)
        if refresh.snapshot is None:
            self.counters.buffered += 1
            self._count_forgotten(refresh.join)
        elif refresh.join.live:
            self._swap_if_joined(refresh, now_ms)
        else:
            self._refresh = None
            self.counters.snapshots_unused += 1

    def _swap_if_joined(self, refresh: Refresh, now_ms: int) -> None:
        snapshot, sides = refresh.snapshot, refresh.sides
        if refresh.join.joined and snapshot is not None and sides is not None:
            self._refresh = None
            self._use(snapshot, sides, refresh.updates, now_ms)

    def _use(
        self, snapshot: DepthSnapshot, sides: Sides, updates: list[DepthUpdate], now_ms: int
    ) -> None:
        """Make `snapshot` and the `updates` after it the content."""
        self.counters.snapshots_used += 1
        self._replace(sides, "the book began anew from a snapshot")
        self.last_update_id = snapshot.last_update_id
        self.event_time_ms = snapshot.event_time_ms
        self.transaction_time_ms = snapshot.transaction_time_ms
        for update in updates:
            self._take(update, now_ms)
            if not self._sync.live:
                break

    def _count_forgotten(self, join: BookSync[DepthUpdate]) -> None:
        self.counters.forgotten += join.forgotten
        join.forgotten = 0

    def _tell(self, notice: Notice) -> None:
        self._notices.append(notice)
        if len(self._notices) > UNTOLD_NOTICES:
            self._notices.popleft()
            self.counters.notices_forgotten += 1
