"""A secondary connection of a stream: what it delivered, compared with what the primary did."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A message in a backlog."""

    key: Any
    """Identifies it: its id, or the hash of its bytes."""
    item: Any
    received_ms: int


class Backlog:
    """Messages in order of arrival, found by their keys; equal keys are counted."""

    __slots__ = ("_counts", "_entries")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._counts: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._counts

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def oldest(self) -> Entry:
        """The first that arrived."""
        return self._entries[0]

    def put(self, key: Hashable, item: Any, received_ms: int) -> None:
        """Add a message at the end."""
        self._entries.append(Entry(key, item, received_ms))
        self._counts[key] += 1

    def pop(self) -> Entry:
        """Remove and return the oldest."""
        entry = self._entries.popleft()
        self._discount(entry.key)
        return entry

    def pop_through(self, key: Hashable) -> list[Entry] | None:
        """Remove the first entry with `key` and all before it; return those before it.

        Returns None, and changes nothing, if there is no such entry.
        """
        if key not in self._counts:
            return None
        before = []
        while (entry := self.pop()).key != key:
            before.append(entry)
        return before

    def drain(self) -> list[Entry]:
        """Remove and return all."""
        entries = list(self._entries)
        self._entries.clear()
        self._counts.clear()
        return entries

    def _discount(self, key: Hashable) -> None:
        if self._counts[key] == 1:
            del self._counts[key]
        else:
            self._counts[key] -= 1


class Secondary:
    """What is known of a connection that is subscribed to a stream beside the primary."""

    __slots__ = (
        "delivering_since_ms",
        "expected",
        "idle_since_ms",
        "is_delivering",
        "is_in_step",
        "is_mute",
        "is_restarted",
        "last_id",
        "may_be_older",
        "may_repeat",
        "resubscriptions",
        "skipped",
        "waiting",
    )

    def __init__(self, *, may_be_older: bool = False) -> None:
        self.is_delivering = False
        """Whether its subscription was acknowledged, or a message came."""
        self.delivering_since_ms = 0
        self.resubscriptions = 0
        """How often it was subscribed again because it sent nothing."""
        self.idle_since_ms = 0
        """Since when it is known that it sends nothing while the primary does; 0 if it is not."""
        self.is_mute = False
        """Whether it has sent messages of other streams since, so that it is not merely late."""
        self.waiting = Backlog()
        """Messages that came on it and were not delivered yet."""
        self.expected = Backlog()
        """Delivered messages that have not come on it yet."""
        self.skipped: dict[Hashable, int] = {}
        """Keys of delivered messages that it left out, and until when it may still send each."""
        self.last_id = -1
        """Id of the last message that came on it; negative if none has one."""
        self.is_in_step = False
        """Whether a message came on it that came on the primary, too."""
        self.is_restarted = False
        """Whether the ids of its server have restarted."""
        self.may_be_older = may_be_older
        """Whether its subscription may be older than that of the primary: there was none then."""
        self.may_repeat = not may_be_older
        """Whether it may send what was delivered: there was a primary since it was added."""
