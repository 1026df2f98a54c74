"""What waits to be written, between the thread that records and the one that writes."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import NamedTuple, TypeAlias

from tickerplant.recording.manifest_entries import Entry

MOST_BLOCKS = 64
"""Most blocks that wait, each of a quarter of a megabyte: a second of 60,000 messages or so.
When they are all there the recorder waits, or leaves out the next one, as it was told."""
MOST_NOTES = 10_000
"""Most other things that wait; whoever brings more waits in any case."""


class RawBlock(NamedTuple):
    """Lines that make one block, as they were received."""

    times_ns: list[int]
    """When each was received; they never go back."""
    messages: list[bytes]
    """Messages and answers of REST, each as it is to stand behind its time."""
    streams: list[str]
    """A name for every message; answers of REST have none."""

    @property
    def text(self) -> bytes:
        """The lines."""
        messages = self.messages
        if b"\n" in b"".join(messages):
            messages = [each.replace(b"\n", b" ") for each in messages]
        parts: list[int | bytes] = [0] * (2 * len(messages))
        parts[::2], parts[1::2] = self.times_ns, messages
        return b"%d %b\n" * len(messages) % tuple(parts)


class Look(NamedTuple):
    """Time has passed: what is due by then is done."""

    now_ns: int


class End(NamedTuple):
    """Nothing comes any more."""

    reason: str


Item: TypeAlias = RawBlock | Entry | Look | End


class Backlog:
    """A queue with two bounds, in the order in which things came."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._blocks = 0
        self._changed = Condition()

    @property
    def is_full(self) -> bool:
        """Whether no further block is taken at once."""
        return self._blocks >= MOST_BLOCKS

    @property
    def is_half_full(self) -> bool:
        """Whether it is time to hurry."""
        return self._blocks >= MOST_BLOCKS // 2

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._items

    def put(self, item: Item) -> None:
        """Add `item`; wait while there is no room."""
        with self._changed:
            if isinstance(item, RawBlock):
                self._changed.wait_for(lambda: self._blocks < MOST_BLOCKS)
                self._blocks += 1
            else:
                self._changed.wait_for(lambda: len(self._items) - self._blocks < MOST_NOTES)
            self._items.append(item)
            self._changed.notify_all()

    def take(self) -> Item:
        """Take the oldest item; wait while there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._items)
            item = self._items.popleft()
            self._blocks -= isinstance(item, RawBlock)
            self._changed.notify_all()
            return item
