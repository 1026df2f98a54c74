"""The check of one recorded stream: what is counted of it, and what its ids prove.

Each kind of stream is followed by the cursor that live streams are followed by (`feed/cursor.py`).
`take` is the usual case; it returns False for a message that `take_slow` has to look at closely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from tickerplant.archive.outage_log import OutageLog
from tickerplant.feed.cursor import (
    BookTickerCursor,
    CandleCursor,
    DepthCursor,
    IdCursor,
    Step,
    id_cursor_of,
)
from tickerplant.feed.local_book import RecordedSnapshot, RecordedTrack, UnknownCause
from tickerplant.messages.book import DepthUpdate
from tickerplant.messages.readers import Reader, payload_reader
from tickerplant.recording.line import Place, RecordedFile
from tickerplant.replaying.scan import OPENING_NS
from tickerplant.stream_name import book_of_diffs, parse_stream_name
from tickerplant.units import NS_PER_MS
from tickerplant.verifying.findings import (
    BookFinding,
    Break,
    Gap,
    Proof,
    StreamFinding,
    Unknown,
)

_read_update = Decoder(DepthUpdate).decode

MAX_MISSING = 10**18
"""Largest number of missing messages that is reported of a gap; a larger one is no count."""
MAX_SYMBOLS = 1 << 16
"""Of more symbols in one stream the ids are not checked."""


class WalkState(Struct):
    """What all checks of a recording share: where the walk is, and which outages are known."""

    files: Sequence[RecordedFile]
    max_listed: int
    """Maximum number of gaps, outages and book breaks to list of each stream."""
    outages: OutageLog
    file_index: int = 0
    raw: bytes = b""
    """The message that is being looked at closely."""

    def place(self) -> Place:
        """Return the place of the message that is being looked at closely."""
        return self.files[self.file_index].place_of(self.raw)


class StreamCheck:
    """The check of a stream without ids: only its times are looked at."""

    proof: Proof = "none"

    def __init__(self, stream: str, reader: Reader, state: WalkState) -> None:
        self.stream = stream
        self.name = parse_stream_name(stream)
        self.decode: Callable[[bytes], Any] = reader.decode
        self.messages = 0
        self.last_ns = 0
        self.messages_before_segment = 0
        """Number of messages up to the start of the segment that is being read."""
        self.found = StreamFinding(stream=stream, proof=self.proof)
        """What was found so far, without what is counted here."""
        self._state = state
        self._event_ms = 0

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it needs `take_slow`."""
        event_ms = message.event_time_ms
        if event_ms < self._event_ms:
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def take_slow(self, message: Any, received_ns: int) -> None:
        """Take a message for which `take` returned False."""
        self._inspect(message, received_ns)
        self._count(received_ns)

    def take_unreadable(self, received_ns: int) -> None:
        """Count a message that cannot be read."""
        self.found.unreadable += 1
        self._count(received_ns)

    def take_snapshot(self, snapshot: bytes, received_ns: int) -> None:
        """Take a snapshot of the book."""

    def finding(self) -> StreamFinding:
        """Return what was found."""
        self.found.messages = self.messages
        self.found.last_ns = self.last_ns
        return self.found

    def _count(self, received_ns: int) -> None:
        self.messages += 1
        self.last_ns = received_ns

    def _inspect(self, message: Any, received_ns: int) -> None:
        del received_ns
        self._note_event_time(message.event_time_ms)

    def _note_event_time(self, event_ms: int) -> None:
        """Compare an event time with the latest; 0 is none, as that of an empty array."""
        if event_ms >= self._event_ms:
            self._event_ms = event_ms
        elif event_ms:
            self.found.event_time_regressions += 1

    def _add_gap(
        self, symbol: str, bounds: tuple[int, int], missing: int | None, received_ns: int
    ) -> Gap | None:
        """Count a gap; return it if it is listed."""
        found, state = self.found, self._state
        found.gaps += 1
        if missing is None:
            found.unknown_gaps += 1
        else:
            missing = min(missing, MAX_MISSING)
            found.missing += missing
        cause = state.outages.cause(self.stream, self.last_ns, received_ns, bounds[1])
        if len(found.first_gaps) >= state.max_listed:
            return None
        gap = Gap(
            symbol=symbol,
            from_ns=self.last_ns,
            to_ns=received_ns,
            after_id=bounds[0],
            before_id=bounds[1],
            missing=missing,
            place=state.place(),
            cause=cause,
        )
        found.first_gaps.append(gap)
        return gap


class _Uninspected:
    """Stands for a message that is not decoded."""

    event_time_ms = 0


_MESSAGE = _Uninspected()


class UncheckedStream(StreamCheck):
    """A stream that is not to be checked: its messages are only counted."""

    def __init__(self, stream: str, state: WalkState) -> None:
        super().__init__(stream, payload_reader(stream), state)
        self.decode = lambda _: _MESSAGE

    def take(self, message: Any, received_ns: int) -> bool:
        """Count a message."""
        del message, received_ns
        self.messages += 1
        return True


