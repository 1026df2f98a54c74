"""What recordings cover, and where messages are missing: from manifests, heads of blocks and lines.

Nothing is decompressed of segments: blocks have their times in their heads.  A file of lines must be
read to its end, which takes as long as playing it without clients.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path

from msgspec import structs

from tickerplant.archive.outage_log import NEVER, holes_by
from tickerplant.control.coverage_state import Hole, ReplayCoverage
from tickerplant.errors import RecordingError
from tickerplant.recording.block import walk
from tickerplant.recording.line import Damage, Line, RecordedFile
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.regular_files import open_regular
from tickerplant.replaying.message_times import ByEventTime
from tickerplant.replaying.plan import Plan, Span
from tickerplant.replaying.scan import Scan
from tickerplant.units import NS_PER_S

QUIET_NS = 5 * NS_PER_S
"""A span ends where nothing was recorded for so long."""
TOGETHER_NS = NS_PER_S
"""Holes with the same reason that begin and end within so much of each other are one."""
MAX_SPANS = 1_000
MAX_HOLES = 1_000
NOTHING = "nothing was recorded"


class Spans:
    """Times with messages, in order of time, joined over quiet times that are too short to be kept.

    Args:
        most: The most spans; when there are more, longer quiet times are joined over.
    """

    def __init__(self, most: int = MAX_SPANS) -> None:
        self.spans: list[tuple[int, int]] = []
        self.quiet_ns = QUIET_NS
        """A span ends where there is nothing for so long."""
        self._most = most

    @property
    def is_coarse(self) -> bool:
        """Whether quiet times are left out because there are too many."""
        return self.quiet_ns > QUIET_NS

    def add(self, from_ns: int, to_ns: int) -> None:
        """Add a time with messages that does not begin before the last one that was added."""
        spans = self.spans
        if spans and from_ns - spans[-1][1] < self.quiet_ns:
            spans[-1] = spans[-1][0], max(spans[-1][1], to_ns)
            return
        spans.append((from_ns, to_ns))
        while len(spans) > self._most:
            self.quiet_ns *= 2
            joined = self.spans[:]
            spans.clear()
            for begin, end in joined:
                self.add(begin, end)

    def add_lines(self, lines: Sequence[Line], ahead_ns: int) -> None:
        """Add the times of lines in order of time."""
        start_ns = before_ns = lines[0][0]
        if lines[-1][0] - start_ns >= self.quiet_ns:
            for time_ns, _ in lines:
                if time_ns - before_ns >= self.quiet_ns:
                    self.add(start_ns + ahead_ns, before_ns + ahead_ns)
                    start_ns = time_ns
                before_ns = time_ns
        self.add(start_ns + ahead_ns, lines[-1][0] + ahead_ns)

    def within(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """Return the spans between two times, cut off there."""
        return [
            (max(begin, from_ns), min(end, to_ns))
            for begin, end in self.spans
            if end >= from_ns and begin <= to_ns
        ]


class Holes:
    """Times in which streams were not received, joined where they are the same for several."""

    def __init__(self) -> None:
        self._streams: defaultdict[tuple[str, int, int], set[str]] = defaultdict(set)

    def add(self, reason: str, from_ns: int, to_ns: int, streams: Iterable[str]) -> None:
        """Add a hole; the names of streams are told apart by recording."""
        self._streams[reason, from_ns, max(from_ns, to_ns)].update(streams)

    def joined(self) -> list[Hole]:
        """Return the holes in order of time."""
        found: list[Hole] = []
        reason, from_ns, to_ns, names = "", 0, 0, set[str]()
        for (its_reason, its_from_ns, its_to_ns), streams in sorted(
            self._streams.items(), key=lambda each: each[0]
        ):
            near = (
                abs(its_from_ns - from_ns) <= TOGETHER_NS and abs(its_to_ns - to_ns) <= TOGETHER_NS
            )
            if its_reason == reason and near:
                to_ns = max(to_ns, its_to_ns)
                names |= streams
                continue
            if names:
                found.append(Hole(from_ns=from_ns, to_ns=to_ns, streams=len(names), reason=reason))
            reason, from_ns, to_ns, names = its_reason, its_from_ns, its_to_ns, set(streams)
        if names:
            found.append(Hole(from_ns=from_ns, to_ns=to_ns, streams=len(names), reason=reason))
        return sorted(found, key=_TIMES)


_TIMES = attrgetter("from_ns", "to_ns")


class CoverageWalk:
    """Looks through recordings for what they cover."""

    def __init__(self, found: Scan, plan: Plan, span: Span) -> None:
        self._found = found
        self._plan = plan
        self._span = span
        self._spans: list[Spans] = []
        """Of each recording that was begun."""
        self._holes = Holes()
        self._is_complete = False

    def walk(self) -> Iterator[None]:
        """Look through all recordings, with a pause after each block of lines."""
        found, damage = self._found.files, list[Damage]()
        recordings = recorded_files([file.path for file in found], damage.append)
        for number, (recording, file) in enumerate(zip(recordings, found, strict=True)):
            names = [f"{number} {name}" for name in file.streams]
            ahead_ns = ByEventTime(recording).ahead_ns if self._plan.pace == "event" else 0
            spans = Spans()
            self._spans.append(spans)
            if isinstance(recording, Segments):
                manifest = recording.manifest()
                _add_outages(self._holes, manifest, self._plan, number, names, ahead_ns)
                yield
                yield from _walk_segments(recording, manifest, spans, self._holes, names, ahead_ns)
                continue
            damage.clear()
            last_ns = 0
            for lines in recording.batches():
                spans.add_lines(lines, ahead_ns)
                last_ns = lines[-1][0] + ahead_ns
                if lines[0][0] + ahead_ns >= self._span.end_ns:
                    break
                yield
            for each in damage[-1:]:
                self._holes.add(each.reason, last_ns, last_ns, names)
        self._is_complete = True

    def known(self) -> ReplayCoverage:
        """Return what is known so far."""
        spans = Spans()
        spans.quiet_ns = max((each.quiet_ns for each in self._spans), default=QUIET_NS)
        for begin, end in sorted(span for each in self._spans for span in each.spans):
            spans.add(begin, end)
        from_ns = self._span.begin_ns
        to_ns = self._span.end_ns
        if not self._span.is_end_known:
            to_ns = spans.spans[-1][1] + 1 if spans.spans else from_ns
        covered = spans.within(from_ns, to_ns)
        streams = sum(len(file.streams) for file in self._found.files)
        holes = [
            structs.replace(each, from_ns=max(each.from_ns, from_ns), to_ns=min(each.to_ns, to_ns))
            for each in self._holes.joined()
            if each.to_ns >= from_ns and each.from_ns < to_ns
        ]
        holes += list(_quiet(covered, holes, streams))
        are_too_many = len(holes) > MAX_HOLES
        if are_too_many:
            holes = sorted(holes, key=lambda each: each.from_ns - each.to_ns)[:MAX_HOLES]
        return ReplayCoverage(
            from_ns=from_ns,
            to_ns=to_ns if self._is_complete or self._span.is_end_known else None,
            spans=tuple(covered),
            holes=tuple(sorted(holes, key=_TIMES)),
            streams=streams,
            truncated=are_too_many or spans.is_coarse,
            complete=self._is_complete,
        )


def _quiet(
    covered: Sequence[tuple[int, int]], holes: Sequence[Hole], streams: int
) -> Iterator[Hole]:
    """Yield the times between spans of which the holes explain less than half."""
    known = Spans(most=len(holes))
    known.quiet_ns = 0
    for each in sorted(holes, key=_TIMES):
        known.add(each.from_ns, each.to_ns)
    for (_, from_ns), (to_ns, _) in pairwise(covered):
        at = bisect_left(known.spans, from_ns, key=lambda each: each[1])
        explained_ns = 0
        for begin, end in known.spans[at:]:
            if begin >= to_ns:
                break
            explained_ns += min(end, to_ns) - max(begin, from_ns)
        if 2 * explained_ns < to_ns - from_ns:
            yield Hole(from_ns=from_ns, to_ns=to_ns, streams=streams, reason=NOTHING)


def _add_outages(
    holes: Holes,
    manifest: Manifest | None,
    plan: Plan,
    number: int,
    names: Sequence[str],
    ahead_ns: int,
) -> None:
    """Add what the recorder wrote into the manifest of a recording."""
    if manifest is None:
        return
    received = manifest.counts
    for each in holes_by(manifest):
        if each.reason == NEVER and received[each.stream]:
            continue
        if not each.stream or plan.choice.has_stream(each.stream):
            streams = (f"{number} {each.stream}",) if each.stream else names
            holes.add(each.reason, each.from_ns + ahead_ns, each.to_ns + ahead_ns, streams)


def _walk_segments(
    recording: Segments,
    manifest: Manifest | None,
    spans: Spans,
    holes: Holes,
    names: Sequence[str],
    ahead_ns: int,
) -> Iterator[None]:
    """Add the times in the heads of blocks; damaged blocks and missing segments are holes."""
    files = recording.files()
    present = {path.name for path in files}
    for name, known in (manifest.sealed if manifest else {}).items():
        if name not in present:
            reason = f"the segment {name} is missing"
            holes.add(reason, known.first_ns + ahead_ns, known.last_ns + ahead_ns, names)
    latest_ns, damaged = 0, ""
    for path in files:
        try:
            with open_regular(path) as file:
                for region in walk(file, LATEST_NS + 1):
                    if region.head is None:
                        damaged = damaged or f"{path.name}: {region.reason}"
                    else:
                        first_ns = max(region.head.first_ns, latest_ns)
                        if damaged and latest_ns:
                            holes.add(damaged, latest_ns + ahead_ns, first_ns + ahead_ns, names)
                        damaged = ""
                        latest_ns = max(region.head.last_ns, latest_ns)
                        spans.add(first_ns + ahead_ns, latest_ns + ahead_ns)
                    yield
        except OSError as error:
            raise RecordingError(str(path), error.strerror or str(error)) from None
    if damaged and latest_ns:
        holes.add(damaged, latest_ns + ahead_ns, latest_ns + ahead_ns, names)


def file_state(recordings: Iterable[RecordedFile]) -> tuple[tuple[str, int, int], ...]:
    """Return what shows whether the files of recordings have changed: names, sizes, times."""
    paths: list[Path] = []
    for each in recordings:
        paths.append(Path(each.path))
        if isinstance(each, Segments):
            paths += each.files()
    found = []
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            found.append((str(path), 0, 0))
        else:
            found.append((str(path), state.st_size, state.st_mtime_ns))
    return tuple(found)
