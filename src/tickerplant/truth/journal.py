"""What happened in the markets of a plant: every change of every book, and every trade."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tickerplant.errors import ConfigError, RequestError
from tickerplant.events import AggregateTrade, BookSnapshot, DepthUpdate, RpiUpdate, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.book import OrderBook
from tickerplant.market.market import Market
from tickerplant.market.tape import AggregateTape, TradeTape
from tickerplant.stream_name import upper_case
from tickerplant.suggestions import suggestion
from tickerplant.truth import book_log
from tickerplant.truth.book_log import BookAt, BookLog, Chunk

MAX_BOOK_BYTES = 64 << 20
"""The memory for the changes of all books, unless told otherwise; the oldest are forgotten."""
MAX_LOOSE_CHUNKS = 16
"""Chunks that are not packed yet, the newest of all contracts: some 30 MB.  A short test packs none."""
WHOLE_SIDE = 1 << 40
"""More levels than a side of a book has."""
NOT_KEPT = -1
"""The code of errors about something that is not kept."""


class SymbolJournal:
    """What happened to one contract."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.book: BookLog | None = None
        """The changes of its book; None before its first."""
        self.rpi_id = 0
        """The id of the last change of its RPI orders, which take ids of the book's series."""
        self.trades = TradeTape(market.symbol)
        self.trade_count = 0
        """Trades so far, those that were forgotten included."""
        self.aggregates = AggregateTape(market.symbol)
        self.aggregate_count = 0

    @property
    def newest_id(self) -> int:
        """The highest update id that the exchange has named so far."""
        step = self.market.snapshot_id - self.market.book.last_update_id
        return max(self.market.snapshot_id, self.rpi_id + step)


class FoundBook(NamedTuple):
    """A book that was asked for."""

    instrument: Instrument
    book: BookAt
    asked_id: int
    oldest_id: int
    """The oldest update id at which the book is kept."""
    newest_id: int
    """The highest update id that the exchange has named so far."""


class Journal:
    """What happened in all markets; `on_event` takes what they emit."""

    def __init__(
        self, max_book_bytes: int = MAX_BOOK_BYTES, max_loose: int = MAX_LOOSE_CHUNKS
    ) -> None:
        self.symbols: dict[str, SymbolJournal] = {}
        """The contracts that anything happened to, also those that are not listed any more."""
        self.book_bytes = 0
        """The memory for packed changes of books."""
        self.forgotten_chunks = 0
        """Chunks of changes that were forgotten because `max_book_bytes` was reached."""
        self._max_book_bytes = max_book_bytes
        self._max_loose = max_loose
        self._loose: deque[tuple[BookLog, Chunk]] = deque()
        """The chunks that are not packed, oldest first, each with its log."""
        self._packed: deque[BookLog] = deque()
        """The log of each packed chunk, oldest first."""
        self._handlers: Mapping[type, Callable[[Market, Any], None]] = {
            DepthUpdate: self._on_depth,
            Trade: self._on_trade,
            AggregateTrade: self._on_aggregate,
            BookSnapshot: self._on_snapshot,
            RpiUpdate: self._on_rpi_update,
        }

    def on_event(self, market: Market, event: object) -> None:
        """Take an event that `market` has applied."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(market, event)

    def _of(self, market: Market) -> SymbolJournal:
        found = self.symbols.get(market.symbol)
        if found is None or found.market is not market:
            self._drop_book(found)
            found = self.symbols[market.symbol] = SymbolJournal(market)
        return found

    def _on_depth(self, market: Market, update: DepthUpdate) -> None:
        log = self._of(market).book
        if log is None:
            return  # its first snapshot is still to come
        changes = log.changes
        changes.append(update)
        if len(changes) >= book_log.CHUNK_CHANGES:
            self._loose.append((log, log.close(_book_of(market.book))))
            if len(self._loose) > self._max_loose:
                self._pack()

    def _pack(self) -> None:
        """Pack the oldest chunk that is not, and forget the oldest if there are too many bytes."""
        log, chunk = self._loose.popleft()
        self.book_bytes += chunk.pack()
        self._packed.append(log)
        while self.book_bytes > self._max_book_bytes:
            self.book_bytes -= self._packed.popleft().chunks.popleft().packed_bytes
            self.forgotten_chunks += 1

    def _on_snapshot(self, market: Market, _snapshot: BookSnapshot) -> None:
        journal = self._of(market)
        self._drop_book(journal)
        journal.book = BookLog(_book_of(market.book))

    def _drop_book(self, journal: SymbolJournal | None) -> None:
        """Forget the changes of a book that begins anew."""
        log = journal.book if journal is not None else None
        if log is not None:
            self.book_bytes -= sum(each.packed_bytes for each in log.chunks)
            self.forgotten_chunks += len(log.chunks)
            self._packed = deque(each for each in self._packed if each is not log)
            self._loose = deque(each for each in self._loose if each[0] is not log)

    def _on_trade(self, market: Market, trade: Trade) -> None:
        journal = self._of(market)
        journal.trades.append(trade)
        journal.trade_count += 1

    def _on_aggregate(self, market: Market, aggregate: AggregateTrade) -> None:
        journal = self._of(market)
        journal.aggregates.append(aggregate)
        journal.aggregate_count += 1

    def _on_rpi_update(self, market: Market, update: RpiUpdate) -> None:
        self._of(market).rpi_id = update.update_id

    # What is asked

    def of(self, symbol: str) -> SymbolJournal:
        """Return what happened to a contract."""
        found = self.symbols.get(upper_case(symbol))
        if found is None:
            known = sorted(self.symbols)
            expected = f"a symbol of this market, such as {', '.join(known[:3])}"
            raise ConfigError("symbol", symbol, expected + suggestion(upper_case(symbol), known))
        return found

    def book(self, symbol: str, update_id: int | None = None) -> FoundBook:
        """Return the book of a contract after the last change up to an update id.

        Raises:
            ConfigError: there is no such contract.
            RequestError: the book at that id is forgotten, or the market has not reached it.
        """
        journal = self.of(symbol)
        log, instrument = journal.book, journal.market.instrument
        name = instrument.symbol
        if log is None:
            raise RequestError(NOT_KEPT, f"{name} has no book yet", 404)
        oldest, newest = log.oldest_id, journal.newest_id
        if update_id is None:
            update_id = newest
        if not oldest <= update_id <= newest:
            kept = f"the books of {name} from update id {oldest} to {newest} are kept"
            why = "the market has not reached it yet"
            if update_id < oldest:
                why = "it is before the first book"
                if self.forgotten_chunks:
                    why = "it is forgotten, or from before the first book"
            raise RequestError(NOT_KEPT, f"no book at update id {update_id}: {why}; {kept}", 404)
        return FoundBook(instrument, log.at(update_id), update_id, oldest, newest)


def _book_of(book: OrderBook) -> BookAt:
    """Return the present state of a book."""
    return BookAt(book.last_update_id, book.transaction_time_ms, *book.top(WHOLE_SIDE))
