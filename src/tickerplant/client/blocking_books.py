"""Order books for programs without an event loop, maintained in another thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from tickerplant.client import books as asynchronous
from tickerplant.client.loop_thread import LoopThread, OverError
from tickerplant.client.subscription import streams_text
from tickerplant.client.timeouts import check_timeout, within
from tickerplant.feed.audit import AuditResult
from tickerplant.feed.order_book import BookSnapshot, BookState, OrderBook
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.raw_events import RawLevel


class ThreadedBook(OrderBook):
    """A book that the thread of the client maintains.

    Each attribute and method reads one state of it; `copy` returns all of one state.
    """

    __slots__ = ("_book", "_thread")

    def __init__(self, thread: LoopThread, book: OrderBook) -> None:
        self._thread = thread
        self._book = book

    def is_of(self, book: OrderBook) -> bool:
        """Whether it reads `book`."""
        return self._book is book

    @property
    def symbol(self) -> str:
        """The symbol, in capitals."""
        return self._book.symbol

    @property
    def state(self) -> BookState:
        """How far the book can be trusted: `live`, `syncing` or `stale`."""
        return self._thread.call(lambda: self._book.state)

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        return self._thread.call(lambda: self._book.reason)

    @property
    def update_id(self) -> int:
        """The id of the last update in it; 0 before the first snapshot."""
        return self._thread.call(lambda: self._book.update_id)

    @property
    def event_time_ms(self) -> int:
        """When the exchange sent the last update in it; 0 before the first snapshot."""
        return self._thread.call(lambda: self._book.event_time_ms)

    @property
    def transaction_time_ms(self) -> int:
        """When the book last changed at the exchange; 0 before the first snapshot."""
        return self._thread.call(lambda: self._book.transaction_time_ms)

    @property
    def age_ms(self) -> int | None:
        """How long ago its last update was received; None before the first snapshot."""
        return self._thread.call(lambda: self._book.age_ms)

    @property
    def lowest_known_bid(self) -> str | None:
        """The lowest price down to which bids are known; None if all of them are."""
        return self._thread.call(lambda: self._book.lowest_known_bid)

    @property
    def highest_known_ask(self) -> str | None:
        """The highest price up to which asks are known; None if all of them are."""
        return self._thread.call(lambda: self._book.highest_known_ask)

    def copy(self) -> BookSnapshot:
        """Return the book with all its known levels, all of one state."""
        return self._thread.call(self._book.copy)

    def _best(self) -> tuple[RawLevel | None, RawLevel | None]:
        return self._thread.call(lambda: (self._book.best_bid, self._book.best_ask))

    def _top(self, side: Literal["bids", "asks"], count: int) -> Sequence[RawLevel]:
        read = self._book.bids if side == "bids" else self._book.asks
        return self._thread.call(lambda: read(count))

    def __repr__(self) -> str:
        return self._thread.call(lambda: repr(self._book))


class ThreadedViews:
    """Makes the books of one `Books` readable from any thread, each by one object.

    Args:
        thread: The thread that maintains them.
    """

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self._books: dict[str, ThreadedBook] = {}

    def of(self, book: OrderBook) -> ThreadedBook:
        """Return a book that reads `book` from any thread, the same one at every call."""
        known = self._books.get(book.symbol)
        if known is None or not known.is_of(book):
            known = self._books[book.symbol] = ThreadedBook(self.thread, book)
        return known

    def callback(
        self, function: Callable[[OrderBook, Message | Notice], object]
    ) -> Callable[[OrderBook, Message | Notice], object]:
        """Return a callback that passes `function` the readable book."""
        return lambda book, item: function(self.of(book), item)


class BookChanges(Iterator[OrderBook]):
    """Yields each book that changed, until the books are closed.

    Args:
        books: The books.
        changes: Their iterator in the client's thread.
        views: Make them readable from any thread.
        timeout_s: How long to wait for a change; None waits indefinitely.
    """

    def __init__(
        self,
        books: asynchronous.Books,
        changes: AsyncIterator[OrderBook],
        views: ThreadedViews,
        timeout_s: float | None,
    ) -> None:
        self._books = books
        self._changes = changes
        self._views = views
        self._timeout_s = timeout_s

    def __next__(self) -> OrderBook:
        """Return the next book that changed.

        Raises:
            TimeoutError: None changed in time; the next call waits again.
        """
        book = None
        with suppress(OverError):
            book = self._views.thread.wait(
                within(
                    self._timeout_s,
                    lambda: anext(self._changes, None),
                    lambda: f"no change of {streams_text(tuple(self._books))}",
                )
            )
        if book is None:
            raise StopIteration
        return self._views.of(book)


class Books(Mapping[str, OrderBook]):
    """The order books of some symbols, by symbol, kept in sync with the exchange.

    Each book says whether it is in sync: `OrderBook.state` and `reason`.

        with market.books("BTCUSDT", "ETHUSDT") as books:
            for book in books.changes(live_only=True):
                print(book.symbol, book.mid)
    """

    def __init__(self, books: asynchronous.Books, views: ThreadedViews) -> None:
        self._books = books
        self._views = views
        self._thread = views.thread

    def add(self, *symbols: str) -> None:
        """Maintain the books of `symbols` too; existing ones stay as they are.

        Raises:
            ConfigError: A symbol is invalid.
            RuntimeError: The books are closed.
        """
        self._thread.call(lambda: self._books.add(*symbols))

    def remove(self, *symbols: str) -> None:
        """Stop maintaining the books of `symbols`; references to them become `stale`."""
        self._thread.call(lambda: self._books.remove(*symbols))

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> OrderBook:
        return self._views.of(self._thread.call(lambda: self._books[symbol]))

    def __contains__(self, symbol: object) -> bool:
        return self._thread.call(lambda: symbol in self._books)

    def __iter__(self) -> Iterator[str]:
        return iter(self._thread.call(lambda: tuple(self._books)))

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._books))

    def __repr__(self) -> str:
        return self._thread.call(lambda: repr(self._books))

    @property
    def live(self) -> frozenset[str]:
        """The symbols whose books are in sync."""
        return self._thread.call(lambda: self._books.live)

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and what the callback raised, if anything, was raised again."""
        return self._thread.call(lambda: self._books.is_done)

    def changes(
        self, *, live_only: bool = False, timeout_s: float | None = None
    ) -> Iterator[OrderBook]:
        """Return an iterator over the books that change, until they are closed.

        It begins with every book to which anything has happened.  It yields a book once for all
        changes since it was last yielded: a slow reader skips intermediate states but never the
        latest.  Several iterators are independent: each yields every book that changes.
        Exceptions from the callback are raised here too.

            for book in books.changes(live_only=True):
                print(book.symbol, book.best_bid, book.best_ask)

        Args:
            live_only: Whether to yield only books that are in sync at that time.
            timeout_s: How long to wait for a change before `TimeoutError` is raised; the next call
                waits again.

        Raises:
            ConfigError: `timeout_s` is invalid; or, by the iteration: the server knows none of the
                symbols.
            RequestError: By the iteration: the server refuses the snapshots of all books, none of
                which was ever live, for example because it lists no such symbol.  Beside a book that
                may become live, a refused one stops nothing: its `reason` says why.
        """
        check_timeout(timeout_s)
        changes = self._thread.call(lambda: self._books.changes(live_only=live_only))
        return BookChanges(self._books, changes, self._views, timeout_s)

    def wait_until_live(self, timeout_s: float | None = 30.0) -> None:
        """Wait until every book is live.  A book may go stale again at any time.

        Exceptions from the callback are raised here too.

        Args:
            timeout_s: How long to wait; None waits indefinitely.

        Raises:
            ConfigError: `timeout_s` is invalid, or the server does not know a symbol.
            TimeoutError: Some books did not become live in time; the message names them and says
                why.
            RequestError: The server refuses the snapshot of a book, for example of a symbol that it
                does not list; the message names the most similar one.  `remove` it or wait again;
                the snapshot is retried with increasing delays.
            RuntimeError: The books are closed.
        """
        self._thread.wait(self._books.wait_until_live(timeout_s))

    def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot, level by level.

        The comparison is skipped if the book is closed, removed or rebuilt before it ends.
        Exceptions from the callback are raised here too.

            assert books.audit("BTCUSDT").score == 1.0

        Raises:
            KeyError: There is no book of `symbol`.
            RequestError: The server refuses the snapshot.
            UpstreamError: The server cannot be reached.
        """
        return self._thread.wait(self._books.audit(symbol))

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`; iterators end."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._books.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OverError):
            self._thread.wait(self._books.__aexit__(kind, error, trace))
