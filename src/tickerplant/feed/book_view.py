"""What readers see of a local book."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookSnapshot, OrderBook
from tickerplant.raw_events import RawLevel


class BookView(OrderBook):
    """A local book, read-only."""

    __slots__ = ("_now_ms",)
    _values: LocalBook

    def __init__(self, book: LocalBook, now_ms: Callable[[], int]) -> None:
        self._values = book
        self._now_ms = now_ms

    @property
    def update_id(self) -> int:
        """The id of the last update in it; 0 before the first snapshot."""
        return self._values.last_update_id

    @property
    def age_ms(self) -> int | None:
        """How long ago its last update was received; None before the first snapshot."""
        updated_ms = self._values.updated_ms
        return None if updated_ms is None else max(self._now_ms() - updated_ms, 0)

    def copy(self) -> BookSnapshot:
        """Return the book with all its known levels as it is now."""
        bids, asks = self._values.sides
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
        bids, asks = self._values.sides
        return bids.best, asks.best

    def _top(self, side: Literal["bids", "asks"], count: int) -> list[RawLevel]:
        return (self._values.sides.bids if side == "bids" else self._values.sides.asks).top(count)
