"""Channels and audiences: the streams that are subscribed to, and the groups of subscribers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from tickerplant.envelope import prefix_of
from tickerplant.frames import HEADERS
from tickerplant.streams.lookup import Match
from tickerplant.streams.publisher import Publisher

AudienceKey: TypeAlias = tuple[int, bool]
"""What audiences with the same subscriptions share: see `Audience.digest`."""


class Subscriber(Protocol):
    """A connection, as far as the hub knows it."""

    def write(self, data: bytes) -> object:
        """Take one or more complete frames, to be sent in order.

        Must not raise, even if nothing can be sent: the hub writes to all subscribers in one loop.
        """
        ...


class Audience:
    """Subscribers with the same subscriptions, and the frames that wait for them."""

    __slots__ = ("channels", "combined", "digest", "members", "pending")

    def __init__(self, channels: dict[str, Channel], digest: int, combined: bool) -> None:
        self.channels = channels
        """The channels that its members are subscribed to, by name."""
        self.digest = digest
        """The hashes of these names, combined by exclusive or.

        Any change of subscriptions updates it in one step, in any order.  Equal digests are only
        a hint that the names are the same.  A client cannot construct collisions: Python salts
        the hashes of strings differently in every process."""
        self.combined = combined
        self.members: dict[Subscriber, None] = {}
        self.pending: list[bytes] = []

    @property
    def key(self) -> AudienceKey:
        """The key under which subscribers look for an audience to join."""
        return self.digest, self.combined


class Channel:
    """One stream that somebody is subscribed to."""

    __slots__ = (
        "_prefix",
        "_schedule",
        "combined",
        "listeners",
        "matches",
        "name",
        "publisher",
        "raw",
    )

    def __init__(
        self, name: str, matches: Sequence[Match], schedule: Callable[[Audience], object]
    ) -> None:
        self.name = name
        self.raw: dict[Audience, None] = {}
        self.combined: dict[Audience, None] = {}
        self.listeners: dict[Listener, None] = {}
        self.publisher: Publisher | None = None
        """Makes the channel's messages; None if the source sends them itself."""
        self.matches = matches
        """What the name may refer to; cached, because listings look it up again."""
        self._schedule = schedule
        self._prefix = b""

    @property
    def is_used(self) -> bool:
        """Whether anybody is subscribed."""
        return bool(self.raw or self.combined or self.listeners)

    def add(self, audience: Audience) -> None:
        """Send messages to `audience` from now on."""
        (self.combined if audience.combined else self.raw)[audience] = None

    def remove(self, audience: Audience) -> None:
        """Send messages to `audience` no longer."""
        del (self.combined if audience.combined else self.raw)[audience]

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
        if self.listeners:
            for listener in self.listeners:
                listener.queue(payload)

    def _make_prefix(self) -> bytes:
        self._prefix = prefix_of(self.name)
        return self._prefix


NO_CHANNELS: Mapping[str, Channel] = {}


class Listener:
    """A callback in this process that receives the messages of one stream, until `close`.

    `Hub.listen` makes it.

    Args:
        name: The stream.
        callback: Takes the name and the payload of each message.
        queue: Queues a payload for a listener until the next flush.
        remove: Called once, when a listener is closed.
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

    def queue(self, payload: bytes) -> None:
        """Queue a message for the next flush."""
        self._queue(self, payload)

    def close(self) -> None:
        """Stop listening; `callback` is not called any more, not even for queued messages."""
        if self.is_open:
            self.is_open = False
            self._remove(self)
