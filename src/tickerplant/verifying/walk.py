"""Walks one recording from beginning to end, message by message.

A recording is a folder of segments, or several files of lines, which are merged in order of time.
Damaged content raises nothing: it is reported, and the walk continues after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tickerplant.archive.outage_log import NEVER, OutageLog
from tickerplant.archive.outage_log import UNREADABLE as UNREADABLE_OUTAGE
from tickerplant.archive.snapshots import only_book
from tickerplant.decode.decoder import Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import NAME_AT, NECK_BYTES, prefix_of
from tickerplant.errors import DecodeError, RecordingError
from tickerplant.formatting import count_text
from tickerplant.messages.readers import UNREADABLE
from tickerplant.messages.sequenced import SequencedSnapshot
from tickerplant.recording.capture import Capture, companions_text
from tickerplant.recording.event_clock import EventClock, mistimed_text
from tickerplant.recording.line import Damage, Line, RecordedFile, merge, total_stats
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.replaying.message_times import ByEventTime
from tickerplant.units import NS_PER_MS
from tickerplant.verifying.findings import PROVEN, RecordingFinding, StreamFinding
from tickerplant.verifying.segment_check import (
    MAX_DAMAGE,
    DamageLog,
    SegmentCheck,
    is_being_recorded,
)
from tickerplant.verifying.stream_check import (
    StreamCheck,
    UncheckedStream,
    WalkState,
    stream_check_of,
)

MAX_LISTED = 10
"""Default number of gaps, outages and book breaks to list of each stream; all are counted."""
MAX_STREAMS = 1 << 16
"""Default maximum number of streams to check."""
BOUNDED_NS = 1_000_000_000
"""For how much time ahead the bounds of event times are calculated: merged files yield few lines at
once."""
SHOWN_BYTES = 60
"""How much of an unreadable message is shown."""

Progress = Callable[[int], bool]
"""Takes the number of messages since the last call; returns whether to continue."""


_snapshot = msgspec.json.Decoder(SequencedSnapshot).decode


class Walk:
    """The walk through a recording.

    Its paths are a folder of segments; or segments and files of lines, which are merged.  Only
    `streams` are checked, all if there are none; messages of more than `max_streams` are counted as
    unknown.

    Raises:
        RecordingError: there is nothing at a path, or no recording.
    """

    def __init__(
        self,
        paths: Sequence[str],
        streams: Collection[str] = (),
        max_listed: int = MAX_LISTED,
        *,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._max_streams = max_streams
        self.found = RecordingFinding(paths=list(paths))
        self._damage_log = DamageLog(self.found)
        files = recorded_files(paths, self._damage_log.add)
        self._files = files
        self.found.remarks += [
            companions_text(Path(each.path).name, each.companions)
            for each in files
            if isinstance(each, Capture)
        ]
        self._wanted = frozenset(streams)
        self._state = WalkState(files, max_listed, OutageLog(None))
        self._checks: dict[str, StreamCheck] = {}
        """By stream."""
        self._routes: dict[
            bytes, tuple[Callable[[bytes], Any], Callable[[Any, int], bool], StreamCheck]
        ] = {}
        """The decoder, `take` and check of each stream, by the envelope up to the payload."""
        self._decoders = [Decoder({}, applied=lambda _: False) for _ in files]
        self._only_books: dict[int, str] = {}
        """By the index of a file, the symbol of snapshots that name none."""
        self._snapshots: dict[tuple[str, str], tuple[bytes, int]] = {}
        """The last snapshot and its time, by symbol and kind: for streams that begin after it."""
        self._folder = _folder(files[0])
        self._event_times = EventTimeCheck(self._state, self.found)
        self._segments: SegmentCheck | None = None
        self._is_empty = False
        """Whether there is a manifest and no segment was begun: nothing was received yet."""

    @property
    def size_bytes(self) -> int:
        """Size of its files, once the walk has begun."""
        return total_stats(self._files).size_bytes

    @property
    def position_bytes(self) -> int:
        """How much of that has been walked."""
        return total_stats(self._files).position_bytes

    def go(self, progress: Progress = lambda _: True) -> RecordingFinding:
        """Walk to the end, or until `progress` returns False; return what was found.

        Raises:
            RecordingError: nothing can be read.
        """
        folder = self._folder
        if folder is not None:
            self._open(folder)
        is_over = False
        try:
            for index, lines in self._lines():
                self._walk_lines(index, lines)
                if not progress(len(lines)):
                    break
            else:
                is_over = True
        except RecordingError as error:
            if not self.found.first_ns:
                raise
            self._damage_log.add(Damage(error.path, error.line, error.offset_bytes, error.reason))
        if self._segments is not None and is_over:
            self.found.remarks += self._segments.close(self._state.outages)
        self._conclude(is_over=is_over)
        return self.found

    # The messages

    def _lines(self) -> Iterator[tuple[int, list[Line]]]:
        if self._folder is None:
            yield from merge(self._files)
            return
        if self._is_empty:
            return
        for lines in self._folder.batches():
            if self._segments is not None:
                self._segments.turn_to(self._folder.place_of(b"").path)
            yield 0, lines

    def _open(self, folder: Segments) -> None:
        self._damage_log.is_running = is_being_recorded(folder.path)
        present = folder.files()
        manifest = folder.manifest()
        self._state.outages = OutageLog(manifest)
        self._segments = SegmentCheck(folder, manifest, present, self._checks, self._damage_log)
        self.found.segments = len(folder.files())
        self.found.dropped = self._state.outages.dropped
        self.found.drop_reasons = list(self._state.outages.drop_reasons)
        if manifest is not None:
            self.found.venue, self.found.runs = manifest.venue, len(manifest.runs)
            if manifest.unproven_lines:
                self.found.remarks.append(
                    f"lines 1 to {manifest.unproven_lines} of the manifest have no digest: nothing "
                    "shows whether one of them is missing"
                )
            self._is_empty = not (manifest.sealed or self.found.segments)

    def _walk_lines(self, index: int, lines: Sequence[Line]) -> None:
        if lines[-1][0] > LATEST_NS:  # no clock says so, and nothing could show it
            lines = [(min(time_ns, LATEST_NS), raw) for time_ns, raw in lines]
        state, found, routes, unreadable = self._state, self.found, self._routes, UNREADABLE
        first_ns, last_ns = lines[0][0], lines[-1][0]
        if not found.first_ns or first_ns < found.first_ns:
            found.first_ns = first_ns
        found.last_ns = max(found.last_ns, last_ns)
        state.file_index = index
        earliest_ms, latest_ms = self._event_times.bounds_ms(first_ns, last_ns)
        for received_ns, raw in lines:
            start = raw.find(b'"', NAME_AT) + NECK_BYTES
            route = routes.get(raw[:start])
            if route is None:
                self._walk_slow(raw, received_ns)
                continue
            decode, take, check = route
            try:
                message = decode(raw[start:-1])
            except unreadable:
                self._walk_slow(raw, received_ns)
                continue
            event_ms = message.event_time_ms
            if not earliest_ms <= event_ms <= latest_ms and event_ms:
                state.raw = raw
                self._event_times.take(event_ms, received_ns)
                earliest_ms, latest_ms = self._event_times.new_bounds_ms(first_ns, last_ns)
            if not take(message, received_ns):
                state.raw = raw
                check.take_slow(message, received_ns)

    def _walk_slow(self, raw: bytes, received_ns: int) -> None:
        self._state.raw = raw
        try:
            stream, payload, _, _ = self._decoders[self._state.file_index].decode(raw)
        except DecodeError as error:
            start = raw.find(b'"', NAME_AT) + NECK_BYTES
            *_, check = self._routes.get(raw[:start], (None,))
            self._take_unreadable(check, raw, str(error), received_ns)
            return
        if not stream:
            self._take_response(raw, payload, received_ns)
            return
        check = self._checks.get(stream) or self._open_stream(stream, received_ns)
        if check is None:
            reason = f"more than {self._max_streams} streams; further ones are not walked"
            self._take_unreadable(None, raw, reason, received_ns)
            return
        try:
            message = check.decode(payload)
        except UNREADABLE as error:
            self._take_unreadable(check, payload, str(error), received_ns)
            return
        if message.event_time_ms:
            self._event_times.take(message.event_time_ms, received_ns)
        if not check.take(message, received_ns):
            check.take_slow(message, received_ns)

    def _take_unreadable(
        self, check: StreamCheck | None, raw: bytes, reason: str, received_ns: int
    ) -> None:
        """Count what cannot be read, of a stream or of none; list the first with its place."""
        if check is None:
            is_first, what = not self.found.unknown, "a message"
            self.found.unknown += 1
        else:
            is_first, what = not check.found.unreadable, f"a message of {check.stream}"
            check.take_unreadable(received_ns)
        if is_first and len(self.found.first_unreadable) < MAX_DAMAGE:
            place = self._state.place()
            shown = f"{raw[:SHOWN_BYTES]!r} cannot be read as {what}: {reason}"
            damage = Damage(place.path, place.line, place.offset_bytes, shown)
            self.found.first_unreadable.append(damage)

    def _open_stream(self, stream: str, received_ns: int) -> StreamCheck | None:
        """Return the check of a new stream; None if there are too many."""
        if len(self._checks) >= self._max_streams:
            return None
        is_wanted = not self._wanted or stream in self._wanted
        new = stream_check_of if is_wanted else UncheckedStream
        check = new(stream, self._state)
        check.found.first_ns = received_ns
        self._checks[stream] = check
        self._routes[prefix_of(stream)] = check.decode, check.take, check
        if snapshot := self._snapshots.get((check.name.topic, check.name.kind)):
            check.take_snapshot(*snapshot)
        return check

    def _take_response(self, raw: bytes, body: bytes, received_ns: int) -> None:
        """Take a response of REST; a snapshot of a book goes to the streams of its symbol."""
        self.found.responses += 1
        address = raw[: -len(body)]
        kind = requested_book(address) if address else DEPTH
        if not kind:
            return
        try:
            snapshot = _snapshot(body)
        except UNREADABLE:
            return
        symbol = (snapshot.symbol or requested_symbol(address) or self._symbol_of_book()).lower()
        for check in self._checks.values():
            if (check.name.topic, check.name.kind) == (symbol, kind):
                check.take_snapshot(body, received_ns)
        if len(self._snapshots) < self._max_streams:
            self._snapshots[symbol, kind] = body, received_ns

    def _symbol_of_book(self) -> str:
        index = self._state.file_index
        if index not in self._only_books:
            self._only_books[index] = only_book(self._files[index].path)
        return self._only_books[index]

    # The end

    def _conclude(self, *, is_over: bool) -> None:
        found, outages = self.found, self._state.outages
        streams = [
            check.finding()
            for check in self._checks.values()
            if not isinstance(check, UncheckedStream)
        ]
        if is_over:
            received = {each.stream for each in streams}
            subscribed = outages.subscribed & self._wanted if self._wanted else outages.subscribed
            streams += [
                StreamFinding(stream=stream, remark=outages.reason_for_silence(stream))
                for stream in subscribed - received
            ]
            for each in streams:
                _judge_outages(outages, each, self._state.max_listed)
            found.absent = sorted(self._wanted - received - subscribed)
        found.streams = sorted(streams, key=lambda each: each.stream)
        found.messages = sum(each.messages for each in streams)
        stats = total_stats(self._files)
        found.skipped_lines = stats.skipped
        found.receive_time_regressions = stats.regressions
        found.max_regression_ns = stats.max_regression_ns
        self._event_times.finish()
        found.remarks += [
            f"{count_text(count, 'snapshot')} of {symbol} could not be fetched"
            for symbol, count in sorted(outages.failed_snapshots.items())
        ]


def _folder(file: RecordedFile) -> Segments | None:
    """Return the folder of a recording, None if this is a file of one."""
    return file if isinstance(file, Segments) and Path(file.path).is_dir() else None


def _judge_outages(log: OutageLog, found: StreamFinding, most: int) -> None:
    """Add the outages of a stream to its findings, and whether they may have lost messages."""
    for each in log.outages.get(found.stream, ()):
        if each.cause == NEVER and each.from_ns <= found.last_ns and found.first_ns <= each.to_ns:
            continue  # it was received, although no entry says that it was connected
        middle_ns = (each.from_ns + each.to_ns) // 2  # its ends are rounded outwards
        is_bridged = 0 < found.first_ns <= middle_ns < found.last_ns
        if found.proof not in PROVEN or not is_bridged:
            each.verdict = "may have lost"
        elif each.verdict == "lost" and not found.gaps:  # all of them came late
            each.verdict = "nothing lost"
        if each.cause.startswith(UNREADABLE_OUTAGE) and found.unreadable:
            continue  # it was recorded
        found.outages += 1
        found.outage_ns += each.length_ns
        found.lossy_outages += each.verdict == "may have lost"
        if len(found.first_outages) < most:
            found.first_outages.append(each)


class EventTimeCheck:
    """Finds event times that cannot be true."""

    def __init__(self, state: WalkState, found: RecordingFinding) -> None:
        self._state = state
        self._found = found
        self._clocks: dict[int, EventClock] = {}
        """By the index of a file."""
        self._bounds = [(0, 0, 0)] * len(state.files)
        """Of each file, the bounds of credible event times, and the receive time up to which they
        are valid."""
        self._latest_ms = 0
        """The last event time that was looked at closely and believed."""
        self._count = 0
        self._files: set[int] = set()
        """Files with such an event time."""

    def bounds_ms(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """Return bounds of event times that need no closer look, of lines received then."""
        earliest_ms, latest_ms, until_ns = self._bounds[self._state.file_index]
        return (
            self.new_bounds_ms(first_ns, last_ns)
            if last_ns > until_ns
            else (earliest_ms, latest_ms)
        )

    def new_bounds_ms(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """Return such bounds, calculated again."""
        until_ns = last_ns + BOUNDED_NS
        earliest_ms, latest_ms = self._clock.bounds_ms(((first_ns, b""), (until_ns, b"")))
        self._bounds[self._state.file_index] = earliest_ms, latest_ms, until_ns
        return earliest_ms, latest_ms

    def take(self, event_ms: int, received_ns: int) -> None:
        """Look closely at an event time; the first of a file that cannot be true is damage."""
        if self._clock.believes(event_ms, received_ns, self._latest_ms):
            self._latest_ms = event_ms
            return
        self._count += 1
        if self._state.file_index not in self._files:
            self._files.add(self._state.file_index)
            place = self._state.place()
            text = mistimed_text(event_ms, received_ns)
            self._found.damage += 1
            self._found.first_damage.append(
                Damage(place.path, place.line, place.offset_bytes, text)
            )

    def finish(self) -> None:
        """Remark how many there were, if they are more than those that are listed."""
        if self._count > len(self._files):
            self._found.remarks.append(
                f"{count_text(self._count, 'message')} with an event time that cannot be true"
            )

    @property
    def _clock(self) -> EventClock:
        """Judges the event times of the current file.

        Its first lines are read apart, so that the walk's own reading is not disturbed.
        """
        index = self._state.file_index
        clock = self._clocks.get(index)
        if clock is None:
            file = recorded_files([self._state.files[index].path])[0]
            clock = self._clocks[index] = EventClock(ByEventTime(file).ahead_ns // NS_PER_MS)
        return clock
