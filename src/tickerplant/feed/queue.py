"""The bounded queue between a feed and a consumer that reads at its own pace.

`when_full` says what happens when the queue is full:

`block`        the connections are not read until there is room (back-pressure)
`keep_latest`  only the latest message of each stream and symbol is kept between two notices
`drop_oldest`  the oldest items are dropped, and a `Dropped` notice in their place says how many
`raise`        the consumer gets `QueueOverflow` after the items that are queued

With `block`, a connection that other consumers with room share is still read.  The queue accepts up to
`ConnectionSettings.spare_messages` more items; further ones are dropped until it has been read, and a
`Dropped` notice behind the queued items says how many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.messages.message import Message
from tickerplant.notices import Dropped, Notice
from tickerplant.suggestions import one_of
from tickerplant.units import NS_PER_MS

WhenFull: TypeAlias = Literal["block", "keep_latest", "drop_oldest", "raise"]
"""What happens when a queue is full."""
WHEN_FULL: tuple[str, ...] = get_args(WhenFull)


class QueueCounters(Struct):
    """Counts of the messages and notices of a queue.

    Received = delivered + conflated + dropped + pending.
    """

    delivered: int = 0
    """Read by the consumer, not counting `Dropped`, which the queue itself creates."""
    conflated: int = 0
    """Replaced by a later message before they were read (`keep_latest`)."""
    dropped: int = 0
    """Discarded because the queue was full."""
    pauses: int = 0
    """How often the queue was full and asked for its connections to be paused (`block`)."""
    peak: int = 0
    """Largest number of items queued at once."""


class Queue:
    """Messages and notices in order.

    Args:
        size: Maximum number of queued items.  `block` does not enforce it.  One
            more may be queued just after a `Dropped` notice: the item that follows it.
        when_full: What happens when the queue is full.
    """

    def __init__(self, size: int, when_full: WhenFull) -> None:
        if type(size) is not int or size < 1:
            raise ConfigError("queue_size", size, "a whole number, at least 1")
        if when_full not in WHEN_FULL:
            raise ConfigError("when_full", when_full, one_of(str(when_full), WHEN_FULL))
        self.size = size
        self.when_full = when_full
        self._counters = QueueCounters()
        self._items: deque[Message | Notice] = deque()
        self.plain = self._items if when_full == "block" else deque[Message | Notice]()
        """With `block`, the queued items, for a reader that removes and counts them itself; else empty."""
        self.put: Callable[[Message | Notice], object] = {
            "block": self._items.append,
            "keep_latest": self._put_latest,
            "drop_oldest": self._put_dropping,
            "raise": self._put_or_overflow,
        }[when_full]
        """Adds an item."""
        self._latest: dict[tuple[str, str], tuple[Message, Message]] = {}
        """With `keep_latest`, by subject the queued message and the one delivered in its place."""
        self._dropped = 0
        """Items dropped since the last `Dropped` notice."""
        self._next: Message | Notice | None = None
        """The item that follows the `Dropped` notice just delivered, even if more are dropped."""
        self._dropped_streams: set[str] = set()
        self._dropped_ms = 0
        self._has_overflowed = False
        self._is_overflowing = False

    def __len__(self) -> int:
        return len(self._items) + (self._next is not None)

    def __bool__(self) -> bool:
        return bool(self._items or self._next is not None or self._has_overflowed or self._dropped)

    @property
    def counters(self) -> QueueCounters:
        """Current counts."""
        self._note_depth()
        return self._counters

    @property
    def is_notice_next(self) -> bool:
        """Whether `get` would return a notice."""
        if self._next is not None:
            return isinstance(self._next, Notice)
        is_dropping = self._dropped and not (self._is_overflowing and self._items)
        return bool(is_dropping) or bool(self._items and isinstance(self._items[0], Notice))

    @property
    def is_full(self) -> bool:
        """Whether `size` items are queued."""
        return len(self._items) >= self.size

    @property
    def is_overflowing(self) -> bool:
        """Whether every new item is dropped until the queue has been emptied (`block`)."""
        return self._is_overflowing

    def overflow(self) -> None:
        """Drop every new item until the queue has been emptied (`block`)."""
        self._is_overflowing = True
        self.put = self._put_overflowing

    def _put_overflowing(self, item: Message | Notice) -> None:
        self._note_dropped(item, item)

    def get(self) -> Message | Notice:
        """Remove and return the oldest item.

        Raises:
            IndexError: the queue is empty.
            QueueOverflow: the queue is empty and overflowed before (`raise`).
        """
        self._note_depth()
        item = self._next
        if item is not None:
            self._next = None
        elif self._dropped and not self._items:  # items dropped by an overflow with `block`
            self._is_overflowing = False
            self.put = self._items.append
            return self._dropped_notice()
        elif self._dropped and not self._is_overflowing:
            self._next = self._items.popleft()
            return self._dropped_notice()
        elif not self._items and self._has_overflowed:
            raise QueueOverflow(self.size)
        else:
            item = self._items.popleft()
        self._counters.delivered += 1
        return self._latest_of(item) if self._latest else item

    def _note_depth(self) -> None:
        """Update the peak; called before the queue becomes shorter."""
        self._counters.peak = max(self._counters.peak, len(self))

    def _latest_of(self, item: Message | Notice) -> Message | Notice:
        """Return the message delivered in the place of `item`, and forget it."""
        if isinstance(item, Message):
            subject = _subject(item)
            first, latest = self._latest.get(subject, (None, item))
            if first is item:
                del self._latest[subject]
                return latest
        return item

    def _put_or_overflow(self, item: Message | Notice) -> None:
        if self._has_overflowed or self.is_full:
            self._has_overflowed = True
            self._counters.dropped += 1
        else:
            self._items.append(item)

    def _put_dropping(self, item: Message | Notice) -> None:
        if self.is_full:
            self._drop_oldest(item)
        self._items.append(item)

    def _put_latest(self, item: Message | Notice) -> None:
        if isinstance(item, Message):
            subject = _subject(item)
            if subject in self._latest:
                self._latest[subject] = self._latest[subject][0], item
                self._counters.conflated += 1
                return
            self._latest[subject] = item, item
        elif self._latest:  # a later message must not be delivered before this notice
            if self._next is not None:
                self._next = self._latest_of(self._next)
            items = [self._latest_of(each) for each in self._items]
            self._items.clear()
            self._items.extend(items)
        self._put_dropping(item)

    def _drop_oldest(self, item: Message | Notice) -> None:
        """Drop the oldest item to make room for `item`."""
        self._note_depth()
        oldest = self._items.popleft()
        if isinstance(oldest, Message):
            self._latest_of(oldest)
        self._note_dropped(oldest, item)

    def _note_dropped(self, dropped: Message | Notice, item: Message | Notice) -> None:
        """Count an item that was dropped when `item` arrived."""
        if isinstance(dropped, Message):
            self._dropped_streams.add(dropped.stream)
        else:
            self._dropped_streams.update(dropped.streams)
        self._counters.dropped += 1
        self._dropped += 1
        self._dropped_ms = (
            item.time_ms if isinstance(item, Notice) else item.received_ns // NS_PER_MS
        )

    def _dropped_notice(self) -> Dropped:
        count, self._dropped = self._dropped, 0
        names, self._dropped_streams = tuple(sorted(self._dropped_streams)), set()
        return Dropped(streams=names, time_ms=self._dropped_ms, count=count)


def _subject(message: Message) -> tuple[str, str]:
    symbol: str = getattr(message, "symbol", "")
    return message.stream, symbol
