"""Local order books of many symbols at once, kept in sync with the exchange."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Self

from msgspec import structs

from tickerplant.client.request import Clock, again_text, wall_clock_ms
from tickerplant.client.rest import MAX_CONCURRENT, RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.client.subscription import streams_text
from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.cursor import RESTARTED
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.feed.weight import REFUSALS
from tickerplant.messages.book import DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.notices import (
    BookSynced,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.queries import depth, find_path
from tickerplant.units import NS_PER_MS
from tickerplant.venue import USDM, Venue

_log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.1
"""How often books are checked for whether they want a snapshot."""
SNAPSHOT_TIMEOUT_S = 10.0
"""How long the response to one snapshot request may take."""
MAX_REASONS = 5
"""Books of which a timeout error gives the reason; of further ones it gives the number."""
LEAST_LIMIT = 50
"""A snapshot with fewer levels has the same request weight."""


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
    clock: Clock = staticmethod(wall_clock_ms)
    """The time by which refusals end, ms since the epoch."""

    @property
    def refusal(self) -> RequestError | None:
        """The error with which the server refused a snapshot for good; None if it may have one."""
        failure = self.failure
        if not isinstance(failure, RequestError) or self.state is State.LIVE:
            return None
        return failure if 400 <= failure.status < 500 and failure.status not in REFUSALS else None

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        failure = self.failure
        if failure is None or self.state is not State.SYNCING:
            return super().reason
        if isinstance(failure, RequestError):
            text = f"{failure.code} {failure.message}"
            if failure.until_ms is None:
                return f"no snapshot: {text}"
            again = again_text(failure.until_ms, self.clock())
            return f"no snapshot: {failure.status}, {again}: {text}"
        is_plain = isinstance(failure, UpstreamError)
        return f"no snapshot: {failure if is_plain else repr(failure)}"


class Books(Mapping[str, LocalBook]):
    """The books of some symbols, by symbol; an asynchronous iterator over those that changed.

    Each book reports whether it is in sync (`LocalBook.state`).  Iteration yields a book once for
    all changes since it was last yielded: a slow reader skips intermediate states but never the
    latest.

    Args:
        runner: Subscribes to the depth updates.
        rest: Fetches the snapshots.
        speed: `100ms`, `250ms` or `500ms`.
        limit: Levels per side of a snapshot.
        on_update: Called with a book and an update or notice, after the book took it.
    """

    def __init__(
        self,
        runner: FeedRunner,
        rest: RestClient,
        *,
        speed: str,
        limit: int,
        on_update: Callable[[LocalBook, Message | Notice], object] | None,
    ) -> None:
        self._suffix = "" if speed == "250ms" else f"@{speed}"
        self._limit = limit
        self._books: dict[str, RequestingBook] = {}
        self._by_stream: dict[str, RequestingBook] = {}
        self._snapshots_used: dict[str, int] = {}
        """Snapshots that each book had used at its last `BookSynced`."""
        self._reported_gaps: set[str] = set()
        """Symbols whose stream reported a gap, which their book will report as well."""
        self._runner = runner
        self._rest = rest
        self._on_update = on_update
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._failure: Exception | None = None
        """What the callback raised."""
        self._is_failure_raised = False
        self._sink = self._take
        self._refusal: RequestError | None = None
        """The refusal because of which no snapshot may be requested before its `until_ms`."""
        self._warned: set[str] = set()
        """Symbols whose failure was logged; the empty one is for failures that concern all."""
        self._checks = asyncio.create_task(self._check_regularly())
        if on_update is not None:
            runner.is_awaited = True
        runner.on_end(self._end)

    def add(self, *symbols: str) -> None:
        """Maintain the books of `symbols` too; existing ones stay as they are.

        Raises:
            ConfigError: A symbol is invalid.
            RuntimeError: The books are closed.
        """
        if self._is_closed:
            raise RuntimeError("the books are closed")
        for symbol in symbols:
            if not isinstance(symbol, str) or not symbol or len(symbol) > LONGEST_SYMBOL:
                raise ConfigError("symbol", symbol, "symbols one by one, such as BTCUSDT")
        for symbol in map(str.upper, symbols):
            self._add(symbol)

    def _add(self, symbol: str) -> None:
        if self._is_closed or symbol in self._books:  # the callback may have closed them by now
            return
        stream = f"{symbol.lower()}@depth{self._suffix}"
        book = RequestingBook(symbol, limit=self._limit, streams=(stream,))
        book.clock = self._rest.now_ms
        self._books[symbol] = self._by_stream[stream] = book
        self._snapshots_used[symbol] = 0
        self._runner.attach((stream,), self._sink)

    def remove(self, *symbols: str) -> None:
        """Stop maintaining the books of `symbols`; references to them become `stale`."""
        for symbol in map(str.upper, symbols):
            book = self._books.pop(symbol, None)
            if book is not None:
                self._changed.pop(symbol, None)
                self._reported_gaps.discard(symbol)
                self._warned.discard(symbol)
                del self._snapshots_used[symbol]
                for stream in book.streams:
                    del self._by_stream[stream]
                self._runner.detach(book.streams, self._sink)
                book.updates_lost("removed", _monotonic_ms())

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> LocalBook:
        return self._books[_normalized(symbol)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def __repr__(self) -> str:
        return f"<Books {streams_text(tuple(self))}>"

    @property
    def live(self) -> tuple[str, ...]:
        """The symbols whose books are complete and in sync."""
        return tuple(each.symbol for each in self._books.values() if each.state is State.LIVE)

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and what the callback raised, if anything, was raised again."""
        return self._is_closed and (self._failure is None or self._is_failure_raised)

    async def wait_until_live(self, timeout_s: float | None = None) -> None:
        """Wait until every book is live.  A book may go stale again at any time.

        Exceptions from the callback are raised here too.

        Args:
            timeout_s: How long to wait; None waits indefinitely.

        Raises:
            TimeoutError: Some books did not become live in time; the message names them and says
                why.
            RequestError: The server refuses the snapshot of a book, for example of an unknown
                symbol.  `remove` it or wait again; the snapshot is retried with increasing delays.
            RuntimeError: The books are closed.
        """
        self._runner.is_awaited = True
        loop = asyncio.get_running_loop()
        until_s = None if timeout_s is None else loop.time() + timeout_s
        while True:
            self._raise_failure()
            if self._is_closed:
                raise RuntimeError("the books are closed")
            waiting = [book for book in self._books.values() if book.state is not State.LIVE]
            if not waiting:
                return
            for book in waiting:
                if book.refusal is not None:
                    raise book.refusal
            pause_s = CHECK_INTERVAL_S
            if until_s is not None:
                pause_s = min(pause_s, until_s - loop.time())
            if pause_s <= 0:
                raise TimeoutError(f"not live after {timeout_s:g} s: {_reasons_text(waiting)}")
            await asyncio.sleep(pause_s)

    async def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot, level by level.

        The comparison is skipped if the book is closed, removed or rebuilt before it ends.
        Exceptions from the callback are raised here too.

        Raises:
            KeyError: There is no book of `symbol`.
            RequestError: The server refuses the snapshot.
            UpstreamError: The server cannot be reached.
        """
        self._raise_failure()
        book = self._books[_normalized(symbol)]
        audit = Audit(book)
        if not audit.begin():
            return audit.failed(f"the book is {book.state}: {book.reason}")
        try:
            result = audit.take(await self._fetch_snapshot(book), _monotonic_ms())
            while result is None:
                await asyncio.sleep(CHECK_INTERVAL_S)
                if self._is_closed or self._books.get(book.symbol) is not book:
                    self._raise_failure()
                    return audit.failed(f"the book is {book.state}: {book.reason}")
                result = audit.poll(_monotonic_ms())
            return result
        finally:
            audit.end()

    def close(self) -> None:
        """Unsubscribe.  The books keep their levels but are `stale`."""
        if not self._is_closed:
            self._is_closed = True
            self._runner.detach(tuple(self._by_stream), self._sink)
            for book in self._books.values():
                book.updates_lost("closed", _monotonic_ms())
            self._cancel_work()

    def _cancel_work(self) -> None:
        self._checks.cancel()
        for task in self._requests:
            task.cancel()
        self._wake.set()

    def _end(self, failure: Exception | None) -> None:
        """End: nothing more will come.  The books stay as they are, unless there is a failure."""
        if self._is_closed:
            return
        if failure is not None:
            self._failure = failure
            self.close()
            return
        self._is_closed = True
        self._runner.detach(tuple(self._by_stream), self._sink)
        self._cancel_work()

    async def __anext__(self) -> LocalBook:
        """Return the next book that changed.

        Raises:
            StopAsyncIteration: The books were closed.
        """
        while not self._changed:
            self._raise_failure()
            if self._is_closed:
                raise StopAsyncIteration
            self._runner.is_awaited = True
            self._wake.clear()
            await self._wake.wait()
        symbol = next(iter(self._changed))
        del self._changed[symbol]
        return self._books[symbol]

    def __aiter__(self) -> Self:
        return self

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
            self._raise_failure()

    # The callback

    def take_failure(self) -> Exception | None:
        """Return what the callback raised, unless it was raised or returned before."""
        if self._is_failure_raised:
            return None
        self._is_failure_raised = self._failure is not None
        return self._failure

    def _raise_failure(self) -> None:
        """Raise what the callback raised, at every call."""
        if self._failure is not None:
            self._is_failure_raised = True
            raise self._failure

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        _log.error(
            "A callback failed, and its books are closed: %s", ", ".join(self), exc_info=failure
        )
        self.close()

    def _call_back(self, book: LocalBook, items: Sequence[Message | Notice]) -> None:
        if self._on_update is None:
            return
        try:
            for item in items:
                if not self._is_closed:
                    self._on_update(book, item)
        except asyncio.CancelledError as cancelled:  # from a task it awaited; this call goes on
            failure = RuntimeError("the callback raised CancelledError")
            failure.__cause__ = cancelled  # raised as it is, it would cancel the caller
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # the users of the books get it
            self._fail(error)

    # What the feed delivers

    def _take(self, item: Message | Notice) -> None:
        """Give a message or a notice to the books that it concerns."""
        now_ms = _monotonic_ms()
        if isinstance(item, DepthUpdate):
            book = self._by_stream.get(item.stream)
            if book is not None and not self._is_closed:
                book.offer(item, now_ms)
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
            case SubscriptionRejected(code=code, reason=reason):
                book.failure = RequestError(code, reason)
            case Gap(reason=reason):
                if reason == RESTARTED:
                    book.ids_restarted(now_ms)
                self._reported_gaps.add(book.symbol)
            case _:
                pass
        self._report(book, notice)

    def _report(self, book: RequestingBook, item: Message | Notice | None = None) -> None:
        """Report what happened to a book: `item`, and the notices that followed from it."""
        if not self._changed:
            self._wake.set()
        self._changed[book.symbol] = None
        items: list[Message | Notice] = [] if item is None else [item]
        items += [
            structs.replace(notice, time_ms=wall_clock_ms())  # its time is of the monotonic clock
            for notice in book.take_notices()
        ]
        if book.symbol in self._reported_gaps and isinstance(item, DepthUpdate):
            self._reported_gaps.discard(book.symbol)
            items = [each for each in items if not isinstance(each, Gap)]
        if book.counters.snapshots_used != self._snapshots_used[book.symbol]:
            self._snapshots_used[book.symbol] = book.counters.snapshots_used
            items.append(
                BookSynced(
                    streams=book.streams,
                    time_ms=wall_clock_ms(),
                    symbol=book.symbol,
                    update_id=book.last_update_id,
                )
            )
        self._call_back(book, items)

    # Snapshots

    async def _check_regularly(self) -> None:
        while True:
            self._request_snapshots()
            await asyncio.sleep(CHECK_INTERVAL_S)

    def _request_snapshots(self) -> None:
        """Request the snapshots that are due, first those that have been for longest.

        The number of concurrent requests is limited.  Further books wait here, not for their turn
        in the weight budget: a snapshot requested before a connection is lost is useless, but its
        weight is spent.
        """
        now_ms = _monotonic_ms()
        if self._is_refused():
            return
        due = [
            book
            for book in self._books.values()
            if book.wants_snapshot
            and now_ms >= book.next_request_ms
            and self._runner.is_delivered(book.streams[0])
        ]
        due.sort(key=attrgetter("next_request_ms"))
        for book in due[: max(MAX_CONCURRENT - len(self._requests), 0)]:
            book.snapshot_requested(now_ms)
            task = asyncio.create_task(self._refresh(book))
            self._requests.add(task)
            task.add_done_callback(self._request_done)

    def _is_refused(self) -> bool:
        """Whether the server refuses all requests for now; then every waiting book says so."""
        refusal = self._refusal
        if refusal is None or (refusal.until_ms or 0) <= self._rest.now_ms():
            self._refusal = None
            return False
        for book in self._books.values():
            if book.wants_snapshot and book.refusal is None:
                book.failure = refusal
        return True

    def _request_done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not self._is_closed:
            self._request_snapshots()

    async def _refresh(self, book: RequestingBook) -> None:
        try:
            book.load(await self._fetch_snapshot(book), _monotonic_ms())
            book.failure = None
            self._warned.discard("")
        except (RequestError, UpstreamError) as error:
            book.failure = error
            book.snapshot_failed(_monotonic_ms())
            if isinstance(error, RequestError) and error.until_ms is not None:
                self._refusal = error
            self._warn(book, error)
        except Exception as error:  # noqa: BLE001  # otherwise no other request would follow
            _log.exception("The snapshot request for %s failed", book.symbol)
            book.failure = error
            book.snapshot_failed(_monotonic_ms())
        if self._books.get(book.symbol) is book:
            self._report(book)

    def _warn(self, book: RequestingBook, failure: Exception) -> None:
        """Log a failed snapshot request, once until a request succeeds."""
        concerned = "" if book.refusal is None else book.symbol
        if concerned not in self._warned and not self._is_closed:
            self._warned.add(concerned)
            text = "No snapshot of the book of %s: %s; it is retried with increasing delays"
            _log.warning(text, book.symbol, failure)

    async def _fetch_snapshot(self, book: LocalBook) -> bytes:
        return await self._rest.get_within(
            SNAPSHOT_TIMEOUT_S, "depth", symbol=book.symbol, limit=book.limit
        )


def _reasons_text(waiting: Sequence[LocalBook]) -> str:
    """Return why the first books are not live, and how many more there are."""
    shown = "; ".join(f"{book.symbol}: {book.reason}" for book in waiting[:MAX_REASONS])
    more = len(waiting) - MAX_REASONS
    return shown + (f"; and {more} more" if more > 0 else "")


def _normalized(symbol: object) -> str:
    if not isinstance(symbol, str):
        raise KeyError(symbol)
    return symbol.upper()


def _monotonic_ms() -> int:
    return time.monotonic_ns() // NS_PER_MS
