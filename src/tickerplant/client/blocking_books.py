"""Order books for programs without an event loop, maintained in another thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tickerplant.client import books as asynchronous
from tickerplant.client.event_loop import check_timeout, within
from tickerplant.client.loop_thread import LoopThread, OverError, called, waited
from tickerplant.feed.order_book import BookSnapshot, BookValues, OrderBook
from tickerplant.formatting import names_text
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.raw_events import RawLevel


class _ReadByThread:
    """The values of a book, each read by the thread that maintains it."""

    def __init__(self, thread: LoopThread, values: BookValues) -> None:
        self.thread = thread
        self.values = values

    def __getattr__(self, name: str) -> Any:
        return self.thread.call(lambda: getattr(self.values, name))

    def bids(self, count: int) -> Sequence[RawLevel]:
        return self.thread.call(lambda: self.values.bids(count))

    def asks(self, count: int) -> Sequence[RawLevel]:
        return self.thread.call(lambda: self.values.asks(count))


class ThreadedBook(OrderBook):
    """A book that the thread of the client maintains.

    Each attribute and method reads one state of it; `copy` returns all of one state.
    """

    __slots__ = ("_inner", "_thread")

    def __init__(self, thread: LoopThread, book: OrderBook) -> None:
        super().__init__(_ReadByThread(thread, book._values), book._now_ms)  # noqa: SLF001
        self._thread = thread
        self._inner = book

    def is_of(self, book: OrderBook) -> bool:
        """Whether it reads `book`."""
        return self._inner is book

    def copy(self) -> BookSnapshot:
        """Return the book with all its known levels, all of one state."""
        return self._thread.call(self._inner.copy)

    def __repr__(self) -> str:
        return self._thread.call(lambda: repr(self._inner))


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
                    lambda: f"no change of {names_text(tuple(self._books))}",
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
        self._inner = books
        self._views = views
        self._thread = views.thread

    add = called(asynchronous.Books.add)
    remove = called(asynchronous.Books.remove)
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> OrderBook:
        return self._views.of(self._thread.call(lambda: self._inner[symbol]))

    def __contains__(self, symbol: object) -> bool:
        return self._thread.call(lambda: symbol in self._inner)

    def __iter__(self) -> Iterator[str]:
        return iter(self._thread.call(lambda: tuple(self._inner)))

    def __len__(self) -> int:
        return self._thread.call(lambda: len(self._inner))

    def __repr__(self) -> str:
        return self._thread.call(lambda: repr(self._inner))

    @property
    def live(self) -> frozenset[str]:
        """The symbols whose books are in sync."""
        return self._thread.call(lambda: self._inner.live)

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and what the callback raised, if anything, was raised again."""
        return self._thread.call(lambda: self._inner.is_done)

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
        changes = self._thread.call(lambda: self._inner.changes(live_only=live_only))
        return BookChanges(self._inner, changes, self._views, timeout_s)

    wait_until_live = waited(asynchronous.Books.wait_until_live)
    audit = waited(asynchronous.Books.audit)

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`; iterators end."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._inner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OverError):
            self._thread.wait(self._inner.__aexit__(kind, error, trace))
