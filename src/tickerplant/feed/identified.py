"""What all streams have in common whose messages have rising ids.

What has an id that is not above the last one is a repetition, told by a connection that lags, or
the ids began anew: another server, or a new count.  A repetition is no younger than what it repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.follower import Follower
from tickerplant.feed.merged_stream import FOLLOWED, Host, Item, MergedStream
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

    def follow(self, connection: Hashable, item: Item) -> None:
        """Take the next message of another connection, which has joined."""
        follower, item_id = self.followers[connection], self._id_of(item)
        follower.told_id = item_id
        self._carries(follower)
        if item_id <= self.last_id and not follower.is_anew:
            if self._is_as_old(item):
                self.counters.duplicates += 1
                follower.is_alike = True
                return
            self._forget(follower)
            follower.is_anew, follower.is_alike = True, False
        self._take_aside(follower, item_id, item)

    def _take_aside(self, follower: Follower, item_id: int, item: Item) -> None:
        """Let a message of `follower` wait for the leader."""
        self._prune(follower)
        follower.waiting.put(item_id, item, self._host.now_ms)
        self._host.watch(self)
        if len(follower.waiting) > FOLLOWED:
            oldest = follower.waiting.pop()
            if follower.is_anew:
                self.counters.duplicates += 1
            else:
                self._merge()
                self.sift(oldest.item)

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

    def wait_anew(self) -> None:
        """Let what waits for a connection wait from now on: it was not read for a while."""
        if self._merging_ms:
            self._merge()

    def _prune(self, follower: Follower) -> None:
        """Forget what the leader has told meanwhile."""
        waiting = follower.waiting
        while waiting and waiting.oldest.key <= self.last_id and not follower.is_anew:
            waiting.pop()
            follower.is_alike = True
            self.counters.duplicates += 1

    def _forget(self, follower: Follower) -> None:
        """Forget all that `follower` told and that was not delivered."""
        self.counters.duplicates += len(follower.waiting.drain())

    def _begin_anew(self) -> None:
        """Take note that the ids of the leader began anew."""
        self._merging_ms = 0
        for follower in self.followers.values():
            if follower.is_anew:
                follower.is_anew = False
            else:
                self._forget(follower)

    def _adopt(self, follower: Follower) -> None:
        self._merging_ms = 0
        if follower.may_repeat and not follower.is_anew:
            self._merge()
        for entry in follower.waiting.drain():
            self.sift(entry.item)
        self._lost_follower()

    def _tick_followers(self) -> bool:
        """Do what is due; return whether something else will be."""
        is_over = self._host.now_ms >= self._merging_ms and not self._host.is_held_up(self.lead)
        if self._merging_ms and is_over:
            self._merging_ms = 0
        for follower in self.followers.values():
            self._prune(follower)
        self._overtake()
        return bool(self._merging_ms) or any(
            follower.waiting for follower in self.followers.values()
        )
