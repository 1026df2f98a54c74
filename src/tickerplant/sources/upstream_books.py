"""The books of an upstream: followed here, and brought into the market when they are whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tickerplant.client.books import Books
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.events import BookSnapshot
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.messages.book import SNAPSHOT_LEVELS, DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.notice import BookResyncing, BookSynced, Notice
from tickerplant.plant import Plant
from tickerplant.raw_events import RawDepth, level_units
from tickerplant.sources.wanted import BASE_SPEED
from tickerplant.venue import Venue

ANEW_MS = 5_000
"""Updates older than the book that come so long after its last one are of a server whose ids began
anew."""


class UpstreamBooks:
    """The books of one venue that are kept here, and their markets.

    Args:
        runner: Has the depth updates.
        rest: Has the snapshots.
        plant: Whose markets have the books.
        venue: Of the books.
        left_out: Books that were not taken in are counted here, by what was wrong with them.
        pass_on: Is called with each depth update, before it is taken in.
        noticed: Is called with each notice, once however many books it is about.
        failed: Is called while an exception is handled, when an update could not be dealt with.
    """

    def __init__(
        self,
        runner: FeedRunner,
        rest: RestClient,
        plant: Plant,
        venue: Venue,
        left_out: Counter[str],
        *,
        pass_on: Callable[[Message], object],
        noticed: Callable[[Notice], object],
        failed: Callable[[], object],
    ) -> None:
        self._plant = plant
        self._markets = plant.venues[venue.name]
        self._left_out = left_out
        self._pass_on = pass_on
        self._noticed = noticed
        self._failed = failed
        self._feed = runner.feed
        self._last_notice: Notice | None = None
        self._moved_ms: dict[str, int] = {}
        """When a book last went on, by symbol."""
        self._books = Books(
            runner,
            rest,
            speed=BASE_SPEED.removeprefix("@"),
            limit=SNAPSHOT_LEVELS,
            on_update=self._changed,
        )

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._books

    def get(self, symbol: str) -> LocalBook | None:
        """Return the book of `symbol`, None if it is not kept."""
        return self._books.get(symbol)

    def add(self, symbol: str) -> None:
        """Follow a book from now on."""
        self._books.add(symbol)

    def remove(self, symbol: str, reason: str) -> None:
        """Follow a book no longer."""
        self._books.remove(symbol)
        self._drop(symbol, reason)

    def load(self, book: LocalBook) -> None:
        """Let the market have the book as it is now, all of it."""
        market = self._markets.by_symbol.get(book.symbol)
        if market is None:
            return
        self._moved_ms[book.symbol] = self._feed.now_ms
        bids, asks = (side.top(len(side.levels)) for side in book.sides)
        try:
            snapshot = BookSnapshot(
                book.symbol,
                book.last_update_id,
                level_units(market.instrument, bids),
                level_units(market.instrument, asks),
                book.transaction_time_ms,
            )
        except ValueError:
            self._left_out["more decimals than the instrument"] += 1
            self._drop(book.symbol, "more decimals than the instrument")
        else:
            self._plant.publish(snapshot)

    def close(self) -> None:
        """Follow none any more."""
        self._books.close()

    def _changed(self, book: LocalBook, item: Message | Notice) -> None:
        """Pass a depth update on; bring it into the market if the book is whole with it."""
        try:
            if isinstance(item, Notice):
                self._take_notice(book, item)
            elif isinstance(item, DepthUpdate):
                self._take_update(book, item)
        except Exception:  # noqa: BLE001  # the books would be closed, all of them
            self._failed()

    def _take_notice(self, book: LocalBook, notice: Notice) -> None:
        if isinstance(notice, BookSynced):
            self.load(book)
            return
        if isinstance(notice, BookResyncing) and book.state is not State.LIVE:
            self._drop(book.symbol, notice.reason)
        if notice is not self._last_notice:  # it comes once for each book that it is about
            self._noticed(notice)
        self._last_notice = notice

    def _take_update(self, book: LocalBook, update: DepthUpdate) -> None:
        self._pass_on(update)
        symbol, now_ms = book.symbol, self._feed.now_ms
        market = self._markets.by_symbol.get(symbol)
        if book.last_update_id != update.final_update_id:
            self._look_for_new_ids(book, update, now_ms)
        elif market is not None:
            self._moved_ms[symbol] = now_ms
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

    def _look_for_new_ids(self, book: LocalBook, update: DepthUpdate, now_ms: int) -> None:
        """Begin a book anew whose updates stay behind it: the upstream counts from elsewhere."""
        symbol = book.symbol
        is_behind = update.final_update_id < book.last_update_id
        if is_behind and now_ms - self._moved_ms.get(symbol, now_ms) >= ANEW_MS:
            self._moved_ms.pop(symbol)
            self.remove(symbol, "the ids of the upstream began anew")
            self.add(symbol)

    def _drop(self, symbol: str, reason: str) -> None:
        """Let nothing be told of a book that is not followed any more."""
        self._moved_ms.pop(symbol, None)
        market = self._markets.by_symbol.get(symbol)
        if market is not None and market.book_live:
            market.book_sync.drop(reason)
