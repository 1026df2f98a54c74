"""Streams whose ids tell what is missing: they rise by one, or each message names the one before.

What comes after a gap is held, for what is missing to come from a follower or over REST, and not
longer than it is told to; then the gap is told in its place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from tickerplant.feed import sequence
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.identified import NONE, IdentifiedStream
from tickerplant.feed.merged_stream import Host, Item
from tickerplant.feed.secondary import Secondary

ANEW = "the ids begin anew"
LATE = "not answered in time"
TOO_MANY = "too many messages waited behind the gap"


class NumberedStream(IdentifiedStream):
    """A stream whose ids tell what is missing."""

    __slots__ = (
        "_held",
        "_held_ms",
        "_next",
        "_previous_of",
        "_step",
    )

    proves_gaps = True

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        host: Host,
        ids: sequence.Sequence,
    ) -> None:
        super().__init__(name, decode, expected_interval, host, ids)
        self._previous_of = ids.previous_of
        self._step = 1 if ids.rule == sequence.NUMBERED else 0
        self._next = NONE
        """What the next message is to say of itself, or of the one before."""
        self._held: list[Item] = []
        """What waits behind a gap, by rising ids."""
        self._held_ms: list[int] = []
        """When each of them came."""

    @property
    def has_gap(self) -> bool:
        """Whether messages wait behind a gap."""
        return bool(self._held)

    def reset_for_split(self, secondaries: dict[Hashable, Secondary]) -> None:
        """Go on with `secondaries` and without consumers, as a copy of a strand that goes on as well."""
        super().reset_for_split(secondaries)
        self._held, self._held_ms = [], []

    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of another connection, which has joined."""
        item_id = self._id_of(item)
        is_missing = self._held and self.last_id < item_id < self._id_of(self._held[-1])
        secondary = self.secondaries[connection]
        if is_missing and not secondary.is_restarted:
            secondary.last_id = item_id
            self._mark_delivering(secondary)
            self._hold(item)
        else:
            super().take_secondary(connection, item)

    def take_slow(self, item: Item) -> None:
        """Take a message that is perhaps the next one, from whomever."""
        item_id = self._id_of(item)
        if item_id <= self.last_id:
            if self._is_repeated(item):
                self.counters.duplicates += 1
            else:
                self._restart(item)
        elif not self._held and self._continues(item):
            self._pass(item)
        else:
            self._hold(item)

    def _continues(self, item: Item) -> bool:
        return self.last_id == NONE or self._previous_of(item) == self._next

    def _pass(self, item: Item) -> None:
        self.last_id = self._id_of(item)
        self._next = self.last_id + self._step
        self._last_ms = item.event_time_ms
        self.deliver(item)

    def _restart(self, item: Item) -> None:
        """Take the first message after the ids began anew."""
        self._give_up(ANEW)
        self._begin_anew()
        self._report_gap(item.symbol, (self.last_id, self._id_of(item)), None, 0, ANEW)
        self._pass(item)

    # Gaps

    def _hold(self, item: Item) -> None:
        """Let `item` wait: something is missing before it."""
        held, item_id = self._held, self._id_of(item)
        if not held or item_id > self._id_of(held[-1]):
            held.append(item)
            self._held_ms.append(self._host.now_ms)
            if len(held) == 1:
                self._gather()
            elif len(held) > self._host.settings.held_messages:
                self._give_up(TOO_MANY)
                return
            else:
                return
        elif not self._insert(item):
            return
        self._look()

    def _insert(self, item: Item) -> bool:
        """Put `item` among those that wait; return whether it is not one of them."""
        held, item_id = self._held, self._id_of(item)
        place = bisect_left(held, item_id, key=self._id_of)
        if place < len(held) and self._id_of(held[place]) == item_id:
            self.counters.duplicates += 1
            return False
        held.insert(place, item)
        after = min(place, len(self._held_ms) - 1)
        self._held_ms.insert(place, self._held_ms[after])
        return True

    def _gather(self) -> None:
        """Put what followers told of a new gap before what waits."""
        last_id = self._id_of(self._held[-1])
        for secondary in self.secondaries.values():
            self._prune(secondary)
            waiting = secondary.waiting
            while waiting and waiting.oldest.key <= last_id and not secondary.is_restarted:
                self._insert(waiting.pop().item)

    def _look(self) -> None:
        """Deliver what waits, up to something that is worth waiting for."""
        while self._drain():
            if self._is_fetching:
                return
            due_ms = self._held_ms[0] + self._host.settings.reorder_ms
            is_early = self._host.now_ms < due_ms or self._is_unread
            if is_early and self._may_be_told:
                self._deadline_ms = due_ms
                self._host.watch(self)
                return
            if self.backfills:
                self._fetch(self.last_id, self._id_of(self._held[0]))
                return
            self._release((), "")

    @property
    def _may_be_told(self) -> bool:
        """Whether a connection may tell what is missing: a follower, or a leader, that lags."""
        return bool(self._merging_ms) or any(map(self._may_tell, self.secondaries.values()))

    def _may_tell(self, secondary: Secondary) -> bool:
        """Whether `secondary` may tell what is missing."""
        behind_id = self._id_of(self._held[0])
        return (
            self._can_lead(secondary)
            and not secondary.is_restarted
            and secondary.last_id < behind_id
        )

    @property
    def _is_unread(self) -> bool:
        """Whether what is missing may be told when connections are read again.

        As long as the leader is not read nothing is late; a follower is waited for only so long.
        """
        is_held_up = self._host.is_held_up
        if is_held_up(self.primary):
            return True
        until_ms = self._held_ms[0] + self._host.settings.merge_ms
        return self._host.now_ms < until_ms and any(
            is_held_up(connection) and self._may_tell(it)
            for connection, it in self.secondaries.items()
        )

    def restart_waits(self) -> None:
        """Let what waits for a connection wait from now on: it was not read for a while."""
        super().restart_waits()
        self._held_ms = [self._host.now_ms] * len(self._held_ms)

    def _drain(self) -> bool:
        """Deliver what waited, as far as it continues; return whether anything still waits."""
        number = 0
        for number, item in enumerate(self._held):  # noqa: B007
            if not self._continues(item):
                break
            self._pass(item)
        else:
            number = len(self._held)
        if number:
            del self._held[:number], self._held_ms[:number]
            self._is_fetching = False
        return bool(self._held)

    def _release(self, rows: Sequence[Any], reason: str) -> None:
        """Tell the first gap, then what could be had of it, then the message after it."""
        item = self._held.pop(0)
        del self._held_ms[0]
        bounds = self.last_id, self._id_of(item)
        found = {
            row_id: row for row in rows if bounds[0] < (row_id := self._id_of(row)) < bounds[1]
        }
        missing = bounds[1] - bounds[0] - 1 if self._step else None
        self._report_gap(item.symbol, bounds, missing, len(found), reason)
        for _, row in sorted(found.items()):
            row.stream = self.name
            self.deliver(row)
        self._pass(item)

    def _answered(self, rows: Sequence[Any], reason: str) -> None:
        self._is_fetching = False
        self._release(rows, reason)
        self._look()

    def _give_up(self, reason: str) -> None:
        """Let nothing wait any more: tell every gap."""
        self._is_fetching = False
        while self._drain():
            self._release((), reason)

    def _secondary_removed(self) -> None:
        if self._held:
            self._look()

    def _primary_lost(self) -> None:
        self._merging_ms = 0
        if self._held:
            self._look()

    def close(self) -> None:
        """Let nothing wait any more, and tell nothing."""
        super().close()
        self._held.clear()
        self._held_ms.clear()

    # Time

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        will_be = self._tick_secondaries()
        if self._held and not self._is_fetching:
            self._look()
        elif self._held and self._host.now_ms >= self._deadline_ms:
            self._answered((), LATE)
        return will_be or bool(self._held)


