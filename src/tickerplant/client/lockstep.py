"""Keeps a market that can wait in step with the program that reads it.

What is received waits, in order, while a reader is at work: from when it was handed a message until
it waits for something of the market again.  Then one thing after the other is let through to books,
callbacks and queues, up to the next that some reader waits for.  So whatever a reader looks at, books
and other streams, is as of the message in its hands, at any speed.

    received ──▶ held, in order ──▶ books, callbacks, queues ──▶ a reader
                       ▲                                            │
                       └──────── waits for the next ◀───────────────┘

A reader that does not come back is not waited for for ever: after `PATIENCE_TICKS` the market goes on
without it, with a warning, and from then on waits half as long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from typing import Any, TypeAlias

from msgspec import Struct

_log = logging.getLogger(__name__)

Owner: TypeAlias = "asyncio.Task[Any] | Thread"
"""What reads: a task, or a thread of a program without an event loop."""

PATIENCE_TICKS = 200
"""Ticks of the feed, of 50 ms while the event loop runs, for which a reader at work is waited for."""
HANDED_ON_TICKS = 20
"""The same for a message that a task returned to another one, which is not known to come back."""
MOST_HELD = 1_000
"""Held messages from which on the connections are not read."""

reading_thread: ContextVar[Thread | None] = ContextVar("reading_thread", default=None)
"""The thread on whose behalf a coroutine runs in the event loop of a client."""


def current_reader() -> Owner | None:
    """Return the task or thread that runs this."""
    return reading_thread.get() or asyncio.current_task()


class _Work(Struct):
    """A message in the hands of a reader."""

    owner: Owner | None
    """None: it was handed on to an unknown task."""
    item: object
    name: str
    ticks: int = 0
    """How often the market had to wait for it."""


class Lockstep:
    """Holds what is received while a reader is at work."""

    def __init__(self, update_reading: Callable[[], object]) -> None:
        self.stops_reading = False
        """Whether the connections are not to be read."""
        self.is_full = False
        """Whether a queue is full, so that nothing is let through."""
        self._update_reading = update_reading
        self._held: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._work: dict[Hashable, _Work] = {}
        """By consumer, what was read of it last, until it is waited for again."""
        self._waits: dict[Owner | None, list[asyncio.Future[Any]]] = {}
        """What each reader waits for."""
        self._known: set[Owner] = set()
        """The readers that were handed a message."""
        self._requests = 0
        self._is_releasing = False
        self._patience = 1.0
        """The share of the ticks for which a reader is waited for."""

    @property
    def is_held(self) -> bool:
        """Whether what is received has to wait."""
        return bool(self._held) or self._is_stopped

    @property
    def is_at_work(self) -> bool:
        """Whether the market waits for a reader, or for the response to a request."""
        if self._requests:
            return True
        for futures in self._waits.values():
            for future in futures:
                if future.done():  # it was woken, and has not run yet
                    return True
        return any(work.owner not in self._waits for work in self._work.values())

    @property
    def _is_stopped(self) -> bool:
        return self.is_full or self.is_at_work

    # What is received

    def hold(self, take: Callable[..., object], *received: Any) -> None:
        """Call `take` with what was received once everything before it was read."""
        self._held.append((take, received))
        if len(self._held) >= MOST_HELD and not self.stops_reading:
            self.stops_reading = True
            self._update_reading()

    def release(self) -> None:
        """Let through what is held, up to what a reader waits for."""
        if self._is_releasing:
            return
        self._is_releasing = True
        held = self._held
        try:
            while held and not self._is_stopped:
                take, received = held.popleft()
                take(*received)
        finally:
            self._is_releasing = False
        if self.stops_reading and not self._is_stopped:
            self.stops_reading = False
            self._update_reading()

    def clear(self) -> None:
        """Forget what is held: nothing is delivered any more."""
        self._held.clear()

    # Readers

    async def wait(self, consumer: Hashable, future: asyncio.Future[Any]) -> None:
        """Wait for `future` as the reader of `consumer`."""
        owner = self.begin_waiting(consumer, future)
        try:
            self.release()
            if not future.done():
                await future
        finally:
            self.end_waiting(owner, future)

    def begin_waiting(self, consumer: Hashable, future: asyncio.Future[Any]) -> Owner | None:
        """Note that this reader waits for `future`; call `release` then.  Returns the reader."""
        self._work.pop(consumer, None)
        owner = current_reader()
        if owner not in self._known:  # it may have been started by whom a message was handed on to
            for key in [key for key, work in self._work.items() if work.owner is None]:
                del self._work[key]
        self._waits.setdefault(owner, []).append(future)
        return owner

    def end_waiting(self, owner: Owner | None, future: asyncio.Future[Any]) -> None:
        """Note that a reader does not wait for `future` any more."""
        futures = self._waits.get(owner, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waits.pop(owner, None)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within this, the reader waits for something of the market that is no message."""
        future = asyncio.get_running_loop().create_future()
        owner = self.begin_waiting(future, future)
        self.release()
        try:
            yield
        finally:
            self.end_waiting(owner, future)

    def handed(
        self, consumer: Hashable, item: object, name: str, owner: Owner | None = None
    ) -> None:
        """Note that a reader got an item of `consumer`, and is at work until it waits again."""
        owner = owner or current_reader()
        self._work[consumer] = _Work(owner, item, name)
        if owner is not None and owner not in self._known:
            self._known.add(owner)
            if isinstance(owner, asyncio.Task):
                owner.add_done_callback(self._task_ended)

    def forget(self, consumer: Hashable) -> None:
        """Note that nobody reads `consumer` any more."""
        if self._work.pop(consumer, None) is not None:
            self.release()

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        """Wait no more for a task, unless it only handed on what it got."""
        self._known.discard(task)
        result = None if task.cancelled() or task.exception() else task.result()
        for consumer, work in tuple(self._work.items()):
            if work.owner is task:
                if result is not None and result is work.item:
                    work.owner = None
                else:
                    del self._work[consumer]
        self.release()

    # Requests

    def during(self, request: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Return a request for which the market waits from now on."""
        self._requests += 1
        return self._during(request)

    async def _during(self, request: Coroutine[Any, Any, None]) -> None:
        try:
            await request
        finally:
            self._requests -= 1
            self.release()

    # Time

    def tick(self) -> None:
        """Stop reading while a reader is at work, and go on without one that does not come back."""
        for consumer, work in tuple(self._work.items()):
            if isinstance(work.owner, Thread) and not work.owner.is_alive():
                del self._work[consumer]
            elif self._held and work.owner not in self._waits:
                work.ticks += 1
                most = HANDED_ON_TICKS if work.owner is None else PATIENCE_TICKS
                if work.ticks > most * self._patience:
                    del self._work[consumer]
                    self._give_up(work)
        self.release()
        if self._held and not self.stops_reading:
            self.stops_reading = True
            self._update_reading()

    def _give_up(self, work: _Work) -> None:
        if self._patience == 1:
            _log.warning(
                "The market does not wait any longer for the reader of %s, which has not asked for the "
                "next message: until it does, books and other streams may be ahead of it. Close what "
                "is not read any more, and do not wait within a loop for what comes later.",
                work.name,
            )
        self._patience /= 2
