"""Consumers of streams: a subscription is read from a queue, a listener calls a function."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from msgspec import structs

from tickerplant.client.event_loop import check_timeout, running_loop, within
from tickerplant.client.history import History
from tickerplant.client.lockstep import Owner
from tickerplant.client.runner import FeedRunner
from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.feed.merged_stream import Sink
from tickerplant.feed.queue import Queue, QueueCounters, WhenFull
from tickerplant.formatting import names_text
from tickerplant.messages.message import Message
from tickerplant.notices import Notice

_log = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)

BATCH = 1_000
"""Maximum number of items that `read_batch` returns at once, unless it is told another."""


class Subscription(Generic[T_co]):
    """An asynchronous iterator over messages and notices; ends when it, or its market, is closed.

    With `on_notice` it contains messages only.  The subscription starts at once.  Call `close()`
    when done, or use `async with`; otherwise it is closed when garbage-collected.
    """

    def __init__(
        self,
        runner: FeedRunner,
        names: tuple[str, ...],
        *,
        when_full: WhenFull,
        queue_size: int,
        on_notice: Callable[[Notice], object] | None,
        backfill: bool,
        history: History | None = None,
    ) -> None:
        self.names = names
        """The streams."""
        self._runner = runner
        self._inbox = Inbox(runner, names, Queue(queue_size, when_full), history)
        self._on_notice = on_notice or _ignore
        is_stepped = runner.lockstep is not None  # then each item goes through `Inbox.get`
        queued = cast("deque[T_co]", deque() if is_stepped else self._inbox.queue.plain)
        self._plain: deque[T_co] = deque() if on_notice else queued
        """What `block` has queued, all of it for the reader."""
        self._mixed: deque[T_co] = queued if on_notice else deque()
        """What `block` has queued, with notices for `on_notice`."""
        self._get: Callable[[], Awaitable[T_co]] = cast(
            "Callable[[], Awaitable[T_co]]", self._get_message if on_notice else self._inbox.get
        )
        self._read = 0
        runner.attach(names, self._inbox.put, backfills=backfill)
        runner.on_end(self._end)

    @property
    def counters(self) -> QueueCounters:
        """Counts of its messages and notices."""
        counters = self._inbox.counters
        return structs.replace(counters, delivered=counters.delivered + self._read)

    @property
    def pending(self) -> int:
        """Number of unread messages and notices."""
        return len(self._inbox.queue)

    def close(self) -> None:
        """Unsubscribe.  Messages already queued can still be read."""
        self._inbox.close()

    def _end(self, failure: Exception | None) -> None:
        """End after what is queued, with `failure` if there is one: nothing more will come."""
        if not self._inbox.is_closed:
            self._inbox.failure = failure
            self._inbox.end_history()
            self._inbox.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._inbox.is_closed else ""
        return f"<Subscription {names_text(self.names)}, {self.pending} pending{closed}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Return the next message, or notice if there is no `on_notice`.

        Raises:
            QueueOverflow: `when_full` is `"raise"`, and the queue was full; the subscription is closed.
        """
        plain = self._plain
        if plain:
            self._read += 1
            return plain.popleft()
        mixed = self._mixed
        while mixed:
            self._read += 1
            item = mixed.popleft()
            if not isinstance(item, Notice):
                return item
            self._on_notice(item)
        return await self._get()

    async def read_batch(
        self, max_items: int = BATCH, *, timeout_s: float | None = None
    ) -> list[T_co]:
        """Wait for at least one item and return up to `max_items` of them.

        Returns an empty list once the subscription has ended.  With `on_notice` a batch ends before
        a notice, so that it is called after the messages before it were handled.

        Args:
            max_items: Maximum number of messages (and notices, without `on_notice`).
            timeout_s: How long to wait for the first; None waits indefinitely.

        Raises:
            ConfigError: `max_items` is not a positive integer, or `timeout_s` is invalid.
            TimeoutError: nothing arrived in time; nothing is lost.
            QueueOverflow: `when_full` is `"raise"`, and the queue was full.
        """
        check_max_items(max_items)
        check_timeout(timeout_s)
        batch: list[T_co] = []
        try:
            batch.append(await within(timeout_s, self._get, self._missing))
            while (
                len(batch) < max_items
                and (self._inbox.queue or self._inbox.pull())
                and not self._is_before_notice()
            ):
                batch.append(await self._get())
        except StopAsyncIteration:
            pass
        except QueueOverflow:
            if not batch:
                raise
        return batch

    @property
    def is_over(self) -> bool:
        """Whether it has ended and everything was read."""
        inbox = self._inbox
        return inbox.is_closed and not inbox.queue and inbox.failure is None

    async def read_queued(self) -> list[T_co]:
        """Return the next item if one is queued, without waiting; else an empty list."""
        while self._inbox.queue or self._inbox.failure is not None:
            item = await self._inbox.get()
            if self._on_notice is _ignore or not isinstance(item, Notice):
                return [cast("T_co", item)]
            self._on_notice(item)
        return []

    def begin_waiting(self, reader: asyncio.Future[None]) -> bool:
        """Complete `reader` when there is an item or the end; return False if there is now.

        Call `let_through` once the reader waits for all that it wants.
        """
        return self._inbox.begin_waiting(reader)

    def let_through(self) -> None:
        """Let what was received reach the reader."""
        self._inbox.let_through()

    def end_waiting(self, *, is_woken: bool) -> None:
        """Forget the reader given to `begin_waiting`.

        Args:
            is_woken: Whether the reader got what it waited for, here or elsewhere, and handles it now.
        """
        self._inbox.end_waiting(is_woken=is_woken)

    async def _get_message(self) -> Message:
        """Wait for the next message; call `on_notice` with the notices before it."""
        while True:
            item = await self._inbox.get()
            if not isinstance(item, Notice):
                return item
            self._on_notice(item)

    def _is_before_notice(self) -> bool:
        return self._on_notice is not _ignore and self._inbox.queue.is_notice_next

    def _missing(self) -> str:
        return f"no message of {names_text(self.names)}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        inbox = getattr(self, "_inbox", None)
        if inbox is not None and not inbox.is_closed:
            inbox.is_closed = True
            self._runner.forget(self.names, inbox.put)


