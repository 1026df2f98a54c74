"""Joins a snapshot of a book to the stream of its updates.

This is the documented procedure for a local order book ("How to manage a local order book
correctly"), as a state machine:

    waiting ── load: a snapshot that the buffered updates continue, or a newer one ──▶ live
    live    ── add: an update that does not continue the last one (a gap)          ──▶ waiting
    live    ── reload: a snapshot that the last updates continue, or a newer one   ──▶ live

While waiting, updates are buffered. The oldest are dropped when the buffer is full, because the
snapshot that ends the wait is newer than all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from tickerplant.events import DepthUpdate
from tickerplant.raw_events import RawDepth

Update: TypeAlias = DepthUpdate | RawDepth

OUT_OF_DEPTH = "out of depth: no level from the snapshot is left on one side"
"""Why a book is not known although every update was applied."""

MAX_BUFFERED_UPDATES = 4096
"""Updates buffered while waiting for a snapshot: over two minutes of the fastest stream."""


class SequencedUpdate(Protocol):
    """The ids of an update."""

    @property
    def first_update_id(self) -> int: ...  # noqa: D102 - `U`
    @property
    def final_update_id(self) -> int: ...  # noqa: D102 - `u`
    @property
    def previous_update_id(self) -> int: ...  # noqa: D102 - `pu`


class SnapshotId(Protocol):
    """The id of a snapshot."""

    @property
    def last_update_id(self) -> int: ...  # noqa: D102 - `lastUpdateId`


AnyUpdate = TypeVar("AnyUpdate", bound=SequencedUpdate)


class BookSync(Generic[AnyUpdate]):
    """Decides which updates may be applied to the book, and whether the book is in sync.

    Args:
        max_buffered: Updates kept while waiting for a snapshot.
        max_recent: Updates kept while live, for a snapshot that is older than they are.
    """

    def __init__(self, max_buffered: int = MAX_BUFFERED_UPDATES, max_recent: int = 0) -> None:
        self.live = False
        """Whether the book is in sync: the snapshot and every update since were applied."""
        self.reason = "no snapshot yet"
        """Why the book is not live; empty while it is."""
        self.gaps = 0
        self.stale = 0
        """Updates dropped because the book already contained them."""
        self.overflowed = 0
        """Updates dropped because the buffer was full."""
        self._buffered: deque[AnyUpdate] = deque(maxlen=max_buffered)
        self._recent: deque[AnyUpdate] = deque(maxlen=max_recent)
        """The last updates that continued each other."""
        self._last_id = 0
        self._first = False
        """Whether the next update is the first after the snapshot and joins by the wider rule."""

    def add(self, update: AnyUpdate) -> list[AnyUpdate]:
        """Take the next update; return the updates to apply now: it, or none."""
        return [update] if self.accept_next(update) else self._add_slow(update)

    def accept_next(self, update: AnyUpdate) -> bool:
        """Take the next update if it directly continues the last one; True if it may be applied."""
        if self.live and update.previous_update_id == self._last_id:
            self._last_id = update.final_update_id
            self._first = False
            self._recent.append(update)
            return True
        return False

    def accept_run(self, updates: Sequence[AnyUpdate]) -> int:
        """Take the next updates while they directly continue; return their number."""
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
            self._recent.extend(updates[:followed])
        return followed

    @property
    def has_recent(self) -> bool:
        """Whether any update is kept for `reload`."""
        return bool(self._recent)

    def keep_recent(self, count: int) -> None:
        """Keep up to `count` updates from now on, while live, for `reload`."""
        self._recent = deque(maxlen=count)

    def desync(self, reason: str) -> None:
        """Wait for a snapshot again, for `reason`: the book turned out to be wrong."""
        self.live, self.reason = False, reason

    def reset(self, reason: str) -> None:
        """Wait for a snapshot and clear the buffer, because update ids restarted."""
        self.desync(reason)
        self._buffered.clear()

    def load(self, snapshot: SnapshotId) -> list[AnyUpdate]:
        """Restart from `snapshot`; return the buffered updates to apply after it.

        If the buffered updates do not continue the snapshot, it is useless: the book is not live,
        and nothing is returned.
        """
        kept, self._buffered = self._buffered, deque(maxlen=self._buffered.maxlen)
        self.live, self.reason = True, ""
        self._recent.clear()
        self._last_id, self._first = snapshot.last_update_id, True
        applicable: list[AnyUpdate] = []
        for update in kept:
            if self.live:
                applicable += self.add(update)
            else:
                self._hold(update)
        if self.live:
            return applicable
        if not applicable:
            self.reason = (
                f"the snapshot {snapshot.last_update_id} is older than the updates at hand, "
                f"which begin with U={self._buffered[0].first_update_id}"
            )
        return []

    def reload(self, snapshot: SnapshotId) -> list[AnyUpdate] | None:
        """Restart a live book from `snapshot`; return the recent updates to apply after it again.

        Returns None, with nothing changed, if the snapshot is older than the recent updates.
        """
        last_id = snapshot.last_update_id
        if last_id > self._last_id:
            return self.load(snapshot)
        newer = [update for update in self._recent if update.final_update_id > last_id]
        if newer and newer[0].previous_update_id > last_id:
            return None
        return newer if newer or last_id == self._last_id else None

    def _add_slow(self, update: AnyUpdate) -> list[AnyUpdate]:
        """Take an update that does not directly continue the last one."""
        if not self.live:
            self._hold(update)
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
            self._recent.append(update)
            return [update]
        self.live = False
        self.gaps += 1
        self.reason = (
            f"a gap after u={last_id}: the next update has "
            f"U={update.first_update_id} pu={update.previous_update_id}"
        )
        self._hold(update)
        return []

    def _hold(self, update: AnyUpdate) -> None:
        """Keep an update while waiting for a snapshot."""
        if len(self._buffered) == self._buffered.maxlen:
            self.overflowed += 1
        self._buffered.append(update)