class BookTickerCheck(StreamCheck):
    """The check of a stream whose ids rise: what is missing cannot be seen."""

    proof = "rising ids"

    def __init__(self, stream: str, reader: Reader, state: WalkState) -> None:
        super().__init__(stream, reader, state)
        self._cursors: dict[str, BookTickerCursor] = {}
        """By symbol: `!bookTicker` has all of them."""

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it needs `take_slow`."""
        event_ms, cursor = message.event_time_ms, self._cursors.get(message.symbol)
        if cursor is None or event_ms < self._event_ms or not cursor.accept(message):
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _inspect(self, message: Any, received_ns: int) -> None:
        del received_ns
        cursor = self._cursors.get(message.symbol)
        if cursor is None:
            if len(self._cursors) >= MAX_SYMBOLS:
                return
            cursor = self._cursors[message.symbol] = BookTickerCursor()
        step = cursor.classify(message, self._event_ms)
        if step is Step.DUPLICATE:
            self.found.duplicates += 1
        elif step is Step.LATE:
            self.found.late += 1
        else:
            self.found.restarts += step is Step.RESTART
            self._note_event_time(message.event_time_ms)
            cursor.advance(message)


class CandleCheck(StreamCheck):
    """The check of a stream of candles: each is sent until it is closed, and the next follows it."""

    proof = "closed candles"

    def __init__(self, stream: str, reader: Reader, state: WalkState) -> None:
        super().__init__(stream, reader, state)
        self._cursor = CandleCursor()

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it needs `take_slow`."""
        event_ms = message.event_time_ms
        if event_ms < self._event_ms or not self._cursor.accept(message.candle):
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _inspect(self, message: Any, received_ns: int) -> None:
        cursor, candle = self._cursor, message.candle
        step = cursor.classify(candle)
        if step is Step.LATE:
            self.found.late += 1
            return
        if step is Step.DUPLICATE:
            self.found.duplicates += 1
            return
        if step is Step.GAP:
            bounds = cursor.open_time_ms, candle.open_time_ms
            missing = cursor.missing_before(candle.open_time_ms)
            self._add_gap(message.symbol, bounds, missing, received_ns)
        self._note_event_time(message.event_time_ms)
        cursor.advance(candle)


class _OpenGap:
    """A gap that late messages may yet fill."""

    __slots__ = ("expected_id", "gap", "until_id")

    def __init__(self, gap: Gap, expected_id: int, until_id: int) -> None:
        self.gap = gap
        self.expected_id = expected_id
        """The link (`IdCursor.link_of`) of the first missing message."""
        self.until_id = until_id
        """The link of the first message after the gap."""


