"""Local order books for programs without an event loop, maintained by another thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from tickerplant.client.books import Books
from tickerplant.client.loop_thread import LoopThread, OverError
from tickerplant.client.subscription import streams_text
from tickerplant.client.timeouts import within
from tickerplant.feed.audit import AuditResult
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.raw_events import RawLevel

T = TypeVar("T")


class BlockingBook:
    """One of the `BlockingBooks`; each read is atomic with respect to updates."""

    def __init__(self, thread: LoopThread, book: LocalBook) -> None:
        self.symbol = book.symbol
        self._thread = thread
        self._book = book

    def read(self, function: Callable[[LocalBook], T]) -> T:
        """Return what `function` returns for the `LocalBook`, all of it from the same state."""
        return self._thread.call(lambda: function(self._book))

    @property
    def state(self) -> State:
        """How far the book can be trusted."""
        return self.read(lambda book: book.state)

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        return self.read(lambda book: book.reason)

    @property
    def best_bid(self) -> RawLevel | None:
        """Price and quantity of the highest bid; None if there is none."""
        return self.read(lambda book: book.best_bid)

    @property
    def best_ask(self) -> RawLevel | None:
        """Price and quantity of the lowest ask; None if there is none."""
        return self.read(lambda book: book.best_ask)

    def bids(self, count: int) -> list[RawLevel]:
        """Return up to `count` bids, highest first."""
        return self.read(lambda book: book.bids(count))

    def asks(self, count: int) -> list[RawLevel]:
        """Return up to `count` asks, lowest first."""
        return self.read(lambda book: book.asks(count))

    def __repr__(self) -> str:
        return f"<BlockingBook {self.read(repr)}>"


class BlockingBooks:
    """The books of some symbols, by symbol; an iterator over those that changed, as `Books` is."""

    def __init__(self, thread: LoopThread, books: Books, timeout_s: float | None) -> None:
        self._thread = thread
        self._books = books
        self._timeout_s = timeout_s

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that have books."""
        return self._thread.call(lambda: tuple(self._books))

    def wait_until_live(self, timeout_s: float | None = None) -> None:
        """Wait until every book is live; see `Books.wait_until_live`.

        Raises:
            RequestError: The server refuses the snapshot of a book.
            TimeoutError: Some books did not become live in time; the message names them and says
                why.
        """
        self._thread.wait(self._books.wait_until_live(timeout_s))

    def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot; see `Books.audit`.

        Raises:
            KeyError: There is no book of `symbol`.
            RequestError: The server refuses the snapshot.
            UpstreamError: The server cannot be reached.
        """
        return self._thread.wait(self._books.audit(symbol))

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`."""
        if self._thread.is_running:
            with suppress(OverError):
                self._thread.call(self._books.close)

    def __getitem__(self, symbol: str) -> BlockingBook:
        return BlockingBook(self._thread, self._thread.call(lambda: self._books[symbol]))

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.symbols

    def __len__(self) -> int:
        return len(self.symbols)

    def __iter__(self) -> Iterator[BlockingBook]:
        return self

    def __next__(self) -> BlockingBook:
        """Return the next book that changed.

        Raises:
            TimeoutError: None changed in time; the next call waits again.
        """
        book = None
        with suppress(OverError):
            book = self._wait(lambda: anext(self._books, None), self._timeout_s, "no change")
        if book is None:
            raise StopIteration
        return BlockingBook(self._thread, book)

    def _wait(self, function: Callable[[], Awaitable[T]], timeout_s: float | None, what: str) -> T:
        return self._thread.wait(
            within(timeout_s, function, lambda: f"{what} of {streams_text(self.symbols)}")
        )

    def __repr__(self) -> str:
        return f"<BlockingBooks {streams_text(self.symbols)}>"

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
