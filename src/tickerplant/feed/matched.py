"""Streams whose messages have no ids: two messages are the same if their bytes are.

All connections send the same messages in the same order, from some message on.  So if one sends a
message between two that another sent one after the other, the other has left it out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from tickerplant.feed.context import FeedContext
from tickerplant.feed.cursor import CandleCursor, Step
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.merged_stream import MAX_AHEAD, Entry, Item, MergedStream, Secondary, refuse


class MatchedStream(MergedStream):
    """A stream whose messages have no ids."""

    __slots__ = ("_primary_backlog",)

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
    ) -> None:
        super().__init__(name, decode, expected_interval, context)
        self._accept_next = _always
        self._primary_backlog: Secondary | None = None
        """Delivered messages that have not come on the primary; None if there are none."""

    @property
    def _is_usual(self) -> bool:
        return not self.secondaries and self._primary_backlog is None

    def take_slow(self, item: Item) -> None:
        """Take a message of the primary that may have been delivered, or may come on secondaries."""
        key = _key_of(item)
        if self._primary_backlog is not None:
            if self._is_repeated(self._primary_backlog, key):
                self.counters.duplicates += 1
                return
            self._mark_skipped(self._primary_backlog, self._primary_backlog.expected.drain())
        self._reconcile(key, None)
        self._pass(item)

    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of a secondary."""
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
        """Whether a message of `secondary` was delivered; it is then no longer expected."""
        before = secondary.expected.pop_through(key)
        if before is not None:
            self._mark_skipped(secondary, before)
            return True
        return secondary.skipped.pop(key, None) is not None

    def _mark_skipped(self, secondary: Secondary, before: Iterable[Entry]) -> None:
        """Note that `secondary` left messages out, although it may still send them in another order."""
        until_ms = self._context.now_ms + self._context.settings.connections.merge_ms
        for entry in before:
            secondary.skipped.pop(entry.key, None)
            secondary.skipped[entry.key] = until_ms
            self._tick_from_now_on()

    def _reconcile(self, key: Hashable, source: Secondary | None) -> None:
        """Expect a delivered message on all secondaries but `source`, unless it came on them."""
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
        """Note that `secondary` sent a message of the primary, after the messages `before`."""
        is_first, secondary.is_in_step = not secondary.is_in_step, True
        if is_first and secondary.may_be_older:  # from an outage, of which consumers know
            self.counters.duplicates += len(before)
        else:
            self._insert(secondary, before)

    def _insert(self, source: Secondary, left_out: Iterable[Entry]) -> None:
        """Deliver what came on `source` and the primary left out."""
        for entry in left_out:
            if self._primary_backlog is None:
                self._primary_backlog = Secondary()
            self._mark_skipped(self._primary_backlog, (entry,))
            self._reconcile(entry.key, source)
            self._pass(entry.item)

    def _promote(self, secondary: Secondary) -> None:
        self._primary_backlog = secondary if secondary.expected or secondary.skipped else None
        self._tick_from_now_on()
        for entry in secondary.waiting.drain():
            self._reconcile(entry.key, None)
            self._pass(entry.item)

    def _demote(self) -> Secondary:
        primary, self._primary_backlog = self._primary_backlog or Secondary(), None
        return primary

    def _primary_lost(self) -> None:
        self._primary_backlog = None

    def _pass(self, item: Item) -> None:
        """Deliver a message that was not delivered before."""
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
        if self._primary_backlog is not None and self.primary not in paused:
            _forget_skipped(self._primary_backlog, now_ms)
            if not self._primary_backlog.expected and not self._primary_backlog.skipped:
                self._primary_backlog = None
        return self._primary_backlog is not None or any(
            secondary.waiting or secondary.skipped for secondary in self.secondaries.values()
        )

    def restart_waits(self) -> None:
        """Restart the timeouts of waiting messages, because a connection was not read for a while."""
        until_ms = self._context.now_ms + self._context.settings.connections.merge_ms
        primary = () if self._primary_backlog is None else (self._primary_backlog,)
        for secondary in (*primary, *self.secondaries.values()):
            secondary.skipped = dict.fromkeys(secondary.skipped, until_ms)

    def _look_at(self, secondary: Secondary) -> None:
        """Stop waiting for the primary to send what came on `secondary` long ago."""
        latest_ms = self.silent_since_ms - self._context.settings.connections.merge_ms
        while secondary.waiting and secondary.waiting.oldest.received_ms <= latest_ms:
            entry = secondary.waiting.pop()
            if secondary.is_in_step:
                self._insert(secondary, (entry,))
            else:  # never a message of the primary: it writes them differently
                self.counters.duplicates += 1


