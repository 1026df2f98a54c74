"""One stream as it is put together from the connections that carry it.

One of the connections leads: what it tells is delivered at once.  The others follow: what they tell
too is compared, not delivered, until the leader is lost or leaves something out.  So a planned
change of connections loses nothing and repeats nothing, and with two copies the loss of one is not
even noticed.

Where messages have ids, a gap is seen.  What comes after it waits, for the missing messages to come
from a follower or over REST, and not longer than it is told to; then the gap is told in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from tickerplant.feed.rhythm import Rhythm
from tickerplant.feed.sequence import NUMBERED, RISING, Sequence
from tickerplant.feed.settings import FeedSettings
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Gap, Notice

Item: TypeAlias = Any
"""A message, or the list of the messages of an array."""
Sink: TypeAlias = Callable[[Message | Notice], object]
"""Takes the messages and notices of a consumer, in order.  Never raises."""

FOLLOWED = 4096
"""Messages of one stream by which a connection may be ahead of another; beyond, the oldest are
forgotten."""


class Host(Protocol):
    """What a strand needs of the feed it is part of."""

    settings: FeedSettings
    now_ms: int
    wall_ms: int

    def fetch(self, strand: Strand, after_id: int, before_id: int) -> None:
        """Ask for the messages between two ids; `filled` or `unfilled` of the strand is called."""

    def watch(self, strand: Strand) -> None:
        """Call `tick` of the strand from now on, until it returns False."""


class Follower(Struct):
    """A connection that carries a stream beside the one that leads."""

    carried: bool = False
    """Whether the subscription was acknowledged."""
    waiting: dict[Hashable, Item] = {}
    """What it told and the leader did not, yet, in order."""
    ahead: dict[Hashable, None] = {}
    """What the leader told and it did not, yet."""


class StrandCounters(Struct):
    """What happened on one stream so far."""

    messages: int = 0
    """Messages that came, on whatever connection."""
    duplicates: int = 0
    """Of those, left out because they came before."""
    gaps: int = 0
    missing: int = 0
    """Messages that ids prove missing for good."""
    backfilled: int = 0


class Strand:
    """A stream whose messages have no ids: two are the same if their bytes are.

    Args:
        name: The stream.
        decode: Turns a payload into a message, or a list of them.
        rhythm: How long it may be silent.
        host: The feed.
    """

    def __init__(
        self, name: str, decode: Callable[[bytes], Item], rhythm: Rhythm, host: Host
    ) -> None:
        self.name = name
        self.decode = decode
        self.rhythm = rhythm
        self.sinks: tuple[Sink, ...] = ()
        self.backfills = False
        """Whether somebody wants gaps to be filled over REST."""
        self.lead: Hashable | None = None
        """The connection whose messages are delivered; None: nothing is heard."""
        self.followers: dict[Hashable, Follower] = {}
        self.counters = StrandCounters()
        self.messages = 0
        """Messages of the leader."""
        self.heard_ms = host.now_ms
        """When the last came, or the leader began."""
        self.blind_ms: int | None = None
        """Since when nothing is heard; None while something is, or nothing ever was."""
        self.is_blindness_told = False
        self.is_stale = False
        self._host = host
        self._held: list[Item] | None = None
        self._deadline_ms = 0
        self._fetching = False
        self._merging_ms = 0
        """Until when a message may come a second time; 0 if none may."""
        self._skipped: dict[Hashable, None] = {}
        """What was delivered and is still to come from the connection that leads since."""

    # Connections

    def join(self, link: Hashable) -> None:
        """Let `link` follow: the stream was asked for on it."""
        if link != self.lead and link not in self.followers:
            self.followers[link] = Follower()

    def carry(self, link: Hashable) -> bool:
        """Let `link` count: it carries the stream; return whether nothing was heard before."""
        if self.lead is None:
            self._lead(link)
            return True
        if link in self.followers:
            self.followers[link].carried = True
        return False

    def leave(self, link: Hashable) -> bool:
        """Forget `link`; return whether nothing is heard any more because of that."""
        self.followers.pop(link, None)
        if link != self.lead:
            return False
        heir = next((each for each, it in self.followers.items() if it.carried), None)
        if heir is not None:
            self._lead(heir)
            return False
        self.lead = None
        self.blind_ms = self._host.now_ms
        self.rhythm.rest()
        return True

    def _lead(self, link: Hashable) -> None:
        """Deliver from now on what `link` tells, after what it told already."""
        follower = self.followers.pop(link, None)
        self.lead = link
        self.heard_ms = self._host.now_ms
        if follower is not None:
            self._merging_ms = self._host.now_ms + self._host.settings.merge_ms
            self._host.watch(self)
            self._adopt(follower)

    def _adopt(self, follower: Follower) -> None:
        for item in follower.waiting.values():
            self.take(item)
        self._skipped = follower.ahead

    # Messages

    def take(self, item: Item) -> None:
        """Take the next message of the leader."""
        if (self.followers or self._skipped) and self._is_repeated(item):
            return
        self._pass(item)

    def follow(self, link: Hashable, item: Item) -> None:
        """Take the next message of another connection."""
        follower = self.followers[link]
        key = _payload_of(item)
        if key in follower.ahead:
            del follower.ahead[key]
            self.counters.duplicates += 1
        else:
            _put(follower.waiting, key, item)

    def _is_repeated(self, item: Item) -> bool:
        """Whether `item` was delivered before; if not, the followers are expected to tell it."""
        key = _payload_of(item)
        if key in self._skipped:
            del self._skipped[key]
            self.counters.duplicates += 1
            return True
        for follower in self.followers.values():
            if key in follower.waiting:
                del follower.waiting[key]
                self.counters.duplicates += 1
            else:
                _put(follower.ahead, key, None)
        return False

    def _pass(self, item: Item) -> None:
        """Take a message that was not delivered before."""
        self.deliver(item)

    def deliver(self, item: Item) -> None:
        """Hand a message to every consumer."""
        if type(item) is list:
            for sink in self.sinks:
                for message in item:
                    sink(message)
        else:
            for sink in self.sinks:
                sink(item)

    def tell(self, notice: Notice) -> None:
        """Hand a notice to every consumer."""
        for sink in self.sinks:
            sink(notice)

    # Gaps

    def tick(self, now_ms: int) -> bool:
        """Do what is due; return whether something else will be."""
        if self._merging_ms and now_ms >= self._merging_ms:
            self._merging_ms = 0
            self._skipped = {}
        if self._held is not None and now_ms >= self._deadline_ms:
            self._wait_no_longer()
        return bool(self._merging_ms) or self._held is not None

    def _wait_no_longer(self) -> None:
        if self.backfills and not self._fetching:
            self._fetch()
        else:
            self._fetching = False
            self._release((), "not answered in time" if self.backfills else "")

    def filled(self, messages: Iterable[Message]) -> None:
        """Take what was missing, asked for over REST, oldest first."""
        if self._fetching and self._held is not None:
            self._fetching = False
            self._release(messages, "")

    def unfilled(self, reason: str) -> None:
        """Give up what was missing: it could not be had."""
        if self._fetching and self._held is not None:
            self._fetching = False
            self._release((), reason)

    def _hold(self, item: Item) -> None:
        """Let `item` wait: something is missing before it."""
        self._held = [item]
        self._host.watch(self)
        if self.backfills and not self.followers:
            self._fetch()
        else:
            self._deadline_ms = self._host.now_ms + self._host.settings.reorder_ms

    def _keep(self, item: Item) -> None:
        """Let `item` wait behind those that wait."""
        if self._held is None:
            return
        self._held.append(item)
        if len(self._held) > self._host.settings.held_messages:
            self._fetching = False
            self._release((), "too many messages waited behind the gap")

    def _fetch(self) -> None:
        self._fetching = True
        self._deadline_ms = self._host.now_ms + self._host.settings.backfill_ms
        after_id, before_id = self._bounds()
        self._host.fetch(self, after_id, before_id)

    def _bounds(self) -> tuple[int, int]:
        """Return the ids between which messages are missing."""
        raise NotImplementedError

    def _release(self, filled: Iterable[Message], reason: str) -> None:
        """Tell the gap, then what could be had of it, then what waited."""
        raise NotImplementedError

    def _tell_gap(
        self, symbol: str, bounds: tuple[int, int], missing: int | None, filled: int, reason: str
    ) -> None:
        self.counters.gaps += 1
        self.counters.backfilled += filled
        self.counters.missing += max(0, (missing or 0) - filled)
        self.tell(
            Gap(
                streams=(self.name,),
                time_ms=self._host.wall_ms,
                symbol=symbol,
                after_id=bounds[0],
                before_id=bounds[1],
                missing=missing,
                backfilled=filled,
                reason=reason,
            )
        )


class NumberedStrand(Strand):
    """A stream whose messages have ids."""

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        rhythm: Rhythm,
        host: Host,
        sequence: Sequence,
    ) -> None:
        super().__init__(name, decode, rhythm, host)
        self.last_id: int | None = None
        """Id of the last message that was delivered."""
        self._rule = sequence.rule
        self._id_of = sequence.id_of
        self._previous_of = sequence.previous_of or sequence.id_of
        self._step = 1 if sequence.rule == NUMBERED else 0

    def take(self, item: Item) -> None:
        """Take the next message of the leader."""
        if self._held is not None:
            self._keep(item)
        elif self._continues(item):
            self.last_id = self._id_of(item)
            self.deliver(item)
        else:
            self._take_oddly(item)

    def _continues(self, item: Item) -> bool:
        if self._rule == RISING:
            return self.last_id is None or self._id_of(item) > self.last_id
        return self.last_id is None or self._previous_of(item) == self.last_id + self._step

    def _take_oddly(self, item: Item) -> None:
        """Take a message that does not simply continue the last."""
        last_id = self.last_id or 0
        if self._id_of(item) > last_id:
            self._hold(item)
            if not self._fill() and not self.followers and not self.backfills:
                self._release((), "")
        elif self._merging_ms:
            self.counters.duplicates += 1
        else:  # the ids begin anew: another server, or a new count
            if self._rule != RISING:
                bounds = (last_id, self._id_of(item))
                self._tell_gap(item.symbol, bounds, None, 0, "the ids begin anew")
            self.last_id = self._id_of(item)
            self.deliver(item)

    def follow(self, link: Hashable, item: Item) -> None:
        """Take the next message of another connection."""
        item_id, waiting = self._id_of(item), self.followers[link].waiting
        if self.last_id is not None and item_id <= self.last_id:
            self.counters.duplicates += 1
            return
        _put(waiting, item_id, item)
        if self._held is not None:
            self._fill()
        elif len(waiting) > 1:
            self._prune(waiting)

    def _prune(self, waiting: dict[Hashable, Item]) -> None:
        """Forget what the leader has told meanwhile."""
        last_id = self.last_id or 0
        while waiting and (oldest := next(iter(waiting))) <= last_id:  # type: ignore[operator]
            del waiting[oldest]
            self.counters.duplicates += 1

    def _adopt(self, follower: Follower) -> None:
        for item in follower.waiting.values():
            self.take(item)

    def _fill(self) -> bool:
        """Deliver what followers told of a gap; return whether nothing is missing any more."""
        for follower in self.followers.values():
            self._prune(follower.waiting)
            for item_id, item in tuple(follower.waiting.items()):
                if not self._continues(item):
                    break
                del follower.waiting[item_id]
                self.last_id = self._id_of(item)
                self.deliver(item)
        return self._drain()

    def _drain(self) -> bool:
        """Deliver what waited, as far as it continues; return whether that is all of it."""
        held, self._held = self._held or [], None
        for number, item in enumerate(held):
            if self._continues(item):
                self.last_id = self._id_of(item)
                self.deliver(item)
            elif self._id_of(item) > (self.last_id or 0):
                self._held = held[number:]
                return False
            else:
                self.counters.duplicates += 1
        self._fetching = False
        return True

    def _bounds(self) -> tuple[int, int]:
        held = self._held or []
        return self.last_id or 0, self._id_of(held[0])

    def _release(self, filled: Iterable[Message], reason: str) -> None:
        held, bounds = self._held or [], self._bounds()
        self._held = None
        missed = [item for item in filled if bounds[0] < self._id_of(item) < bounds[1]]
        missing = bounds[1] - bounds[0] - 1 if self._rule == NUMBERED else None
        self._tell_gap(held[0].symbol, bounds, missing, len(missed), reason)
        for item in missed:
            item.stream = self.name
            self.deliver(item)
        self.last_id = bounds[1]
        self.deliver(held[0])
        for item in held[1:]:
            self._take_again(item)

    def _take_again(self, item: Item) -> None:
        """Take a message that waited; of two copies one may be left."""
        if self._held is None and self._id_of(item) <= (self.last_id or 0):
            self.counters.duplicates += 1
        else:
            self.take(item)


class CandleStrand(Strand):
    """A stream of candles: after a time without connection, those that closed meanwhile are missing."""

    def __init__(
        self, name: str, decode: Callable[[bytes], Item], rhythm: Rhythm, host: Host
    ) -> None:
        super().__init__(name, decode, rhythm, host)
        self._open_time = 0
        self._close_time = 0
        self._is_closed = False
        self._was_blind = False

    def leave(self, link: Hashable) -> bool:
        """Forget `link`; return whether nothing is heard any more because of that."""
        is_blind = super().leave(link)
        self._was_blind = self._was_blind or is_blind
        return is_blind

    def _pass(self, item: Item) -> None:
        if self._held is not None:
            self._keep(item)
            return
        if self._was_blind:
            self._was_blind = False
            if self._misses_before(item):
                self._hold(item)
                if not self.backfills:
                    self._release((), "")
                return
        self._deliver_candle(item)

    def _misses_before(self, item: Item) -> bool:
        """Whether a candle closed between the last message and `item`, or may have."""
        if not self._open_time:
            return False
        opened = item.candle.open_time
        return opened > self._open_time and not (self._is_closed and opened == self._next_open_time)

    @property
    def _next_open_time(self) -> int:
        return self._close_time + 1

    def _deliver_candle(self, item: Item) -> None:
        candle = item.candle
        self._open_time = candle.open_time
        self._close_time = candle.close_time
        self._is_closed = candle.is_closed
        self.deliver(item)

    def _bounds(self) -> tuple[int, int]:
        first = self._next_open_time if self._is_closed else self._open_time
        return first, (self._held or [])[0].candle.open_time

    def _release(self, filled: Iterable[Message], reason: str) -> None:
        held, bounds = self._held or [], self._bounds()
        self._held = None
        missed: list[Any] = [
            item
            for item in filled
            if bounds[0] <= item.candle.open_time < bounds[1]  # type: ignore[attr-defined]
        ]
        span_ms = self._close_time + 1 - self._open_time
        missing = -(-(bounds[1] - bounds[0]) // span_ms)
        self._tell_gap(held[0].symbol, bounds, missing, len(missed), reason)
        for item in missed:
            item.stream = self.name
            self._deliver_candle(item)
        for item in held:
            self._deliver_candle(item)


def _payload_of(item: Item) -> bytes:
    message = item[0] if type(item) is list else item
    payload: bytes = message.payload
    return payload


def _put(kept: dict[Hashable, Any], key: Hashable, value: Any) -> None:
    """Add to what is kept of a connection; the oldest goes when there is too much."""
    if len(kept) >= FOLLOWED:
        del kept[next(iter(kept))]
    kept[key] = value
