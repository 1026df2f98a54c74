"""A snapshot that is to replace the content of a local order book, which stays live meanwhile."""

from __future__ import annotations

from tickerplant.feed.book_side import Sides
from tickerplant.market.book_sync import BookSync
from tickerplant.messages.book import DepthSnapshot, DepthUpdate


class Refresh:
    """The snapshot, once it is there, and the updates that go on from it."""

    def __init__(self, buffered: int) -> None:
        """`buffered` bounds the updates that are kept until the snapshot comes."""
        self.join: BookSync[DepthUpdate] = BookSync(buffered)
        self.snapshot: DepthSnapshot | None = None
        self.sides: Sides | None = None
        self.updates: list[DepthUpdate] = []
        """What is to be applied to it."""

    def load(self, snapshot: DepthSnapshot, sides: Sides) -> bool:
        """Take the snapshot; return whether it is of use."""
        self.snapshot, self.sides = snapshot, sides
        self.updates = self.join.load(snapshot)
        return self.join.live

    def offer(self, update: DepthUpdate) -> None:
        """Take the next update of the stream."""
        self.updates += self.join.offer(update)