class Inbox:
    """The queue of a subscription and the reader that waits for it."""

    def __init__(
        self,
        runner: FeedRunner,
        names: tuple[str, ...],
        queue: Queue,
        history: History | None = None,
    ) -> None:
        self.queue = queue
        self.is_closed = False
        self.failure: Exception | None = None
        """Why the market ended early; raised after what is queued."""
        self.put: Sink = self._take
        """The sink of the subscription; one object, which identifies it."""
        self._runner = runner
        self._names = names
        self._reader: asyncio.Future[None] | None = None
        self._is_woken = False
        """Whether the waiting reader was already scheduled."""
        self._is_paused = False
        self._put = queue.put
        self._history = history
        """The history, until it is joined to the live messages."""
        if history is not None:
            self._put = self._join
            history.start(names, self._put_joined, self._on_history)
        self._blocks = queue.when_full == "block"
        self._plain = queue.plain
        self._peak = 0
        self._lockstep = runner.lockstep
        self._waiting_reader: Owner | None = None
        self._spare = runner.feed.context.settings.connections.spare_messages
        self._is_warned = False

    @property
    def counters(self) -> QueueCounters:
        """Counts of the queue, with the peak seen here: a reader removes items without the queue's knowledge."""
        counters = self.queue.counters
        counters.peak = max(counters.peak, self._peak)
        return counters

    def _take(self, item: Message | Notice) -> None:
        """Queue an item and wake the reader."""
        self._put(item)
        if self._reader is not None:
            if not self._is_woken:
                self._wake()  # `get` notes the peak when the reader runs
        elif self._blocks:
            depth = len(self._plain)
            self._peak = max(self._peak, depth)
            if depth >= self.queue.size:
                self._note_full(depth)

    def _note_full(self, depth: int) -> None:
        """Ask for the connections to be paused; drop items once even the spare room is used up."""
        if not self._is_paused:
            self._is_paused = True
            self.queue.counters.pauses += 1
            self._runner.pause_for(self.put, self)
        elif depth >= self.queue.size + self._spare and not self.queue.is_overflowing:
            self._overflow()

    def check_room(self) -> None:
        """Resume the connections if the queue is empty; a consumer that polls is only noticed here."""
        if self._is_paused and not self.queue:
            self._is_paused = False
            self._runner.resume_for(self.put)

    def on_crowded(self) -> None:
        """Warn, once, that others with room share the connections of this subscription."""
        if not self._is_warned:
            self._is_warned = True
            _log.warning(
                "A subscription is not read, or too slowly, and others share its connections: %s. %d "
                "messages are pending (queue_size=%d, when_full='block'); it drops messages when it has "
                "queued %d. Read it, close it, use when_full='keep_latest', when_full='drop_oldest' or "
                "a larger queue_size, or connect once more for it.",
                names_text(self._names),
                len(self._plain),
                self.queue.size,
                self.queue.size + self._spare,
            )

    def on_waited_for(self) -> None:
        """Warn, once, that a replay or a simulation waits for this subscription to be read."""
        if not self._is_warned:
            self._is_warned = True
            _log.warning(
                "A subscription is not read, and the market waits for it: %s. %d messages are pending "
                "(queue_size=%d, when_full='block'). Read it, close it, or use "
                "when_full='keep_latest' or when_full='drop_oldest'.",
                names_text(self._names),
                len(self._plain),
                self.queue.size,
            )

    def _overflow(self) -> None:
        """Drop every new item until the queue has been read."""
        self.queue.overflow()
        self._put_in_queue()
        self.on_crowded()

    async def get(self) -> Message | Notice:
        """Wait for the oldest item, remove and return it.

        Raises:
            StopAsyncIteration: the subscription is closed and the queue empty.
            QueueOverflow: the queue was full (`raise`).
        """
        while True:
            while not self.queue:
                if self.is_closed:
                    if self.failure is not None:
                        raise self.failure
                    raise StopAsyncIteration
                self.check_room()
                if not self.queue and not self.is_closed:  # it may have let through what was held
                    await self._wait()
            try:
                item = self.queue.get()
            except QueueOverflow:
                self.close()
                raise
            if self._history is None:
                self._put = self.queue.put
            lockstep = self._lockstep
            if (
                lockstep is not None
                and self._blocks
                and not self.is_closed
                and self._runner.is_shared
            ):
                lockstep.handed(self.put, item, names_text(self._names))
            return item

    def pull(self) -> bool:
        """Let the next item through although the last is not handled, if nobody else can notice."""
        lockstep = self._lockstep
        if lockstep is None or self._runner.is_shared or self.is_closed or not self._blocks:
            return False
        reader = running_loop().create_future()
        try:
            if self.begin_waiting(reader):
                lockstep.release()
        finally:
            self.end_waiting(is_woken=True)
        return bool(self.queue)

    def let_through(self) -> None:
        """Let what was received reach the reader that waits."""
        if self._lockstep is not None:
            self._lockstep.release()

    def _put_in_queue(self) -> None:
        """Put items into the queue, as it is now, unless a history is to be joined to them."""
        if self._history is None:
            self._put = self.queue.put

    def _join(self, item: Message | Notice) -> None:
        """Join a live item to the history."""
        if self._history is not None:
            self._history.take(item)
            self._leave_history()

    def _put_joined(self, item: Message | Notice) -> None:
        """Queue an item of the history, for which there is always room, or a live one behind it."""
        if self._history is not None and self._history.is_delivering:
            self.queue.size += 1
        self.queue.put(item)

    def _on_history(self) -> None:
        """Wake the reader after items were fetched."""
        self._wake()
        self._leave_history()

    def _leave_history(self) -> None:
        if self._history is not None and self._history.is_joined:
            self._history = None
            self._put_in_queue()

    def end_history(self) -> None:
        """Queue what is held behind a history that has not come; nothing more will come."""
        if self._history is not None:
            self._history.end()

    def close(self) -> None:
        """Unsubscribe and accept nothing more."""
        if not self.is_closed:
            self._runner.check_loop()
            self.is_closed = True
            if self._history is not None:
                self._history.close()
            self._wake()
            self._runner.detach(self._names, self.put)

    async def _wait(self) -> None:
        reader = running_loop().create_future()
        self._set_reader(reader)
        try:
            if self._lockstep is None:
                await reader
            else:
                await self._lockstep.wait(self.put, reader)
        finally:
            self._reader = None

    def begin_waiting(self, reader: asyncio.Future[None]) -> bool:
        """Complete `reader` when there is an item or the end; return False if there is now."""
        if self.queue or self.is_closed:
            return False
        self.check_room()
        if self.queue or self.is_closed:  # by what was held
            return False
        self._set_reader(reader)
        if self._lockstep is not None:
            self._waiting_reader = self._lockstep.begin_waiting(self.put, reader)
        return True

    def end_waiting(self, *, is_woken: bool) -> None:
        """Forget the reader given to `begin_waiting`; see `Subscription.end_waiting`."""
        reader, self._reader = self._reader, None
        if self._lockstep is not None and reader is not None:
            if is_woken and self._blocks and not self.is_closed:
                name = names_text(self._names)
                self._lockstep.handed(self.put, None, name, self._waiting_reader)
            self._lockstep.end_waiting(self._waiting_reader, reader)

    def _set_reader(self, reader: asyncio.Future[None]) -> None:
        self._runner.check_loop()
        if self._reader is not None:
            raise RuntimeError(
                f"the subscription to {names_text(self._names)} is read by two readers at once; "
                "subscribe once for each"
            )
        self._runner.is_awaited = True
        self._reader = reader
        self._is_woken = False

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        self._is_woken = True


