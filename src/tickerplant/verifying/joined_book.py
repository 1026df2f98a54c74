"""Whether and when the book of a depth stream can be rebuilt, by the documented procedure."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.market.book_sync import BookSync
from tickerplant.messages.sequenced import SequencedDepth
from tickerplant.replaying.scan import OPENING_NS
from tickerplant.verifying.findings import BookFinding, Break

KEPT_UPDATES = 1024
"""Maximum number of updates kept for a later snapshot: half a minute of a busy stream.  A thousand
streams without a snapshot then take some hundred megabytes."""


class _Snapshot(Struct, frozen=True):
    last_update_id: int


class JoinedBook:
    """The book of one stream, without its content.

    It needs updates only while it is out of sync; while it is in sync, `break_off` reports that one
    is missing.

    Args:
        max_listed: Maximum number of breaks to list.
    """

    def __init__(self, max_listed: int) -> None:
        self.is_in_sync = False
        """Whether there is a snapshot and every update since."""
        self._join: BookSync[SequencedDepth] = BookSync(KEPT_UPDATES)
        self._found = BookFinding()
        self._most_breaks = max_listed
        self._first_ns = 0
        self._latest: _Snapshot | None = None
        """The last snapshot."""
        self._break: Break | None = None

    def offer(self, update: SequencedDepth, received_ns: int) -> None:
        """Take the next update while the book is out of sync."""
        self._first_ns = self._first_ns or received_ns
        self._join.add(update)
        self._look(received_ns)

    def load(self, last_update_id: int, received_ns: int) -> None:
        """Take a snapshot, which is used now or after the next break."""
        self._latest = _Snapshot(last_update_id)
        if not self.is_in_sync:
            self._join.load(self._latest)
            self._look(received_ns)

    def break_off(self, received_ns: int) -> None:
        """Note that an update is missing, or that the ids restarted."""
        if self._join.live and not self.is_in_sync:
            return  # a snapshot waits for the first update, which may reach back to it
        self._join.reset("a gap")
        if not self.is_in_sync:
            return
        self.is_in_sync = False
        if self._latest is not None:  # it may be newer: requested before the first update
            self._join.load(self._latest)
        self._found.breaks += 1
        self._break = Break(from_ns=received_ns)
        if len(self._found.first_breaks) < self._most_breaks:
            self._found.first_breaks.append(self._break)

    def finding(self) -> BookFinding:
        """Return what was found."""
        self._found.in_sync_at_end = self.is_in_sync
        return self._found

    def _look(self, received_ns: int) -> None:
        if not self._join.joined:
            return
        self.is_in_sync = True
        if self._break is not None:
            self._break.to_ns = received_ns
        if not self._found.in_sync_from_ns:
            self._found.in_sync_from_ns = received_ns
            self._found.from_start = received_ns - (self._first_ns or received_ns) <= OPENING_NS
