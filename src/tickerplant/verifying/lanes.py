"""The streams of a recording as they are walked: each kind by its own proof of completeness.

The rules are those of the client (`feed/sequence.py`): ids that rise by one, updates that name the
one before, ids that only rise, candles that follow each other.  `take` is the usual case and says
when something is not as usual; then `take_oddly` looks closely.
"""

from __future__ import annotations

from typing import Any

from tickerplant.archive.only_book import tells_changes
from tickerplant.feed import sequence
from tickerplant.feed.identified import ANEW_MS
from tickerplant.feed.sequence import Sequence, sequence_of
from tickerplant.messages.readers import Reader, payload_reader
from tickerplant.verifying.lane import NONE, Lane, Walk
from tickerplant.verifying.numbered_lane import NumberedLane, UpdateLane

MOST_SYMBOLS = 1 << 16
"""Of more symbols in one stream the ids are not looked at."""


class RisingLane(Lane):
    """A stream whose ids rise, by how much says nothing: what is missing cannot be seen."""

    proof = "rising ids"

    def __init__(self, stream: str, reader: Reader, walk: Walk, ids: Sequence) -> None:
        super().__init__(stream, reader, walk)
        self._id_of = ids.id_of
        self._last_ids: dict[str, int] = {}
        """By symbol: `!bookTicker` tells of all of them."""

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms, item_id, symbol = message.event_time_ms, self._id_of(message), message.symbol
        last_ids = self._last_ids
        try:
            if item_id <= last_ids[symbol] or event_ms < self._event_ms:
                return False
        except KeyError:
            return False
        last_ids[symbol] = item_id
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _offer(self, message: Any, received_ns: int) -> None:
        del received_ns
        item_id, symbol = self._id_of(message), message.symbol
        last_id = self._last_ids.get(symbol, NONE)
        if item_id <= last_id:
            if message.event_time_ms <= self._event_ms + ANEW_MS:
                self._repeat(is_same=item_id == last_id)
                return
            self.found.restarts += 1
        elif symbol not in self._last_ids and len(self._last_ids) >= MOST_SYMBOLS:
            return
        self._mind(message.event_time_ms)
        self._last_ids[symbol] = item_id

    def _repeat(self, *, is_same: bool) -> None:
        if is_same:
            self.found.duplicates += 1
        else:
            self.found.late += 1


class CandleLane(Lane):
    """A stream of candles: each is told until it is closed, and the next follows it."""

    proof = "closed candles"

    def __init__(self, stream: str, reader: Reader, walk: Walk) -> None:
        super().__init__(stream, reader, walk)
        self._open_time = NONE
        self._close_time = NONE
        self._is_closed = True

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms, candle = message.event_time_ms, message.candle
        if candle.open_time_ms != self._open_time or self._is_closed or event_ms < self._event_ms:
            return False
        self._is_closed = candle.is_closed
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _offer(self, message: Any, received_ns: int) -> None:
        candle = message.candle
        if candle.open_time_ms < self._open_time:
            self.found.late += 1
            return
        if candle.open_time_ms == self._open_time and self._is_closed:
            self.found.duplicates += 1
            return
        first_missing = self._close_time + 1 if self._is_closed else self._open_time
        if self._open_time != NONE and candle.open_time_ms > first_missing:
            self._miss(message, first_missing, received_ns)
        self._mind(message.event_time_ms)
        self._open_time, self._close_time = candle.open_time_ms, candle.close_time_ms
        self._is_closed = candle.is_closed

    def _miss(self, message: Any, first_missing: int, received_ns: int) -> None:
        opened = message.candle.open_time_ms
        span_ms = max(1, self._close_time + 1 - self._open_time)
        missing = max(1, (opened - first_missing + span_ms // 2) // span_ms)
        self._gap(message.symbol, (self._open_time, opened), missing, received_ns)


def lane_of(stream: str, walk: Walk) -> Lane:
    """Return a lane for the messages of `stream`."""
    reader = payload_reader(stream)
    ids = sequence_of(stream.removeprefix("!"), reader.message)  # `!bookTicker`: by symbol
    if ids is None:
        is_candle = "candle" in reader.message.__struct_fields__
        return CandleLane(stream, reader, walk) if is_candle else Lane(stream, reader, walk)
    if ids.rule == sequence.RISING:
        return RisingLane(stream, reader, walk, ids)
    if ids.rule == sequence.NUMBERED:
        return NumberedLane(stream, reader, walk, ids)
    return UpdateLane(stream, reader, walk, ids, is_diff=tells_changes(stream))
