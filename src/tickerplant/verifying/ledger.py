"""What a manifest says of times in which streams were not heard, and why.

Streams whose ids prove what is missing lost nothing at such a time unless there is a gap; of the
others nobody knows, and so the time counts as a hole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tickerplant.recording.journal import (
    AnyEntry,
    Connected,
    Disconnected,
    Dropped,
    Hole,
    Missing,
    Refused,
    RunBegun,
    RunEnded,
    Silent,
    Unanchored,
)
from tickerplant.recording.manifest import Manifest
from tickerplant.streams import resolve
from tickerplant.streams.spelling import why_doubtful
from tickerplant.venue import VENUES, Venue
from tickerplant.verifying.findings import PROVEN, Blindness, StreamFinding

NS_PER_MS = 1_000_000
NEVER = "it was never heard"
BETWEEN = "nothing was recorded between two runs"


class _Since(NamedTuple):
    """Since when a stream is not heard, and why."""

    time_ns: int
    cause: str


class Ledger:
    """The blind times of every stream.

    Args:
        manifest: None if there is none: then nothing is known.
    """

    def __init__(self, manifest: Manifest | None) -> None:
        self.blind: dict[str, list[Blindness]] = {}
        """By stream, in order of time."""
        self.asked: set[str] = set()
        self.refused: dict[str, str] = {}
        """Streams that the server refused, and why."""
        self.dropped = 0
        """Messages that the recorder left out."""
        self.unanchored: Counter[str] = Counter()
        """How often a snapshot could not be had, by symbol."""
        self.is_ended = True
        """Whether the last run ended on purpose."""
        self._venue = _venue(manifest)
        self._since: dict[str, _Since] = {}
        self._never: dict[str, int] = {}
        """Streams that were asked for and are not heard yet, since when."""
        self._reasons: dict[tuple[str, int], str] = {}
        self._latest_ns = 0
        self._hole: Hole | None = None
        self._began_ns = 0
        self._is_fresh = False
        """Whether nothing was told of the run but that it began."""
        self._is_tap = False
        """Whether nothing was told of connections in this run."""
        readers: dict[type[AnyEntry], Callable[[Any], None]] = {
            RunBegun: self._begin,
            RunEnded: self._note_end,
            Hole: self._note_hole,
            Connected: self._hear,
            Disconnected: self._lose,
            Silent: self._note_silence,
            Refused: self._refuse,
            Missing: self._note_missing,
            Dropped: self._drop,
            Unanchored: self._note_unanchored,
        }
        for entry in manifest.entries if manifest else ():
            read = readers.get(type(entry))
            if read is not None:
                read(entry)
            self._latest_ns = max(self._latest_ns, entry.time_ns)
        self._end(self._latest_ns)

    def cause(self, stream: str, from_ns: int, to_ns: int, before_id: int) -> str:
        """Return why messages are missing; the blind times in which they are have lost them."""
        causes: dict[str, None] = {}
        for each in self._at(stream, from_ns, to_ns):
            if each.verdict == "nothing lost":
                each.verdict = "lost"
            causes[each.cause] = None
        return "; ".join(causes) or self._reasons.get((stream, before_id), "")

    def doubt(self, stream: str, from_ns: int, to_ns: int) -> None:
        """Take note that the ids of a stream began anew, and prove nothing of that time."""
        for each in self._at(stream, from_ns, to_ns):
            each.verdict = "may have lost"

    def judge(self, found: StreamFinding, most: int) -> None:
        """Say of a stream when it was blind, and whether it may have lost something then."""
        for each in self.blind.get(found.stream, ()):
            is_bridged = 0 < found.first_ns <= each.from_ns < found.last_ns
            if found.proof not in PROVEN or not is_bridged:
                each.verdict = "may have lost"
            elif each.verdict == "lost" and not found.gaps:  # all of it came late
                each.verdict = "nothing lost"
            found.blind += 1
            found.blind_ns += each.length_ns
            found.holes += each.verdict == "may have lost"
            if len(found.first_blind) < most:
                found.first_blind.append(each)

    def _at(self, stream: str, from_ns: int, to_ns: int) -> Iterator[Blindness]:
        """Yield the blind times of a stream that touch a time."""
        for each in self.blind.get(stream, ()):
            if each.from_ns <= to_ns and each.to_ns >= from_ns:
                yield each

    def unheard(self, stream: str) -> str:
        """Return why a stream that was asked for carried no message; empty if it was just quiet."""
        if stream in self.refused:
            return f"the server refused it: {self.refused[stream]}"
        return why_doubtful(self._venue, stream) if self._venue else ""

    def _begin(self, run: RunBegun) -> None:
        """Begin a run: what was asked for before was not heard since the last one."""
        if not self.is_ended:
            self._end(self._latest_ns)
        self.is_ended, self._is_fresh, self._is_tap = False, True, True
        self._began_ns = run.time_ns
        hole, self._hole = self._hole, None
        since = _Since(hole.from_ns, hole.reason) if hole else _Since(self._latest_ns, BETWEEN)
        for stream in run.streams:
            if stream in self.asked:
                self._since[stream] = since
            else:
                self._never[stream] = run.time_ns
        self.asked.update(run.streams)

    def _note_hole(self, hole: Hole) -> None:
        """Take note why nothing was recorded before the run that just began, or that follows."""
        if not self._is_fresh:
            self._hole = hole
            return
        for stream in self._since:
            self._since[stream] = _Since(hole.from_ns, hole.reason)

    def _hear(self, entry: Connected) -> None:
        self._is_fresh = self._is_tap = False
        for stream in entry.streams:
            self._never.pop(stream, None)
            self.refused.pop(stream, None)
            since = self._since.pop(stream, None)
            if since is not None:
                self._add(stream, since, entry.time_ns)

    def _lose(self, entry: Disconnected) -> None:
        self._is_fresh = self._is_tap = False
        since = _Since(entry.time_ns, f"disconnected: {entry.reason}")
        for stream in entry.streams:
            if stream not in self._never:
                self._since.setdefault(stream, since)

    def _note_silence(self, entry: Silent) -> None:
        """Take note of a silence; only a stream that tells every period lost something by it."""
        since = _Since(entry.time_ns - entry.silent_ms * NS_PER_MS, entry.reason or "silent")
        for stream in entry.streams:
            if stream not in self._never and self._is_steady(stream):
                self._since.setdefault(stream, since)

    def _refuse(self, entry: Refused) -> None:
        for stream in entry.streams:
            self.refused[stream] = f"{entry.code} {entry.reason}"
            self._never.pop(stream, None)

    def _note_missing(self, entry: Missing) -> None:
        if entry.reason:
            self._reasons[entry.stream, entry.before_id] = entry.reason

    def _drop(self, entry: Dropped) -> None:
        self.dropped += entry.count

    def _note_unanchored(self, entry: Unanchored) -> None:
        self.unanchored[entry.symbol] += 1

    def _note_end(self, entry: RunEnded) -> None:
        self._end(entry.time_ns)
        self.is_ended = True

    def _end(self, time_ns: int) -> None:
        """End a run: what is not heard then is not heard up to here."""
        if self._is_tap:  # it is part of a server, and hears from its beginning to its end
            time_ns = self._began_ns
            self._never.clear()
        for stream, since in self._since.items():
            self._add(stream, since, time_ns)
        for stream, began_ns in self._never.items():
            self._add(stream, _Since(began_ns, NEVER), time_ns)
        self._since.clear()
        self._never.clear()
        self._is_fresh = False

    def _add(self, stream: str, since: _Since, to_ns: int) -> None:
        spans = self.blind.setdefault(stream, [])
        spans.append(Blindness(from_ns=since.time_ns, to_ns=to_ns, cause=since.cause))

    def _is_steady(self, stream: str) -> bool:
        found = resolve(self._venue, stream) if self._venue else None
        return found is not None and found[0].rhythm == "steady"


def _venue(manifest: Manifest | None) -> Venue | None:
    name = manifest.venue if manifest else ""
    return next((venue for venue in VENUES if venue.name == name), None)
