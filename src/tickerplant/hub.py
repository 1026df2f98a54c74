"""Who hears what: channels, audiences and their frames.

A channel is one stream that somebody is subscribed to; it exists only as long as somebody is, and
a message is built only for a channel that exists.  It is encoded once, framed once for raw and
once for combined connections, and the same bytes go to everybody.

An audience is all subscribers with exactly the same subscriptions.  Frames wait per audience, in
the order in which they were made, until `flush` joins them and gives each member one write.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, MutableSequence
from typing import Protocol, TypeAlias

import msgspec

from tickerplant.events import Event
from tickerplant.frames import HEADERS
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.streams import find, meant, readings
from tickerplant.streams.publisher import ALL, Publisher

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

    It is told in the middle of a subscription: it may call `deliver` and `withdraw`, and raises
    nothing, subscribes nobody and passes nothing on.
    """

    def opened(self, name: str) -> object:
        """Somebody listens to `name`, and nobody did.

        Whether its messages are made here is decided afterwards, so that `deliver` still counts.
        """
        ...

    def closed(self, name: str) -> object:
        """Nobody listens to `name` any more."""
        ...


Frames: TypeAlias = MutableSequence[bytes]
"""Frames that wait to be sent, in order."""
NOWHERE: Frames = deque(maxlen=0)
"""Where the frames wait that nobody will get."""

Key: TypeAlias = tuple[frozenset[str], bool]
_NOTHING: Key = (frozenset(), False)


class Audience:
    """Subscribers with the same subscriptions, and the frames that wait for them."""

    __slots__ = ("channels", "combined", "key", "members", "pending")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.combined = key[1]
        self.members: dict[Subscriber, None] = {}
        self.channels: list[Channel] = []
        self.pending: list[bytes] = []


