"""Streams whose ids rise, by how much says nothing: each message tells all there is to know.

What a connection left out is delivered if another told it before a later one was delivered.  What
comes after a later one is left out: it is not true any more.
"""

from __future__ import annotations

from tickerplant.feed.identified import IdentifiedStream
from tickerplant.feed.merged_stream import Item


class RisingStream(IdentifiedStream):
    """A stream whose ids rise."""

    __slots__ = ()

    def accept(self, item: Item) -> bool:
        """Whether `item`, of the leader, is to be delivered at once."""
        update_id: int = item.update_id
        if update_id > self.last_id and not self.secondaries:
            self.last_id = update_id
            self._last_ms = item.event_time_ms
            return True
        return False

    def take_slow(self, item: Item) -> None:
        """Take a message that is perhaps the next one, from whomever."""
        item_id = self._id_of(item)
        if item_id <= self.last_id:
            if self._is_repeated(item):
                self.counters.duplicates += 1
                return
            self._begin_anew()
        else:
            self._catch_up(item_id)
        self._pass(item_id, item)

    def _catch_up(self, before_id: int) -> None:
        """Deliver what followers told and the leader left out."""
        left_out: dict[int, Item] = {}
        for secondary in self.secondaries.values():
            waiting = secondary.waiting
            while waiting and waiting.oldest.key < before_id and not secondary.is_restarted:
                entry = waiting.pop()
                if entry.key <= self.last_id or entry.key in left_out:
                    self.counters.duplicates += 1
                else:
                    left_out[entry.key] = entry.item
        for item_id in sorted(left_out):
            self._pass(item_id, left_out[item_id])

    def _pass(self, item_id: int, item: Item) -> None:
        self.last_id = item_id
        self._last_ms = item.event_time_ms
        self.deliver(item)

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        return self._tick_secondaries()
