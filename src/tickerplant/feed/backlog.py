"""What one connection told and another did not, yet, in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A message in a backlog."""

    key: Any
    """By which it is known: its id, or its bytes."""
    item: Any
    came_ms: int


class Backlog:
    """Messages in the order in which they came, found by their keys; of equal ones each counts."""

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
        """The first that came.

        Raises:
            IndexError: there is none.
        """
        return self._entries[0]

    def put(self, key: Hashable, item: Any, came_ms: int) -> None:
        """Add a message at the end."""
        self._entries.append(Entry(key, item, came_ms))
        self._counts[key] += 1

    def pop(self) -> Entry:
        """Remove and return the first.

        Raises:
            IndexError: there is none.
        """
        entry = self._entries.popleft()
        self._forget(entry.key)
        return entry

    def pop_through(self, key: Hashable) -> list[Entry] | None:
        """Remove the first of `key` and all before it; return those, None if it is not there."""
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

    def _forget(self, key: Hashable) -> None:
        if self._counts[key] == 1:
            del self._counts[key]
        else:
            self._counts[key] -= 1
