"""The streams of a recording as they are walked: each kind by its own proof of completeness.

The rules are those of the client (`feed/sequence.py`): ids that rise by one, updates that name the
one before, ids that only rise, candles that follow each other.  `take` is the usual case and says
when something is not as usual; then `take_oddly` looks closely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tickerplant.feed import sequence
from tickerplant.feed.identified import ANEW_MS
from tickerplant.feed.sequence import Sequence, sequence_of
from tickerplant.messages.readers import Reader, payload_reader
from tickerplant.recording.line import Place
from tickerplant.verifying.findings import Gap, Proof, StreamFinding
from tickerplant.verifying.joined_book import JoinedBook

NONE = -1
"""No id yet."""
MOST_SYMBOLS = 1 << 16
"""Of more symbols in one stream the ids are not looked at."""


class Walk(Protocol):
    """What a lane asks of the walk that it is part of."""

    most_gaps: int

    def place(self) -> Place:
        """Return where the message stands that is being taken."""
        ...

    def cause(self, stream: str, from_ns: int, to_ns: int, before_id: int) -> str:
        """Return why a gap may be, and take note that something was lost at that time."""
        ...

    def doubt(self, stream: str, from_ns: int, to_ns: int) -> None:
        """Take note that ids began anew: they do not prove that nothing was lost at that time."""
        ...


class Lane:
    """A stream without ids: only its times are looked at."""

    proof: Proof = "none"

    def __init__(self, stream: str, reader: Reader, walk: Walk) -> None:
        self.stream = stream
        self.decode: Callable[[bytes], Any] = reader.decode
        self.messages = 0
        self.last_ns = 0
        self.sealed = 0
        """Messages up to the beginning of the segment that is being read."""
        self.found = StreamFinding(stream=stream, proof=self.proof)
        """What was found so far, but for what is counted here."""
        self._walk = walk
        self._event_ms = 0
        """The latest event time."""

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms = message.event_time
        if event_ms < self._event_ms:
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def take_oddly(self, message: Any, received_ns: int) -> None:
        """Take a message that is not as usual."""
        self._offer(message, received_ns)
        self._note(received_ns)

    def take_unreadable(self, received_ns: int) -> None:
        """Take note of a message that cannot be read."""
        self.found.unreadable += 1
        self._note(received_ns)

    def take_snapshot(self, last_update_id: int, received_ns: int) -> None:
        """Take a snapshot of the book."""

    def finding(self) -> StreamFinding:
        """Return what was found."""
        self.found.messages = self.messages
        self.found.last_ns = self.last_ns
        return self.found

    def _note(self, received_ns: int) -> None:
        self.messages += 1
        self.last_ns = received_ns

    def _offer(self, message: Any, received_ns: int) -> None:
        """Look at a message."""
        del received_ns
        self._mind(message.event_time)

    def _mind(self, event_ms: int) -> None:
        """Look at an event time; 0 is none, as that of an empty array."""
        if event_ms >= self._event_ms:
            self._event_ms = event_ms
        elif event_ms:
            self.found.event_times_back += 1

    def _gap(
        self, symbol: str, bounds: tuple[int, int], missing: int | None, received_ns: int
    ) -> Gap | None:
        """Take note of a gap; return it if it is among those that are listed."""
        found = self.found
        found.gaps += 1
        if missing is None:
            found.unknown_gaps += 1
        else:
            found.missing += missing
        cause = self._walk.cause(self.stream, self.last_ns, received_ns, bounds[1])
        if len(found.first_gaps) >= self._walk.most_gaps:
            return None
        gap = Gap(
            symbol=symbol,
            from_ns=self.last_ns,
            to_ns=received_ns,
            after_id=bounds[0],
            before_id=bounds[1],
            missing=missing,
            place=self._walk.place(),
            cause=cause,
        )
        found.first_gaps.append(gap)
        return gap


class UnwalkedLane(Lane):
    """A stream that is not to be looked at: its messages are counted."""

    def __init__(self, stream: str, walk: Walk) -> None:
        super().__init__(stream, payload_reader(stream), walk)
        self.decode = len

    def take(self, message: Any, received_ns: int) -> bool:
        """Count a message."""
        del message, received_ns
        self.messages += 1
        return True


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
        event_ms = message.event_time
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
        elif message.event_time <= self._event_ms + ANEW_MS:
            self.found.duplicates += 1
        else:
            self.found.restarts += 1
            self._walk.doubt(self.stream, self.last_ns, received_ns)
            self._open.clear()
            self._tear(received_ns)
            self._pass(message, item_id, received_ns)

    def _pass(self, message: Any, item_id: int, received_ns: int) -> None:
        del received_ns
        self._mind(message.event_time)
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
        event_ms = message.event_time
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
        event_ms = message.event_time
        item_id = self._id_of(message)
        last_ids, symbol = self._last_ids, message.symbol
        if item_id <= last_ids.get(symbol, item_id) or event_ms < self._event_ms:
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
            if message.event_time <= self._event_ms + ANEW_MS:
                self._repeat(is_same=item_id == last_id)
                return
            self.found.restarts += 1
        elif symbol not in self._last_ids and len(self._last_ids) >= MOST_SYMBOLS:
            return
        self._mind(message.event_time)
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
        event_ms, candle = message.event_time, message.candle
        if candle.open_time != self._open_time or self._is_closed or event_ms < self._event_ms:
            return False
        self._is_closed = candle.is_closed
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _offer(self, message: Any, received_ns: int) -> None:
        candle = message.candle
        if candle.open_time < self._open_time:
            self.found.late += 1
            return
        if candle.open_time == self._open_time and self._is_closed:
            self.found.duplicates += 1
            return
        first_missing = self._close_time + 1 if self._is_closed else self._open_time
        if self._open_time != NONE and candle.open_time > first_missing:
            self._miss(message, first_missing, received_ns)
        self._mind(message.event_time)
        self._open_time, self._close_time = candle.open_time, candle.close_time
        self._is_closed = candle.is_closed

    def _miss(self, message: Any, first_missing: int, received_ns: int) -> None:
        opened = message.candle.open_time
        span_ms = max(1, self._close_time + 1 - self._open_time)
        missing = max(1, round((opened - first_missing) / span_ms))
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


def tells_changes(stream: str) -> bool:
    """Whether a stream of updates tells what changed, so that a book needs a snapshot."""
    return stream.split("@")[1:2] in (["depth"], ["rpiDepth"])
