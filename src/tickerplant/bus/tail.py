"""The last batches of a plant, kept for when the bus has lost them.

Bounded in bytes and in time; the oldest are dropped first.  Pure: times are arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

NS_PER_MS = 1_000_000
OVERHEAD_BYTES = 200
"""Memory of a batch besides its bytes."""


class Kept(NamedTuple):
    """A batch as it was published."""

    number: int
    """Of its last message."""
    sent_ns: int
    subject: str
    data: bytes


class Tail:
    """The last batches, in the order in which they were published.

    Args:
        max_bytes: Bytes that are kept, overhead included.
        max_age_ms: How long a batch is kept.
    """

    def __init__(self, max_bytes: int, max_age_ms: int) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0
        self.dropped_number = 0
        """The last number that is not kept any more; 0 if everything is."""
        self.dropped_ns = 0
        """When that was published."""
        self.overflow_count = 0
        """Batches dropped before their time, because of the bound in bytes."""
        self._max_age_ns = max_age_ms * NS_PER_MS
        self._batches: deque[Kept] = deque()

    def add(self, number: int, sent_ns: int, subject: str, data: bytes) -> None:
        """Keep a batch; `number` is that of its last message."""
        batches = self._batches
        batches.append(Kept(number, sent_ns, subject, data))
        self.kept_bytes += len(data) + OVERHEAD_BYTES
        oldest_ns = sent_ns - self._max_age_ns
        while self.kept_bytes > self.max_bytes or batches[0].sent_ns < oldest_ns:
            if batches[0].sent_ns >= oldest_ns:
                self.overflow_count += 1
            self._drop()
            if not batches:
                break

    def after(self, number: int) -> Iterator[Kept]:
        """Yield the batches with a message after `number`, in order."""
        return (batch for batch in tuple(self._batches) if batch.number > number)

    def _drop(self) -> None:
        dropped = self._batches.popleft()
        self.dropped_number = max(self.dropped_number, dropped.number)
        self.dropped_ns = max(self.dropped_ns, dropped.sent_ns)
        self.kept_bytes -= len(dropped.data) + OVERHEAD_BYTES
