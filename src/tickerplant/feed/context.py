"""What all parts of a feed share: its settings, its clocks, and what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeAlias

from msgspec import Struct

from tickerplant.feed.settings import ClientSettings
from tickerplant.notices import Notice


class Open(Struct, frozen=True):
    """Open a WebSocket connection; call `opened` or `refused`."""

    number: int
    url: str


class Send(Struct, frozen=True):
    """Send a text message."""

    number: int
    text: bytes


class Ping(Struct, frozen=True):
    """Send a ping; call `pong_received` with the pong."""

    number: int


class Drop(Struct, frozen=True):
    """Close a connection, or abandon an attempt; report nothing more about it."""

    number: int


class Fetch(Struct, frozen=True):
    """Fetch missing messages over REST; call `filled` or `unfilled`.

    These are the messages between two ids, both exclusive; of candles, those that open at
    `after_id` or later and before `before_id`, both in ms.
    """

    stream: str
    after_id: int
    before_id: int


class Verify(Struct, frozen=True):
    """Check over REST whether silent streams exist; call `verified` with the result."""

    streams: tuple[str, ...]


Action: TypeAlias = Open | Send | Ping | Drop | Fetch | Verify


class Observer:
    """Ignores all reports; subclasses override what they need, and must not raise.

    A connection is identified by its number, which is unique in the feed.
    """

    def delivering(self, connection: int, names: Iterable[str]) -> None:
        """Take the report that a connection delivers `names` from now on: its server acknowledged it.

        It precedes the notices of their recovery.
        """

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        """Take the report that a connection replaced another in time, and nothing is lost."""

    def covered(self, connection: int, names: Iterable[str], reason: str) -> None:
        """Take the report that a connection was lost, and others delivered all of `names` that it did."""

    def noticed(self, notice: Notice) -> None:
        """Take a notice about outages, gaps and silence, once for all of its streams."""

    def unreadable(self, stream: str, payload: bytes, received_ns: int) -> None:
        """Take a message that cannot be decoded as one of its stream; consumers do not get it."""

    def unknown(self, stream: str, reason: str) -> None:
        """Take the report that no message of a stream is expected, and why.

        It comes at once if no stream has such a name, and after some silence if the server does not
        list the symbol or serves the other venue.
        """


class FeedContext:
    """The shared state of a feed."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.now_ms = 0
        """The clock of the feed, which only goes forward."""
        self.has_end = False
        """Whether the streams of the server end: it closes connections with code 1000 then.  Such a
        server has a clock that can be paused, so that silence means nothing."""
        self.wall_ms = 0
        """Milliseconds since the epoch, for notices."""
        self.actions: list[Action] = []
        """What the caller of the feed is to do, oldest first."""
        self.observer = Observer()
        """Keeps a record of the connections."""
        self.paused: set[Hashable] = set()
        """Connections that are not read, because no consumer has room."""
        self.due: dict[Hashable, Callable[[], bool]] = {}
        """By stream, what is called with each tick until it returns False."""
        self.recoveries = 0
        """How often a stale stream sent again."""
