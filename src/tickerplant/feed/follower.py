"""A connection that carries a stream beside the one that leads."""

from __future__ import annotations

from collections.abc import Hashable

from tickerplant.feed.backlog import Backlog


class Follower:
    """A connection that carries a stream, as far as it is compared with others."""

    __slots__ = (
        "ahead",
        "asked_again",
        "carried",
        "carried_ms",
        "is_alike",
        "is_anew",
        "is_mute",
        "may_be_older",
        "may_repeat",
        "missed_ms",
        "passed",
        "told_id",
        "waiting",
    )

    def __init__(self, *, may_be_older: bool = False) -> None:
        self.carried = False
        """Whether it is known to carry the stream: its subscription was acknowledged, or heard."""
        self.carried_ms = 0
        """Since when."""
        self.asked_again = 0
        """How often it was asked for again on it, because it told nothing."""
        self.missed_ms = 0
        """Since when it is known that the leader tells it and this one does not; 0 if it is not."""
        self.is_mute = False
        """Whether it has told other streams since, so that it is not merely late."""
        self.waiting = Backlog()
        """What it told and the leader did not, yet."""
        self.ahead = Backlog()
        """What was delivered and it did not tell, yet."""
        self.passed: dict[Hashable, int] = {}
        """What was delivered, and it did not tell before it told others; until when it still may."""
        self.told_id = -1
        """Id of the last message that it told; below 0 if none has one."""
        self.is_alike = False
        """Whether it told a message that the leader told, too."""
        self.is_anew = False
        """Whether it is at a server whose ids began anew."""
        self.may_be_older = may_be_older
        """Whether it may carry the stream for longer than the leader: nobody led when it joined."""
        self.may_repeat = not may_be_older
        """Whether it may tell what was delivered: somebody led since it joined."""
