"""What a consumer reads from: the messages and notices of its streams, in order."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from msgspec import structs

from tickerplant.client.runner import FeedRunner
from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.feed.merged_stream import Sink
from tickerplant.feed.queue import SPARE, Policy, Queue, QueueCounters
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice

_log = logging.getLogger(__name__)

NAMED = 3
"""Streams that are named where there may be very many."""


class Subscription:
    """An asynchronous iterator over messages and notices; ends when it, or its market, is closed.

    It is subscribed from the moment it is made.  `close` it when it is not read any more, or use
    it with `async with`; who forgets is unsubscribed when it is collected.
    """

    def __init__(
        self,
        runner: FeedRunner,
        names: tuple[str, ...],
        *,
        policy: Policy,
        size: int,
        notices: bool,
        backfill: bool,
    ) -> None:
        self.names = names
        """The streams."""
        self._runner = runner
        self._inbox = Inbox(runner, names, Queue(size, policy), notices=notices)
        self._waiting = self._inbox.queue.plain
        self._read = 0
        runner.attach(names, self._inbox.put, backfills=backfill)

    @property
    def counters(self) -> QueueCounters:
        """What happened to the messages so far."""
        counters = self._inbox.counters
        return structs.replace(counters, handed_out=counters.handed_out + self._read)

    @property
    def waiting(self) -> int:
        """Messages and notices that came and were not read."""
        return len(self._inbox.queue)

    def close(self) -> None:
        """Unsubscribe; what waits may still be read."""
        self._inbox.close()

    def __repr__(self) -> str:
        closed = ", closed" if self._inbox.is_closed else ""
        return f"<Subscription {streams_text(self.names)}, {self.waiting} waiting{closed}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message | Notice:
        """Return the next message or notice.

        Raises:
            QueueOverflow: the policy is `fail`, and it was read too slowly; it is closed then.
        """
        waiting = self._waiting
        if waiting:
            self._read += 1
            return waiting.popleft()
        return await self._inbox.get()

    async def take(self, most: int) -> list[Message | Notice]:
        """Return what waits, at least one item and at most `most`; none when it has ended.

        Raises:
            ConfigError: `most` is none.
            QueueOverflow: the policy is `fail`, and it was read too slowly.
        """
        if type(most) is not int or most < 1:
            raise ConfigError("most", most, "a whole number, at least 1")
        taken: list[Message | Notice] = []
        try:
            taken.append(await self._inbox.get())
            while len(taken) < most and self._inbox.queue:
                taken.append(await self._inbox.get())
        except StopAsyncIteration:
            pass
        except QueueOverflow:
            if not taken:
                raise
        return taken

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


def streams_text(names: tuple[str, ...]) -> str:
    """Return the names of streams for people: a few of them, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


class Inbox:
    """The queue of a subscription, and who waits at it."""

    def __init__(
        self, runner: FeedRunner, names: tuple[str, ...], queue: Queue, *, notices: bool
    ) -> None:
        self.queue = queue
        self.is_closed = False
        self.put: Sink = self._take if notices else self._take_messages
        """The sink of the subscription; one object, by which it is known."""
        self._runner = runner
        self._names = names
        self._reader: asyncio.Future[None] | None = None
        self._is_woken = False
        """Whether the reader will run, as something came."""
        self._is_held_up = False
        self._notices = notices
        self._put = queue.put
        self._every = queue.policy == "every"
        self._plain = queue.plain
        self._deepest = 0
        self._most = queue.size + SPARE
        self._is_warned = False

    @property
    def counters(self) -> QueueCounters:
        """What the queue counted; how deep it was with `every` is seen here, as others read it too."""
        counters = self.queue.counters
        counters.deepest = max(counters.deepest, self._deepest)
        return counters

    def _take(self, item: Message | Notice) -> None:
        """Take an item in; wake who waits for it."""
        self._put(item)
        if self._reader is not None:
            if not self._is_woken:
                self._wake()  # `get` sees how much came until its reader runs
        elif self._every:
            depth = len(self._plain)
            self._deepest = max(self._deepest, depth)
            if depth >= self.queue.size:
                self._note_full(depth)

    def _note_full(self, depth: int) -> None:
        """Take note that nothing more should come."""
        if not self._is_held_up:
            self._is_held_up = True
            self.queue.counters.pauses += 1
            self._runner.hold_up(self.put, self)
        elif depth >= self._most and not self.queue.is_overflowing:
            self._overflow()

    def look(self) -> None:
        """Let connections be read again if everything was read; who only polls is seen here."""
        if self._is_held_up and not self.queue:
            self._is_held_up = False
            self._runner.make_room(self.put)

    def crowded(self, has_own: bool) -> None:
        """Warn, once, that others with room share the connections of this subscription."""
        if not self._is_warned:
            self._is_warned = True
            moved = "It is given connections of its own; what it is sent waits for it there"
            kept = (
                f"No more connections are to be had: of what comes, it keeps {SPARE} and drops more"
            )
            _log.warning(
                "A subscription is not read, or too slowly: %s. %d messages wait (size=%d, "
                "policy='every'). %s. Read it, close it, or give it policy='latest' or "
                "policy='drop_oldest'.",
                streams_text(self._names),
                len(self._plain),
                self.queue.size,
                moved if has_own else kept,
            )

    def _overflow(self) -> None:
        """Take nothing more in until what waits was read, and say so."""
        self.queue.overflow()
        self._put = self.queue.put
        _log.warning(
            "A subscription drops messages until it is read: %s. %d wait, and it has no connections "
            "of its own on which more could.",
            streams_text(self._names),
            len(self._plain),
        )

    def _take_messages(self, item: Message | Notice) -> None:
        """Take a message in, and no notice."""
        if not isinstance(item, Notice):
            self._take(item)

    async def get(self) -> Message | Notice:
        """Return the oldest item as soon as there is one.

        Raises:
            StopAsyncIteration: there will be none.
            QueueOverflow: something had to be given up that must not be.
        """
        while True:
            while not self.queue:
                if self.is_closed:
                    raise StopAsyncIteration
                self.look()
                await self._wait()
            try:
                item = self.queue.get()
                self._put = self.queue.put
            except QueueOverflow:
                self.close()
                raise
            if self._notices or not isinstance(item, Notice):  # the queue itself tells `Dropped`
                return item

    def close(self) -> None:
        """Unsubscribe: take nothing more in."""
        if not self.is_closed:
            self.is_closed = True
            self._wake()
            self._runner.detach(self._names, self.put)

    async def _wait(self) -> None:
        if self._reader is not None:
            raise RuntimeError("a subscription is read by one reader at a time")
        self._reader = asyncio.get_running_loop().create_future()
        self._is_woken = False
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        self._is_woken = True
