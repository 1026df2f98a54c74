"""One stream, merged from all connections that are subscribed to it.

One of the connections is the primary: its messages are delivered at once.  The others are
secondaries: their messages are only compared, until the primary is lost, falls silent or leaves
something out.  So a planned change of connections loses and repeats nothing, and with redundant
connections the loss of one costs nothing.

How messages of different connections are matched, and how missing ones are noticed, differs:
`identified.py` uses ids, `matched.py` the bytes, and for candles their times as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from tickerplant.feed.context import FeedContext, Fetch
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.messages.message import Message
from tickerplant.notices import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    SubscriptionRejected,
)


class Entry(NamedTuple):
    """A message in a backlog."""

    key: Any
    """Identifies it: its id, or the hash of its bytes."""
    item: Any
    received_ms: int


class Backlog:
    """Messages in order of arrival, found by their keys; equal keys are counted."""

    __slots__ = ("_counts", "_entries")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._counts: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._counts

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def oldest(self) -> Entry:
        """The first that arrived."""
        return self._entries[0]

    def put(self, key: Hashable, item: Any, received_ms: int) -> None:
        """Add a message at the end."""
        self._entries.append(Entry(key, item, received_ms))
        self._counts[key] += 1

    def pop(self) -> Entry:
        """Remove and return the oldest."""
        entry = self._entries.popleft()
        self._discount(entry.key)
        return entry

    def pop_through(self, key: Hashable) -> list[Entry] | None:
        """Remove the first entry with `key` and all before it; return those before it.

        Returns None, and changes nothing, if there is no such entry.
        """
        if key not in self._counts:
            return None
        before = []
        while (entry := self.pop()).key != key:
            before.append(entry)
        return before

    def drain(self) -> list[Entry]:
        """Remove and return all."""
        entries = list(self._entries)
        self._entries.clear()
        self._counts.clear()
        return entries

    def _discount(self, key: Hashable) -> None:
        if self._counts[key] == 1:
            del self._counts[key]
        else:
            self._counts[key] -= 1


class Secondary:
    """What is known of a connection that is subscribed to a stream beside the primary."""

    def __init__(self, *, may_be_older: bool = False) -> None:
        self.is_delivering = False
        """Whether its subscription was acknowledged, or a message came."""
        self.delivering_since_ms = 0
        self.resubscriptions = 0
        """How often it was subscribed again because it sent nothing."""
        self.idle_since_ms = 0
        """Since when it is known that it sends nothing while the primary does; 0 if it is not."""
        self.is_mute = False
        """Whether it has sent messages of other streams since, so that it is not merely late."""
        self.waiting = Backlog()
        """Messages that came on it and were not delivered yet."""
        self.expected = Backlog()
        """Delivered messages that have not come on it yet."""
        self.skipped: dict[Hashable, int] = {}
        """Keys of delivered messages that it left out, and until when it may still send each."""
        self.last_id = -1
        """Id of the last message that came on it; negative if none has one."""
        self.is_in_step = False
        """Whether a message came on it that came on the primary, too."""
        self.is_restarted = False
        """Whether the ids of its server have restarted."""
        self.may_be_older = may_be_older
        """Whether its subscription may be older than that of the primary: there was none then."""
        self.may_repeat = not may_be_older
        """Whether it may send what was delivered: there was a primary since it was added."""


Item: TypeAlias = Any
"""A message, or the list of the messages of an array."""
Sink: TypeAlias = Callable[[Message | Notice], object]
"""Takes the messages and notices of a consumer, in order.  Never raises; it may attach and detach."""
Keep: TypeAlias = Callable[[int, bytes, Any], object]
"""Takes the receive time (ns), the raw message and the decoded one, in which the fields that the feed
fills in are empty.  Never raises, attaches or detaches."""

NOTIFY_AGAIN_MS = 10_000
"""Shortest time between two notices that a stream has no connection, for different reasons."""
MAX_AHEAD = 4096
"""Maximum number of messages of one stream by which a secondary may be ahead of the primary; after
that, its messages are delivered."""


class Outage(Struct):
    """A time without messages that consumers know of."""

    since_ms: int
    """When the last message came before it, or when the stream was subscribed to."""
    notice: Disconnected | None = None
    """The last notice that there is no connection, without names; None if there is one."""
    notified_ms: int = 0
    """When consumers got that notice."""


class StreamCounters(Struct):
    """Counts of one stream."""

    duplicates: int = 0
    """Messages that were discarded because they were delivered before."""
    out_of_order: int = 0
    """Messages with ids that were discarded because they came after later ones."""
    gaps: int = 0
    missing: int = 0
    """Messages that are proved missing and could not be backfilled."""
    backfilled: int = 0


class MergedStream(ABC):
    """A stream, and the state of its delivery.

    The feed sets only `messages`, `received_ms` and `unreadable_ms`, and the pool `rejection`.
    """

    __slots__ = (
        "_accept_next",
        "_backfilling",
        "_context",
        "_deadline_ms",
        "_fetched_after",
        "_is_fetching",
        "_keeps",
        "accept",
        "counters",
        "decode",
        "deliver",
        "disconnected_ms",
        "expected_interval",
        "is_array",
        "keep",
        "messages",
        "name",
        "outage",
        "primary",
        "proves_gaps",
        "received_ms",
        "rejection",
        "secondaries",
        "silent_from_ms",
        "sinks",
        "stale_level",
        "unknown_reason",
        "unreadable_ms",
    )

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
    ) -> None:
        self.name = name
        self.decode = decode
        self.expected_interval = expected_interval
        self.unknown_reason = ""
        """Why no message is expected; empty if messages are expected."""
        self.is_array = False
        """Whether what `decode` returns may be a list."""
        self.sinks: tuple[Sink, ...] = ()
        """Its consumers; changed by `attach` and `detach`."""
        self.deliver: Callable[[Item], object] = self._deliver_to_all
        """Hands a message to every consumer."""
        self.accept: Callable[[Item], bool] = refuse
        """Called with each message of the primary; returns whether the caller is to `deliver` it.

        If it returns False, nothing was done, and the caller is to `take` the message."""
        self._accept_next: Callable[[Item], bool] = refuse
        """The `accept` of the usual case."""
        self.proves_gaps = False
        """Whether ids show what is missing."""
        self.keep: Keep | None = None
        """Takes accepted messages in the usual envelope in place of `deliver`; None if nothing does."""
        self._keeps: dict[Sink, Keep] = {}
        self._backfilling: list[Sink] = []
        """Consumers that want gaps to be backfilled over REST."""
        self.primary: Hashable | None = None
        """The connection whose messages are delivered; None while nothing is received."""
        self.secondaries: dict[Hashable, Secondary] = {}
        self.counters = StreamCounters()
        self.messages = 0
        """Messages that came, on any connection."""
        self.received_ms = 0
        """When the last message came on a primary; 0 if none did."""
        self.silent_from_ms = context.now_ms
        """Earliest time from which silence counts."""
        self.stale_level = 0
        """0 while it is not stale; 1 since consumers were notified, and 1 more for each time it was
        subscribed again since."""
        self.outage: Outage | None = None
        """The outage that consumers know of; None if there is none."""
        self.disconnected_ms: int | None = None
        """Since when no connection delivers it; None if one does, or none ever did."""
        self.rejection: SubscriptionRejected | None = None
        """The notice, without names, that the server rejected the subscription."""
        self.unreadable_ms = 0
        """When consumers were last notified of an unreadable message."""
        self._context = context
        self._is_fetching = False
        self._fetched_after = 0
        """The `after_id` of the pending fetch."""
        self._deadline_ms = 0
        """Until when messages wait behind a gap."""

    @property
    def is_stale(self) -> bool:
        """Whether it is silent for longer than it should be."""
        return self.stale_level > 0

    @property
    def is_rejected(self) -> bool:
        """Whether consumers know that the server rejected the subscription."""
        return self.rejection is not None

    @property
    def silent_since_ms(self) -> int:
        """When silence began: at the last message of a primary, or the time from which it counts."""
        return max(self.received_ms, self.silent_from_ms)

    # Consumers

    @property
    def backfills(self) -> bool:
        """Whether gaps are backfilled, for all consumers, because one of them wants it."""
        return bool(self._backfilling)

    def attach(self, sink: Sink, *, backfills: bool = False, keep: Keep | None = None) -> None:
        """Add a consumer; while it is the only one, `keep` takes what it can."""
        if keep is not None:
            self._keeps[sink] = keep
        self._set_sinks((*self.sinks, sink))
        if backfills:
            self._backfilling.append(sink)

    def detach(self, sink: Sink) -> None:
        """Remove a consumer, or one of its attachments if it was attached several times."""
        left = list(self.sinks)
        left.remove(sink)
        self._set_sinks(tuple(left))
        if sink not in left:
            self._backfilling = [each for each in self._backfilling if each != sink]
            self._keeps.pop(sink, None)

    def _set_sinks(self, sinks: tuple[Sink, ...]) -> None:
        self.sinks = sinks
        is_simple = len(sinks) == 1 and not self.is_array
        self.deliver = sinks[0] if is_simple else self._deliver_to_all
        self.keep = self._keeps.get(sinks[0]) if is_simple else None

    # Connections

    def add(self, connection: Hashable) -> None:
        """Add a secondary connection, on which the stream is being subscribed to."""
        if connection != self.primary and connection not in self.secondaries:
            self.secondaries[connection] = Secondary(may_be_older=self.primary is None)
            self.accept = refuse

    def mark_delivering(self, connection: Hashable) -> bool:
        """Note that `connection` delivers the stream; return True if it is the primary because of that."""
        if self.primary is None:
            self._lead(connection)
            return True
        if connection in self.secondaries:
            self._mark_delivering(self.secondaries[connection])
        return False

    def _mark_delivering(self, secondary: Secondary) -> None:
        if not secondary.is_delivering:
            secondary.is_delivering = True
            secondary.delivering_since_ms = self._context.now_ms

    def remove(self, connection: Hashable) -> bool:
        """Remove a connection; return True if none is left that delivers the stream."""
        secondary = self.secondaries.pop(connection, None)
        if secondary is not None:
            self.counters.duplicates += len(secondary.waiting)
        if connection != self.primary:
            self._secondary_removed()
            return False
        successor = self._next_primary
        if successor is not None:
            self._lead(successor)
            return False
        self.primary = None
        self.disconnected_ms = self._context.now_ms
        self.stale_level = 0
        self.expected_interval.restart()
        self._primary_lost()
        return True

    def close(self) -> None:
        """Discard what waits, and deliver nothing more."""
        self._set_sinks(())
        self.primary = None
        self.secondaries.clear()
        self._is_fetching = False

    @property
    def held_count(self) -> int:
        """Number of messages that wait behind a gap."""
        return 0

    @property
    def _next_primary(self) -> Hashable | None:
        """The secondary that becomes primary if the primary is lost; None if none can."""
        able = [connection for connection, it in self.secondaries.items() if self._can_lead(it)]
        in_step = (connection for connection in able if self.secondaries[connection].is_in_step)
        return next(in_step, able[0] if able else None)

    def may_lose_without(self, connection: Hashable, received_ms: int) -> bool:
        """Whether messages may be lost unnoticed if `connection` is lost.

        They may if it is the primary, and its successor was subscribed after the last message.
        """
        successor = self.secondaries.get(self._next_primary)
        if connection != self.primary or successor is None or self.proves_gaps:
            return False
        return (
            not successor.is_in_step
            and received_ms
            < successor.delivering_since_ms + self._context.settings.connections.overlap_ms
        )

    def expect_loss(self) -> None:  # noqa: B027  # most kinds do nothing
        """Note that messages may be missing before the next one."""

    def is_delivered_without(self, connection: Hashable) -> bool:
        """Whether another connection than `connection` delivers the stream."""
        return self.primary not in {None, connection} or any(
            self._can_lead(it) for each, it in self.secondaries.items() if each != connection
        )

    def _can_lead(self, secondary: Secondary) -> bool:
        return secondary.is_delivering and not (secondary.is_mute and self.is_idle(secondary))

    def is_idle(self, secondary: Secondary) -> bool:
        """Whether `secondary` is subscribed, and has sent nothing although the primary has."""
        if (
            secondary.is_in_step
            or secondary.is_restarted
            or secondary.waiting
            or not secondary.is_delivering
        ):
            return False
        return self.received_ms > secondary.delivering_since_ms

    def restart_silence(self) -> None:
        """Count silence from now on."""
        self.silent_from_ms = self._context.now_ms

    def _tick_from_now_on(self) -> None:
        """Have `tick` called until it returns False."""
        self._context.due[self] = self.tick

    def restart_waits(self) -> None:  # noqa: B027  # most kinds do nothing
        """Restart the timeouts of waiting messages, because a connection was not read for a while."""

    def raise_stale_level(self) -> None:
        """Note that consumers are notified of its silence, or that it is subscribed again for it."""
        self.stale_level += 1
        self.accept = refuse
        if self.outage is None:
            self.outage = Outage(self.silent_since_ms)

    def end_staleness(self) -> None:
        """Notify consumers that messages arrive again, although it was stale."""
        if self.stale_level == 1:  # it was not subscribed again
            self.expected_interval.tolerate()
        self.expected_interval.restart()
        self._context.recoveries += 1
        self._notify_recovered(self.end_outage() or 0)

    def _report_possible_loss(self) -> None:
        """Notify consumers that messages may be missing before those of a new primary."""
        self.expect_loss()
        self.notify(
            Disconnected(
                streams=(self.name,),
                time_ms=self._context.wall_ms,
                reason="its connection fell silent",
            )
        )
        self._notify_recovered(self._context.now_ms - self.silent_since_ms)

    def _notify_recovered(self, outage_ms: int) -> None:
        wall_ms = self._context.wall_ms
        self.notify(Recovered(streams=(self.name,), time_ms=wall_ms, outage_ms=outage_ms))

    def begin_outage(self, notice: Disconnected, received_ms: int) -> bool:
        """Note that it has no connection; return whether to hand `notice` to consumers.

        That is False if they got one for the same reason, or a short time ago.
        """
        now_ms = self._context.now_ms
        outage = self.outage or Outage(max(self.silent_since_ms, received_ms))
        known = outage.notice
        if known is not None and (
            known.reason == notice.reason or now_ms - outage.notified_ms < NOTIFY_AGAIN_MS
        ):
            return False
        outage.notice, outage.notified_ms = notice, now_ms
        self.outage = outage
        if self.disconnected_ms is None:
            self.disconnected_ms = now_ms
        return True

    def end_outage(self) -> int | None:
        """Note that messages arrive again, or are about to.

        Returns the length, in ms, of the outage that consumers know of; None if they know of none.
        """
        outage, self.outage, self.disconnected_ms = self.outage, None, None
        self.stale_level = 0
        return None if outage is None else self._context.now_ms - outage.since_ms

    def _lead(self, connection: Hashable) -> None:
        """Make `connection` the primary, and deliver its waiting messages."""
        secondary = self.secondaries.pop(connection, None) or Secondary(may_be_older=True)
        for other in self.secondaries.values():
            other.may_repeat = True
        self.primary, self.accept = connection, refuse
        if self.is_stale and secondary.waiting:
            self.end_staleness()
        self.restart_silence()
        self._promote(secondary)

    def _take_over(self) -> bool:
        """Make a secondary the primary if the primary has fallen behind it; return whether one was."""
        now_ms = self._context.now_ms
        for connection, secondary in self.secondaries.items():
            if secondary.waiting and connection not in self._context.paused:
                behind_ms = now_ms - max(secondary.waiting.oldest.received_ms, self.silent_since_ms)
                if behind_ms >= self._patience_ms(secondary):
                    if not secondary.is_in_step and not self.proves_gaps:
                        self._report_possible_loss()
                    self.switch_primary(connection)
                    return True
        return False

    def switch_primary(self, connection: Hashable) -> None:
        """Make `connection` the primary, and the primary a secondary."""
        if self.primary is not None:
            primary = self.secondaries[self.primary] = self._demote()
            self._mark_delivering(primary)
        self._lead(connection)

    def _patience_ms(self, secondary: Secondary) -> int:
        """Return for how long the primary may be behind `secondary`."""
        settings = self._context.settings
        is_enough = secondary.is_in_step or self.is_stale  # a stale stream does not merely lag
        return settings.connections.lag_ms if is_enough else settings.connections.merge_ms

    def _demote(self) -> Secondary:
        """Return the state of the primary as a secondary."""
        return Secondary()

    @abstractmethod
    def _promote(self, secondary: Secondary) -> None:
        """Deliver the waiting messages of the new primary."""

    def _secondary_removed(self) -> None:  # noqa: B027  # most kinds do nothing
        """Note that a secondary may have been removed."""

    def finish(self) -> None:  # noqa: B027  # most kinds do nothing
        """Note that nothing more will come."""

    def _primary_lost(self) -> None:  # noqa: B027  # most kinds do nothing
        """Note that no connection delivers the stream any more."""

    # Messages

    def take(self, item: Item) -> None:
        """Take the next message of the primary, for which `accept` returned False."""
        if self._is_usual and self._accept_next(item):
            self.deliver(item)
        else:
            self.take_slow(item)
        is_fast = self._is_usual and not (self.is_array or self.stale_level)
        self.accept = self._accept_next if is_fast else refuse

    @property
    @abstractmethod
    def _is_usual(self) -> bool:
        """Whether `_accept_next` decides alone: nothing waits, and nothing has to be compared.

        Whatever makes this False sets `accept` to `refuse`; the next `take` resets it.
        """

    @abstractmethod
    def take_slow(self, item: Item) -> None:
        """Take the next message of the primary, which needs a closer look."""

    @abstractmethod
    def take_secondary(self, connection: Hashable, item: Item) -> None:
        """Take the next message of a secondary."""

    @abstractmethod
    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""

    def _deliver_to_all(self, item: Item) -> None:
        for sink in self.sinks:
            if type(item) is list:
                for message in item:
                    sink(message)
            else:
                sink(item)

    def notify(self, notice: Notice) -> None:
        """Hand a notice to every consumer, and to the observer."""
        self._context.observer.noticed(notice)
        for sink in self.sinks:
            sink(notice)

    def report(self, notice: Notice) -> None:
        """Hand a notice about several streams to the observer."""
        self._context.observer.noticed(notice)

    # Gaps

    def filled(self, messages: Iterable[Message], after_id: int | None = None) -> None:
        """Take missing messages that were fetched over REST.

        `after_id` is that of the fetch; messages of an earlier fetch are ignored.
        """
        if self._is_fetching and after_id in {None, self._fetched_after}:
            self._answered(tuple(messages), "")

    def unfilled(self, reason: str, after_id: int | None = None) -> None:
        """Note that missing messages could not be fetched, and why."""
        if self._is_fetching and after_id in {None, self._fetched_after}:
            self._answered((), reason)

    def _answered(self, rows: Sequence[Any], reason: str) -> None:  # noqa: B027
        """Take the rows that were fetched, or the reason that there are none."""

    def _fetch(self, after_id: int, before_id: int) -> None:
        self._is_fetching = True
        self._fetched_after = after_id
        self._deadline_ms = self._context.now_ms + self._context.settings.retries.backfill_ms
        self._tick_from_now_on()
        self._context.actions.append(Fetch(self.name, after_id, before_id))

    def _report_gap(
        self, symbol: str, bounds: tuple[int, int], missing: int | None, filled: int, reason: str
    ) -> None:
        lost = max(0, (missing or 0) - filled)
        self.counters.gaps += 1
        self.counters.backfilled += filled
        self.counters.missing += lost
        if lost and filled:
            reason = reason or "the server no longer has all of them"
        self.notify(
            Gap(
                streams=(self.name,),
                time_ms=self._context.wall_ms,
                symbol=symbol,
                after_id=bounds[0],
                before_id=bounds[1],
                missing=missing,
                backfilled=filled,
                reason=reason,
            )
        )


def refuse(_: Item) -> bool:
    """Return False: the `accept` of a stream whose messages all need a closer look."""
    return False
