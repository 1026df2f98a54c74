"""Channels and audiences: the streams that are subscribed to, and the groups of subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from tickerplant.envelope import prefix_of
from tickerplant.frames import HEADERS
from tickerplant.hub.delivery import Message, Published
from tickerplant.protocol.delivery import PLAIN, Delivery
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.lookup import Match
from tickerplant.streams.publisher import Publisher

AudienceKey: TypeAlias = tuple[int, bool, Delivery]
"""What audiences with the same subscriptions share: see `Audience.digest`."""


Write: TypeAlias = Callable[[bytes], object]
"""Takes one or more complete frames, to be sent in order.

Must neither raise, even if nothing can be sent, nor change subscriptions: the hub writes to all
subscribers in one loop."""

MAX_MEMBERS = 256
"""Most members of an audience: what is written at once, in a millisecond or two.  More subscribers
with the same subscriptions are several audiences."""


class Subscriber(Protocol):
    """A connection, as far as the hub knows it."""

    @property
    def write(self) -> Write:
        """What takes its frames; the hub reads it when the subscriber joins an audience."""


class Sent:
    """How much was sent; of a subscriber, it can be counted relative to its audience."""

    __slots__ = ("messages", "size_bytes")

    def __init__(self) -> None:
        self.messages = 0
        """Messages of streams."""
        self.size_bytes = 0
        """Their frames."""

    def add(self, messages: int, size_bytes: int) -> None:
        """Count more, or less."""
        self.messages += messages
        self.size_bytes += size_bytes


class Audience:
    """Subscribers with the same subscriptions, and the frames that wait for them."""

    __slots__ = (
        "channels",
        "combined",
        "delivery",
        "digest",
        "late",
        "members",
        "messages",
        "pending",
        "sent",
        "waits_since_s",
    )

    def __init__(
        self,
        channels: dict[str, Channel],
        digest: int,
        combined: bool,
        delivery: Delivery = PLAIN,
    ) -> None:
        self.channels = channels
        """The channels that its members are subscribed to, by name."""
        self.digest = digest
        """The hashes of these names, combined by exclusive or.

        Any change of subscriptions updates it in one step, in any order.  Equal digests are only
        a hint that the names are the same.  A client cannot construct collisions: Python salts
        the hashes of strings differently in every process."""
        self.combined = combined
        self.delivery = delivery
        """What its members asked for, all the same."""
        self.members: dict[Subscriber, Write] = {}
        """The subscribers, each with what takes its frames."""
        self.pending: list[bytes] = []
        """The frames that wait, if its delivery is plain."""
        self.messages: list[Message] = []
        """The messages that wait, if its delivery is not plain: members may get different ones."""
        self.waits_since_s = 0.0
        """When the first of those that wait was queued, by the clock of the hub."""
        self.late: dict[Subscriber, int] = {}
        """How many of those that wait are older than a member; it does not get these."""
        self.sent = Sent()
        """What each member gets, unless the hub keeps a difference for it."""

    @property
    def key(self) -> AudienceKey:
        """The key under which subscribers look for an audience to join."""
        return self.digest, self.combined, self.delivery

    def join(self, subscriber: Subscriber) -> None:
        """Write later messages to `subscriber` too."""
        self.members[subscriber] = subscriber.write
        if self.pending or self.messages:
            self.late[subscriber] = len(self.pending) + len(self.messages)

    def leave(self, subscriber: Subscriber) -> None:
        """Write nothing to `subscriber` any more, not even what waits."""
        del self.members[subscriber]
        self.late.pop(subscriber, None)

    def take_members(self) -> tuple[dict[Subscriber, Write], dict[Subscriber, int]]:
        """Return the members that get all that waits, and of the others how much they do not get.

        Whoever takes them takes what waits too: no member is late for what comes next.
        """
        members = dict(self.members)
        late = self.late
        if late:
            self.late = {}
            for each in late:
                del members[each]
        return members, late


class Channel:
    """One stream that somebody is subscribed to."""

    __slots__ = (
        "_prefix",
        "_published",
        "_schedule",
        "combined",
        "listeners",
        "matches",
        "name",
        "publisher",
        "raw",
        "selective",
    )

    def __init__(
        self,
        name: str,
        matches: Sequence[Match],
        schedule: Callable[[Audience], object],
        published: Callable[[], Published] = Published,
    ) -> None:
        """Open a stream that nobody is subscribed to yet."""
        self.name = name
        self.raw: dict[Audience, None] = {}
        self.combined: dict[Audience, None] = {}
        self.selective: dict[Audience, None] = {}
        """The audiences whose delivery is not plain."""
        self.listeners: dict[Listener | Tap, None] = {}
        self.publisher: Publisher | None = None
        """Makes the channel's messages; None if the source sends them itself."""
        self.matches = matches
        """What the name may refer to; cached, because listings look it up again."""
        self._schedule = schedule
        self._published = published
        self._prefix = b""

    @property
    def is_used(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self.raw or self.combined or self.selective or self.listeners)

    @property
    def conflation(self) -> Conflation:
        """What becomes of messages that wait; of an unknown stream, all are kept."""
        return self.matches[0][0].conflation if self.matches else Conflation.NONE

    @property
    def prefix(self) -> bytes:
        """The beginning of the envelope of its messages."""
        return self._prefix or self._make_prefix()

    def add(self, audience: Audience) -> None:
        """Send messages to `audience` from now on."""
        self._group(audience)[audience] = None

    def remove(self, audience: Audience) -> None:
        """Send messages to `audience` no longer."""
        del self._group(audience)[audience]

    def _group(self, audience: Audience) -> dict[Audience, None]:
        if not audience.delivery.is_plain:
            return self.selective
        return self.combined if audience.combined else self.raw

    def broadcast(self, payload: bytes, envelope: bytes = b"") -> None:
        """Queue one message for all subscribers; `envelope` is `payload` in its envelope."""
        if self.raw:
            frame = HEADERS[len(payload)] + payload
            for audience in self.raw:
                pending = audience.pending
                if not pending:
                    self._schedule(audience)
                pending.append(frame)
        if self.combined:
            text = envelope or b"%b%b}" % (self._prefix or self._make_prefix(), payload)
            frame = HEADERS[len(text)] + text
            for audience in self.combined:
                pending = audience.pending
                if not pending:
                    self._schedule(audience)
                pending.append(frame)
        if self.selective:
            self._broadcast_selectively(payload, envelope)
        if self.listeners:
            for listener in self.listeners:
                listener.queue(payload, envelope)

    def _broadcast_selectively(self, payload: bytes, envelope: bytes) -> None:
        message = Message(self, payload, envelope, self._published())
        for audience in self.selective:
            if not audience.messages:
                self._schedule(audience)
            audience.messages.append(message)

    def _make_prefix(self) -> bytes:
        self._prefix = prefix_of(self.name)
        return self._prefix


