"""One connection of a feed, whether it is open just now or not."""

from __future__ import annotations

from enum import Enum, auto

from tickerplant.feed.backoff import Backoff
from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.feed.session import ClientSession


class State(Enum):
    """Where a connection stands."""

    WAITING = auto()
    """It will be opened at `retry_ms`."""
    OPENING = auto()
    OPEN = auto()


class FeedConnection:
    """A connection and the streams that are to be heard on it.

    Args:
        number: Its name; no other link of the feed ever has it.
        route: The traffic class of its streams, where the venue has such.
        copy: Of several connections that carry the same streams, which this is.
        owner: The only consumer whose streams it carries; None: it may be shared.
        backoff: Its pauses between attempts.
    """

    def __init__(
        self,
        number: int,
        route: str,
        copy: int,
        owner: Sink | None,
        backoff: Backoff,
        now_ms: int,
    ) -> None:
        self.number = number
        self.route = route
        self.copy = copy
        self.owner = owner
        self.backoff = backoff
        self.names: dict[str, None] = {}
        """The streams that it is to carry, in the order in which they were wanted."""
        self.lanes: dict[bytes, MergedStream] = {}
        """Its strands by how their messages begin in the usual envelope, up to the name's last quote."""
        self.state = State.WAITING
        self.retry_ms = now_ms
        """When the next attempt is due."""
        self.session: ClientSession | None = None
        """The conversation, while the connection is open."""
        self.opened_ms = 0
        self.ended_ms = now_ms
        """Since when it is not open, if it is not."""
        self.is_fresh = False
        """Whether a message came since `heard_ms` was last set."""
        self.heard_ms = 0
        """When something last came."""
        self.pinged_ms = 0
        """When it was pinged after that; 0 if it was not."""
        self.renew_ms = 0
        """When another connection is to take its place."""
        self.settled_ms = 0
        """Since when everything on it is acknowledged; 0 if not everything is."""
        self.successor: FeedConnection | None = None
        """The connection that is taking its place."""
        self.predecessor: FeedConnection | None = None
        """The connection whose place it is taking."""
        self.is_held_up = False
        """Whether it is not read, because a consumer has no room."""
        self.is_split = False
        """Whether the URL of the last attempt had a route in it."""
        self.is_retiring = False
        """Whether it was asked to tell nothing any more: another took its place."""
        self.is_apart = False
        """Whether it takes no more names: one of its names was refused."""
        self.told_carried: set[str] = set()
        """Names of which the observer was told that it carries them."""
        self.told_garbage_ms = 0
        """When consumers were last told of something unreadable."""

    def __repr__(self) -> str:
        return f"<Link {self.number} {self.route} {self.state.name} {len(self.names)} streams>"

    @property
    def is_open(self) -> bool:
        """Whether messages go both ways."""
        return self.state is State.OPEN
