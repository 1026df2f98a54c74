"""Streams whose messages have no ids: two are the same if their bytes are.

Every secondary tells the same messages in the same order, from some message on.  So what one tells
between two messages that another told one after the other, the other has left out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from tickerplant.feed.context import FeedContext
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.merged_stream import MAX_AHEAD, Item, MergedStream
from tickerplant.feed.secondary import Entry, Secondary


class MatchedStream(MergedStream):
    """A stream whose messages have no ids."""

    __slots__ = ("_primary_record",)

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
    ) -> None:
        super().__init__(name, decode, expected_interval, context)
        self._accept_next = _always
        self._primary_record: Secondary | None = None
        """What the leader is still expected to tell of what was delivered; None: nothing."""

    @property
    def _is_usual(self) -> bool:
        return not self.secondaries and self._primary_record is None

    def take_slow(self, item: Item) -> None:
        """Take a message of the leader that was perhaps delivered, or that followers will tell."""
        key = _key_of(item)
        if self._primary_record is not None:
            if self._is_repeated(self._primary_record, key):
                self.counters.duplicates += 1
                return
            self._mark_skipped(self._primary_record, self._primary_record.expected.drain())
        self._reconcile(key, None)
        self._pass(item)

    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of another secondary, which has joined."""
        secondary, key = self.secondaries[connection], _key_of(item)
        self._mark_delivering(secondary)
        self._tick_from_now_on()
        if not self._is_repeated(secondary, key):
            secondary.waiting.put(key, item, self._context.now_ms)
            if len(secondary.waiting) > MAX_AHEAD:
                self._insert(secondary, [secondary.waiting.pop()])
            return
        self.counters.duplicates += 1
        self._match(secondary, secondary.waiting.drain())

    def _is_repeated(self, secondary: Secondary, key: Hashable) -> bool:
        """Whether what `secondary` tells was delivered; it is not expected again then."""
        before = secondary.expected.pop_through(key)
        if before is not None:
            self._mark_skipped(secondary, before)
            return True
        return secondary.skipped.pop(key, None) is not None

    def _mark_skipped(self, secondary: Secondary, before: Iterable[Entry]) -> None:
        """Take note that `secondary` left messages out, unless it tells in another order."""
        until_ms = self._context.now_ms + self._context.settings.merge_ms
        for entry in before:
            secondary.skipped.pop(entry.key, None)
            secondary.skipped[entry.key] = until_ms
            self._tick_from_now_on()

    def _reconcile(self, key: Hashable, source: Secondary | None) -> None:
        """Expect of all followers but `source` what is delivered now, unless they told it."""
        for secondary in tuple(self.secondaries.values()):
            if secondary is source:
                continue
            before = secondary.waiting.pop_through(key)
            if before is not None:
                self.counters.duplicates += 1
                self._match(secondary, before)
            else:
                secondary.expected.put(key, None, self._context.now_ms)
                if len(secondary.expected) > MAX_AHEAD:
                    secondary.expected.pop()

    def _match(self, secondary: Secondary, before: list[Entry]) -> None:
        """Take note that `secondary` and the leader told the same, and `secondary` told `before`."""
        is_first, secondary.is_in_step = not secondary.is_in_step, True
        if is_first and secondary.may_be_older:  # from when nothing was heard, which was told
            self.counters.duplicates += len(before)
        else:
            self._insert(secondary, before)

    def _insert(self, source: Secondary, left_out: Iterable[Entry]) -> None:
        """Deliver what the leader left out and `source` told."""
        for entry in left_out:
            if self._primary_record is None:
                self._primary_record = Secondary()
            self._mark_skipped(self._primary_record, (entry,))
            self._reconcile(entry.key, source)
            self._pass(entry.item)

    def _promote(self, secondary: Secondary) -> None:
        self._primary_record = secondary if secondary.expected or secondary.skipped else None
        self._tick_from_now_on()
        for entry in secondary.waiting.drain():
            self._reconcile(entry.key, None)
            self._pass(entry.item)

    def _demote(self) -> Secondary:
        primary, self._primary_record = self._primary_record or Secondary(), None
        return primary

    def reset_for_split(self, secondaries: dict[Hashable, Secondary]) -> None:
        """Go on with `secondaries` and without consumers, as a copy of a strand that goes on as well."""
        super().reset_for_split(secondaries)
        self._primary_record = None

    def _primary_lost(self) -> None:
        self._primary_record = None

    def _pass(self, item: Item) -> None:
        """Take a message that was not delivered before."""
        self.deliver(item)

    # Time

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        now_ms = self._context.now_ms
        self._take_over()
        paused = self._context.paused
        for connection, secondary in tuple(self.secondaries.items()):
            self._look_at(secondary)
            if connection not in paused:
                _forget_skipped(secondary, now_ms)
        if self._primary_record is not None and self.primary not in paused:
            _forget_skipped(self._primary_record, now_ms)
            if not self._primary_record.expected and not self._primary_record.skipped:
                self._primary_record = None
        return self._primary_record is not None or any(
            secondary.waiting or secondary.skipped for secondary in self.secondaries.values()
        )

    def restart_waits(self) -> None:
        """Let what waits for a secondary wait from now on: it was not read for a while."""
        until_ms = self._context.now_ms + self._context.settings.merge_ms
        primary = () if self._primary_record is None else (self._primary_record,)
        for secondary in (*primary, *self.secondaries.values()):
            secondary.skipped = dict.fromkeys(secondary.skipped, until_ms)

    def _look_at(self, secondary: Secondary) -> None:
        """Wait no longer for the leader to tell what `secondary` told long ago."""
        latest_ms = self.silent_since_ms - self._context.settings.merge_ms
        while secondary.waiting and secondary.waiting.oldest.received_ms <= latest_ms:
            entry = secondary.waiting.pop()
            if secondary.is_in_step:
                self._insert(secondary, (entry,))
            else:  # its messages never were those of the leader: it writes them in another way
                self.counters.duplicates += 1


def _forget_skipped(secondary: Secondary, now_ms: int) -> None:
    skipped = secondary.skipped
    while skipped and skipped[key := next(iter(skipped))] <= now_ms:
        del skipped[key]


def _key_of(item: Item) -> int:
    """Return what stands for the bytes of a message."""
    message = item[0] if type(item) is list else item
    return hash(message.payload)


def _always(_: Item) -> bool:
    return True
