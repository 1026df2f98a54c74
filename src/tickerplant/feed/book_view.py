"""What readers see of a local book."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookSnapshot, BookState, OrderBook
from tickerplant.raw_events import RawLevel


class BookView(OrderBook):
    """A local book, read-only."""

    __slots__ = ("_book", "_now_ms")

    def __init__(self, book: LocalBook, now_ms: Callable[[], int]) -> None:
        self._book = book
        self._now_ms = now_ms

    @property
    def symbol(self) -> str:
        """The symbol, in capitals."""
        return self._book.symbol

    @property
    def state(self) -> BookState:
        """How far the book can be trusted: `live`, `syncing` or `stale`."""
        return self._book.state

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        return self._book.reason

    @property
    def update_id(self) -> int:
        """The id of the last update in it; 0 before the first snapshot."""
        return self._book.last_update_id

    @property
    def event_time_ms(self) -> int:
        """When the exchange sent the last update in it; 0 before the first snapshot."""
        return self._book.event_time_ms

    @property
    def transaction_time_ms(self) -> int:
        """When the book last changed at the exchange; 0 before the first snapshot."""
        return self._book.transaction_time_ms

    @property
    def age_ms(self) -> int | None:
        """How long ago its last update was received; None before the first snapshot."""
        updated_ms = self._book.updated_ms
        return None if updated_ms is None else max(self._now_ms() - updated_ms, 0)

    @property
    def lowest_known_bid(self) -> str | None:
        """The lowest price down to which bids are known; None if all of them are."""
        return self._book.lowest_known_bid

    @property
    def highest_known_ask(self) -> str | None:
        """The highest price up to which asks are known; None if all of them are."""
        return self._book.highest_known_ask

    def copy(self) -> BookSnapshot:
        """Return the book with all its known levels as it is now."""
        bids, asks = self._book.sides
        return BookSnapshot(
            self.symbol,
            bids.top(len(bids.levels)),
            asks.top(len(asks.levels)),
            state=self.state,
            reason=self.reason,
            update_id=self.update_id,
            event_time_ms=self.event_time_ms,
            transaction_time_ms=self.transaction_time_ms,
            age_ms=self.age_ms,
            lowest_known_bid=self.lowest_known_bid,
            highest_known_ask=self.highest_known_ask,
        )

    def _best(self) -> tuple[RawLevel | None, RawLevel | None]:
        bids, asks = self._book.sides
        return bids.best, asks.best

    def _top(self, side: Literal["bids", "asks"], count: int) -> list[RawLevel]:
        return (self._book.sides.bids if side == "bids" else self._book.sides.asks).top(count)