class IdCheck(StreamCheck):
    """The check of a stream whose ids prove what is missing.

    A message that comes late fills the gap that it left, as far as gaps are listed.
    """

    def __init__(self, stream: str, reader: Reader, state: WalkState, cursor: IdCursor) -> None:
        self.proof = "ids by one" if cursor.step else "chained ids"
        super().__init__(stream, reader, state)
        self._cursor = cursor
        self._open_gaps: list[_OpenGap] = []

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it needs `take_slow`."""
        event_ms = message.event_time_ms
        if event_ms < self._event_ms or not self._cursor.accept(message):
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def _inspect(self, message: Any, received_ns: int) -> None:
        step = self._cursor.classify(message, self._event_ms)
        if step is Step.NEXT:
            self._advance(message, received_ns)
        elif step is Step.GAP:
            self._miss(message, received_ns)
            self._advance(message, received_ns)
        elif self._fills_gap(message):
            self.found.late += 1
        elif step is Step.RESTART:
            self.found.restarts += 1
            self._state.outages.mark_unproven(self.stream, self.last_ns, received_ns)
            self._open_gaps.clear()
            self._advance(message, received_ns)
        else:
            self.found.duplicates += 1

    def _advance(self, message: Any, received_ns: int) -> None:
        del received_ns
        self._note_event_time(message.event_time_ms)
        self._cursor.advance(message)

    def _miss(self, message: Any, received_ns: int) -> None:
        cursor = self._cursor
        bounds = cursor.last_id, cursor.id_of(message)
        missing = cursor.missing_before(message)
        gap = self._add_gap(message.symbol, bounds, missing, received_ns)
        if gap is not None:
            self._open_gaps.append(_OpenGap(gap, cursor.expected_id, cursor.link_of(message)))

    def _fills_gap(self, message: Any) -> bool:
        item_id, link = self._cursor.id_of(message), self._cursor.link_of(message)
        for each in self._open_gaps:
            if link == each.expected_id:
                each.expected_id = item_id + self._cursor.step
                self._narrow(each, item_id)
                return True
        return False

    def _narrow(self, filled: _OpenGap, item_id: int) -> None:
        gap, found = filled.gap, self.found
        gap.after_id = item_id
        if gap.missing is not None:
            gap.missing -= 1
            found.missing -= 1
        if filled.expected_id == filled.until_id:
            self._open_gaps.remove(filled)
            found.first_gaps.remove(gap)
            found.gaps -= 1
            found.unknown_gaps -= gap.missing is None


class JoinedBook:
    """The book of one stream, known at the same updates as in `Recording.with_books`."""

    def __init__(self, symbol: str, max_listed: int) -> None:
        self._track = RecordedTrack(symbol)
        self._found = BookFinding()
        self._most_breaks = max_listed
        self._first_ns = self._last_ns = 0
        self._cause: UnknownCause = self._track.book.cause
        """Why it is not known since `_since_ns`; empty if it is."""
        self._since_ns = 0
        self._updates = 0
        """Updates since then, from the one after which it became so."""
        self._break: Break | None = None

    def offer(self, update: DepthUpdate, received_ns: int) -> None:
        """Take the next update."""
        if not self._first_ns:
            self._first_ns = self._last_ns = self._since_ns = received_ns
        self._track.offer(update, received_ns // NS_PER_MS)
        self._look(received_ns)
        self._updates += 1

    def load(self, snapshot: bytes, received_ns: int) -> None:
        """Take a snapshot, which is used now or after the next break."""
        now_ms = received_ns // NS_PER_MS
        self._track.load(RecordedSnapshot(now_ms, snapshot), now_ms)
        if self._first_ns:
            self._look(received_ns)

    def finding(self) -> BookFinding:
        """Return what was found."""
        self._count()
        found = self._found
        found.in_sync_at_end = self._track.book.is_following
        found.known_at_end = bool(found.updates) and not self._cause
        found.total_ns = self._last_ns - self._first_ns
        return found

    def _count(self) -> None:
        """Count the updates and the time since the book became known or unknown."""
        found, updates, ns = self._found, self._updates, self._last_ns - self._since_ns
        self._updates, self._since_ns = 0, self._last_ns
        found.updates += updates
        if not self._cause:
            found.known_updates += updates
            found.known_ns += ns
        elif updates or ns:
            unknown = self._unknown()
            unknown.updates += updates
            unknown.ns += ns

    def _unknown(self) -> Unknown:
        return self._found.unknown.setdefault(self._cause, Unknown())

    def _look(self, received_ns: int) -> None:
        self._last_ns = max(self._last_ns, received_ns)
        before, cause = self._cause, self._track.book.cause
        if cause == before:
            return
        self._count()
        self._cause = cause
        found = self._found
        if self._break is not None:
            self._break.to_ns = received_ns
            self._break = None
        if not cause:
            if not found.in_sync_from_ns:
                found.in_sync_from_ns = received_ns
                found.from_start = received_ns - self._first_ns <= OPENING_NS
            return
        if not found.in_sync_from_ns:
            return
        self._unknown().times += 1
        found.breaks += not before
        self._break = Break(from_ns=received_ns, cause=cause)
        if len(found.first_breaks) < self._most_breaks:
            found.first_breaks.append(self._break)


class DepthCheck(IdCheck):
    """The check of depth updates, and of the book that is built from them."""

    def __init__(
        self, stream: str, reader: Reader, state: WalkState, cursor: IdCursor, *, has_book: bool
    ) -> None:
        super().__init__(stream, reader, state, cursor)
        self._book: JoinedBook | None = None
        if has_book:
            self._book = JoinedBook(self.name.topic.upper(), state.max_listed)
            self.decode = _read_update  # with its levels

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it needs `take_slow`."""
        event_ms, first_id = message.event_time_ms, message.first_update_id
        if (
            event_ms < self._event_ms
            or not message.previous_update_id < first_id <= message.final_update_id
            or not self._cursor.accept(message)
        ):
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        if self._book is not None:
            self._book.offer(message, received_ns)
        return True

    def take_snapshot(self, snapshot: bytes, received_ns: int) -> None:
        """Take a snapshot of the book."""
        if self._book is not None:
            self._book.load(snapshot, received_ns)

    def finding(self) -> StreamFinding:
        """Return what was found."""
        found = super().finding()
        found.book = self._book.finding() if self._book is not None else None
        return found

    def _inspect(self, message: Any, received_ns: int) -> None:
        first_id = message.first_update_id
        if not message.previous_update_id < first_id <= message.final_update_id:
            self.found.inconsistent_ids += 1
        super()._inspect(message, received_ns)
        if self._book is not None:
            self._book.offer(message, received_ns)


def stream_check_of(stream: str, state: WalkState) -> StreamCheck:
    """Return the check for `stream`."""
    reader = payload_reader(stream)
    cursor = id_cursor_of(stream.removeprefix("!"), reader.message)  # `!bookTicker`: by symbol
    if cursor is None:
        is_candle = "candle" in reader.message.__struct_fields__
        return (CandleCheck if is_candle else StreamCheck)(stream, reader, state)
    if cursor is BookTickerCursor:
        return BookTickerCheck(stream, reader, state)
    if cursor is DepthCursor:
        return DepthCheck(
            stream,
            reader,
            state,
            cursor(),
            has_book=book_of_diffs(stream) is not None,
        )
    return IdCheck(stream, reader, state, cursor())
