"""Which publisher makes the messages of which channel of a venue."""

from __future__ import annotations

from collections.abc import Mapping

from tickerplant.events import Event
from tickerplant.hub.channel import Channel
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.streams import first_listed
from tickerplant.streams.lookup import ListedMatch
from tickerplant.streams.publisher import ALL, Publisher


class Publishers:
    """The publishers of one venue, and the events that they follow.

    A channel has no publisher if the source sends its messages itself (passthrough), if its name
    refers to nothing that is listed, or while the hub is muted.
    """

    def __init__(self, markets: Markets, timers: Timers, channels: Mapping[str, Channel]) -> None:
        self.passthrough: set[str] = set()
        """Names of streams whose messages the source sends itself."""
        self.is_muted = False
        """Whether no messages are made, until `unmute`."""
        self.count = 0
        """Publishers that are attached."""
        self._markets = markets
        self._timers = timers
        self._channels = channels
        self._by_event: dict[type, dict[str, list[Publisher]]] = {}
        """The publishers that follow a kind of event, by the symbol that they follow."""

    # Events

    def on_event(self, market: Market, event: Event) -> None:
        """Give `event` to the publishers that follow it."""
        by_topic = self._by_event.get(type(event))
        if by_topic is None:
            return
        for publisher in by_topic.get(market.symbol, ()):
            publisher.on_event(market, event)
        for publisher in by_topic.get(ALL, ()):
            publisher.on_event(market, event)

    def has_subscribers(self, kind: type, symbol: str) -> bool:
        """Return whether any subscribed stream is made from events of `kind` of `symbol`."""
        by_topic = self._by_event.get(kind)
        return by_topic is not None and (symbol in by_topic or ALL in by_topic)

    # Channels

    def attach(self, channel: Channel, match: ListedMatch | None = None) -> None:
        """Make the messages of `channel` from now on, if they are made here."""
        if self.is_muted or channel.name in self.passthrough:
            return
        match = match or first_listed(self._markets, channel.matches)
        if match is None:
            return
        publisher = Publisher(match, self._markets, self._timers, channel.broadcast)
        channel.publisher = publisher
        self.count += 1
        topic = publisher.topic
        for kind in publisher.stream.follows:
            by_topic = self._by_event.get(kind)
            if by_topic is None:
                by_topic = self._by_event[kind] = {}
            publishers = by_topic.get(topic)
            if publishers is None:
                by_topic[topic] = [publisher]
            else:
                publishers.append(publisher)

    def detach(self, channel: Channel) -> None:
        """Make no messages of `channel` any more."""
        publisher, channel.publisher = channel.publisher, None
        if publisher is None:
            return
        publisher.stop()
        self.count -= 1
        for kind in publisher.stream.follows:
            by_topic = self._by_event[kind]
            publishers = by_topic[publisher.topic]
            publishers.remove(publisher)
            if not publishers:
                del by_topic[publisher.topic]
                if not by_topic:
                    del self._by_event[kind]

    def relist(self) -> None:
        """Let each channel follow the contract that its name refers to after a listing changed."""
        for channel in self._channels.values():
            if channel.publisher is not None and not channel.publisher.is_current:
                self.detach(channel)
            if channel.publisher is None:
                self.attach(channel)

    # The source

    def start_passthrough(self, name: str) -> None:
        """Expect the messages of the stream `name` from the source; make none any more."""
        self.passthrough.add(name)
        channel = self._channels.get(name)
        if channel is not None:
            self.detach(channel)

    def stop_passthrough(self, name: str) -> None:
        """Expect no messages of `name` from the source any more; make them if possible."""
        self.passthrough.discard(name)
        channel = self._channels.get(name)
        if channel is not None and channel.publisher is None:
            self.attach(channel)

    def mute(self) -> None:
        """Make no messages until `unmute`."""
        self._detach_all()
        self.is_muted = True

    def unmute(self) -> None:
        """Make messages again, beginning with the next event."""
        self.is_muted = False
        self.relist()

    def reset(self) -> None:
        """Make no messages, and expect none from the source; `relist` attaches publishers again."""
        self._detach_all()
        self.passthrough.clear()

    def _detach_all(self) -> None:
        for channel in self._channels.values():
            self.detach(channel)
