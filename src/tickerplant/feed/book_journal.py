"""What was applied to a local order book lately, so that its earlier states can be told."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tickerplant.messages.book import DepthUpdate
from tickerplant.raw_events import RawLevel


class Applied(NamedTuple):
    """One update, and what stood where it was applied."""

    update: DepthUpdate
    bids: dict[int, RawLevel | None]
    asks: dict[int, RawLevel | None]


class Journal:
    """What was applied to a book since the journal began; the oldest entries are forgotten."""

    def __init__(self, began_after_id: int, size: int) -> None:
        self.known_from_id = began_after_id
        """The oldest state of the book that can be told."""
        self.entries: deque[Applied] = deque()
        self.size = size
        self.broken = ""
        """Why nothing can be told any more; empty if it can."""

    def add(self, entry: Applied) -> None:
        """Take over the next entry."""
        self.entries.append(entry)
        if len(self.entries) > self.size:
            self.known_from_id = self.entries.popleft().update.final_update_id
