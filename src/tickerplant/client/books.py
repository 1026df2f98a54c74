"""Local order books of many symbols at once, kept in step with the exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.local_book import LocalBook, State
from tickerplant.messages.depth import DepthUpdate
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Disconnected, Notice, Recovered, Stale, Synced

LOOK_S = 0.1
"""How often books are asked whether they want a snapshot."""


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
        self._books: dict[str, LocalBook] = {}
        self._of_stream: dict[str, LocalBook] = {}
        self._loaded: dict[str, int] = {}
        """Snapshots that each book had used when that was last told."""
        self._runner = runner
        self._rest = rest
        self._on_update = on_update
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._failure: Exception | None = None
        self._sink = self._take
        self._looking = asyncio.create_task(self._look())

    def add(self, *symbols: str) -> None:
        """Keep the books of `symbols` too, upper-case names; those that are kept stay as they are."""
        for symbol in symbols:
            if symbol not in self._books:
                stream = f"{symbol.lower()}@depth{self._suffix}"
                book = LocalBook(symbol, limit=self._limit, streams=(stream,))
                self._books[symbol] = self._of_stream[stream] = book
                self._loaded[symbol] = 0
                self._runner.attach((stream,), self._sink)

    def remove(self, *symbols: str) -> None:
        """Keep the books of `symbols` no longer."""
        for symbol in symbols:
            book = self._books.pop(symbol, None)
            if book is not None:
                self._changed.pop(symbol, None)
                for stream in book.streams:
                    del self._of_stream[stream]
                self._runner.detach(book.streams, self._sink)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, symbol: str) -> LocalBook:
        return self._books[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    @property
    def live_count(self) -> int:
        """Books that are whole and in step."""
        return sum(book.state is State.LIVE for book in self._books.values())

    async def wait_live(self) -> None:
        """Return when every book is live; some may not be any more by the next turn.

        Raises:
            RuntimeError: the books were closed meanwhile.
        """
        while self.live_count < len(self._books):
            if self._is_closed:
                raise RuntimeError("the books are closed")
            await asyncio.sleep(LOOK_S)

    async def audit(self, symbol: str) -> AuditResult:
        """Compare the book of `symbol` with a fresh snapshot, level by level.

        Raises:
            KeyError: there is no such book here.
            RequestError: the server refuses the snapshot.
            UpstreamError: the server cannot be reached.
        """
        book = self._books[symbol]
        audit = Audit(book)
        if not audit.begin():
            return audit.failed(f"the book is {book.state}: {book.reason}")
        try:
            snapshot = await self._snapshot(book)
        except BaseException:
            audit.failed("no snapshot")
            raise
        result = audit.take(snapshot, _now_ms())
        while result is None:
            await asyncio.sleep(LOOK_S)
            result = audit.poll(_now_ms())
        return result

    def close(self) -> None:
        """Unsubscribe; the books stay as they are."""
        if not self._is_closed:
            self._is_closed = True
            self._runner.detach(tuple(self._of_stream), self._sink)
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
        if error is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        """Raise what the callback raised, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _take(self, item: Message | Notice) -> None:
        """Bring a message, or a notice, to the books it is about."""
        now_ms = _now_ms()
        if isinstance(item, DepthUpdate):
            book = self._of_stream[item.stream]
            book.offer(item, now_ms)
            self._tell(book, item)
        elif isinstance(item, Notice):
            for stream in item.streams:
                if stream not in self._of_stream:
                    continue
                book = self._of_stream[stream]
                if isinstance(item, Disconnected | Stale):
                    book.feed_lost(type(item).__name__.lower(), now_ms)
                elif isinstance(item, Recovered):
                    book.feed_back(now_ms)
                self._tell(book, item)

    def _tell(self, book: LocalBook, item: Message | Notice | None = None) -> None:
        """Tell what happened to `book`, and what followed from it."""
        if not self._changed:
            self._wake.set()
        self._changed[book.symbol] = None
        told: list[Message | Notice] = [] if item is None else [item]
        told += book.drain()
        if book.counters.snapshots_used != self._loaded[book.symbol]:
            self._loaded[book.symbol] = book.counters.snapshots_used
            told.append(
                Synced(
                    streams=book.streams,
                    time_ms=_now_ms(),
                    symbol=book.symbol,
                    update_id=book.last_update_id,
                )
            )
        if self._on_update is None or self._is_closed:
            return
        try:
            for each in told:
                self._on_update(book, each)
        except Exception as error:  # noqa: BLE001  # it is raised to who made the books
            self._failure = error
            self.close()

    async def _look(self) -> None:
        """Ask for the snapshots that are wanted, as long as the books are open."""
        while True:
            now_ms = _now_ms()
            for book in tuple(self._books.values()):
                is_due = book.wants_snapshot and now_ms >= book.next_ask_ms
                if is_due and self._runner.is_carried(book.streams[0]):
                    book.asked(now_ms)
                    task = asyncio.create_task(self._refresh(book))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)
            await asyncio.sleep(LOOK_S)

    async def _refresh(self, book: LocalBook) -> None:
        try:
            snapshot = await self._snapshot(book)
        except (RequestError, UpstreamError):
            book.snapshot_failed(_now_ms())
        else:
            book.load(snapshot, _now_ms())
        if self._books.get(book.symbol) is book:
            self._tell(book)

    async def _snapshot(self, book: LocalBook) -> bytes:
        return await self._rest.get("depth", symbol=book.symbol, limit=book.limit)


_BEGAN_MS = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000


def _now_ms() -> int:
    """Return milliseconds since the epoch by a clock that never goes back."""
    return _BEGAN_MS + time.monotonic_ns() // 1_000_000
