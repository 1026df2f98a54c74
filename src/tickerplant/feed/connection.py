"""One connection of a feed: its life cycle, its streams, and when it last received something."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from tickerplant.envelope import head_of
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.reconnect import Backoff
from tickerplant.feed.session import ClientSession
from tickerplant.notices import Disconnected


class Phase(Enum):
    """The life cycle of a connection."""

    WAITING = auto()
    """The next attempt is due at `retry_ms`."""
    OPENING = auto()
    OPEN = auto()
    RETIRING = auto()
    """Still open, but its successor took over and it is unsubscribing from everything."""


class Group(NamedTuple):
    """What connections have in common that may take over each other's streams."""

    route: str
    """The traffic class of the streams; used in the URL where the venue splits classes."""
    copy: int
    """Which of several redundant connections it is, counted from 0."""


class FeedConnection:
    """A connection and the streams that it is to deliver.

    The pool owns it; the feed sets only `has_received` and `unreadable_ms`.
    """

    def __init__(self, number: int, group: Group, backoff: Backoff, now_ms: int) -> None:
        self.number = number
        self.group = group
        self.backoff = backoff
        self.phase = Phase.WAITING
        self.session: ClientSession | None = None
        """The subscriptions, while it is open."""
        self.has_routed_url = False
        """Whether the URL of the last attempt contained the route."""
        self.retry_ms = now_ms
        """Earliest time of the next attempt."""
        self.opened_ms = 0
        self.closed_ms = now_ms
        """When it was last closed, or created."""
        self.streams: dict[bytes, MergedStream] = {}
        """Its streams, in order of subscription, by how their messages begin (`envelope.head_of`)."""
        self.is_isolated = False
        """Whether it accepts no further streams, because the server refused one of them."""
        self.reported: set[str] = set()
        """Streams that the observer knows to arrive on it."""
        self.has_received = False
        """Whether a message came since `received_ms` was last updated."""
        self.received_ms = 0
        """When something last arrived, as of the last tick."""
        self.pinged_ms = 0
        """When the unanswered ping was sent; 0 if there is none."""
        self.unreadable_ms = 0
        """When consumers were last notified of an unreadable message."""
        self.renew_ms = 0
        """When a successor is to be opened."""
        self.settled_ms = 0
        """Since when all its subscriptions are acknowledged; 0 if some are not."""
        self.successor: FeedConnection | None = None
        """The connection that is replacing it."""
        self.predecessor: FeedConnection | None = None
        """The connection that it is replacing."""
        self.ending: Disconnected | None = None
        """The notice, without names, of why it is not open; None if it is, or was not tried yet."""

    def __repr__(self) -> str:
        phase, count = self.phase.name, len(self.streams)
        return f"<FeedConnection {self.number} {self.group.route} {phase} {count} streams>"

    # Life cycle

    @property
    def is_open(self) -> bool:
        """Whether messages go both ways."""
        return self.phase is Phase.OPEN or self.phase is Phase.RETIRING

    @property
    def is_retiring(self) -> bool:
        """Whether it is unsubscribing because its successor took over."""
        return self.phase is Phase.RETIRING

    def begin_opening(self, *, routed: bool) -> None:
        """Note that an attempt begins, to a URL with or without the route."""
        self.phase = Phase.OPENING
        self.has_routed_url = routed

    def opened(self, session: ClientSession, now_ms: int, renew_ms: int) -> None:
        """Note that it is open, and subscribe to its streams."""
        self.phase = Phase.OPEN
        self.session = session
        self.opened_ms = self.received_ms = now_ms
        self.pinged_ms = self.settled_ms = 0
        self.has_received, self.ending = False, None
        self.renew_ms = renew_ms
        self.reported.clear()
        session.want(self.names)
        for merged in self.merged_streams:
            merged.add(self)

    def closed(self, now_ms: int, retry_ms: int) -> None:
        """Note that it, or an attempt, ended; the next attempt is due at `retry_ms`."""
        if self.is_open:
            self.closed_ms = now_ms
        self.phase = Phase.WAITING
        self.session = None
        self.retry_ms = retry_ms

    def retire(self, session: ClientSession) -> None:
        """Unsubscribe from everything: the successor takes over once that is acknowledged."""
        self.phase = Phase.RETIRING
        session.unwant(self.names)

    # Streams

    @property
    def merged_streams(self) -> list[MergedStream]:
        """Its streams, in order of subscription."""
        return list(self.streams.values())

    @property
    def names(self) -> list[str]:
        """The names of its streams, in order of subscription."""
        return [merged.name for merged in self.streams.values()]

    def has(self, name: str) -> bool:
        """Whether `name` is one of its streams."""
        return head_of(name) in self.streams

    def among(self, names: Iterable[str]) -> list[MergedStream]:
        """Return those of its streams that `names` contains."""
        heads = map(head_of, names)
        return [self.streams[head] for head in heads if head in self.streams]

    def subscribe(self, merged: MergedStream) -> None:
        """Add a stream."""
        self.streams[head_of(merged.name)] = merged
        if self.session is not None:
            self.session.want((merged.name,))
            self.settled_ms = 0
            merged.add(self)

    def unsubscribe(self, merged: MergedStream) -> None:
        """Remove a stream."""
        self.release(merged)
        if self.session is not None:
            self.session.unwant((merged.name,))

    def release(self, merged: MergedStream) -> None:
        """Remove a stream to which the server did not subscribe it."""
        del self.streams[head_of(merged.name)]
        self.reported.discard(merged.name)
        merged.remove(self)

    # Silence

    def received(self, now_ms: int) -> None:
        """Note that something arrived, and that an open ping is answered."""
        self.received_ms = now_ms
        self.pinged_ms = 0

    def update_received(self, now_ms: int) -> None:
        """Note the time if a message came since the last call."""
        if self.has_received:
            self.has_received, self.received_ms = False, now_ms

    def restart_silence(self, received_ms: int) -> None:
        """Count silence from `received_ms`: nothing was read for a while."""
        self.received_ms = received_ms
        self.pinged_ms, self.has_received = 0, False

    # Renewal

    def renew_by(self, renew_ms: int) -> None:
        """Open a successor at `renew_ms` at the latest."""
        self.renew_ms = min(self.renew_ms, renew_ms)

    def replace(self, predecessor: FeedConnection) -> None:
        """Begin to replace `predecessor`."""
        self.predecessor, predecessor.successor = predecessor, self

    def unlink(self) -> None:
        """Neither replace another connection nor be replaced."""
        if self.successor is not None:
            self.successor.predecessor = None
        if self.predecessor is not None:
            self.predecessor.successor = None
        self.successor = self.predecessor = None
