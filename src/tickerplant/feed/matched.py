"""Streams whose messages have no ids: two are the same if their bytes are.

Every secondary tells the same messages in the same order, from some message on.  So what one tells
between two messages that another told one after the other, the other has left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from tickerplant.feed.backlog import Entry
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.follower import Follower
from tickerplant.feed.merged_stream import FOLLOWED, Host, Item, MergedStream


class MatchedStream(MergedStream):
    """A stream whose messages have no ids."""

    __slots__ = ("_leader",)

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        host: Host,
    ) -> None:
        super().__init__(name, decode, expected_interval, host)
        self._leader: Follower | None = None
        """What the leader is still expected to tell of what was delivered; None: nothing."""

    def passes(self, item: Item) -> bool:  # noqa: ARG002  # whatever it is
        """Whether `item`, of the leader, is to be delivered at once."""
        return not self.followers and self._leader is None

    def sift(self, item: Item) -> None:
        """Take a message of the leader that was perhaps delivered, or that followers will tell."""
        key = _key_of(item)
        if self._leader is not None:
            if self._is_repeated(self._leader, key):
                self.counters.duplicates += 1
                return
            self._pass_by(self._leader, self._leader.ahead.drain())
        self._reconcile(key, None)
        self._pass(item)

    def follow(self, connection: Hashable, item: Item) -> None:
        """Take the next message of another secondary, which has joined."""
        follower, key = self.followers[connection], _key_of(item)
        self._carries(follower)
        self._host.watch(self)
        if not self._is_repeated(follower, key):
            follower.waiting.put(key, item, self._host.now_ms)
            if len(follower.waiting) > FOLLOWED:
                self._insert(follower, [follower.waiting.pop()])
            return
        self.counters.duplicates += 1
        self._meet(follower, follower.waiting.drain())

    def _is_repeated(self, secondary: Follower, key: Hashable) -> bool:
        """Whether what `secondary` tells was delivered; it is not expected again then."""
        before = secondary.ahead.pop_through(key)
        if before is not None:
            self._pass_by(secondary, before)
            return True
        return secondary.passed.pop(key, None) is not None

    def _pass_by(self, secondary: Follower, before: Iterable[Entry]) -> None:
        """Take note that `secondary` left messages out, unless it tells in another order."""
        until_ms = self._host.now_ms + self._host.settings.merge_ms
        for entry in before:
            secondary.passed.pop(entry.key, None)
            secondary.passed[entry.key] = until_ms
            self._host.watch(self)

    def _reconcile(self, key: Hashable, source: Follower | None) -> None:
        """Expect of all followers but `source` what is delivered now, unless they told it."""
        for follower in tuple(self.followers.values()):
            if follower is source:
                continue
            before = follower.waiting.pop_through(key)
            if before is not None:
                self.counters.duplicates += 1
                self._meet(follower, before)
            else:
                follower.ahead.put(key, None, self._host.now_ms)
                if len(follower.ahead) > FOLLOWED:
                    follower.ahead.pop()

    def _meet(self, follower: Follower, before: list[Entry]) -> None:
        """Take note that `follower` and the leader told the same, and `follower` told `before`."""
        is_first, follower.is_alike = not follower.is_alike, True
        if is_first and follower.may_be_older:  # from when nothing was heard, which was told
            self.counters.duplicates += len(before)
        else:
            self._insert(follower, before)

    def _insert(self, source: Follower, left_out: Iterable[Entry]) -> None:
        """Deliver what the leader left out and `source` told."""
        for entry in left_out:
            if self._leader is None:
                self._leader = Follower()
            self._pass_by(self._leader, (entry,))
            self._reconcile(entry.key, source)
            self._pass(entry.item)

    def _adopt(self, follower: Follower) -> None:
        self._leader = follower if follower.ahead or follower.passed else None
        self._host.watch(self)
        for entry in follower.waiting.drain():
            self._reconcile(entry.key, None)
            self._pass(entry.item)

    def _as_follower(self) -> Follower:
        leader, self._leader = self._leader or Follower(), None
        return leader

    def begin_apart(self, followers: dict[Hashable, Follower]) -> None:
        """Go on with `followers` and without consumers, as a copy of a strand that goes on as well."""
        super().begin_apart(followers)
        self._leader = None

    def _went_blind(self) -> None:
        self._leader = None

    def _pass(self, item: Item) -> None:
        """Take a message that was not delivered before."""
        self.deliver(item)

    # Time

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        now_ms = self._host.now_ms
        self._overtake()
        is_held_up = self._host.is_held_up
        for connection, follower in tuple(self.followers.items()):
            self._look_at(follower)
            if not is_held_up(connection):
                _forget_passed(follower, now_ms)
        if self._leader is not None and not is_held_up(self.lead):
            _forget_passed(self._leader, now_ms)
            if not self._leader.ahead and not self._leader.passed:
                self._leader = None
        return self._leader is not None or any(
            follower.waiting or follower.passed for follower in self.followers.values()
        )

    def wait_anew(self) -> None:
        """Let what waits for a secondary wait from now on: it was not read for a while."""
        until_ms = self._host.now_ms + self._host.settings.merge_ms
        leader = () if self._leader is None else (self._leader,)
        for secondary in (*leader, *self.followers.values()):
            secondary.passed = dict.fromkeys(secondary.passed, until_ms)

    def _look_at(self, follower: Follower) -> None:
        """Wait no longer for the leader to tell what `follower` told long ago."""
        latest_ms = self.heard_ms - self._host.settings.merge_ms
        while follower.waiting and follower.waiting.oldest.came_ms <= latest_ms:
            entry = follower.waiting.pop()
            if follower.is_alike:
                self._insert(follower, (entry,))
            else:  # its messages never were those of the leader: it writes them in another way
                self.counters.duplicates += 1


def _forget_passed(secondary: Follower, now_ms: int) -> None:
    passed = secondary.passed
    while passed and passed[key := next(iter(passed))] <= now_ms:
        del passed[key]


def _key_of(item: Item) -> int:
    """Return what stands for the bytes of a message."""
    message = item[0] if type(item) is list else item
    return hash(message.payload)
