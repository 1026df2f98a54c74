"""The books of an upstream: maintained here, and loaded into the market when they are in sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from sys import maxsize

from tickerplant.client.books import Books
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.events import BookSnapshot
from tickerplant.feed.order_book import BookState, OrderBook
from tickerplant.instrument import Instrument
from tickerplant.messages.book import SNAPSHOT_LEVELS, DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.notices import BookResyncing, BookSynced, Notice
from tickerplant.plant import Plant
from tickerplant.raw_events import RawDepth, level_units
from tickerplant.sources.subscriptions import BASE_SPEED
from tickerplant.venue import Venue

RESTART_MS = 5_000
"""Updates older than the book that come this long after its last one mean that the ids restarted."""


class UpstreamBooks:
    """Maintains books of one venue, and keeps those of its markets in step."""

    def __init__(
        self,
        runner: FeedRunner,
        rest: RestClient,
        plant: Plant,
        venue: Venue,
        skipped: Counter[str],
        *,
        forward: Callable[[Message], object],
        on_notice: Callable[[Notice], object],
        on_failure: Callable[[], object],
    ) -> None:
        self._plant = plant
        self._markets = plant.venues[venue.name]
        self._skipped = skipped
        self._forward = forward
        self._on_notice = on_notice
        self._on_failure = on_failure
        self._feed = runner.feed
        self._last_notice: Notice | None = None
        self._updated_ms: dict[str, int] = {}
        """When a book was last updated, by symbol."""
        self._books = Books(
            runner,
            rest,
            speed=BASE_SPEED.removeprefix("@"),
            limit=SNAPSHOT_LEVELS,
            on_update=self._take,
        )

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._books

    def get(self, symbol: str) -> OrderBook | None:
        """Return the book of `symbol`; None if it is not maintained."""
        return self._books.get(symbol)

    def add(self, symbol: str) -> None:
        """Maintain a book."""
        self._books.add(symbol)

    def remove(self, symbol: str, reason: str) -> None:
        """Stop maintaining a book."""
        self._books.remove(symbol)
        self._drop(symbol, reason)

    def load(self, book: OrderBook) -> None:
        """Load all of a book into its market."""
        market = self._markets.by_symbol.get(book.symbol)
        if market is None:
            return
        self._updated_ms[book.symbol] = self._feed.context.now_ms
        try:
            snapshot = BookSnapshot(
                book.symbol,
                book.update_id,
                level_units(market.instrument, book.bids(maxsize)),
                level_units(market.instrument, book.asks(maxsize)),
                book.transaction_time_ms,
                _units(market.instrument, book.lowest_known_bid),
                _units(market.instrument, book.highest_known_ask),
            )
        except ValueError:
            self._skipped["more decimals than the instrument"] += 1
            self._drop(book.symbol, "more decimals than the instrument")
        else:
            self._plant.publish(snapshot)

    def close(self) -> None:
        """Stop maintaining books."""
        self._books.close()

    def _take(self, book: OrderBook, item: Message | Notice) -> None:
        """Forward depth updates, and apply them to the market if the book is in sync."""
        try:
            if isinstance(item, Notice):
                self._take_notice(book, item)
            elif isinstance(item, DepthUpdate):
                self._take_update(book, item)
        except Exception:  # noqa: BLE001  # the feed would not deliver what comes after it
            self._on_failure()

    def _take_notice(self, book: OrderBook, notice: Notice) -> None:
        if isinstance(notice, BookSynced):
            self.load(book)
            return
        if isinstance(notice, BookResyncing) and book.state is not BookState.LIVE:
            self._drop(book.symbol, notice.reason)
        if notice is not self._last_notice:  # it comes once for each book that it is about
            self._on_notice(notice)
        self._last_notice = notice

    def _take_update(self, book: OrderBook, update: DepthUpdate) -> None:
        self._forward(update)
        symbol, now_ms = book.symbol, self._feed.context.now_ms
        market = self._markets.by_symbol.get(symbol)
        if book.update_id != update.final_update_id:
            self._check_for_restart(book, update, now_ms)
        elif market is not None:
            self._updated_ms[symbol] = now_ms
            if not market.book_live:
                self.load(book)
                return
            self._plant.publish(
                RawDepth(
                    update.event_time_ms,
                    update.transaction_time_ms,
                    update.symbol,
                    update.first_update_id,
                    update.final_update_id,
                    update.previous_update_id,
                    update.bids,
                    update.asks,
                )
            )

    def _check_for_restart(self, book: OrderBook, update: DepthUpdate, now_ms: int) -> None:
        """Rebuild a book whose updates stay behind it: the upstream's ids restarted."""
        symbol = book.symbol
        is_behind = update.final_update_id < book.update_id
        if is_behind and now_ms - self._updated_ms.get(symbol, now_ms) >= RESTART_MS:
            self._updated_ms.pop(symbol)
            self.remove(symbol, "the ids of the upstream restarted")
            self.add(symbol)

    def _drop(self, symbol: str, reason: str) -> None:
        """Invalidate the market's book, which is not maintained any more."""
        self._updated_ms.pop(symbol, None)
        market = self._markets.by_symbol.get(symbol)
        if market is not None and market.book_live:
            market.book_sync.desync(reason)


def _units(instrument: Instrument, price: str | None) -> int | None:
    return None if price is None else instrument.price.units[price]
