"""Who hears what: channels, audiences and their frames.

A channel is one stream that somebody is subscribed to; it exists only as long as somebody is, and
a message is built only for a channel that exists.  It is encoded once, framed once for raw and
once for combined connections, and the same bytes go to everybody.

An audience is all subscribers with exactly the same subscriptions.  Frames wait per audience, in
the order in which they were made, until `flush` joins them and gives each member one write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol, TypeAlias

import msgspec

from tickerplant.events import Event
from tickerplant.frames import HEADERS
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.streams import LOOKUPS, meant
from tickerplant.streams.lookup import Meaning, Reading
from tickerplant.streams.publisher import ALL, Publisher
from tickerplant.streams.stream import Stream

UNKNOWN_STREAM = "unknown stream"
UNKNOWN_SYMBOL = "unknown symbol"
WRONG_ROUTE = "wrong route"


class Subscriber(Protocol):
    """A connection, as far as the hub knows it."""

    def write(self, data: bytes) -> object:
        """Take whole frames, to be sent in order; never raises, even if nothing can be sent.

        Everybody is written to in one go, so one that raised would cost the others their data.
        """
        ...


class Demand(Protocol):
    """Who wants to know which streams are heard: a source that gets them only when they are.

    It is told in the middle of a subscription: it may call `start_passthrough` and `stop_passthrough`, and raises
    nothing, subscribes nobody and passes nothing on.
    """

    def opened(self, name: str) -> object:
        """Somebody listens to `name`, and nobody did.

        Whether its messages are made here is decided afterwards, so that `start_passthrough` still counts.
        """
        ...

    def closed(self, name: str) -> object:
        """Nobody listens to `name` any more."""
        ...


NO_CHANNELS: Mapping[str, Channel] = {}
Key: TypeAlias = tuple[int, bool]
"""What the audiences with the same subscriptions have in common: see `Audience.digest`."""


class Audience:
    """Subscribers with the same subscriptions, and the frames that wait for them."""

    __slots__ = ("channels", "combined", "digest", "members", "pending")

    def __init__(self, channels: dict[str, Channel], digest: int, combined: bool) -> None:
        self.channels = channels
        """Those of the streams that its members are subscribed to, by name."""
        self.digest = digest
        """The hashes of these names, combined by exclusive or.

        It follows each change in one step, whatever the order of the changes.  Equal digests are
        only a hint that the names are the same.  A client cannot make others at will: Python
        salts its hashes of texts, in every process with another salt."""
        self.combined = combined
        self.members: dict[Subscriber, None] = {}
        self.pending: list[bytes] = []

    @property
    def key(self) -> Key:
        """What it is looked for by."""
        return self.digest, self.combined

    @property
    def has_one_member(self) -> bool:
        """Whether no other subscriber has the same subscriptions."""
        return len(self.members) == 1

    def join(self, channel: Channel) -> None:
        """Take the messages of `channel`."""
        (channel.combined if self.combined else channel.raw)[self] = None

    def part(self, channel: Channel) -> None:
        """Take the messages of `channel` no longer."""
        del (channel.combined if self.combined else channel.raw)[self]


class Channel:
    """One stream that is heard: its audiences and the envelope they see it in."""

    __slots__ = ("_expect", "_prefix", "combined", "name", "publisher", "raw", "readings")

    def __init__(
        self, name: str, readings: Sequence[Reading], expect: Callable[[Audience], object]
    ) -> None:
        self.name = name
        self.raw: dict[Audience, None] = {}
        self.combined: dict[Audience, None] = {}
        self.publisher: Publisher | None = None
        """What makes the channel's messages; None when the source delivers them itself."""
        self.readings = readings
        """What the name may mean; read once, because meanings are looked up at every listing."""
        self._expect = expect
        self._prefix = b""

    def send(self, payload: bytes, combined: bytes = b"") -> None:
        """Put one message before everybody who is subscribed; `combined` is it in its envelope."""
        if self.raw:
            frame = HEADERS[len(payload)] + payload
            for audience in self.raw:
                pending = audience.pending
                if not pending:
                    self._expect(audience)
                pending.append(frame)
        if self.combined:
            text = combined or b"%b%b}" % (self._prefix or self._make_prefix(), payload)
            frame = HEADERS[len(text)] + text
            for audience in self.combined:
                pending = audience.pending
                if not pending:
                    self._expect(audience)
                pending.append(frame)

    def _make_prefix(self) -> bytes:
        self._prefix = b'{"stream":%b,"data":' % msgspec.json.encode(self.name)
        return self._prefix


