"""Local order books of many symbols at once, kept in step with the exchange."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import TracebackType
from typing import Self

from msgspec import structs

from tickerplant.client.rest import MOST_AT_ONCE, RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.client.subscription import streams_text
from tickerplant.client.waiting import Clock, again_text, wall_clock_ms
from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.cursor import RESTARTED
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.feed.weight import REFUSALS
from tickerplant.messages.book import DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.notice import (
    BookSynced,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)

_log = logging.getLogger(__name__)

LOOK_S = 0.1
"""How often books are asked whether they want a snapshot."""
SNAPSHOT_S = 10.0
"""How long the answer to one question for a snapshot may take."""
MOST_REASONS = 5
"""Books of which a timeout says why they are not live; of more it says how many."""


class KeptBook(LocalBook):
    """A book whose `reason` also says why there is no snapshot of it."""

    failure: Exception | None = None
    """What the last question for a snapshot ended with; None if it was answered."""
    clock: Clock = staticmethod(wall_clock_ms)
    """The time by which refusals end, ms since the epoch."""

    @property
    def refusal(self) -> RequestError | None:
        """The error with which the server said that it has no snapshot; None if it may have one."""
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
            said = f"{failure.code} {failure.message}"
            if failure.until_ms is None:
                return f"no snapshot: {said}"
            again = again_text(failure.until_ms, self.clock())
            return f"no snapshot: {failure.status}, {again}: {said}"
        is_plain = isinstance(failure, UpstreamError)
        return f"no snapshot: {failure if is_plain else repr(failure)}"


class Books(Mapping[str, LocalBook]):
    """The books of some symbols, by symbol; an asynchronous iterator over those that changed.

    Each book says itself how far it can be trusted (`LocalBook.state`).  Iteration gives a book once
    for all that happened to it since it was given last: who reads slowly misses no state, only
    the way there.

    Args:
        runner: Who subscribes.
        rest: Who is asked for snapshots.
        speed: `100ms`, `250ms` or `500ms`.
        limit: Levels of a side in a snapshot.
        on_update: Called with a book and what happened to it: an update that came, or a notice,
            after the book took it.
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
        self._books: dict[str, KeptBook] = {}
        self._of_stream: dict[str, KeptBook] = {}
        self._loaded: dict[str, int] = {}
        """Snapshots that each book had used when that was last told."""
        self._gapped: set[str] = set()
        """Books whose stream told a gap, which they are going to notice themselves."""
        self._runner = runner
        self._rest = rest
        self._on_update = on_update
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._failure: Exception | None = None
        """What the callback raised."""
        self._is_failure_told = False
        self._sink = self._take
        self._refusal: RequestError | None = None
        """Why no snapshot may be asked for at all before its `until_ms`."""
        self._warned: set[str] = set()
        """Symbols whose failure was logged; an empty one is that of what concerns all of them."""
        self._looking = asyncio.create_task(self._look())

    def add(self, *symbols: str) -> None:
        """Keep the books of `symbols` too; those that are kept stay as they are.

        Raises:
            ConfigError: one is no symbol.
            RuntimeError: the books are closed.
        """
        if self._is_closed:
            raise RuntimeError("the books are closed")
        for symbol in symbols:
            if not isinstance(symbol, str) or not symbol or len(symbol) > LONGEST_SYMBOL:
                raise ConfigError("symbol", symbol, "symbols one by one, such as BTCUSDT")
        for symbol in map(str.upper, symbols):
            self._add(symbol)

    def _add(self, symbol: str) -> None:
        if self._is_closed or symbol in self._books:  # the callback may have closed them meanwhile
            return
        stream = f"{symbol.lower()}@depth{self._suffix}"
        book = KeptBook(symbol, limit=self._limit, streams=(stream,))
        book.clock = self._rest.now_ms
        self._books[symbol] = self._of_stream[stream] = book
        self._loaded[symbol] = 0
        self._runner.attach((stream,), self._sink)

    def remove(self, *symbols: str) -> None:
        """Keep the books of `symbols` no longer: who still has one sees that it is stale."""
        for symbol in map(str.upper, symbols):
            book = self._books.pop(symbol, None)
            if book is not None:
                self._changed.pop(symbol, None)
                self._gapped.discard(symbol)
                self._warned.discard(symbol)
                del self._loaded[symbol]
                for stream in book.streams:
                    del self._of_stream[stream]
                self._runner.detach(book.streams, self._sink)
                book.feed_lost("removed", _monotonic_ms())

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> LocalBook:
        return self._books[_folded(symbol)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def __repr__(self) -> str:
        return f"<Books {streams_text(tuple(self))}>"

    @property
    def live_count(self) -> int:
        """Books that are whole and in step."""
        return sum(book.state is State.LIVE for book in self._books.values())

    @property
    def is_done(self) -> bool:
        """Whether they are closed, and who wants to know heard of what the callback raised."""
        return self._is_closed and (self._failure is None or self._is_failure_told)

    async def wait_live(self, timeout_s: float | None = None) -> None:
        """Return when every book is live; some may not be any more by the next turn.

        What the callback raised is raised here, too.

        Args:
            timeout_s: How long to wait; None is for ever.

        Raises:
            TimeoutError: some are not live in time; it names them, and says why.
            RequestError: the server refuses the snapshot of a book, such as that of an unknown
                symbol; `remove` it, or wait again, as it is asked for again, ever less often.
            RuntimeError: the books are closed.
        """
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
            pause_s = LOOK_S if until_s is None else min(LOOK_S, until_s - loop.time())
            if pause_s <= 0:
                raise TimeoutError(f"not live after {timeout_s:g} s: {_reasons_text(waiting)}")
            await asyncio.sleep(pause_s)

    async def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot, level by level.

        A book that is closed, removed or begun anew meanwhile cannot be compared.  What the
        callback raised is raised here, too.

        Raises:
            KeyError: there is no such book here.
            RequestError: the server refuses the snapshot.
            UpstreamError: the server cannot be reached.
        """
        self._raise_failure()
        book = self._books[_folded(symbol)]
        audit = Audit(book)
        if not audit.begin():
            return audit.failed(f"the book is {book.state}: {book.reason}")
        try:
            result = audit.take(await self._snapshot(book), _monotonic_ms())
            while result is None:
                await asyncio.sleep(LOOK_S)
                if self._is_closed or self._books.get(book.symbol) is not book:
                    self._raise_failure()
                    return audit.failed(f"the book is {book.state}: {book.reason}")
                result = audit.poll(_monotonic_ms())
            return result
        finally:
            audit.end()

    def close(self) -> None:
        """Unsubscribe; the books keep their levels, and are stale."""
        if not self._is_closed:
            self._is_closed = True
            self._runner.detach(tuple(self._of_stream), self._sink)
            for book in self._books.values():
                book.feed_lost("closed", _monotonic_ms())
            self._looking.cancel()
            for task in self._asking:
                task.cancel()
            self._wake.set()

    async def __anext__(self) -> LocalBook:
        """Return the next book that changed.

        Raises:
            StopAsyncIteration: the books were closed.
        """
        while not self._changed:
            self._raise_failure()
            if self._is_closed:
                raise StopAsyncIteration
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
        if error is None and not self._is_failure_told:
            self._raise_failure()

    def take_failure(self) -> Exception | None:
        """Return what the callback raised, unless somebody heard of it."""
        if self._is_failure_told:
            return None
        self._is_failure_told = self._failure is not None
        return self._failure

    def _raise_failure(self) -> None:
        """Raise what the callback raised, to everybody who asks."""
        if self._failure is not None:
            self._is_failure_told = True
            raise self._failure

    def _take(self, item: Message | Notice) -> None:
        """Bring a message, or a notice, to the books it is about."""
        now_ms = _monotonic_ms()
        if isinstance(item, DepthUpdate):
            book = self._of_stream.get(item.stream)
            if book is not None and not self._is_closed:
                book.offer(item, now_ms)
                self._tell(book, item)
        elif isinstance(item, Notice):
            for stream in item.streams:
                if stream in self._of_stream and not self._is_closed:
                    self._take_notice(self._of_stream[stream], item, now_ms)

    def _take_notice(self, book: KeptBook, notice: Notice, now_ms: int) -> None:
        match notice:
            case Disconnected(reason=reason):
                book.feed_lost(f"disconnected: {reason}", now_ms)
            case Stale(silent_ms=silent_ms, reason=reason):
                book.feed_lost(f"stale: {reason or f'silent for {silent_ms} ms'}", now_ms)
            case Recovered():
                book.feed_back(now_ms)
            case SubscriptionRejected(code=code, reason=reason):
                book.failure = RequestError(code, reason)
            case Gap(reason=reason):
                if reason == RESTARTED:
                    book.ids_anew(now_ms)
                self._gapped.add(book.symbol)
            case _:
                pass
        self._tell(book, notice)

    def _tell(self, book: KeptBook, item: Message | Notice | None = None) -> None:
        """Tell what happened to `book`, and what followed from it."""
        if not self._changed:
            self._wake.set()
        self._changed[book.symbol] = None
        told: list[Message | Notice] = [] if item is None else [item]
        told += [
            structs.replace(notice, time_ms=wall_clock_ms())  # it has the time of the other clock
            for notice in book.drain()
        ]
        if book.symbol in self._gapped and isinstance(item, DepthUpdate):
            self._gapped.discard(book.symbol)
            told = [each for each in told if not isinstance(each, Gap)]  # the stream told it
        if book.counters.snapshots_used != self._loaded[book.symbol]:
            self._loaded[book.symbol] = book.counters.snapshots_used
            told.append(
                BookSynced(
                    streams=book.streams,
                    time_ms=wall_clock_ms(),
                    symbol=book.symbol,
                    update_id=book.last_update_id,
                )
            )
        if self._on_update is None:
            return
        try:
            for each in told:
                if not self._is_closed:
                    self._on_update(book, each)
        except asyncio.CancelledError as cancelled:  # of a task it looked at: nobody cancels a call
            failure = RuntimeError("the callback raised what a cancelled task or future does")
            failure.__cause__ = cancelled  # itself it would cancel who hears of it
            self._fail(failure)
        except Exception as error:  # noqa: BLE001  # it is raised to who made the books
            self._fail(error)

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        _log.error(
            "A callback failed, and its books are closed: %s", ", ".join(self), exc_info=failure
        )
        self.close()

    async def _look(self) -> None:
        """Ask for the snapshots that are wanted, as long as the books are open."""
        while True:
            self._ask()
            await asyncio.sleep(LOOK_S)

    def _ask(self) -> None:
        """Ask for the snapshots that are due, first those that are so for longest.

        No more are asked for than go out at once.  The others wait here and not for their turn in
        the budget: what is asked for before a connection is lost is void, and is paid for.
        """
        now_ms = _monotonic_ms()
        if self._is_refused():
            return
        due = [
            book
            for book in self._books.values()
            if book.wants_snapshot
            and now_ms >= book.next_ask_ms
            and self._runner.is_carried(book.streams[0])
        ]
        due.sort(key=_next_ask_ms)
        for book in due[: max(MOST_AT_ONCE - len(self._asking), 0)]:
            book.asked(now_ms)
            task = asyncio.create_task(self._refresh(book))
            self._asking.add(task)
            task.add_done_callback(self._answered)

    def _is_refused(self) -> bool:
        """Whether nothing may be asked now; then every book that waits says so."""
        refusal = self._refusal
        if refusal is None or (refusal.until_ms or 0) <= self._rest.now_ms():
            self._refusal = None
            return False
        for book in self._books.values():
            if book.wants_snapshot and book.refusal is None:
                book.failure = refusal
        return True

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if not self._is_closed:
            self._ask()

    async def _refresh(self, book: KeptBook) -> None:
        try:
            book.load(await self._snapshot(book), _monotonic_ms())
            book.failure = None
            self._warned.discard("")
        except (RequestError, UpstreamError) as error:
            book.failure = error
            book.snapshot_failed(_monotonic_ms())
            if isinstance(error, RequestError) and error.until_ms is not None:
                self._refusal = error
            self._warn(book, error)
        except Exception as error:  # noqa: BLE001  # without an end no other question would follow
            _log.exception("The question for a snapshot of %s failed", book.symbol)
            book.failure = error
            book.snapshot_failed(_monotonic_ms())
        if self._books.get(book.symbol) is book:
            self._tell(book)

    def _warn(self, book: KeptBook, failure: Exception) -> None:
        """Log that a snapshot could not be had, unless that is known since the last that could."""
        concerned = "" if book.refusal is None else book.symbol
        if concerned not in self._warned and not self._is_closed:
            self._warned.add(concerned)
            said = "No snapshot of the book of %s: %s; it is asked for again, ever less often"
            _log.warning(said, book.symbol, failure)

    async def _snapshot(self, book: LocalBook) -> bytes:
        return await self._rest.get_within(
            SNAPSHOT_S, "depth", symbol=book.symbol, limit=book.limit
        )


def _reasons_text(waiting: Sequence[LocalBook]) -> str:
    """Return why books are not live, of the first of them, and how many more there are."""
    shown = "; ".join(f"{book.symbol}: {book.reason}" for book in waiting[:MOST_REASONS])
    more = len(waiting) - MOST_REASONS
    return shown + (f"; and {more} more" if more > 0 else "")


def _folded(symbol: object) -> str:
    """Return `symbol` as books are kept under it; what is no text is no symbol."""
    if not isinstance(symbol, str):
        raise KeyError(symbol)
    return symbol.upper()


_next_ask_ms = attrgetter("next_ask_ms")


def _monotonic_ms() -> int:
    """Return milliseconds by a clock that never goes back, and that nobody sets."""
    return time.monotonic_ns() // 1_000_000
