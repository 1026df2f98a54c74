"""What all parts of a feed share: its settings, its clocks, and what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tickerplant.feed.actions import Action
from tickerplant.feed.observer import Observer
from tickerplant.feed.settings import ClientSettings


class FeedContext:
    """The shared state of a feed."""

    __slots__ = (
        "actions",
        "due",
        "has_end",
        "now_ms",
        "observer",
        "paused",
        "recoveries",
        "settings",
        "wall_ms",
    )

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