class Sender:
    """Sends the messages of one stream as the source has them, often without a look-up.

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

    def send(self, payload: bytes, combined: bytes) -> None:
        """Send one message to all subscribers; `combined` is `payload` in its envelope."""
        hub = self._hub
        hub.pass_on(self.name, payload, combined)
        hub.open_queue(self)


class Hub:
    """The subscriptions of one venue.

    Args:
        markets: The venue's markets, to which stream names refer.
        timers: The market clock, for streams that have a pace.
        strict_routing: Deliver a stream only on the path that the profile gives it.
    """

    def __init__(self, markets: Markets, timers: Timers, *, strict_routing: bool = False) -> None:
        self.markets = markets
        self.timers = timers
        self.passthrough: set[str] = set()
        """Names of streams whose messages the source delivers itself."""
        self.demand: Demand | None = None
        """Is told when a stream begins to be heard, and when it ends to be."""
        self.open_ended = False
        """Whether the source may know streams and symbols that are not known here: every name is
        opened then, and none is said to stay silent because it is unknown."""
        self.channels: dict[str, Channel] = {}
        """Those that are sent on; it is the same dictionary always."""
        self._publishers = 0
        self.is_muted = False
        """Whether nothing is sent; see `mute`."""
        self._muted: dict[str, Channel] = {}
        """The channels that are heard while nothing is sent."""
        self.wake: Callable[[], object] = _nothing
        """Called when a frame begins to wait; whoever does the input and output flushes then."""
        self.messages_sent = 0
        self.bytes_sent = 0
        self.silent: Counter[str] = Counter()
        """Subscriptions that were acknowledged and stay silent, by reason."""
        profile, venue = markets.profile, markets.venue
        self._splits_routes = strict_routing and profile.splits_routes(venue)
        self._lookup = LOOKUPS[venue.name]
        self._audiences: dict[Key, Audience] = {}
        """Those that can be joined."""
        self._audience_of: dict[Subscriber, Audience] = {}
        self._waiting: list[Audience] = []
        self._open_queues: list[Sender] = []
        self._listeners: dict[type, dict[str, list[Publisher]]] = {}

    # What happens

    def feed(self, market: Market, event: Event) -> None:
        """Give `event` to the channels that follow it."""
        by_topic = self._listeners.get(type(event))
        if by_topic is None:
            return
        for publisher in by_topic.get(market.symbol, ()):
            publisher.feed(market, event)
        for publisher in by_topic.get(ALL, ()):
            publisher.feed(market, event)

    @property
    def derives(self) -> bool:
        """Whether messages are made here and sent: because somebody is subscribed to them."""
        return self._publishers > 0

    def listens(self, kind: type, symbol: str) -> bool:
        """Whether a channel follows events of `kind` of `symbol`."""
        by_topic = self._listeners.get(kind)
        return by_topic is not None and (symbol in by_topic or ALL in by_topic)

    def pass_on(self, name: str, payload: bytes, combined: bytes = b"") -> None:
        """Send a message of the source as it is to the subscribers of `name`.

        Args:
            name: The stream.
            payload: The message as the source has it, without envelope.
            combined: The same in its envelope, if the source has that too.
        """
        channel = self.channels.get(name)
        if channel is not None:
            channel.send(payload, combined)

    def sender(self, name: str) -> Sender:
        """Return what sends many messages of the stream `name` as they are."""
        return Sender(self, name)

    def open_queue(self, sender: Sender) -> None:
        """Let `sender` queue frames directly until the next flush or change of subscriptions.

        Does nothing if no frame waits yet, if the stream has several audiences, or if one takes
        it without envelope.
        """
        channel = self.channels.get(sender.name)
        if channel is None:
            sender.queue = _discard
        elif not channel.raw and len(channel.combined) == 1:
            pending = next(iter(channel.combined)).pending
            if not pending:
                return
            sender.queue = pending.append
        self._open_queues.append(sender)

    def _close_queues(self) -> None:
        """Take the queues from all senders."""
        for sender in self._open_queues:
            sender.queue = None
        self._open_queues.clear()

    def expect(self, audience: Audience) -> None:
        """Write to `audience` at the next flush: a frame begins to wait for it."""
        if not self._waiting:
            self.wake()
        self._waiting.append(audience)

    def flush(self) -> None:
        """Write what waits, joined, once to each subscriber."""
        self._close_queues()
        waiting, self._waiting = self._waiting, []
        for audience in waiting:
            self._write(audience)

    def _write(self, audience: Audience) -> None:
        frames, audience.pending = audience.pending, []
        if not frames:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        members = tuple(audience.members)
        for member in members:
            member.write(data)
        self.messages_sent += len(frames) * len(members)
        self.bytes_sent += len(data) * len(members)

    def mute(self) -> None:
        """Send what waits and then nothing, whatever happens, until `unmute`.

        Who subscribes or unsubscribes meanwhile is taken note of.
        """
        self.flush()
        for channel in self.channels.values():
            self._silence(channel)
        self._muted.update(self.channels)
        self.channels.clear()
        self.is_muted = True

    def unmute(self) -> None:
        """Send again, beginning with what happens next."""
        if not self.is_muted:
            return
        self.is_muted = False
        self._close_queues()
        self.channels.update(self._muted)
        self._muted.clear()
        self.relist()

    def forget(self) -> None:
        """Begin anew: send what waits, make no messages, expect none from the source.

        Subscriptions stay; `relist` gives them voices again.
        """
        self.flush()
        for channel in self.channels.values():
            self._silence(channel)
        self.passthrough.clear()

    def relist(self) -> None:
        """Follow the contracts that names mean since contracts have changed."""
        for channel in self.channels.values():
            if channel.publisher is not None and not channel.publisher.is_current:
                self._silence(channel)
            if channel.publisher is None:
                self._voice(channel)

    def start_passthrough(self, name: str) -> None:
        """Expect the messages of the stream `name` from the source; make none any more."""
        self.passthrough.add(name)
        channel = self.channels.get(name)
        if channel is not None:
            self._silence(channel)

    def stop_passthrough(self, name: str) -> None:
        """Expect the stream `name` from the source no longer; make its messages if they can be."""
        self.passthrough.discard(name)
        channel = self.channels.get(name)
        if channel is not None and channel.publisher is None:
            self._voice(channel)

    # Who listens

    def subscribe(
        self, subscriber: Subscriber, names: Iterable[str], route: str = ""
    ) -> dict[str, str]:
        """Let `subscriber` hear the streams `names` from now on, besides what it hears already.

        A name that is no stream of this venue is not refused (the exchange acknowledges any name
        and stays silent); one of a symbol that is not listed is heard once it is.  An open-ended
        hub takes either for something that the source may know.

        Args:
            subscriber: Who will hear.
            names: Stream names.
            route: Path prefix of the connection: empty, `public`, `market` or `private`.

        Returns:
            The names that will stay silent, each with the reason.
        """
        silent: dict[str, str] = {}
        audience = self._audience_of.get(subscriber)
        present: Mapping[str, Channel] = {} if audience is None else audience.channels
        route = (route or "public") if self._splits_routes else ""
        opened, added = self._opened, dict[str, Channel]()
        new: list[tuple[str, Channel, Meaning | None]] = []
        for name in names:
            channel = opened.get(name) or added.get(name)
            stream: Stream | None
            meaning = reason = None
            if channel is not None and channel.publisher is not None:
                stream = channel.publisher.stream
            else:
                readings = self._lookup.readings(name) if channel is None else channel.readings
                meaning = meant(self.markets, readings)
                stream, reason = self._judge(name, readings, meaning)
            if route and stream is not None and stream.route != route:
                reason = WRONG_ROUTE
            if reason is not None:
                silent[name] = reason
                if reason != UNKNOWN_SYMBOL:
                    continue
            if channel is None:
                channel = Channel(name, readings, self.expect)
                new.append((name, channel, meaning))
            if name not in present:
                added[name] = channel
        self.silent.update(silent.values())
        self._open_channels(new)
        if added:
            self._change(subscriber, audience, added=added)
        return silent

    def _judge(
        self, name: str, readings: Sequence[Reading], meaning: Meaning | None
    ) -> tuple[Stream | None, str | None]:
        """Return what stream a name is, if it is one, and why it is silent, if it is."""
        if meaning is not None:
            return meaning[0], None
        stream = readings[0][0] if readings else None
        if self.open_ended or name in self.passthrough:  # its messages can come from the source
            return stream, None
        return stream, UNKNOWN_STREAM if stream is None else UNKNOWN_SYMBOL

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Let `subscriber` no longer hear `names`; what already waits is still sent."""
        audience = self._audience_of.get(subscriber)
        if audience is None:
            return
        present = audience.channels
        removed = {name: present[name] for name in names if name in present}
        if removed:
            self._change(subscriber, audience, removed=removed)

    def set_combined(self, subscriber: Subscriber, combined: bool) -> None:
        """Wrap what `subscriber` hears from now on in the combined envelope, or stop to."""
        audience = self._audience_of.get(subscriber)
        if combined != (audience is not None and audience.combined):
            self._change(subscriber, audience, combined=combined)

    def drop(self, subscriber: Subscriber) -> None:
        """Forget `subscriber`; nothing is written to it any more."""
        audience = self._audience_of.pop(subscriber, None)
        if audience is not None:
            self._close_queues()
            self._leave(subscriber, audience)

    def _change(
        self,
        subscriber: Subscriber,
        old: Audience | None,
        *,
        added: Mapping[str, Channel] = NO_CHANNELS,
        removed: Mapping[str, Channel] = NO_CHANNELS,
        combined: bool | None = None,
    ) -> None:
        """Let `subscriber`, a member of `old`, take other messages; what waits for it goes out first.

        Args:
            subscriber: Who changes.
            old: Its audience, None if it has none yet.
            added: Open channels that it hears from now on, and did not.
            removed: Channels that it heard, and no longer does.
            combined: Whether it wants the envelope from now on; None leaves that.
        """
        digest = 0
        self._close_queues()
        if old is not None:
            self._write(old)
            digest = old.digest
            if combined is None:
                combined = old.combined
        for name in added:
            digest ^= hash(name)
        for name in removed:
            digest ^= hash(name)
        found = self._audiences.get((digest, bool(combined)))
        if found is None and old is not None and old.has_one_member and old.combined == combined:
            self._change_alone(old, digest, added, removed)
            return
        channels = {**old.channels, **added} if old is not None else dict(added)
        for name in removed:
            del channels[name]
        if found is None or found.channels != channels:
            found = Audience(channels, digest, bool(combined))
            self._audiences.setdefault(found.key, found)
            for channel in channels.values():
                found.join(channel)
        self._write(found)
        found.members[subscriber] = None
        self._audience_of[subscriber] = found
        if old is not None:
            self._leave(subscriber, old)

    def _change_alone(
        self,
        audience: Audience,
        digest: int,
        added: Mapping[str, Channel],
        removed: Mapping[str, Channel],
    ) -> None:
        """Let an audience of one take other messages; the work is that of the change alone."""
        self._forget_key(audience)
        for name, channel in removed.items():
            del audience.channels[name]
            self._part(audience, channel)
        audience.channels.update(added)
        for channel in added.values():
            audience.join(channel)
        audience.digest = digest
        self._audiences.setdefault(audience.key, audience)

    def _leave(self, subscriber: Subscriber, audience: Audience) -> None:
        del audience.members[subscriber]
        if audience.members:
            return
        self._forget_key(audience)
        for channel in audience.channels.values():
            self._part(audience, channel)

    def _forget_key(self, audience: Audience) -> None:
        """Let nobody join `audience` any more; another may have its key, if digests are the same."""
        if self._audiences.get(audience.key) is audience:
            del self._audiences[audience.key]

    def _part(self, audience: Audience, channel: Channel) -> None:
        audience.part(channel)
        if not (channel.raw or channel.combined):
            self._close_channel(channel)

    @property
    def _opened(self) -> dict[str, Channel]:
        """The channels that somebody is subscribed to."""
        return self._muted if self.is_muted else self.channels

    def _open_channels(self, new: list[tuple[str, Channel, Meaning | None]]) -> None:
        """Open channels, each with its name and what it is about, in the order of the names."""
        new.sort(key=_name_of)
        opened = self._opened
        for name, channel, meaning in new:
            opened[name] = channel
            if self.demand is not None:
                self.demand.opened(name)
            if meaning is not None and not self.is_muted and name not in self.passthrough:
                self._publish(channel, meaning)

    def _voice(self, channel: Channel) -> None:
        """Give `channel` a publisher, if its messages are made here and it is about anything yet."""
        if channel.name in self.passthrough:
            return
        meaning = meant(self.markets, channel.readings)
        if meaning is not None:
            self._publish(channel, meaning)

    def _publish(self, channel: Channel, meaning: Meaning) -> None:
        """Make the messages of `channel` from now on."""
        publisher = Publisher(meaning, self.markets, self.timers, channel.send)
        channel.publisher = publisher
        self._publishers += 1
        topic = publisher.topic
        for kind in publisher.stream.on:
            by_topic = self._listeners.get(kind)
            if by_topic is None:
                by_topic = self._listeners[kind] = {}
            publishers = by_topic.get(topic)
            if publishers is None:
                by_topic[topic] = [publisher]
            else:
                publishers.append(publisher)

    def _close_channel(self, channel: Channel) -> None:
        del self._opened[channel.name]
        self._silence(channel)
        if self.demand is not None:
            self.demand.closed(channel.name)

    def _silence(self, channel: Channel) -> None:
        """Take the publisher from `channel`."""
        publisher, channel.publisher = channel.publisher, None
        if publisher is None:
            return
        publisher.stop()
        self._publishers -= 1
        for kind in publisher.stream.on:
            by_topic = self._listeners[kind]
            publishers = by_topic[publisher.topic]
            publishers.remove(publisher)
            if not publishers:
                del by_topic[publisher.topic]
                if not by_topic:
                    del self._listeners[kind]


_name_of = itemgetter(0)


def _nothing() -> None:
    """Wake nobody."""


def _discard(_frame: bytes) -> None:
    """Queue a frame of a stream without subscribers."""
