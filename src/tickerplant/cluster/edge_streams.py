"""The streams that an edge has asked for, and how they go on when another plant takes over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from tickerplant.bus.interest import Name
from tickerplant.bus.takeover import BEHIND_MS, Continuation
from tickerplant.cluster.connection import BusSubscription

if TYPE_CHECKING:
    from tickerplant.hub.hub import Hub

NS_PER_MS = 1_000_000

Broadcast: TypeAlias = Callable[[bytes, bytes], object]
"""Takes the payload and the envelope of a message."""


class Wanted:
    """One stream that the plant was asked for."""

    __slots__ = ("broadcast", "last", "name", "opened_ns", "subject", "subscription", "to_hub")

    def __init__(self, name: Name, subject: str, hub: Hub, subscription: BusSubscription) -> None:
        self.name = name
        self.subject = subject
        self.subscription = subscription
        self.opened_ns = time.time_ns()
        """When it was asked for first."""
        self.last: bytes | None = None
        """The payload of the last message."""
        self.to_hub: Broadcast = partial(hub.broadcast, name[1])
        self.broadcast: Broadcast = self.to_hub
        """Takes each message; only while another plant takes over it is not `to_hub`."""

    def reopen(self) -> None:
        """Begin anew: nobody was subscribed for a while."""
        self.opened_ns = time.time_ns()
        self.last = None


class Joining:
    """The streams whose place in the messages of another plant is not known yet.

    Args:
        lose: Is called with the subjects of streams of which messages may be missing, and the reason.
    """

    def __init__(self, lose: Callable[[Iterable[str], str], object]) -> None:
        self.heard_ns = 0
        """When what was heard last of the plant was published, wall clock."""
        self.published_ns = 0
        """When what is being delivered was published, wall clock."""
        self._lose = lose
        self._joints: dict[str, tuple[Wanted, Continuation]] = {}
        """By subject."""
        self._settle_ms = 0

    def begin(self, streams: Iterable[Wanted], since_ns: Mapping[str, int], now_ms: int) -> None:
        """Deliver of the messages from now on, which are those of another plant, what is new.

        Args:
            streams: The streams.
            since_ns: Since when the other plant has followed each, by subject.
            now_ms: Monotonic.
        """
        heard_ms = self.heard_ns // NS_PER_MS
        for wanted in streams:
            followed_ns = since_ns.get(wanted.subject)
            is_followed = (
                followed_ns is not None and followed_ns // NS_PER_MS + BEHIND_MS <= heard_ms
            )
            joint = Continuation(
                wanted.name[1],
                wanted.last,
                is_followed=is_followed,
                heard_ms=heard_ms,
                opened_ms=wanted.opened_ns // NS_PER_MS,
            )
            self._joints[wanted.subject] = wanted, joint
            wanted.broadcast = partial(self._take, wanted, joint)
        self._settle_ms = now_ms + BEHIND_MS

    def settle(self, now_ms: int) -> None:
        """Decide about the streams of which nothing new has come, if it is time."""
        if self._joints and now_ms >= self._settle_ms:
            for wanted, joint in tuple(self._joints.values()):
                if (
                    wanted.subject in self._joints
                ):  # or a hole in another has closed its subscribers
                    self._pass_on(wanted, joint, joint.settle())

    def forget(self, wanted: Wanted) -> None:
        """Do not look for the place of a stream that nobody is subscribed to any more."""
        wanted.broadcast = wanted.to_hub
        self._joints.pop(wanted.subject, None)

    def clear(self) -> None:
        """Take all further messages as new."""
        for wanted, _ in self._joints.values():
            wanted.broadcast = wanted.to_hub
        self._joints.clear()

    def _take(self, wanted: Wanted, joint: Continuation, payload: bytes, envelope: bytes) -> None:
        wanted.last = joint.last
        new = joint.take(payload, self.published_ns // NS_PER_MS)
        self._pass_on(wanted, joint, new, payload, envelope)

    def _pass_on(
        self,
        wanted: Wanted,
        joint: Continuation,
        new: Iterable[bytes],
        payload: bytes = b"",
        envelope: bytes = b"",
    ) -> None:
        for each in new:
            wanted.last = each
            wanted.to_hub(each, envelope if each is payload else b"")
        if joint.is_whole or joint.hole:
            self.forget(wanted)
        if joint.hole:
            self._lose([wanted.subject], joint.hole)
