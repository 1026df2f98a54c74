"""The faults of order books in answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.faults.fault import Fault
from tickerplant.faults.params import MaybeDuration, Share, choice

STALE_MS = 10_000
"""How old the book of a stale snapshot is, where books of any age are kept, if nothing else is given."""


class EarlierBook(Struct, frozen=True):
    """An order book as it was, best levels first."""

    last_update_id: int
    event_time_ms: int | None
    """When it would have been answered; None if the answer has no such time."""
    transaction_time_ms: int | None
    """When it had changed; None if the answer has no such time."""
    bids: list[Any]
    asks: list[Any]


Book: TypeAlias = dict[str, Any]
"""An answer with an order book, as JSON."""
Find: TypeAlias = Callable[[], EarlierBook | None]
"""Returns the book as it was; None if that is not known."""


class SnapshotFault(Fault):
    """Happens to answers with an order book."""

    acts_on = "snapshot"
    acted_on = "snapshots"
    aims = ("venue", "symbol", "path", "method")
    occasion = "it acts on answers that have a book"

    def revise(self, book: Book, limit: int, earlier: Find) -> Book | None:
        """Return what comes in the place of a book of `limit` levels a side; None if nothing does."""
        raise NotImplementedError


class StaleSnapshot(SnapshotFault):
    """Order books over REST and the WebSocket API (`depth`) are as they were earlier, with the
    `lastUpdateId` and the times of then, as from a cache or a replica that lags. On a test server
    they are `age` old, 10 s without it; elsewhere as they were when the fault began, or as first
    answered, where the market is in another process.
    """

    joined = ("share",)
    share: Share = None
    age: MaybeDuration = None
    """How old they are, in market time. Only test servers keep books of any age."""

    def revise(self, book: Book, limit: int, earlier: Find) -> Book | None:
        found = earlier()
        if found is None or found.last_update_id >= book["lastUpdateId"]:
            return None
        times = {"E": found.event_time_ms, "T": found.transaction_time_ms}
        return {
            **book,
            "lastUpdateId": found.last_update_id,
            **{key: time for key, time in times.items() if key in book and time is not None},
            "bids": found.bids[:limit],
            "asks": found.asks[:limit],
        }


class CrossedBook(SnapshotFault):
    """In order books over REST and the WebSocket API, the best bid has the price of the best ask, and
    the best ask that of the best bid.
    """

    share: Share = None

    def revise(self, book: Book, _limit: int, _earlier: Find) -> Book | None:
        bids, asks = book["bids"], book["asks"]
        if not bids or not asks:
            return None
        (bid, bid_quantity), (ask, ask_quantity) = bids[0], asks[0]
        return {
            **book,
            "bids": [[ask, bid_quantity], *bids[1:]],
            "asks": [[bid, ask_quantity], *asks[1:]],
        }


class EmptyBook(SnapshotFault):
    """Order books over REST and the WebSocket API have no levels, on both sides or on one;
    `lastUpdateId` and times are right.
    """

    joined = ("share",)
    share: Share = None
    side: Annotated[Literal["both", "bids", "asks"], choice("both", "bids", "asks")] = "both"
    """The side without levels: `bids`, `asks` or `both`."""

    def revise(self, book: Book, _limit: int, _earlier: Find) -> Book | None:
        sides = ("bids", "asks") if self.side == "both" else (self.side,)
        if not any(book[each] for each in sides):
            return None
        return {**book, **{each: [] for each in sides}}
