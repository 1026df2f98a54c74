"""One recording walked from its beginning to its end, message by message.

A recording is a folder of segments, or files of lines that were named together; those are joined in
time.  Nothing is raised for what is in it: what is damaged is told, and the walk goes on behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tickerplant.archive.only_book import only_book
from tickerplant.archive.refused import Refused, place_of
from tickerplant.decode.decoder import Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import NAME_AT, NECK_BYTES, prefix_of
from tickerplant.errors import DecodeError, RecordingError
from tickerplant.messages.readers import UNREADABLE
from tickerplant.messages.sequenced import SequencedSnapshot
from tickerplant.recording.block import LATEST_NS
from tickerplant.recording.capture import Capture, reading_text
from tickerplant.recording.event_clock import EventClock, mistimed_text
from tickerplant.recording.line import Damage, Line, Place, RecordedFile
from tickerplant.recording.merging import merge
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.replaying.message_times import ByEventTime
from tickerplant.units import NS_PER_MS
from tickerplant.verifying.damage import MOST_FLAWS, Flaws
from tickerplant.verifying.findings import RecordingFinding, StreamFinding
from tickerplant.verifying.formatting import count_text
from tickerplant.verifying.lane import Lane, UnwalkedLane
from tickerplant.verifying.lanes import lane_of
from tickerplant.verifying.number_check import NumberCheck
from tickerplant.verifying.outage_log import Ledger
from tickerplant.verifying.segment_check import SegmentCheck, is_being_recorded

MOST_GAPS = 10
"""Gaps of a stream that are listed, unless more are asked for; all are counted."""
MOST_STREAMS = 1 << 16
"""Streams of a recording that are walked; the messages of further ones are counted as unknown."""
MOST_PLACES = 10
"""Numbers that do not fit whose places are looked for; all are counted."""
BOUNDED_NS = 1_000_000_000
"""Files that are joined have few lines one after the other: which of their event times are true is
calculated for those of so much time together."""
SHOWN_BYTES = 60
"""As much of an unreadable message is shown."""

Progress = Callable[[int], bool]
"""Is told how many messages were walked since it was last; returns whether to go on."""


_snapshot = msgspec.json.Decoder(SequencedSnapshot).decode


class Walk:
    """Walks a recording.

    Args:
        paths: A folder of segments; or segments and files of lines, which are joined in time.
        streams: Only these are looked at; all if there are none.
        most_gaps: Gaps, blind times and breaks of a book that are listed of each stream.

    Raises:
        RecordingError: there is nothing at a path, or no recording.
    """

    def __init__(
        self, paths: Sequence[str], streams: Collection[str] = (), most_gaps: int = MOST_GAPS
    ) -> None:
        self.most_gaps = most_gaps
        self.found = RecordingFinding(paths=list(paths))
        self._flaws = Flaws(self.found)
        files = recorded_files(paths, self._flaws.add)
        self._files = files
        self.found.remarks += [
            reading_text(Path(each.path).name, each.companions)
            for each in files
            if isinstance(each, Capture)
        ]
        self._wanted = frozenset(streams)
        self._ways: dict[
            bytes, tuple[Callable[[bytes], Any], Callable[[Any, int], bool], Lane]
        ] = {}
        """By the usual envelope up to the payload."""
        self._streams: dict[str, Lane] = {}
        self._decoders = [Decoder({}, applied=lambda _: False) for _ in files]
        self._numbers = NumberCheck(self._refuse)
        self._refused: set[tuple[int, str]] = set()
        """The files and streams of which a number was named that does not fit."""
        self._answered: dict[int, str] = {}
        """Whose book an answer without a symbol is, by the index of its file."""
        self._snapshots: dict[tuple[str, str], tuple[int, int]] = {}
        """Id and time of the last snapshot, by symbol and kind: for streams that begin after it."""
        self._taken = [0] * len(files)
        """Lines of each file that were walked."""
        self._index = self._number = 0
        """File and number of the line that is looked at oddly."""
        self._folder = _folder(files[0])
        self._clocks: dict[int, EventClock] = {}
        """Of each file."""
        self._bounds = [(0, 0, 0)] * len(files)
        """From when to when event times of each file are true, and until which receive time."""
        self._event_ms = 0
        """The latest event time that was looked at closely and believed."""
        self._mistimed = 0
        """Messages with an event time that cannot be true."""
        self._mistimed_files: set[int] = set()
        self._ledger = Ledger(None)
        self._segments: SegmentCheck | None = None
        self._is_silent = False
        """Whether nothing was heard so far: there is a manifest, and no segment was begun."""

    @property
    def size_bytes(self) -> int:
        """Size of its files, once it is walked."""
        return sum(file.size_bytes for file in self._files)

    @property
    def position_bytes(self) -> int:
        """How much of that was walked."""
        return sum(file.position_bytes for file in self._files)

    def place(self) -> Place:
        """Return where the message stands that is being taken oddly."""
        return self._files[self._index].place_of(self._number)

    def cause(self, stream: str, from_ns: int, to_ns: int, before_id: int) -> str:
        """Return why messages may be missing, and take note that something was lost then."""
        return self._ledger.cause(stream, from_ns, to_ns, before_id)

    def doubt(self, stream: str, from_ns: int, to_ns: int) -> None:
        """Take note that ids began anew: they do not prove that nothing was lost at that time."""
        self._ledger.doubt(stream, from_ns, to_ns)

    def go(self, progress: Progress = lambda _: True) -> RecordingFinding:
        """Walk to the end, or until `progress` says no; return what was found.

        Raises:
            RecordingError: nothing of it can be read.
        """
        folder = self._folder
        if folder is not None:
            self._open(folder)
        is_over = False
        try:
            for index, lines in self._lines():
                self._walk(index, lines)
                if not progress(len(lines)):
                    break
            else:
                is_over = True
        except RecordingError as error:
            if not any(self._taken):
                raise
            self._flaws.add(Damage(error.path, error.line, error.offset_bytes, error.reason))
        self._numbers.finish()
        if self._segments is not None and is_over:
            self.found.remarks += self._segments.close(self._ledger)
        self._conclude(is_over=is_over)
        return self.found

    # The messages

    def _lines(self) -> Iterator[tuple[int, list[Line]]]:
        if self._folder is None:
            yield from merge([self._numbers.of(at, file) for at, file in enumerate(self._files)])
            return
        if self._is_silent:
            return
        for lines in self._numbers.of(0, self._folder).batches():
            if self._segments is not None:
                self._segments.turn_to(self._folder.place_of(0).path)
            yield 0, lines

    def _open(self, folder: Segments) -> None:
        """Read the manifest."""
        self._flaws.is_running = is_being_recorded(folder.path)
        present = folder.files()
        manifest = folder.manifest()
        self._ledger = Ledger(manifest)
        self._segments = SegmentCheck(folder, manifest, present, self._streams, self._flaws)
        self.found.segments = len(folder.files())
        self.found.dropped = self._ledger.dropped
        self.found.drop_reasons = list(self._ledger.drop_reasons)
        if manifest is not None:
            self.found.venue, self.found.runs = manifest.venue, len(manifest.runs)
            if manifest.unproven_lines:
                self.found.remarks.append(
                    f"lines 1 to {manifest.unproven_lines} of the manifest were written by an "
                    "earlier version: nothing shows whether one of them is missing"
                )
            self._is_silent = not (manifest.sealed or self.found.segments)

    def _walk(self, index: int, lines: Sequence[Line]) -> None:
        """Walk some lines of a file."""
        if lines[-1][0] > LATEST_NS:  # no clock says so, and nothing could show it
            lines = [(min(time_ns, LATEST_NS), raw) for time_ns, raw in lines]
        found, ways, unreadable = self.found, self._ways, UNREADABLE
        first_ns, last_ns = lines[0][0], lines[-1][0]
        if not found.first_ns or first_ns < found.first_ns:
            found.first_ns = first_ns
        found.last_ns = max(found.last_ns, last_ns)
        self._index = index
        first = self._taken[index]
        earliest_ms, latest_ms, until_ns = self._bounds[index]
        if last_ns > until_ns:
            earliest_ms, latest_ms = self._bound(first_ns, last_ns)
        for number, (received_ns, raw) in enumerate(lines, first):
            start = raw.find(b'"', NAME_AT) + NECK_BYTES
            way = ways.get(raw[:start])
            if way is None:
                self._number = number
                self._walk_any(raw, received_ns)
                continue
            decode, take, lane = way
            try:
                message = decode(raw[start:-1])
            except unreadable:
                self._number = number
                self._walk_any(raw, received_ns)
                continue
            event_ms = message.event_time_ms
            if not earliest_ms <= event_ms <= latest_ms and event_ms:
                self._number = number
                self._doubt_time(event_ms, received_ns)
                earliest_ms, latest_ms = self._bound(first_ns, last_ns)
            if not take(message, received_ns):
                self._number = number
                lane.take_oddly(message, received_ns)
        self._taken[index] = first + len(lines)

    def _refuse(self, index: int, line: Line, refused: Refused) -> None:
        """Count a message with a number that does not fit into its table; the first is named.

        It was received at the time of `line` or later.
        """
        stream = refused.message.stream
        lane = self._streams.get(stream)
        if stream and (lane is None or isinstance(lane, UnwalkedLane)):
            return  # it is not looked at
        if lane is not None:
            lane.found.unreadable += 1
        if (index, stream) in self._refused or len(self._refused) >= MOST_FLAWS:
            return
        self._refused.add((index, stream))
        what = f"a message of {stream}" if stream else "a snapshot of a book"
        reason = f"{what} does not fit into {refused.table.name}: {refused.reason}"
        place = self._place_of(index, line)
        flaw = Damage(place.path, place.line, place.offset_bytes, reason)
        if lane is None:
            self._flaws.add(flaw)
        else:
            self.found.first_unreadable.append(flaw)

    def _place_of(self, index: int, line: Line) -> Place:
        """Return where a message stands; a file is read once more, of a few messages only."""
        from_ns, raw = line
        file = recorded_files([self._files[index].path])[0]
        place = None
        if len(self._refused) <= MOST_PLACES:
            place = place_of(file, lambda each: each[1] == raw, from_ns, LATEST_NS)
        return place or Place(file.path, 0, 0)

    def _walk_any(self, raw: bytes, received_ns: int) -> None:
        """Walk a line of any form."""
        try:
            stream, payload, _, _ = self._decoders[self._index].decode(raw)
        except DecodeError as error:
            start = raw.find(b'"', NAME_AT) + NECK_BYTES
            *_, lane = self._ways.get(raw[:start], (None,))
            self._take_unreadable(lane, raw, str(error), received_ns)
            return
        if not stream:
            self._take_answer(raw, payload, received_ns)
            return
        lane = self._streams.get(stream) or self._meet(stream, received_ns)
        if lane is None:
            reason = f"more than {MOST_STREAMS} streams; further ones are not walked"
            self._take_unreadable(None, raw, reason, received_ns)
            return
        try:
            message = lane.decode(payload)
        except UNREADABLE as error:
            self._take_unreadable(lane, payload, str(error), received_ns)
            return
        if message.event_time_ms:
            self._doubt_time(message.event_time_ms, received_ns)
        if not lane.take(message, received_ns):
            lane.take_oddly(message, received_ns)

    def _clock_of(self, index: int) -> EventClock:
        """Return what judges the event times of a file."""
        clock = self._clocks.get(index)
        if clock is None:
            file = recorded_files([self._files[index].path])[0]
            clock = EventClock(ByEventTime(file).ahead_ns // NS_PER_MS)
            self._clocks[index] = clock
        return clock

    def _bound(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """Return from when to when event times are true of lines received then, and soon after."""
        until_ns = last_ns + BOUNDED_NS
        lines = (first_ns, b""), (until_ns, b"")
        earliest_ms, latest_ms = self._clock_of(self._index).bounds_ms(lines)
        self._bounds[self._index] = earliest_ms, latest_ms, until_ns
        return earliest_ms, latest_ms

    def _doubt_time(self, event_ms: int, received_ns: int) -> None:
        """Take note of an event time if it cannot be true; the first of a file is a flaw of it."""
        index = self._index
        if self._clocks[index].believes(event_ms, received_ns, self._event_ms):
            self._event_ms = event_ms
            return
        self._mistimed += 1
        if index not in self._mistimed_files:
            self._mistimed_files.add(index)
            place = self.place()
            text = mistimed_text(event_ms, received_ns)
            self.found.flaws += 1
            self.found.first_flaws.append(Damage(place.path, place.line, place.offset_bytes, text))

    def _take_unreadable(
        self, lane: Lane | None, raw: bytes, reason: str, received_ns: int
    ) -> None:
        """Count what cannot be read, of a stream or of none; the first is told with its place."""
        if lane is None:
            is_first, what = not self.found.unknown, "a message"
            self.found.unknown += 1
        else:
            is_first, what = not lane.found.unreadable, f"a message of {lane.stream}"
            lane.take_unreadable(received_ns)
        if is_first and len(self.found.first_unreadable) < MOST_FLAWS:
            place = self.place()
            shown = f"{raw[:SHOWN_BYTES]!r} cannot be read as {what}: {reason}"
            flaw = Damage(place.path, place.line, place.offset_bytes, shown)
            self.found.first_unreadable.append(flaw)

    def _meet(self, stream: str, received_ns: int) -> Lane | None:
        """Return a lane for a new stream; None if there are too many."""
        if len(self._streams) >= MOST_STREAMS:
            return None
        is_wanted = not self._wanted or stream in self._wanted
        lane = lane_of(stream, self) if is_wanted else UnwalkedLane(stream, self)
        lane.found.first_ns = received_ns
        self._streams[stream] = lane
        self._ways[prefix_of(stream)] = lane.decode, lane.take, lane
        symbol, kind = (*stream.split("@"), "")[:2]
        if snapshot := self._snapshots.get((symbol, kind)):
            lane.take_snapshot(*snapshot)
        return lane

    def _take_answer(self, raw: bytes, body: bytes, received_ns: int) -> None:
        """Take what was asked for: a snapshot of a book goes to the streams of its symbol."""
        self.found.answers += 1
        address = raw[: -len(body)]
        kind = requested_book(address) if address else DEPTH
        if not kind:
            return
        try:
            snapshot = _snapshot(body)
        except UNREADABLE:
            return
        symbol = (snapshot.symbol or requested_symbol(address) or self._answered_symbol()).lower()
        for stream, lane in self._streams.items():
            if stream.split("@")[:2] == [symbol, kind]:
                lane.take_snapshot(snapshot.last_update_id, received_ns)
        if len(self._snapshots) < MOST_STREAMS:
            self._snapshots[symbol, kind] = snapshot.last_update_id, received_ns

    def _answered_symbol(self) -> str:
        """Return whose book an answer must be that does not tell: the only one of its file."""
        index = self._index
        if index not in self._answered:
            self._answered[index] = only_book(self._files[index].path)
        return self._answered[index]

    # The end

    def _conclude(self, *, is_over: bool) -> None:
        """Put together what was found of the streams."""
        found, ledger = self.found, self._ledger
        streams = [
            lane.finding() for lane in self._streams.values() if not isinstance(lane, UnwalkedLane)
        ]
        if is_over:
            heard = {each.stream for each in streams}
            asked = ledger.asked & self._wanted if self._wanted else ledger.asked
            streams += [
                StreamFinding(stream=stream, remark=ledger.unheard(stream))
                for stream in asked - heard
            ]
            for each in streams:
                ledger.judge(each, self.most_gaps)
            found.absent = sorted(self._wanted - heard - asked)
        found.streams = sorted(streams, key=lambda each: each.stream)
        found.messages = sum(each.messages for each in streams)
        found.skipped_lines = sum(file.skipped for file in self._files)
        found.receive_times_back = sum(file.late for file in self._files)
        found.most_back_ns = max(file.late_ns for file in self._files)
        if self._mistimed > len(self._mistimed_files):
            found.remarks.append(
                f"{count_text(self._mistimed, 'message')} with an event time that cannot be true"
            )
        found.remarks += [
            f"{count_text(count, 'snapshot')} of {symbol} could not be had"
            for symbol, count in sorted(ledger.unanchored.items())
        ]


def _folder(file: RecordedFile) -> Segments | None:
    """Return the folder of a recording, None if this is a file of one."""
    return file if isinstance(file, Segments) and Path(file.path).is_dir() else None
