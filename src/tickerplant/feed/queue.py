"""What waits between a feed and a consumer that reads in its own time.

A queue is bounded, and its policy says what happens when it is full:

`every`        nothing is lost: the server waits until there is room (back-pressure)
`latest`       of each stream and symbol only the latest message waits, between two notices
`drop_oldest`  the oldest messages go, and a `Dropped` notice says how many, in their place
`fail`         the consumer gets `QueueOverflow` after what waits

With `every`, connections that others with room share are read until the queue has connections of
its own.  `SPARE` more may wait meanwhile; what comes then is given up, and a `Dropped` notice behind
what waits says how many that was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Dropped, Notice
from tickerplant.suggestions import one_of
from tickerplant.units import NS_PER_MS

Policy: TypeAlias = Literal["every", "latest", "drop_oldest", "fail"]
POLICIES: tuple[str, ...] = get_args(Policy)

SPARE = 10_000
"""With `every`, items beyond its size for which a queue has room until its connections can be left
unread."""


class QueueCounters(Struct):
    """What happened to the messages of a queue so far."""

    handed_out: int = 0
    """Read: messages and notices alike, but not `Dropped`, which never came to the queue.

    So what came is what was handed out, conflated or dropped, and what waits.
    """
    conflated: int = 0
    """Replaced by a later one before they were read (`latest`)."""
    dropped: int = 0
    """Given up (`latest` of too many subjects, `drop_oldest`, `fail`; `every` beyond `SPARE`)."""
    pauses: int = 0
    """Times it was full, and its connections were not to be read (`every`)."""
    deepest: int = 0
    """The most that waited at once."""


class Queue:
    """Messages and notices in order, at most `size` of them.

    Args:
        size: How many may wait.  With `every`, `SPARE` more may; after a `Dropped`, the item that is
            kept to follow it.
        policy: What happens when it is full.

    Raises:
        ConfigError: the size or the policy is none.
    """

    def __init__(self, size: int, policy: Policy) -> None:
        if type(size) is not int or size < 1:
            raise ConfigError("size", size, "a whole number, at least 1")
        if policy not in POLICIES:
            raise ConfigError("policy", policy, one_of(str(policy), POLICIES))
        self.size = size
        self.policy = policy
        self._counters = QueueCounters()
        self._waiting: deque[Message | Notice] = deque()
        self.plain = self._waiting if policy == "every" else deque[Message | Notice]()
        """With `every`, what waits, for who takes it out himself and counts it; else empty."""
        self.put: Callable[[Message | Notice], object] = {
            "every": self._waiting.append,
            "latest": self._put_latest,
            "drop_oldest": self._put_dropping,
            "fail": self._put_or_fail,
        }[policy]
        """Takes an item in, as the policy says."""
        self._latest: dict[tuple[str, str], tuple[Message, Message]] = {}
        """With `latest`, by subject what waits and what is handed out in its place."""
        self._dropped = 0
        """Given up since that was told last."""
        self._next: Message | Notice | None = None
        """What follows the `Dropped` that was handed out last, whatever comes meanwhile."""
        self._dropped_streams: set[str] = set()
        self._dropped_ms = 0
        self._has_failed = False
        self._is_overflowing = False
        """Whether nothing is taken in any more, until all that waits was read (`every`)."""

    def __len__(self) -> int:
        return len(self._waiting) + (self._next is not None)

    def __bool__(self) -> bool:
        return bool(self._waiting or self._next is not None or self._has_failed or self._dropped)

    @property
    def counters(self) -> QueueCounters:
        """What happened so far."""
        self._note_depth()
        return self._counters

    @property
    def is_full(self) -> bool:
        """Whether nothing more should come."""
        return len(self._waiting) >= self.size

    @property
    def is_overflowing(self) -> bool:
        """Whether nothing is taken in any more, until all that waits was read (`every`)."""
        return self._is_overflowing

    def overflow(self) -> None:
        """Take nothing more in until all that waits was read: there is no room beyond the size, either."""
        self._is_overflowing = True
        self.put = self._put_nowhere

    def _put_nowhere(self, item: Message | Notice) -> None:
        self._note_dropped(item, item)

    def get(self) -> Message | Notice:
        """Return the oldest item.

        Raises:
            IndexError: nothing waits.
            QueueOverflow: nothing waits any more, and something could not (`fail`).
        """
        self._note_depth()
        item = self._next
        if item is not None:
            self._next = None
        elif self._dropped and not self._waiting:  # what came after that which was just read
            self._is_overflowing = False
            self.put = self._waiting.append
            return self._tell_dropped()
        elif self._dropped and not self._is_overflowing:
            self._next = self._waiting.popleft()
            return self._tell_dropped()
        elif not self._waiting and self._has_failed:
            raise QueueOverflow(self.size)
        else:
            item = self._waiting.popleft()
        self._counters.handed_out += 1
        return self._latest_of(item) if self._latest else item

    def _note_depth(self) -> None:
        """Count what waits, where it may have been the most: before it becomes less."""
        depth = len(self)
        self._counters.deepest = max(self._counters.deepest, depth)

    def _latest_of(self, item: Message | Notice) -> Message | Notice:
        """Return what is handed out in the place of `item`, and forget it."""
        if isinstance(item, Message):
            subject = _subject(item)
            first, latest = self._latest.get(subject, (None, item))
            if first is item:
                del self._latest[subject]
                return latest
        return item

    def _put_or_fail(self, item: Message | Notice) -> None:
        if self._has_failed or self.is_full:
            self._has_failed = True
            self._counters.dropped += 1
        else:
            self._waiting.append(item)

    def _put_dropping(self, item: Message | Notice) -> None:
        if self.is_full:
            self._give_up(item)
        self._waiting.append(item)

    def _put_latest(self, item: Message | Notice) -> None:
        if isinstance(item, Message):
            subject = _subject(item)
            if subject in self._latest:
                self._latest[subject] = self._latest[subject][0], item
                self._counters.conflated += 1
                return
            self._latest[subject] = item, item
        elif self._latest:  # what comes after a notice is not handed out before it
            if self._next is not None:
                self._next = self._latest_of(self._next)
            waiting = [self._latest_of(each) for each in self._waiting]
            self._waiting.clear()
            self._waiting.extend(waiting)
        self._put_dropping(item)

    def _give_up(self, item: Message | Notice) -> None:
        """Give up the oldest item because `item` comes."""
        self._note_depth()
        oldest = self._waiting.popleft()
        if isinstance(oldest, Message):
            self._latest_of(oldest)
        self._note_dropped(oldest, item)

    def _note_dropped(self, dropped: Message | Notice, item: Message | Notice) -> None:
        """Count an item that was given up because `item` came."""
        if isinstance(dropped, Message):
            self._dropped_streams.add(dropped.stream)
        else:
            self._dropped_streams.update(dropped.streams)
        self._counters.dropped += 1
        self._dropped += 1
        self._dropped_ms = (
            item.time_ms if isinstance(item, Notice) else item.received_ns // NS_PER_MS
        )

    def _tell_dropped(self) -> Dropped:
        count, self._dropped = self._dropped, 0
        names, self._dropped_streams = tuple(sorted(self._dropped_streams)), set()
        return Dropped(streams=names, time_ms=self._dropped_ms, count=count)


def _subject(message: Message) -> tuple[str, str]:
    symbol: str = getattr(message, "symbol", "")
    return message.stream, symbol
