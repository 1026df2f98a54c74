"""Streams whose messages have ids.

By ids it is known which messages of several connections are the same.  Where ids also prove what is
missing, a message after a gap waits until the missing ones come on a secondary connection or over
REST, up to a time limit; then a `Gap` is reported in their place.  Where ids only rise, each message
replaces the one before it: what the primary left out is delivered if it came on a secondary before a
later one was delivered, and is left out otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from tickerplant.feed.context import FeedContext
from tickerplant.feed.cursor import NONE, RESTARTED, IdCursor, Step
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.merged_stream import MAX_AHEAD, Item, MergedStream, Secondary, refuse
from tickerplant.stream_name import parse_stream_name

LATE = "no response in time"
ENDED = (
    "no message came between an outage and the end, so the ids do not show whether any is missing"
)
TOO_MANY = "too many messages waited behind the gap"
LATE_MS = 1_000
"""A message of the primary with a lower id that is older by no more than this is late: it was overtaken.
If it is older still, the ids have restarted, or a replay has gone back."""
MAX_LATE = 100
"""After so many late messages one after the other, the ids have restarted."""
MAX_GAPS = 100
"""Reported gaps whose messages are known to be late if they come; the oldest are forgotten."""


class IdentifiedStream(MergedStream):
    """A stream whose messages have ids."""

    __slots__ = (
        "_gaps",
        "_held",
        "_held_ms",
        "_late_run",
        "_led_at_id",
        "_lost_at_id",
        "_repeats_until_ms",
        "cursor",
    )

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
        cursor: IdCursor,
    ) -> None:
        super().__init__(name, decode, expected_interval, context)
        self.cursor = cursor
        """Where it is: at the last delivered message."""
        self.proves_gaps = cursor.proves_gaps
        self._accept_next = cursor.accept
        self._repeats_until_ms = 0
        """Until when the primary may send what was delivered; 0 if it may not."""
        self._held: list[Item] = []
        """Messages that wait behind a gap, by rising ids."""
        self._held_ms: list[int] = []
        """When each of them came."""
        self._gaps: deque[tuple[int, int]] = deque(maxlen=MAX_GAPS)
        """The ids around the last gaps that were reported."""
        self._late_run = 0
        """Late messages since the last one that was in order."""
        self._led_at_id = NONE
        """The id at which the primary became that."""
        self._lost_at_id = NONE
        """The id after which no connection delivered the stream, the last time."""

    @property
    def held_count(self) -> int:
        """Number of messages that wait behind a gap."""
        return len(self._held)

    @property
    def _is_usual(self) -> bool:
        return not self._held and (self.proves_gaps or not self.secondaries)

    # Messages

    def take_slow(self, item: Item) -> None:
        """Take a message of the primary, or one of a secondary that the primary left out."""
        cursor = self.cursor
        step = cursor.classify(item, cursor.event_time_ms if self._repeats_until_ms else None)
        if step in {Step.DUPLICATE, Step.LATE} or (
            step is Step.RESTART and self._is_repeated(item)
        ):
            self.counters.duplicates += 1
        elif step is Step.RESTART and self._is_late(item):
            self._late_run += 1
            self.counters.out_of_order += 1
        elif step is Step.RESTART:
            self._restart(item)
        elif step is Step.GAP or self._held:
            self._hold(item)
        else:
            if not self.proves_gaps:
                self._deliver_left_out(cursor.id_of(item))
            self._pass(item)

    def _pass(self, item: Item) -> None:
        self._late_run = 0
        self.cursor.advance(item)
        self.deliver(item)

    def _is_repeated(self, item: Item) -> bool:
        """Whether a message of the primary is the last one once more."""
        cursor = self.cursor
        is_same_id = bool(cursor.id_of(item) == cursor.last_id)
        return is_same_id and bool(item.event_time_ms == cursor.event_time_ms)

    def _is_late(self, item: Item) -> bool:
        """Whether a message of the primary with a lower id was overtaken by later ones.

        Consumers were told that it is missing, or it was replaced by a later one.
        """
        cursor = self.cursor
        behind_ms = cursor.event_time_ms - item.event_time_ms
        is_first = cursor.last_id == self._led_at_id  # on this connection: nothing overtook it
        if behind_ms < 0 or is_first or self._late_run >= MAX_LATE:
            return False
        item_id = cursor.id_of(item)
        return behind_ms <= LATE_MS or any(after < item_id < before for after, before in self._gaps)

    def _restart(self, item: Item) -> None:
        """Deliver `item`, the first message after the ids restarted."""
        self._give_up(RESTARTED)
        self._gaps.clear()
        self._repeats_until_ms = 0
        for secondary in self.secondaries.values():
            if secondary.is_restarted:
                secondary.is_restarted = False
            else:
                self._discard_waiting(secondary)
        if self.proves_gaps:
            bounds = self.cursor.last_id, self.cursor.id_of(item)
            self._report_gap(item.symbol, bounds, None, 0, RESTARTED)
        self._pass(item)

    def _deliver_left_out(self, before_id: int) -> None:
        """Deliver what came on secondaries and has an id between the last one and `before_id`."""
        left_out: dict[int, Item] = {}
        for secondary in self.secondaries.values():
            waiting = secondary.waiting
            while waiting and waiting.oldest.key < before_id and not secondary.is_restarted:
                entry = waiting.pop()
                if entry.key <= self.cursor.last_id or entry.key in left_out:
                    self.counters.duplicates += 1
                else:
                    left_out[entry.key] = entry.item
        for _, item in sorted(left_out.items()):
            self._pass(item)

    # Secondaries

    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of a secondary."""
        cursor, secondary = self.cursor, self.secondaries[connection]
        secondary.last_id = item_id = cursor.id_of(item)
        self._mark_delivering(secondary)
        if secondary.is_restarted:
            self._keep_waiting(secondary, item_id, item)
        elif self._held and cursor.last_id < item_id < cursor.id_of(self._held[-1]):
            self._hold(item)
        elif item_id > cursor.last_id:
            self._keep_waiting(secondary, item_id, item)
        elif cursor.classify(item, cursor.event_time_ms) is not Step.RESTART:
            self.counters.duplicates += 1
            secondary.is_in_step = True
        else:
            self._discard_waiting(secondary)
            secondary.is_restarted, secondary.is_in_step = True, False
            self._keep_waiting(secondary, item_id, item)

    def _keep_waiting(self, secondary: Secondary, item_id: int, item: Item) -> None:
        """Keep a message of `secondary` until the primary sends it."""
        self._prune(secondary)
        secondary.waiting.put(item_id, item, self._context.now_ms)
        self._tick_from_now_on()
        if len(secondary.waiting) > MAX_AHEAD:
            oldest = secondary.waiting.pop()
            if secondary.is_restarted:
                self.counters.duplicates += 1
            else:
                self._expect_repeats()
                self.take_slow(oldest.item)

    def _prune(self, secondary: Secondary) -> None:
        """Drop from its waiting messages what was delivered since."""
        waiting = secondary.waiting
        while waiting and waiting.oldest.key <= self.cursor.last_id and not secondary.is_restarted:
            waiting.pop()
            secondary.is_in_step = True
            self.counters.duplicates += 1

    def _discard_waiting(self, secondary: Secondary) -> None:
        self.counters.duplicates += len(secondary.waiting.drain())

    def _expect_repeats(self) -> None:
        """Expect the primary to repeat for a while what secondaries sent before it."""
        self._repeats_until_ms = self._context.now_ms + self._context.settings.connections.merge_ms
        self._tick_from_now_on()

    def _promote(self, secondary: Secondary) -> None:
        self._repeats_until_ms = 0
        if secondary.may_repeat and not secondary.is_restarted:
            self._expect_repeats()
        for entry in secondary.waiting.drain():
            self.take_slow(entry.item)
        self._led_at_id = self.cursor.last_id
        self._secondary_removed()

    def _secondary_removed(self) -> None:
        if self._held:
            self._look()

    def finish(self) -> None:
        """Report that messages may be missing at the end, if none came after an outage."""
        last_id = self.cursor.last_id
        if self.proves_gaps and last_id != NONE and self._lost_at_id == last_id:
            symbol = parse_stream_name(self.name).symbol
            self._report_gap(symbol, (last_id, -1), None, 0, ENDED)

    def _primary_lost(self) -> None:
        self._lost_at_id = self.cursor.last_id
        self._repeats_until_ms = 0
        if self._held:
            self._look()

    # Gaps

    def _hold(self, item: Item) -> None:
        """Keep `item` until what is missing before it comes, or is given up."""
        held, item_id = self._held, self.cursor.id_of(item)
        self.accept = refuse
        if not held or item_id > self.cursor.id_of(held[-1]):
            held.append(item)
            self._held_ms.append(self._context.now_ms)
            if len(held) == 1:
                self._gather()
            elif len(held) > self._context.settings.retries.held_messages:
                self._give_up(TOO_MANY)
                return
            else:
                return
        elif not self._insert(item):
            return
        self._look()

    def _insert(self, item: Item) -> bool:
        """Put `item` among those that wait; return False if it is one of them already."""
        id_of, held = self.cursor.id_of, self._held
        item_id = id_of(item)
        place = bisect_left(held, item_id, key=id_of)
        if place < len(held) and id_of(held[place]) == item_id:
            self.counters.duplicates += 1
            return False
        held.insert(place, item)
        after = min(place, len(self._held_ms) - 1)
        self._held_ms.insert(place, self._held_ms[after])
        return True

    def _gather(self) -> None:
        """Put what came on secondaries before the held message among those that wait."""
        last_id = self.cursor.id_of(self._held[-1])
        for secondary in self.secondaries.values():
            self._prune(secondary)
            waiting = secondary.waiting
            while waiting and waiting.oldest.key <= last_id and not secondary.is_restarted:
                self._insert(waiting.pop().item)

    def _look(self) -> None:
        """Deliver what waits, up to the first gap that is worth waiting for."""
        while self._drain():
            if self._is_fetching:
                return
            due_ms = self._held_ms[0] + self._context.settings.retries.reorder_ms
            is_early = self._context.now_ms < due_ms or self._is_unread
            if is_early and self._may_come:
                self._deadline_ms = due_ms
                self._tick_from_now_on()
                return
            if self.backfills:
                self._fetch(self.cursor.last_id, self.cursor.id_of(self._held[0]))
                return
            self._release((), "")

    @property
    def _may_come(self) -> bool:
        """Whether the missing messages may still come on a connection that lags."""
        return bool(self._repeats_until_ms) or any(
            map(self._may_send_missing, self.secondaries.values())
        )

    def _may_send_missing(self, secondary: Secondary) -> bool:
        behind_id = self.cursor.id_of(self._held[0])
        return (
            self._can_lead(secondary)
            and not secondary.is_restarted
            and secondary.last_id < behind_id
        )

    @property
    def _is_unread(self) -> bool:
        """Whether what is missing may come when paused connections are read again.

        While the primary is not read nothing is late; a secondary is waited for only so long.
        """
        paused = self._context.paused
        if self.primary in paused:
            return True
        until_ms = self._held_ms[0] + self._context.settings.connections.merge_ms
        return self._context.now_ms < until_ms and any(
            connection in paused and self._may_send_missing(it)
            for connection, it in self.secondaries.items()
        )

    def restart_waits(self) -> None:
        """Count all waiting from now on, because connections were not read for a while."""
        if self._repeats_until_ms:
            self._expect_repeats()
        self._held_ms = [self._context.now_ms] * len(self._held_ms)

    def _drain(self) -> bool:
        """Deliver held messages up to the next gap; return whether any is left."""
        cursor, number = self.cursor, 0
        for number, item in enumerate(self._held):  # noqa: B007
            if cursor.classify(item, None) is not Step.NEXT:
                break
            self._pass(item)
        else:
            number = len(self._held)
        if number:
            del self._held[:number], self._held_ms[:number]
            self._is_fetching = False
        return bool(self._held)

    def _release(self, rows: Sequence[Any], reason: str) -> None:
        """Report the first gap, then deliver `rows` that belong into it and the message after it."""
        cursor, item = self.cursor, self._held.pop(0)
        del self._held_ms[0]
        bounds = cursor.last_id, cursor.id_of(item)
        found = {
            row_id: row for row in rows if bounds[0] < (row_id := cursor.id_of(row)) < bounds[1]
        }
        self._gaps.append(bounds)
        self._report_gap(item.symbol, bounds, cursor.missing_before(item), len(found), reason)
        for _, row in sorted(found.items()):
            row.stream = self.name
            self.deliver(row)
        self._pass(item)

    def _answered(self, rows: Sequence[Any], reason: str) -> None:
        self._is_fetching = False
        self._release(rows, reason)
        self._look()

    def _give_up(self, reason: str) -> None:
        """Deliver all that waits, and report every gap."""
        self._is_fetching = False
        while self._drain():
            self._release((), reason)

    def close(self) -> None:
        """Discard what waits, and deliver nothing more."""
        super().close()
        self._held.clear()
        self._held_ms.clear()

    # Time

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        is_over = self._context.now_ms >= self._repeats_until_ms
        if self._repeats_until_ms and is_over and self.primary not in self._context.paused:
            self._repeats_until_ms = 0
        for secondary in self.secondaries.values():
            self._prune(secondary)
        self._take_over()
        will_be = bool(self._repeats_until_ms) or any(
            secondary.waiting for secondary in self.secondaries.values()
        )
        if self._held and not self._is_fetching:
            self._look()
        elif self._held and self._context.now_ms >= self._deadline_ms:
            self._answered((), LATE)
        return will_be or bool(self._held)