class Listener:
    """A callback that receives the messages of its streams until it is closed or raises."""

    def __init__(
        self,
        runner: FeedRunner,
        names: tuple[str, ...],
        callback: Callable[..., object],
        *,
        on_notice: Callable[[Notice], object] | None,
        backfill: bool,
        history: History | None = None,
    ) -> None:
        self.names = names
        """The streams."""
        self._runner = runner
        self._callback = callback
        self._on_notice = on_notice or _ignore
        self._failure: Exception | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deliver: Sink = self._take if on_notice is None else self._take_apart
        self._sink = self._deliver if history is None else self._join
        self._history = history
        """The history, until it is joined to the live messages."""
        if history is not None:
            history.start(names, self._deliver, self._leave_history)
        runner.attach(names, self._sink, backfills=backfill)
        runner.is_awaited = True
        runner.on_end(self._end)

    @property
    def is_done(self) -> bool:
        """Whether it is closed and any exception from the callback has been reported."""
        return self._over.done() and self._failure is None

    def close(self) -> None:
        """Unsubscribe; the callback is no longer called."""
        if not self._over.done():
            self._runner.check_loop()
            self._over.set_result(None)
            self._callback = self._on_notice = _ignore  # for the rest of an array, for example
            if self._history is not None:
                self._history.close()
            self._runner.detach(self.names, self._sink)

    def _end(self, failure: Exception | None) -> None:
        """Close: nothing more will come.  Awaiting it raises `failure`, if there is one."""
        if not self._over.done():
            if self._history is not None:
                self._history.end()
            self._failure = self._failure or failure
            self.close()

    def take_failure(self) -> Exception | None:
        """Return the exception of the callback and forget it."""
        failure, self._failure = self._failure, None
        return failure

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is closed; re-raise an exception of the callback.

        Args:
            timeout_s: How long to wait; None waits indefinitely.

        Raises:
            ConfigError: `timeout_s` is invalid.
            TimeoutError: it is not closed in time; it goes on.
        """
        check_timeout(timeout_s)
        await within(timeout_s, lambda: self, lambda: f"{self} was not closed")

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is closed; re-raise an exception of the callback."""
        if not self._over.done():
            self._runner.check_loop()
        yield from asyncio.shield(self._over).__await__()
        failure = self.take_failure()
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        closed = ", closed" if self._over.done() else ""
        return f"<Listener {names_text(self.names)}{closed}>"

    def _join(self, item: Message | Notice) -> None:
        """Join a live item to the history."""
        if self._history is None:
            self._deliver(item)
        else:
            self._history.take(item)
            self._leave_history()

    def _leave_history(self) -> None:
        if self._history is not None and self._history.is_joined:
            self._history = None

    def _take(self, item: Message | Notice) -> None:
        try:
            self._callback(item)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # its owner gets it
            self._fail(error)

    def _take_apart(self, item: Message | Notice) -> None:
        try:
            if isinstance(item, Notice):
                self._on_notice(item)
            else:
                self._callback(item)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # its owner gets it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            failure = error
        else:  # CancelledError, raised as it is, would cancel the task that awaits the listener
            failure = RuntimeError("the callback raised CancelledError")
            failure.__cause__ = error
        self._failure = failure
        names = names_text(self.names)
        _log.error("A callback failed and is no longer called: %s", names, exc_info=failure)
        self.close()


def _ignore(_: object) -> None:
    """Discard a message."""


def check_max_items(max_items: object) -> None:
    """Raise `ConfigError` unless `max_items` is a positive integer."""
    if type(max_items) is not int or max_items < 1:
        raise ConfigError("max_items", max_items, "a whole number, at least 1")


def check_callback(setting: str, callback: object) -> None:
    """Raise `ConfigError` unless `callback` is callable and not a coroutine function."""
    kinds = (callback, getattr(callback, "__call__", None))  # noqa: B004  # its method is wanted
    is_async = any(map(inspect.iscoroutinefunction, kinds)) or any(
        map(inspect.isasyncgenfunction, kinds)
    )
    if not callable(callback) or is_async:
        raise ConfigError(setting, callback, "a plain (non-async) function")
