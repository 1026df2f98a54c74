"""What a recording holds of a symbol over a span of time, read once and kept in columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf, nan

from msgspec import Struct, field

from tickerplant.archive.outage_log import NEVER, OutageLog
from tickerplant.archive.recording import Recording, manifest_of
from tickerplant.feed.order_book import OrderBook
from tickerplant.formatting import names_text
from tickerplant.messages.book import BookTicker, DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.plotting.columns import MAX_LEVELS, BookSample, Columns, Quotes, Trades
from tickerplant.recording.opening import recorded_files
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import NS_PER_S

QUIET_NS = 10 * NS_PER_S
"""After so long without any message of the symbol, it counts as not recorded; or after a column."""
MOST_HOLES = 1_000
"""Most times of a book that is out of sync which are kept; all are counted."""
REPORT_EVERY = 5_000
"""Messages between two reports of progress."""
TICKER, BOOK, ALL_TICKERS, BEST_LEVELS = "bookTicker", "book", "!bookTicker", "best levels"
QUOTE_SOURCES = (TICKER, BOOK, ALL_TICKERS, BEST_LEVELS)
"""Where best prices are taken from: the first of these that was recorded."""
TRADE_KINDS = ("trade", "aggTrade")
"""Where trades are taken from, likewise."""
KINDS = frozenset({*TRADE_KINDS, "bookTicker", "depth"})
NOT_RECORDED = "nothing of the symbol was recorded"


class Hole(Struct, frozen=True, order=True):
    """A time in which something was not recorded."""

    from_ns: int
    to_ns: int
    reason: str
    streams: tuple[str, ...] = ()
    """What was not recorded: streams, or the book; empty for everything of the symbol."""

    @property
    def what(self) -> str:
        """What was not recorded, as text."""
        return names_text(self.streams) or "everything"


class Tape(Struct):
    """What was recorded of a symbol, in columns."""

    symbol: str
    columns: Columns
    quotes: dict[str, Quotes]
    """By source."""
    trades: dict[str, Trades]
    """By kind of stream."""
    books: list[BookSample | None]
    """Of each column the book after the first update with which it was in sync; None without one."""
    holes: list[Hole] = []
    """In order of time."""
    more_holes: int = 0
    """Holes that are not in the list."""
    messages: int = 0
    unreadable: int = 0
    depth_streams: set[str] = field(default_factory=set)
    """Streams of changes of the book."""

    @property
    def quote_source(self) -> str:
        """The source that best prices are taken from; empty if there is none."""
        return next((each for each in QUOTE_SOURCES if each in self.quotes), "")

    @property
    def trade_kind(self) -> str:
        """The kind of stream that trades are taken from; empty if there is none."""
        return next((each for each in TRADE_KINDS if each in self.trades), "")

    @property
    def streams(self) -> set[str]:
        """The streams that are drawn."""
        found = set(self.depth_streams)
        if self.quote_source:
            found |= self.quotes[self.quote_source].streams
        if self.trade_kind:
            found |= self.trades[self.trade_kind].streams
        return found

    def carried_books(self) -> list[BookSample | None]:
        """Return the book of each column, also of those in which it did not change."""
        unknown = self.columns.touched(self.spans_without(self.depth_streams))
        broken = self.quotes[BOOK].broken if BOOK in self.quotes else unknown
        carried: list[BookSample | None] = []
        book: BookSample | None = None
        for at, found in enumerate(self.books):
            if found is not None:
                book = found
            elif unknown[at] or broken[at]:
                book = None
            carried.append(book)
            if broken[at]:
                book = None
        return carried

    def add_holes(self, holes: Iterable[Hole]) -> None:
        """Add holes, as many as there is room for; all are counted."""
        found = sorted([*self.holes, *holes])
        self.more_holes += max(len(found) - MOST_HOLES, 0)
        self.holes = sorted(sorted(found, key=lambda each: each.from_ns - each.to_ns)[:MOST_HOLES])

    def spans_without(self, streams: Iterable[str]) -> list[tuple[int, int]]:
        """Return the times in which one of some streams, or everything, was not recorded."""
        wanted = set(streams)
        return [
            (each.from_ns, each.to_ns)
            for each in self.holes
            if not (each.streams and wanted.isdisjoint(each.streams))
        ]


def read_tape(
    recording: Recording,
    symbol: str,
    columns: Columns,
    report: Callable[[int, int], object] = lambda _messages, _time_ns: None,
) -> Tape:
    """Return what a recording holds of a symbol."""
    tape = Tape(symbol, columns, {}, {}, [None] * columns.count)
    reader = _TapeReader(tape)
    for message, books in recording.with_books():
        reader.take(message, books.get(symbol))
        if not tape.messages % REPORT_EVERY:
            report(tape.messages, message.received_ns)
    reader.finish()
    tape.unreadable = recording.unreadable
    return tape


def known_outages(paths: Sequence[str], streams: Iterable[str], columns: Columns) -> list[Hole]:
    """Return when streams were not received in the time of the columns, according to the manifests."""
    wanted = set(streams)
    alike: defaultdict[tuple[int, int, str], list[str]] = defaultdict(list)
    for file in recorded_files(paths):
        for stream, outages in OutageLog(manifest_of(file)).outages.items():
            for each in outages if stream in wanted else ():
                if each.cause == NEVER:
                    continue  # it was, although no entry says that it was connected
                if each.to_ns >= columns.start_ns and each.from_ns < columns.end_ns:
                    alike[each.from_ns, each.to_ns, each.cause].append(stream)
    return [Hole(*facts, tuple(sorted(found))) for facts, found in alike.items()]


class _TapeReader:
    """Takes messages one after the other."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._last_ns = tape.columns.start_ns
        """When the last message was received."""
        self._quiet_ns = max(QUIET_NS, int(tape.columns.width_ns) + 1)
        self._column = -1
        """The last column that has a book."""
        self._broken: tuple[int, str] | None = None
        """Since when the book, which was in sync before, is not, and why."""
        self._was_live = False

    def take(self, message: Message, book: OrderBook | None) -> None:
        """Take the next message, with the book as of it."""
        tape, time_ns = self._tape, message.received_ns
        columns = tape.columns
        self._note_silence(time_ns)
        at = columns.at(time_ns)
        tape.messages += 1
        if isinstance(message, DepthUpdate):
            self._take_depth(message, book, at)
        elif isinstance(message, BookTicker):
            source = TICKER if parse_stream_name(message.stream).topic else ALL_TICKERS
            quotes = self._quotes(source, message.stream)
            quotes.add(at, _number(message.bid_price), _number(message.ask_price))
        elif isinstance(message, Trade):
            self._take_trade("trade", message, message.trade_id, at)
        elif isinstance(message, AggregateTrade):
            self._take_trade("aggTrade", message, message.aggregate_id, at)

    def finish(self) -> None:
        """Note what is missing at the end."""
        tape = self._tape
        self._note_silence(tape.columns.end_ns)
        if self._broken is not None:
            self._add_hole(Hole(self._broken[0], tape.columns.end_ns, self._broken[1], (BOOK,)))

    def _note_silence(self, time_ns: int) -> None:
        if time_ns - self._last_ns >= self._quiet_ns:
            self._add_hole(Hole(self._last_ns, time_ns, NOT_RECORDED))
        self._last_ns = max(self._last_ns, time_ns)

    def _take_depth(self, update: DepthUpdate, book: OrderBook | None, at: int) -> None:
        name = parse_stream_name(update.stream)
        if name.kind != "depth":
            return  # with RPI orders, which are in no book of others
        if name.levels:
            if update.bids and update.asks:
                quotes = self._quotes(BEST_LEVELS, update.stream)
                quotes.add(at, _number(update.bids[0][0]), _number(update.asks[0][0]))
            return
        self._tape.depth_streams.add(update.stream)
        if book is None:
            return
        quotes = self._quotes(BOOK, update.stream)
        bid, ask = book.best_bid, book.best_ask
        is_live = book.is_live
        if is_live and bid is not None and ask is not None:
            quotes.add(at, _number(bid.price), _number(ask.price))
        else:
            quotes.break_off(at)
        if is_live:
            if at > self._column:
                self._sample(book, at)
            self._was_live = True
            if self._broken is not None:
                self._add_hole(Hole(self._broken[0], update.received_ns, self._broken[1], (BOOK,)))
                self._broken = None
        elif self._broken is None:
            begin_ns = update.received_ns if self._was_live else self._tape.columns.start_ns
            self._broken = begin_ns, book.reason

    def _take_trade(self, kind: str, trade: Trade | AggregateTrade, number: int, at: int) -> None:
        trades = self._tape.trades.get(kind)
        if trades is None:
            trades = self._tape.trades[kind] = Trades.empty(self._tape.columns.count)
        trades.streams.add(trade.stream)
        price, quantity = _number(trade.price), _number(trade.quantity)
        trades.add(at, number, price, quantity, is_buy=not trade.buyer_is_maker)

    def _quotes(self, source: str, stream: str) -> Quotes:
        quotes = self._tape.quotes.get(source)
        if quotes is None:
            quotes = self._tape.quotes[source] = Quotes.empty(self._tape.columns.count)
        quotes.streams.add(stream)
        return quotes

    def _sample(self, book: OrderBook, at: int) -> None:
        self._column = at
        lowest, highest = book.lowest_known_bid, book.highest_known_ask
        self._tape.books[at] = BookSample.of(
            book.bids(MAX_LEVELS, numbers="float"),
            book.asks(MAX_LEVELS, numbers="float"),
            float(lowest) if lowest else 0.0,
            float(highest) if highest else inf,
        )

    def _add_hole(self, hole: Hole) -> None:
        if len(self._tape.holes) < MOST_HOLES:
            self._tape.holes.append(hole)
        else:
            self._tape.more_holes += 1


def _number(text: str) -> float:
    """Return a number of a message; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return nan
