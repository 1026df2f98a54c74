"""The order books of some symbols, as a mapping that can be waited for and iterated over."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self
from weakref import ref

from tickerplant.client.local_books import (
    CHECK_INTERVAL_S,
    LocalBooks,
    RequestingBook,
)
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.client.timeouts import check_timeout
from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.order_book import BookState, NoBookError, OrderBook
from tickerplant.formatting import names_text
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.stream_name import upper_case

_log = logging.getLogger(__name__)

MAX_REASONS = 5
"""Books of which a timeout error gives the reason; of further ones it gives the number."""


class BookChanges(AsyncIterator[OrderBook]):
    """Yields each book that changed, until the books are closed."""

    def __init__(
        self,
        runner: FeedRunner,
        find: Callable[[str], OrderBook | None],
        is_over: Callable[[], bool],
        refusal: Callable[[], Exception | None],
        pending: dict[str, None],
        *,
        live_only: bool,
    ) -> None:
        self._runner = runner
        self._find = find
        self._is_over = is_over
        self._refusal = refusal
        self._pending = pending
        self._live_only = live_only
        self._readers: set[asyncio.Future[None]] = set()
        """Done when there is something to yield, or the end."""
        self._lockstep = runner.lockstep
        self._consumer = object()
        """What it is to the lockstep."""

    def add(self, symbol: str) -> None:
        """Yield the book of `symbol`, unless it is pending already."""
        if not self._pending:
            self.wake()
        self._pending[symbol] = None

    def wake(self) -> None:
        """Notice that a book has changed, or that the books were closed."""
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OrderBook:
        """Return the next book that changed."""
        pending = self._pending
        while True:
            while pending:
                symbol = next(iter(pending))
                del pending[symbol]
                book = self._find(symbol)
                if book is not None and (book.is_live or not self._live_only):
                    if self._lockstep is not None:
                        self._lockstep.handed(self._consumer, book, f"the book of {symbol}")
                    return book
            over = StopAsyncIteration() if self._is_over() else self._refusal()
            if over is not None:
                if self._lockstep is not None:
                    self._lockstep.forget(self._consumer)
                raise over
            self._runner.is_awaited = True
            await self._wait()

    async def _wait(self) -> None:
        self._runner.check_loop()
        reader = asyncio.get_running_loop().create_future()
        self._readers.add(reader)
        try:
            if self._lockstep is None:
                await reader
            else:
                await self._lockstep.wait(self._consumer, reader)
        finally:
            self._readers.discard(reader)

    def __del__(self) -> None:
        runner = getattr(self, "_runner", None)
        if runner is not None:
            runner.forget_reader(self._consumer)


class Books(Mapping[str, OrderBook]):
    """The order books of some symbols, by symbol, kept in sync with the exchange.

    Each book says whether it is in sync: `OrderBook.state` and `reason`.

        async with market.books("BTCUSDT", "ETHUSDT") as books:
            async for book in books.changes(live_only=True):
                print(book.symbol, book.mid)
    """

    def __init__(
        self,
        runner: FeedRunner,
        rest: RestClient,
        *,
        speed: str,
        limit: int,
        on_update: Callable[[OrderBook, Message | Notice], object] | None,
    ) -> None:
        self._runner = runner
        self._local = LocalBooks(runner, rest, speed=speed, limit=limit, on_change=self._take)
        self._on_update = on_update
        self._changed: dict[str, None] = {}
        """Symbols of the books to which anything has happened."""
        self._iterators: list[ref[BookChanges]] = []
        self._failure: Exception | None = None
        """What the callback raised."""
        self._is_failure_raised = False
        if on_update is not None:
            runner.is_awaited = True
        runner.on_end(self._end)

    def add(self, *symbols: str) -> None:
        """Maintain the books of `symbols` too; existing ones stay as they are.

        Raises:
            ConfigError: A symbol is invalid.
            RuntimeError: The books are closed.
        """
        self._local.add(*symbols)

    def remove(self, *symbols: str) -> None:
        """Stop maintaining the books of `symbols`; references to them become `stale`."""
        for symbol in map(str.upper, symbols):
            self._local.remove(symbol)
            self._changed.pop(symbol, None)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> OrderBook:
        return self._book(symbol).view

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and upper_case(symbol) in self._local.by_symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._local.by_symbol)

    def __len__(self) -> int:
        return len(self._local.by_symbol)

    def __repr__(self) -> str:
        return f"<Books {names_text(tuple(self))}>"

    def _book(self, symbol: str) -> RequestingBook:
        books = self._local.by_symbol
        book = books.get(upper_case(symbol)) if isinstance(symbol, str) else None
        if book is None:
            raise NoBookError(symbol, books)
        return book

    @property
    def live(self) -> frozenset[str]:
        """The symbols whose books are in sync."""
        books = self._local.by_symbol.values()
        return frozenset(book.symbol for book in books if book.state is BookState.LIVE)

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and what the callback raised, if anything, was raised again."""
        return self._local.is_closed and (self._failure is None or self._is_failure_raised)

    def changes(self, *, live_only: bool = False) -> AsyncIterator[OrderBook]:
        """Return an iterator over the books that change, until they are closed.

        It begins with every book to which anything has happened.  It yields a book once for all
        changes since it was last yielded: a slow reader skips intermediate states but never the
        latest.  Several iterators are independent: each yields every book that changes.
        Exceptions from the callback are raised here too.

            async for book in books.changes(live_only=True):
                print(book.symbol, book.best_bid, book.best_ask)

        Args:
            live_only: Whether to yield only books that are in sync at that time.

        Raises:
            RequestError: By the iteration: the server refuses the snapshots of all books, none of
                which was ever live, for example because it lists no such symbol.  Beside a book that
                may become live, a refused one stops nothing: its `reason` says why.
            ConfigError: By the iteration: the server knows none of the symbols.
        """
        iterator = BookChanges(
            self._runner,
            self._local.view,
            self._is_over,
            self._refusal_of_all,
            dict(self._changed),
            live_only=live_only,
        )
        self._iterators.append(ref(iterator, self._iterators.remove))
        return iterator

    async def wait_until_live(self, timeout_s: float | None = 30.0) -> None:
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
        if timeout_s:  # 0: do not wait
            check_timeout(timeout_s)
        with self._runner.waiting():
            await self._until_live(timeout_s)

    async def _until_live(self, timeout_s: float | None) -> None:
        runner, loop = self._runner, asyncio.get_running_loop()
        until_s = None if timeout_s is None else loop.time() + timeout_s
        while True:
            if self._is_over():
                raise RuntimeError("the books are closed")
            waiting = [
                book for book in self._local.by_symbol.values() if book.state is not BookState.LIVE
            ]
            if not waiting:
                return
            for book in waiting:
                if book.refusal is not None:
                    raise book.refusal
            # A market that stands still stays there if its books need no more than their snapshots.
            runner.is_awaited |= runner.lockstep is None or runner.is_prepared
            pause_s = CHECK_INTERVAL_S
            if until_s is not None:
                pause_s = min(pause_s, until_s - loop.time())
            if pause_s <= 0:
                raise TimeoutError(f"not live after {timeout_s:g} s: {_reasons_text(waiting)}")
            await sleep(pause_s)

    async def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot, level by level.

        The comparison is skipped if the book is closed, removed or rebuilt before it ends.
        Exceptions from the callback are raised here too.

            assert (await books.audit("BTCUSDT")).score == 1.0

        Raises:
            KeyError: There is no book of `symbol`.
            RequestError: The server refuses the snapshot.
            UpstreamError: The server cannot be reached.
        """
        self._is_over()
        self._runner.check_loop()
        book = self._book(symbol)
        audit = Audit(book)
        if not audit.begin():
            return audit.failed(f"the book is {book.state}: {book.reason}")
        try:
            with self._runner.waiting():
                result = audit.take(await self._local.fetch_snapshot(book), self._local.now_ms())
                while result is None:
                    await sleep(CHECK_INTERVAL_S)
                    if self._is_over() or self._local.by_symbol.get(book.symbol) is not book:
                        return audit.failed(f"the book is {book.state}: {book.reason}")
                    result = audit.poll(self._local.now_ms())
                return result
        finally:
            audit.end()

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`; iterators end."""
        self._local.close()
        self._wake_iterators()

    def _end(self, failure: Exception | None) -> None:
        """End: nothing more will come.  The books stay as they are, unless there is a failure."""
        if self._local.is_closed:
            return
        if failure is not None:
            self._failure = failure
            self._local.close()
        self._local.end()
        self._wake_iterators()

    def _wake_iterators(self) -> None:
        for each in tuple(self._iterators):
            iterator = each()
            if iterator is not None:
                iterator.wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and not self._is_failure_raised:
            self._is_over()

    # The callback

    def take_failure(self) -> Exception | None:
        """Return what the callback raised, unless it was raised or returned before."""
        if self._is_failure_raised:
            return None
        self._is_failure_raised = self._failure is not None
        return self._failure

    def _is_over(self) -> bool:
        """Return whether the books are closed; raise what the callback raised, at every call."""
        if self._failure is not None:
            self._is_failure_raised = True
            raise self._failure
        return self._local.is_closed

    def _refusal_of_all(self) -> Exception | None:
        """Return why no book will ever be live; None if one was, or may be."""
        first = None
        for book in self._local.by_symbol.values():
            refusal = None if book.counters.snapshots_used else book.refusal
            if refusal is None:
                return None
            first = first or refusal
        return first

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        _log.error(
            "A callback failed, and its books are closed: %s", ", ".join(self), exc_info=failure
        )
        self.close()

    def _take(self, book: RequestingBook, items: Sequence[Message | Notice]) -> None:
        """Note that a book changed, and call the callback with the reasons."""
        symbol = book.symbol
        self._changed[symbol] = None
        for each in tuple(self._iterators):  # those that nobody uses any more remove themselves
            iterator = each()
            if iterator is not None:
                iterator.add(symbol)
        if self._on_update is None:
            return
        try:
            for item in items:
                if not self._local.is_closed:
                    self._on_update(book.view, item)
        except asyncio.CancelledError as cancelled:  # from a task it awaited; this call goes on
            failure = RuntimeError("the callback raised CancelledError")
            failure.__cause__ = cancelled  # raised as it is, it would cancel the caller
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # the users of the books get it
            self._fail(error)


def _reasons_text(waiting: Sequence[RequestingBook]) -> str:
    """Return why the first books are not live, and how many more there are."""
    shown = "; ".join(f"{book.symbol}: {book.reason}" for book in waiting[:MAX_REASONS])
    more = len(waiting) - MAX_REASONS
    return shown + (f"; and {more} more" if more > 0 else "")
