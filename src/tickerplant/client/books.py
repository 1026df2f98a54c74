"""The order books of some symbols, as a mapping that can be waited for and iterated over."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from types import TracebackType
from typing import Self
from weakref import ref

from msgspec import structs

from tickerplant.client.event_loop import check_timeout
from tickerplant.client.request import Clock, again_text, wall_clock_ms
from tickerplant.client.rest import MAX_CONCURRENT, RestClient
from tickerplant.client.runner import FeedRunner, Follower
from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.errors import ConfigError, RateLimitError, RequestError, UpstreamError
from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.book_side import read_snapshot
from tickerplant.feed.cursor import RESTARTED
from tickerplant.feed.local_book import LocalBook, RecordedSnapshot, RecordedTrack
from tickerplant.feed.order_book import BookState, NoBookError, OrderBook
from tickerplant.feed.weight import REFUSALS
from tickerplant.formatting import names_text
from tickerplant.messages.book import DepthSnapshot, DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.notices import (
    BookSynced,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
    UnknownStream,
)
from tickerplant.queries import depth, find_path
from tickerplant.queries.request_errors import SERVICE_UNAVAILABLE
from tickerplant.stream_name import upper_case
from tickerplant.venue import USDM, Venue

_log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.1
"""How often books are checked for whether they want a snapshot."""
SNAPSHOT_TIMEOUT_S = 10.0
"""How long the response to one snapshot request may take."""
INVALID_SYMBOL = -1121
"""The code of an error response about a symbol that is not listed."""
LEAST_LIMIT = 50
"""A snapshot with fewer levels has the same request weight."""
MAX_REASONS = 5
"""Books of which a timeout error gives the reason; of further ones it gives the number."""


def snapshot_limit(book_count: int, weight_per_minute: int, venue: Venue = USDM) -> int:
    """Return the deepest limit with which one snapshot of every book fits into a minute.

    If none does, it is `LEAST_LIMIT`, and the snapshots take longer than a minute.
    """
    query = find_path(venue, f"{venue.rest_prefix}/v1/depth")
    if query is None:
        return LEAST_LIMIT
    for limit in sorted(depth.LIMITS, reverse=True):
        if limit > LEAST_LIMIT and query.weigh({"limit": limit}) * book_count <= weight_per_minute:
            return limit
    return LEAST_LIMIT


class RequestingBook(LocalBook):
    """A book whose `reason` includes why its last snapshot request failed."""

    failure: Exception | None = None
    """The error of the last snapshot request; None if it succeeded."""
    unknown_reason: str = ""
    """Why its stream or symbol is unknown to the server; empty if it is not."""
    track: RecordedTrack | None = None
    """Joins it to the recorded snapshots of a hosted replay; None for any other market."""
    clock: Clock = staticmethod(wall_clock_ms)
    """The time by which refusals end, ms since the epoch."""

    def __init__(self, symbol: str, *, limit: int, streams: tuple[str, ...], now_ms: Clock) -> None:
        super().__init__(symbol, limit=limit, streams=streams)
        self.view = OrderBook(self, now_ms)
        """What users see of it."""
        self.synced = 0
        """Snapshots that it had used at the last `BookSynced`."""
        self.is_gap_reported = False
        """Whether its stream reported a gap, which it will report as well."""
        self.is_to_open = True
        """Whether it requests a snapshot even if it follows recorded ones: at first, and after a jump,
        until one was used."""
        self.is_warned = False
        """Whether its failure was logged."""
        self.ahead: tuple[DepthSnapshot, asyncio.Future[None]] | None = None
        """A snapshot that is newer than what was delivered, and what is done with its use."""

    @property
    def refusal(self) -> RequestError | ConfigError | None:
        """Why the book will never be live: the server refuses snapshots, or does not know the symbol.

        None if it may become live.
        """
        failure = self.failure
        if self.state is BookState.LIVE:
            return None
        if isinstance(failure, RequestError):
            is_definite = 400 <= failure.status < 500 and failure.status not in REFUSALS
            return failure if is_definite else None
        unknown = self.unknown_reason
        return ConfigError("symbol", self.symbol, f"a listed one: {unknown}") if unknown else None

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        failure = self.failure
        if self.state is not BookState.SYNCING or (failure is None and not self.unknown_reason):
            return super().reason
        if failure is None:
            return self.unknown_reason
        if isinstance(failure, RequestError):
            text = f"{failure.code} {failure.message}"
            if self.unknown_reason:
                text += f" ({self.unknown_reason})"
            if not isinstance(failure, RateLimitError):
                return f"no snapshot: {text}"
            again = again_text(failure.retry_at_ms, self.clock())
            return f"no snapshot: {failure.status}, {again}: {text}"
        is_plain = isinstance(failure, UpstreamError)
        return f"no snapshot: {failure if is_plain else repr(failure)}"


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
        self._by_symbol: dict[str, RequestingBook] = {}
        self._by_stream: dict[str, RequestingBook] = {}
        self._suffix = "" if speed == "250ms" else f"@{speed}"
        self._limit = limit
        self._runner = runner
        self._rest = rest
        self._on_update = on_update
        self._is_closed = False
        self._requests: set[asyncio.Task[None]] = set()
        self._sink = self._take
        self._refusal: RateLimitError | None = None
        """The refusal because of which no snapshot may be requested before its `retry_at_ms`."""
        self._is_warned = False
        """Whether a failure that concerns all books was logged."""
        self._changed: dict[str, None] = {}
        """Symbols of the books to which anything has happened."""
        self._iterators: list[ref[BookChanges]] = []
        self._failure: Exception | None = None
        """What the callback raised."""
        self._is_failure_raised = False
        self._follower = Follower(self._take_recorded, self._jumped)
        if runner.shown_to is not None:
            runner.shown_to.add(self._follower)
        self._loop = asyncio.get_running_loop()
        self._checks = asyncio.create_task(self._check_regularly())
        if on_update is not None:
            runner.is_awaited = True
        runner.on_end(self._end)

    def _now_ms(self) -> int:
        """Return the time of books: that of the event loop, in ms.  May be called from any thread."""
        return int(self._loop.time() * 1_000)

    def add(self, *symbols: str) -> None:
        """Maintain the books of `symbols` too; existing ones stay as they are.

        Raises:
            ConfigError: A symbol is invalid.
            RuntimeError: The books are closed.
        """
        if self._is_closed:
            raise RuntimeError("the books are closed")
        self._runner.check_loop()
        for symbol in symbols:
            if not isinstance(symbol, str) or not symbol or len(symbol) > LONGEST_SYMBOL:
                raise ConfigError("symbol", symbol, "symbols one by one, such as BTCUSDT")
        for symbol in map(upper_case, symbols):
            self._add(symbol)

    def _add(self, symbol: str) -> None:
        if self._is_closed or symbol in self._by_symbol:  # the callback may have closed them by now
            return
        stream = f"{symbol.lower()}@depth{self._suffix}"
        book = RequestingBook(symbol, limit=self._limit, streams=(stream,), now_ms=self._now_ms)
        book.clock = self._rest.now_ms
        if self._runner.shown_to is not None:
            book.track = RecordedTrack(symbol, book=book)
        self._by_symbol[symbol] = self._by_stream[stream] = book
        self._runner.preparing.add(book)
        self._runner.attach((stream,), self._sink)

    def remove(self, *symbols: str) -> None:
        """Stop maintaining the books of `symbols`; references to them become `stale`."""
        self._runner.check_loop()
        for symbol in map(upper_case, symbols):
            self._changed.pop(symbol, None)
            book = self._by_symbol.pop(symbol, None)
            if book is not None:
                self._runner.preparing.discard(book)
                book.ahead = None
                for stream in book.streams:
                    del self._by_stream[stream]
                self._runner.detach(book.streams, self._sink)
                book.updates_lost("removed", self._now_ms())

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> OrderBook:
        return self._book(symbol).view

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and upper_case(symbol) in self._by_symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __repr__(self) -> str:
        return f"<Books {names_text(tuple(self))}>"

    def _view(self, symbol: str) -> OrderBook | None:
        book = self._by_symbol.get(symbol)
        return None if book is None else book.view

    def _book(self, symbol: str) -> RequestingBook:
        books = self._by_symbol
        book = books.get(upper_case(symbol)) if isinstance(symbol, str) else None
        if book is None:
            raise NoBookError(symbol, books)
        return book

    @property
    def live(self) -> frozenset[str]:
        """The symbols whose books are in sync."""
        books = self._by_symbol.values()
        return frozenset(book.symbol for book in books if book.state is BookState.LIVE)

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and what the callback raised, if anything, was raised again."""
        return self._is_closed and (self._failure is None or self._is_failure_raised)

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
            self._view,
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
                book for book in self._by_symbol.values() if book.state is not BookState.LIVE
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
                result = audit.take(await self._fetch_snapshot(book), self._now_ms())
                while result is None:
                    await sleep(CHECK_INTERVAL_S)
                    if self._is_over() or self._by_symbol.get(book.symbol) is not book:
                        return audit.failed(f"the book is {book.state}: {book.reason}")
                    result = audit.poll(self._now_ms())
                return result
        finally:
            audit.end()

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`; iterators end."""
        if not self._is_closed:
            self._unsubscribe()
            for book in self._by_symbol.values():
                book.updates_lost("closed", self._now_ms())
        self._wake_iterators()

    def _unsubscribe(self) -> None:
        """End, with the books as they are."""
        self._runner.check_loop()
        self._is_closed = True
        self._runner.preparing.difference_update(self._by_symbol.values())
        self._runner.detach(tuple(self._by_stream), self._sink)
        self._checks.cancel()
        if self._runner.shown_to is not None:
            self._runner.shown_to.discard(self._follower)
        for task in self._requests:
            task.cancel()

    def _end(self, failure: Exception | None) -> None:
        """End: nothing more will come.  The books stay as they are, unless there is a failure."""
        if self._is_closed:
            return
        if failure is None:
            self._unsubscribe()
            self._wake_iterators()
        else:
            self._failure = failure
            self.close()

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

    # What the feed delivers

    def _take(self, item: Message | Notice) -> None:
        """Give a message or a notice to the books that it concerns."""
        now_ms = self._now_ms()
        if isinstance(item, DepthUpdate):
            book = self._by_stream.get(item.stream)
            if book is not None and not self._is_closed:
                (book.track or book).offer(item, now_ms)
                if book.ahead is not None:
                    self._use_reached(book, book.ahead, item, now_ms)
                self._report(book, item)
        elif isinstance(item, Notice):
            for stream in item.streams:
                if stream in self._by_stream and not self._is_closed:
                    self._take_notice(self._by_stream[stream], item, now_ms)

    def _take_notice(self, book: RequestingBook, notice: Notice, now_ms: int) -> None:
        match notice:
            case Disconnected(reason=reason):
                book.updates_lost(f"disconnected: {reason}", now_ms)
            case Stale(silent_ms=silent_ms, reason=reason):
                book.updates_lost(f"stale: {reason or f'silent for {silent_ms} ms'}", now_ms)
            case Recovered():
                book.updates_resumed(now_ms)
                book.is_to_open = True
            case UnknownStream(reason=reason):
                book.unknown_reason = reason
            case SubscriptionRejected(code=code, reason=reason):
                book.failure = RequestError(code, reason)
            case Gap(reason=reason):
                if reason == RESTARTED:
                    (book.track or book).ids_restarted(now_ms)
                    book.is_to_open = True
                book.is_gap_reported = True
            case _:
                pass
        self._report(book, notice)

    def _report(self, book: RequestingBook, item: Message | Notice | None = None) -> None:
        """Report what happened to a book: `item`, and the notices that followed from it."""
        items: list[Message | Notice] = [] if item is None else [item]
        items += [
            structs.replace(notice, time_ms=wall_clock_ms())  # its time is of the event loop
            for notice in book.take_notices()
        ]
        if book.is_gap_reported and isinstance(item, DepthUpdate):
            book.is_gap_reported = False
            items = [each for each in items if not isinstance(each, Gap)]
        if book.counters.snapshots_used != book.synced:
            book.synced = book.counters.snapshots_used
            book.is_to_open = False
            items.append(
                BookSynced(
                    streams=book.streams,
                    time_ms=wall_clock_ms(),
                    symbol=book.symbol,
                    update_id=book.last_update_id,
                )
            )
        self._changed_by(book, items)

    # Recorded snapshots

    def _take_recorded(self, stream: str, snapshot: bytes) -> None:
        """Take the next recorded snapshot of the book that follows `stream`."""
        book = self._by_stream.get(stream)
        if book is None or book.track is None:
            return
        now_ms = self._now_ms()
        was_live, used = book.state is BookState.LIVE, book.counters.snapshots_used
        book.track.load(RecordedSnapshot(now_ms, snapshot), now_ms)
        is_live = book.state is BookState.LIVE
        if is_live != was_live or book.counters.snapshots_used != used:
            book.failure, book.unknown_reason = None, ""
            self._report(book)

    def _jumped(self) -> None:
        """Open the books anew if they turn out not to continue: the next snapshot may be far."""
        now_ms = self._now_ms()
        for book in self._by_symbol.values():
            book.market_jumped(now_ms)
            if book.track is not None:
                book.track.forget()
                book.is_to_open = True

    # Snapshots

    async def _check_regularly(self) -> None:
        while True:
            self._request_snapshots()
            await sleep(CHECK_INTERVAL_S)

    def _request_snapshots(self) -> None:
        """Request the snapshots that are due, first those that have been for longest.

        The number of concurrent requests is limited.  Further books wait here, not for their turn
        in the weight budget: a snapshot requested before a connection is lost is useless, but its
        weight is spent.
        """
        now_ms = self._now_ms()
        if self._is_refused():
            return
        due = [
            book
            for book in self._by_symbol.values()
            if self._wants_snapshot(book)
            and now_ms >= book.next_request_ms
            and self._runner.is_delivered(book.streams[0])
        ]
        due.sort(key=attrgetter("next_request_ms"))
        for book in due[: max(MAX_CONCURRENT - len(self._requests), 0)]:
            book.snapshot_requested(now_ms)
            book.is_to_open = False
            task = asyncio.create_task(self._refresh(book))
            self._requests.add(task)
            task.add_done_callback(self._request_done)

    async def _fetch_snapshot(self, book: LocalBook) -> bytes:
        params = {"symbol": book.symbol, "limit": book.limit}
        return await self._rest.fetch("depth", params, timeout_s=SNAPSHOT_TIMEOUT_S)

    def _wants_snapshot(self, book: RequestingBook) -> bool:
        """Whether a snapshot of the book is to be requested."""
        if book.track is None:
            return book.wants_snapshot
        return book.is_to_open and book.state is BookState.SYNCING

    def _is_refused(self) -> bool:
        """Whether the server refuses all requests for now; then every waiting book says so."""
        refusal = self._refusal
        if refusal is None or refusal.retry_at_ms <= self._rest.now_ms():
            self._refusal = None
            return False
        for book in self._by_symbol.values():
            if book.wants_snapshot and book.refusal is None:
                book.failure = refusal
        return True

    def _request_done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not self._is_closed:
            self._request_snapshots()

    async def _refresh(self, book: RequestingBook) -> None:
        try:
            await self._load(book, await self._fetch_snapshot(book))
            book.failure, book.unknown_reason = None, ""
            self._is_warned = False
        except (RequestError, UpstreamError) as error:
            failure = await self._explained(book, error)
            book.failure = failure
            book.snapshot_failed(self._now_ms())
            if isinstance(error, RateLimitError):
                self._refusal = error
            if book.track is None or not _is_unknown_yet(error):
                book.is_to_open = True
                self._warn(book, failure)
        except Exception as error:  # noqa: BLE001  # otherwise no other request would follow
            _log.exception("The snapshot request for %s failed", book.symbol)
            book.failure = error
            book.snapshot_failed(self._now_ms())
            book.is_to_open = True
        self._runner.preparing.discard(book)
        if self._by_symbol.get(book.symbol) is book:
            self._report(book)

    async def _load(self, book: RequestingBook, snapshot: bytes) -> None:
        """Load a snapshot, in a market that can wait when everything before it was delivered."""
        if self._runner.lockstep is not None:
            with suppress(ValueError):  # `load` says why
                read = read_snapshot(snapshot, book.symbol)
                used = asyncio.get_running_loop().create_future()
                book.ahead = read, used
                if read.transaction_time_ms > read.event_time_ms:
                    # A replay opens with a snapshot that was recorded a moment later.
                    return
                try:
                    await self._runner.catch_up(SNAPSHOT_TIMEOUT_S, used)
                finally:
                    book.ahead = None
                if used.done():
                    return
        book.load(snapshot, self._now_ms())

    def _use_reached(
        self,
        book: RequestingBook,
        ahead: tuple[DepthSnapshot, asyncio.Future[None]],
        update: DepthUpdate,
        now_ms: int,
    ) -> None:
        """Load the snapshot of a book if the updates have reached it."""
        snapshot, used = ahead
        if update.final_update_id >= snapshot.last_update_id:
            book.ahead = None
            used.set_result(None)
            book.load(snapshot, now_ms)

    async def _explained(
        self, book: RequestingBook, error: RequestError | UpstreamError
    ) -> RequestError | UpstreamError:
        """Return the error, with the most similar symbol if the server does not list that of the book."""
        listing = self._runner.listing
        if not isinstance(error, RequestError) or error.code != INVALID_SYMBOL or listing is None:
            return error
        book.unknown_reason = await listing.unlisted_reason(book.symbol)
        if not book.unknown_reason:
            return error
        return RequestError(
            error.code,
            error.message,
            error.status,
            request=error.request,
            note=book.unknown_reason,
        )

    def _warn(self, book: RequestingBook, failure: Exception) -> None:
        """Log a failed snapshot request, once until a request succeeds."""
        is_warned = self._is_warned if book.refusal is None else book.is_warned
        if is_warned or self._is_closed:
            return
        if book.refusal is None:
            self._is_warned = True
        else:
            book.is_warned = True
        text = "No snapshot of the book of %s: %s; it is retried with increasing delays"
        _log.warning(text, book.symbol, failure)

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
        return self._is_closed

    def _refusal_of_all(self) -> Exception | None:
        """Return why no book will ever be live; None if one was, or may be."""
        first = None
        for book in self._by_symbol.values():
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

    def _changed_by(self, book: RequestingBook, items: Sequence[Message | Notice]) -> None:
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
                if not self._is_closed:
                    self._on_update(book.view, item)
        except asyncio.CancelledError as cancelled:  # from a task it awaited; this call goes on
            failure = RuntimeError("the callback raised CancelledError")
            failure.__cause__ = cancelled  # raised as it is, it would cancel the caller
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # the users of the books get it
            self._fail(error)


def _is_unknown_yet(error: Exception) -> bool:
    """Whether the server has no book yet: the next recorded snapshot will be shown to this one, too."""
    return isinstance(error, RequestError) and error.status == SERVICE_UNAVAILABLE


def _reasons_text(waiting: Sequence[RequestingBook]) -> str:
    """Return why the first books are not live, and how many more there are."""
    shown = "; ".join(f"{book.symbol}: {book.reason}" for book in waiting[:MAX_REASONS])
    more = len(waiting) - MAX_REASONS
    return shown + (f"; and {more} more" if more > 0 else "")