class Channel:
    """One stream that is heard: its audiences and the envelope they see it in."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.name = name
        self.raw: list[Audience] = []
        self.combined: list[Audience] = []
        self.publisher: Publisher | None = None
        """What makes the channel's messages; None when the source delivers them itself."""
        self.readings = readings(hub.markets.venue, name)
        """What the name may mean; read once, because meanings are looked up at every listing."""
        self._expect = hub.expect
        self._prefix = b'{"stream":%b,"data":' % msgspec.json.encode(name)

    @property
    def heard(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self.raw or self.combined)

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
            text = combined or b"%b%b}" % (self._prefix, payload)
            frame = HEADERS[len(text)] + text
            for audience in self.combined:
                pending = audience.pending
                if not pending:
                    self._expect(audience)
                pending.append(frame)


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
        self.strict_routing = strict_routing
        self.verbatim: set[str] = set()
        """Names of streams whose messages the source delivers itself."""
        self.demand: Demand | None = None
        """Is told when a stream begins to be heard, and when it ends to be."""
        self.open_ended = False
        """Whether the source may know streams and symbols that are not known here: every name is
        opened then, and none is said to stay silent because it is unknown."""
        self.channels: dict[str, Channel] = {}
        """Those that are sent on; it is the same dictionary always."""
        self._publishers = 0
        self.is_hushed = False
        """Whether nothing is sent; see `hush`."""
        self._hushed: dict[str, Channel] = {}
        """The channels that are heard while nothing is sent."""
        self.wake: Callable[[], object] = _nothing
        """Called when a frame begins to wait; whoever does the input and output flushes then."""
        self.messages_sent = 0
        self.bytes_sent = 0
        self.silent: Counter[str] = Counter()
        """Subscriptions that were acknowledged and stay silent, by reason."""
        self._audiences: dict[Key, Audience] = {}
        self._audience_of: dict[Subscriber, Audience] = {}
        self._waiting: list[Audience] = []
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

    def frames_of(self, name: str) -> Frames | None:
        """Return where the frames of the stream `name` wait: who has many adds them there himself.

        Each is of a message in its envelope.  It holds until somebody subscribes or unsubscribes,
        and until `flush`.  None if they have to be sent one by one: because nothing waits yet,
        several audiences hear the stream, or one hears it without envelope.
        """
        channel = self.channels.get(name)
        if channel is None:
            return NOWHERE
        if channel.raw or len(channel.combined) != 1:
            return None
        return channel.combined[0].pending or None

    def expect(self, audience: Audience) -> None:
        """Write to `audience` at the next flush: a frame begins to wait for it."""
        if not self._waiting:
            self.wake()
        self._waiting.append(audience)

    def flush(self) -> None:
        """Write what waits, joined, once to each subscriber."""
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

    def hush(self) -> None:
        """Send what waits and then nothing, whatever happens, until `speak`.

        Who subscribes or unsubscribes meanwhile is taken note of.
        """
        self.flush()
        for channel in self.channels.values():
            self._silence(channel)
        self._hushed.update(self.channels)
        self.channels.clear()
        self.is_hushed = True

    def speak(self) -> None:
        """Send again, beginning with what happens next."""
        if not self.is_hushed:
            return
        self.is_hushed = False
        self.channels.update(self._hushed)
        self._hushed.clear()
        self.relist()

    def forget(self) -> None:
        """Begin anew: send what waits, make no messages, expect none from the source.

        Subscriptions stay; `relist` gives them voices again.
        """
        self.flush()
        for channel in self.channels.values():
            self._silence(channel)
        self.verbatim.clear()

    def relist(self) -> None:
        """Follow the contracts that names mean since contracts have changed."""
        for channel in self.channels.values():
            if channel.publisher is not None and not channel.publisher.is_current:
                self._silence(channel)
            if channel.publisher is None:
                self._voice(channel)

    def deliver(self, name: str) -> None:
        """Expect the messages of the stream `name` from the source; make none any more."""
        self.verbatim.add(name)
        channel = self.channels.get(name)
        if channel is not None:
            self._silence(channel)

    def withdraw(self, name: str) -> None:
        """Expect the stream `name` from the source no longer; make its messages if they can be."""
        self.verbatim.discard(name)
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
        present, combined = self._key(subscriber)
        heard = set(present)
        for name in names:
            reason = self._why_silent(name, route)
            if reason in {None, UNKNOWN_SYMBOL}:
                heard.add(name)
            if reason is not None:
                silent[name] = reason
                self.silent[reason] += 1
        self._move(subscriber, (frozenset(heard), combined))
        return silent

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Let `subscriber` no longer hear `names`; what already waits is still sent."""
        present, combined = self._key(subscriber)
        self._move(subscriber, (present.difference(names), combined))

    def set_combined(self, subscriber: Subscriber, combined: bool) -> None:
        """Wrap what `subscriber` hears from now on in the combined envelope, or stop to."""
        self._move(subscriber, (self._key(subscriber)[0], combined))

    def drop(self, subscriber: Subscriber) -> None:
        """Forget `subscriber`; nothing is written to it any more."""
        audience = self._audience_of.pop(subscriber, None)
        if audience is not None:
            self._leave(subscriber, audience)

    def _key(self, subscriber: Subscriber) -> Key:
        audience = self._audience_of.get(subscriber)
        return _NOTHING if audience is None else audience.key

    def _why_silent(self, name: str, route: str) -> str | None:
        resolved = find(self.markets, name)
        if resolved is None:
            return None if self._may_come(name) else UNKNOWN_STREAM
        stream, args = resolved
        split = self.strict_routing and self.markets.profile.splits_routes(self.markets.venue)
        if split and stream.route != (route or "public"):
            return WRONG_ROUTE
        known = self._may_come(name) or stream.about(self.markets, args)
        return None if known else UNKNOWN_SYMBOL

    def _may_come(self, name: str) -> bool:
        """Whether messages of `name` can come from the source."""
        return self.open_ended or name in self.verbatim

    def _move(self, subscriber: Subscriber, key: Key) -> None:
        """Make `subscriber` a member of the audience `key`; what waits for it goes out first."""
        old = self._audience_of.get(subscriber)
        if old is not None:
            if old.key == key:
                return
            self._write(old)
        audience = self._audiences.get(key) or self._open_audience(key)
        self._write(audience)
        audience.members[subscriber] = None
        self._audience_of[subscriber] = audience
        if old is not None:
            self._leave(subscriber, old)

    def _leave(self, subscriber: Subscriber, audience: Audience) -> None:
        del audience.members[subscriber]
        if audience.members:
            return
        del self._audiences[audience.key]
        for channel in audience.channels:
            (channel.combined if audience.combined else channel.raw).remove(audience)
            if not channel.heard:
                self._close_channel(channel)

    def _open_audience(self, key: Key) -> Audience:
        audience = self._audiences[key] = Audience(key)
        for name in sorted(key[0]):
            channel = self._opened.get(name) or self._open_channel(name)
            audience.channels.append(channel)
            (channel.combined if audience.combined else channel.raw).append(audience)
        return audience

    @property
    def _opened(self) -> dict[str, Channel]:
        """The channels that somebody is subscribed to."""
        return self._hushed if self.is_hushed else self.channels

    def _open_channel(self, name: str) -> Channel:
        channel = self._opened[name] = Channel(self, name)
        if self.demand is not None:
            self.demand.opened(name)
        if not self.is_hushed:
            self._voice(channel)
        return channel

    def _voice(self, channel: Channel) -> None:
        """Give `channel` a publisher, if its messages are made here and it is about anything yet."""
        if channel.name in self.verbatim:
            return
        reading = meant(self.markets, channel.readings)
        if reading is None:
            return
        stream, args = reading
        publisher = Publisher(stream, args, self.markets, self.timers, channel.send)
        channel.publisher = publisher
        self._publishers += 1
        for kind in stream.on:
            by_topic = self._listeners.setdefault(kind, {})
            by_topic.setdefault(publisher.topic, []).append(publisher)

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
            by_topic[publisher.topic].remove(publisher)
            if not by_topic[publisher.topic]:
                del by_topic[publisher.topic]
            if not by_topic:
                del self._listeners[kind]


def _nothing() -> None:
    """Wake nobody."""
