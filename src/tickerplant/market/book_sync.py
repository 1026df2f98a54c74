"""Joins a snapshot of a book to the stream of its updates.

This is the documented procedure for a local order book ("How to manage a local order book
correctly"), as a state machine:

    waiting ── load: a snapshot that the kept updates continue, or that is newer ──▶ live
    live    ── offer: an update that does not continue the last one (a gap)      ──▶ waiting

While waiting, updates are kept; the oldest are forgotten when there are too many, because the
snapshot that will end the wait is newer than all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from tickerplant.events import DepthUpdate
from tickerplant.raw_events import RawDepth

Update: TypeAlias = DepthUpdate | RawDepth

MAX_BUFFERED_UPDATES = 4096
"""Updates kept while waiting for a snapshot: over two minutes of the fastest stream."""


class SequencedUpdate(Protocol):
    """What the procedure looks at of an update."""

    @property
    def first_update_id(self) -> int: ...  # noqa: D102 - `U`
    @property
    def final_update_id(self) -> int: ...  # noqa: D102 - `u`
    @property
    def previous_update_id(self) -> int: ...  # noqa: D102 - `pu`


class SnapshotId(Protocol):
    """What the procedure looks at of a snapshot."""

    @property
    def last_update_id(self) -> int: ...  # noqa: D102 - `lastUpdateId`


AnyUpdate = TypeVar("AnyUpdate", bound=SequencedUpdate)


class BookSync(Generic[AnyUpdate]):
    """Says which updates may be applied to the book, and whether the book is whole."""

    def __init__(self, max_buffered: int = MAX_BUFFERED_UPDATES) -> None:
        self.live = False
        """Whether the book is whole: snapshot and every update since."""
        self.reason = "no snapshot yet"
        """Why the book is not live; empty while it is."""
        self.gaps = 0
        self.stale = 0
        """Updates left out because the book was already past them."""
        self.forgotten = 0
        """Updates that did not fit while waiting."""
        self._buffered: deque[AnyUpdate] = deque(maxlen=max_buffered)
        self._last_id = 0
        self._first = False
        """The next update is the first after the snapshot, and joins by the wider rule."""

    @property
    def joined(self) -> bool:
        """Whether the book is whole, and an update has shown that the stream continues it."""
        return self.live and not self._first

    def offer(self, update: AnyUpdate) -> list[AnyUpdate]:
        """Take the next update; return what may be applied now: it, or nothing."""
        return [update] if self.follow(update) else self._offer_slow(update)

    def follow(self, update: AnyUpdate) -> bool:
        """Take the next update if it simply continues the last one; it may be applied then."""
        if self.live and update.previous_update_id == self._last_id:
            self._last_id = update.final_update_id
            self._first = False
            return True
        return False

    def follow_all(self, updates: Sequence[AnyUpdate]) -> int:
        """Take the next updates as long as they simply continue; return how many they are."""
        if not self.live:
            return 0
        followed, last_id = 0, self._last_id
        for update in updates:
            if update.previous_update_id != last_id:
                break
            last_id = update.final_update_id
            followed += 1
        if followed:
            self._last_id = last_id
            self._first = False
        return followed

    def drop(self, reason: str) -> None:
        """Wait for a snapshot again, because the book turned out wrong; `reason` says how."""
        self.live, self.reason = False, reason

    def forget(self, reason: str) -> None:
        """Wait for a snapshot, and know nothing of ids: they begin anew."""
        self.drop(reason)
        self._buffered.clear()

    def load(self, snapshot: SnapshotId) -> list[AnyUpdate]:
        """Begin again from `snapshot`; return the kept updates to apply after it.

        If the kept updates do not continue the snapshot, the book is not live and nothing is
        returned: the snapshot is of no use.
        """
        kept, self._buffered = self._buffered, deque(maxlen=self._buffered.maxlen)
        self.live, self.reason = True, ""
        self._last_id, self._first = snapshot.last_update_id, True
        applicable: list[AnyUpdate] = []
        for update in kept:
            if self.live:
                applicable += self.offer(update)
            else:
                self._buffer(update)
        if self.live:
            return applicable
        if not applicable:
            self.reason = (
                f"the snapshot {snapshot.last_update_id} is older than the updates at hand, "
                f"which begin with U={self._buffered[0].first_update_id}"
            )
        return []

    def _offer_slow(self, update: AnyUpdate) -> list[AnyUpdate]:
        """Take an update that does not simply continue the last one."""
        if not self.live:
            self._buffer(update)
            return []
        last_id = self._last_id
        if update.final_update_id < last_id or (
            update.final_update_id == last_id and not self._first
        ):
            self.stale += 1
            return []
        if self._first and update.first_update_id <= last_id:
            self._last_id = update.final_update_id
            self._first = False
            return [update]
        self.live = False
        self.gaps += 1
        self.reason = (
            f"a gap after u={last_id}: the next update has "
            f"U={update.first_update_id} pu={update.previous_update_id}"
        )
        self._buffer(update)
        return []

    def _buffer(self, update: AnyUpdate) -> None:
        if len(self._buffered) == self._buffered.maxlen:
            self.forgotten += 1
        self._buffered.append(update)
