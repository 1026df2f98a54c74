"""Streams whose ids prove what is missing: they rise by one, or each names the one before.

What comes late fills the gap that it left, as far as gaps are listed.
"""

from __future__ import annotations

from typing import Any

from tickerplant.feed import sequence
from tickerplant.feed.identified import ANEW_MS
from tickerplant.feed.sequence import Sequence
from tickerplant.messages.readers import Reader
from tickerplant.verifying.findings import Gap, StreamFinding
from tickerplant.verifying.joined_book import JoinedBook
from tickerplant.verifying.lane import NONE, Lane, Walk


class _OpenGap:
    """A gap that a message may yet fill that comes late."""

    __slots__ = ("expected", "gap", "until")

    def __init__(self, gap: Gap, expected: int, until: int) -> None:
        self.gap = gap
        self.expected = expected
        """What the first message that is missing says of itself, or of the one before."""
        self.until = until
        """What the first message behind the gap says."""


class NumberedLane(Lane):
    """A stream whose ids tell what is missing."""

    def __init__(self, stream: str, reader: Reader, walk: Walk, ids: Sequence) -> None:
        self.proof = "ids by one" if ids.rule == sequence.NUMBERED else "chained ids"
        super().__init__(stream, reader, walk)
        self._id_of = ids.id_of
        self._previous_of = ids.previous_of
        self._step = 1 if ids.rule == sequence.NUMBERED else 0
        self._last_id = self._next = NONE
        self._open: list[_OpenGap] = []

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms = message.event_time_ms
        if self._previous_of(message) != self._next or event_ms < self._event_ms:
            return False
        self._last_id = item_id = self._id_of(message)
        self._next = item_id + self._step
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _offer(self, message: Any, received_ns: int) -> None:
        item_id = self._id_of(message)
        if self._last_id == NONE or self._previous_of(message) == self._next:
            self._pass(message, item_id, received_ns)
        elif item_id > self._last_id:
            self._miss(message, item_id, received_ns)
            self._pass(message, item_id, received_ns)
        elif self._fills(message, item_id):
            self.found.late += 1
        elif message.event_time_ms <= self._event_ms + ANEW_MS:
            self.found.duplicates += 1
        else:
            self.found.restarts += 1
            self._walk.doubt(self.stream, self.last_ns, received_ns)
            self._open.clear()
            self._tear(received_ns)
            self._pass(message, item_id, received_ns)

    def _pass(self, message: Any, item_id: int, received_ns: int) -> None:
        del received_ns
        self._mind(message.event_time_ms)
        self._last_id = item_id
        self._next = item_id + self._step

    def _miss(self, message: Any, item_id: int, received_ns: int) -> None:
        self._tear(received_ns)
        bounds = self._last_id, item_id
        missing = item_id - self._last_id - 1 if self._step else None
        gap = self._gap(message.symbol, bounds, missing, received_ns)
        if gap is not None:
            self._open.append(_OpenGap(gap, self._next, self._previous_of(message)))

    def _fills(self, message: Any, item_id: int) -> bool:
        """Whether a message that comes late is the first that is missing in a gap."""
        previous = self._previous_of(message)
        for each in self._open:
            if previous == each.expected:
                each.expected = item_id + self._step
                self._narrow(each, item_id)
                return True
        return False

    def _narrow(self, filled: _OpenGap, item_id: int) -> None:
        """Let a gap begin behind a message that came late; it may be none any more."""
        gap, found = filled.gap, self.found
        gap.after_id = item_id
        if gap.missing is not None:
            gap.missing -= 1
            found.missing -= 1
        if filled.expected == filled.until:
            self._open.remove(filled)
            found.first_gaps.remove(gap)
            found.gaps -= 1
            found.unknown_gaps -= gap.missing is None

    def _tear(self, received_ns: int) -> None:
        """Take note that the messages up to now do not lead to the next."""


class UpdateLane(NumberedLane):
    """Depth updates, each of which names the id of the one before; the usual case is spelled out."""

    def __init__(
        self, stream: str, reader: Reader, walk: Walk, ids: Sequence, *, is_diff: bool
    ) -> None:
        super().__init__(stream, reader, walk, ids)
        self._book = JoinedBook(walk.most_gaps) if is_diff else None
        self._is_calm = not is_diff
        """Whether the book needs no update to be looked at."""

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms = message.event_time_ms
        final_id = message.final_update_id
        if not (
            self._is_calm
            and message.previous_update_id == self._next < message.first_update_id <= final_id
            and event_ms >= self._event_ms
        ):
            return False
        self._last_id = self._next = final_id
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def take_snapshot(self, last_update_id: int, received_ns: int) -> None:
        """Take a snapshot of the book."""
        if self._book is not None:
            self._book.load(last_update_id, received_ns)
            self._is_calm = self._book.is_whole

    def finding(self) -> StreamFinding:
        """Return what was found."""
        found = super().finding()
        found.book = self._book.finding() if self._book is not None else None
        return found

    def _offer(self, message: Any, received_ns: int) -> None:
        previous_id = message.previous_update_id
        if not previous_id < message.first_update_id <= message.final_update_id:
            self.found.senseless += 1
        super()._offer(message, received_ns)

    def _pass(self, message: Any, item_id: int, received_ns: int) -> None:
        super()._pass(message, item_id, received_ns)
        if self._book is not None and not self._book.is_whole:
            self._book.offer(message, received_ns)
            self._is_calm = self._book.is_whole

    def _tear(self, received_ns: int) -> None:
        if self._book is not None:
            self._book.tear(received_ns)
            self._is_calm = False
