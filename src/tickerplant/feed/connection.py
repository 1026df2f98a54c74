"""One connection of a feed: its life cycle, its streams, and when it last received something."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from tickerplant.envelope import head_of
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.reconnect import Backoff
from tickerplant.feed.settings import ClientSettings
from tickerplant.notices import Disconnected
from tickerplant.protocol.rate_limiter import TokenBucket


class Error(Struct):
    """Why the server refused a control message."""

    code: int = 0
    msg: str = ""


class ServerEvent(Struct):
    """An event of the server itself."""

    kind: str = msgspec.field(name="e", default="")


class AnyMessage(Struct):
    """Any message of a server, with just the fields that show what kind it is."""

    stream: str = ""
    data: Raw = Raw()
    id: int | str | UnsetType | None = UNSET
    error: Error | None = None
    event: ServerEvent | None = None
    kind: str = msgspec.field(name="e", default="")


any_message = msgspec.json.Decoder(AnyMessage).decode
"""Decodes one; raises one of `messages.readers.UNREADABLE`."""


class Control(Struct, frozen=True):
    """A control message as it is sent."""

    method: str
    params: tuple[str, ...]
    id: int


class Sent(Struct, frozen=True):
    """A control message that has no response yet."""

    method: str
    names: tuple[str, ...]
    sent_ms: int


_encode = msgspec.json.Encoder().encode


class ClientSession:
    """The subscriptions of one open connection, and the requests that change them."""

    def __init__(self, settings: ClientSettings, now_ms: int) -> None:
        self.subscribed: set[str] = set()
        """Names whose subscription the server acknowledged."""
        self._settings = settings
        self._bucket = TokenBucket(
            settings.connections.requests_per_s, settings.connections.request_burst, now_ms
        )
        self._to_subscribe: dict[str, None] = {}
        self._to_unsubscribe: dict[str, None] = {}
        self._sent: dict[int, Sent] = {}
        self._latest_request: dict[str, int] = {}
        """Id of the last control message about each name, until its response."""
        self._requested: set[str] = set()
        """Names that are subscribed once the server has carried out all requests so far."""
        self._next_id = 1

    @property
    def is_settled(self) -> bool:
        """Whether every wanted change was requested and has a response."""
        return not (self._to_subscribe or self._to_unsubscribe or self._sent)

    def want(self, names: Iterable[str]) -> None:
        """Subscribe to `names` as soon as the pace allows."""
        for name in names:
            self._to_unsubscribe.pop(name, None)
            if name not in self.subscribed:
                self._to_subscribe[name] = None

    def unwant(self, names: Iterable[str]) -> None:
        """Unsubscribe from `names` as soon as the pace allows."""
        for name in names:
            self._to_subscribe.pop(name, None)
            self.subscribed.discard(name)
            if name in self._requested:
                self._to_unsubscribe[name] = None

    def resubscribe(self, name: str) -> None:
        """Unsubscribe from `name`, then subscribe to it again."""
        if name in self.subscribed:
            self.subscribed.discard(name)
            self._to_unsubscribe[name] = None
            self._to_subscribe[name] = None

    def due(self, now_ms: int) -> list[bytes]:
        """Return the control messages that may be sent now."""
        texts = []
        while (self._to_unsubscribe or self._to_subscribe) and self._bucket.take(now_ms):
            method, waiting = ("UNSUBSCRIBE", self._to_unsubscribe)
            if not waiting:
                method, waiting = ("SUBSCRIBE", self._to_subscribe)
            names = tuple(islice(waiting, self._settings.connections.names_per_request))
            for name in names:
                del waiting[name]
                self._latest_request[name] = self._next_id
            if method == "SUBSCRIBE":
                self._requested.update(names)
            else:
                self._requested.difference_update(names)
            self._sent[self._next_id] = Sent(method, names, now_ms)
            texts.append(_encode(Control(method, names, self._next_id)))
            self._next_id += 1
        return texts

    def on_response(self, request_id: object, *, refused: bool) -> Sent | None:
        """Take the response to a control message.

        Args:
            request_id: The id in the response; an error without one is that of the oldest message.
            refused: Whether the response is an error.

        Returns:
            The control message with the names that no later message is about; None if the
            response belongs to none.
        """
        if refused and not isinstance(request_id, int):
            request_id = next(iter(self._sent), None)
        sent = self._sent.pop(request_id, None) if isinstance(request_id, int) else None
        if sent is None:
            return None
        names = tuple(name for name in sent.names if self._latest_request.get(name) == request_id)
        for name in names:
            del self._latest_request[name]
        if sent.method == "SUBSCRIBE":
            names = tuple(name for name in names if name not in self._to_unsubscribe)
            if refused:
                self._requested.difference_update(names)
            else:
                self.subscribed.update(names)
                for name in names:
                    self._to_subscribe.pop(name, None)
        return Sent(sent.method, names, sent.sent_ms)

    def is_overdue(self, now_ms: int) -> bool:
        """Whether a control message got no response in time."""
        return (
            bool(self._sent)
            and now_ms - self.oldest_sent_ms >= self._settings.connections.ack_timeout_ms
        )

    @property
    def oldest_sent_ms(self) -> int:
        """When the oldest control message without a response was sent."""
        return next(iter(self._sent.values())).sent_ms

    def restart_timeouts(self, now_ms: int) -> None:
        """Count the time without a response from now on, for every control message."""
        self._sent = {
            number: structs.replace(sent, sent_ms=now_ms) for number, sent in self._sent.items()
        }


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
