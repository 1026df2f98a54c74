"""What all streams have in common whose messages have rising ids.

What has an id that is not above the last one is a repetition, told by a connection that lags, or
the ids began anew: another server, or a new count.  A repetition is no younger than what it repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.merged_stream import MAX_AHEAD, Host, Item, MergedStream
from tickerplant.feed.secondary import Secondary
from tickerplant.feed.sequence import Sequence

ANEW_MS = 1_000
"""By so much the clocks of servers may differ that tell the same message."""
NONE = -1
"""Stands for the id of a message before the first."""


class IdentifiedStream(MergedStream):
    """A stream whose messages have rising ids."""

    __slots__ = (
        "_id_of",
        "_last_ms",
        "_merging_ms",
        "last_id",
    )

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        host: Host,
        ids: Sequence,
    ) -> None:
        super().__init__(name, decode, expected_interval, host)
        self.last_id = NONE
        """Id of the last message that was delivered; below 0 if none was."""
        self._id_of = ids.id_of
        self._last_ms: int | None = None
        """Event time of the last message that was delivered; None if none was."""
        self._merging_ms = 0
        """Until when the leader may tell what was delivered; 0 if it may not."""

    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of another connection, which has joined."""
        secondary, item_id = self.secondaries[connection], self._id_of(item)
        secondary.last_id = item_id
        self._mark_delivering(secondary)
        if item_id <= self.last_id and not secondary.is_restarted:
            if self._is_as_old(item):
                self.counters.duplicates += 1
                secondary.is_in_step = True
                return
            self._forget(secondary)
            secondary.is_restarted, secondary.is_in_step = True, False
        self._take_aside(secondary, item_id, item)

    def _take_aside(self, secondary: Secondary, item_id: int, item: Item) -> None:
        """Let a message of `secondary` wait for the leader."""
        self._prune(secondary)
        secondary.waiting.put(item_id, item, self._host.now_ms)
        self._host.watch(self)
        if len(secondary.waiting) > MAX_AHEAD:
            oldest = secondary.waiting.pop()
            if secondary.is_restarted:
                self.counters.duplicates += 1
            else:
                self._merge()
                self.take_slow(oldest.item)

    def _is_as_old(self, item: Item) -> bool:
        """Whether `item` may be what was delivered: it is not younger."""
        return self._last_ms is None or item.event_time_ms <= self._last_ms + ANEW_MS

    def _is_repeated(self, item: Item) -> bool:
        """Whether the leader tells `item`, whose id is not new, for the second time."""
        return bool(self._merging_ms) and self._is_as_old(item)

    def _merge(self) -> None:
        """Expect the leader to repeat for a while what others told before it."""
        self._merging_ms = self._host.now_ms + self._host.settings.merge_ms
        self._host.watch(self)

    def restart_waits(self) -> None:
        """Let what waits for a connection wait from now on: it was not read for a while."""
        if self._merging_ms:
            self._merge()

    def _prune(self, secondary: Secondary) -> None:
        """Forget what the leader has told meanwhile."""
        waiting = secondary.waiting
        while waiting and waiting.oldest.key <= self.last_id and not secondary.is_restarted:
            waiting.pop()
            secondary.is_in_step = True
            self.counters.duplicates += 1

    def _forget(self, secondary: Secondary) -> None:
        """Forget all that `secondary` told and that was not delivered."""
        self.counters.duplicates += len(secondary.waiting.drain())

    def _begin_anew(self) -> None:
        """Take note that the ids of the leader began anew."""
        self._merging_ms = 0
        for secondary in self.secondaries.values():
            if secondary.is_restarted:
                secondary.is_restarted = False
            else:
                self._forget(secondary)

    def _promote(self, secondary: Secondary) -> None:
        self._merging_ms = 0
        if secondary.may_repeat and not secondary.is_restarted:
            self._merge()
        for entry in secondary.waiting.drain():
            self.take_slow(entry.item)
        self._secondary_removed()

    def _tick_secondaries(self) -> bool:
        """Do what is due; return whether something else will be."""
        is_over = self._host.now_ms >= self._merging_ms and not self._host.is_held_up(self.primary)
        if self._merging_ms and is_over:
            self._merging_ms = 0
        for secondary in self.secondaries.values():
            self._prune(secondary)
        self._take_over()
        return bool(self._merging_ms) or any(
            secondary.waiting for secondary in self.secondaries.values()
        )