NO_CHANNELS: Mapping[str, Channel] = {}


class Listener:
    """A callback in this process that receives the messages of one stream, until `close`.

    `Hub.listen` makes it.
    """

    __slots__ = ("_queue", "_remove", "callback", "is_open", "name")

    def __init__(
        self,
        name: str,
        callback: Callable[[str, bytes], object],
        queue: Callable[[Listener, bytes], object],
        remove: Callable[[Listener], object],
    ) -> None:
        self.name = name
        self.callback = callback
        self.is_open = True
        self._queue = queue
        self._remove = remove

    def queue(self, payload: bytes, envelope: bytes) -> None:
        """Queue a message for the next flush."""
        del envelope
        self._queue(self, payload)

    def close(self) -> None:
        """Stop listening; `callback` is not called any more, not even for queued messages."""
        if self.is_open:
            self.is_open = False
            self._remove(self)


class Tap:
    """Takes the messages of one stream when they are made, before any flush, until `close`.

    `Hub.tap` makes it.
    """

    __slots__ = ("_remove", "is_open", "name", "queue")

    def __init__(
        self,
        name: str,
        queue: Callable[[bytes, bytes], object],
        remove: Callable[[Tap], object],
    ) -> None:
        self.name = name
        self.queue = queue
        self.is_open = True
        self._remove = remove

    def close(self) -> None:
        """Take no messages any more."""
        if self.is_open:
            self.is_open = False
            self._remove(self)
