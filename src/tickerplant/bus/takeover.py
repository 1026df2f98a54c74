"""How a stream goes on when another plant publishes it: what both plants told is delivered once.

A standby has followed the same upstream as the plant before it, so both have copies of the same
messages, each from some message on.  An edge knows the last message that it delivered of the old
copy, and finds its place in the new one by the rules of the feed: by ids where there are any
(`feed/cursor.py`), otherwise by the bytes and the event time.  What the place shows to be
new is delivered; if it cannot be shown that nothing is missing, that is a hole, and never silent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from tickerplant.feed.cursor import DepthCursor, IdCursor, Step, id_cursor_of
from tickerplant.messages.readers import UNREADABLE, Reader, payload_reader
from tickerplant.stream_name import parse_stream_name

BEHIND_MS = 2_000
"""By how much two plants may differ in the time at which they tell the same message, clocks included."""
MAX_HELD = 1_000
"""Messages of a stream that wait until it is known which of them are new; with more it is a hole."""

NOT_FOLLOWED = "the plant that took over did not follow the stream for long enough"
MISSING = "messages are missing between the two plants"
RESTARTED = "ids or times restarted"
UNKNOWN_PLACE = "the last message is not among those of the plant that took over"

_MADE_BY_RELAYS = frozenset({"markPrice", "!markPrice@arr"})
"""Families of streams without ids that a relay makes itself, at set times: two relays may write the
message of one time differently."""


class _Place(NamedTuple):
    """Where a message without ids is; 0 and empty if it does not show that."""

    event_time_ms: int
    symbol: str


class Continuation:
    """One stream at an edge, from the last message of one plant to the first new one of another.

    Call `take` with each message of the new plant, those that it repeats first, until `is_whole` or
    `hole` is set; and `settle` once `BEHIND_MS` have passed since the other plant went on.

    Args:
        stream: The stream.
        last: The payload that was delivered last; None if there was none.
        is_followed: Whether the new plant has followed the stream without a break since `BEHIND_MS`
            before the old one was last heard.
        heard_ms: When the old plant was last heard, by the time of its publications.
        opened_ms: When the stream was first wanted here, if nothing was delivered.
    """

    __slots__ = (
        "_cursor",
        "_held",
        "_is_linked",
        "_is_made_by_relays",
        "_new_from_ms",
        "_old_until_ms",
        "_place",
        "_reader",
        "hole",
        "is_whole",
        "last",
    )

    def __init__(
        self,
        stream: str,
        last: bytes | None,
        *,
        is_followed: bool,
        heard_ms: int,
        opened_ms: int = 0,
    ) -> None:
        self.hole = ""
        """Why messages may be missing; empty while that is not known."""
        self.is_whole = False
        """Whether the stream goes on without a hole: all further messages are new."""
        self._reader: Reader = payload_reader(stream)
        self._is_made_by_relays = parse_stream_name(stream).family in _MADE_BY_RELAYS
        self.last = last
        """The payload that was delivered last by the old plant; None if there was none."""
        self._is_linked = is_followed
        """Whether the new copy reaches back to the last message, or before it."""
        self._old_until_ms = heard_ms + BEHIND_MS
        self._new_from_ms = max(opened_ms, heard_ms - BEHIND_MS)
        self._held: list[bytes] = []
        """Messages at the time of the last one, of which it is not known whether they are new."""
        self._place = _Place(0, "")
        self._cursor: IdCursor | None = None
        message = None if last is None else self._decoded(last)
        if message is None:
            return
        self._place = _Place(message.event_time_ms, message.symbol)
        kind = id_cursor_of(stream, self._reader.message)
        if kind is not None:
            self._cursor = kind()
            self._cursor.advance(message)

    def take(self, payload: bytes, published_ms: int) -> tuple[bytes, ...]:
        """Take the next message of the new plant, and return the messages to deliver now.

        Nothing is returned once there is a hole.

        Args:
            payload: The message.
            published_ms: When the new plant published it, or would have if it had been in charge.
        """
        if self.is_whole:
            return (payload,)
        if self.hole:
            return ()
        if self.last is None:
            return self._take_first(payload, published_ms)
        message = self._decoded(payload)
        if self._cursor is not None and message is not None:
            return self._take_identified(self._cursor, payload, message, published_ms)
        return self._take_timed(payload, message, published_ms)

    def settle(self) -> tuple[bytes, ...]:
        """Decide without further messages; return the messages to deliver."""
        if self.is_whole or self.hole:
            return ()
        return self._take_later()

    def _decoded(self, payload: bytes) -> Any:
        """Return a message with its ids and times; None if it cannot be read."""
        try:
            return self._reader.decode(payload)
        except UNREADABLE:
            return None

    def _take_first(self, payload: bytes, published_ms: int) -> tuple[bytes, ...]:
        """Take a message of a stream of which nothing was delivered."""
        if published_ms < self._new_from_ms:
            return ()
        return self._join(payload)

    def _join(self, *new: bytes) -> tuple[bytes, ...]:
        """Go on with `new`, if the new copy reaches back far enough."""
        self._held.clear()
        if not self._is_linked:
            return self._fail(NOT_FOLLOWED)
        self.is_whole = True
        return new

    def _fail(self, hole: str) -> tuple[bytes, ...]:
        self._held.clear()
        self.hole = hole
        return ()

    def _skip(self, published_ms: int) -> tuple[bytes, ...]:
        """Drop a message that is no newer than the last one."""
        self._is_linked = True
        return self._fail(RESTARTED) if published_ms > self._old_until_ms else ()

    # Messages with ids

    def _take_identified(
        self, cursor: IdCursor, payload: bytes, message: Any, published_ms: int
    ) -> tuple[bytes, ...]:
        step = cursor.classify(message, cursor.event_time_ms)
        if step in {Step.DUPLICATE, Step.LATE}:
            return self._skip(published_ms)
        if step is Step.RESTART:
            return self._fail(RESTARTED)
        if step is Step.GAP:
            if not isinstance(cursor, DepthCursor) or message.previous_update_id > cursor.last_id:
                return self._fail(MISSING)
            payload = _chained(payload, message, cursor.last_id)
        self._is_linked = self._is_linked or cursor.proves_gaps
        return self._join(payload)

    # Messages without ids

    def _take_timed(self, payload: bytes, message: Any, published_ms: int) -> tuple[bytes, ...]:
        if payload == self.last:
            self._is_linked = True
            return self._join()
        time_ms = 0 if message is None else message.event_time_ms
        last_ms = self._place.event_time_ms
        if 0 < time_ms < last_ms:
            return self._skip(published_ms)
        if 0 < last_ms < time_ms:
            return self._take_later(payload)
        self._held.append(payload)
        return self._fail(UNKNOWN_PLACE) if len(self._held) > MAX_HELD else ()

    def _take_later(self, *later: bytes) -> tuple[bytes, ...]:
        """Go on with `later`, and with what was held if it contains the last one in other bytes."""
        if not self._held:
            return self._join(*later)
        for number, payload in enumerate(self._held if self._is_made_by_relays else (), 1):
            message = self._decoded(payload)
            place = None if message is None else _Place(message.event_time_ms, message.symbol)
            if place == self._place and place.event_time_ms:
                self._is_linked = True
                return self._join(*self._held[number:], *later)
        return self._fail(UNKNOWN_PLACE)


def _chained(payload: bytes, message: Any, last_id: int) -> bytes:
    """Return a depth update that begins before the id `last_id` as one that follows it.

    Its levels are absolute, so those that changed up to `last_id` only repeat what is known.
    """
    fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    fields["pu"] = msgspec.Raw(b"%d" % last_id)
    if message.first_update_id <= last_id:
        fields["U"] = msgspec.Raw(b"%d" % (last_id + 1))
    return msgspec.json.encode(fields)
