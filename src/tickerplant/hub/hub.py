"""The subscriptions of one venue: channels, audiences, and the frames that wait for them.

A channel is a stream with at least one subscriber; messages are built only for channels.  Each is
encoded once, framed once for raw and once for combined connections, and every subscriber gets the
same bytes.

An audience is subscribers with exactly the same subscriptions, at most `MAX_MEMBERS`.  Frames wait
per audience, in the order in which they were made, until `flush` joins them and gives each member one
write.  Audiences are written to in the order in which their first frames came, so a flush can stop
after any of them and continue later.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

from tickerplant.hub.channel import (
    MAX_MEMBERS,
    NO_CHANNELS,
    Audience,
    AudienceKey,
    Channel,
    Listener,
    Sent,
    Subscriber,
    Tap,
    Write,
)
from tickerplant.hub.delivery import (
    Backlog,
    DeliveryCounters,
    Message,
    MessageFilter,
    Published,
    push_all,
)
from tickerplant.hub.publishers import Publishers
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.protocol.delivery import EVERY, PLAIN, Delivery
from tickerplant.protocol.limits import LIMITS
from tickerplant.streams import first_listed
from tickerplant.streams.lookup import ListedMatch, Lookup, Match
from tickerplant.streams.stream import Stream

UNKNOWN_STREAM = "unknown stream"
UNKNOWN_SYMBOL = "unknown symbol"
WRONG_ROUTE = "wrong route"

CHUNK_BYTES = 1 << 14
"""What is written at once, approximately, of what waited for a subscriber: the rest can still be
replaced."""


class Demand(Protocol):
    """A source that is notified when a stream gets its first subscriber and loses its last.

    The hub calls it in the middle of a subscription: it may start and stop the passthrough of
    streams, but must not raise, subscribe or broadcast.
    """

    def opened(self, name: str) -> object:
        """Note that the stream `name` has its first subscriber.

        The hub decides afterwards whether to make its messages, so a passthrough that starts here
        counts.
        """

    def closed(self, name: str) -> object:
        """Note that the stream `name` has no subscriber any more."""


class Sender:
    """Sends the messages of one stream as the source has them, usually without a look-up.

    `Hub.sender` makes it; it stays valid for the lifetime of the hub.
    """

    __slots__ = ("_hub", "name", "queue")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name = name
        self.queue: Callable[[bytes], object] | None = None
        """Takes the frame of a message in its envelope.

        The hub sets it while all subscribers of the stream are one combined audience, or there are
        none.  While it is None, call `send`.  Read it again for each message."""

    def send(self, payload: bytes, envelope: bytes) -> None:
        """Send one message to all subscribers; `envelope` is `payload` in its envelope."""
        hub = self._hub
        hub.broadcast(self.name, payload, envelope)
        hub.open_queue(self)


class Hub:
    """The subscriptions of one venue."""

    max_members = MAX_MEMBERS
    """Most members of an audience."""

    def __init__(
        self, markets: Markets, timers: Timers, lookup: Lookup, *, strict_routing: bool = False
    ) -> None:
        self.markets = markets
        self.channels: dict[str, Channel] = {}
        """The streams that have subscribers, by name."""
        self.publishers = Publishers(markets, timers, self.channels)
        self.demand: Demand | None = None
        """Notified when a stream gets its first subscriber and loses its last."""
        self.accepts_unknown = False
        """Whether the source may know streams and symbols that are unknown here: then every name
        opens a channel, and no name is reported as silent because it is unknown."""
        self.silent_elsewhere: Mapping[str, str] | None = None
        """If the contracts are known elsewhere: why streams stay silent, by name, as far as it is
        known; None if they are known here."""
        self.wake: Callable[[], object] = _nothing
        """Called when the first frame waits; the server flushes soon after."""
        self.wakes = True
        """Whether `wake` is called; False while a source makes frames that it will flush itself."""
        self.messages_sent = self.bytes_sent = self.writes = 0
        """What was sent, and calls of subscribers' `write`: each takes all messages that waited."""
        self.silent: Counter[str] = Counter()
        """Subscriptions that were acknowledged and stay silent, by reason."""
        self._splits_routes = strict_routing and markets.profile.splits_routes(markets.venue)
        self._lookup = lookup
        self._unmuted: Mapping[str, Channel] = self.channels
        """The channels that messages are sent to; empty while the hub is muted."""
        self.audiences: dict[AudienceKey, Audience] = {}
        """The audiences that subscribers can join, at most one of those with the same subscriptions."""
        self.audience_of: dict[Subscriber, Audience] = {}
        """The audience of each subscriber."""
        self._differences: dict[Subscriber, Sent] = {}
        """What each subscriber was sent more than its audience has counted, less if negative: so
        a message is counted once for an audience, and not for each member."""
        self.backlogs: dict[Subscriber, Backlog] = {}
        """What waits for each subscriber that does not want every message."""
        self.filters: dict[Subscriber, MessageFilter] = {}
        """What changes the messages of each subscriber that does not get them as they are."""
        self.delivery_counters = DeliveryCounters()
        self.published: Callable[[], Published] = Published
        """Returns the times of a message that is published now, for stamps."""
        self.now_ns: Callable[[], int] = int
        """Returns the time in ns since 1970, for stamps."""
        self.time_s: Callable[[], float] = float
        """The clock by which it is measured how long messages wait."""
        self.on_written: Callable[[float], object] = _ignore
        """Called after writes with the longest time that a message waited for them."""
        self._queued_s = 0.0
        """The time of messages that are queued in this turn."""
        self.hash_name: Callable[[str], int] = hash
        """Makes the digests of audiences; equal hashes cost time only."""
        self._waiting: deque[Audience] = deque()
        """The audiences for which frames wait, those that wait longest first."""
        self._for_listeners: deque[tuple[Listener, bytes]] = deque()
        self._open_queues: list[Sender] = []

    # Messages

    def broadcast(self, name: str, payload: bytes, envelope: bytes = b"") -> None:
        """Send a message of the source as it is to the subscribers of `name`.

        Args:
            name: The stream.
            payload: The message as the source has it, without envelope.
            envelope: The same in its envelope, if the source has that too.
        """
        channel = self._unmuted.get(name)
        if channel is not None:
            channel.broadcast(payload, envelope)

    def sender(self, name: str) -> Sender:
        """Return a sender of many messages of the stream `name`, as they are."""
        return Sender(self, name)

    def open_queue(self, sender: Sender) -> None:
        """Let `sender` queue frames directly until the next flush or change of subscriptions.

        Does nothing if no frame waits yet, or if the stream has subscribers other than one
        combined audience.
        """
        channel = self._unmuted.get(sender.name)
        if channel is None:
            sender.queue = _discard
        elif len(channel.combined) == 1 and not (
            channel.raw or channel.selective or channel.listeners
        ):
            pending = next(iter(channel.combined)).pending
            if not pending:
                return
            sender.queue = pending.append
        else:
            return
        self._open_queues.append(sender)

    def _close_queues(self) -> None:
        for sender in self._open_queues:
            sender.queue = None
        self._open_queues.clear()

    def _queue_for(self, listener: Listener, payload: bytes) -> None:
        if self.wakes and not (self._waiting or self._for_listeners):
            self.wake()
        self._for_listeners.append((listener, payload))

    def _schedule(self, audience: Audience) -> None:
        """Write to `audience` at the next flush: its first frame waits."""
        if not self._waiting:
            self._queued_s = self.time_s()
            if self.wakes and not self._for_listeners:
                self.wake()
        audience.waits_since_s = self._queued_s
        self._waiting.append(audience)

    def flush(self) -> None:
        """Send the frames that wait, joined, in one write to each subscriber."""
        waiting, self._waiting = self._waiting, deque()
        if waiting:
            since_s = waiting[0].waits_since_s
            for audience in waiting:
                self._write(audience)
            self.on_written(self.time_s() - since_s)
        self._tell_listeners()

    def flush_some(self, most_writes: int) -> bool:
        """Send frames to the subscribers that have waited longest, and to all listeners.

        Args:
            most_writes: Stop after the audience in which so many writes are reached.

        Returns:
            Whether frames for other subscribers still wait.
        """
        waiting = self._waiting
        until = self.writes + most_writes
        if waiting:
            since_s = waiting[0].waits_since_s
            while waiting and self.writes < until:
                self._write(waiting.popleft())
            self._queued_s = now_s = self.time_s()
            self.on_written(now_s - since_s)
        if self._for_listeners:
            self._tell_listeners()
        return bool(waiting)

    def _tell_listeners(self) -> None:
        while self._for_listeners:  # a listener may flush itself, for example to keep an order
            listener, payload = self._for_listeners.popleft()
            if listener.is_open:
                listener.callback(listener.name, payload)

    def _write(self, audience: Audience) -> None:
        """Write to each member what waits for it."""
        if self._open_queues:
            self._close_queues()
        if audience.messages:
            messages, audience.messages = audience.messages, []
            members, late = audience.take_members()
            sent = self._write_messages(messages, audience, members)
            for each, skipped in late.items():
                one = {each: audience.members[each]}
                own = self._write_messages(messages[skipped:], audience, one)
                self._differences[each].add(own[0] - sent[0], own[1] - sent[1])
        elif audience.pending:
            frames, audience.pending = audience.pending, []
            if not audience.late:
                sent = self._write_frames(frames, tuple(audience.members.values()))
            else:
                members, late = audience.take_members()
                sent = self._write_frames(frames, members.values())
                for each, skipped in late.items():
                    own = self._write_frames(frames[skipped:], (audience.members[each],))
                    self._differences[each].add(own[0] - sent[0], own[1] - sent[1])
        else:
            return
        counted = audience.sent
        counted.messages += sent[0]
        counted.size_bytes += sent[1]

    def _write_to(self, subscriber: Subscriber, audience: Audience) -> None:
        """Write to a member what waits for it, before it leaves."""
        if len(audience.members) == 1:
            self._write(audience)
            return
        skipped = audience.late.get(subscriber, 0)
        write = audience.members[subscriber]
        difference = self._differences[subscriber]
        difference.add(*self._write_frames(audience.pending[skipped:], (write,)))
        one = {subscriber: write}
        difference.add(*self._write_messages(audience.messages[skipped:], audience, one))

    def _write_frames(self, frames: Sequence[bytes], writes: Collection[Write]) -> tuple[int, int]:
        """Write frames; return their number and size."""
        if not frames:
            return 0, 0
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        for write in writes:
            write(data)
        number, size_bytes = len(frames), len(data)
        self._count(len(writes), number, size_bytes)
        return number, size_bytes

    def _write_messages(
        self, messages: Sequence[Message], audience: Audience, members: Mapping[Subscriber, Write]
    ) -> tuple[int, int]:
        """Write messages to `members`; let them wait for those that are held.

        Returns:
            The number and size of the frames for those that got all messages as they are, 0 if
            nobody did; the differences of the others take that into account.
        """
        if not messages:
            return 0, 0
        combined = audience.combined
        write_ns = self.now_ns() if audience.delivery.is_stamped else None
        data = b""
        others: list[Subscriber] = []
        for member, write in members.items():
            filtered = self.filters.get(member)
            mine = messages if filtered is None else filtered(messages)
            backlog = self.backlogs.get(member)
            if backlog is not None and backlog.is_held:
                push_all(backlog, mine)
                others.append(member)
                continue
            if mine is not messages:
                frames = [each.frame(is_combined=combined, write_ns=write_ns) for each in mine]
                self._differences[member].add(*self._write_frames(frames, (write,)))
                others.append(member)
                continue
            data = data or b"".join(
                [each.frame(is_combined=combined, write_ns=write_ns) for each in messages]
            )
            write(data)
        if not data:
            return 0, 0
        number, size_bytes = len(messages), len(data)
        self._count(len(members) - len(others), number, size_bytes)
        for each in others:
            self._differences[each].add(-number, -size_bytes)
        return number, size_bytes

    def sent_to(self, subscriber: Subscriber) -> Sent:
        """Return what was sent to `subscriber` so far, as `messages_sent` and `bytes_sent` count it."""
        sent = Sent()
        audience = self.audience_of.get(subscriber)
        if audience is not None:
            for part in (audience.sent, self._differences[subscriber]):
                sent.add(part.messages, part.size_bytes)
        return sent

    def _count(self, writes: int, messages: int, size_bytes: int) -> None:
        """Count `writes` of the same messages."""
        self.writes += writes
        self.messages_sent += messages * writes
        self.bytes_sent += size_bytes * writes

    def hold(self, subscriber: Subscriber) -> None:
        """Let messages wait for `subscriber`, unless it wants every one at once."""
        backlog = self.backlogs.get(subscriber)
        if backlog is not None:
            backlog.is_held = True

    def release(self, subscriber: Subscriber) -> None:
        """Write what waited for `subscriber`, until it is held again, and later messages at once."""
        backlog = self.backlogs.get(subscriber)
        if backlog is None or not backlog.is_held:
            return
        backlog.is_held = False
        while backlog and not backlog.is_held:
            self._write_backlog(subscriber, backlog, CHUNK_BYTES)

    def drain(self, subscriber: Subscriber) -> None:
        """Write all that waited for `subscriber`, which is about to be removed, held or not."""
        backlog = self.backlogs.get(subscriber)
        while backlog:
            self._write_backlog(subscriber, backlog, backlog.size_bytes)

    def _write_backlog(self, subscriber: Subscriber, backlog: Backlog, most_bytes: int) -> None:
        audience = self.audience_of[subscriber]
        data, count = backlog.take(
            most_bytes,
            is_combined=audience.combined,
            write_ns=self.now_ns() if audience.delivery.is_stamped else None,
        )
        subscriber.write(data)
        self._count(1, count, len(data))
        self._differences[subscriber].add(count, len(data))

    def _clear_backlogs(self) -> None:
        for backlog in self.backlogs.values():
            backlog.clear()

    @property
    def is_muted(self) -> bool:
        """Whether nothing is sent; see `mute`."""
        return self.publishers.is_muted

    def mute(self) -> None:
        """Send the frames that wait, then nothing until `unmute`; forget what is in backlogs.

        Subscriptions can change in the meantime.
        """
        self.flush()
        self._clear_backlogs()
        self._close_queues()
        self.publishers.mute()
        self._unmuted = {}

    def unmute(self) -> None:
        """Send again, beginning with the next event."""
        if self.is_muted:
            self._close_queues()
            self._unmuted = self.channels
            self.publishers.unmute()

    def reset(self) -> None:
        """Send the frames that wait, stop all publishers and passthroughs; keep subscriptions.

        What is in backlogs is forgotten.  `publishers.relist` attaches publishers again.
        """
        self.flush()
        self._clear_backlogs()
        self.publishers.reset()

    # Subscriptions

    def subscribe(
        self, subscriber: Subscriber, names: Iterable[str], route: str = ""
    ) -> dict[str, str]:
        """Subscribe `subscriber` to the streams `names`, in addition to its other streams.

        Unknown names are not refused: the exchange acknowledges any name and stays silent.  A
        stream of a symbol that is not listed starts when the symbol is.

        Args:
            subscriber: The connection.
            names: Stream names.
            route: Path prefix of the connection: empty, `public`, `market` or `private`.

        Returns:
            The names that stay silent, each with the reason.
        """
        silent: dict[str, str] = {}
        audience = self.audience_of.get(subscriber)
        present: Mapping[str, Channel] = {} if audience is None else audience.channels
        route = (route or "public") if self._splits_routes else ""
        opened, added = self.channels, dict[str, Channel]()
        new: list[tuple[str, Channel, ListedMatch | None]] = []
        for name in names:
            channel = opened.get(name) or added.get(name)
            stream: Stream | None
            match = reason = None
            if channel is not None and channel.publisher is not None:
                stream = channel.publisher.stream
            else:
                matches = self._lookup.matches(name) if channel is None else channel.matches
                match = first_listed(self.markets, matches)
                stream, reason = self._judge(name, matches, match)
            if route and stream is not None and stream.route != route:
                reason = WRONG_ROUTE
            if reason is not None:
                silent[name] = reason
                if reason != UNKNOWN_SYMBOL:
                    continue
            if channel is None:
                channel = self._new_channel(name, matches)
                new.append((name, channel, match))
            if name not in present:
                added[name] = channel
        self.silent.update(silent.values())
        self._open_channels(new)
        if added:
            self._change(subscriber, audience, added=added)
        return silent

    def _judge(
        self, name: str, matches: Sequence[Match], match: ListedMatch | None
    ) -> tuple[Stream | None, str | None]:
        """Return the stream that a name refers to, and why it stays silent; None if unknown."""
        if match is not None:
            return match[0], None
        stream = matches[0][0] if matches else None
        if self.accepts_unknown or name in self.publishers.passthrough:
            return stream, None  # its messages can come from the source
        if self.silent_elsewhere is not None and stream is not None:
            return stream, self.silent_elsewhere.get(name)
        return stream, UNKNOWN_STREAM if stream is None else UNKNOWN_SYMBOL

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Unsubscribe `subscriber` from `names`; frames that already wait are still sent."""
        audience = self.audience_of.get(subscriber)
        if audience is None:
            return
        present = audience.channels
        removed = {name: present[name] for name in names if name in present}
        if removed:
            self._change(subscriber, audience, removed=removed)
            if subscriber in self.backlogs:
                self.backlogs[subscriber].forget(removed)

    def set_combined(self, subscriber: Subscriber, combined: bool) -> None:
        """Send later messages to `subscriber` in the combined envelope, or without it."""
        audience = self.audience_of.get(subscriber)
        if combined != (audience is not None and audience.combined):
            self._change(subscriber, audience, combined=combined)

    def set_delivery(
        self,
        subscriber: Subscriber,
        delivery: Delivery,
        *,
        max_backlog_bytes: int = LIMITS.max_backlog_bytes,
    ) -> None:
        """Deliver later messages to `subscriber` in another way; what waits for it is forgotten."""
        audience = self.audience_of.get(subscriber)
        delivery = delivery._replace(is_filtered=subscriber in self.filters)
        if delivery != (PLAIN if audience is None else audience.delivery):
            self._change(subscriber, audience, delivery=delivery)
        self.backlogs.pop(subscriber, None)
        if delivery.policy != EVERY:
            counters = self.delivery_counters
            self.backlogs[subscriber] = Backlog(max_backlog_bytes, counters)

    def set_filter(self, subscriber: Subscriber, message_filter: MessageFilter | None) -> None:
        """Let later messages to `subscriber` pass a filter; what waits is written first.

        Only its own messages are made for it alone; all others still share theirs.

        Args:
            subscriber: The connection.
            message_filter: The filter, in the place of the present one; None delivers messages as
                they are.
        """
        audience = self.audience_of.get(subscriber)
        present = PLAIN if audience is None else audience.delivery
        delivery = present._replace(is_filtered=message_filter is not None)
        if delivery != present:
            self._change(subscriber, audience, delivery=delivery)
        elif audience is not None:
            self._write(audience)
        if message_filter is None:
            self.filters.pop(subscriber, None)
        else:
            self.filters[subscriber] = message_filter

    def write_past_filter(self, subscriber: Subscriber, messages: Iterable[Message]) -> None:
        """Deliver messages that a filter withheld, after what waits; not to be called by a filter.

        Those of streams that `subscriber` is not subscribed to any more are dropped.
        """
        audience = self.audience_of.get(subscriber)
        if audience is None:
            return
        self._write(audience)
        mine = [each for each in messages if each.stream.name in audience.channels]
        backlog = self.backlogs.get(subscriber)
        if backlog is not None and backlog.is_held:
            push_all(backlog, mine)
            return
        write_ns = self.now_ns() if audience.delivery.is_stamped else None
        combined = audience.combined
        frames = [each.frame(is_combined=combined, write_ns=write_ns) for each in mine]
        self._differences[subscriber].add(*self._write_frames(frames, (subscriber.write,)))

    def rewire(self, subscriber: Subscriber) -> None:
        """Give later frames to what `subscriber.write` is now; what waits is written first."""
        audience = self.audience_of.get(subscriber)
        if audience is not None:
            self._write(audience)
            audience.members[subscriber] = subscriber.write

    def remove(self, subscriber: Subscriber) -> None:
        """Remove `subscriber` and its subscriptions; nothing is written to it any more."""
        audience = self.audience_of.pop(subscriber, None)
        self.backlogs.pop(subscriber, None)
        self.filters.pop(subscriber, None)
        if audience is not None:
            self._close_queues()
            self._leave(subscriber, audience)
            del self._differences[subscriber]

    def _change(
        self,
        subscriber: Subscriber,
        old: Audience | None,
        *,
        added: Mapping[str, Channel] = NO_CHANNELS,
        removed: Mapping[str, Channel] = NO_CHANNELS,
        combined: bool | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        """Move `subscriber` to the audience of its new subscriptions; write what waits for it first.

        Args:
            subscriber: The connection.
            old: Its audience; None if it has none yet.
            added: Open channels that it was not subscribed to.
            removed: Channels that it was subscribed to.
            combined: Whether it wants the envelope from now on; None if that does not change.
            delivery: What it wants from now on; None if that does not change.
        """
        digest = 0
        self._close_queues()
        if old is not None:
            self._write_to(subscriber, old)
            digest = old.digest
            if combined is None:
                combined = old.combined
            if delivery is None:
                delivery = old.delivery
        for name in (*added, *removed):
            digest ^= self.hash_name(name)
        key = (digest, bool(combined), delivery or PLAIN)
        found = self.audiences.get(key)
        if found is None and old is not None and len(old.members) == 1 and old.key[1:] == key[1:]:
            self._change_in_place(old, digest, added, removed)
            return
        channels = {**old.channels, **added} if old is not None else dict(added)
        for name in removed:
            del channels[name]
        if found is None or found.channels != channels:
            found = Audience(channels, *key)
            self.audiences.setdefault(found.key, found)
            for channel in channels.values():
                channel.add(found)
        self._join(subscriber, found)
        if old is not None:
            self._leave(subscriber, old)

    def _change_in_place(
        self,
        audience: Audience,
        digest: int,
        added: Mapping[str, Channel],
        removed: Mapping[str, Channel],
    ) -> None:
        """Change the subscriptions of an audience of one, at a cost proportional to the change."""
        self._close_to_others(audience)
        for name, channel in removed.items():
            del audience.channels[name]
            self._part(audience, channel)
        audience.channels.update(added)
        for channel in added.values():
            channel.add(audience)
        audience.digest = digest
        if self.max_members > 1:
            self.audiences.setdefault(audience.key, audience)

    def _join(self, subscriber: Subscriber, audience: Audience) -> None:
        audience.join(subscriber)
        self.audience_of[subscriber] = audience
        counted = audience.sent
        difference = self._differences.setdefault(subscriber, Sent())
        difference.add(-counted.messages, -counted.size_bytes)
        if len(audience.members) == self.max_members:
            self._close_to_others(audience)

    def _leave(self, subscriber: Subscriber, audience: Audience) -> None:
        audience.leave(subscriber)
        counted = audience.sent
        self._differences[subscriber].add(counted.messages, counted.size_bytes)
        if audience.members:
            offered = self.audiences.setdefault(audience.key, audience)
            if len(offered.members) > len(audience.members):
                self.audiences[audience.key] = audience  # so that audiences fill up evenly
            return
        self._close_to_others(audience)
        for channel in audience.channels.values():
            self._part(audience, channel)

    def _close_to_others(self, audience: Audience) -> None:
        """Let nobody join `audience`; its key may belong to another one if their digests collide."""
        if self.audiences.get(audience.key) is audience:
            del self.audiences[audience.key]

    def _part(self, audience: Audience, channel: Channel) -> None:
        channel.remove(audience)
        self._close_if_unused(channel)

    # Listeners

    def listen(self, name: str, callback: Callable[[str, bytes], object]) -> Listener:
        """Call `callback` with the name and payload of each message of `name`, at each flush.

        Messages of several streams arrive in the order in which they were made.  Routes do not
        matter here, and nothing is counted as sent.

        Args:
            name: The stream.
            callback: May listen to other streams and flush, but must not raise.

        Returns:
            A listener to close.
        """
        listener = Listener(name, callback, self._queue_for, self._remove_listener)
        self._channel_to_hear(name).listeners[listener] = None
        return listener

    def tap(self, name: str, take: Callable[[bytes, bytes], object]) -> Tap:
        """Call `take` with each message of `name` at once, when it is made.

        Args:
            name: The stream.
            take: Takes the payload and, if the source gave one, its envelope.  Must neither raise
                nor change subscriptions.

        Returns:
            A tap to close.
        """
        tap = Tap(name, take, self._remove_listener)
        self._channel_to_hear(name).listeners[tap] = None
        return tap

    def why_silent(self, name: str) -> str | None:
        """Return why a subscription of `name` would stay silent now; None if it would not."""
        channel = self.channels.get(name)
        if channel is not None and channel.publisher is not None:
            return None
        matches = self._lookup.matches(name) if channel is None else channel.matches
        return self._judge(name, matches, first_listed(self.markets, matches))[1]

    def _channel_to_hear(self, name: str) -> Channel:
        """Return the channel of `name`, opened if necessary, whose listeners may change."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self._new_channel(name, self._lookup.matches(name))
            match = first_listed(self.markets, channel.matches)
            self._open_channels([(name, channel, match)])
        self._close_queues()
        return channel

    def _remove_listener(self, listener: Listener | Tap) -> None:
        channel = self.channels[listener.name]
        del channel.listeners[listener]
        self._close_if_unused(channel)

    # Channels

    def _new_channel(self, name: str, matches: Sequence[Match]) -> Channel:
        return Channel(name, matches, self._schedule, self._published_now)

    def _published_now(self) -> Published:
        return self.published()

    def _open_channels(self, new: list[tuple[str, Channel, ListedMatch | None]]) -> None:
        """Open channels, each with its name and what it refers to, in the order of the names."""
        new.sort(key=_name_of)
        for name, channel, match in new:
            self.channels[name] = channel
            if self.demand is not None:
                self.demand.opened(name)
            if match is not None:
                self.publishers.attach(channel, match)

    def _close_if_unused(self, channel: Channel) -> None:
        if channel.is_used:
            return
        del self.channels[channel.name]
        self.publishers.detach(channel)
        if self.demand is not None:
            self.demand.closed(channel.name)


_name_of = itemgetter(0)


def _nothing() -> None:
    """Do nothing."""


def _ignore(_waited_s: float) -> None:
    """Ignore a time."""


def _discard(_frame: bytes) -> None:
    """Ignore a frame of a stream without subscribers."""