def _forget_skipped(secondary: Secondary, now_ms: int) -> None:
    skipped = secondary.skipped
    while skipped and skipped[key := next(iter(skipped))] <= now_ms:
        del skipped[key]


def _key_of(item: Item) -> int:
    """Return a hash of the bytes of a message."""
    message = item[0] if type(item) is list else item
    return hash(message.payload)


def _always(_: Item) -> bool:
    return True


class CandleStream(MatchedStream):
    """A stream of candles."""

    __slots__ = ("_cursor", "_held", "_may_have_gap")

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
    ) -> None:
        super().__init__(name, decode, expected_interval, context)
        self._accept_next = self._accept_candle
        self._cursor = CandleCursor()
        self._may_have_gap = False
        """Whether candles may be missing before the next message, because of an outage."""
        self._held: list[Item] = []
        """Messages that wait behind candles that are being fetched."""

    @property
    def held_count(self) -> int:
        """Number of messages that wait behind a gap."""
        return len(self._held)

    @property
    def _is_usual(self) -> bool:
        return super()._is_usual and not self._held and not self._may_have_gap

    def _primary_lost(self) -> None:
        super()._primary_lost()
        self.expect_loss()

    def expect_loss(self) -> None:
        """Take note that messages may be missing before the next one."""
        self._may_have_gap = True
        self.accept = refuse
        if self._held:
            self._answered((), "the connection was lost before they came")

    def close(self) -> None:
        """Discard what waits, and deliver nothing more."""
        super().close()
        self._held.clear()

    def _accept_candle(self, item: Item) -> bool:
        self._cursor.advance(item.candle)
        return True

    def _pass(self, item: Item) -> None:
        if self._held:
            self._held.append(item)
            if len(self._held) > self._context.settings.retries.held_messages:
                self._answered((), "too many messages waited behind the gap")
            return
        may_have_gap, self._may_have_gap = self._may_have_gap, False
        if may_have_gap and self._cursor.classify(item.candle) is Step.GAP:
            self._held.append(item)
            if self.backfills:
                self._fetch(*self._bounds())
            else:
                self._answered((), "")
            return
        self._deliver_candle(item)

    def _deliver_candle(self, item: Item) -> None:
        self._cursor.advance(item.candle)
        self.deliver(item)

    def _bounds(self) -> tuple[int, int]:
        return self._cursor.first_missing_ms, self._held[0].candle.open_time_ms

    def _answered(self, rows: Sequence[Any], reason: str) -> None:
        self._is_fetching = False
        bounds = self._bounds()
        held, self._held = self._held, []
        found = {
            opened: row
            for row in rows
            if bounds[0] <= (opened := row.candle.open_time_ms) < bounds[1]
        }
        missing = max(self._cursor.missing_before(bounds[1]), len(found))
        self._report_gap(held[0].symbol, bounds, missing, len(found), reason)
        for _, row in sorted(found.items()):
            row.stream = self.name
            self._deliver_candle(row)
        for item in held:
            self._deliver_candle(item)

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        will_be = super().tick()
        if self._held and self._context.now_ms >= self._deadline_ms:
            self._answered((), "no response in time")
        return will_be or bool(self._held)