class TradeStream(NumberedStream):
    """Trades, whose ids rise by one; the usual case is spelled out, as in the classes below."""

    __slots__ = ()

    def accept(self, item: Item) -> bool:
        """Whether `item`, of the leader, is to be delivered at once."""
        trade_id: int = item.trade_id
        if trade_id == self._next and not self._held:
            self.last_id = trade_id
            self._next = trade_id + 1
            self._last_ms = item.event_time_ms
            return True
        return False


class AggregateTradeStream(NumberedStream):
    """Aggregate trades, whose ids rise by one."""

    __slots__ = ()

    def accept(self, item: Item) -> bool:
        """Whether `item`, of the leader, is to be delivered at once."""
        aggregate_id: int = item.aggregate_id
        if aggregate_id == self._next and not self._held:
            self.last_id = aggregate_id
            self._next = aggregate_id + 1
            self._last_ms = item.event_time_ms
            return True
        return False


class UpdateStream(NumberedStream):
    """Depth updates, each of which names the id of the one before."""

    __slots__ = ()

    def accept(self, item: Item) -> bool:
        """Whether `item`, of the leader, is to be delivered at once."""
        if item.previous_update_id == self._next and not self._held:
            self.last_id = self._next = item.final_update_id
            self._last_ms = item.event_time_ms
            return True
        return False
